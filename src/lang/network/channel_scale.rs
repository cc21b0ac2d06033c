//! `channel-scale`: words, shape rule and tensor.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape};
use super::words::{LayerKind, named};
use super::{Layer, Operation};

/// Multiplication of each channel by a learned factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelScale {
    /// Name of its tensor.
    pub name: String,
}

/// Words of [`ChannelScale`].
pub(in crate::lang) const CHANNEL_SCALE: LayerKind = named(
    "channel-scale",
    "Multiplies each channel by a learned factor (layer scale, Touvron et al. 2021), 1e-6 at first, as in torchvision's ConvNeXt. Its tensor, C x 1 x 1, has the name of the layer: `channel-scale layer_scale`.",
    &[],
    |_, name| Ok(Layer::ChannelScale(ChannelScale { name })),
);

impl Operation for ChannelScale {
    fn words(&self) -> &'static LayerKind {
        &CHANNEL_SCALE
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        &[""]
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (TensorShape::Map { channels, .. } | TensorShape::Vector { features: channels }) = input.shape;
        found.parameters = channels as u64;
        found.tensors = SharedTensors { weight: vec![channels], bias: false, settings: Vec::new() };
        Some(input)
    }
}
