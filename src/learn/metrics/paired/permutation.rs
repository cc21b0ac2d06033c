//! Permutation test: if two models are equally good, it does not matter which of them scores a photograph.

use rayon::prelude::*;

use super::ranked::RankingSums;
use super::values::{ClassRanking, Defined, Prepared, TallySum, assembled, averaged, folds, known_rows};
use super::{CommonPatches, ModelScores, metrics};
use crate::base::Streams;

/// Differences closer than this are equal.
const EQUAL: f64 = 1e-12;

/// Row of either model among the rows of both, by rank.
struct SwapRow {
    unit: u32,
    present: bool,
    /// Whether its score is the second model's.
    second: bool,
    /// Whether the next rank is lower.
    ends: bool,
}

/// A repeat of each model, ready to be swapped.
struct RepeatPair {
    /// Rows of each class and fold, from the highest rank to the lowest.
    rows: Vec<Vec<Vec<SwapRow>>>,
    models: [Prepared; 2],
    defined: Vec<Defined>,
}

/// P value of each metric, two-sided, in the order of [`metrics`]: the share of `draws` permutations in which the two models differ at
/// least as much. A permutation swaps the models unit by unit (patient or photograph). Scores of two models share no scale, so ranking
/// metrics are of ranks among all patches (of a fold). Of each model as many repeats are used as the other has. [`None`] if the folds of
/// the models differ: then ranks cannot be swapped.
#[must_use]
pub fn permutation(
    patches: &CommonPatches,
    [first, second]: [&[ModelScores]; 2],
    draws: u64,
    streams: &Streams,
) -> Option<Vec<Option<f64>>> {
    if first.iter().zip(second).any(|(first, second)| first.fold != second.fold) {
        return None;
    }
    let pairs: Vec<RepeatPair> =
        first.iter().zip(second).map(|(first, second)| RepeatPair::new(patches, first, second)).collect();
    let difference = |swapped: &[bool]| -> Vec<Option<f64>> {
        averaged(pairs.iter().map(|pair| {
            let [first, second] = pair.values(swapped);
            (first.into_iter().zip(second).map(|(first, second)| Some(second? - first?)).collect(), 1)
        }))
    };
    let units = patches.units();
    let observed = difference(&vec![false; units]);
    let draw = |replicate: u64| -> Vec<u64> {
        let mut stream = streams.stream("permutation", replicate, &[]);
        let swapped: Vec<bool> = (0..units).map(|_| stream.bits() & 1 == 1).collect();
        let far = |(found, observed): (Option<f64>, &Option<f64>)| match (found, observed) {
            (Some(found), Some(observed)) => u64::from(found.abs() >= observed.abs() - EQUAL),
            _ => 1,
        };
        difference(&swapped).into_iter().zip(&observed).map(far).collect()
    };
    let none = || vec![0; metrics(patches.classes).len()];
    let add = |one: Vec<u64>, other: Vec<u64>| one.iter().zip(&other).map(|(one, other)| one + other).collect();
    let far: Vec<u64> = (0..draws).into_par_iter().map(draw).reduce(none, add);
    let p = |(far, observed): (u64, &Option<f64>)| observed.map(|_| (far + 1) as f64 / (draws + 1) as f64);
    Some(far.into_iter().zip(&observed).map(p).collect())
}

impl RepeatPair {
    fn new(patches: &CommonPatches, first: &ModelScores, second: &ModelScores) -> Self {
        Self {
            rows: (0..patches.classes).map(|class| merged(patches, [first, second], class)).collect(),
            models: [first, second].map(|model| Prepared::new(patches, model)),
            defined: Defined::of(patches),
        }
    }

    /// Metrics of both models after swapping the units in `swapped`.
    fn values(&self, swapped: &[bool]) -> [Vec<Option<f64>>; 2] {
        let mut rankings: [Vec<ClassRanking>; 2] = Default::default();
        for (class, folds) in self.rows.iter().enumerate() {
            let sums: Vec<[RankingSums; 2]> = folds.iter().map(|rows| swapped_sums(rows, swapped)).collect();
            let [first, second] = [0, 1].map(|model: usize| &self.models[model].within[class]);
            let mut within = [0.0; 2];
            for (&(unit, first), &(_, second)) in first.iter().zip(second) {
                let swap = usize::from(swapped[unit as usize]);
                within[swap] += first;
                within[1 - swap] += second;
            }
            for (model, rankings) in rankings.iter_mut().enumerate() {
                let folds: Vec<RankingSums> = sums.iter().map(|sums| sums[model]).collect();
                let within = (!first.is_empty()).then(|| within[model] / first.len() as f64);
                rankings.push(ClassRanking::over_folds(&folds, within));
            }
        }
        let mut tallies = [0, 1].map(|_| TallySum::new(self.rows.len()));
        for (unit, &swap) in swapped.iter().enumerate() {
            for (model, tally) in tallies.iter_mut().enumerate() {
                tally.add(&self.models[model ^ usize::from(swap)].tallies[unit], 1);
            }
        }
        let [first, second] = tallies;
        [assembled(&rankings[0], first, &self.defined), assembled(&rankings[1], second, &self.defined)]
    }
}

fn swapped_sums(rows: &[SwapRow], swapped: &[bool]) -> [RankingSums; 2] {
    let mut sums = [RankingSums::default(); 2];
    for row in rows {
        sums[usize::from(row.second ^ swapped[row.unit as usize])].add(row.present, 1);
        if row.ends {
            sums[0].close();
            sums[1].close();
        }
    }
    sums
}

/// Rows of a class of both models in each fold, by rank among the rows of their model and fold.
fn merged(patches: &CommonPatches, models: [&ModelScores; 2], class: usize) -> Vec<Vec<SwapRow>> {
    let mut all: Vec<Vec<(u64, u32, bool, bool)>> = vec![Vec::new(); folds(models[0])];
    for (model, second) in models.into_iter().zip([false, true]) {
        let mut rows: Vec<Vec<(f64, u32, bool)>> = vec![Vec::new(); all.len()];
        for (row, score, present) in known_rows(patches, model, class) {
            rows[model.fold[row] as usize].push((score, patches.unit[row], present));
        }
        for (rows, all) in rows.iter_mut().zip(&mut all) {
            rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
            let mut above = 0;
            for tied in rows.chunk_by(|a, b| a.0 == b.0) {
                // Twice the mean rank of the tied rows, counted from 0: a whole number.
                let rank = (2 * above + tied.len() - 1) as u64;
                all.extend(tied.iter().map(|&(_, unit, present)| (rank, unit, present, second)));
                above += tied.len();
            }
        }
    }
    let merge = |mut rows: Vec<(u64, u32, bool, bool)>| {
        rows.sort_unstable();
        let ends = |i: usize| rows.get(i + 1).is_none_or(|next| next.0 != rows[i].0);
        let ranked = rows.iter().enumerate();
        ranked.map(|(i, &(_, unit, present, second))| SwapRow { unit, present, second, ends: ends(i) }).collect()
    };
    all.into_iter().map(merge).collect()
}
