//! Confidence intervals: percentile bootstrap over groups (patients or photographs), because patches of one photograph are not
//! independent (cluster bootstrap, Field and Welsh 2007).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ClassMetrics, ConfusionCounts, LabelledScores, Mean, ZeroDivision, known};
use crate::base::Streams;
use crate::data::patches::Label;

/// Number of bootstrap resamples.
pub const REPLICATES: u64 = 1000;

/// Minimum number of groups for an interval.
pub const FEWEST_GROUPS: usize = 5;

/// 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
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

/// Intervals of the main metrics; [`None`] if a metric is defined in fewer than half of the resamples.
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

/// Known rows of one class from the highest score to the lowest: group, presence, and whether the next score is lower.
type Sorted = Vec<(u32, bool, bool)>;

/// Counts of one group at one set of thresholds.
#[derive(Clone)]
struct GroupTally {
    counts: Vec<ConfusionCounts>,
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
    assert_eq!(group.len(), scored.rows(), "one group per row");
    let groups = group.iter().max().map_or(0, |&last| last as usize + 1);
    if groups < FEWEST_GROUPS {
        return None;
    }
    let sorted: Vec<Sorted> = (0..scored.classes()).map(|class| sort(scored, group, class)).collect();
    let shares: Vec<Vec<GroupTally>> = thresholds.iter().map(|at| shares(scored, group, groups, at)).collect();
    let estimate = metrics_of(&sorted, &shares, &vec![1; groups], zero, None);
    let draws: Vec<Replicate> = (0..REPLICATES)
        .into_par_iter()
        .map(|replicate| {
            let mut stream = streams.stream("bootstrap", replicate, &[]);
            let mut times = vec![0u64; groups];
            for _ in 0..groups {
                times[stream.below(groups as u64) as usize] += 1;
            }
            metrics_of(&sorted, &shares, &times, zero, Some(&estimate))
        })
        .collect();
    let values = |at: usize| draws.iter().filter_map(|draw| draw.values[at]).collect();
    let mut columns = (0..estimate.values.len()).map(|at| interval(values(at)));
    let dropped = |at: usize| draws.iter().filter(|draw| !draw.same_classes[at]).count() as u64;
    let mut next = || columns.next().flatten();
    let average_precision = (0..scored.classes()).map(|_| next()).collect();
    let mut all = Intervals {
        groups,
        replicates: REPLICATES,
        average_precision,
        mean_average_precision: next(),
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
    for _ in thresholds {
        all.f1.push((0..scored.classes()).map(|_| next()).collect());
        all.micro_f1.push(next());
        all.macro_f1.push(next());
        all.hamming_loss.push(next());
        all.subset_accuracy.push(next());
    }
    Some(all)
}

fn sort(scored: &LabelledScores, group: &[u32], class: usize) -> Sorted {
    let mut rows: Vec<(f64, u32, bool)> = scored
        .iter()
        .zip(group)
        .filter_map(|((scores, labels), &group)| known(labels[class]).map(|present| (scores[class], group, present)))
        .collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let ends = |i: usize| rows.get(i + 1).is_none_or(|next| next.0 != rows[i].0);
    rows.iter().enumerate().map(|(i, &(_, group, present))| (group, present, ends(i))).collect()
}

fn shares(scored: &LabelledScores, group: &[u32], groups: usize, thresholds: &[f64]) -> Vec<GroupTally> {
    let none = GroupTally { counts: vec![ConfusionCounts::default(); scored.classes()], full: 0, right: 0 };
    let mut shares = vec![none; groups];
    for ((scores, labels), &group) in scored.iter().zip(group) {
        let share = &mut shares[group as usize];
        let mut right = true;
        for (class, &label) in labels.iter().enumerate() {
            if let Some(present) = known(label) {
                let predicted = scores[class] >= thresholds[class];
                share.counts[class].add(present, predicted);
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

/// Metrics of one resample.
struct Replicate {
    /// Metrics in the order in which [`intervals`] reads them.
    values: Vec<Option<f64>>,
    /// Which classes are defined, for each mean (average precision, then F1 at each set of thresholds).
    classes: Vec<Vec<bool>>,
    /// Whether they are the classes of the estimate.
    same_classes: Vec<bool>,
}

impl Replicate {
    /// Adds a mean over classes; [`None`] if its classes differ from those of the estimate.
    fn push_mean(&mut self, of: &[Option<f64>], estimate: Option<&Self>) {
        let classes: Vec<bool> = of.iter().map(Option::is_some).collect();
        let same = estimate.is_none_or(|estimate| estimate.classes[self.classes.len()] == classes);
        self.values.push(Mean::of(of.iter().copied()).value.filter(|_| same));
        self.classes.push(classes);
        self.same_classes.push(same);
    }
}

/// Metrics with each group repeated `times` times; without an `estimate`, the result is the estimate.
fn metrics_of(
    sorted: &[Sorted],
    shares: &[Vec<GroupTally>],
    times: &[u64],
    zero: ZeroDivision,
    estimate: Option<&Replicate>,
) -> Replicate {
    let precision: Vec<Option<f64>> = sorted.iter().map(|rows| average_precision(rows, times)).collect();
    let mut draw = Replicate { values: precision.clone(), classes: Vec::new(), same_classes: Vec::new() };
    draw.push_mean(&precision, estimate);
    for shares in shares {
        let mut counts = vec![ConfusionCounts::default(); sorted.len()];
        let mut pooled = ConfusionCounts::default();
        let (mut full, mut right) = (0, 0);
        for (share, &times) in shares.iter().zip(times) {
            full += share.full * times;
            right += share.right * times;
            for (sum, class) in counts.iter_mut().zip(&share.counts) {
                sum.pool(class, times);
                pooled.pool(class, times);
            }
        }
        let f1: Vec<Option<f64>> = counts.into_iter().map(|counts| ClassMetrics::of(counts, zero).f1).collect();
        draw.values.extend(&f1);
        draw.values.push(ClassMetrics::of(pooled, zero).f1);
        draw.push_mean(&f1, estimate);
        draw.values.push(super::thresholded::ratio(pooled.false_positives + pooled.false_negatives, pooled.known()));
        draw.values.push(super::thresholded::ratio(right, full));
    }
    draw
}

/// Average precision with each group repeated `times` times.
fn average_precision(rows: &Sorted, times: &[u64]) -> Option<f64> {
    let (mut hits, mut all, mut before, mut sum) = (0, 0, 0, 0.0);
    for &(group, present, ends) in rows {
        let times = times[group as usize];
        all += times;
        hits += if present { times } else { 0 };
        if ends && hits > before {
            sum += (hits - before) as f64 * (hits as f64 / all as f64);
            before = hits;
        }
    }
    (hits > 0).then(|| sum / hits as f64)
}

fn interval(mut values: Vec<f64>) -> Option<Interval> {
    if (values.len() as u64) < REPLICATES / 2 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: percentile(&values, 0.025), high: percentile(&values, 0.975) })
}

/// Linear interpolation between order statistics (numpy's default).
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = sorted[at as usize];
    let above = sorted[(at as usize + 1).min(sorted.len() - 1)];
    (below + (above - below) * at.fract()).clamp(below, above)
}
