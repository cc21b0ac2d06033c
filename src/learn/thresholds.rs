//! Optimal threshold of a class, exact over all cut points. Knows only scores and labels.
//!
//! A score of at least t is positive. Between two adjacent distinct scores every t gives the same predictions, so the candidates are
//! the cuts below each distinct score; predicting nothing is a candidate only for a cost. Adjacent cuts with the same best value form a
//! plateau, the interval of all t that reach it. The widest plateau is taken (of equally wide ones the one with higher thresholds), and
//! t is its midpoint. At the lower end, where everything is predicted, the plateau extends to 0, the lowest probability.

use serde::{Deserialize, Serialize};

use super::metrics::{ConfusionCounts, CutPoint, ZeroDivision};

/// Criterion that a threshold optimises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "maximize", rename_all = "kebab-case")]
pub enum Criterion {
    /// Highest F1.
    F1,
    /// Highest F-beta.
    FBeta {
        /// Weight of recall relative to precision.
        beta: f64,
    },
    /// Highest precision with at least this recall.
    Precision {
        /// Minimum recall.
        recall: f64,
    },
    /// Highest recall with at least this precision.
    Recall {
        /// Minimum precision.
        precision: f64,
    },
    /// Lowest cost of wrong predictions.
    Cost {
        /// Cost of a false negative.
        false_negative: f64,
        /// Cost of a false positive.
        false_positive: f64,
    },
}

impl Criterion {
    /// Value of the metric for these counts, whether or not the condition is met; a cost is per patch.
    #[must_use]
    pub fn figure(&self, counts: &ConfusionCounts) -> Option<f64> {
        match *self {
            Self::F1 => counts.f1(ZeroDivision::Undefined),
            Self::FBeta { beta } => counts.f_beta(beta, ZeroDivision::Undefined),
            Self::Precision { .. } => counts.precision(ZeroDivision::Undefined),
            Self::Recall { .. } => counts.recall(ZeroDivision::Undefined),
            Self::Cost { false_negative, false_positive } => {
                let cost =
                    false_negative * counts.false_negatives as f64 + false_positive * counts.false_positives as f64;
                (counts.known() > 0).then(|| cost / counts.known() as f64)
            }
        }
    }

    /// Factor that makes a higher metric a better one.
    fn sign(&self) -> f64 {
        if matches!(self, Self::Cost { .. }) { -1.0 } else { 1.0 }
    }

    /// Whether these counts meet the condition (always true without one).
    #[must_use]
    pub fn meets(&self, counts: &ConfusionCounts) -> bool {
        match *self {
            Self::F1 | Self::FBeta { .. } | Self::Cost { .. } => true,
            Self::Precision { recall } => counts.recall(ZeroDivision::Undefined).is_some_and(|have| have >= recall),
            Self::Recall { precision } => {
                counts.precision(ZeroDivision::Undefined).is_some_and(|have| have >= precision)
            }
        }
    }

    /// Name in table heads: `F1`, `precision at recall 0.8`.
    #[must_use]
    pub fn name(&self) -> String {
        match *self {
            Self::F1 => "F1".to_owned(),
            Self::FBeta { beta } => format!("F{beta}"),
            Self::Precision { recall } => format!("precision at recall {recall}"),
            Self::Recall { precision } => format!("recall at precision {precision}"),
            Self::Cost { .. } => "cost per patch".to_owned(),
        }
    }

    /// What is looked for: `highest F1`.
    #[must_use]
    pub fn goal(&self) -> String {
        format!("{} {}", if self.sign() > 0.0 { "highest" } else { "lowest" }, self.name())
    }
}

/// Tuned threshold, and what it reaches on the data it was tuned on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Threshold.
    pub threshold: f64,
    /// Lower end of the plateau: thresholds above `low` and up to `high` are equally good.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Value of the criterion.
    pub figure: f64,
    /// Whether the condition is met. If no cut meets `precision`, the cut with the highest precision is taken.
    pub met: bool,
}

/// Optimal threshold over all cut points (from the highest score to the lowest); [`None`] without known positives.
#[must_use]
pub fn tune(cuts: &[CutPoint], criterion: Criterion) -> Option<Tuned> {
    if cuts.last()?.counts.positives() == 0 {
        return None;
    }
    let sign = criterion.sign();
    let value = |cut: &CutPoint| {
        let figure = criterion.meets(&cut.counts).then(|| criterion.figure(&cut.counts)).flatten();
        figure.map(|figure| sign * figure)
    };
    let with_none: Vec<CutPoint> = match criterion {
        Criterion::Cost { .. } => std::iter::once(none_predicted(&cuts[0])).chain(cuts.iter().copied()).collect(),
        _ => Vec::new(),
    };
    let candidates = if with_none.is_empty() { cuts } else { &with_none };
    if let Some((low, high, best)) = widest_plateau(candidates, value) {
        return Some(Tuned { threshold: middle(low, high), low, high, figure: sign * best, met: true });
    }
    let precision = |cut: &CutPoint| cut.counts.precision(ZeroDivision::Undefined);
    let (low, high, _) = widest_plateau(cuts, precision)?;
    let threshold = middle(low, high);
    let counts = cuts.iter().rev().find(|cut| cut.score >= threshold)?.counts;
    Some(Tuned { threshold, low, high, figure: criterion.figure(&counts)?, met: false })
}

/// Cut above all scores, given that at the highest one.
fn none_predicted(highest: &CutPoint) -> CutPoint {
    let counts = ConfusionCounts {
        true_positives: 0,
        false_positives: 0,
        false_negatives: highest.counts.positives(),
        true_negatives: highest.counts.false_positives + highest.counts.true_negatives,
    };
    CutPoint { score: highest.score.next_up().max(1.0), counts }
}

/// Widest run of cuts with the highest value: its thresholds (low excluded, high included) and the value.
fn widest_plateau(cuts: &[CutPoint], value: impl Fn(&CutPoint) -> Option<f64>) -> Option<(f64, f64, f64)> {
    let values: Vec<Option<f64>> = cuts.iter().map(value).collect();
    let best = values.iter().flatten().copied().max_by(f64::total_cmp)?;
    let mut widest: Option<(f64, f64)> = None;
    let mut start = None;
    for (i, cut) in cuts.iter().enumerate() {
        if values[i] != Some(best) {
            start = None;
            continue;
        }
        let high = *start.get_or_insert(cut.score);
        // Scores below 0 are not probabilities and have no lower limit: the plateau ends at the score itself.
        let low = cuts.get(i + 1).map_or(cut.score.min(0.0), |next| next.score);
        if widest.is_none_or(|(l, h)| high - low > h - l) {
            widest = Some((low, high));
        }
    }
    widest.map(|(low, high)| (low, high, best))
}

/// Midpoint in (low, high].
fn middle(low: f64, high: f64) -> f64 {
    let t = low + (high - low) / 2.0;
    if t > low { t } else { high }
}
