//! Metrics of a multi-label classifier, from scores and labels of which some may be unknown. Knows no network and no stage.
//!
//! Everything per class is over the rows whose label of that class is known; micro pools the known entries; subset accuracy is
//! over rows known in full. What has no value is [`None`], never 0: a class without known positives stays out of macro means,
//! and each mean says of how many classes it is.

mod baselines;
mod bootstrap;
mod cooccurrence;
mod figures;
mod ranking;
mod strata;

pub use baselines::{Baseline, Baselines, baselines};
pub use bootstrap::{Dropped, FEWEST_GROUPS, Interval, Intervals, REPLICATES, intervals};
pub use cooccurrence::{CoOccurrence, co_occurrence};
pub use figures::{ClassFigures, Counts, Figures, Mean, ZeroDivision, at};
pub use ranking::{
    CutPoint, Ranking, average_precision, cut_points, mean_average_precision, ranking, ranking_as_stored,
};
pub use strata::{Band, Found, Stratum, area_bands, distance_bands, recall_by};

use crate::data::patches::Label;

/// Scores of patches and what is known of them: N rows of C classes each, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    classes: usize,
    scores: Vec<f64>,
    labels: Vec<Label>,
}

impl Scored {
    /// Scores (any monotone measure; thresholds mean the same one) with their labels, both N x C row-major.
    ///
    /// # Panics
    /// Where the two differ in length or are not whole rows: a defect of the caller.
    #[must_use]
    pub fn new(classes: usize, scores: Vec<f64>, labels: Vec<Label>) -> Self {
        assert_eq!(scores.len(), labels.len(), "one label per score");
        assert!(classes > 0 && scores.len().is_multiple_of(classes), "whole rows of {classes} classes");
        Self { classes, scores, labels }
    }

    /// Probabilities from logits: the sigmoid, computed in f64 by [`sigmoid`].
    ///
    /// # Panics
    /// As [`Scored::new`].
    #[must_use]
    pub fn from_logits(classes: usize, logits: &[f32], labels: Vec<Label>) -> Self {
        Self::new(classes, logits.iter().map(|&logit| sigmoid(logit)).collect(), labels)
    }

    /// C.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// N.
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

    /// The known rows of one class: score, and whether it is present.
    pub fn known(&self, class: usize) -> impl Iterator<Item = (f64, bool)> {
        self.iter().filter_map(move |(scores, labels)| known(labels[class]).map(|present| (scores[class], present)))
    }

    /// The rows named, in that order; a row may be named more than once.
    #[must_use]
    pub fn take(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for row in rows {
            let range = row * self.classes..(row + 1) * self.classes;
            scores.extend_from_slice(&self.scores[range.clone()]);
            labels.extend_from_slice(&self.labels[range]);
        }
        Self { classes: self.classes, scores, labels }
    }
}

/// Whether a lesion is present, where that is known.
#[must_use]
pub fn known(label: Label) -> Option<bool> {
    match label {
        Label::Absent => Some(false),
        Label::Present => Some(true),
        Label::Unknown => None,
    }
}

/// 1 / (1 + exp(-x)), stable for large |x| and the same on every machine (`libm`).
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
