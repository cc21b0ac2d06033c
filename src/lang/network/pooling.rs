//! Pooling by windows, by parts and over all pixels: words and shape rules.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, TensorShape};
use super::words::{Conflict, DefaultValue, LayerKind, LayerParam, Properties, PropertyType, kind, param};
use super::{Layer, Operation, is_zero};

/// Max pooling; padding never wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    /// Side of the window, px.
    pub kernel: usize,
    /// Stride, px.
    pub stride: usize,
    /// Padding on each side, px.
    pub padding: usize,
}

/// Average pooling; padding counts as zeros (torch's `count_include_pad`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvgPool {
    /// Side of the window, px.
    pub kernel: usize,
    /// Stride, px.
    pub stride: usize,
    /// Padding on each side, px.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub padding: usize,
}

/// Means of `side` x `side` parts that cover the input, like torch's `AdaptiveAvgPool2d`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaptiveAvgPool {
    /// Rows and columns of the output, px.
    pub side: usize,
}

const STRIDE: LayerParam =
    param("stride", PropertyType::Whole(1, 64), DefaultValue::Same("kernel"), "Stride of the window, px.");

/// Words of [`MaxPool`].
pub(in crate::lang) const MAX_POOL: LayerKind = kind(
    "max-pool",
    "The maximum of each window; padding never counts. H' = (H + 2 padding - kernel) / stride + 1, rounded down.",
    &[
        param("kernel", PropertyType::Whole(1, 15), DefaultValue::Needed, "Side of the window, px."),
        STRIDE,
        param(
            "padding",
            PropertyType::Whole(0, 7),
            DefaultValue::Whole(0),
            "Padding on each side, px; at most half the window.",
        ),
    ],
    |of, _| {
        let (kernel, stride, padding) = window(of)?;
        Ok(Layer::MaxPool(MaxPool { kernel, stride, padding }))
    },
);

/// Words of [`AvgPool`].
pub(in crate::lang) const AVG_POOL: LayerKind = kind(
    "avg-pool",
    "The mean of each window; padding counts as zeros, like PyTorch's default. H' as for `max-pool`.",
    &[
        param("kernel", PropertyType::Whole(1, 64), DefaultValue::Needed, "Side of the window, px."),
        STRIDE,
        param(
            "padding",
            PropertyType::Whole(0, 32),
            DefaultValue::Whole(0),
            "Padding on each side, px; at most half the window.",
        ),
    ],
    |of, _| {
        let (kernel, stride, padding) = window(of)?;
        Ok(Layer::AvgPool(AvgPool { kernel, stride, padding }))
    },
);

/// Words of [`AdaptiveAvgPool`].
pub(in crate::lang) const ADAPTIVE_AVG_POOL: LayerKind = kind(
    "adaptive-avg-pool",
    "Means of `side` x `side` parts that cover the input, whatever its size, like PyTorch's `AdaptiveAvgPool2d`.",
    &[param("side", PropertyType::Whole(1, 64), DefaultValue::Needed, "Rows and columns of the output, px.")],
    |of, _| Ok(Layer::AdaptiveAvgPool(AdaptiveAvgPool { side: of.int("side") })),
);

/// Words of [`Layer::GlobalAvgPool`].
pub(in crate::lang) const GLOBAL_AVG_POOL: LayerKind =
    kind("global-avg-pool", "The mean over all pixels: C x H x W to C.", &[], |_, _| Ok(Layer::GlobalAvgPool));

/// Words of [`Layer::GlobalMaxPool`].
pub(in crate::lang) const GLOBAL_MAX_POOL: LayerKind =
    kind("global-max-pool", "The maximum over all pixels: C x H x W to C.", &[], |_, _| Ok(Layer::GlobalMaxPool));

/// Kernel, stride and padding of a window that always covers some pixels.
fn window(of: &Properties) -> Result<(usize, usize, usize), Conflict> {
    let (kernel, padding) = (of.int("kernel"), of.int("padding"));
    if 2 * padding > kernel {
        return Err(Conflict {
            param: "padding",
            message: format!("`padding` cannot be {padding} with a window of {kernel}"),
            hint: "use at most half the window, so that every window covers some pixels",
        });
    }
    Ok((kernel, of.int("stride"), padding))
}

/// Shape rule of windows.
fn windows(input: Flow, window: (usize, usize, usize), found: &mut Findings) -> Option<Flow> {
    let (channels, ..) = found.map(input.shape)?;
    let (height, width) = found.windowed(input.shape, window)?;
    Some(input.to(TensorShape::Map { channels, height, width }))
}

impl Operation for MaxPool {
    fn words(&self) -> &'static LayerKind {
        &MAX_POOL
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        windows(input, (self.kernel, self.stride, self.padding), found)
    }
}

impl Operation for AvgPool {
    fn words(&self) -> &'static LayerKind {
        &AVG_POOL
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        windows(input, (self.kernel, self.stride, self.padding), found)
    }
}

impl Operation for AdaptiveAvgPool {
    fn words(&self) -> &'static LayerKind {
        &ADAPTIVE_AVG_POOL
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, ..) = found.map(input.shape)?;
        Some(Flow::fixed(TensorShape::Map { channels, height: self.side, width: self.side }))
    }
}

/// Pooling over all pixels, with these words.
pub(super) struct GlobalPool(pub(super) &'static LayerKind);

impl Operation for GlobalPool {
    fn words(&self) -> &'static LayerKind {
        self.0
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (features, ..) = found.map(input.shape)?;
        Some(Flow::fixed(TensorShape::Vector { features }))
    }
}
