//! AVX-512 micro-kernels: tiles of 12 rows and two registers of 16 columns, 24 sums that keep both multiply-add units busy.
#![expect(unsafe_code, reason = "micro-kernels are intrinsics over pointers")]

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

use super::{Begin, Gathered, ROWS, Summed};

/// Masks of the columns that exist in each register.
fn masks(columns: usize) -> [__mmask16; 2] {
    let bits = if columns >= 32 { u32::MAX } else { (1u32 << columns) - 1 };
    [bits as u16, (bits >> 16) as u16]
}

/// Adds bias and extra row to a row, clamps and stores it.
///
/// # Safety
/// As [`super::gathered`], `row` under `tile.rows`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn finish(tile: &Gathered, row: usize, sums: [__m512; 2]) {
    // If one operand is NaN, both instructions return the second: NaN stays NaN.
    let (low, high) = (_mm512_set1_ps(tile.bounds.low), _mm512_set1_ps(tile.bounds.high));
    let masks = masks(tile.columns);
    for (half, (sum, mask)) in sums.into_iter().zip(masks).enumerate() {
        let mut sum = sum;
        // SAFETY: the bias has 32 floats; masked lanes of the rows are neither read nor written.
        unsafe {
            if !tile.bias.is_null() {
                sum = _mm512_add_ps(sum, _mm512_loadu_ps(tile.bias.add(16 * half)));
            }
            if mask == 0 {
                continue;
            }
            if !tile.extra[row].is_null() {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, tile.extra[row].add(16 * half)));
            }
            let held = _mm512_min_ps(high, _mm512_max_ps(low, sum));
            _mm512_mask_storeu_ps(tile.out[row].add(16 * half), mask, held);
        }
    }
}

macro_rules! tiles {
    ($($gathered:ident $summed:ident $count:literal [$($r:literal)*];)*) => {
        $(
            #[target_feature(enable = "avx512f")]
            unsafe fn $gathered(tile: &Gathered) {
                // SAFETY: the caller of `gathered` promises the extents.
                unsafe {
                    let mut sums = [[_mm512_setzero_ps(); 2]; $count];
                    let mut panel = tile.panel;
                    for tap in 0..tile.taps {
                        let part = [$(*tile.parts.add(tap * ROWS + $r)),*];
                        for k in 0..tile.len {
                            let b = [_mm512_loadu_ps(panel), _mm512_loadu_ps(panel.add(16))];
                            panel = panel.add(32);
                            $(
                                let a = _mm512_set1_ps(*part[$r].add(k));
                                sums[$r][0] = _mm512_fmadd_ps(a, b[0], sums[$r][0]);
                                sums[$r][1] = _mm512_fmadd_ps(a, b[1], sums[$r][1]);
                            )*
                        }
                    }
                    $(finish(tile, $r, sums[$r]);)*
                }
            }

            #[target_feature(enable = "avx512f")]
            unsafe fn $summed(tile: &Summed) {
                // SAFETY: the caller of `summed` promises the extents.
                unsafe {
                    let masks = masks(tile.columns);
                    let mut sums = [[_mm512_setzero_ps(); 2]; $count];
                    if tile.start == Begin::Add {
                        $(
                            let row = tile.out.add($r * tile.stride);
                            sums[$r][0] = _mm512_maskz_loadu_ps(masks[0], row);
                            if masks[1] != 0 {
                                sums[$r][1] = _mm512_maskz_loadu_ps(masks[1], row.add(16));
                            }
                        )*
                    }
                    let mut panel = tile.panel;
                    for p in 0..tile.count {
                        let part = (*tile.parts.add(p)).add(tile.first);
                        let b = [_mm512_loadu_ps(panel), _mm512_loadu_ps(panel.add(16))];
                        panel = panel.add(32);
                        $(
                            let a = _mm512_set1_ps(*part.add($r));
                            sums[$r][0] = _mm512_fmadd_ps(a, b[0], sums[$r][0]);
                            sums[$r][1] = _mm512_fmadd_ps(a, b[1], sums[$r][1]);
                        )*
                    }
                    $(
                        let row = tile.out.add($r * tile.stride);
                        _mm512_mask_storeu_ps(row, masks[0], sums[$r][0]);
                        if masks[1] != 0 {
                            _mm512_mask_storeu_ps(row.add(16), masks[1], sums[$r][1]);
                        }
                    )*
                }
            }
        )*

        /// # Safety
        /// As [`super::gathered`]; the processor has AVX-512F.
        pub(super) unsafe fn gathered(tile: &Gathered) {
            // SAFETY: the caller's promise is passed on.
            unsafe {
                match tile.rows {
                    $($count => $gathered(tile),)*
                    rows => unreachable!("a tile of {rows} rows"),
                }
            }
        }

        /// # Safety
        /// As [`super::summed`]; the processor has AVX-512F.
        pub(super) unsafe fn summed(tile: &Summed) {
            // SAFETY: the caller's promise is passed on.
            unsafe {
                match tile.rows {
                    $($count => $summed(tile),)*
                    rows => unreachable!("a tile of {rows} rows"),
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
    gathered7 summed7 7 [0 1 2 3 4 5 6];
    gathered8 summed8 8 [0 1 2 3 4 5 6 7];
    gathered9 summed9 9 [0 1 2 3 4 5 6 7 8];
    gathered10 summed10 10 [0 1 2 3 4 5 6 7 8 9];
    gathered11 summed11 11 [0 1 2 3 4 5 6 7 8 9 10];
    gathered12 summed12 12 [0 1 2 3 4 5 6 7 8 9 10 11];
}
