//! Typed parameters of `train`, and those that it shares with `pretrain`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Streams;
use crate::data::patches::{Label, PatchSet};
use crate::engine::gpu::{DeviceChoice, DeviceRequest, Precision};
use crate::engine::network::Missing;
use crate::engine::normalise::Normalisation;
use crate::engine::optimizer::{Optimizer, UpdateRule};
use crate::lang::network::NetworkSpec;
use crate::lang::network::parts::is_part;
use crate::lang::value::Value;
use crate::learn::cross_entropy::CrossEntropy;
use crate::learn::loss::Loss;
use crate::learn::model::LabelCounts;
use crate::learn::objective::Objective;
use crate::learn::sampler::Sampler;
use crate::learn::schedule::{Schedule, TrainingLength};
use crate::stage::{Params, StageError, Warning};

/// Settings of a fit, whatever its goal.
#[derive(Clone, Debug)]
pub struct FitSettings {
    /// Update rule of the optimizer.
    pub rule: UpdateRule,
    /// Weight decay.
    pub weight_decay: f64,
    /// Peak learning rate.
    pub rate: f64,
    /// Peak learning rates of tensors by prefix.
    pub rates: Vec<(String, f64)>,
    /// Prefixes of frozen tensors.
    pub frozen: Vec<String>,
    /// Learning rate schedule.
    pub schedule: Schedule,
    /// Length, at most.
    pub length: TrainingLength,
    /// Decay of the moving average of the weights; [`None`] without one.
    pub ema: Option<f64>,
    /// Patches per step.
    pub batch: usize,
    /// Reaction to too little GPU memory.
    pub memory: OnLowMemory,
    /// Device to compute on.
    pub device: DeviceRequest,
    /// Numeric precision.
    pub precision: Precision,
    /// Reaction to tensors missing from the weights.
    pub missing: Missing,
    /// Whether gamma of the last batch norm of each residual block starts at 0 if the block has a random kernel.
    pub zero_gamma: bool,
    /// Number of patches for calibrating batch norms that were loaded folded.
    pub calibration: usize,
    /// Normalisation of RGB in 0..1.
    pub normal: Normalisation,
    /// Epochs without improvement before training stops.
    pub patience: Option<u64>,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: u64,
}

/// Settings of a classifier, besides those of its fit.
#[derive(Clone, Debug)]
pub struct ClassifierSettings {
    /// Loss function.
    pub loss: LossSettings,
    /// Sampler of the patches of an epoch.
    pub sampler: Sampler,
    /// Whether the bias of the head starts at the log odds of each class.
    pub prior_bias: bool,
    /// Validation metric that selects the best epoch.
    pub choose: SelectBy,
    /// Number of training patches on which metrics are computed without augmentation.
    pub subset: usize,
}

/// Settings of the loss; class weights are computed from the data.
#[derive(Clone, Debug, PartialEq)]
pub struct LossSettings {
    /// Whether it is cross-entropy over exclusive classes, which has class weights and label smoothing only.
    pub exclusive: bool,
    /// Focusing exponents of positive and negative term; 0 for binary cross-entropy.
    pub gamma: [f64; 2],
    /// Shift of the probability in the negative term.
    pub shift: f64,
    /// Label smoothing.
    pub smoothing: f64,
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
    /// Proportional to 1/positives, with mean 1.
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

/// Reaction to too little GPU memory for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLowMemory {
    /// Error with the amount needed.
    Error,
    /// Halving of the batch until it fits.
    Halve,
}

/// Validation metric that selects the best epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectBy {
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

impl SelectBy {
    /// Name in messages: `average precision`.
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

impl FitSettings {
    /// From the parameters of `train` or `pretrain`, for steps of so many patches.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params, batch: usize) -> Result<Self, StageError> {
        let (rule, weight_decay) = Optimizer::rule_from_params(params)?;
        let none = BTreeMap::new();
        let rates = params.map("rate").unwrap_or(&none).iter();
        let rates: Result<_, StageError> = rates.map(|(prefix, rate)| Ok((prefix.clone(), real(rate)?))).collect();
        let frozen = params.list("freeze").iter().map(Value::to_string).collect();
        let halves = matches!(params.get("memory"), Value::Text(text) if text == "halve");
        Ok(Self {
            rule,
            weight_decay,
            rate: params.real("optimizer.lr")?,
            rates: rates?,
            frozen,
            schedule: Schedule::from_params(params)?,
            length: TrainingLength::from_params(params)?,
            ema: params.real_or_none("ema.decay")?,
            batch,
            memory: if halves { OnLowMemory::Halve } else { OnLowMemory::Error },
            device: DeviceRequest::from_values(&params.0, DeviceChoice::Auto),
            precision: Precision::from_name(params.text("precision")?),
            missing: Missing::from_params(params)?,
            zero_gamma: params.flag("start.zero-gamma")?,
            calibration: params.count("start.calibration")?,
            normal: Normalisation::from_params(params)?,
            patience: params.count_or_none("patience")?.map(|epochs| epochs as u64),
            checkpoint_minutes: params.count("checkpoint")? as u64,
        })
    }
}

impl ClassifierSettings {
    /// From the parameters of `train`, for data of these classes.
    ///
    /// # Errors
    /// [`StageError::Input`] if a value is inconsistent with the data.
    pub fn from_params(params: &Params, classes: &[String]) -> Result<Self, StageError> {
        Ok(Self {
            loss: LossSettings::from_params(params)?,
            sampler: Sampler::from_params(params, classes)?,
            prior_bias: params.flag("start.prior-bias")?,
            choose: match params.text("choose")? {
                "f1" => SelectBy::F1,
                "auroc" => SelectBy::Auroc,
                "loss" => SelectBy::Loss,
                "last" => SelectBy::Last,
                _ => SelectBy::AveragePrecision,
            },
            subset: params.count("subset")?,
        })
    }
}

/// Warning if a training of a classifier cannot change anything: as [`nothing_to_train`], or both loss factors are 0.
///
/// # Errors
/// [`StageError::Bug`] if parameters do not match the signature.
pub fn idle(params: &Params, network: &NetworkSpec) -> Result<Option<Warning>, StageError> {
    let loss = LossSettings::from_params(params)?;
    let found = nothing_to_train(params, network)?;
    let text = "nothing to train: the loss factors `positive` and `negative` are both 0";
    let still = (loss.positive == 0.0 && loss.negative == 0.0).then(|| text.to_owned());
    Ok(found.or_else(|| still.map(|text| Warning { code: IDLE.to_owned(), text })))
}

/// Code of a training that changes nothing.
const IDLE: &str = "nothing-to-learn";

/// Warning if a training cannot change a network: all of it is frozen, or no rate is above 0.
///
/// # Errors
/// [`StageError::Bug`] if parameters do not match the signature.
pub fn nothing_to_train(params: &Params, network: &NetworkSpec) -> Result<Option<Warning>, StageError> {
    let frozen: Vec<String> = params.list("freeze").iter().map(Value::to_string).collect();
    let mut learnt = network.trained_tensors().into_iter();
    let all_frozen = learnt.all(|name| frozen.iter().any(|part| is_part(&name, part, &network.prefixes)));
    let still = params.real("optimizer.lr")? == 0.0
        && params.map("rate").is_none_or(|rates| rates.values().all(|rate| real(rate).is_ok_and(|rate| rate == 0.0)));
    let text = if all_frozen {
        "nothing to train: `freeze` covers the whole network"
    } else if still {
        "nothing to train: the learning rate is 0"
    } else {
        return Ok(None);
    };
    Ok(Some(Warning { code: IDLE.to_owned(), text: text.to_owned() }))
}

impl LossSettings {
    /// From the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        let loss = params.text("loss")?;
        Ok(Self {
            exclusive: loss == "cross-entropy",
            gamma: match loss {
                "focal" => [params.real("loss.gamma")?; 2],
                "asymmetric" => [params.real("loss.gamma-positive")?, params.real("loss.gamma-negative")?],
                _ => [0.0; 2],
            },
            shift: if loss == "asymmetric" { params.real("loss.shift")? } else { 0.0 },
            smoothing: params.real_or_none("loss.label-smoothing")?.unwrap_or(0.0),
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

    /// Weight of each class on both of its terms: proportional to 1/positives with mean 1, or 1.
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

    /// Refuses parameters that cross-entropy over exclusive classes does not have.
    ///
    /// # Errors
    /// `not-of-loss`.
    pub fn check(&self) -> Result<(), StageError> {
        let others = [
            ("loss.positive-weights", self.positive_weights != PositiveWeights::None),
            ("loss.positive", self.positive != 1.0),
            ("loss.negative", self.negative != 1.0),
        ];
        let Some((field, _)) = others.into_iter().find(|(_, set)| self.exclusive && *set) else { return Ok(()) };
        let name = field.trim_start_matches("loss.");
        let text = format!("`{name}` weighs presence against absence, which `loss cross-entropy` does not have");
        let hint = format!("remove `{name}`, or use `class-weights inverse-frequency`");
        Err(StageError::input("not-of-loss", text).hint(hint).field(field))
    }

    /// Objective for an epoch that draws these labels.
    ///
    /// # Errors
    /// As [`LossSettings::on`] and [`LossSettings::check`].
    pub fn objective(&self, classes: &[String], counts: &[LabelCounts]) -> Result<Arc<dyn Objective>, StageError> {
        self.check()?;
        let loss = self.on(classes, counts)?;
        if self.exclusive {
            return Ok(Arc::new(CrossEntropy { smoothing: self.smoothing, weights: loss.positive }));
        }
        Ok(Arc::new(loss))
    }

    /// Loss over labels for an epoch that draws these.
    ///
    /// # Errors
    /// [`StageError::Input`] if a weight needs positives of a class that has none.
    pub fn on(&self, classes: &[String], counts: &[LabelCounts]) -> Result<Loss, StageError> {
        let field = match (self.class_weights, self.positive_weights) {
            (ClassWeights::InverseFrequency, _) => Some("loss.class-weights"),
            (_, PositiveWeights::Balanced) => Some("loss.positive-weights"),
            _ => None,
        };
        let without = classes.iter().zip(counts).find(|(_, count)| count.present == 0);
        if let (Some(field), Some((class, _))) = (field, without) {
            let text = format!("no patch drawn in an epoch is positive for `{class}`: its class weight is undefined");
            let hint = "use another split or sampler, drop the class, or train without these weights";
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
            shift: self.shift,
            smoothing: self.smoothing,
            positive: weights.iter().zip(counts).map(positive).collect(),
            negative: weights.iter().map(|weight| weight * self.negative).collect(),
        })
    }
}

/// Label counts of each class over all patches of a set, including copies.
#[must_use]
pub fn label_counts(set: &PatchSet) -> Vec<LabelCounts> {
    let mut counts = vec![LabelCounts::default(); set.info.classes.len()];
    for row in set.parts.iter().flat_map(|part| &part.rows) {
        count_labels(&mut counts, &row.labels, u64::from(row.copies));
    }
    counts
}

/// Label counts of each class over the patches of the first epoch, which is what the network sees. Later epochs have as many positives;
/// their negatives differ only if healthy patches have unknown labels.
#[must_use]
pub fn drawn(set: &PatchSet, sampler: &Sampler, streams: &Streams) -> Vec<LabelCounts> {
    let mut counts = vec![LabelCounts::default(); set.info.classes.len()];
    for draw in sampler.epoch(set, streams, 1) {
        count_labels(&mut counts, &draw.row(set).labels, 1);
    }
    counts
}

/// Adds the labels of one patch that occurs `times` times.
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
