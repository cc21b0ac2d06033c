//! Metrics of weighted groups together with their slopes: the derivatives with respect to the weight of each group. The infinitesimal
//! jackknife gets standard errors from them without computing a metric once per group (Efron 1982, "The Jackknife, the Bootstrap and Other
//! Resampling Plans", chapter 6). Knows no interval.

use super::{ClassMetrics, ConfusionCounts, Mean, ZeroDivision};

/// Known rows of one class from the highest score to the lowest: group, presence, and whether the next score is lower.
pub(super) type Sorted = Vec<(u32, bool, bool)>;

/// Value of a metric, and its slope for each group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sloped {
    pub(super) value: f64,
    pub(super) slopes: Vec<f64>,
}

impl Sloped {
    /// Ratio of two sums over groups, given by the parts of each group; [`None`] if the denominator is 0.
    pub(super) fn ratio(parts: &[(u64, u64)], times: &[u64]) -> Option<Self> {
        let sum =
            |sums: (u64, u64), (part, times): (&(u64, u64), &u64)| (sums.0 + part.0 * times, sums.1 + part.1 * times);
        let (above, below) = parts.iter().zip(times).fold((0, 0), sum);
        let value = super::thresholded::ratio(above, below)?;
        let slope = |&(above, part): &(u64, u64)| (above as f64 - value * part as f64) / below as f64;
        Some(Self { value, slopes: parts.iter().map(slope).collect() })
    }

    /// F1 of the counts of each group; a value by `zero` has no slope.
    pub(super) fn f1<'a>(
        counts: impl Iterator<Item = &'a ConfusionCounts> + Clone,
        times: &[u64],
        zero: ZeroDivision,
    ) -> Option<Self> {
        let mut pooled = ConfusionCounts::default();
        for (counts, &times) in counts.clone().zip(times) {
            pooled.pool(counts, times);
        }
        let value = ClassMetrics::of(pooled, zero).f1?;
        let part = |counts: &ConfusionCounts| {
            let gain = 2 * counts.true_positives;
            (gain, gain + counts.false_positives + counts.false_negatives)
        };
        let parts: Vec<(u64, u64)> = counts.map(part).collect();
        Some(Self::ratio(&parts, times).unwrap_or_else(|| Self { value, slopes: vec![0.0; times.len()] }))
    }

    /// Mean of those that are defined; [`None`] if none is.
    pub(super) fn mean(all: &[Option<Self>]) -> Option<Self> {
        let value = Mean::of(all.iter().map(|one| one.as_ref().map(|one| one.value))).value?;
        let defined: Vec<&Self> = all.iter().flatten().collect();
        let slope = |group: usize| defined.iter().map(|one| one.slopes[group]).sum::<f64>() / defined.len() as f64;
        Some(Self { value, slopes: (0..defined[0].slopes.len()).map(slope).collect() })
    }

    /// Average precision with each group repeated `times` times; [`None`] without positives.
    ///
    /// With p positives at a score, and H positives and A rows at or above it, it is the sum of p H / A over the number of positives. A row
    /// adds to p at its own score, and to H and A there and below: its slope needs the sums of p / A and p H / A² from its score on,
    /// which are those of all scores less those above.
    pub(super) fn average_precision(rows: &Sorted, times: &[u64]) -> Option<Self> {
        let mut slopes = vec![0.0; times.len()];
        let mut own = vec![(0u64, 0u64); times.len()];
        let (mut hits, mut all, mut sum, mut gain, mut loss) = (0u64, 0u64, 0.0, 0.0, 0.0);
        for tied in rows.chunk_by(|row, _| !row.2) {
            let before = hits;
            for &(group, present, _) in tied {
                let times = times[group as usize];
                all += times;
                hits += if present { times } else { 0 };
            }
            if all == 0 {
                continue;
            }
            let (step, precision) = ((hits - before) as f64, hits as f64 / all as f64);
            for &(group, present, _) in tied {
                let (positives, rows) = &mut own[group as usize];
                *rows += 1;
                slopes[group as usize] += loss;
                if present {
                    *positives += 1;
                    slopes[group as usize] += precision - gain;
                }
            }
            sum += step * precision;
            gain += step / all as f64;
            loss += step * precision / all as f64;
        }
        if hits == 0 {
            return None;
        }
        let value = sum / hits as f64;
        for (slope, &(positives, rows)) in slopes.iter_mut().zip(&own) {
            *slope = (*slope + (gain - value) * positives as f64 - loss * rows as f64) / hits as f64;
        }
        Some(Self { value, slopes })
    }

    /// Area under the ROC curve with each group repeated `times` times; [`None`] without positives or without negatives.
    ///
    /// It is the number of pairs of a positive and a lower negative, ties counting half, over the number of pairs. A negative is in as many
    /// of these as there are positives above it, a positive in as many as there are negatives below it: all less those above.
    pub(super) fn auroc(rows: &Sorted, times: &[u64]) -> Option<Self> {
        let mut slopes = vec![0.0; times.len()];
        let mut own = vec![(0u64, 0u64); times.len()];
        let (mut positives, mut negatives, mut pairs) = (0u64, 0u64, 0.0);
        for tied in rows.chunk_by(|row, _| !row.2) {
            let (mut here, mut absent) = (0u64, 0u64);
            for &(group, present, _) in tied {
                *(if present { &mut here } else { &mut absent }) += times[group as usize];
            }
            let above = positives as f64 + here as f64 / 2.0;
            let not_below = negatives as f64 + absent as f64 / 2.0;
            for &(group, present, _) in tied {
                let (positives, negatives) = &mut own[group as usize];
                *(if present { positives } else { negatives }) += 1;
                slopes[group as usize] += if present { -not_below } else { above };
            }
            pairs += absent as f64 * above;
            positives += here;
            negatives += absent;
        }
        if positives == 0 || negatives == 0 {
            return None;
        }
        let (positives, negatives) = (positives as f64, negatives as f64);
        let value = pairs / (positives * negatives);
        for (slope, &(present, absent)) in slopes.iter_mut().zip(&own) {
            let (present, absent) = (present as f64, absent as f64);
            let gained = *slope + negatives * present;
            *slope = (gained - value * (negatives * present + positives * absent)) / (positives * negatives);
        }
        Some(Self { value, slopes })
    }

    /// Standard error by the infinitesimal jackknife over groups, with the factor n / (n - 1) of a variance.
    pub(super) fn error(&self, times: &[u64]) -> f64 {
        let n = times.iter().sum::<u64>() as f64;
        let squares: f64 = self.slopes.iter().zip(times).map(|(slope, &times)| slope * slope * times as f64).sum();
        (squares * n / (n - 1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with ties, over three groups.
    fn rows() -> Sorted {
        vec![
            (0, true, true),
            (1, false, false),
            (2, true, true),
            (1, true, true),
            (0, false, false),
            (0, true, false),
            (2, false, true),
            (1, false, true),
        ]
    }

    /// Slopes at `times`, as differences over many rows: a repetition more or less changes little.
    fn differences(metric: impl Fn(&[u64]) -> f64, times: [u64; 3]) -> Vec<f64> {
        const SCALE: u64 = 1_000_000;
        let at = |group: usize, more: i64| {
            let mut times = times.map(|times| times * SCALE);
            times[group] = times[group].saturating_add_signed(more);
            metric(&times)
        };
        (0..3).map(|group| (at(group, 1000) - at(group, -1000)) / 2000.0 * SCALE as f64).collect()
    }

    #[test]
    fn slopes_are_derivatives() {
        let near = |found: Sloped, expected: Vec<f64>| {
            for (found, expected) in found.slopes.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
            }
        };
        for times in [[1, 1, 1], [2, 1, 3]] {
            let ap = |times: &[u64]| Sloped::average_precision(&rows(), times).expect("positives");
            near(ap(&times), differences(|times| ap(times).value, times));
            let auroc = |times: &[u64]| Sloped::auroc(&rows(), times).expect("positives and negatives");
            near(auroc(&times), differences(|times| auroc(times).value, times));
            let counts = |tp, fp, fal| ConfusionCounts {
                true_positives: tp,
                false_positives: fp,
                false_negatives: fal,
                true_negatives: 3,
            };
            let groups = [counts(3, 1, 0), counts(1, 4, 2), counts(2, 0, 1)];
            let f1 = |times: &[u64]| Sloped::f1(groups.iter(), times, ZeroDivision::Undefined).expect("positives");
            near(f1(&times), differences(|times| f1(times).value, times));
        }
    }

    #[test]
    fn groups_without_weight_do_not_count() {
        let found = Sloped::average_precision(&rows(), &[0, 1, 0]).expect("a positive");
        // Of group 1: absent, present, absent.
        assert!((found.value - 0.5).abs() < 1e-12);
        assert_eq!(Sloped::average_precision(&vec![(0, false, true)], &[1]), None);
        // Of group 1, by scores: absent, present, absent.
        let auroc = Sloped::auroc(&rows(), &[0, 1, 0]).expect("a positive and negatives");
        assert!((auroc.value - 0.5).abs() < 1e-12, "{auroc:?}");
        assert_eq!(Sloped::auroc(&rows(), &[0, 0, 0]), None);
        assert!(Sloped::mean(&[None, Some(found.clone())]).is_some_and(|mean| mean == found));
    }

    #[test]
    fn the_error_of_a_mean_is_that_of_the_textbook() {
        // Groups of one row each: a proportion of 3 in 10, whose standard error is √(p (1 - p) / (n - 1)).
        let parts: Vec<(u64, u64)> = (0..10).map(|group| (u64::from(group < 3), 1)).collect();
        let found = Sloped::ratio(&parts, &[1; 10]).expect("rows").error(&[1; 10]);
        assert!((found - (0.3 * 0.7 / 9.0_f64).sqrt()).abs() < 1e-12, "{found}");
    }
}
