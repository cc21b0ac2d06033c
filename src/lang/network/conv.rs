//! `conv`, `project` and `linear`: words, shape rules, multiply-adds and tensors.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape, product};
use super::words::{BIAS, DefaultValue, LayerKind, PropertyType, named, param};
use super::{Layer, Operation, is_one, one};

/// 2-D convolution, square kernel; `weight` is out x in/groups x k x k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// Tensor prefix.
    pub name: String,
    /// Output channels.
    pub out: usize,
    /// Side of the kernel, px.
    pub kernel: usize,
    /// Stride, px.
    pub stride: usize,
    /// Zero padding on each side, px.
    pub padding: usize,
    /// Steps between the taps of the kernel, px; 1 is an ordinary convolution.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub dilation: usize,
    /// Groups; 1 is an ordinary convolution.
    pub groups: usize,
    /// Whether there is a `bias` (one per output channel).
    pub bias: bool,
    /// The input channels that the author expects; checked with the shapes, without effect on the computation.
    #[serde(skip)]
    pub expects: Option<usize>,
}

/// Fully connected: `weight` is out x in, `bias` is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// Tensor prefix.
    pub name: String,
    /// Output features; `None` is the number of classes.
    pub out: Option<usize>,
    /// Whether there is a bias.
    pub bias: bool,
    /// The input features that the author expects; checked with the shapes, without effect on the computation.
    #[serde(skip)]
    pub expects: Option<usize>,
}

/// Words of [`Conv`].
pub(in crate::lang) const CONV: LayerKind = named(
    "conv",
    "2-D convolution with a square kernel: C x H x W to `out` x H' x W', H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.",
    &[
        param("out", PropertyType::Whole(1, 65_536), DefaultValue::Needed, "Number of output channels."),
        param("kernel", PropertyType::Whole(1, 64), DefaultValue::Needed, "Side of the kernel, px."),
        param("stride", PropertyType::Whole(1, 64), DefaultValue::Whole(1), "Stride of the kernel, px."),
        param(
            "padding",
            PropertyType::Whole(0, 1024),
            DefaultValue::Whole(0),
            "Zeros around the input, px on each side.",
        ),
        param("dilation", PropertyType::Whole(1, 64), DefaultValue::Whole(1), "Dilation of the kernel, px."),
        param(
            "groups",
            PropertyType::Whole(1, 65_536),
            DefaultValue::Whole(1),
            "Number of groups; it must divide the input and output channels. One group and depthwise convolutions are fast; others are slower per multiply-add.",
        ),
        BIAS,
        param(
            "in",
            PropertyType::Whole(1, 65_536),
            DefaultValue::Nothing("any"),
            "Expected number of input channels, for checking.",
        ),
    ],
    |of, name| {
        Ok(Layer::Conv(Conv {
            name,
            out: of.int("out"),
            kernel: of.int("kernel"),
            stride: of.int("stride"),
            padding: of.int("padding"),
            dilation: of.int("dilation"),
            groups: of.int("groups"),
            bias: of.flag("bias"),
            expects: of.given_int("in"),
        }))
    },
);

/// Words of [`Linear`].
pub(in crate::lang) const LINEAR: LayerKind = named(
    "linear",
    "Fully connected: features to `out` features.",
    &[
        param(
            "out",
            PropertyType::Whole(1, 65_536),
            DefaultValue::Nothing("one logit per class"),
            "Number of output features. Omit it for the last layer.",
        ),
        BIAS,
        param(
            "in",
            PropertyType::Whole(1, 1 << 40),
            DefaultValue::Nothing("any"),
            "Expected number of input features, for checking.",
        ),
    ],
    |of, name| {
        Ok(Layer::Linear(Linear { name, out: of.given_int("out"), bias: of.flag("bias"), expects: of.given_int("in") }))
    },
);

/// A linear layer on each pixel, or on a vector; `weight` is out x in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Tensor prefix.
    pub name: String,
    /// Output channels.
    pub out: usize,
    /// Whether there is a `bias` (one per output channel).
    pub bias: bool,
}

/// Words of [`Projection`].
pub(in crate::lang) const PROJECT: LayerKind = named(
    "project",
    "A linear layer on each pixel: C x H x W to `out` x H x W, or features to `out` features. The weight has two dimensions, as in PyTorch's `Linear`.",
    &[param("out", PropertyType::Whole(1, 65_536), DefaultValue::Needed, "Number of output channels."), BIAS],
    |of, name| Ok(Layer::Project(Projection { name, out: of.int("out"), bias: of.flag("bias") })),
);

impl Operation for Projection {
    fn words(&self) -> &'static LayerKind {
        &PROJECT
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        tensors(self.bias)
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, pixels) = match input.shape {
            TensorShape::Map { channels, height, width } => (channels, product(&[height, width])),
            TensorShape::Vector { features } => (features, 1),
        };
        let weights = product(&[channels, self.out]);
        found.multiply_adds = weights.saturating_mul(pixels);
        found.parameters = weights + if self.bias { self.out as u64 } else { 0 };
        found.tensors = SharedTensors { weight: vec![self.out, channels], bias: self.bias, settings: Vec::new() };
        Some(input.to(match input.shape {
            TensorShape::Map { height, width, .. } => TensorShape::Map { channels: self.out, height, width },
            TensorShape::Vector { .. } => TensorShape::Vector { features: self.out },
        }))
    }
}

/// Tensors of a layer with weights.
fn tensors(bias: bool) -> &'static [&'static str] {
    if bias { &["weight", "bias"] } else { &["weight"] }
}

impl Operation for Conv {
    fn words(&self) -> &'static LayerKind {
        &CONV
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        tensors(self.bias)
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let Self { out, kernel, stride, padding, dilation, groups, bias, expects, .. } = self;
        let shape = input.shape;
        let (channels, ..) = found.map(shape)?;
        if let Some(expected) = expects.filter(|&expected| expected != channels) {
            let message = format!("{} expects {expected} channels, but gets {shape}", found.title);
            found.misfit(message, format!("write `in={channels}`, or change the layer before it"));
        }
        if channels % groups != 0 || out % groups != 0 {
            let message = format!(
                "{} has {groups} groups, which do not divide {channels} input and {out} output channels",
                found.title
            );
            found.misfit(message, "input and output channels must be multiples of `groups`");
        }
        let reach = dilation * (kernel - 1) + 1;
        let (height, width) = found.windowed(shape, (reach, *stride, *padding))?;
        let weights = product(&[*out, channels / groups, *kernel, *kernel]);
        found.parameters = weights + if *bias { *out as u64 } else { 0 };
        let weight = vec![*out, channels / groups, *kernel, *kernel];
        found.tensors = SharedTensors { weight, bias: *bias, settings: Vec::new() };
        found.multiply_adds = weights.saturating_mul(product(&[height, width]));
        Some(input.to(TensorShape::Map { channels: *out, height, width }))
    }
}

impl Operation for Linear {
    fn words(&self) -> &'static LayerKind {
        &LINEAR
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        tensors(self.bias)
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let Flow { shape, fixed } = input;
        let expected = self.expects.map_or("features".to_owned(), |features| features.to_string());
        let features = match shape {
            TensorShape::Vector { features } => features,
            TensorShape::Map { channels, .. } => {
                let message = format!("{} expects {expected}, but gets {shape}", found.title);
                let all = shape.entries();
                let flat = if fixed { format!(", or `flatten` for {all}") } else { ", or `flatten`".to_owned() };
                found.misfit(message, format!("put `global-avg-pool` before it for {channels}{flat}"));
                return None;
            }
        };
        if self.expects.is_some_and(|expected| expected != features) {
            let message = format!("{} expects {expected}, but gets {features}", found.title);
            found.misfit(message, format!("write `in={features}`, or change the layer before it"));
        }
        let out = self.out.unwrap_or(found.classes);
        let weights = product(&[features, out]);
        found.multiply_adds = weights;
        found.parameters = weights + if self.bias { out as u64 } else { 0 };
        found.tensors = SharedTensors { weight: vec![out, features], bias: self.bias, settings: Vec::new() };
        self.anyway(found.classes)
    }

    fn anyway(&self, classes: usize) -> Option<Flow> {
        Some(Flow::fixed(TensorShape::Vector { features: self.out.unwrap_or(classes) }))
    }
}
