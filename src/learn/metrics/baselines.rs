//! Metrics of trivial classifiers, as baselines for every metric.

use serde::{Deserialize, Serialize};

use super::thresholded::ratio;
use super::{LabelledScores, Mean, known};
use crate::data::patches::Label;

/// Baseline of one class, or of all labels pooled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Known labels.
    pub known: u64,
    /// Positive labels.
    pub positives: u64,
    /// Fraction of positives: the expected average precision of random scores.
    pub prevalence: Option<f64>,
    /// F1 of predicting every patch positive: 2p / (1 + p). [`None`] without positives.
    pub always_yes_f1: Option<f64>,
}

impl Baseline {
    fn of(positives: u64, known: u64) -> Self {
        let prevalence = ratio(positives, known);
        let always_yes_f1 = prevalence.filter(|&p| p > 0.0).map(|p| 2.0 * p / (1.0 + p));
        Self { known, positives, prevalence, always_yes_f1 }
    }
}

/// Baselines of a set of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Baseline of each class.
    pub classes: Vec<Baseline>,
    /// All known labels pooled: its F1 is the micro F1 of predicting everything positive.
    pub micro: Baseline,
    /// Mean over classes of the F1 of predicting every patch positive.
    pub macro_always_yes_f1: Mean,
    /// Mean prevalence over classes with positives: the mean average precision of random scores.
    pub macro_prevalence: Mean,
    /// Subset accuracy of predicting everything negative: the fraction of healthy rows among fully known rows.
    pub always_healthy_subset_accuracy: Option<f64>,
    /// Hamming loss of predicting everything negative: the fraction of positives among known labels.
    pub always_healthy_hamming_loss: Option<f64>,
}

/// Computes the baselines of a set of labels.
#[must_use]
pub fn baselines(scored: &LabelledScores) -> Baselines {
    let mut counts = vec![(0, 0); scored.classes()];
    let (mut full, mut healthy) = (0, 0);
    for (_, labels) in scored.iter() {
        for (&label, (positives, all)) in labels.iter().zip(&mut counts) {
            if let Some(present) = known(label) {
                *all += 1;
                *positives += u64::from(present);
            }
        }
        if !labels.contains(&Label::Unknown) {
            full += 1;
            healthy += u64::from(!labels.contains(&Label::Present));
        }
    }
    let classes: Vec<Baseline> = counts.iter().map(|&(positives, all)| Baseline::of(positives, all)).collect();
    let micro = Baseline::of(counts.iter().map(|c| c.0).sum(), counts.iter().map(|c| c.1).sum());
    Baselines {
        macro_always_yes_f1: Mean::of(classes.iter().map(|class| class.always_yes_f1)),
        macro_prevalence: Mean::of(classes.iter().map(|class| class.prevalence.filter(|&p| p > 0.0))),
        always_healthy_subset_accuracy: ratio(healthy, full),
        always_healthy_hamming_loss: micro.prevalence,
        classes,
        micro,
    }
}
