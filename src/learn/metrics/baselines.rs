//! What trivial classifiers reach, to stand beside every figure.

use serde::{Deserialize, Serialize};

use super::figures::ratio;
use super::{Mean, Scored, known};
use crate::data::patches::Label;

/// What there is to beat on one class (or on all entries pooled).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Known entries.
    pub known: u64,
    /// Of those, present.
    pub positives: u64,
    /// Share present: the expected average precision of random scores.
    pub prevalence: Option<f64>,
    /// F1 of predicting it always: 2p / (1 + p). None without positives.
    pub always_yes_f1: Option<f64>,
}

impl Baseline {
    fn of(positives: u64, known: u64) -> Self {
        let prevalence = ratio(positives, known);
        let always_yes_f1 = prevalence.filter(|&p| p > 0.0).map(|p| 2.0 * p / (1.0 + p));
        Self { known, positives, prevalence, always_yes_f1 }
    }
}

/// What there is to beat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// For each class.
    pub classes: Vec<Baseline>,
    /// All known entries pooled: its always-yes F1 is the micro F1 of predicting everything.
    pub micro: Baseline,
    /// Mean of the classes' always-yes F1.
    pub macro_always_yes_f1: Mean,
    /// Mean of the classes' prevalence, over classes with positives: the mean average precision of random scores.
    pub macro_prevalence: Mean,
    /// Subset accuracy of predicting nothing: the share of healthy rows among those known in full.
    pub always_healthy_subset_accuracy: Option<f64>,
    /// Hamming loss of predicting nothing: the share of positives among known entries.
    pub always_healthy_hamming_loss: Option<f64>,
}

/// The baselines of a set of labels.
#[must_use]
pub fn baselines(scored: &Scored) -> Baselines {
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
