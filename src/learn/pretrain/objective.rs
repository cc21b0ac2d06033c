//! Objective over pairs of patches of a batch: a loss on the cosine similarities of their embeddings.

use rayon::prelude::*;

use super::labels::{HealthyAs, PairLabels};
use crate::learn::objective::{Objective, Targets};

/// Length below which an embedding counts as this long, as in torch's `normalize`.
const SHORTEST: f64 = 1e-12;

/// Loss on the cosine similarities of N embeddings: a mean over terms.
pub(super) trait PairLoss: Send + Sync {
    /// The terms of one anchor with its similarities, summed.
    fn of_anchor(&self, anchor: usize, cosines: &[f64], labels: &PairLabels) -> AnchorTerms;

    /// Mean over the terms of all anchors, in their order.
    fn of(&self, cosines: &[f64], labels: &PairLabels) -> PairValue {
        let count = labels.len();
        let anchors = cosines.par_chunks_exact(count.max(1)).enumerate();
        let each: Vec<AnchorTerms> = anchors.map(|(anchor, own)| self.of_anchor(anchor, own, labels)).collect();
        let terms: usize = each.iter().map(|anchor| anchor.terms).sum();
        let share = 1.0 / terms.max(1) as f64;
        let mut slopes = vec![0.0; count * count];
        for (row, anchor) in slopes.chunks_exact_mut(count.max(1)).zip(&each) {
            row.iter_mut().zip(&anchor.slopes).for_each(|(slope, own)| *slope = share * own);
        }
        let sum: f64 = each.iter().map(|anchor| anchor.sum).sum();
        PairValue { value: (terms > 0).then_some(share * sum), slopes }
    }
}

/// The terms of a loss that belong to an anchor.
#[derive(Clone, Debug, Default)]
pub(super) struct AnchorTerms {
    /// Their sum.
    pub(super) sum: f64,
    /// Their number.
    pub(super) terms: usize,
    /// Derivative of the sum with respect to the similarity with each patch; empty if all are 0.
    pub(super) slopes: Vec<f64>,
}

/// Value of a loss over pairs.
pub(super) struct PairValue {
    /// Mean over its terms; [`None`] without any.
    pub(super) value: Option<f64>,
    /// Its derivative with respect to each of the N x N similarities, each taken as a variable of its own.
    pub(super) slopes: Vec<f64>,
}

/// A loss over pairs as the objective of a network.
pub(super) struct PairObjective {
    pub(super) loss: Box<dyn PairLoss>,
    /// Number of classes of the targets.
    pub(super) classes: usize,
    pub(super) healthy: HealthyAs,
    /// Values of the embedding of a patch, which are the first columns of the outputs.
    pub(super) embedding: usize,
    /// Columns of the outputs.
    pub(super) columns: usize,
}

/// Embeddings of a batch, each divided by its length.
pub(super) struct UnitEmbeddings {
    values: Vec<f64>,
    lengths: Vec<f64>,
    width: usize,
}

impl UnitEmbeddings {
    /// The first `width` of `columns` outputs of each patch.
    pub(super) fn new(outputs: &[f32], columns: usize, width: usize) -> Self {
        let (mut values, mut lengths) = (Vec::with_capacity(outputs.len() / columns * width), Vec::new());
        for row in outputs.chunks_exact(columns) {
            let own = row[..width].iter().map(|value| f64::from(*value));
            let length = own.clone().map(|value| value * value).sum::<f64>().sqrt().max(SHORTEST);
            values.extend(own.map(|value| value / length));
            lengths.push(length);
        }
        Self { values, lengths, width }
    }

    fn of(&self, patch: usize) -> &[f64] {
        &self.values[patch * self.width..][..self.width]
    }

    /// N x N similarities.
    pub(super) fn cosines(&self) -> Vec<f64> {
        let count = self.lengths.len();
        let mut cosines = vec![0.0; count * count];
        cosines.par_chunks_exact_mut(count.max(1)).enumerate().for_each(|(one, row)| {
            for (other, cosine) in row.iter_mut().enumerate() {
                *cosine = dot(self.of(one), self.of(other));
            }
        });
        cosines
    }

    /// Derivatives with respect to the embeddings before the division, N x width, from those with respect to the similarities.
    fn chained(&self, slopes: &[f64]) -> Vec<f64> {
        let count = self.lengths.len();
        let mut all = vec![0.0; count * self.width];
        all.par_chunks_exact_mut(self.width).enumerate().for_each(|(one, own)| {
            for other in 0..count {
                let slope = slopes[one * count + other] + slopes[other * count + one];
                if slope != 0.0 {
                    own.iter_mut().zip(self.of(other)).for_each(|(sum, value)| *sum += slope * value);
                }
            }
            // Along the embedding nothing changes.
            let along = dot(own, self.of(one));
            let length = self.lengths[one];
            own.iter_mut().zip(self.of(one)).for_each(|(sum, value)| *sum = (*sum - along * value) / length);
        });
        all
    }
}

/// Product of two vectors of the same length, in the order of their entries.
fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// Euclidean distance of two embeddings of length 1 with this cosine.
pub(super) fn distance(cosine: f64) -> f64 {
    (2.0 - 2.0 * cosine).max(0.0).sqrt()
}

impl Objective for PairObjective {
    fn outputs(&self) -> usize {
        self.columns
    }

    fn classes(&self) -> usize {
        self.classes
    }

    /// 0 for a batch without terms.
    fn value(&self, outputs: &[f32], targets: &Targets) -> f64 {
        self.value_and_gradient(outputs, targets).0
    }

    fn gradient(&self, outputs: &[f32], targets: &Targets) -> Vec<f32> {
        self.value_and_gradient(outputs, targets).1
    }

    fn value_and_gradient(&self, outputs: &[f32], targets: &Targets) -> (f64, Vec<f32>) {
        let embeddings = UnitEmbeddings::new(outputs, self.columns, self.embedding);
        let labels = PairLabels::new(targets, self.classes, self.healthy);
        let PairValue { value, slopes } = self.loss.of(&embeddings.cosines(), &labels);
        let mut all = vec![0.0; outputs.len()];
        let own = embeddings.chained(&slopes);
        for (row, own) in all.chunks_exact_mut(self.columns).zip(own.chunks_exact(self.embedding)) {
            row.iter_mut().zip(own).for_each(|(slope, own)| *slope = *own as f32);
        }
        (value.unwrap_or(0.0), all)
    }

    /// Only a batch has a value.
    fn of_set(&self, _: &[f32], _: &Targets) -> Option<f64> {
        None
    }
}
