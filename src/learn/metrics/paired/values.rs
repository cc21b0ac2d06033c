//! All metrics of a model, with each unit repeated a number of times.

use super::ranked::{RankedRow, RankingSums, mean, sums};
use super::{CommonPatches, ModelScores};
use crate::data::patches::Label;
use crate::learn::metrics::thresholded::ratio;
use crate::learn::metrics::within::by_photograph;
use crate::learn::metrics::{ClassMetrics, ConfusionCounts, ZeroDivision, known};

/// Metrics over all classes.
pub(super) const OVER_ALL: [&str; 7] = [
    "mean-average-precision",
    "mean-within-photograph-average-precision",
    "mean-auroc",
    "micro-f1",
    "macro-f1",
    "hamming-loss",
    "subset-accuracy",
];

/// Metrics of one class.
pub(super) const OF_CLASS: [&str; 6] =
    ["average-precision", "within-photograph-average-precision", "auroc", "f1", "precision", "recall"];

/// Counts of one unit at the thresholds.
#[derive(Clone, Debug)]
pub(super) struct UnitTally {
    counts: Vec<ConfusionCounts>,
    full: u64,
    right: u64,
}

/// Sum of [`UnitTally`] over units.
pub(super) struct TallySum(UnitTally);

impl TallySum {
    pub(super) fn new(classes: usize) -> Self {
        Self(UnitTally { counts: vec![ConfusionCounts::default(); classes], full: 0, right: 0 })
    }

    pub(super) fn add(&mut self, tally: &UnitTally, times: u64) {
        for (sum, counts) in self.0.counts.iter_mut().zip(&tally.counts) {
            sum.pool(counts, times);
        }
        self.0.full += tally.full * times;
        self.0.right += tally.right * times;
    }
}

/// Threshold-free metrics of one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassRanking {
    pub(super) average_precision: Option<f64>,
    pub(super) within_photograph: Option<f64>,
    pub(super) auroc: Option<f64>,
}

impl ClassRanking {
    /// Ranking metrics averaged over the folds in which they are defined.
    pub(super) fn over_folds(folds: &[RankingSums], within_photograph: Option<f64>) -> Self {
        Self {
            average_precision: mean(folds.iter().map(RankingSums::average_precision)),
            within_photograph,
            auroc: mean(folds.iter().map(RankingSums::auroc)),
        }
    }
}

/// A model's scores, sorted and counted.
pub(super) struct Prepared {
    /// Rows of each class and fold, from the highest score to the lowest.
    rows: Vec<Vec<Vec<RankedRow>>>,
    /// Average precision within each photograph with a positive, of each class: unit and value.
    pub(super) within: Vec<Vec<(u32, f64)>>,
    /// Counts of each unit.
    pub(super) tallies: Vec<UnitTally>,
    /// Classes with known positives, and with known negatives as well.
    defined: Vec<Defined>,
}

/// Which metrics of a class are defined on all patches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defined {
    positives: bool,
    both: bool,
}

impl Defined {
    pub(super) fn of(patches: &CommonPatches) -> Vec<Self> {
        let has = |class: usize, label: Label| {
            patches.labels.iter().skip(class).step_by(patches.classes).any(|&own| own == label)
        };
        let of = |class| Self {
            positives: has(class, Label::Present),
            both: has(class, Label::Present) && has(class, Label::Absent),
        };
        (0..patches.classes).map(of).collect()
    }
}

/// Rows of one class whose label is known: row, score, and whether the class is present.
pub(super) fn known_rows<'a>(
    patches: &'a CommonPatches,
    model: &'a ModelScores,
    class: usize,
) -> impl Iterator<Item = (usize, f64, bool)> + 'a {
    (0..patches.rows()).filter_map(move |row| {
        let at = row * patches.classes + class;
        known(patches.labels[at]).map(|present| (row, model.scores[at], present))
    })
}

/// Number of folds of a model.
pub(super) fn folds(model: &ModelScores) -> usize {
    model.fold.iter().max().map_or(0, |&last| last as usize + 1)
}

impl Prepared {
    pub(super) fn new(patches: &CommonPatches, model: &ModelScores) -> Self {
        let classes = patches.classes;
        assert_eq!(model.scores.len(), patches.labels.len(), "one score per label");
        let within = |class: usize| {
            let rows = known_rows(patches, model, class).map(|(row, score, present)| (row as u32, score, present));
            let mut unit_of = std::collections::BTreeMap::new();
            let rows = rows.map(|(row, score, present)| {
                let photograph = patches.photograph[row as usize];
                unit_of.insert(photograph, patches.unit[row as usize]);
                (photograph, score, present)
            });
            let values = by_photograph(rows);
            values.into_iter().map(|(photograph, value)| (unit_of[&photograph], value)).collect()
        };
        Self {
            rows: (0..classes).map(|class| sorted(patches, model, class)).collect(),
            within: (0..classes).map(within).collect(),
            tallies: tallies(patches, model),
            defined: Defined::of(patches),
        }
    }

    /// All metrics with each unit repeated `times` times, in the order of [`super::metrics`].
    pub(super) fn values(&self, times: &[u64]) -> Vec<Option<f64>> {
        let of_class = |(rows, within): (&Vec<Vec<RankedRow>>, &Vec<(u32, f64)>)| {
            let folds: Vec<RankingSums> = rows.iter().map(|rows| sums(rows, times)).collect();
            let (mut sum, mut photographs) = (0.0, 0);
            for &(unit, value) in within {
                sum += value * times[unit as usize] as f64;
                photographs += times[unit as usize];
            }
            ClassRanking::over_folds(&folds, (photographs > 0).then(|| sum / photographs as f64))
        };
        let rankings: Vec<ClassRanking> = self.rows.iter().zip(&self.within).map(of_class).collect();
        let mut tally = TallySum::new(self.rows.len());
        for (own, &times) in self.tallies.iter().zip(times) {
            tally.add(own, times);
        }
        assembled(&rankings, tally, &self.defined)
    }
}

/// Rows of a class in each fold, from the highest score to the lowest.
fn sorted(patches: &CommonPatches, model: &ModelScores, class: usize) -> Vec<Vec<RankedRow>> {
    let mut rows: Vec<Vec<(f64, u32, bool)>> = vec![Vec::new(); folds(model)];
    for (row, score, present) in known_rows(patches, model, class) {
        rows[model.fold[row] as usize].push((score, patches.unit[row], present));
    }
    let ranked = |mut rows: Vec<(f64, u32, bool)>| {
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let ends = |i: usize| rows.get(i + 1).is_none_or(|next| next.0 != rows[i].0);
        let ranked = rows.iter().enumerate();
        ranked.map(|(i, &(_, unit, present))| RankedRow { unit, present, ends: ends(i) }).collect()
    };
    rows.into_iter().map(ranked).collect()
}

fn tallies(patches: &CommonPatches, model: &ModelScores) -> Vec<UnitTally> {
    let none = UnitTally { counts: vec![ConfusionCounts::default(); patches.classes], full: 0, right: 0 };
    let mut tallies = vec![none; patches.units()];
    let rows = patches.labels.chunks_exact(patches.classes).zip(model.predicted.chunks_exact(patches.classes));
    for ((labels, predicted), &unit) in rows.zip(&patches.unit) {
        let tally = &mut tallies[unit as usize];
        let mut right = true;
        for (class, (&label, &predicted)) in labels.iter().zip(predicted).enumerate() {
            if let Some(present) = known(label) {
                tally.counts[class].add(present, predicted);
                right &= present == predicted;
            }
        }
        if !labels.contains(&Label::Unknown) {
            tally.full += 1;
            tally.right += u64::from(right);
        }
    }
    tallies
}

/// Metrics in the order of [`super::metrics`]. A mean is over the classes that are defined on all patches, and undefined if one of them
/// is undefined here: a mean over others would be another metric.
pub(super) fn assembled(rankings: &[ClassRanking], tally: TallySum, defined: &[Defined]) -> Vec<Option<f64>> {
    let UnitTally { counts, full, right } = tally.0;
    let mut pooled = ConfusionCounts::default();
    for counts in &counts {
        pooled.pool(counts, 1);
    }
    let zero = ZeroDivision::Undefined;
    let at: Vec<ClassMetrics> = counts.into_iter().map(|counts| ClassMetrics::of(counts, zero)).collect();
    let over = |wanted: fn(&Defined) -> bool, value: &dyn Fn(usize) -> Option<f64>| {
        let classes = (0..defined.len()).filter(|&class| wanted(&defined[class]));
        let values: Option<Vec<f64>> = classes.map(value).collect();
        values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
    };
    let mut all = vec![
        over(|class| class.positives, &|class| rankings[class].average_precision),
        over(|class| class.positives, &|class| rankings[class].within_photograph),
        over(|class| class.both, &|class| rankings[class].auroc),
        ClassMetrics::of(pooled, zero).f1,
        over(|class| class.positives, &|class| at[class].f1),
        ratio(pooled.false_positives + pooled.false_negatives, pooled.known()),
        ratio(right, full),
    ];
    for (ranking, at) in rankings.iter().zip(&at) {
        let ranked = [ranking.average_precision, ranking.within_photograph, ranking.auroc];
        all.extend(ranked.into_iter().chain([at.f1, at.precision, at.recall]));
    }
    all
}

/// Mean of each metric over repeats, each with the number of times that it counts; [`None`] if it is undefined in one of them.
pub(super) fn averaged(repeats: impl Iterator<Item = (Vec<Option<f64>>, u64)>) -> Vec<Option<f64>> {
    let all: Vec<(Vec<Option<f64>>, u64)> = repeats.collect();
    let metrics = all.first().map_or(0, |(values, _)| values.len());
    let count: u64 = all.iter().map(|(_, times)| times).sum();
    let mean = |at: usize| {
        let values: Option<Vec<f64>> = all.iter().map(|(values, times)| Some(values[at]? * *times as f64)).collect();
        values.map(|values| values.iter().sum::<f64>() / count as f64)
    };
    (0..metrics).map(mean).collect()
}
