//! Typed parameters of `pretrain`.

use super::contrastive::{Contrastive, Positives};
use super::labels::HealthyAs;
use super::per_class::PerClass;
use super::triplet::{Mining, TripletLoss};
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// Settings of a pretraining, besides those of its fit.
#[derive(Clone, Debug, PartialEq)]
pub struct PretrainSettings {
    /// Loss over pairs or triplets of patches.
    pub loss: MetricLoss,
    /// Whether healthy patches are a class.
    pub healthy: HealthyAs,
    /// Outputs of the linear layers of the projection.
    pub head: Vec<usize>,
    /// Sampler of the patches of a batch.
    pub sampler: PerClass,
    /// What selects the best epoch.
    pub choose: SelectEncoderBy,
    /// Number of training patches in which validation patches look for their nearest.
    pub references: usize,
}

/// Loss over pairs or triplets of patches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricLoss {
    /// Supervised contrastive loss.
    Contrastive(Contrastive),
    /// Triplet loss.
    Triplet(TripletLoss),
}

/// What selects the best epoch of a pretraining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectEncoderBy {
    /// The highest mean average precision at R on the validation patches.
    Retrieval,
    /// The lowest training loss.
    Loss,
    /// The last epoch.
    Last,
}

impl SelectEncoderBy {
    /// Name in messages: `MAP@R`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Retrieval => "MAP@R",
            Self::Loss => "training loss",
            Self::Last => "last epoch",
        }
    }
}

impl PretrainSettings {
    /// From the parameters of `pretrain`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        let outs = params.list("head").iter().map(|out| match out {
            Value::Int(out) if *out > 0 => Ok(*out as usize),
            other => Err(StageError::Bug(format!("an output of `head` should be a count, is {other:?}"))),
        });
        let loss = if params.text("loss")? == "triplet" {
            let mining = match params.text("loss.mining")? {
                "nearest" => Mining::Nearest,
                "all" => Mining::All,
                _ => Mining::SemiHard,
            };
            MetricLoss::Triplet(TripletLoss { margin: params.real("loss.margin")?, mining })
        } else {
            let positives = match params.text("loss.positives")? {
                "overlap" => Positives::Overlap,
                "same-set" => Positives::SameSet,
                _ => Positives::EachLabel,
            };
            MetricLoss::Contrastive(Contrastive { temperature: params.real("loss.temperature")?, positives })
        };
        Ok(Self {
            loss,
            healthy: match params.text("loss.healthy")? {
                "negative" => HealthyAs::Negative,
                _ => HealthyAs::Class,
            },
            head: outs.collect::<Result<_, _>>()?,
            sampler: PerClass {
                classes: params.count_or_none("sampler.classes")?,
                each: params.count("sampler.each")?,
                views: params.count("sampler.views")?,
            },
            choose: match params.text("choose")? {
                "loss" => SelectEncoderBy::Loss,
                "last" => SelectEncoderBy::Last,
                _ => SelectEncoderBy::Retrieval,
            },
            references: params.count("references")?,
        })
    }
}
