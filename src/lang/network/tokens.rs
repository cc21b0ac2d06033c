//! `class-token`, `position-table` and `first-token`: words, shape rules and tensors of a vision transformer (Dosovitskiy et al. 2021).

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape, product};
use super::words::{LayerKind, kind, named};
use super::{Layer, Operation};

/// A learned token before the pixels of a map: C x H x W to C x 1 x (H W + 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassToken {
    /// Name of its tensor.
    pub name: String,
}

/// A learned vector added to each pixel of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionTable {
    /// Name of its tensor.
    pub name: String,
}

/// The first pixel of a map: C x H x W to C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstToken;

/// Words of [`ClassToken`].
pub(in crate::lang) const CLASS_TOKEN: LayerKind = named(
    "class-token",
    "C x H x W to C x 1 x (H W + 1): a learned vector, then the pixels row by row (ViT, Dosovitskiy et al. 2021). Its tensor, 1 x 1 x C, has the name of the layer: `class-token cls_token`.",
    &[],
    |_, name| Ok(Layer::ClassToken(ClassToken { name })),
);

/// Words of [`PositionTable`].
pub(in crate::lang) const POSITION_TABLE: LayerKind = named(
    "position-table",
    "Adds a learned vector to each pixel, which depends on its place; the shape is unchanged. Its tensor, 1 x (H W) x C, has the name of the layer: `position-table pos_embed`. Its size is that of the map, so weights fit patches of one size only.",
    &[],
    |_, name| Ok(Layer::PositionTable(PositionTable { name })),
);

/// Words of [`FirstToken`].
pub(in crate::lang) const FIRST_TOKEN: LayerKind = kind(
    "first-token",
    "C x H x W to C features: the first pixel, which is the class token behind `class-token`.",
    &[],
    |_, _| Ok(Layer::FirstToken(FirstToken)),
);

impl Operation for ClassToken {
    fn words(&self) -> &'static LayerKind {
        &CLASS_TOKEN
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        &[""]
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, height, width) = found.map(input.shape)?;
        found.parameters = channels as u64;
        found.tensors = SharedTensors { weight: vec![1, 1, channels], bias: false, settings: Vec::new() };
        let pixels = usize::try_from(product(&[height, width])).unwrap_or(usize::MAX).saturating_add(1);
        Some(input.to(TensorShape::Map { channels, height: 1, width: pixels }))
    }
}

impl Operation for PositionTable {
    fn words(&self) -> &'static LayerKind {
        &POSITION_TABLE
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        &[""]
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, height, width) = found.map(input.shape)?;
        found.parameters = product(&[channels, height, width]);
        let pixels = usize::try_from(product(&[height, width])).unwrap_or(usize::MAX);
        found.tensors = SharedTensors { weight: vec![1, pixels, channels], bias: false, settings: Vec::new() };
        Some(input)
    }
}

impl Operation for FirstToken {
    fn words(&self) -> &'static LayerKind {
        &FIRST_TOKEN
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, ..) = found.map(input.shape)?;
        Some(Flow::fixed(TensorShape::Vector { features: channels }))
    }
}
