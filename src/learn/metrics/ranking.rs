//! Threshold-free metrics: average precision, area under the ROC curve, and all cut points of a class.

use serde::{Deserialize, Serialize};

use super::{ConfusionCounts, LabelledScores, Mean};

/// Threshold-free metrics of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Average precision: the step sum of `(R_n - R_(n-1)) P_n` over distinct scores, as scikit-learn's
    /// `average_precision_score`. [`None`] without known positives.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve: the probability that a positive outranks a negative, ties counting half (midranks). [`None`] unless
    /// there are known positives and negatives.
    pub auroc: Option<f64>,
}

/// Threshold-free metrics of each class, over its known rows.
#[must_use]
pub fn ranking(scored: &LabelledScores) -> Vec<Ranking> {
    ranking_by(scored, average_precision)
}

/// As [`ranking`], but with average precision summed as trainings and heat maps have always stored it: each step is divided before it is
/// added, so that the last bits differ and a perfect class may reach 1 + 2e-15. The stored value is part of their results, and a
/// different sum would recompute every model; display it with [`Ranking::bounded`].
#[must_use]
pub fn ranking_as_stored(scored: &LabelledScores) -> Vec<Ranking> {
    ranking_by(scored, average_precision_by_steps)
}

fn ranking_by(scored: &LabelledScores, precision: fn(&[CutPoint]) -> Option<f64>) -> Vec<Ranking> {
    (0..scored.classes())
        .map(|class| {
            let cuts = cut_points(scored.known(class));
            Ranking { average_precision: precision(&cuts), auroc: auroc(&cuts) }
        })
        .collect()
}

impl Ranking {
    /// The metrics clamped to 1 ([`ranking_as_stored`]).
    #[must_use]
    pub fn bounded(self) -> Self {
        Self { average_precision: self.average_precision.map(|value| value.min(1.0)), ..self }
    }
}

/// Mean average precision (mAP) over the classes for which it is defined.
#[must_use]
pub fn mean_average_precision(rankings: &[Ranking]) -> Mean {
    Mean::of(rankings.iter().map(|class| class.average_precision))
}

/// Distinct score of a class, and the confusion counts if a score of at least this is positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutPoint {
    /// Score.
    pub score: f64,
    /// Confusion counts at that threshold.
    pub counts: ConfusionCounts,
}

/// Cut points of all distinct scores, from the highest to the lowest. Empty if no label is known.
#[must_use]
pub fn cut_points(known: impl Iterator<Item = (f64, bool)>) -> Vec<CutPoint> {
    let mut rows: Vec<(f64, bool)> = known.collect();
    // The order among equal scores does not matter: they are counted together.
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let positives = rows.iter().filter(|row| row.1).count() as u64;
    let mut counts = ConfusionCounts {
        false_negatives: positives,
        true_negatives: rows.len() as u64 - positives,
        ..ConfusionCounts::default()
    };
    let mut cuts: Vec<CutPoint> = Vec::new();
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        for &(_, present) in tied {
            let (from, to) = if present {
                (&mut counts.false_negatives, &mut counts.true_positives)
            } else {
                (&mut counts.true_negatives, &mut counts.false_positives)
            };
            *from -= 1;
            *to += 1;
        }
        cuts.push(CutPoint { score: tied[0].0, counts });
    }
    cuts
}

/// Average precision from [`cut_points`]. Divided once, at the end: no step adds more than its number of positives, so the sum never
/// exceeds theirs, nor the result 1.
#[must_use]
pub fn average_precision(cuts: &[CutPoint]) -> Option<f64> {
    let positives = cuts.last()?.counts.positives();
    let sum: f64 = steps(cuts).map(|(step, precision)| step as f64 * precision).sum();
    (positives > 0).then(|| sum / positives as f64)
}

/// See [`ranking_as_stored`].
fn average_precision_by_steps(cuts: &[CutPoint]) -> Option<f64> {
    let positives = cuts.last()?.counts.positives();
    let part = |(step, precision): (u64, f64)| step as f64 / positives as f64 * precision;
    (positives > 0).then(|| steps(cuts).map(part).fold(0.0, |sum, part| sum + part))
}

/// Positives added at each cut point, and the precision there.
fn steps(cuts: &[CutPoint]) -> impl Iterator<Item = (u64, f64)> + '_ {
    let before = std::iter::once(0).chain(cuts.iter().map(|cut| cut.counts.true_positives));
    cuts.iter().zip(before).map(|(CutPoint { counts, .. }, before)| {
        (counts.true_positives - before, counts.true_positives as f64 / counts.predicted() as f64)
    })
}

fn auroc(cuts: &[CutPoint]) -> Option<f64> {
    let last = cuts.last()?.counts;
    let (positives, negatives) = (last.true_positives, last.false_positives);
    if positives == 0 || negatives == 0 {
        return None;
    }
    // Twice the number of correctly ordered (positive, negative) pairs, ties counting one: integers, so exact.
    let mut twice: u128 = 0;
    let mut before = ConfusionCounts::default();
    for CutPoint { counts, .. } in cuts {
        let tied_negatives = counts.false_positives - before.false_positives;
        twice += u128::from(tied_negatives) * u128::from(before.true_positives + counts.true_positives);
        before = *counts;
    }
    Some(twice as f64 / (2.0 * positives as f64 * negatives as f64))
}
