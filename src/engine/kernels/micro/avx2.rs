//! AVX2 micro-kernels: tiles of 6 rows and two registers of 8 columns, four of them per requested tile of 12 x 32.
#![expect(unsafe_code, reason = "micro-kernels are intrinsics over pointers")]

use std::arch::x86_64::{
    __m256, __m256i, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
    _mm256_maskstore_ps, _mm256_max_ps, _mm256_min_ps, _mm256_set1_ps, _mm256_setzero_ps,
};

use super::{Begin, COLUMNS, Gathered, ROWS, Summed};

/// Ones, then zeros: the mask of n lanes starts at entry 8 - n.
static LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Mask of the lanes from `from` on that lie below `columns`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn mask(columns: usize, from: usize) -> __m256i {
    let lanes = columns.saturating_sub(from).min(8);
    // SAFETY: 8 - lanes + 8 is at most 16.
    unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - lanes).cast()) }
}

/// Adds bias and extra row to 16 columns of a row, clamps and stores them.
///
/// # Safety
/// As [`super::gathered`], `row` under `tile.rows`, `from` under `tile.columns`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn finish(tile: &Gathered, row: usize, from: usize, sums: [__m256; 2]) {
    // If one operand is NaN, both instructions return the second: NaN stays NaN.
    let (low, high) = (_mm256_set1_ps(tile.bounds.low), _mm256_set1_ps(tile.bounds.high));
    for (half, sum) in sums.into_iter().enumerate() {
        let at = from + 8 * half;
        if at >= tile.columns {
            return;
        }
        let mut sum = sum;
        // SAFETY: the bias has 32 floats; masked lanes of the rows are neither read nor written.
        unsafe {
            let mask = mask(tile.columns, at);
            if !tile.bias.is_null() {
                sum = _mm256_add_ps(sum, _mm256_loadu_ps(tile.bias.add(at)));
            }
            if !tile.extra[row].is_null() {
                sum = _mm256_add_ps(sum, _mm256_maskload_ps(tile.extra[row].add(at), mask));
            }
            _mm256_maskstore_ps(tile.out[row].add(at), mask, _mm256_min_ps(high, _mm256_max_ps(low, sum)));
        }
    }
}

macro_rules! tiles {
    ($($gathered:ident $summed:ident $count:literal [$($r:literal)*];)*) => {
        $(
            #[target_feature(enable = "avx2,fma")]
            unsafe fn $gathered(tile: &Gathered, top: usize, from: usize) {
                // SAFETY: the caller of `gathered` promises the extents.
                unsafe {
                    let mut sums = [[_mm256_setzero_ps(); 2]; $count];
                    let mut panel = tile.panel.add(from);
                    for tap in 0..tile.taps {
                        let part = [$(*tile.parts.add(tap * ROWS + top + $r)),*];
                        for k in 0..tile.len {
                            let b = [_mm256_loadu_ps(panel), _mm256_loadu_ps(panel.add(8))];
                            panel = panel.add(COLUMNS);
                            $(
                                let a = _mm256_set1_ps(*part[$r].add(k));
                                sums[$r][0] = _mm256_fmadd_ps(a, b[0], sums[$r][0]);
                                sums[$r][1] = _mm256_fmadd_ps(a, b[1], sums[$r][1]);
                            )*
                        }
                    }
                    $(finish(tile, top + $r, from, sums[$r]);)*
                }
            }

            #[target_feature(enable = "avx2,fma")]
            unsafe fn $summed(tile: &Summed, top: usize, from: usize) {
                // SAFETY: the caller of `summed` promises the extents.
                unsafe {
                    let masks = [mask(tile.columns, from), mask(tile.columns, from + 8)];
                    let mut sums = [[_mm256_setzero_ps(); 2]; $count];
                    if tile.start == Begin::Add {
                        $(
                            let row = tile.out.add((top + $r) * tile.stride + from);
                            sums[$r][0] = _mm256_maskload_ps(row, masks[0]);
                            if tile.columns > from + 8 {
                                sums[$r][1] = _mm256_maskload_ps(row.add(8), masks[1]);
                            }
                        )*
                    }
                    let mut panel = tile.panel.add(from);
                    for p in 0..tile.count {
                        let part = (*tile.parts.add(p)).add(tile.first + top);
                        let b = [_mm256_loadu_ps(panel), _mm256_loadu_ps(panel.add(8))];
                        panel = panel.add(COLUMNS);
                        $(
                            let a = _mm256_set1_ps(*part.add($r));
                            sums[$r][0] = _mm256_fmadd_ps(a, b[0], sums[$r][0]);
                            sums[$r][1] = _mm256_fmadd_ps(a, b[1], sums[$r][1]);
                        )*
                    }
                    $(
                        let row = tile.out.add((top + $r) * tile.stride + from);
                        _mm256_maskstore_ps(row, masks[0], sums[$r][0]);
                        if tile.columns > from + 8 {
                            _mm256_maskstore_ps(row.add(8), masks[1], sums[$r][1]);
                        }
                    )*
                }
            }
        )*

        /// # Safety
        /// As [`super::gathered`]; the processor has AVX2 and FMA.
        pub(super) unsafe fn gathered(tile: &Gathered) {
            for from in (0..tile.columns).step_by(16) {
                for top in (0..tile.rows).step_by(6) {
                    // SAFETY: the caller's promise is passed on.
                    unsafe {
                        match tile.rows - top {
                            $($count => $gathered(tile, top, from),)*
                            _ => gathered6(tile, top, from),
                        }
                    }
                }
            }
        }

        /// # Safety
        /// As [`super::summed`]; the processor has AVX2 and FMA.
        pub(super) unsafe fn summed(tile: &Summed) {
            for from in (0..tile.columns).step_by(16) {
                for top in (0..tile.rows).step_by(6) {
                    // SAFETY: the caller's promise is passed on.
                    unsafe {
                        match tile.rows - top {
                            $($count => $summed(tile, top, from),)*
                            _ => summed6(tile, top, from),
                        }
                    }
                }
            }
        }
    };
}

tiles! {
    gathered1 summed1 1 [0];
    gathered2 summed2 2 [0 1];
    gathered3 summed3 3 [0 1 2];
    gathered4 summed4 4 [0 1 2 3];
    gathered5 summed5 5 [0 1 2 3 4];
    gathered6 summed6 6 [0 1 2 3 4 5];
}
