//! A classifier's predictions on a patch set, judged: all figures, the curves, every prediction as a table. Knows the patches'
//! facts (photograph, patient, lesion area), but neither the network nor the store.

mod examples;
mod predicted;
mod tables;

pub use examples::{Example, ExampleKind, PER_KIND, examples};
pub use predicted::{OfPhotograph, Predicted, of_classes, of_photographs, photographs};
pub use tables::{curves, predictions};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::metrics::{
    Baselines, CoOccurrence, Figures, Intervals, Mean, Ranking, Scored, Stratum, ZeroDivision, area_bands, at,
    baselines, co_occurrence, distance_bands, intervals, mean_average_precision, ranking, recall_by,
};
use crate::base::Streams;
use crate::data::patches::{Label, Part, PatchRow, PatchSet};

/// The threshold where none was tuned.
pub const HALF: f64 = 0.5;

/// Patches with their scores.
pub struct Judged<'a> {
    /// The patches.
    pub set: &'a PatchSet,
    /// Their scores, a row for each row of the set in its order.
    pub scored: Scored,
}

impl<'a> Judged<'a> {
    /// Patches of a set with the logits that a model gave them (N x C, in the set's order).
    ///
    /// # Panics
    /// Where the logits are not N x C: a defect of the caller.
    #[must_use]
    pub fn new(set: &'a PatchSet, logits: &[f32]) -> Self {
        Self { set, scored: Scored::from_logits(set.info.classes.len(), logits, labels(set)) }
    }

    /// Patches of a set with probabilities that were made elsewhere (N x C, in the set's order).
    ///
    /// # Panics
    /// Where the scores are not N x C: a defect of the caller.
    #[must_use]
    pub fn of_scores(set: &'a PatchSet, scores: Vec<f64>) -> Self {
        Self { set, scored: Scored::new(set.info.classes.len(), scores, labels(set)) }
    }

    /// Every patch with its photograph, in the order of the scores.
    pub fn rows(&self) -> impl Iterator<Item = (&'a Part, &'a PatchRow)> {
        rows(self.set)
    }

    /// For each class the number of photographs with a known positive.
    #[must_use]
    pub fn positive_photographs(&self) -> Vec<u64> {
        let mut counts = vec![0; self.set.info.classes.len()];
        for part in &self.set.parts {
            for (class, count) in counts.iter_mut().enumerate() {
                *count += u64::from(part.rows.iter().any(|row| row.labels[class] == Label::Present));
            }
        }
        counts
    }

    /// Each row's group, numbered from 0: its patient, or its photograph where the patient is unknown.
    fn groups(&self) -> Vec<u32> {
        let mut numbers = BTreeMap::new();
        self.rows()
            .map(|(part, _)| {
                let key = part.patient.as_ref().map_or((1, &part.photograph), |patient| (0, patient));
                let next = numbers.len() as u32;
                *numbers.entry(key).or_insert(next)
            })
            .collect()
    }
}

fn labels(set: &PatchSet) -> Vec<Label> {
    rows(set).flat_map(|(_, row)| row.labels.iter().copied()).collect()
}

fn rows(set: &PatchSet) -> impl Iterator<Item = (&Part, &PatchRow)> {
    set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row)))
}

/// What the data of an evaluation holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Patches.
    pub patches: u64,
    /// Photographs with at least one patch.
    pub photographs: u64,
    /// Their patients, where every photograph's is known.
    pub patients: Option<u64>,
    /// Healthy patches: all classes known and absent.
    pub healthy: u64,
    /// For each class the number of photographs with a known positive.
    pub positive_photographs: Vec<u64>,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of one pixel in native pixels of the release.
    pub scale: u32,
}

/// All that holds at one set of thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operating {
    /// Precision, recall, F1 and the rest.
    pub figures: Figures,
    /// Which classes stand together.
    pub co_occurrence: CoOccurrence,
    /// Recall by lesion area in the patch, native pixels.
    pub recall_by_area: Vec<Stratum>,
    /// Recall by distance from the patch's centre to the nearest lesion pixel, px.
    pub recall_by_distance: Vec<Stratum>,
}

/// `scores.json`: every figure of an evaluation, with what trivial classifiers reach beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Lesion classes in the order of all lists below.
    pub classes: Vec<String>,
    /// What was evaluated on.
    pub data: Evaluated,
    /// What precision, recall and F1 are where their denominator is 0.
    pub zero_division: ZeroDivision,
    /// Average precision and AUROC per class.
    pub ranking: Vec<Ranking>,
    /// The mean of the classes' average precision.
    pub mean_average_precision: Mean,
    /// The mean of the classes' AUROC.
    pub mean_auroc: Mean,
    /// What trivial classifiers reach.
    pub baselines: Baselines,
    /// At 0.5.
    pub at_half: Operating,
    /// At the tuned thresholds, where there are any.
    pub at_tuned: Option<Operating>,
    /// 95 % intervals of a bootstrap over patients or photographs; the first set of thresholds is 0.5, the second the tuned ones.
    /// None where there are fewer than five.
    pub intervals: Option<Intervals>,
}

impl Scores {
    /// At the tuned thresholds, or at 0.5 where there are none.
    #[must_use]
    pub fn operating(&self) -> &Operating {
        self.at_tuned.as_ref().unwrap_or(&self.at_half)
    }

    /// Where [`Scores::operating`] stands in the lists of [`Intervals`].
    #[must_use]
    pub fn operating_index(&self) -> usize {
        usize::from(self.at_tuned.is_some())
    }
}

/// Judges predictions at 0.5 and, where given, at tuned thresholds.
#[must_use]
pub fn evaluate(judged: &Judged<'_>, tuned: Option<&[f64]>, zero: ZeroDivision, streams: &Streams) -> Scores {
    let Judged { set, scored } = judged;
    let half = vec![HALF; scored.classes()];
    let thresholds: Vec<Vec<f64>> = [Some(half.as_slice()), tuned].into_iter().flatten().map(<[f64]>::to_vec).collect();
    let operating = |thresholds: &[f64]| operating(judged, thresholds, zero);
    let rankings = ranking(scored);
    let photographs: Vec<&Part> = set.parts.iter().filter(|part| !part.rows.is_empty()).collect();
    let patients: Option<BTreeSet<&String>> = photographs.iter().map(|part| part.patient.as_ref()).collect();
    Scores {
        classes: set.info.classes.clone(),
        data: Evaluated {
            patches: scored.rows() as u64,
            photographs: photographs.len() as u64,
            patients: patients.map(|patients| patients.len() as u64),
            healthy: scored.iter().filter(|(_, labels)| labels.iter().all(|&label| label == Label::Absent)).count()
                as u64,
            positive_photographs: judged.positive_photographs(),
            size: set.info.size,
            scale: set.info.scale,
        },
        zero_division: zero,
        mean_average_precision: mean_average_precision(&rankings),
        mean_auroc: Mean::of(rankings.iter().map(|class| class.auroc)),
        ranking: rankings,
        baselines: baselines(scored),
        at_half: operating(&half),
        at_tuned: tuned.map(operating),
        intervals: intervals(scored, &judged.groups(), &thresholds, zero, streams),
    }
}

fn operating(judged: &Judged<'_>, thresholds: &[f64], zero: ZeroDivision) -> Operating {
    let scored = &judged.scored;
    let facts: Vec<&PatchRow> = judged.rows().map(|(_, row)| row).collect();
    let area = |row: usize, class: usize| facts[row].mask_pixels.get(class).map(|&pixels| f64::from(pixels));
    let distance = |row: usize, class: usize| {
        facts[row].mask_distance.get(class).map(|&px| f64::from(px)).filter(|px| !px.is_nan())
    };
    Operating {
        figures: at(scored, thresholds, zero),
        co_occurrence: co_occurrence(scored, thresholds),
        recall_by_area: recall_by(scored, thresholds, area_bands(), area),
        recall_by_distance: recall_by(scored, thresholds, distance_bands(judged.set.info.size), distance),
    }
}
