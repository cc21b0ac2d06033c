//! `batch-norm`: words, shape rule and tensors.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape};
use super::words::{DefaultValue, LayerKind, PropertyType, named, param};
use super::{Layer, Operation};

/// Batch normalisation over N (and H and W for pixels): `weight`, `bias`, `running_mean`, `running_var`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Tensor prefix.
    pub name: String,
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the new batch in the running statistics (torch's convention, 0.1 there).
    pub momentum: f64,
}

/// Words of [`BatchNorm`].
pub(in crate::lang) const BATCH_NORM: LayerKind = named(
    "batch-norm",
    "Batch normalisation per channel; the shape is unchanged.",
    &[
        param("eps", PropertyType::Share, DefaultValue::Real(1e-5), "Added to the variance."),
        param(
            "momentum",
            PropertyType::Share,
            DefaultValue::Real(0.1),
            "Weight of a new batch in the running statistics, as in PyTorch.",
        ),
    ],
    |of, name| Ok(Layer::BatchNorm(BatchNorm { name, eps: of.real("eps"), momentum: of.real("momentum") })),
);

impl Operation for BatchNorm {
    fn words(&self) -> &'static LayerKind {
        &BATCH_NORM
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["weight", "bias", "running_mean", "running_var"]
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (TensorShape::Map { channels: features, .. } | TensorShape::Vector { features }) = input.shape;
        found.parameters = 2 * features as u64;
        let settings = vec![("eps", self.eps), ("momentum", self.momentum)];
        found.tensors = SharedTensors { weight: vec![features], bias: true, settings };
        Some(input)
    }
}
