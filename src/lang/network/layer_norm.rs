//! `layer-norm`: words, shape rule and tensors.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape};
use super::words::{DefaultValue, LayerKind, PropertyType, named, param};
use super::{Layer, Operation};

/// Layer normalisation over the channels of each pixel: `weight`, `bias`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// Tensor prefix.
    pub name: String,
    /// Added to the variance.
    pub eps: f64,
}

/// Words of [`LayerNorm`].
pub(in crate::lang) const LAYER_NORM: LayerKind = named(
    "layer-norm",
    "Layer normalisation over the channels of each pixel, or over all features after `flatten` or global pooling; the shape is unchanged.",
    &[param("eps", PropertyType::Share, DefaultValue::Real(1e-5), "Added to the variance.")],
    |of, name| Ok(Layer::LayerNorm(LayerNorm { name, eps: of.real("eps") })),
);

impl Operation for LayerNorm {
    fn words(&self) -> &'static LayerKind {
        &LAYER_NORM
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["weight", "bias"]
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (TensorShape::Map { channels: features, .. } | TensorShape::Vector { features }) = input.shape;
        found.parameters = 2 * features as u64;
        found.tensors = SharedTensors { weight: vec![features], bias: true, settings: vec![("eps", self.eps)] };
        Some(input)
    }
}
