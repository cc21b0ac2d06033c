//! Metrics of a multi-label classifier, from scores and labels, some of which may be unknown. Knows no network and no stage.
//!
//! Metrics of a class are over the rows whose label of that class is known; micro pools the known labels; subset accuracy is over fully
//! known rows. Undefined metrics are [`None`], never 0: a class without known positives is excluded from macro means, and each mean
//! carries its number of classes.

mod baselines;
mod bootstrap;
mod cooccurrence;
mod froc;
pub mod paired;
mod ranking;
mod reliability;
mod score_function;
mod single;
mod slices;
mod slopes;
mod strata;
mod thresholded;
mod within;

pub use baselines::{Baseline, Baselines, baselines};
pub(in crate::learn) use bootstrap::percentile;
pub use bootstrap::{
    DroppedReplicates, FEWEST_GROUPS, Interval, Intervals, REPLICATES, intervals, intervals_over_folds, positive_groups,
};
pub use cooccurrence::{CoOccurrence, co_occurrence};
pub use froc::{FALSE_ALARM_RATES, FrocData, FrocMetrics, FrocPeak, FrocPlace};
pub use ranking::{
    CutPoint, Ranking, average_precision, cut_points, mean_average_precision, ranking, ranking_as_stored,
};
pub use reliability::{BINS, ClassReliability, ReliabilityBin, reliability};
pub use score_function::{DecisionRule, ScoreFunction, highest, softmax};
pub use single::{SingleLabelMetrics, single_label};
pub use slices::{Estimate, SliceMetric, SliceMetrics, SliceRow, slice_metrics};
pub use strata::{RecallBand, RecallCounts, Stratum, area_bands, distance_bands, recall_by};
pub use thresholded::{ClassMetrics, ConfusionCounts, Mean, ThresholdMetrics, ZeroDivision, at};
pub use within::{WithinPhotograph, within_photograph};

use crate::data::patches::Label;

/// Scores and labels of patches: N rows of C classes each, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledScores {
    classes: usize,
    scores: Vec<f64>,
    labels: Vec<Label>,
    decision: DecisionRule,
}

impl LabelledScores {
    /// Scores (on any monotone scale, which thresholds share) and labels, both N x C row-major.
    ///
    /// # Panics
    /// If the two differ in length or are not whole rows: a defect of the caller.
    #[must_use]
    pub fn new(classes: usize, scores: Vec<f64>, labels: Vec<Label>) -> Self {
        assert_eq!(scores.len(), labels.len(), "one label per score");
        assert!(classes > 0 && scores.len().is_multiple_of(classes), "whole rows of {classes} classes");
        Self { classes, scores, labels, decision: DecisionRule::Threshold }
    }

    /// Scores of logits by an activation. With softmax, the highest score of a patch is its prediction.
    ///
    /// # Panics
    /// As [`LabelledScores::new`].
    #[must_use]
    pub fn from_logits(classes: usize, logits: &[f32], labels: Vec<Label>, activation: ScoreFunction) -> Self {
        Self::new(classes, activation.scores(logits, classes), labels).deciding_by(activation.decision())
    }

    /// The same scores and labels, with another decision.
    #[must_use]
    pub fn deciding_by(self, decision: DecisionRule) -> Self {
        Self { decision, ..self }
    }

    /// What predicts a class.
    #[must_use]
    pub const fn decision(&self) -> DecisionRule {
        self.decision
    }

    /// Number of classes C.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of rows N.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.scores.len() / self.classes
    }

    /// Scores and labels, row by row.
    pub fn iter(&self) -> impl Iterator<Item = (&[f64], &[Label])> {
        self.scores.chunks_exact(self.classes).zip(self.labels.chunks_exact(self.classes))
    }

    /// All scores, N x C row-major.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// All labels, N x C row-major.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Known rows of one class: score, and whether the class is present.
    pub fn known(&self, class: usize) -> impl Iterator<Item = (f64, bool)> {
        self.iter().filter_map(move |(scores, labels)| known(labels[class]).map(|present| (scores[class], present)))
    }

    /// Selected rows, in that order, with repetitions.
    #[must_use]
    pub fn take(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for row in rows {
            let range = row * self.classes..(row + 1) * self.classes;
            scores.extend_from_slice(&self.scores[range.clone()]);
            labels.extend_from_slice(&self.labels[range]);
        }
        Self { classes: self.classes, scores, labels, decision: self.decision }
    }
}

/// Whether a lesion is present; [`None`] if that is unknown.
#[must_use]
pub fn known(label: Label) -> Option<bool> {
    match label {
        Label::Absent => Some(false),
        Label::Present => Some(true),
        Label::Unknown => None,
    }
}

/// Sigmoid 1 / (1 + exp(-x)), stable for large |x| and the same on every machine (`libm`).
#[must_use]
pub fn sigmoid(logit: f32) -> f64 {
    let x = f64::from(logit);
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}
