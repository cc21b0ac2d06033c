//! Mean average precision at R (Musgrave et al. 2020): how well the nearest of some reference patches agree with a patch.
//!
//! Of a query that is positive for a class, with R positive references, it is `1/R sum_{i<=R} P(i)` over its R nearest references by cosine,
//! where P(i) is the precision among the first i if the i-th is positive, and 0 otherwise. Patches of which the label is unknown take no part.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::patches::Label;
use crate::learn::metrics::Mean;
use crate::learn::objective::Targets;

/// Entries that are summed side by side.
const LANES: usize = 16;

/// How well patches of each class find others of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Of each class.
    pub classes: Vec<ClassRetrieval>,
}

/// How well patches of a class find others of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassRetrieval {
    /// Mean average precision at R; [`None`] without queries or references that are positive.
    pub mean_average_precision: Option<f64>,
    /// Its expectation for random embeddings.
    pub chance: Option<f64>,
    /// Queries that are positive.
    pub queries: u64,
    /// References that are positive.
    pub references: u64,
}

/// Vectors of N patches (N x width), and their labels (N x C).
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// Vectors, of any length.
    pub values: &'a [f32],
    /// Values of a vector.
    pub width: usize,
    /// Labels.
    pub targets: &'a Targets,
}

impl Retrieval {
    /// Mean over the classes that have one.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        Mean::of(self.classes.iter().map(|class| class.mean_average_precision)).value
    }

    /// Mean of what is expected of random embeddings, over the same classes.
    #[must_use]
    pub fn chance(&self) -> Option<f64> {
        Mean::of(self.classes.iter().map(|class| class.mean_average_precision.and(class.chance))).value
    }

    /// Retrieval of references by queries, both with `classes` labels.
    #[must_use]
    pub fn of(queries: &Vectors, references: &Vectors, classes: usize) -> Self {
        let (ours, theirs) = (unit(queries), unit(references));
        let (asked, known) = (queries.targets.labels(), references.targets.labels());
        let width = queries.width;
        let each = (ours.par_chunks_exact(width).zip(asked.par_chunks_exact(classes))).map(|(query, labels)| {
            let mut near: Vec<(f32, usize)> =
                theirs.chunks_exact(width).enumerate().map(|(at, other)| (dot(query, other), at)).collect();
            near.sort_unstable_by(|(one, at), (other, then)| other.total_cmp(one).then(at.cmp(then)));
            let of_class = |class: usize| {
                let found = near.iter().map(|(_, at)| known[at * classes + class]);
                (labels[class] == Label::Present).then(|| at_r(found)).flatten()
            };
            (0..classes).map(of_class).collect::<Vec<_>>()
        });
        let each: Vec<Vec<Option<f64>>> = each.collect();
        let of_class = |class: usize| {
            let found: Vec<f64> = each.iter().filter_map(|query| query[class]).collect();
            let count = |labels: &[Label], wanted| {
                labels.iter().skip(class).step_by(classes).filter(|label| **label == wanted).count() as u64
            };
            let positive = count(&known, Label::Present);
            ClassRetrieval {
                mean_average_precision: (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64),
                chance: expected(positive, positive + count(&known, Label::Absent)),
                queries: count(&asked, Label::Present),
                references: positive,
            }
        };
        Self { classes: (0..classes).map(of_class).collect() }
    }
}

/// Average precision at R of references in the order of their distance; [`None`] if none is positive.
fn at_r(found: impl Iterator<Item = Label> + Clone) -> Option<f64> {
    let known = found.filter(|label| *label != Label::Unknown);
    let all = known.clone().filter(|label| *label == Label::Present).count();
    let (mut hits, mut sum) = (0_u32, 0.0);
    for (at, _) in known.take(all).enumerate().filter(|(_, label)| *label == Label::Present) {
        hits += 1;
        sum += f64::from(hits) / (at + 1) as f64;
    }
    (all > 0).then(|| sum / all as f64)
}

/// Expected average precision at R if `positive` of `all` references are in random order.
fn expected(positive: u64, all: u64) -> Option<f64> {
    let (r, m) = (positive as f64, all as f64);
    // The i-th is positive with R/M, and then each of the i - 1 before it with (R - 1)/(M - 1).
    let others = if all > 1 { (r - 1.0) / (m - 1.0) } else { 0.0 };
    let at = |i: u64| r / m * (1.0 + (i - 1) as f64 * others) / i as f64;
    (positive > 0).then(|| (1..=positive).map(at).sum::<f64>() / r)
}

/// The vectors, each divided by its length.
fn unit(vectors: &Vectors) -> Vec<f32> {
    let mut values = vectors.values.to_vec();
    values.par_chunks_exact_mut(vectors.width).for_each(|own| {
        let length = dot(own, own).sqrt().max(f32::MIN_POSITIVE);
        for value in own {
            *value /= length;
        }
    });
    values
}

/// Product of two vectors, summed in a fixed order.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (first, second) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest = first.remainder().iter().zip(second.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in first.zip(second) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_counts_up_to_r() {
        use Label::{Absent as A, Present as P, Unknown as U};
        // Three positives: the nearest three known ones are P A P, so (1 + 2/3)/3.
        let found = [P, U, A, P, A, P];
        assert!((at_r(found.into_iter()).expect("a value") - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        assert_eq!(at_r([A, U].into_iter()), None);
    }

    #[test]
    fn chance_is_the_mean_over_all_orders() {
        // All 10 orders of two positives among five.
        let mut sum = 0.0;
        for one in 0..5 {
            for other in one + 1..5 {
                let label = |at| if at == one || at == other { Label::Present } else { Label::Absent };
                sum += at_r((0..5).map(label)).expect("a value") / 10.0;
            }
        }
        assert!((expected(2, 5).expect("a value") - sum).abs() < 1e-12);
        assert_eq!((expected(0, 5), expected(3, 3)), (None, Some(1.0)));
    }

    #[test]
    fn the_nearest_by_cosine_count_whatever_their_length() {
        let labels = |rows: &[[Label; 2]]| Targets::of(&rows.concat());
        let (p, a, u) = (Label::Present, Label::Absent, Label::Unknown);
        let known = labels(&[[p, a], [p, u], [a, a], [a, p]]);
        let references = Vectors { values: &[10.0, 0.0, 0.9, 0.1, 0.0, 3.0, -1.0, 0.1], width: 2, targets: &known };
        let asked = labels(&[[p, p], [a, p], [u, a]]);
        let queries = Vectors { values: &[0.01, 0.0, 0.0, 1.0, 5.0, 5.0], width: 2, targets: &asked };
        let found = Retrieval::of(&queries, &references, 2);
        assert_eq!(found.classes[0].mean_average_precision, Some(1.0));
        // One positive reference of three known: the farthest of the first query, the second of the other.
        assert_eq!((found.classes[1].mean_average_precision, found.classes[1].queries), (Some(0.0), 2));
        assert_eq!(found.classes[1].chance, Some(1.0 / 3.0));
        assert_eq!((found.mean(), found.classes[0].references), (Some(0.5), 2));
    }
}
