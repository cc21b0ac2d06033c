//! `flatten`: words and shape rule.

use super::shape::{Findings, Flow, TensorShape};
use super::words::{LayerKind, kind};
use super::{Layer, Operation};

/// Words of [`Layer::Flatten`].
pub(in crate::lang) const FLATTEN: LayerKind = kind(
    "flatten",
    "C x H x W to C H W features, in PyTorch's order. The layers after it fit only one patch size.",
    &[],
    |_, _| Ok(Layer::Flatten),
);

/// The operation of [`Layer::Flatten`].
pub(super) struct Flatten;

impl Operation for Flatten {
    fn words(&self) -> &'static LayerKind {
        &FLATTEN
    }

    fn shape(&self, input: Flow, _: &mut Findings) -> Option<Flow> {
        match input.shape {
            // The number of features depends on the patch size.
            TensorShape::Map { .. } if !input.fixed => None,
            TensorShape::Map { .. } => {
                let features = usize::try_from(input.shape.entries()).unwrap_or(usize::MAX);
                Some(input.to(TensorShape::Vector { features }))
            }
            TensorShape::Vector { .. } => Some(input),
        }
    }
}
