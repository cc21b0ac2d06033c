//! Evaluation of a patch set by slices: the positives of each class, divided by a measure. Knows no stage.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ScoredSet;
use crate::base::Streams;
use crate::base::figure::{RealStyle, thousands};
use crate::data::table::{Column, Columns};
use crate::learn::metrics::{Interval, SliceMetric, SliceMetrics, SliceRow, known, percentile, slice_metrics};

/// Name of the stratum of positives whose value is unknown.
const UNKNOWN: &str = "unknown";

/// Value of each patch by which the positives of a class are divided; [`None`] if unknown.
#[derive(Clone, Debug, PartialEq)]
pub enum SliceValues {
    /// Numbers, divided by limits.
    Numbers(Vec<Option<f64>>),
    /// Texts, each of which is a stratum.
    Texts(Vec<Option<String>>),
}

/// Limits between strata of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum SliceCuts {
    /// So many strata with equal numbers of positives, as far as equal values allow.
    Quantiles(usize),
    /// Ascending limits, each of which belongs to the stratum above it.
    Limits(Vec<f64>),
}

/// Patches with their scores, their folds, and what is predicted of them.
pub struct SlicedSet<'a> {
    /// Patches and scores.
    pub judged: ScoredSet<'a>,
    /// Fold of each patch, numbered from 0; all 0 without folds.
    pub fold: Vec<u32>,
    /// Whether each class is predicted, N x C.
    pub decided: Vec<bool>,
}

/// Metrics of one stratum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumSlice {
    /// Its name: `181 to 324`.
    pub name: String,
    /// Lower limit, inclusive; [`None`] if there is none.
    pub from: Option<f64>,
    /// Upper limit, exclusive; [`None`] if there is none.
    pub below: Option<f64>,
    /// Metrics of its positives.
    #[serde(flatten)]
    pub metrics: SliceMetrics,
}

/// Strata of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSlices {
    /// Class.
    pub class: String,
    /// Known negatives, which all strata share.
    pub negatives: u64,
    /// Strata in ascending order; last the positives whose value is unknown, if there are any.
    pub strata: Vec<StratumSlice>,
}

/// `slices.json`: metrics by the strata of one measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slices {
    /// Measure by which positives are divided.
    pub by: String,
    /// Whether recall and precision are at tuned thresholds; at 0.5 if not.
    pub tuned: bool,
    /// Number of folds within which patches are ranked; 1 without folds.
    pub folds: u32,
    /// Patches.
    pub patches: u64,
    /// Photographs.
    pub photographs: u64,
    /// Groups of the intervals: patients, or photographs of unknown patients.
    pub groups: u64,
    /// Whether all patients are known.
    pub patients: bool,
    /// Strata of each class.
    pub classes: Vec<ClassSlices>,
}

impl SlicedSet<'_> {
    /// Metrics by strata. `by` names the measure, `values` has it for each class, `tuned` says whether thresholds were tuned.
    #[must_use]
    pub fn slices(
        &self,
        by: &str,
        values: &dyn Fn(usize) -> SliceValues,
        cuts: &SliceCuts,
        tuned: bool,
        streams: &Streams,
    ) -> Slices {
        let group = self.judged.groups();
        let groups = group.iter().max().map_or(0, |&last| last as usize + 1);
        let classes = &self.judged.set.info.classes;
        let of_class = |(class, name): (usize, &String)| {
            let (strata, place) = self.strata(class, values(class), cuts);
            let rows = self.rows(class, &group, &place);
            let found = slice_metrics(&rows, strata.len() as u32, groups, streams);
            let strata = strata.into_iter().zip(found);
            ClassSlices {
                class: name.clone(),
                negatives: rows.iter().filter(|row| !row.present).count() as u64,
                strata: strata.map(|(stratum, metrics)| StratumSlice { metrics, ..stratum }).collect(),
            }
        };
        let parts: Vec<_> = self.judged.set.parts.iter().filter(|part| !part.rows.is_empty()).collect();
        Slices {
            by: by.to_owned(),
            tuned,
            folds: self.fold.iter().max().map_or(1, |last| last + 1),
            patches: self.judged.scored.rows() as u64,
            photographs: parts.len() as u64,
            groups: groups as u64,
            patients: parts.iter().all(|part| part.patient.is_some()),
            classes: classes.iter().enumerate().map(of_class).collect(),
        }
    }

    /// Patches whose label of a class is known; `place` has the stratum of each patch.
    fn rows(&self, class: usize, group: &[u32], place: &[Option<u32>]) -> Vec<SliceRow> {
        let (classes, photographs) = (self.judged.scored.classes(), self.judged.photographs());
        let row = |(at, (scores, labels)): (usize, (&[f64], &[_]))| {
            let present = known(labels[class])?;
            Some(SliceRow {
                score: scores[class],
                group: group[at],
                photograph: photographs[at],
                fold: self.fold[at],
                present,
                predicted: self.decided[at * classes + class],
                stratum: place[at].filter(|_| present),
            })
        };
        self.judged.scored.iter().enumerate().filter_map(row).collect()
    }

    /// Strata of a class, still without metrics, and the stratum of each patch.
    fn strata(&self, class: usize, values: SliceValues, cuts: &SliceCuts) -> (Vec<StratumSlice>, Vec<Option<u32>>) {
        let labels = self.judged.scored.iter().map(|(_, labels)| known(labels[class]) == Some(true));
        let positive: Vec<bool> = labels.collect();
        let (mut strata, mut place): (Vec<StratumSlice>, Vec<Option<u32>>) = match values {
            SliceValues::Numbers(values) => {
                let own = values.iter().zip(&positive).filter_map(|(value, positive)| value.filter(|_| *positive));
                let limits = cuts.limits(own.collect());
                let place = |value: f64| limits.partition_point(|limit| *limit <= value) as u32;
                (between(&limits), values.iter().map(|value| value.map(place)).collect())
            }
            SliceValues::Texts(values) => {
                let own = values.iter().zip(&positive).filter(|(_, positive)| **positive);
                let names: BTreeSet<&String> = own.filter_map(|(value, _)| value.as_ref()).collect();
                let names: Vec<&String> = names.into_iter().collect();
                let place = |value: &Option<String>| names.binary_search(&value.as_ref()?).ok().map(|at| at as u32);
                (
                    names.iter().map(|name| stratum((*name).clone(), None, None)).collect(),
                    values.iter().map(place).collect(),
                )
            }
        };
        if place.iter().zip(&positive).any(|(place, positive)| *positive && place.is_none()) {
            let last = strata.len() as u32;
            strata.push(stratum(UNKNOWN.to_owned(), None, None));
            for place in &mut place {
                *place = place.or(Some(last));
            }
        }
        (strata, place)
    }
}

impl SliceCuts {
    /// Limits of the values of positives.
    fn limits(&self, mut values: Vec<f64>) -> Vec<f64> {
        let strata = match self {
            Self::Limits(limits) => return limits.clone(),
            Self::Quantiles(strata) => *strata,
        };
        values.sort_unstable_by(f64::total_cmp);
        let Some(lowest) = values.first() else { return Vec::new() };
        let limit = |at: usize| percentile(&values, at as f64 / strata as f64);
        let mut limits: Vec<f64> = (1..strata).map(limit).filter(|limit| limit > lowest).collect();
        limits.dedup();
        limits
    }
}

fn stratum(name: String, from: Option<f64>, below: Option<f64>) -> StratumSlice {
    StratumSlice { name, from, below, metrics: SliceMetrics::default() }
}

/// Strata between ascending limits.
fn between(limits: &[f64]) -> Vec<StratumSlice> {
    let all = (0..=limits.len()).map(|at| (at.checked_sub(1).map(|at| limits[at]), limits.get(at).copied()));
    let named = all.map(|(from, below)| {
        let name = match (from.map(short), below.map(short)) {
            (Some(from), Some(below)) => format!("{from} to {below}"),
            (Some(from), None) => format!("{from} and more"),
            (None, Some(below)) => format!("below {below}"),
            (None, None) => "all".to_owned(),
        };
        stratum(name, from, below)
    });
    named.collect()
}

/// A limit in few digits: `181`, `181.5`, `0.123`.
fn short(limit: f64) -> String {
    if limit.fract() == 0.0 && limit.abs() < 1e15 {
        let sign = if limit < 0.0 { "-" } else { "" };
        return format!("{sign}{}", thousands(limit.abs() as u64));
    }
    if limit.abs() >= 10.0 {
        return RealStyle::Decimals(1).text(limit);
    }
    format!("{limit:.3}")
}

impl Slices {
    /// `patients`, or `photographs` if not all patients are known.
    #[must_use]
    pub fn group_noun(&self) -> &'static str {
        if self.patients { "patients" } else { "photographs" }
    }

    /// `slices.parquet`: a row for each class and stratum, with each metric and the ends of its interval.
    #[must_use]
    pub fn table(&self) -> Columns {
        let rows: Vec<(&ClassSlices, &StratumSlice)> =
            self.classes.iter().flat_map(|class| class.strata.iter().map(move |stratum| (class, stratum))).collect();
        let text = |of: &dyn Fn(&ClassSlices, &StratumSlice) -> String| {
            Column::Text(rows.iter().map(|(class, stratum)| Some(of(class, stratum))).collect())
        };
        let real = |of: &dyn Fn(&StratumSlice) -> Option<f64>| {
            Column::Real(rows.iter().map(|(_, stratum)| of(stratum)).collect())
        };
        let int = |of: &dyn Fn(&ClassSlices, &SliceMetrics) -> u64| {
            Column::Int(rows.iter().map(|(class, stratum)| Some(of(class, &stratum.metrics) as i64)).collect())
        };
        let mut table = Columns::default();
        table.push("by", text(&|_, _| self.by.clone()));
        table.push("class", text(&|class, _| class.class.clone()));
        table.push("stratum", text(&|_, stratum| stratum.name.clone()));
        table.push("from", real(&|stratum| stratum.from));
        table.push("below", real(&|stratum| stratum.below));
        table.push("positives", int(&|_, metrics| metrics.positives));
        table.push("photographs", int(&|_, metrics| metrics.photographs));
        table.push("groups", int(&|_, metrics| metrics.groups));
        table.push("negatives", int(&|class, _| class.negatives));
        let metrics: [(&str, SliceMetric); 4] = [
            ("recall", |metrics| metrics.recall),
            ("precision", |metrics| metrics.precision),
            ("average_precision", |metrics| metrics.average_precision),
            ("auroc", |metrics| metrics.auroc),
        ];
        for (name, of) in metrics {
            let end = |end: fn(Interval) -> f64| real(&|stratum| of(&stratum.metrics).interval.map(end));
            table.push(name, real(&|stratum| of(&stratum.metrics).value));
            table.push(format!("{name}_low"), end(|interval| interval.low));
            table.push(format!("{name}_high"), end(|interval| interval.high));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_divide_positives_into_equal_parts() {
        let limits = |values: &[f64], strata: usize| SliceCuts::Quantiles(strata).limits(values.to_vec());
        assert_eq!(limits(&[4.0, 1.0, 2.0, 3.0], 2), [2.5]);
        assert_eq!(limits(&[1.0, 1.0, 1.0, 9.0], 4), [3.0], "a stratum below the lowest value would be empty");
        assert_eq!(limits(&[5.0; 7], 4), [0.0; 0]);
        assert_eq!(limits(&[], 4), [0.0; 0]);
    }

    #[test]
    fn strata_are_named_by_their_limits() {
        let names: Vec<String> = between(&[0.5, 12.25, 1300.0]).into_iter().map(|stratum| stratum.name).collect();
        assert_eq!(names, ["below 0.500", "0.500 to 12.2", "12.2 to 1,300", "1,300 and more"]);
        assert_eq!(between(&[])[0].name, "all");
        assert_eq!([-3.0, 3513.75, -0.5].map(short), ["-3", "3,513.8", "-0.500"]);
    }
}
