//! Scores of whole photographs or patients from those of their patches, and how they rank. Knows no threshold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ScoredSet;
use crate::base::Streams;
use crate::data::patches::Label;
use crate::data::table::{Column, Columns};
use crate::learn::metrics::{Estimate, FEWEST_GROUPS, Mean, SliceRow, known, slice_metrics};

/// How scores of patches become one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchesToScore {
    /// The highest.
    Maximum,
    /// The mean of the `k` highest; of all, if there are fewer.
    TopMean {
        /// How many.
        k: usize,
    },
}

/// What is scored as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WholeUnit {
    /// Photographs.
    Photograph,
    /// Patients; each photograph of an unknown patient counts as one.
    Patient,
}

/// Rule by which photographs or patients are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeRule {
    /// How scores of patches become one score.
    pub score: PatchesToScore,
    /// What is scored.
    pub unit: WholeUnit,
}

/// Photograph or patient with a score and a label for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredWhole {
    /// Name of the photograph; of a patient's first one.
    pub photograph: String,
    /// Patient, if known.
    pub patient: Option<String>,
    /// Patches.
    pub patches: u64,
    /// Group of the intervals, numbered from 0.
    pub group: u32,
    /// Fold, numbered from 0.
    pub fold: u32,
    /// Score of each class.
    pub scores: Vec<f64>,
    /// Label of each class: present if a patch has it, absent if all patches are known not to, or else unknown.
    pub labels: Vec<Label>,
}

/// Ranking of photographs or patients by one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WholeClass {
    /// Those with the class.
    pub positives: u64,
    /// Those without it.
    pub negatives: u64,
    /// Those of which it is unknown whether they have it; they are left out.
    pub unknown: u64,
    /// Average precision; in folds, the mean over those with both.
    pub average_precision: Estimate,
    /// Area under the ROC curve; in folds, the mean over those with both.
    pub auroc: Estimate,
}

impl WholeClass {
    /// Fraction of known labels that are present: the average precision of random scores.
    #[must_use]
    pub fn prevalence(&self) -> Option<f64> {
        let known = self.positives + self.negatives;
        (known > 0).then(|| self.positives as f64 / known as f64)
    }
}

/// Evaluation of whole photographs or patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WholeScores {
    /// Rule.
    pub rule: WholeRule,
    /// Number of photographs or patients.
    pub wholes: u64,
    /// Ranking by each class.
    pub classes: Vec<WholeClass>,
    /// The mean of the classes' average precision.
    pub mean_average_precision: Mean,
    /// The mean of the classes' AUROC.
    pub mean_auroc: Mean,
}

impl WholeRule {
    /// `photographs` or `patients`.
    #[must_use]
    pub const fn noun(&self) -> &'static str {
        match self.unit {
            WholeUnit::Photograph => "photographs",
            WholeUnit::Patient => "patients",
        }
    }

    /// `the maximum over patches`, `the mean of the 5 highest patches`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.score {
            PatchesToScore::Maximum => "the maximum over patches".to_owned(),
            PatchesToScore::TopMean { k } => format!("the mean of the {k} highest patches"),
        }
    }
}

impl PatchesToScore {
    fn of(self, mut scores: Vec<f64>) -> f64 {
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let k = match self {
            Self::Maximum => 1,
            Self::TopMean { k } => k.clamp(1, scores.len().max(1)),
        };
        scores.iter().take(k).sum::<f64>() / k as f64
    }
}

/// Photographs or patients in the order of the set, with their scores. `fold` is the fold of each patch; all patches of a patient are in
/// one.
#[must_use]
pub fn scored_wholes(judged: &ScoredSet<'_>, fold: &[u32], rule: WholeRule) -> Vec<ScoredWhole> {
    let classes = judged.scored.classes();
    let (group, photograph) = (judged.groups(), judged.photographs());
    let unit = match rule.unit {
        WholeUnit::Photograph => &photograph,
        WholeUnit::Patient => &group,
    };
    let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    unit.iter().enumerate().for_each(|(row, unit)| rows.entry(*unit).or_default().push(row));
    let facts: Vec<_> = judged.rows().collect();
    let of = |rows: Vec<usize>| {
        let (part, _) = facts[rows[0]];
        let score = |class: usize| {
            rule.score.of(rows.iter().map(|row| judged.scored.scores()[row * classes + class]).collect())
        };
        let label = |class: usize| {
            let labels = || rows.iter().map(|row| judged.scored.labels()[row * classes + class]);
            if labels().any(|label| label == Label::Present) {
                Label::Present
            } else if labels().all(|label| label == Label::Absent) {
                Label::Absent
            } else {
                Label::Unknown
            }
        };
        ScoredWhole {
            photograph: part.photograph.clone(),
            patient: part.patient.clone(),
            patches: rows.len() as u64,
            group: group[rows[0]],
            fold: fold[rows[0]],
            scores: (0..classes).map(score).collect(),
            labels: (0..classes).map(label).collect(),
        }
    };
    rows.into_values().map(of).collect()
}

/// Evaluation of photographs or patients, ranked within folds.
#[must_use]
pub fn whole_scores(found: &[ScoredWhole], classes: usize, rule: WholeRule, streams: &Streams) -> WholeScores {
    let groups = found.iter().map(|whole| whole.group as usize + 1).max().unwrap_or(0);
    let of_class = |class: usize| {
        let row = |(at, whole): (usize, &ScoredWhole)| {
            let present = known(whole.labels[class])?;
            Some(SliceRow {
                score: whole.scores[class],
                group: whole.group,
                photograph: at as u32,
                fold: whole.fold,
                present,
                predicted: false,
                stratum: present.then_some(0),
            })
        };
        let rows: Vec<SliceRow> = found.iter().enumerate().filter_map(row).collect();
        // Without a negative, every order is perfect.
        let ranked: BTreeSet<u32> = rows.iter().filter(|row| !row.present).map(|row| row.fold).collect();
        let in_ranked: Vec<SliceRow> = rows.iter().filter(|row| ranked.contains(&row.fold)).copied().collect();
        let metrics = slice_metrics(&in_ranked, 1, groups, streams).swap_remove(0);
        let negatives = rows.iter().filter(|row| !row.present);
        let without: BTreeSet<u32> = negatives.clone().map(|row| row.group).collect();
        // Few negatives say as little as few positives: each of them is a whole photograph.
        let enough = without.len() >= FEWEST_GROUPS;
        let estimate = |found: Estimate| Estimate { interval: found.interval.filter(|_| enough), ..found };
        WholeClass {
            positives: rows.iter().filter(|row| row.present).count() as u64,
            negatives: negatives.count() as u64,
            unknown: (found.len() - rows.len()) as u64,
            average_precision: estimate(metrics.average_precision),
            auroc: estimate(metrics.auroc),
        }
    };
    let all: Vec<WholeClass> = (0..classes).map(of_class).collect();
    WholeScores {
        rule,
        wholes: found.len() as u64,
        mean_average_precision: Mean::of(all.iter().map(|class| class.average_precision.value)),
        mean_auroc: Mean::of(all.iter().map(|class| class.auroc.value)),
        classes: all,
    }
}

/// Table with a row for each photograph or patient: `photograph` (left out of patients), `patient`, `patches`, and for each class `score.K`
/// and `label.K` (null if unknown).
#[must_use]
pub fn whole_table(found: &[ScoredWhole], classes: &[String], rule: WholeRule) -> Columns {
    let mut table = Columns::default();
    let name = |whole: &ScoredWhole| Some(whole.photograph.clone());
    match rule.unit {
        WholeUnit::Photograph => {
            table.push("photograph", Column::Text(found.iter().map(name).collect()));
            table.push("patient", Column::Text(found.iter().map(|whole| whole.patient.clone()).collect()));
        }
        // A photograph of an unknown patient counts as one.
        WholeUnit::Patient => {
            let patient = |whole: &ScoredWhole| whole.patient.clone().or_else(|| name(whole));
            table.push("patient", Column::Text(found.iter().map(patient).collect()));
        }
    }
    table.push("patches", Column::Int(found.iter().map(|whole| Some(whole.patches as i64)).collect()));
    for (class, name) in classes.iter().enumerate() {
        table
            .push(format!("score.{name}"), Column::Real(found.iter().map(|whole| Some(whole.scores[class])).collect()));
        let label = |whole: &ScoredWhole| known(whole.labels[class]);
        table.push(format!("label.{name}"), Column::Bool(found.iter().map(label).collect()));
    }
    table
}
