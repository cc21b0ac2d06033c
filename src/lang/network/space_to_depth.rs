//! `space-to-depth`: words and shape rule.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, TensorShape, product};
use super::words::{DefaultValue, LayerKind, PropertyType, kind, param};
use super::{Layer, Operation};

/// Blocks of pixels as channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceToDepth {
    /// Side of a block, px.
    pub side: usize,
}

/// Words of [`SpaceToDepth`].
pub(in crate::lang) const SPACE_TO_DEPTH: LayerKind = kind(
    "space-to-depth",
    "C x H x W to (S² C) x H/S x W/S, rounded up: the pixels of each S x S block one after another, column by column, as in Swin's patch merging. Blocks that reach beyond the map are filled with zeros.",
    &[param("side", PropertyType::Whole(2, 64), DefaultValue::Whole(2), "Side S of a block, px.")],
    |of, _| Ok(Layer::SpaceToDepth(SpaceToDepth { side: of.int("side") })),
);

impl Operation for SpaceToDepth {
    fn words(&self) -> &'static LayerKind {
        &SPACE_TO_DEPTH
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, height, width) = found.map(input.shape)?;
        let channels = usize::try_from(product(&[channels, self.side, self.side])).unwrap_or(usize::MAX);
        let (height, width) = (height.div_ceil(self.side), width.div_ceil(self.side));
        Some(input.to(TensorShape::Map { channels, height, width }))
    }
}
