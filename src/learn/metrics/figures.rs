//! Figures at thresholds: precision, recall, F1, Hamming loss, subset accuracy, counts.

use serde::{Deserialize, Serialize};

use super::{Scored, known};
use crate::data::patches::Label;

/// What precision, recall and F1 are where their denominator is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZeroDivision {
    /// No value. So is every figure of a class without known positives, and it stays out of macro means.
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

/// A confusion matrix of one class, or pooled over classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Present and predicted.
    pub true_positives: u64,
    /// Absent and predicted.
    pub false_positives: u64,
    /// Present and not predicted.
    pub false_negatives: u64,
    /// Absent and not predicted.
    pub true_negatives: u64,
}

impl Counts {
    /// Counts one known entry.
    pub fn add(&mut self, present: bool, predicted: bool) {
        *match (present, predicted) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        } += 1;
    }

    /// Known entries.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.positives() + self.false_positives + self.true_negatives
    }

    /// Entries that are present.
    #[must_use]
    pub fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Entries that are predicted.
    #[must_use]
    pub fn predicted(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// Predicted over true positives; under .2 or over 3 something is wrong.
    #[must_use]
    pub fn predicted_ratio(&self) -> Option<f64> {
        ratio(self.predicted(), self.positives())
    }

    /// Share of predicted entries that are present.
    #[must_use]
    pub fn precision(&self, zero: ZeroDivision) -> Option<f64> {
        ratio(self.true_positives, self.predicted()).or(zero.value())
    }

    /// Share of present entries that are predicted.
    #[must_use]
    pub fn recall(&self, zero: ZeroDivision) -> Option<f64> {
        ratio(self.true_positives, self.positives()).or(zero.value())
    }

    /// 2 TP / (2 TP + FP + FN).
    #[must_use]
    pub fn f1(&self, zero: ZeroDivision) -> Option<f64> {
        self.f_beta(1.0, zero)
    }

    /// (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN); van Rijsbergen 1979, scikit-learn's `fbeta_score`.
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

/// The figures of one class (or of all entries pooled) at a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// The confusion matrix.
    pub counts: Counts,
    /// Precision.
    pub precision: Option<f64>,
    /// Recall.
    pub recall: Option<f64>,
    /// F1.
    pub f1: Option<f64>,
    /// Predicted over true positives.
    pub predicted_ratio: Option<f64>,
}

impl ClassFigures {
    pub(super) fn of(counts: Counts, zero: ZeroDivision) -> Self {
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

/// A mean over the classes for which a figure has a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean; none where no class has a value.
    pub value: Option<f64>,
    /// How many classes are in it.
    pub classes: usize,
    /// How many there are.
    pub of: usize,
}

impl Mean {
    /// The mean of what has a value.
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

/// All figures at one threshold per class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The thresholds: a score of at least this is positive.
    pub thresholds: Vec<f64>,
    /// For each class, over its known rows.
    pub classes: Vec<ClassFigures>,
    /// All known entries pooled.
    pub micro: ClassFigures,
    /// Unweighted mean of the classes' precision.
    pub macro_precision: Mean,
    /// Unweighted mean of the classes' recall.
    pub macro_recall: Mean,
    /// Unweighted mean of the classes' F1.
    pub macro_f1: Mean,
    /// Share of known entries that are predicted wrongly.
    pub hamming_loss: Option<f64>,
    /// Share of rows known in full whose classes are all predicted rightly.
    pub subset_accuracy: Option<f64>,
    /// Rows.
    pub rows: u64,
    /// Rows known in full.
    pub full_rows: u64,
    /// Share of rows for which nothing is predicted.
    pub all_zero: Option<f64>,
}

/// Figures where a score of at least its class's threshold is positive.
///
/// # Panics
/// Where there is not one threshold per class: a defect of the caller.
#[must_use]
pub fn at(scored: &Scored, thresholds: &[f64], zero: ZeroDivision) -> Figures {
    assert_eq!(thresholds.len(), scored.classes(), "one threshold per class");
    let mut counts = vec![Counts::default(); scored.classes()];
    let (mut full, mut right, mut zeros) = (0, 0, 0);
    for (scores, labels) in scored.iter() {
        let (mut all_right, mut nothing) = (true, true);
        for (class, (&score, &label)) in scores.iter().zip(labels).enumerate() {
            let predicted = score >= thresholds[class];
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
    let mut pooled = Counts::default();
    for class in &counts {
        pooled.pool(class, 1);
    }
    let classes: Vec<ClassFigures> = counts.into_iter().map(|counts| ClassFigures::of(counts, zero)).collect();
    Figures {
        thresholds: thresholds.to_vec(),
        macro_precision: Mean::of(classes.iter().map(|class| class.precision)),
        macro_recall: Mean::of(classes.iter().map(|class| class.recall)),
        macro_f1: Mean::of(classes.iter().map(|class| class.f1)),
        classes,
        micro: ClassFigures::of(pooled, zero),
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
