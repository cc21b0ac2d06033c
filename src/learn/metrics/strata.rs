//! Recall by what was to be found: the lesion's area in the patch, its distance from the patch's centre. Answers whether a
//! patch with one lesion pixel at its rim is learnable at all.

use serde::{Deserialize, Serialize};

use super::figures::ratio;
use super::{Scored, known};

/// A range of a measure: from `from` to just under `below`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// As people read it: `8-31 px`.
    pub name: String,
    /// The least value in it.
    pub from: f64,
    /// The least value above it; none where there is no bound.
    pub below: Option<f64>,
}

impl Band {
    fn holds(&self, value: f64) -> bool {
        value >= self.from && self.below.is_none_or(|below| value < below)
    }
}

/// Lesion area in the patch, in native pixels of the release: 1-7, 8-31, 32-127, 128-511, 512 and more.
#[must_use]
pub fn area_bands() -> Vec<Band> {
    let edges = [1u32, 8, 32, 128, 512];
    let band = |(i, &from): (usize, &u32)| {
        let below = edges.get(i + 1);
        let name = below.map_or(format!("{from} px and more"), |below| format!("{from}-{} px", below - 1));
        Band { name, from: from.into(), below: below.map(|&below| below.into()) }
    };
    edges.iter().enumerate().map(band).collect()
}

/// Distance from the patch's centre to the nearest lesion pixel, in quarters of half the patch's side (`size`, px): the fourth
/// ends where the inscribed circle does, the fifth holds what is only in the corners.
#[must_use]
pub fn distance_bands(size: u32) -> Vec<Band> {
    let quarter = f64::from(size) / 8.0;
    (0..5u32)
        .map(|i| {
            let (from, below) = (f64::from(i) * quarter, f64::from(i + 1) * quarter);
            if i < 4 {
                Band { name: format!("{from} to {below} px"), from, below: Some(below) }
            } else {
                Band { name: format!("{from} px and more"), from, below: None }
            }
        })
        .collect()
}

/// How many of the positives were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Known positives.
    pub positives: u64,
    /// Of those, predicted.
    pub found: u64,
    /// Found over positives.
    pub recall: Option<f64>,
}

/// Recall within one band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// The band.
    pub band: Band,
    /// For each class.
    pub classes: Vec<Found>,
    /// All classes pooled.
    pub all: Found,
}

/// Recall by band of a measure (given row and class; what has none is in no band).
#[must_use]
pub fn recall_by(
    scored: &Scored,
    thresholds: &[f64],
    bands: Vec<Band>,
    measure: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Stratum> {
    let mut counts = vec![vec![(0, 0); scored.classes()]; bands.len()];
    for (row, (scores, labels)) in scored.iter().enumerate() {
        for (class, (&score, &label)) in scores.iter().zip(labels).enumerate() {
            if known(label) == Some(true)
                && let Some(value) = measure(row, class)
                && let Some(band) = bands.iter().position(|band| band.holds(value))
            {
                let (positives, found) = &mut counts[band][class];
                *positives += 1;
                *found += u64::from(score >= thresholds[class]);
            }
        }
    }
    let found = |(positives, found): (u64, u64)| Found { positives, found, recall: ratio(found, positives) };
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
