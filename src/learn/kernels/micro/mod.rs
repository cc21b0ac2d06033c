//! The innermost loops of matrix products, for each [`Path`]. They know pointers alone; what they mean is `product`'s matter.
//!
//! Every element is summed over k in ascending order in one accumulator, whatever the path's tile, so the two paths with
//! fused multiply-add give the same bytes; the portable one rounds twice.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::Path;
use super::gather::Bounds;

/// Rows of a tile at most.
pub(super) const ROWS: usize = 12;
/// Columns of a tile and of a packed panel.
pub(super) const COLUMNS: usize = 32;

/// `C[r] = sum over t, k of A[t][r][k] * B[t * len + k] + bias + extra[r]`, held between bounds, for up to 12 rows and 32 columns.
pub(super) struct Gathered {
    /// `taps` x 12 pointers, each to `len` floats: the parts of the rows of A.
    pub(super) parts: *const *const f32,
    /// How many rows hold, 1..=12.
    pub(super) rows: usize,
    /// Parts per row.
    pub(super) taps: usize,
    /// Floats per part.
    pub(super) len: usize,
    /// `taps * len` x 32, packed.
    pub(super) panel: *const f32,
    /// The rows of C.
    pub(super) out: [*mut f32; ROWS],
    /// Rows that are added, where not null.
    pub(super) extra: [*const f32; ROWS],
    /// 32 floats that are added to every row, where not null.
    pub(super) bias: *const f32,
    /// What every element is held between.
    pub(super) bounds: Bounds,
    /// How many columns of C exist, 1..=32.
    pub(super) columns: usize,
}

/// `C[r] (+)= sum over p of A[p][r] * B[p]` for up to 12 rows and 32 columns.
pub(super) struct Summed {
    /// `count` pointers, each to `rows` floats once `first` is added: the columns of A.
    pub(super) parts: *const *const f32,
    /// Floats to skip at each pointer.
    pub(super) first: usize,
    /// How many rows hold, 1..=12.
    pub(super) rows: usize,
    /// How many terms are summed.
    pub(super) count: usize,
    /// `count` x 32, packed.
    pub(super) panel: *const f32,
    /// The first row of C.
    pub(super) out: *mut f32,
    /// Floats from one row of C to the next.
    pub(super) stride: usize,
    /// Whether C begins with what it holds or with 0.
    pub(super) start: Start,
    /// How many columns of C exist, 1..=32.
    pub(super) columns: usize,
}

/// What a sum begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// 0: what was there is overwritten.
    Zero,
    /// What is there already.
    Present,
}

/// Computes one tile.
///
/// # Safety
/// All pointers of `tile` are valid for the extents that its fields say, C overlaps nothing that is read but `extra`, and the
/// processor can execute `path`.
#[expect(unsafe_code, reason = "micro-kernels take pointers")]
pub(super) unsafe fn gathered(path: Path, tile: &Gathered) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => avx512::gathered(tile),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => avx2::gathered(tile),
            _ => portable::gathered(tile),
        }
    }
}

/// Computes one tile.
///
/// # Safety
/// As [`gathered`].
#[expect(unsafe_code, reason = "micro-kernels take pointers")]
pub(super) unsafe fn summed(path: Path, tile: &Summed) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => avx512::summed(tile),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => avx2::summed(tile),
            _ => portable::summed(tile),
        }
    }
}
