//! `attention-pool`: words, shape rule, multiply-adds and tensors.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape, product};
use super::words::{DefaultValue, LayerKind, PropertyType, named, param};
use super::{Layer, Operation};

/// Mean of the pixels of a map, weighted by an attention of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionPool {
    /// Tensor prefix.
    pub name: String,
    /// Hidden features of the attention.
    pub hidden: usize,
    /// Whether a second branch with a sigmoid gates them.
    pub gated: bool,
}

/// Words of [`AttentionPool`].
pub(in crate::lang) const ATTENTION_POOL: LayerKind = named(
    "attention-pool",
    "C x H x W to C features: the mean of the pixels, weighted by a = softmax(w · (tanh(V h) * sigmoid(U h))) over the pixels h (Ilse et al. 2018). V and U have no bias.",
    &[
        param("hidden", PropertyType::Whole(1, 65_536), DefaultValue::Whole(128), "Features of V h and U h."),
        param("gated", PropertyType::Flag, DefaultValue::Flag(true), "Whether to multiply by sigmoid(U h)."),
    ],
    |of, name| Ok(Layer::AttentionPool(AttentionPool { name, hidden: of.int("hidden"), gated: of.flag("gated") })),
);

impl Operation for AttentionPool {
    fn words(&self) -> &'static LayerKind {
        &ATTENTION_POOL
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        if self.gated { &["V.weight", "U.weight", "w.weight"] } else { &["V.weight", "w.weight"] }
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, height, width) = found.map(input.shape)?;
        let branches = if self.gated { 2 } else { 1 };
        found.parameters = product(&[branches, channels, self.hidden]).saturating_add(self.hidden as u64);
        found.multiply_adds =
            found.parameters.saturating_add(channels as u64).saturating_mul(product(&[height, width]));
        found.tensors = SharedTensors { weight: vec![self.hidden, channels], bias: self.gated, settings: Vec::new() };
        Some(Flow::fixed(TensorShape::Vector { features: channels }))
    }
}
