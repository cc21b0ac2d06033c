//! `cross-attention`: words, shape rule, multiply-adds and tensors.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape, product};
use super::words::{DefaultValue, LayerKind, PropertyType, named, param};
use super::{Layer, Operation};

/// Multi-head attention of the pixels of a map to those of an input or a tap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossAttention {
    /// Tensor prefix.
    pub name: String,
    /// The input or tap that keys and values come from.
    pub to: String,
    /// Number of heads; each has width / heads of the channels.
    pub heads: usize,
    /// Channels of queries, keys, values and the output; [`None`] for those of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
}

/// Words of [`CrossAttention`].
pub(in crate::lang) const CROSS_ATTENTION: LayerKind = named(
    "cross-attention",
    "Multi-head attention of the pixels of C x H x W to all pixels of another map: queries from x, keys and values from `to`, to `width` x H x W. It knows no positions: pixels of `to` differ only by what they hold.",
    &[
        param(
            "to",
            PropertyType::Point,
            DefaultValue::Needed,
            "The input or tap that keys and values come from. A vector is a single pixel, which gets all of the attention.",
        ),
        param("heads", PropertyType::Whole(1, 1024), DefaultValue::Needed, "Number of heads; it must divide `width`."),
        param(
            "width",
            PropertyType::Whole(1, 65_536),
            DefaultValue::Nothing("the channels of x"),
            "Channels of queries, keys, values and the output.",
        ),
    ],
    |of, name| {
        let (to, heads, width) = (of.word("to").to_owned(), of.int("heads"), of.given_int("width"));
        Ok(Layer::CrossAttention(CrossAttention { name, to, heads, width }))
    },
);

impl Operation for CrossAttention {
    fn words(&self) -> &'static LayerKind {
        &CROSS_ATTENTION
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["q.weight", "q.bias", "k.weight", "k.bias", "v.weight", "v.bias", "proj.weight", "proj.bias"]
    }

    fn reads(&self) -> Option<&str> {
        Some(&self.to)
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        self.shape_with(input, None, found)
    }

    fn shape_with(&self, input: Flow, other: Option<Flow>, found: &mut Findings) -> Option<Flow> {
        let (channels, height, width) = found.map(input.shape)?;
        let out = self.width.unwrap_or(channels);
        if !out.is_multiple_of(self.heads) {
            let message = format!("{} has {} heads, which do not divide {out} channels", found.title, self.heads);
            found.misfit(message, "`heads` must divide `width`, or the channels of x without it");
            return None;
        }
        let pixels = product(&[height, width]);
        // The shape of embeddings is known only with their patches.
        let (sources, theirs) = match other.map(|flow| flow.shape) {
            Some(TensorShape::Map { channels, height, width }) => (product(&[height, width]), channels),
            Some(TensorShape::Vector { features }) => (1, features),
            None => (0, 0),
        };
        let weights = [product(&[channels, out]), 2 * product(&[theirs, out]), product(&[out, out])];
        found.parameters = weights.iter().sum::<u64>() + 4 * out as u64;
        found.multiply_adds = (weights[0] + weights[2])
            .saturating_mul(pixels)
            .saturating_add(weights[1].saturating_mul(sources))
            .saturating_add(pixels.saturating_mul(sources).saturating_mul(2 * out as u64));
        found.tensors = SharedTensors {
            weight: vec![out, channels, theirs],
            bias: true,
            settings: vec![("heads", self.heads as f64)],
        };
        Some(input.to(TensorShape::Map { channels: out, height, width }))
    }
}
