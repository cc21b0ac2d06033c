//! Metrics of slices: the positives of one stratum against all negatives of their class, with confidence intervals. Knows no measure by
//! which positives are divided.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bootstrap::{FEWEST_GROUPS, Interval, intervals_of};
use super::slopes::{Sloped, Sorted};
use crate::base::Streams;

/// A patch whose label of the class is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceRow {
    /// Score.
    pub score: f64,
    /// Patient, or photograph if the patient is unknown, numbered from 0 without gaps over all patches.
    pub group: u32,
    /// Photograph, numbered from 0.
    pub photograph: u32,
    /// Fold, numbered from 0; scores of different folds are not compared.
    pub fold: u32,
    /// Whether the class is present.
    pub present: bool,
    /// Whether it is predicted.
    pub predicted: bool,
    /// Stratum of a positive, numbered from 0; [`None`] of a negative.
    pub stratum: Option<u32>,
}

/// Value of a metric, and its 95% interval over groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Value; [`None`] if undefined.
    pub value: Option<f64>,
    /// Bootstrap-t interval; [`None`] if fewer than [`FEWEST_GROUPS`] groups have a positive of the stratum, or if the metric does not vary.
    pub interval: Option<Interval>,
}

/// Metrics of the positives of one stratum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SliceMetrics {
    /// Positives of the stratum.
    pub positives: u64,
    /// Photographs with a positive of the stratum.
    pub photographs: u64,
    /// Groups with a positive of the stratum.
    pub groups: u64,
    /// Fraction of them that are predicted.
    pub recall: Estimate,
    /// Of the predicted ones and all false positives of the class, the fraction of the former.
    pub precision: Estimate,
    /// Average precision against all negatives of the class; mean over the folds with such a positive.
    pub average_precision: Estimate,
    /// Area under the ROC curve against all negatives of the class; mean over the folds with both.
    pub auroc: Estimate,
}

/// One of the metrics of a stratum.
pub type SliceMetric = fn(&SliceMetrics) -> Estimate;

/// Metrics of each stratum of one class. `groups` is the number of groups of all patches.
#[must_use]
pub fn slice_metrics(rows: &[SliceRow], strata: u32, groups: usize, streams: &Streams) -> Vec<SliceMetrics> {
    (0..strata).map(|stratum| of_stratum(rows, stratum, groups, streams)).collect()
}

fn of_stratum(all: &[SliceRow], stratum: u32, groups: usize, streams: &Streams) -> SliceMetrics {
    let rows: Vec<&SliceRow> = all.iter().filter(|row| !row.present || row.stratum == Some(stratum)).collect();
    let positives = || rows.iter().filter(|row| row.present);
    let different = |of: fn(&SliceRow) -> u32| positives().map(|row| of(row)).collect::<BTreeSet<_>>().len() as u64;
    let [recall, precision] = parts(&rows, groups);
    let folds = folds(&rows);
    let of = |times: &[u64]| {
        let mean = |metric: fn(&Sorted, &[u64]) -> Option<Sloped>| {
            Sloped::mean(&folds.iter().map(|rows| metric(rows, times)).collect::<Vec<_>>())
        };
        [
            Sloped::ratio(&recall, times),
            Sloped::ratio(&precision, times),
            mean(Sloped::average_precision),
            mean(Sloped::auroc),
        ]
    };
    let with_positive = different(|row| row.group);
    let values = of(&vec![1; groups]).map(|found| found.map(|found| found.value));
    let enough = with_positive >= FEWEST_GROUPS as u64;
    let intervals = if enough { intervals_of(groups, of, streams) } else { [None; 4] };
    let estimate = |at: usize| Estimate { value: values[at], interval: intervals[at] };
    SliceMetrics {
        positives: positives().count() as u64,
        photographs: different(|row| row.photograph),
        groups: with_positive,
        recall: estimate(0),
        precision: estimate(1),
        average_precision: estimate(2),
        auroc: estimate(3),
    }
}

/// Numerator and denominator of a ratio in each group.
type GroupParts = Vec<(u64, u64)>;

/// Parts of recall and of precision.
fn parts(rows: &[&SliceRow], groups: usize) -> [GroupParts; 2] {
    let (mut recall, mut precision) = (vec![(0, 0); groups], vec![(0, 0); groups]);
    for row in rows {
        let group = row.group as usize;
        let found = u64::from(row.present && row.predicted);
        recall[group].0 += found;
        recall[group].1 += u64::from(row.present);
        precision[group].0 += found;
        precision[group].1 += u64::from(row.predicted);
    }
    [recall, precision]
}

/// The rows of each fold, from the highest score to the lowest.
fn folds(rows: &[&SliceRow]) -> Vec<Sorted> {
    let mut folds: Vec<Vec<&SliceRow>> = Vec::new();
    folds.resize_with(rows.iter().map(|row| row.fold as usize + 1).max().unwrap_or(0), Vec::new);
    for row in rows {
        folds[row.fold as usize].push(row);
    }
    let sorted = |mut rows: Vec<&SliceRow>| -> Sorted {
        rows.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then((a.group, a.present).cmp(&(b.group, b.present))));
        let ends = |at: usize| rows.get(at + 1).is_none_or(|next| next.score != rows[at].score);
        rows.iter().enumerate().map(|(at, row)| (row.group, row.present, ends(at))).collect()
    };
    folds.into_iter().map(sorted).collect()
}
