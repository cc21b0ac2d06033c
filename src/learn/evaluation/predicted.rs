//! Predictions, counted per class and per photograph. Nothing is judged: prevalence stands beside them where labels are known.

use super::Judged;
use crate::data::table::{Column, Columns};
use crate::learn::metrics::known;

/// What is predicted of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predicted {
    /// Patches.
    pub patches: u64,
    /// The sum of their scores.
    pub sum: f64,
    /// The highest of them.
    pub highest: f64,
    /// Patches whose score is at least the threshold.
    pub over: u64,
    /// Patches whose label is known.
    pub known: u64,
    /// Of those, with the lesion.
    pub positives: u64,
}

impl Predicted {
    /// The mean score; [`None`] without patches.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.patches > 0).then(|| self.sum / self.patches as f64)
    }

    /// The share of patches that are predicted to have it; [`None`] without patches.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.patches > 0).then(|| self.over as f64 / self.patches as f64)
    }

    /// The share of known labels that are present; [`None`] where none is known.
    #[must_use]
    pub fn prevalence(&self) -> Option<f64> {
        (self.known > 0).then(|| self.positives as f64 / self.known as f64)
    }

    fn add(&mut self, score: f64, threshold: f64, label: Option<bool>) {
        self.patches += 1;
        self.sum += score;
        self.highest = self.highest.max(score);
        self.over += u64::from(score >= threshold);
        self.known += u64::from(label.is_some());
        self.positives += u64::from(label == Some(true));
    }
}

/// What is predicted of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct OfPhotograph {
    /// Its name.
    pub photograph: String,
    /// Its patient, where known.
    pub patient: Option<String>,
    /// For each class, over its patches.
    pub classes: Vec<Predicted>,
}

/// For each class what is predicted at its threshold, over all patches.
#[must_use]
pub fn of_classes(judged: &Judged<'_>, thresholds: &[f64]) -> Vec<Predicted> {
    let mut classes = vec![Predicted::default(); thresholds.len()];
    for (scores, labels) in judged.scored.iter() {
        for (class, found) in classes.iter_mut().enumerate() {
            found.add(scores[class], thresholds[class], known(labels[class]));
        }
    }
    classes
}

/// The same for each photograph that has patches, in the set's order.
#[must_use]
pub fn of_photographs(judged: &Judged<'_>, thresholds: &[f64]) -> Vec<OfPhotograph> {
    let mut rows = judged.scored.iter();
    let parts = judged.set.parts.iter().filter(|part| !part.rows.is_empty());
    let of_part = |part: &crate::data::patches::Part| {
        let mut classes = vec![Predicted::default(); thresholds.len()];
        for (scores, labels) in rows.by_ref().take(part.rows.len()) {
            for (class, found) in classes.iter_mut().enumerate() {
                found.add(scores[class], thresholds[class], known(labels[class]));
            }
        }
        OfPhotograph { photograph: part.photograph.clone(), patient: part.patient.clone(), classes }
    };
    parts.map(of_part).collect()
}

/// A row for each photograph: `photograph`, `patient`, `patches`, then for each class `mean.K` and `highest.K` (scores), `share.K` (of patches
/// at or over the threshold) and `prevalence.K` (null where no label is known).
#[must_use]
pub fn photographs(found: &[OfPhotograph], classes: &[String]) -> Columns {
    let patches = |one: &OfPhotograph| one.classes.first().map(|class| class.patches as u32);
    let mut table = Columns::default();
    table.push("photograph", Column::Text(found.iter().map(|one| Some(one.photograph.clone())).collect()));
    table.push("patient", Column::Text(found.iter().map(|one| one.patient.clone()).collect()));
    table.push("patches", Column::Count(found.iter().map(patches).collect()));
    for (class, name) in classes.iter().enumerate() {
        let real = |figure: fn(&Predicted) -> Option<f64>| {
            Column::Real(found.iter().map(|one| figure(&one.classes[class])).collect())
        };
        table.push(format!("mean.{name}"), real(Predicted::mean));
        table.push(format!("highest.{name}"), real(|class| (class.patches > 0).then_some(class.highest)));
        table.push(format!("share.{name}"), real(Predicted::share));
        table.push(format!("prevalence.{name}"), real(Predicted::prevalence));
    }
    table
}
