//! Test-time augmentation: the score of a patch as the mean over its orientations. Knows no patch set.
//!
//! The mean is over probabilities, not logits: it is the prediction of an ensemble of the orientations, whose log loss is at most the mean of
//! theirs, and a single orientation with an extreme logit cannot outweigh all others.

use serde::{Deserialize, Serialize};

use super::loader::PixelBatch;
use super::objective::Targets;
use crate::stage::{Params, StageError};

/// Test-time augmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tta {
    /// The patch as it is.
    #[default]
    None,
    /// All eight combinations of flips and transposition (the dihedral group).
    Dihedral,
}

impl Tta {
    /// From the parameters of a stage that scores patches.
    #[must_use]
    pub fn from_params(params: &Params) -> Self {
        if params.text("tta").is_ok_and(|tta| tta == "dihedral") { Self::Dihedral } else { Self::None }
    }

    /// Whether patches are scored as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Name in pipelines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dihedral => "dihedral",
        }
    }

    /// Number of orientations.
    #[must_use]
    pub const fn views(self) -> usize {
        match self {
            Self::None => 1,
            Self::Dihedral => 8,
        }
    }

    /// Scores (N x C, row-major) of a batch: means over the orientations, in a fixed order. `scores` computes those of a batch.
    ///
    /// # Errors
    /// As `scores`.
    pub fn scores(
        self,
        batch: &PixelBatch,
        scores: impl Fn(&PixelBatch) -> Result<Vec<f64>, StageError>,
    ) -> Result<Vec<f64>, StageError> {
        if self.is_none() {
            return scores(batch);
        }
        let mut sums = Vec::new();
        for view in 0..self.views() {
            let scores = scores(&turned(batch, view))?;
            sums.resize(scores.len(), 0.0);
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        Ok(sums.into_iter().map(|sum| sum / self.views() as f64).collect())
    }
}

/// Batch in one of eight orientations: `view` is the sum of 1 for a left-right flip, 2 for a top-bottom flip, and 4 for swapping rows and
/// columns after those.
#[must_use]
pub fn turned(batch: &PixelBatch, view: usize) -> PixelBatch {
    let PixelBatch { count, size, .. } = *batch;
    let mut pixels = Vec::with_capacity(batch.pixels.len());
    for patch in batch.pixels.chunks_exact((size * size * 3).max(1)) {
        for row in 0..size {
            for column in 0..size {
                let (mut y, mut x) = if view & 4 == 0 { (row, column) } else { (column, row) };
                if view & 2 != 0 {
                    y = size - 1 - y;
                }
                if view & 1 != 0 {
                    x = size - 1 - x;
                }
                pixels.extend_from_slice(&patch[(y * size + x) * 3..][..3]);
            }
        }
    }
    PixelBatch { count, size, pixels, joined: batch.joined.clone(), targets: Targets::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_eight_orientations_differ_and_are_those_of_augmentation() {
        use crate::engine::augment::Fill;
        use crate::engine::augment::geometry::{Motion, resample, unit_tables};
        let stored: Vec<u8> = (0..4 * 4 * 3).map(|at| at as u8).collect();
        let plain: Vec<f32> = stored.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let batch = PixelBatch { count: 1, size: 4, pixels: plain, joined: Vec::new(), targets: Targets::default() };
        let mut seen = BTreeSet::new();
        for view in 0..8 {
            let motion =
                Motion { flip_x: view & 1 != 0, flip_y: view & 2 != 0, transpose: view & 4 != 0, ..Motion::none() };
            let mut pixels = vec![0.0; 4 * 4 * 3];
            resample(&stored, [4, 4], &motion, Fill::Reflect, &unit_tables(), &mut pixels);
            let ours = turned(&batch, view).pixels;
            assert_eq!(ours, pixels, "view {view}");
            seen.insert(ours.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8);
    }
}
