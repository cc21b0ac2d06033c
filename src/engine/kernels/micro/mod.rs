//! Innermost loops of matrix products, for each [`Target`]. They know only pointers; the caller gives them meaning.
//!
//! Every element is summed over k in ascending order in one accumulator, whatever the tile of the target, so the two targets with
//! fused multiply-add give the same bytes; the portable one rounds twice.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::Target;
use super::shape::{Begin, Bounds, COLUMNS, ROWS};

/// `C[r] = sum over t, k of A[t][r][k] * B[t * len + k] + bias + extra[r]`, clamped, for up to 12 rows and 32 columns.
pub(super) struct Gathered {
    /// `taps` x 12 pointers, each to `len` floats: the parts of the rows of A.
    pub(super) parts: *const *const f32,
    /// Number of rows, 1..=12.
    pub(super) rows: usize,
    /// Parts per row.
    pub(super) taps: usize,
    /// Floats per part.
    pub(super) len: usize,
    /// `taps * len` x 32, packed.
    pub(super) panel: *const f32,
    /// Rows of C.
    pub(super) out: [*mut f32; ROWS],
    /// Rows that are added, if not null.
    pub(super) extra: [*const f32; ROWS],
    /// 32 floats that are added to every row, if not null.
    pub(super) bias: *const f32,
    /// Bounds that every element is clamped to.
    pub(super) bounds: Bounds,
    /// Number of columns of C, 1..=32.
    pub(super) columns: usize,
}

/// `C[r] (+)= sum over p of A[p][r] * B[p]` for up to 12 rows and 32 columns.
pub(super) struct Summed {
    /// `count` pointers, each to `rows` floats once `first` is added: the columns of A.
    pub(super) parts: *const *const f32,
    /// Floats to skip at each pointer.
    pub(super) first: usize,
    /// Number of rows, 1..=12.
    pub(super) rows: usize,
    /// Number of terms.
    pub(super) count: usize,
    /// `count` x 32, packed.
    pub(super) panel: *const f32,
    /// First row of C.
    pub(super) out: *mut f32,
    /// Floats from one row of C to the next.
    pub(super) stride: usize,
    /// Initial value of C.
    pub(super) start: Begin,
    /// Number of columns of C, 1..=32.
    pub(super) columns: usize,
}

/// Computes one tile.
///
/// # Safety
/// All pointers of `tile` are valid for the extents given by its fields, C overlaps nothing that is read except `extra`, and the CPU
/// can execute `target`.
#[expect(unsafe_code, reason = "micro-kernels take pointers")]
pub(super) unsafe fn gathered(target: Target, tile: &Gathered) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match target {
            #[cfg(target_arch = "x86_64")]
            Target::Avx512 => avx512::gathered(tile),
            #[cfg(target_arch = "x86_64")]
            Target::Avx2 => avx2::gathered(tile),
            _ => portable::gathered(tile),
        }
    }
}

/// Computes one tile.
///
/// # Safety
/// As [`gathered`].
#[expect(unsafe_code, reason = "micro-kernels take pointers")]
pub(super) unsafe fn summed(target: Target, tile: &Summed) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match target {
            #[cfg(target_arch = "x86_64")]
            Target::Avx512 => avx512::summed(tile),
            #[cfg(target_arch = "x86_64")]
            Target::Avx2 => avx2::summed(tile),
            _ => portable::summed(tile),
        }
    }
}
