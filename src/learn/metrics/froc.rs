//! Free-response ROC: how many lesions are detected at a number of false alarms per photograph. Knows no map and no lesion's shape.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bootstrap::{FEWEST_GROUPS, intervals_of};
use super::slices::Estimate;
use super::slopes::Sloped;
use crate::base::Streams;

/// False alarms per photograph at which sensitivity is stated, as in the LUNA16 challenge (Setio et al. 2017).
pub const FALSE_ALARM_RATES: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// Sensitivity at each rate, and their mean.
const METRICS: usize = FALSE_ALARM_RATES.len() + 1;

/// Group and fold of a photograph, or of a lesion by its photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrocPlace {
    /// Patient, or photograph if the patient is unknown, numbered from 0.
    pub group: u32,
    /// Fold, numbered from 0: scores of different folds are not compared.
    pub fold: u32,
}

/// Peak of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrocPeak {
    /// Score.
    pub score: f64,
    /// Group and fold of its photograph.
    pub place: FrocPlace,
    /// Index of the lesion that it hits; [`None`] of a false alarm.
    pub lesion: Option<usize>,
}

/// Photographs, lesions and peaks of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrocData {
    /// Photographs in which the class is annotated.
    pub photographs: Vec<FrocPlace>,
    /// Their lesions.
    pub lesions: Vec<FrocPlace>,
    /// Peaks of their maps.
    pub peaks: Vec<FrocPeak>,
}

/// Sensitivity of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrocMetrics {
    /// Photographs in which the class is annotated.
    pub photographs: u64,
    /// Lesions.
    pub lesions: u64,
    /// Groups with a lesion.
    pub groups: u64,
    /// Peaks.
    pub peaks: u64,
    /// Fraction of lesions that have a peak at all.
    pub any_peak: Option<f64>,
    /// Sensitivity at each of [`FALSE_ALARM_RATES`].
    pub sensitivity: Vec<Estimate>,
    /// Their mean.
    pub mean: Estimate,
}

/// Scores of one fold, from the highest to the lowest.
#[derive(Default)]
struct FoldScores {
    /// Photographs of each group.
    photographs: BTreeMap<u32, u64>,
    /// False alarms: score and group.
    alarms: Vec<(f64, u32)>,
    /// Detected lesions: score of the highest peak, and group.
    hits: Vec<(f64, u32)>,
}

impl FrocData {
    /// Sensitivity at each rate of false alarms per photograph: the fraction of lesions that are hit by a peak at or above a score, the lowest
    /// at which this rate is not exceeded; each fold has its own. Several peaks in one lesion count once. `groups` is the number of
    /// groups of all photographs.
    #[must_use]
    pub fn metrics(&self, groups: usize, streams: &Streams) -> FrocMetrics {
        let folds = self.folds();
        let mut lesions = vec![0u64; groups];
        self.lesions.iter().for_each(|lesion| lesions[lesion.group as usize] += 1);
        let of = |times: &[u64]| -> [Option<Sloped>; METRICS] {
            let at = FALSE_ALARM_RATES.map(|rate| {
                let mut parts: Vec<(u64, u64)> = lesions.iter().map(|lesions| (0, *lesions)).collect();
                for fold in &folds {
                    let below = fold.highest_refused(rate, times);
                    let found = fold.hits.iter().take_while(|(score, _)| below.is_none_or(|below| *score > below));
                    found.for_each(|(_, group)| parts[*group as usize].0 += 1);
                }
                Sloped::ratio(&parts, times)
            });
            let mean = Sloped::mean(&at);
            let mut all = at.into_iter().chain([mean]);
            std::array::from_fn(|_| all.next().flatten())
        };
        let with_lesion = self.lesions.iter().map(|lesion| lesion.group).collect::<BTreeSet<_>>().len();
        let values = of(&vec![1; groups]).map(|found| found.map(|found| found.value));
        let enough = with_lesion >= FEWEST_GROUPS;
        let intervals = if enough { intervals_of(groups, of, streams) } else { [None; METRICS] };
        let estimate = |at: usize| Estimate { value: values[at], interval: intervals[at] };
        let hit = folds.iter().map(|fold| fold.hits.len()).sum::<usize>();
        FrocMetrics {
            photographs: self.photographs.len() as u64,
            lesions: self.lesions.len() as u64,
            groups: with_lesion as u64,
            peaks: self.peaks.len() as u64,
            any_peak: (!self.lesions.is_empty()).then(|| hit as f64 / self.lesions.len() as f64),
            sensitivity: (0..FALSE_ALARM_RATES.len()).map(estimate).collect(),
            mean: estimate(FALSE_ALARM_RATES.len()),
        }
    }

    /// Score of each lesion: that of the highest peak that hits it.
    #[must_use]
    pub fn lesion_scores(&self) -> Vec<Option<f64>> {
        let mut scores: Vec<Option<f64>> = vec![None; self.lesions.len()];
        for peak in &self.peaks {
            if let Some(lesion) = peak.lesion {
                let highest = scores[lesion].map_or(peak.score, |score| score.max(peak.score));
                scores[lesion] = Some(highest);
            }
        }
        scores
    }

    /// Points of the curve of each fold, from the highest score to the lowest: fold, score, false alarms per photograph and sensitivity of
    /// peaks at or above it.
    #[must_use]
    pub fn curve(&self) -> Vec<(u32, f64, f64, Option<f64>)> {
        let mut points = Vec::new();
        for (number, fold) in (0u32..).zip(self.folds()) {
            let photographs: u64 = fold.photographs.values().sum();
            let lesions = self.lesions.iter().filter(|lesion| lesion.fold == number).count();
            let mut scores: Vec<f64> = fold.alarms.iter().chain(&fold.hits).map(|(score, _)| *score).collect();
            scores.sort_unstable_by(|a, b| b.total_cmp(a));
            scores.dedup();
            let at = |all: &[(f64, u32)], score: f64| all.partition_point(|(own, _)| *own >= score) as f64;
            points.extend(scores.into_iter().map(|score| {
                let sensitivity = (lesions > 0).then(|| at(&fold.hits, score) / lesions as f64);
                (number, score, at(&fold.alarms, score) / photographs as f64, sensitivity)
            }));
        }
        points
    }

    fn folds(&self) -> Vec<FoldScores> {
        let mut folds: Vec<FoldScores> = Vec::new();
        folds.resize_with(
            self.photographs.iter().map(|one| one.fold as usize + 1).max().unwrap_or(0),
            FoldScores::default,
        );
        for photograph in &self.photographs {
            *folds[photograph.fold as usize].photographs.entry(photograph.group).or_default() += 1;
        }
        for peak in self.peaks.iter().filter(|peak| peak.lesion.is_none()) {
            folds[peak.place.fold as usize].alarms.push((peak.score, peak.place.group));
        }
        for (lesion, score) in self.lesions.iter().zip(self.lesion_scores()) {
            folds[lesion.fold as usize].hits.extend(score.map(|score| (score, lesion.group)));
        }
        for fold in &mut folds {
            for scores in [&mut fold.alarms, &mut fold.hits] {
                scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            }
        }
        folds
    }
}

impl FoldScores {
    /// Highest score of a false alarm that would exceed the rate; [`None`] if all are allowed.
    fn highest_refused(&self, rate: f64, times: &[u64]) -> Option<f64> {
        let photographs: u64 = self.photographs.iter().map(|(group, count)| count * times[*group as usize]).sum();
        let allowed = rate * photographs as f64;
        let mut alarms = 0;
        for tied in self.alarms.chunk_by(|a, b| a.0 == b.0) {
            alarms += tied.iter().map(|(_, group)| times[*group as usize]).sum::<u64>();
            if alarms as f64 > allowed {
                return Some(tied[0].0);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: u32) -> FrocPlace {
        FrocPlace { group, fold: 0 }
    }

    #[test]
    fn sensitivity_is_that_of_the_lowest_score_with_so_few_false_alarms() {
        let peak = |score: f64, group: u32, lesion: Option<usize>| FrocPeak { score, place: place(group), lesion };
        let data = FrocData {
            photographs: vec![place(0), place(1)],
            lesions: vec![place(0), place(0), place(1), place(1)],
            // The second peak of lesion 0 counts as nothing; two alarms share a score, and one with a lesion.
            peaks: vec![
                peak(0.9, 0, Some(0)),
                peak(0.8, 0, Some(0)),
                peak(0.7, 0, None),
                peak(0.6, 1, Some(2)),
                peak(0.5, 1, None),
                peak(0.5, 0, None),
                peak(0.5, 1, Some(3)),
                peak(0.4, 0, Some(1)),
            ],
        };
        let found = data.metrics(2, &Streams::new(1, "froc"));
        let values: Vec<f64> = found.sensitivity.iter().map(|one| one.value.expect("lesions")).collect();
        // At 1/2 per photograph one alarm is allowed; at 1, two are, but the two of score 0.5 would make three; at 2, all.
        assert_eq!(values, [0.25, 0.25, 0.5, 0.5, 1.0, 1.0, 1.0]);
        assert!((found.mean.value.expect("lesions") - 4.5 / 7.0).abs() < 1e-12);
        assert_eq!((found.any_peak, found.mean.interval), (Some(1.0), None));
        let curve = data.curve();
        assert_eq!(curve.len(), 5, "the second peak of a lesion is not a point");
        assert_eq!([curve[0], curve[3]], [(0, 0.9, 0.0, Some(0.25)), (0, 0.5, 1.5, Some(0.75))]);
    }
}
