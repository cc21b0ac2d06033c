//! How a fit is to be done: the parameters of `train`, typed.

use std::collections::BTreeMap;

use crate::base::Streams;
use crate::data::patches::{Label, PatchSet};
use crate::lang::network::NetworkSpec;
use crate::lang::value::Value;
use crate::learn::gpu::{Choice, Precision};
use crate::learn::loader::Normalisation;
use crate::learn::loss::Loss;
use crate::learn::model::LabelCounts;
use crate::learn::network::Missing;
use crate::learn::optimizer::{Optimizer, Rule, is_below};
use crate::learn::sampler::Sampler;
use crate::learn::schedule::Schedule;
use crate::stage::{Params, StageError, Warning};

/// How a fit is to be done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The loss.
    pub loss: LossSettings,
    /// The optimizer's rule.
    pub rule: Rule,
    /// The optimizer's weight decay.
    pub weight_decay: f64,
    /// The learning rate at its highest.
    pub rate: f64,
    /// Learning rates of tensors by prefix.
    pub rates: Vec<(String, f64)>,
    /// Prefixes of tensors that stay as they are.
    pub frozen: Vec<String>,
    /// How the rates move.
    pub schedule: Schedule,
    /// Epochs at most.
    pub epochs: u64,
    /// Patches per step.
    pub batch: usize,
    /// What happens where a GPU has too little memory for them.
    pub memory: Memory,
    /// Which device computes.
    pub device: Choice,
    /// What it computes with.
    pub precision: Precision,
    /// What an epoch holds.
    pub sampler: Sampler,
    /// What to do where weights lack tensors.
    pub missing: Missing,
    /// How tensors without pretrained weights begin.
    pub start: Start,
    /// What is done to RGB in 0..1.
    pub normal: Normalisation,
    /// The validation figure by which the best epoch is chosen.
    pub choose: Choose,
    /// Epochs without a better figure before it stops.
    pub patience: Option<u64>,
    /// Training patches on which figures are computed without augmentation.
    pub subset: usize,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: u64,
}

/// The loss as asked for; the weights of its classes come from the data.
#[derive(Clone, Debug, PartialEq)]
pub struct LossSettings {
    /// The focusing exponent; 0 for binary cross-entropy.
    pub gamma: f64,
    /// Weights on both terms of a class.
    pub class_weights: ClassWeights,
    /// Weights on the positive term of a class.
    pub positive_weights: PositiveWeights,
    /// Factor on the positive term.
    pub positive: f64,
    /// Factor on the negative term.
    pub negative: f64,
}

/// Weights on both terms of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassWeights {
    /// All 1.
    None,
    /// Proportional to 1/positives, mean 1.
    InverseFrequency,
}

/// Weights on the positive term of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositiveWeights {
    /// All 1.
    None,
    /// Negatives/positives.
    Balanced,
}

/// What happens where a GPU has too little memory for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// An error that says how much it needs.
    Error,
    /// The batch is halved until it fits.
    Halve,
}

/// How tensors without pretrained weights begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Gamma of each residual block's last batch norm at 0 where the block has a random kernel.
    pub zero_gamma: bool,
    /// The head's bias at the log odds of each class.
    pub prior_bias: bool,
    /// Patches for calibrating batch norms that came folded.
    pub calibration: usize,
}

/// The validation figure by which the best epoch is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choose {
    /// Mean of the classes' average precision.
    AveragePrecision,
    /// Mean of the classes' F1 at 0.5.
    F1,
    /// Mean of the classes' area under the ROC curve.
    Auroc,
    /// The lowest loss.
    Loss,
    /// The last epoch.
    Last,
}

impl Choose {
    /// For people: `average precision`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AveragePrecision => "average precision",
            Self::F1 => "F1",
            Self::Auroc => "AUROC",
            Self::Loss => "loss",
            Self::Last => "last epoch",
        }
    }
}

impl Settings {
    /// From the parameters of `train`, for data of these classes.
    ///
    /// # Errors
    /// [`StageError::Input`] where a value does not fit the data.
    pub fn from_params(params: &Params, classes: &[String]) -> Result<Self, StageError> {
        let (rule, weight_decay) = Optimizer::rule_from_params(params)?;
        let none = BTreeMap::new();
        let rates = params.map("rate").unwrap_or(&none).iter();
        let rates: Result<_, StageError> = rates.map(|(prefix, rate)| Ok((prefix.clone(), real(rate)?))).collect();
        let frozen = params.list("freeze").iter().map(Value::to_string).collect();
        Ok(Self {
            loss: LossSettings::from_params(params)?,
            rule,
            weight_decay,
            rate: params.real("optimizer.lr")?,
            rates: rates?,
            frozen,
            schedule: Schedule::from_params(params)?,
            epochs: params.count("epochs")? as u64,
            batch: params.count("batch")?,
            memory: if params.text("memory")? == "halve" { Memory::Halve } else { Memory::Error },
            device: Choice::from_name(params.text("device")?),
            precision: Precision::from_name(params.text("precision")?),
            sampler: Sampler::from_params(params, classes)?,
            missing: Missing::from_params(params)?,
            start: Start {
                zero_gamma: params.flag("start.zero-gamma")?,
                prior_bias: params.flag("start.prior-bias")?,
                calibration: params.count("start.calibration")?,
            },
            normal: Normalisation::from_params(params)?,
            choose: match params.text("choose")? {
                "f1" => Choose::F1,
                "auroc" => Choose::Auroc,
                "loss" => Choose::Loss,
                "last" => Choose::Last,
                _ => Choose::AveragePrecision,
            },
            patience: params.count_or_none("patience")?.map(|epochs| epochs as u64),
            subset: params.count("subset")?,
            checkpoint_minutes: params.count("checkpoint")? as u64,
        })
    }
}

/// A warning where a training can change nothing: all of the network is frozen, the loss has no factor, or no rate is above 0.
///
/// # Errors
/// [`StageError::Bug`] where parameters are not what the signature says.
pub fn idle(params: &Params, network: &NetworkSpec) -> Result<Option<Warning>, StageError> {
    let loss = LossSettings::from_params(params)?;
    let frozen: Vec<String> = params.list("freeze").iter().map(Value::to_string).collect();
    let statistics = |name: &str| name.ends_with(".running_mean") || name.ends_with(".running_var");
    let mut learnt = network.tensors().into_iter().filter(|name| !statistics(name));
    let all_frozen = learnt.all(|name| frozen.iter().any(|part| is_below(&name, part)));
    let still = params.real("optimizer.lr")? == 0.0
        && params.map("rate").is_none_or(|rates| rates.values().all(|rate| real(rate).is_ok_and(|rate| rate == 0.0)));
    let text = if all_frozen {
        "nothing is left to learn: `freeze` names all of the network"
    } else if loss.positive == 0.0 && loss.negative == 0.0 {
        "nothing is left to learn: the factors `positive` and `negative` of the loss are both 0"
    } else if still {
        "nothing is left to learn: the learning rate is 0"
    } else {
        return Ok(None);
    };
    Ok(Some(Warning { code: "nothing-to-learn".to_owned(), text: text.to_owned() }))
}

impl LossSettings {
    fn from_params(params: &Params) -> Result<Self, StageError> {
        Ok(Self {
            gamma: if params.text("loss")? == "focal" { params.real("loss.gamma")? } else { 0.0 },
            class_weights: match params.text("loss.class-weights")? {
                "inverse-frequency" => ClassWeights::InverseFrequency,
                _ => ClassWeights::None,
            },
            positive_weights: match params.text("loss.positive-weights")? {
                "balanced" => PositiveWeights::Balanced,
                _ => PositiveWeights::None,
            },
            positive: params.real("loss.positive")?,
            negative: params.real("loss.negative")?,
        })
    }

    /// The weight of each class on both of its terms: proportional to 1/positives with mean 1, or 1.
    #[must_use]
    pub fn weights(&self, counts: &[LabelCounts]) -> Vec<f64> {
        match self.class_weights {
            ClassWeights::None => vec![1.0; counts.len()],
            ClassWeights::InverseFrequency => {
                let inverse: Vec<f64> = counts.iter().map(|count| 1.0 / count.present as f64).collect();
                let mean = inverse.iter().sum::<f64>() / inverse.len() as f64;
                inverse.iter().map(|weight| weight / mean).collect()
            }
        }
    }

    /// The loss for an epoch that draws these labels.
    ///
    /// # Errors
    /// [`StageError::Input`] where a weight needs positives of a class that has none.
    pub fn on(&self, classes: &[String], counts: &[LabelCounts]) -> Result<Loss, StageError> {
        let field = match (self.class_weights, self.positive_weights) {
            (ClassWeights::InverseFrequency, _) => Some("loss.class-weights"),
            (_, PositiveWeights::Balanced) => Some("loss.positive-weights"),
            _ => None,
        };
        let without = classes.iter().zip(counts).find(|(_, count)| count.present == 0);
        if let (Some(field), Some((class, _))) = (field, without) {
            let text = format!("no patch that an epoch draws is positive for `{class}`, so its weight has no value");
            let hint = "take another split or sampler, leave the class out, or train without these weights";
            return Err(StageError::input("no-positives", text).hint(hint).field(field));
        }
        let weights = self.weights(counts);
        let positive = |(weight, count): (&f64, &LabelCounts)| {
            weight
                * self.positive
                * match self.positive_weights {
                    PositiveWeights::None => 1.0,
                    PositiveWeights::Balanced => count.absent as f64 / count.present as f64,
                }
        };
        Ok(Loss {
            gamma: self.gamma,
            positive: weights.iter().zip(counts).map(positive).collect(),
            negative: weights.iter().map(|weight| weight * self.negative).collect(),
        })
    }
}

/// Labels of each class over all patches of a set, copies counted.
#[must_use]
pub fn label_counts(set: &PatchSet) -> Vec<LabelCounts> {
    let mut counts = vec![LabelCounts::default(); set.info.classes.len()];
    for row in set.parts.iter().flat_map(|part| &part.rows) {
        count_labels(&mut counts, &row.labels, u64::from(row.copies));
    }
    counts
}

/// Labels of each class over the patches of the first epoch: what the network is shown. Later epochs have as many positives, and only
/// where `Unknown` labels lie on healthy patches other negatives.
#[must_use]
pub fn drawn(set: &PatchSet, sampler: &Sampler, streams: &Streams) -> Vec<LabelCounts> {
    let mut counts = vec![LabelCounts::default(); set.info.classes.len()];
    for draw in sampler.epoch(set, streams, 1) {
        count_labels(&mut counts, &draw.row(set).labels, 1);
    }
    counts
}

/// Adds the labels of one patch that stands there `times` times.
fn count_labels(counts: &mut [LabelCounts], labels: &[Label], times: u64) {
    for (count, label) in counts.iter_mut().zip(labels) {
        *match label {
            Label::Present => &mut count.present,
            Label::Absent => &mut count.absent,
            Label::Unknown => &mut count.unknown,
        } += times;
    }
}

fn real(value: &Value) -> Result<f64, StageError> {
    match value {
        Value::Real(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        other => Err(StageError::Bug(format!("a rate should be a number, is {other:?}"))),
    }
}
