//! Metrics of an epoch of pretraining: of its batches, and of the retrieval of training patches by validation patches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::labels::PairLabels;
use super::objective::distance;
use super::retrieval::Retrieval;
use super::settings::SelectEncoderBy;
use super::triplet::TripletCounts;
use crate::data::table::{Column, Columns};
use crate::stage::{MetricColumn, MetricStyle, Metrics, StageError, Warning};

/// Mean distance of different patches below which the embeddings count as collapsed: on the unit sphere, where random
/// ones are 1.4 apart.
const COLLAPSED: f64 = 0.1;

/// Metrics after an epoch of pretraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainMetrics {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Of the batches of the epoch.
    pub training: BatchMetrics,
    /// Retrieval of training patches by validation patches.
    pub retrieval: Retrieval,
}

/// Means over the batches of an epoch, of the embeddings that the loss sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchMetrics {
    /// Loss; [`None`] if no batch had a term.
    pub loss: Option<f64>,
    /// Euclidean distance of patches with a class in common; [`None`] if there are none.
    pub positive_distance: Option<f64>,
    /// Euclidean distance of patches that are known to be different; [`None`] if there are none.
    pub negative_distance: Option<f64>,
    /// Fraction of all triplets that violate the margin; [`None`] without triplets.
    pub active_triplets: Option<f64>,
}

/// Sums over batches.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchSums {
    loss: (f64, u64),
    positive: (f64, u64),
    negative: (f64, u64),
    triplets: TripletCounts,
}

impl BatchSums {
    /// Adds a batch with these similarities.
    pub(super) fn add(
        &mut self,
        loss: Option<f64>,
        cosines: &[f64],
        labels: &PairLabels,
        triplets: Option<TripletCounts>,
    ) {
        if let Some(loss) = loss {
            self.loss.0 += loss;
            self.loss.1 += 1;
        }
        let count = labels.len();
        for one in 0..count {
            for other in one + 1..count {
                let (sum, pairs) = if labels.share(one, other) {
                    &mut self.positive
                } else if labels.disjoint(one, other) {
                    &mut self.negative
                } else {
                    continue;
                };
                *sum += distance(cosines[one * count + other]);
                *pairs += 1;
            }
        }
        if let Some(counts) = triplets {
            self.triplets.all += counts.all;
            self.triplets.active += counts.active;
        }
    }

    pub(super) fn means(&self) -> BatchMetrics {
        let mean = |(sum, count): (f64, u64)| (count > 0).then(|| sum / count as f64);
        let TripletCounts { all, active } = self.triplets;
        BatchMetrics {
            loss: mean(self.loss),
            positive_distance: mean(self.positive),
            negative_distance: mean(self.negative),
            active_triplets: (all > 0).then(|| active as f64 / all as f64),
        }
    }
}

impl PretrainMetrics {
    /// Value of the selection metric, negated if lower is better; [`None`] if it is undefined.
    #[must_use]
    pub fn chosen_by(&self, choose: SelectEncoderBy) -> Option<f64> {
        match choose {
            SelectEncoderBy::Retrieval => self.retrieval.mean(),
            SelectEncoderBy::Loss => self.training.loss.map(|loss| -loss),
            SelectEncoderBy::Last => Some(self.epoch as f64),
        }
    }

    /// Whether patches of different classes are at almost the same place.
    pub(super) fn collapsed(&self) -> Option<Warning> {
        let apart = self.training.negative_distance.filter(|apart| *apart < COLLAPSED)?;
        let text = format!(
            "epoch {}: the embeddings have collapsed: different patches are {apart:.3} apart on average (random ones: 1.4); lower `optimizer.lr` or add `warmup`",
            self.epoch
        );
        Some(Warning { code: "collapsed".to_owned(), text })
    }

    /// Metrics by name; those of one class end in its name.
    fn by_name(&self, classes: &[String]) -> BTreeMap<String, Option<f64>> {
        let BatchMetrics { loss, positive_distance, negative_distance, active_triplets } = self.training;
        let mut all = BTreeMap::from([
            ("learning-rate".to_owned(), Some(self.rate)),
            ("training.loss".to_owned(), loss),
            ("training.positive-distance".to_owned(), positive_distance),
            ("training.negative-distance".to_owned(), negative_distance),
            ("valid.mean-average-precision-at-r".to_owned(), self.retrieval.mean()),
            ("valid.chance".to_owned(), self.retrieval.chance()),
        ]);
        all.extend(active_triplets.map(|share| ("training.active-triplets".to_owned(), Some(share))));
        for (class, found) in classes.iter().zip(&self.retrieval.classes) {
            all.insert(format!("valid.average-precision-at-r.{class}"), found.mean_average_precision);
            all.insert(format!("valid.chance.{class}"), found.chance);
        }
        all
    }

    /// Metrics as they are shown, of so many epochs.
    pub(super) fn shown(&self, epochs: u64, classes: &[String], choose: SelectEncoderBy, best: bool) -> Metrics {
        let values = self.by_name(classes);
        let mut columns = vec![
            ("valid.mean-average-precision-at-r", "valid MAP@R"),
            ("training.loss", "train loss"),
            ("training.active-triplets", "active"),
            ("training.positive-distance", "positive"),
            ("training.negative-distance", "negative"),
            ("learning-rate", "rate"),
        ];
        if choose == SelectEncoderBy::Loss {
            columns.swap(0, 1);
        }
        let columns = columns.into_iter().filter(|(name, _)| values.contains_key(*name)).map(|(name, head)| {
            MetricColumn { name: name.to_owned(), head: head.to_owned(), style: MetricStyle::of(name) }
        });
        Metrics { epoch: self.epoch, epochs, best, columns: columns.collect(), values }
    }
}

/// `epochs.parquet`: one row per epoch.
///
/// # Errors
/// [`StageError::Bug`] if it cannot be encoded.
pub fn table(epochs: &[PretrainMetrics], classes: &[String]) -> Result<Vec<u8>, StageError> {
    let mut columns = Columns::default();
    columns.push("epoch", Column::Int(epochs.iter().map(|epoch| Some(epoch.epoch as i64)).collect()));
    let mut real = |name: String, of: &dyn Fn(&PretrainMetrics) -> Option<f64>| {
        columns.push(name, Column::Real(epochs.iter().map(of).collect()));
    };
    real("rate".into(), &|epoch| Some(epoch.rate));
    real("loss".into(), &|epoch| epoch.training.loss);
    real("positive_distance".into(), &|epoch| epoch.training.positive_distance);
    real("negative_distance".into(), &|epoch| epoch.training.negative_distance);
    real("active_triplets".into(), &|epoch| epoch.training.active_triplets);
    real("mean_average_precision_at_r".into(), &|epoch| epoch.retrieval.mean());
    for (at, class) in classes.iter().enumerate() {
        real(format!("average_precision_at_r.{class}"), &|epoch| {
            epoch.retrieval.classes.get(at)?.mean_average_precision
        });
        real(format!("chance.{class}"), &|epoch| epoch.retrieval.classes.get(at)?.chance);
    }
    columns.to_parquet().map_err(|error| StageError::Bug(error.to_string()))
}
