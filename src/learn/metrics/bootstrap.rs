//! Confidence intervals: bootstrap-t over groups (patients or photographs), because patches of one photograph are not independent.
//!
//! Each resample of the groups (cluster bootstrap, Field and Welsh 2007) has a value and a standard error. The distribution of (value -
//! estimate) / standard error over resamples takes the place of the normal distribution (Efron and Tibshirani 1993, "An Introduction to the
//! Bootstrap", chapter 12). Percentile intervals cover too little with few groups, and average precision rises if photographs repeat, which
//! shifts them upward; docs/evaluation.md has the coverage of both. Standard errors are in [`super::slopes`].

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::slopes::{Sloped, Sorted};
use super::{ConfusionCounts, LabelledScores, ZeroDivision, known};
use crate::base::Streams;
use crate::data::patches::Label;

/// Number of bootstrap resamples.
pub const REPLICATES: u64 = 1000;

/// Minimum number of groups for an interval; for one that depends on positives, of groups with a positive.
pub const FEWEST_GROUPS: usize = 10;

/// Standard error below which a metric does not vary between groups: rounding.
const NO_ERROR: f64 = 1e-9;

/// 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Numbers of resamples excluded from the interval of a mean, because a class of the mean is undefined in them, usually for lack of
/// positives. A mean over the remaining classes would be a different metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedReplicates {
    /// Excluded from [`Intervals::mean_average_precision`].
    pub mean_average_precision: u64,
    /// Excluded from [`Intervals::macro_f1`] at each set of thresholds.
    pub macro_f1: Vec<u64>,
}

/// Intervals of the main metrics; [`None`] if fewer than [`FEWEST_GROUPS`] groups have a positive (of the rarest class, for a mean over
/// classes), if the metric is undefined in half of the resamples, or if it does not vary between groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Number of groups.
    pub groups: usize,
    /// Number of resamples.
    pub replicates: u64,
    /// Average precision of each class.
    pub average_precision: Vec<Option<Interval>>,
    /// Mean average precision over classes.
    pub mean_average_precision: Option<Interval>,
    /// F1 of each class at each set of thresholds given.
    pub f1: Vec<Vec<Option<Interval>>>,
    /// Micro F1 at each set of thresholds given.
    pub micro_f1: Vec<Option<Interval>>,
    /// Macro F1 at each set of thresholds given.
    pub macro_f1: Vec<Option<Interval>>,
    /// Hamming loss at each set of thresholds given.
    pub hamming_loss: Vec<Option<Interval>>,
    /// Subset accuracy at each set of thresholds given.
    pub subset_accuracy: Vec<Option<Interval>>,
    /// Resamples excluded from the intervals of the means.
    #[serde(default)]
    pub dropped: DroppedReplicates,
}

/// Counts of one group at one set of thresholds.
#[derive(Clone)]
struct GroupTally {
    counts: Vec<ConfusionCounts>,
    pooled: ConfusionCounts,
    full: u64,
    right: u64,
}

/// Bootstrap intervals over groups. `group` is the group of each row, numbered from 0 without gaps. [`None`] if there are fewer than
/// [`FEWEST_GROUPS`]. Metrics are computed as over all rows: with the same `zero`, and means over the same classes.
///
/// # Panics
/// If there is not one group per row: a defect of the caller.
#[must_use]
pub fn intervals(
    scored: &LabelledScores,
    group: &[u32],
    thresholds: &[Vec<f64>],
    zero: ZeroDivision,
    streams: &Streams,
) -> Option<Intervals> {
    intervals_over_folds(scored, group, &vec![0; scored.rows()], thresholds, zero, streams)
}

/// As [`intervals`], with average precision computed in each fold and averaged over the folds in which it is defined. `fold` is the fold of
/// each row, from 0.
///
/// # Panics
/// If there is not one group and one fold per row: a defect of the caller.
#[must_use]
pub fn intervals_over_folds(
    scored: &LabelledScores,
    group: &[u32],
    fold: &[u32],
    thresholds: &[Vec<f64>],
    zero: ZeroDivision,
    streams: &Streams,
) -> Option<Intervals> {
    assert_eq!((group.len(), fold.len()), (scored.rows(), scored.rows()), "one group and one fold per row");
    let groups = group.iter().max().map_or(0, |&last| last as usize + 1);
    if groups < FEWEST_GROUPS {
        return None;
    }
    let sorted: Vec<Vec<Sorted>> = (0..scored.classes()).map(|class| sort(scored, group, fold, class)).collect();
    let shares: Vec<Vec<GroupTally>> = thresholds.iter().map(|at| shares(scored, group, groups, at)).collect();
    let estimate = metrics_of(&sorted, &shares, &vec![1; groups], zero, None);
    let draws: Vec<Replicate> = (0..REPLICATES)
        .into_par_iter()
        .map(|replicate| {
            let times = drawn(groups, replicate, streams);
            metrics_of(&sorted, &shares, &times, zero, Some(&estimate))
        })
        .collect();
    let positive = positive_groups(scored, group);
    let rarest = positive.iter().copied().filter(|&groups| groups > 0).min().unwrap_or(0);
    let mut at = 0;
    let mut next = |support: u64| {
        at += 1;
        let draws = draws.iter().filter_map(|draw| draw.values[at - 1]);
        estimate.values[at - 1].filter(|_| support >= FEWEST_GROUPS as u64).and_then(|of| interval(of, draws))
    };
    let dropped = |at: usize| draws.iter().filter(|draw| !draw.same_classes[at]).count() as u64;
    let average_precision = positive.iter().map(|&groups| next(groups)).collect();
    let mut all = Intervals {
        groups,
        replicates: REPLICATES,
        average_precision,
        mean_average_precision: next(rarest),
        f1: Vec::new(),
        micro_f1: Vec::new(),
        macro_f1: Vec::new(),
        hamming_loss: Vec::new(),
        subset_accuracy: Vec::new(),
        dropped: DroppedReplicates {
            mean_average_precision: dropped(0),
            macro_f1: (1..=thresholds.len()).map(dropped).collect(),
        },
    };
    let any = with_any_positive(scored, group);
    for _ in thresholds {
        all.f1.push(positive.iter().map(|&groups| next(groups)).collect());
        all.micro_f1.push(next(any));
        all.macro_f1.push(next(rarest));
        all.hamming_loss.push(next(groups as u64));
        all.subset_accuracy.push(next(groups as u64));
    }
    Some(all)
}

/// How often each group is in a resample.
pub(super) fn drawn(groups: usize, replicate: u64, streams: &Streams) -> Vec<u64> {
    let mut stream = streams.stream("bootstrap", replicate, &[]);
    let mut times = vec![0u64; groups];
    for _ in 0..groups {
        times[stream.below(groups as u64) as usize] += 1;
    }
    times
}

/// Interval of a ratio of two sums over groups, given by the parts of each group; [`None`] if fewer than [`FEWEST_GROUPS`] groups have a part
/// in the denominator, or if it does not vary between them.
pub(super) fn ratio_interval(parts: &[(u64, u64)], streams: &Streams) -> Option<Interval> {
    if parts.iter().filter(|part| part.1 > 0).count() < FEWEST_GROUPS {
        return None;
    }
    let of = |times: &[u64]| Sloped::ratio(parts, times).map(|ratio| (ratio.value, ratio.error(times)));
    let estimate = of(&vec![1; parts.len()])?;
    let draws = (0..REPLICATES).into_par_iter().filter_map(|replicate| of(&drawn(parts.len(), replicate, streams)));
    interval(estimate, draws.collect::<Vec<_>>().into_iter())
}

/// Intervals of several metrics between 0 and 1 over `groups` groups. `of` has the metrics with each group repeated `times` times. How many
/// groups they need is up to the caller.
pub(super) fn intervals_of<const N: usize>(
    groups: usize,
    of: impl Fn(&[u64]) -> [Option<Sloped>; N] + Sync,
    streams: &Streams,
) -> [Option<Interval>; N] {
    let studentised = |times: &[u64]| of(times).map(|found| found.map(|found| (found.value, found.error(times))));
    let estimates: [Option<Studentised>; N] = studentised(&vec![1; groups]);
    let draws = (0..REPLICATES).into_par_iter().map(|replicate| studentised(&drawn(groups, replicate, streams)));
    let draws: Vec<[Option<Studentised>; N]> = draws.collect();
    std::array::from_fn(|at| estimates[at].and_then(|of| interval(of, draws.iter().filter_map(|draw| draw[at]))))
}

/// Number of groups with a known positive of each class. `group` is the group of each row.
#[must_use]
pub fn positive_groups(scored: &LabelledScores, group: &[u32]) -> Vec<u64> {
    (0..scored.classes()).map(|class| with_positive(scored, group, |labels| labels[class] == Label::Present)).collect()
}

fn with_any_positive(scored: &LabelledScores, group: &[u32]) -> u64 {
    with_positive(scored, group, |labels| labels.contains(&Label::Present))
}

fn with_positive(scored: &LabelledScores, group: &[u32], positive: impl Fn(&[Label]) -> bool) -> u64 {
    let rows = scored.iter().zip(group).filter(|((_, labels), _)| positive(labels));
    rows.map(|(_, group)| group).collect::<std::collections::BTreeSet<_>>().len() as u64
}

/// Rows of a class in each fold.
fn sort(scored: &LabelledScores, group: &[u32], fold: &[u32], class: usize) -> Vec<Sorted> {
    let mut folds: Vec<Vec<(f64, u32, bool)>> = Vec::new();
    folds.resize_with(fold.iter().max().map_or(1, |&last| last as usize + 1), Vec::new);
    for (((scores, labels), &group), &fold) in scored.iter().zip(group).zip(fold) {
        if let Some(present) = known(labels[class]) {
            folds[fold as usize].push((scores[class], group, present));
        }
    }
    let sorted = |mut rows: Vec<(f64, u32, bool)>| {
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let ends = |i: usize| rows.get(i + 1).is_none_or(|next| next.0 != rows[i].0);
        rows.iter().enumerate().map(|(i, &(_, group, present))| (group, present, ends(i))).collect()
    };
    folds.into_iter().map(sorted).collect()
}

fn shares(scored: &LabelledScores, group: &[u32], groups: usize, thresholds: &[f64]) -> Vec<GroupTally> {
    let none = ConfusionCounts::default();
    let none = GroupTally { counts: vec![none; scored.classes()], pooled: none, full: 0, right: 0 };
    let mut shares = vec![none; groups];
    for ((scores, labels), &group) in scored.iter().zip(group) {
        let share = &mut shares[group as usize];
        let mut right = true;
        for (class, &label) in labels.iter().enumerate() {
            if let Some(present) = known(label) {
                let predicted = scored.decision().predicts(scores, class, thresholds[class]);
                share.counts[class].add(present, predicted);
                share.pooled.add(present, predicted);
                right &= present == predicted;
            }
        }
        if !labels.contains(&Label::Unknown) {
            share.full += 1;
            share.right += u64::from(right);
        }
    }
    shares
}

/// Value of a metric, and its standard error.
type Studentised = (f64, f64);

/// Metrics of one resample.
struct Replicate {
    /// Metrics in the order in which [`intervals_over_folds`] reads them.
    values: Vec<Option<Studentised>>,
    /// Which classes are defined, for each mean (average precision, then F1 at each set of thresholds).
    classes: Vec<Vec<bool>>,
    /// Whether they are the classes of the estimate.
    same_classes: Vec<bool>,
}

impl Replicate {
    fn push(&mut self, metric: Option<&Sloped>, times: &[u64]) {
        self.values.push(metric.map(|metric| (metric.value, metric.error(times))));
    }

    /// Adds a mean over classes; [`None`] if its classes differ from those of the estimate.
    fn push_mean(&mut self, of: &[Option<Sloped>], times: &[u64], estimate: Option<&Self>) {
        let classes: Vec<bool> = of.iter().map(Option::is_some).collect();
        let same = estimate.is_none_or(|estimate| estimate.classes[self.classes.len()] == classes);
        self.push(Sloped::mean(of).filter(|_| same).as_ref(), times);
        self.classes.push(classes);
        self.same_classes.push(same);
    }
}

/// Metrics with each group repeated `times` times; without an `estimate`, the result is the estimate.
fn metrics_of(
    sorted: &[Vec<Sorted>],
    shares: &[Vec<GroupTally>],
    times: &[u64],
    zero: ZeroDivision,
    estimate: Option<&Replicate>,
) -> Replicate {
    let mut draw = Replicate { values: Vec::new(), classes: Vec::new(), same_classes: Vec::new() };
    let over_folds = |folds: &Vec<Sorted>| {
        let of_folds: Vec<Option<Sloped>> = folds.iter().map(|rows| Sloped::average_precision(rows, times)).collect();
        Sloped::mean(&of_folds)
    };
    let precision: Vec<Option<Sloped>> = sorted.iter().map(over_folds).collect();
    for class in &precision {
        draw.push(class.as_ref(), times);
    }
    draw.push_mean(&precision, times, estimate);
    for shares in shares {
        let of_class = |class: usize| Sloped::f1(shares.iter().map(|share| &share.counts[class]), times, zero);
        let f1: Vec<Option<Sloped>> = (0..sorted.len()).map(of_class).collect();
        for class in &f1 {
            draw.push(class.as_ref(), times);
        }
        draw.push(Sloped::f1(shares.iter().map(|share| &share.pooled), times, zero).as_ref(), times);
        draw.push_mean(&f1, times, estimate);
        let wrong =
            |share: &GroupTally| (share.pooled.false_positives + share.pooled.false_negatives, share.pooled.known());
        let hamming: Vec<(u64, u64)> = shares.iter().map(wrong).collect();
        draw.push(Sloped::ratio(&hamming, times).as_ref(), times);
        let subset: Vec<(u64, u64)> = shares.iter().map(|share| (share.right, share.full)).collect();
        draw.push(Sloped::ratio(&subset, times).as_ref(), times);
    }
    draw
}

/// Bootstrap-t interval of a metric between 0 and 1. Resamples in which it does not vary have no standard error and are left out.
fn interval((value, error): Studentised, draws: impl Iterator<Item = Studentised>) -> Option<Interval> {
    let pivot = |(own, error): Studentised| (error > NO_ERROR).then(|| (own - value) / error);
    let mut pivots: Vec<f64> = draws.filter_map(pivot).collect();
    if error <= NO_ERROR || (pivots.len() as u64) < REPLICATES / 2 {
        return None;
    }
    pivots.sort_unstable_by(f64::total_cmp);
    let end = |share: f64| (value - percentile(&pivots, share) * error).clamp(0.0, 1.0);
    Some(Interval { low: end(0.975), high: end(0.025) })
}

/// Linear interpolation between order statistics (numpy's default).
pub(in crate::learn) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = sorted[at as usize];
    let above = sorted[(at as usize + 1).min(sorted.len() - 1)];
    (below + (above - below) * at.fract()).clamp(below, above)
}
