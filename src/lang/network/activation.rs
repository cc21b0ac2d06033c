//! `relu`, `relu6`, `gelu`, `silu`, `tanh`, `sigmoid` and `l2-norm`: words. The shape is unchanged.

use super::words::{LayerKind, kind};
use super::{Layer, Operation};

/// Words of [`Layer::Relu`].
pub(in crate::lang) const RELU: LayerKind = kind("relu", "max(x, 0).", &[], |_, _| Ok(Layer::Relu));

/// Words of [`Layer::Relu6`].
pub(in crate::lang) const RELU6: LayerKind = kind("relu6", "min(max(x, 0), 6).", &[], |_, _| Ok(Layer::Relu6));

/// Words of [`Layer::Gelu`].
pub(in crate::lang) const GELU: LayerKind = kind(
    "gelu",
    "x Phi(x) with the error function, like PyTorch's default; not the `tanh` approximation.",
    &[],
    |_, _| Ok(Layer::Gelu),
);

/// Words of [`Layer::Silu`].
pub(in crate::lang) const SILU: LayerKind =
    kind("silu", "x / (1 + exp(-x)), also called swish.", &[], |_, _| Ok(Layer::Silu));

/// Words of [`Layer::Tanh`].
pub(in crate::lang) const TANH: LayerKind = kind("tanh", "Hyperbolic tangent.", &[], |_, _| Ok(Layer::Tanh));

/// Words of [`Layer::Sigmoid`].
pub(in crate::lang) const SIGMOID: LayerKind =
    kind("sigmoid", "1 / (1 + exp(-x)). For use between layers: a network ends in logits.", &[], |_, _| {
        Ok(Layer::Sigmoid)
    });

/// Words of [`Layer::L2Norm`].
pub(in crate::lang) const L2_NORM: LayerKind = kind(
    "l2-norm",
    "Divides the channels of each pixel, or all features, by their Euclidean norm (by 1e-12 if it is smaller). candle computes it: there are no kernels for it.",
    &[],
    |_, _| Ok(Layer::L2Norm),
);

/// Activation with these words.
pub(super) struct Activation(pub(super) &'static LayerKind);

impl Operation for Activation {
    fn words(&self) -> &'static LayerKind {
        self.0
    }
}
