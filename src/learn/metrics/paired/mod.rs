//! Paired comparison of models on the same patches: differences of metrics, their confidence intervals, and a permutation test.
//!
//! Patches of one photograph are not independent, so photographs are resampled (patients, if known): the models share the draws, and
//! what makes a photograph hard for both cancels out. If a model has repeats (seeds), they are resampled as well, of each model by
//! itself, and averaged: the interval then says what other photographs and other seeds would change (two-way or pigeonhole bootstrap:
//! Owen 2007, "The pigeonhole bootstrap"). With one repeat it is about photographs only.

mod permutation;
mod quantile;
mod ranked;
mod values;

pub use permutation::permutation;
pub use quantile::{expanded_level, holm};

use rayon::prelude::*;

use self::values::{Prepared, averaged};
use super::Interval;
use super::bootstrap::percentile;
use crate::base::Streams;
use crate::base::random::Stream;
use crate::data::patches::Label;

/// Minimum number of resampled units with a positive for an interval.
pub const FEWEST_POSITIVE: u64 = 10;

/// Default number of bootstrap resamples, and of permutations.
pub const DRAWS: u64 = 2000;

/// Patches that all compared models score: N rows, C classes.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonPatches {
    /// Number of classes C.
    pub classes: usize,
    /// Labels, N x C row-major.
    pub labels: Vec<Label>,
    /// Photograph of each row.
    pub photograph: Vec<u32>,
    /// Resampled unit of each row, numbered from 0 without gaps: its patient, or its photograph if the patient is unknown.
    pub unit: Vec<u32>,
}

/// Scores of one trained model, or of the models of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelScores {
    /// Scores, N x C row-major.
    pub scores: Vec<f64>,
    /// Whether each score is at or above its threshold, N x C row-major.
    pub predicted: Vec<bool>,
    /// Fold of each row. Scores of different folds share no scale: ranking metrics are computed in each fold and averaged over folds.
    pub fold: Vec<u32>,
}

/// Name of a metric as in `eval`, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricName {
    /// Name without the class: `average-precision`.
    pub name: &'static str,
    /// Index of the class; [`None`] for a metric over all classes.
    pub class: Option<usize>,
}

/// Metrics of a model: the estimate, and its value in each bootstrap draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    /// Values on all patches, in the order of [`metrics`].
    pub estimate: Vec<Option<f64>>,
    /// Values of each repeat, in the order of [`metrics`].
    pub repeats: Vec<Vec<Option<f64>>>,
    /// Values in each draw.
    pub draws: Vec<Vec<Option<f64>>>,
}

/// Difference of one metric between two models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricDifference {
    /// Value of the first model.
    pub first: Option<f64>,
    /// Value of the second model.
    pub second: Option<f64>,
    /// Second minus first.
    pub difference: Option<f64>,
    /// 95% confidence interval of the difference; [`None`] if it is undefined or `support` is below [`FEWEST_POSITIVE`].
    pub interval: Option<Interval>,
    /// Number of units that carry the metric: those with a positive of its class (of the rarest class, for a mean over classes).
    pub support: u64,
}

/// All metrics, means over classes first, then those of each class.
#[must_use]
pub fn metrics(classes: usize) -> Vec<MetricName> {
    let over_all = values::OVER_ALL.map(|name| MetricName { name, class: None });
    let of_class = |class: usize| values::OF_CLASS.map(|name| MetricName { name, class: Some(class) });
    over_all.into_iter().chain((0..classes).flat_map(of_class)).collect()
}

impl CommonPatches {
    /// Number of rows N.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.photograph.len()
    }

    /// Number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.unit.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// Number of units that carry each metric, in the order of [`metrics`].
    #[must_use]
    pub fn support(&self) -> Vec<u64> {
        let mut with = vec![vec![false; self.units()]; self.classes];
        for (labels, &unit) in self.labels.chunks_exact(self.classes).zip(&self.unit) {
            for (class, label) in labels.iter().enumerate() {
                with[class][unit as usize] |= *label == Label::Present;
            }
        }
        let of_class: Vec<u64> =
            with.iter().map(|units| units.iter().filter(|&&positive| positive).count() as u64).collect();
        let rarest = of_class.iter().copied().filter(|&units| units > 0).min().unwrap_or(0);
        let any = (0..self.units()).filter(|&unit| with.iter().any(|units| units[unit])).count() as u64;
        let of = |metric: MetricName| match (metric.class, metric.name) {
            (Some(class), _) => of_class[class],
            (None, "micro-f1") => any,
            (None, "hamming-loss" | "subset-accuracy") => self.units() as u64,
            (None, _) => rarest,
        };
        metrics(self.classes).into_iter().map(of).collect()
    }
}

/// Metrics of a model, given by its repeats, on all patches and in `draws` bootstrap draws over units and repeats. Draws of units depend
/// on `streams` only: all models of a comparison share them. Draws of repeats depend on the model's `name` as well.
///
/// # Panics
/// If a repeat lacks rows: a defect of the caller.
#[must_use]
pub fn resample(
    patches: &CommonPatches,
    name: &str,
    repeats: &[ModelScores],
    draws: u64,
    streams: &Streams,
) -> Resampled {
    let prepared: Vec<Prepared> = repeats.iter().map(|scores| Prepared::new(patches, scores)).collect();
    let units = patches.units();
    let drawn = |stream: &mut Stream, count: usize| {
        let mut times = vec![0u64; count];
        for _ in 0..count {
            times[stream.below(count as u64) as usize] += 1;
        }
        times
    };
    let once = vec![1; units];
    let draw = |replicate: u64| {
        let times = drawn(&mut streams.stream("bootstrap", replicate, &[]), units);
        let seeds = drawn(&mut streams.stream("repeats", replicate, name.as_bytes()), prepared.len());
        averaged(
            prepared.iter().zip(seeds).filter(|(_, seeds)| *seeds > 0).map(|(one, seeds)| (one.values(&times), seeds)),
        )
    };
    Resampled {
        estimate: averaged(prepared.iter().map(|one| (one.values(&once), 1))),
        repeats: prepared.iter().map(|one| one.values(&once)).collect(),
        draws: (0..draws).into_par_iter().map(draw).collect(),
    }
}

/// Differences of all metrics, second minus first, in the order of [`metrics`]. Intervals are expanded percentile intervals (Hesterberg
/// 2015, "What Teachers Should Know about the Bootstrap"): percentiles are taken further out, as Student's t is wider than the normal
/// distribution, because plain percentiles are too narrow for few units.
#[must_use]
pub fn differences(patches: &CommonPatches, first: &Resampled, second: &Resampled) -> Vec<MetricDifference> {
    let of = |(at, support): (usize, u64)| {
        let minus = |first: Option<f64>, second: Option<f64>| Some(second? - first?);
        let draws = first.draws.iter().zip(&second.draws);
        let values: Vec<f64> = draws.filter_map(|(first, second)| minus(first[at], second[at])).collect();
        let (first_value, second_value) = (first.estimate[at], second.estimate[at]);
        let difference = minus(first_value, second_value);
        let enough = support >= FEWEST_POSITIVE && values.len() * 2 >= first.draws.len() && !values.is_empty();
        MetricDifference {
            first: first_value,
            second: second_value,
            difference,
            interval: difference.filter(|_| enough).map(|_| interval(values, support)),
            support,
        }
    };
    patches.support().into_iter().enumerate().map(of).collect()
}

fn interval(mut values: Vec<f64>, units: u64) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let level = expanded_level(units);
    Interval { low: percentile(&values, level), high: percentile(&values, 1.0 - level) }
}
