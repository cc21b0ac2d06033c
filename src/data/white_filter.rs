//! White patches: the glass of a slide next to the tissue. Decided from stored histograms, without reading pixels.

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
        let all: u64 = row.histogram.iter().map(|count| u64::from(*count)).sum();
        let levels = (0..).zip(row.histogram.iter()).filter(|(level, _)| f64::from(*level) >= self.from);
        let bright: u64 = levels.map(|(_, count)| u64::from(*count)).sum();
        all > 0 && bright as f64 / all as f64 >= self.fraction
    }

    /// Splits a set into patches that are not white and patches that are. Both keep every photograph.
    #[must_use]
    pub fn divide(&self, set: &PatchSet) -> (PatchSet, PatchSet) {
        let (mut kept, mut dropped) = (set.clone(), set.clone());
        kept.parts.iter_mut().for_each(|part| part.rows.retain(|row| !self.is(row)));
        dropped.parts.iter_mut().for_each(|part| part.rows.retain(|row| self.is(row)));
        (kept, dropped)
    }
}
