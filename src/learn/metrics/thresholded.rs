//! Metrics at thresholds: precision, recall, F1, Hamming loss, subset accuracy, confusion counts.

use serde::{Deserialize, Serialize};

use super::{LabelledScores, known};
use crate::data::patches::Label;

/// Value of precision, recall and F1 if their denominator is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZeroDivision {
    /// Undefined. Metrics of a class without known positives are also undefined and excluded from macro means.
    #[default]
    Undefined,
    /// 0, as scikit-learn's `zero_division=0`; all classes are in the macro means.
    Zero,
    /// 1, as scikit-learn's `zero_division=1`; all classes are in the macro means.
    One,
}

impl ZeroDivision {
    fn value(self) -> Option<f64> {
        match self {
            Self::Undefined => None,
            Self::Zero => Some(0.0),
            Self::One => Some(1.0),
        }
    }
}

/// Confusion counts of one class, or pooled over classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionCounts {
    /// Present and predicted.
    pub true_positives: u64,
    /// Absent and predicted.
    pub false_positives: u64,
    /// Present and not predicted.
    pub false_negatives: u64,
    /// Absent and not predicted.
    pub true_negatives: u64,
}

impl ConfusionCounts {
    /// Counts one known label.
    pub fn add(&mut self, present: bool, predicted: bool) {
        *match (present, predicted) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        } += 1;
    }

    /// Number of known labels.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.positives() + self.false_positives + self.true_negatives
    }

    /// Number of positive labels.
    #[must_use]
    pub fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Number of positive predictions.
    #[must_use]
    pub fn predicted(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// Positive predictions per positive label; below 0.2 or above 3 something is wrong.
    #[must_use]
    pub fn predicted_ratio(&self) -> Option<f64> {
        ratio(self.predicted(), self.positives())
    }

    /// Precision: fraction of positive predictions that are correct.
    #[must_use]
    pub fn precision(&self, zero: ZeroDivision) -> Option<f64> {
        ratio(self.true_positives, self.predicted()).or(zero.value())
    }

    /// Recall: fraction of positive labels that are predicted.
    #[must_use]
    pub fn recall(&self, zero: ZeroDivision) -> Option<f64> {
        ratio(self.true_positives, self.positives()).or(zero.value())
    }

    /// F1: 2 TP / (2 TP + FP + FN).
    #[must_use]
    pub fn f1(&self, zero: ZeroDivision) -> Option<f64> {
        self.f_beta(1.0, zero)
    }

    /// F-beta: (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN); van Rijsbergen 1979, scikit-learn's `fbeta_score`.
    #[must_use]
    pub fn f_beta(&self, beta: f64, zero: ZeroDivision) -> Option<f64> {
        let b2 = beta * beta;
        let gain = (1.0 + b2) * self.true_positives as f64;
        let whole = gain + self.false_positives as f64 + b2 * self.false_negatives as f64;
        if whole > 0.0 { Some(gain / whole) } else { zero.value() }
    }

    pub(super) fn pool(&mut self, other: &Self, times: u64) {
        self.true_positives += other.true_positives * times;
        self.false_positives += other.false_positives * times;
        self.false_negatives += other.false_negatives * times;
        self.true_negatives += other.true_negatives * times;
    }
}

/// Metrics of one class, or of all labels pooled, at a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Confusion counts.
    pub counts: ConfusionCounts,
    /// Precision.
    pub precision: Option<f64>,
    /// Recall.
    pub recall: Option<f64>,
    /// F1.
    pub f1: Option<f64>,
    /// Positive predictions per positive label.
    pub predicted_ratio: Option<f64>,
}

impl ClassMetrics {
    pub(super) fn of(counts: ConfusionCounts, zero: ZeroDivision) -> Self {
        let silent = counts.positives() == 0 && zero == ZeroDivision::Undefined;
        let unless_silent = |figure: Option<f64>| if silent { None } else { figure };
        Self {
            counts,
            precision: unless_silent(counts.precision(zero)),
            recall: unless_silent(counts.recall(zero)),
            f1: unless_silent(counts.f1(zero)),
            predicted_ratio: counts.predicted_ratio(),
        }
    }
}

/// Mean over the classes for which a metric is defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Mean; [`None`] if the metric is undefined for all classes.
    pub value: Option<f64>,
    /// Number of classes averaged.
    pub classes: usize,
    /// Number of classes.
    pub of: usize,
}

impl Mean {
    /// Mean of the values that are defined.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = Option<f64>>) -> Self {
        let (mut sum, mut classes, mut of) = (0.0, 0, 0);
        for figure in figures {
            of += 1;
            if let Some(figure) = figure {
                sum += figure;
                classes += 1;
            }
        }
        Self { value: (classes > 0).then(|| sum / classes as f64), classes, of }
    }
}

/// Metrics at one threshold per class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdMetrics {
    /// Thresholds: a score of at least this is positive.
    pub thresholds: Vec<f64>,
    /// Metrics of each class, over its known rows.
    pub classes: Vec<ClassMetrics>,
    /// Metrics of all known labels pooled.
    pub micro: ClassMetrics,
    /// Unweighted mean precision over classes.
    pub macro_precision: Mean,
    /// Unweighted mean recall over classes.
    pub macro_recall: Mean,
    /// Unweighted mean F1 over classes.
    pub macro_f1: Mean,
    /// Fraction of known labels that are predicted wrongly.
    pub hamming_loss: Option<f64>,
    /// Fraction of fully known rows with every label predicted correctly.
    pub subset_accuracy: Option<f64>,
    /// Rows.
    pub rows: u64,
    /// Fully known rows.
    pub full_rows: u64,
    /// Fraction of rows without a positive prediction.
    pub all_zero: Option<f64>,
}

/// Metrics at thresholds; a score of at least the threshold of its class is positive, unless the highest score of a row decides.
///
/// # Panics
/// If there is not one threshold per class: a defect of the caller.
#[must_use]
pub fn at(scored: &LabelledScores, thresholds: &[f64], zero: ZeroDivision) -> ThresholdMetrics {
    assert_eq!(thresholds.len(), scored.classes(), "one threshold per class");
    let mut counts = vec![ConfusionCounts::default(); scored.classes()];
    let (mut full, mut right, mut zeros) = (0, 0, 0);
    for (scores, labels) in scored.iter() {
        let (mut all_right, mut nothing) = (true, true);
        for (class, &label) in labels.iter().enumerate() {
            let predicted = scored.decision().predicts(scores, class, thresholds[class]);
            nothing &= !predicted;
            if let Some(present) = known(label) {
                counts[class].add(present, predicted);
                all_right &= present == predicted;
            }
        }
        zeros += u64::from(nothing);
        if !labels.contains(&Label::Unknown) {
            full += 1;
            right += u64::from(all_right);
        }
    }
    let mut pooled = ConfusionCounts::default();
    for class in &counts {
        pooled.pool(class, 1);
    }
    let classes: Vec<ClassMetrics> = counts.into_iter().map(|counts| ClassMetrics::of(counts, zero)).collect();
    ThresholdMetrics {
        thresholds: thresholds.to_vec(),
        macro_precision: Mean::of(classes.iter().map(|class| class.precision)),
        macro_recall: Mean::of(classes.iter().map(|class| class.recall)),
        macro_f1: Mean::of(classes.iter().map(|class| class.f1)),
        classes,
        micro: ClassMetrics::of(pooled, zero),
        hamming_loss: ratio(pooled.false_positives + pooled.false_negatives, pooled.known()),
        subset_accuracy: ratio(right, full),
        rows: scored.rows() as u64,
        full_rows: full,
        all_zero: ratio(zeros, scored.rows() as u64),
    }
}

pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
