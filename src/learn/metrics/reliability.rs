//! Reliability of scores as probabilities: the curve of observed frequencies, the Brier score and its parts, and the calibration error. Knows
//! no threshold.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::{FEWEST_GROUPS, Interval, REPLICATES, drawn, intervals_of, percentile, ratio_interval};
use super::slopes::Sloped;
use super::{LabelledScores, known};
use crate::base::Streams;

/// Number of bins. Each holds as many patches as the others, as far as equal scores allow.
pub const BINS: usize = 10;

/// Patches with similar scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lowest score.
    pub lowest: f64,
    /// Highest score.
    pub highest: f64,
    /// Mean score.
    pub mean_score: f64,
    /// Observed frequency: the fraction of patches with the class.
    pub observed: f64,
    /// 95% confidence interval of the observed frequency over groups; [`None`] if fewer than ten groups have a positive in the bin, or
    /// a negative.
    pub interval: Option<Interval>,
    /// Patches.
    pub patches: u64,
    /// Patches with the class.
    pub positives: u64,
    /// Groups (patients or photographs) with a patch in the bin.
    pub groups: u64,
}

/// Reliability of the scores of one class. `brier` is the sum of its parts: `reliability - resolution + uncertainty + within_bins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassReliability {
    /// Brier score: mean squared difference of score and label (Brier 1950).
    pub brier: f64,
    /// Mean squared difference of mean score and observed frequency of a bin: 0 if calibrated (Murphy 1973).
    pub reliability: f64,
    /// Variance of the observed frequencies: how far scores tell patches apart.
    pub resolution: f64,
    /// Brier score of predicting the prevalence for every patch.
    pub uncertainty: f64,
    /// What differences between the scores of a bin add (Stephenson et al. 2008).
    pub within_bins: f64,
    /// Expected calibration error: mean absolute difference of mean score and observed frequency of a bin, weighted by patches (ECE, of
    /// bins with equal numbers of patches).
    pub calibration_error: f64,
    /// 95% confidence interval of `brier` over groups; [`None`] if fewer than ten groups have a positive.
    #[serde(default)]
    pub brier_interval: Option<Interval>,
    /// 95% confidence interval of `calibration_error` over groups, with these bins; it begins at 0 if 2.5% of calibrated scores would have
    /// such an error by chance. [`None`] as above.
    #[serde(default)]
    pub calibration_error_interval: Option<Interval>,
    /// Mean calibration error that the choice of groups alone causes, even for calibrated scores; [`None`] as above.
    #[serde(default)]
    pub calibration_noise: Option<f64>,
    /// Mean score.
    pub mean_score: f64,
    /// Bins from the lowest to the highest score.
    pub bins: Vec<ReliabilityBin>,
}

/// The rows of one group.
#[derive(Clone, Default)]
struct GroupErrors {
    rows: u64,
    /// Sum of the squared differences of score and label.
    squared: f64,
    /// Sum of the differences of score and label in each bin.
    by_bin: Vec<f64>,
}

/// Reliability of each class over its known rows; [`None`] if no label is known. `group` is the group of each row, numbered from 0 without
/// gaps.
///
/// # Panics
/// If there is not one group per row: a defect of the caller.
#[must_use]
pub fn reliability(scored: &LabelledScores, group: &[u32], streams: &Streams) -> Vec<Option<ClassReliability>> {
    assert_eq!(group.len(), scored.rows(), "one group per row");
    let groups = group.iter().max().map_or(0, |&last| last as usize + 1);
    let rows = |class: usize| -> Vec<(f64, bool, u32)> {
        let rows = scored.iter().zip(group);
        let rows = rows.filter_map(|((scores, labels), &group)| Some((scores[class], known(labels[class])?, group)));
        rows.collect()
    };
    (0..scored.classes()).map(|class| of_class(rows(class), groups, streams)).collect()
}

fn of_class(mut rows: Vec<(f64, bool, u32)>, groups: usize, streams: &Streams) -> Option<ClassReliability> {
    if rows.is_empty() {
        return None;
    }
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let n = rows.len() as f64;
    let label = |present: bool| f64::from(u8::from(present));
    let mean = |value: &dyn Fn(&(f64, bool, u32)) -> f64| rows.iter().map(value).sum::<f64>() / n;
    let (mean_score, prevalence) = (mean(&|row| row.0), mean(&|row| label(row.1)));
    let brier = mean(&|row| (row.0 - label(row.1)) * (row.0 - label(row.1)));
    let binned = bins(&rows);
    let errors = errors(&binned, groups);
    let with_positive = rows.iter().filter(|row| row.1).map(|row| row.2).collect::<BTreeSet<_>>().len();
    let enough = with_positive >= FEWEST_GROUPS;
    let [brier_interval, around] =
        if enough { intervals_of(groups, |times| sloped(&errors, times), streams) } else { [None, None] };
    let noise = enough.then(|| noise(&errors, streams));
    let bins: Vec<ReliabilityBin> = binned.into_iter().map(|rows| bin(rows, groups, streams)).collect();
    let over = |value: &dyn Fn(&ReliabilityBin) -> f64| {
        bins.iter().map(|bin| bin.patches as f64 * value(bin)).sum::<f64>() / n
    };
    let square = |x: f64| x * x;
    let reliability = over(&|bin| square(bin.mean_score - bin.observed));
    let resolution = over(&|bin| square(bin.observed - prevalence));
    let uncertainty = prevalence * (1.0 - prevalence);
    let calibration_error = over(&|bin| (bin.mean_score - bin.observed).abs());
    // What calibrated scores may have by chance does not exclude that these are.
    let is_chance = noise.as_ref().is_some_and(|noise| calibration_error <= percentile(noise, 0.975));
    let calibration_error_interval =
        around.map(|around| Interval { low: if is_chance { 0.0 } else { around.low }, ..around });
    let within_bins = brier - (reliability - resolution + uncertainty);
    Some(ClassReliability {
        brier,
        reliability,
        resolution,
        uncertainty,
        within_bins,
        calibration_error,
        brier_interval,
        calibration_error_interval,
        calibration_noise: noise.map(|noise| noise.iter().sum::<f64>() / noise.len() as f64),
        mean_score,
        bins,
    })
}

fn errors(bins: &[&[(f64, bool, u32)]], groups: usize) -> Vec<GroupErrors> {
    let mut errors = vec![GroupErrors { by_bin: vec![0.0; bins.len()], ..GroupErrors::default() }; groups];
    for (at, rows) in bins.iter().enumerate() {
        for &(score, present, group) in *rows {
            let error = score - f64::from(u8::from(present));
            let own = &mut errors[group as usize];
            own.rows += 1;
            own.squared += error * error;
            own.by_bin[at] += error;
        }
    }
    errors
}

/// Number of rows, and the sum of differences in each bin, with each group repeated `times` times.
fn summed(errors: &[GroupErrors], times: &[u64]) -> (f64, Vec<f64>) {
    let mut sums = vec![0.0; errors.first().map_or(0, |own| own.by_bin.len())];
    let mut rows = 0.0;
    for (own, &times) in errors.iter().zip(times).filter(|(_, times)| **times > 0) {
        rows += (own.rows * times) as f64;
        sums.iter_mut().zip(&own.by_bin).for_each(|(sum, error)| *sum += error * times as f64);
    }
    (rows, sums)
}

/// Brier score and calibration error with each group repeated `times` times. A bin adds the absolute sum of its differences, divided by all
/// rows, as its weight is its share of them.
fn sloped(errors: &[GroupErrors], times: &[u64]) -> [Option<Sloped>; 2] {
    let (rows, sums) = summed(errors, times);
    if rows == 0.0 {
        return [None, None];
    }
    let squared = errors.iter().zip(times).map(|(own, &times)| own.squared * times as f64).sum::<f64>();
    let of = |value: f64, part: &dyn Fn(&GroupErrors) -> f64| {
        Some(Sloped { value, slopes: errors.iter().map(|own| (part(own) - value * own.rows as f64) / rows).collect() })
    };
    let signed = |own: &GroupErrors| sums.iter().zip(&own.by_bin).map(|(sum, error)| sum.signum() * error).sum::<f64>();
    [of(squared / rows, &|own| own.squared), of(sums.iter().map(|sum| sum.abs()).sum::<f64>() / rows, &signed)]
}

/// Calibration errors, ascending, of resamples around the differences of the bins: what they would be if these differences were 0.
fn noise(errors: &[GroupErrors], streams: &Streams) -> Vec<f64> {
    let (rows, sums) = summed(errors, &vec![1; errors.len()]);
    let own = |replicate: u64| {
        let (drawn, own) = summed(errors, &drawn(errors.len(), replicate, streams));
        own.iter().zip(&sums).map(|(own, sum)| (own - sum * drawn / rows).abs()).sum::<f64>() / drawn.max(1.0)
    };
    let mut all: Vec<f64> = (0..REPLICATES).into_par_iter().map(own).collect();
    all.sort_unstable_by(f64::total_cmp);
    all
}

/// Rows in bins between quantiles of the scores, as scikit-learn's `calibration_curve(strategy="quantile")`: equal scores share a bin, and
/// bins may be missing.
fn bins(rows: &[(f64, bool, u32)]) -> Vec<&[(f64, bool, u32)]> {
    let scores: Vec<f64> = rows.iter().map(|row| row.0).collect();
    let edges: Vec<f64> = (1..BINS).map(|bin| percentile(&scores, bin as f64 / BINS as f64)).collect();
    let place = |score: f64| edges.partition_point(|&edge| edge < score);
    rows.chunk_by(|a, b| place(a.0) == place(b.0)).collect()
}

fn bin(rows: &[(f64, bool, u32)], groups: usize, streams: &Streams) -> ReliabilityBin {
    let mut parts = vec![(0u64, 0u64); groups];
    for &(_, present, group) in rows {
        let (positives, patches) = &mut parts[group as usize];
        *positives += u64::from(present);
        *patches += 1;
    }
    let positives = parts.iter().map(|part| part.0).sum::<u64>();
    let count = |has: &dyn Fn(&(u64, u64)) -> bool| parts.iter().filter(|part| has(part)).count();
    // Of a frequency near 0 or 1, few groups say nothing.
    let enough = count(&|part| part.0 > 0).min(count(&|part| part.0 < part.1)) >= FEWEST_GROUPS;
    ReliabilityBin {
        lowest: rows[0].0,
        highest: rows[rows.len() - 1].0,
        mean_score: rows.iter().map(|row| row.0).sum::<f64>() / rows.len() as f64,
        observed: positives as f64 / rows.len() as f64,
        interval: enough.then(|| ratio_interval(&parts, streams)).flatten(),
        patches: rows.len() as u64,
        positives,
        groups: count(&|part| part.1 > 0) as u64,
    }
}
