//! White patches: the glass of a slide next to the tissue. Decided from stored histograms, without reading pixels.

use super::black_filter::fraction_of;
use super::patches::{PatchRow, PatchSet};

/// Criterion for a white patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhiteFilter {
    /// A pixel is bright if the mean of its red, green and blue, rounded down, is at least this.
    pub from: f64,
    /// A patch is white if at least this fraction of its pixels is bright.
    pub fraction: f64,
}

impl WhiteFilter {
    /// Whether a patch is white.
    #[must_use]
    pub fn is(&self, row: &PatchRow) -> bool {
        fraction_of(&row.histogram, |level| level >= self.from).is_some_and(|bright| bright >= self.fraction)
    }

    /// Splits a set into patches that are not white and patches that are. Both keep every photograph.
    #[must_use]
    pub fn divide(&self, set: &PatchSet) -> (PatchSet, PatchSet) {
        set.divide(|row| self.is(row))
    }
}
