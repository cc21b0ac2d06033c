//! Stratified recall: by lesion area in the patch and by distance of the lesion from the patch centre. Shows whether patches with a
//! single lesion pixel at the border can be learned at all.

use serde::{Deserialize, Serialize};

use super::thresholded::ratio;
use super::{LabelledScores, known};

/// Range of a measure: from `from` to just under `below`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecallBand {
    /// Name: `8-31 px`.
    pub name: String,
    /// Lower bound, inclusive.
    pub from: f64,
    /// Upper bound, exclusive; [`None`] if unbounded.
    pub below: Option<f64>,
}

impl RecallBand {
    fn holds(&self, value: f64) -> bool {
        value >= self.from && self.below.is_none_or(|below| value < below)
    }
}

/// Ranges of lesion area in the patch, in native pixels: 1-7, 8-31, 32-127, 128-511, 512 and more.
#[must_use]
pub fn area_bands() -> Vec<RecallBand> {
    let edges = [1u32, 8, 32, 128, 512];
    let band = |(i, &from): (usize, &u32)| {
        let below = edges.get(i + 1);
        let name = below.map_or(format!("{from} px and more"), |below| format!("{from}-{} px", below - 1));
        RecallBand { name, from: from.into(), below: below.map(|&below| below.into()) }
    };
    edges.iter().enumerate().map(band).collect()
}

/// Ranges of the distance from the patch centre to the nearest lesion pixel, in quarters of half the side of the patch (`size`, px): the
/// fourth ends at the inscribed circle, the fifth contains the corners.
#[must_use]
pub fn distance_bands(size: u32) -> Vec<RecallBand> {
    let quarter = f64::from(size) / 8.0;
    (0..5u32)
        .map(|i| {
            let (from, below) = (f64::from(i) * quarter, f64::from(i + 1) * quarter);
            if i < 4 {
                RecallBand { name: format!("{from} to {below} px"), from, below: Some(below) }
            } else {
                RecallBand { name: format!("{from} px and more"), from, below: None }
            }
        })
        .collect()
}

/// Counts of positives and true positives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecallCounts {
    /// Known positives.
    pub positives: u64,
    /// True positives.
    pub found: u64,
    /// True positives over known positives.
    pub recall: Option<f64>,
}

/// Recall within one range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Range.
    pub band: RecallBand,
    /// Counts of each class.
    pub classes: Vec<RecallCounts>,
    /// Counts of all classes pooled.
    pub all: RecallCounts,
}

/// Recall by range of a measure of row and class. Rows for which the measure is undefined are in no range.
#[must_use]
pub fn recall_by(
    scored: &LabelledScores,
    thresholds: &[f64],
    bands: Vec<RecallBand>,
    measure: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Stratum> {
    let mut counts = vec![vec![(0, 0); scored.classes()]; bands.len()];
    for (row, (scores, labels)) in scored.iter().enumerate() {
        for (class, &label) in labels.iter().enumerate() {
            if known(label) == Some(true)
                && let Some(value) = measure(row, class)
                && let Some(band) = bands.iter().position(|band| band.holds(value))
            {
                let (positives, found) = &mut counts[band][class];
                *positives += 1;
                *found += u64::from(scored.decision().predicts(scores, class, thresholds[class]));
            }
        }
    }
    let found = |(positives, found): (u64, u64)| RecallCounts { positives, found, recall: ratio(found, positives) };
    bands
        .into_iter()
        .zip(counts)
        .map(|(band, classes)| Stratum {
            band,
            all: found(classes.iter().fold((0, 0), |sum, class| (sum.0 + class.0, sum.1 + class.1))),
            classes: classes.into_iter().map(found).collect(),
        })
        .collect()
}
