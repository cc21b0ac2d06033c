//! The best threshold of a class, exact over all cut points. Knows scores and labels only.
//!
//! A score of at least t is positive. Between two neighbouring distinct scores every t predicts the same, so the candidates are
//! the cuts below each distinct score; predicting nothing at all is never one. Neighbouring cuts that reach the same best value
//! are one plateau, the interval of all t that reach it; of several plateaus the widest is taken (of equally wide ones that
//! with the higher thresholds), and t is its middle. At the lower end, where everything is predicted, the plateau reaches down
//! to 0, the least a probability can be.

use serde::{Deserialize, Serialize};

use super::metrics::{Counts, CutPoint, ZeroDivision};

/// What a threshold is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "maximize", rename_all = "kebab-case")]
pub enum Criterion {
    /// The highest F1.
    F1,
    /// The highest F-beta.
    FBeta {
        /// Weight of recall against precision.
        beta: f64,
    },
    /// The highest precision with at least this recall.
    Precision {
        /// The least recall.
        recall: f64,
    },
    /// The highest recall with at least this precision.
    Recall {
        /// The least precision.
        precision: f64,
    },
}

impl Criterion {
    /// The figure that is made high: what a threshold with these counts is worth, whether or not it meets the condition.
    #[must_use]
    pub fn figure(&self, counts: &Counts) -> Option<f64> {
        match *self {
            Self::F1 => counts.f1(ZeroDivision::Undefined),
            Self::FBeta { beta } => counts.f_beta(beta, ZeroDivision::Undefined),
            Self::Precision { .. } => counts.precision(ZeroDivision::Undefined),
            Self::Recall { .. } => counts.recall(ZeroDivision::Undefined),
        }
    }

    /// Whether these counts meet the condition (always, where there is none).
    #[must_use]
    pub fn meets(&self, counts: &Counts) -> bool {
        match *self {
            Self::F1 | Self::FBeta { .. } => true,
            Self::Precision { recall } => counts.recall(ZeroDivision::Undefined).is_some_and(|have| have >= recall),
            Self::Recall { precision } => {
                counts.precision(ZeroDivision::Undefined).is_some_and(|have| have >= precision)
            }
        }
    }

    /// As a table's head has it: `F1`, `precision at recall .8`.
    #[must_use]
    pub fn name(&self) -> String {
        match *self {
            Self::F1 => "F1".to_owned(),
            Self::FBeta { beta } => format!("F{beta}"),
            Self::Precision { recall } => format!("precision at recall {recall}"),
            Self::Recall { precision } => format!("recall at precision {precision}"),
        }
    }
}

/// A threshold and what it reaches on the data that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The threshold.
    pub threshold: f64,
    /// All thresholds above this and up to `high` are as good.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// The figure reached.
    pub figure: f64,
    /// Whether the condition is met. Where no cut meets `precision`, the cut of the highest precision is taken.
    pub met: bool,
}

/// The best threshold over all cut points (from the highest score to the lowest); [`None`] without known positives.
#[must_use]
pub fn tune(cuts: &[CutPoint], criterion: Criterion) -> Option<Tuned> {
    if cuts.last()?.counts.positives() == 0 {
        return None;
    }
    let value = |cut: &CutPoint| criterion.meets(&cut.counts).then(|| criterion.figure(&cut.counts)).flatten();
    if let Some((low, high, figure)) = widest_plateau(cuts, value) {
        return Some(Tuned { threshold: middle(low, high), low, high, figure, met: true });
    }
    let precision = |cut: &CutPoint| cut.counts.precision(ZeroDivision::Undefined);
    let (low, high, _) = widest_plateau(cuts, precision)?;
    let threshold = middle(low, high);
    let counts = cuts.iter().rev().find(|cut| cut.score >= threshold)?.counts;
    Some(Tuned { threshold, low, high, figure: criterion.figure(&counts)?, met: false })
}

/// The widest run of cuts with the highest value: its thresholds (low excluded, high included) and the value.
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
        // Scores under 0 (no probabilities) have no end below: the plateau ends at the score itself.
        let low = cuts.get(i + 1).map_or(cut.score.min(0.0), |next| next.score);
        if widest.is_none_or(|(l, h)| high - low > h - l) {
            widest = Some((low, high));
        }
    }
    widest.map(|(low, high)| (low, high, best))
}

/// A threshold in (low, high].
fn middle(low: f64, high: f64) -> f64 {
    let t = low + (high - low) / 2.0;
    if t > low { t } else { high }
}
