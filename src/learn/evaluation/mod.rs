//! Evaluation of predictions on a patch set: metrics, curves, and a table of all predictions. Knows photograph, patient and lesion area
//! of each patch, but neither the network nor the store.

mod examples;
mod predicted;
mod slices;
mod suspects;
mod tables;
mod whole;

pub use examples::{ExampleKind, ExamplePatch, PER_KIND, examples};
pub use predicted::{ClassPredictions, PhotographPredictions, of_classes, of_photographs, photographs};
pub use slices::{ClassSlices, SliceCuts, SliceValues, SlicedSet, Slices, StratumSlice};
pub use suspects::{PicturedSuspect, Suspect, SuspectKind, Suspects, suspect_table, suspects};
pub use tables::{curves, predictions, reliability_bins};
pub use whole::{
    PatchesToScore, ScoredWhole, WholeClass, WholeRule, WholeScores, WholeUnit, scored_wholes, whole_scores,
    whole_table,
};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::metrics::{
    Baselines, ClassReliability, CoOccurrence, DecisionRule, Intervals, LabelledScores, Mean, Ranking, ScoreFunction,
    SingleLabelMetrics, Stratum, ThresholdMetrics, WithinPhotograph, ZeroDivision, area_bands, at, baselines,
    co_occurrence, distance_bands, intervals, mean_average_precision, positive_groups, ranking, recall_by, reliability,
    single_label, within_photograph,
};
use crate::base::Streams;
use crate::data::patches::{Label, Part, PatchRow, PatchSet};
use crate::data::photographs::LabelScheme;

/// Default threshold, if none was tuned.
pub const HALF: f64 = 0.5;

/// Patch set with a score for each patch and class.
pub struct ScoredSet<'a> {
    /// The patches.
    pub set: &'a PatchSet,
    /// Scores and labels, one row per row of the set, in its order.
    pub scored: LabelledScores,
}

impl<'a> ScoredSet<'a> {
    /// Patch set with the logits of a multi-label model (N x C, in the order of the set).
    ///
    /// # Panics
    /// If the logits are not N x C: a defect of the caller.
    #[must_use]
    pub fn new(set: &'a PatchSet, logits: &[f32]) -> Self {
        Self::of_scores(set, ScoreFunction::Sigmoid.scores(logits, set.info.classes.len()))
    }

    /// Patch set with probabilities computed elsewhere (N x C, in the order of the set). If a patch has exactly one class, that with the
    /// highest score is predicted.
    ///
    /// # Panics
    /// If the scores are not N x C: a defect of the caller.
    #[must_use]
    pub fn of_scores(set: &'a PatchSet, scores: Vec<f64>) -> Self {
        let decision = if set.info.labels.is_multi_label() { DecisionRule::Threshold } else { DecisionRule::Highest };
        let scored = LabelledScores::new(set.info.classes.len(), scores, labels(set));
        Self { set, scored: scored.deciding_by(decision) }
    }

    /// Patches with their photographs, in the order of the scores.
    pub fn rows(&self) -> impl Iterator<Item = (&'a Part, &'a PatchRow)> {
        rows(self.set)
    }

    /// Number of photographs with a known positive, per class.
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

    /// Photograph of each row, numbered from 0.
    #[must_use]
    pub fn photographs(&self) -> Vec<u32> {
        let parts = self.set.parts.iter().zip(0..);
        parts.flat_map(|(part, number)| std::iter::repeat_n(number, part.rows.len())).collect()
    }

    /// Average precision of each class within photographs.
    #[must_use]
    pub fn within_photograph(&self) -> Vec<WithinPhotograph> {
        within_photograph(&self.scored, &self.photographs())
    }

    /// Reliability of the scores of each class.
    #[must_use]
    pub fn reliability(&self, streams: &Streams) -> Vec<Option<ClassReliability>> {
        reliability(&self.scored, &self.groups(), streams)
    }

    /// Group of each row, numbered from 0: its patient, or its photograph if the patient is unknown.
    #[must_use]
    pub fn groups(&self) -> Vec<u32> {
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

/// Size and composition of the evaluated data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedData {
    /// Patches.
    pub patches: u64,
    /// Photographs with at least one patch.
    pub photographs: u64,
    /// Patients, if that of every photograph is known.
    pub patients: Option<u64>,
    /// Healthy patches: all classes known and absent.
    pub healthy: u64,
    /// Number of photographs with a known positive, per class.
    pub positive_photographs: Vec<u64>,
    /// Number of groups, which a bootstrap draws: patients, and photographs of unknown patients.
    #[serde(default)]
    pub groups: u64,
    /// Number of groups with a known positive, per class.
    #[serde(default)]
    pub positive_groups: Vec<u64>,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of one pixel in native pixels of the release.
    pub scale: u32,
}

impl EvaluatedData {
    /// Noun for its groups: `patients`, if all are known.
    #[must_use]
    pub fn group_noun(&self) -> &'static str {
        match self.patients {
            Some(_) => "patients",
            None if self.groups == self.photographs => "photographs",
            None => "patients or photographs",
        }
    }
}

/// Results at one set of thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Precision, recall, F1 and the rest.
    pub figures: ThresholdMetrics,
    /// Co-occurrence of classes.
    pub co_occurrence: CoOccurrence,
    /// Recall by lesion area in the patch, native pixels.
    pub recall_by_area: Vec<Stratum>,
    /// Recall by distance from the patch's centre to the nearest lesion pixel, px.
    pub recall_by_distance: Vec<Stratum>,
}

/// `scores.json`: all metrics of an evaluation, next to those of trivial classifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Lesion classes in the order of all lists below.
    pub classes: Vec<String>,
    /// Evaluated data.
    pub data: EvaluatedData,
    /// Value of precision, recall and F1 if their denominator is 0.
    pub zero_division: ZeroDivision,
    /// Average precision and AUROC per class.
    pub ranking: Vec<Ranking>,
    /// The mean of the classes' average precision.
    pub mean_average_precision: Mean,
    /// The mean of the classes' AUROC.
    pub mean_auroc: Mean,
    /// What trivial classifiers reach.
    pub baselines: Baselines,
    /// Results at thresholds of 0.5.
    pub at_half: OperatingPoint,
    /// Results at the tuned thresholds, if there are any.
    pub at_tuned: Option<OperatingPoint>,
    /// 95% bootstrap intervals over patients or photographs; the first set of thresholds is 0.5, the second the tuned ones. [`None`] if
    /// there are fewer than ten groups.
    pub intervals: Option<Intervals>,
    /// Average precision of each class within photographs, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_photograph: Option<Vec<WithinPhotograph>>,
    /// Reliability of the scores of each class, if asked for; null for a class without known labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Vec<Option<ClassReliability>>>,
    /// Evaluation of whole photographs or patients, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholeScores>,
    /// Metrics of the choice of one class, if a patch has exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<SingleLabelMetrics>,
    /// Whether it is a diagnosis: its patches may be those that the model was trained on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diagnosis: bool,
}

impl Scores {
    /// Results at the tuned thresholds, or at 0.5 if there are none.
    #[must_use]
    pub fn operating(&self) -> &OperatingPoint {
        self.at_tuned.as_ref().unwrap_or(&self.at_half)
    }

    /// Mean over classes of the average precision within photographs; [`None`] if it was not asked for.
    #[must_use]
    pub fn mean_within_photograph(&self) -> Option<Mean> {
        let classes = self.within_photograph.as_ref()?;
        Some(Mean::of(classes.iter().map(|class| class.average_precision)))
    }

    /// Index of [`Scores::operating`] in the lists of [`Intervals`].
    #[must_use]
    pub fn operating_index(&self) -> usize {
        usize::from(self.at_tuned.is_some())
    }
}

/// Evaluates predictions at 0.5 and, if given, at tuned thresholds.
#[must_use]
pub fn evaluate(judged: &ScoredSet<'_>, tuned: Option<&[f64]>, zero: ZeroDivision, streams: &Streams) -> Scores {
    let ScoredSet { set, scored } = judged;
    let half = vec![HALF; scored.classes()];
    let thresholds: Vec<Vec<f64>> = [Some(half.as_slice()), tuned].into_iter().flatten().map(<[f64]>::to_vec).collect();
    let operating = |thresholds: &[f64]| operating(judged, thresholds, zero);
    let rankings = ranking(scored);
    let groups = judged.groups();
    let photographs: Vec<&Part> = set.parts.iter().filter(|part| !part.rows.is_empty()).collect();
    let patients: Option<BTreeSet<&String>> = photographs.iter().map(|part| part.patient.as_ref()).collect();
    Scores {
        classes: set.info.classes.clone(),
        data: EvaluatedData {
            patches: scored.rows() as u64,
            photographs: photographs.len() as u64,
            patients: patients.map(|patients| patients.len() as u64),
            healthy: scored.iter().filter(|(_, labels)| labels.iter().all(|&label| label == Label::Absent)).count()
                as u64,
            positive_photographs: judged.positive_photographs(),
            groups: groups.iter().max().map_or(0, |&last| u64::from(last) + 1),
            positive_groups: positive_groups(scored, &groups),
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
        intervals: intervals(scored, &groups, &thresholds, zero, streams),
        within_photograph: None,
        calibration: None,
        whole: None,
        single: (!set.info.labels.is_multi_label())
            .then(|| single_label(scored, &groups, set.info.labels == LabelScheme::Grades, streams)),
        diagnosis: false,
    }
}

fn operating(judged: &ScoredSet<'_>, thresholds: &[f64], zero: ZeroDivision) -> OperatingPoint {
    let scored = &judged.scored;
    let facts: Vec<&PatchRow> = judged.rows().map(|(_, row)| row).collect();
    let area = |row: usize, class: usize| facts[row].mask_pixels.get(class).map(|&pixels| f64::from(pixels));
    let distance = |row: usize, class: usize| {
        facts[row].mask_distance.get(class).map(|&px| f64::from(px)).filter(|px| !px.is_nan())
    };
    OperatingPoint {
        figures: at(scored, thresholds, zero),
        co_occurrence: co_occurrence(scored, thresholds),
        recall_by_area: recall_by(scored, thresholds, area_bands(), area),
        recall_by_distance: recall_by(scored, thresholds, distance_bands(judged.set.info.size), distance),
    }
}
