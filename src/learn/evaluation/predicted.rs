//! Counts of predictions per class and per photograph, next to the prevalence if labels are known. Computes no metrics.

use super::ScoredSet;
use crate::data::table::{Column, Columns};
use crate::learn::metrics::known;

/// Predictions of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassPredictions {
    /// Patches.
    pub patches: u64,
    /// Sum of their scores.
    pub sum: f64,
    /// Maximum score.
    pub highest: f64,
    /// Patches whose score is at least the threshold, or the highest if a patch has exactly one class.
    pub over: u64,
    /// Patches whose label is known.
    pub known: u64,
    /// Patches known to have the lesion.
    pub positives: u64,
}

impl ClassPredictions {
    /// Mean score; [`None`] without patches.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.patches > 0).then(|| self.sum / self.patches as f64)
    }

    /// Fraction of patches predicted positive; [`None`] without patches.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        (self.patches > 0).then(|| self.over as f64 / self.patches as f64)
    }

    /// Fraction of known labels that are present; [`None`] if none is known.
    #[must_use]
    pub fn prevalence(&self) -> Option<f64> {
        (self.known > 0).then(|| self.positives as f64 / self.known as f64)
    }

    fn add(&mut self, score: f64, is_over: bool, label: Option<bool>) {
        self.patches += 1;
        self.sum += score;
        self.highest = self.highest.max(score);
        self.over += u64::from(is_over);
        self.known += u64::from(label.is_some());
        self.positives += u64::from(label == Some(true));
    }
}

/// Predictions of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct PhotographPredictions {
    /// Name of the photograph.
    pub photograph: String,
    /// Patient, if known.
    pub patient: Option<String>,
    /// Predictions per class, over the patches of the photograph.
    pub classes: Vec<ClassPredictions>,
}

/// Predictions of each class at its threshold, over all patches.
#[must_use]
pub fn of_classes(judged: &ScoredSet<'_>, thresholds: &[f64]) -> Vec<ClassPredictions> {
    let mut classes = vec![ClassPredictions::default(); thresholds.len()];
    for (scores, labels) in judged.scored.iter() {
        for (class, found) in classes.iter_mut().enumerate() {
            let over = judged.scored.decision().predicts(scores, class, thresholds[class]);
            found.add(scores[class], over, known(labels[class]));
        }
    }
    classes
}

/// Predictions of each photograph that has patches, in the order of the set.
#[must_use]
pub fn of_photographs(judged: &ScoredSet<'_>, thresholds: &[f64]) -> Vec<PhotographPredictions> {
    let mut rows = judged.scored.iter();
    let parts = judged.set.parts.iter().filter(|part| !part.rows.is_empty());
    let of_part = |part: &crate::data::patches::Part| {
        let mut classes = vec![ClassPredictions::default(); thresholds.len()];
        for (scores, labels) in rows.by_ref().take(part.rows.len()) {
            for (class, found) in classes.iter_mut().enumerate() {
                let over = judged.scored.decision().predicts(scores, class, thresholds[class]);
                found.add(scores[class], over, known(labels[class]));
            }
        }
        PhotographPredictions { photograph: part.photograph.clone(), patient: part.patient.clone(), classes }
    };
    parts.map(of_part).collect()
}

/// Table with one row per photograph: `photograph`, `patient`, `patches`, then for each class `mean.K` and `highest.K` (scores),
/// `share.K` (fraction of patches at or above the threshold) and `prevalence.K` (null if no label is known).
#[must_use]
pub fn photographs(found: &[PhotographPredictions], classes: &[String]) -> Columns {
    let patches = |one: &PhotographPredictions| one.classes.first().map(|class| class.patches as u32);
    let mut table = Columns::default();
    table.push("photograph", Column::Text(found.iter().map(|one| Some(one.photograph.clone())).collect()));
    table.push("patient", Column::Text(found.iter().map(|one| one.patient.clone()).collect()));
    table.push("patches", Column::Count(found.iter().map(patches).collect()));
    for (class, name) in classes.iter().enumerate() {
        let real = |figure: fn(&ClassPredictions) -> Option<f64>| {
            Column::Real(found.iter().map(|one| figure(&one.classes[class])).collect())
        };
        table.push(format!("mean.{name}"), real(ClassPredictions::mean));
        table.push(format!("highest.{name}"), real(|class| (class.patches > 0).then_some(class.highest)));
        table.push(format!("share.{name}"), real(ClassPredictions::fraction));
        table.push(format!("prevalence.{name}"), real(ClassPredictions::prevalence));
    }
    table
}
