//! Black patches: the background outside the camera's field of view. Decided from stored histograms, without reading pixels.

use super::patches::{PatchRow, PatchSet};

/// Criterion for a black patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlackFilter {
    /// A pixel is dark if the mean of its red, green and blue is below this. Histograms hold the mean rounded down, so the test is
    /// exact for whole numbers; a fraction acts like the next whole number.
    pub below: f64,
    /// A patch is black if at least this fraction of its pixels is dark.
    pub fraction: f64,
}

impl BlackFilter {
    /// Default criterion of `filter-black`.
    pub const DEFAULT: Self = Self { below: 10.0, fraction: 0.9 };

    /// Whether a patch is black.
    #[must_use]
    pub fn is(&self, row: &PatchRow) -> bool {
        self.is_by(&row.histogram)
    }

    /// Whether a patch with this grey-level histogram is black.
    #[must_use]
    pub fn is_by(&self, histogram: &[u32; 256]) -> bool {
        fraction_of(histogram, |level| level < self.below).is_some_and(|dark| dark >= self.fraction)
    }

    /// Splits a set into patches that are not black and patches that are. Both keep every photograph.
    #[must_use]
    pub fn divide(&self, set: &PatchSet) -> (PatchSet, PatchSet) {
        set.divide(|row| self.is(row))
    }
}

/// Fraction of pixels at some grey levels; [`None`] without pixels. A quotient of two counts is rounded like the fraction in the file, so
/// 90 of 100 is at least 0.9.
pub(super) fn fraction_of(histogram: &[u32; 256], is_counted: impl Fn(f64) -> bool) -> Option<f64> {
    let all: u64 = histogram.iter().map(|count| u64::from(*count)).sum();
    let levels = (0_u32..).zip(histogram).filter(|(level, _)| is_counted(f64::from(*level)));
    let counted: u64 = levels.map(|(_, count)| u64::from(*count)).sum();
    (all > 0).then(|| counted as f64 / all as f64)
}
