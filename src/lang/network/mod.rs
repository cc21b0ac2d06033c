//! Network definitions: layers and their tensor names. A layer type is a file here: its words, its shape rule, its multiply-adds and its
//! tensors. What it computes is in a file of the same name in `engine::network::ops`.

mod activation;
pub mod attention;
mod attention_pool;
mod auxiliary;
mod branches;
mod channel_scale;
mod conv;
mod cross_attention;
mod dropout;
mod flatten;
mod inputs;
mod layer_norm;
mod norm;
pub mod parts;
mod pooling;
pub(in crate::lang) mod shape;
mod space_to_depth;
mod tap;
mod tokens;
pub(in crate::lang) mod words;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};
use activation::Activation;
use flatten::Flatten;
use pooling::GlobalPool;
use shape::{Findings, Flow};

pub use attention::{AttentionNames, SelfAttention};
pub use attention_pool::AttentionPool;
pub use auxiliary::Auxiliary;
pub(in crate::lang) use branches::residual;
pub use branches::{Branch, Join};
pub use channel_scale::ChannelScale;
pub use conv::{Conv, Linear, Projection};
pub use cross_attention::CrossAttention;
pub use dropout::{Dropout, StochasticDepth};
pub use inputs::InputKind;
pub use layer_norm::LayerNorm;
pub use norm::BatchNorm;
pub use pooling::{AdaptiveAvgPool, AvgPool, MaxPool};
pub use shape::TensorShape;
pub use space_to_depth::SpaceToDepth;
pub use tokens::{ClassToken, FirstToken, PositionTable};
pub use words::{DefaultValue, LayerKind, LayerParam, PropertyType};

/// A network, resolved: a sequence of layers from N x 3 x H x W pixels to N x classes logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The name it was defined under; not in its digest.
    pub name: String,
    /// Its layers, in order.
    pub layers: Vec<Layer>,
    /// Prefixes of the tensors of networks that it uses under a name, such as `small.`: their pretrained weights have no such prefix.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub prefixes: BTreeSet<String>,
    /// Auxiliary outputs, in the order of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auxiliary: Vec<Auxiliary>,
}

/// One layer. `name` is the prefix of its tensors (`layer1.0.conv1` gives `layer1.0.conv1.weight`), as torchvision has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Layer {
    /// 2-D convolution.
    Conv(Conv),
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// Layer normalisation over channels.
    LayerNorm(LayerNorm),
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    #[serde(rename = "relu6")]
    Relu6,
    /// x Phi(x), using the error function like torch's default (Hendrycks and Gimpel 2016).
    Gelu,
    /// x / (1 + exp(-x)), also called swish.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// Division of the channels of each pixel by their Euclidean norm.
    #[serde(rename = "l2-norm")]
    L2Norm,
    /// Max pooling.
    MaxPool(MaxPool),
    /// Average pooling.
    AvgPool(AvgPool),
    /// Means of a fixed number of parts.
    AdaptiveAvgPool(AdaptiveAvgPool),
    /// Mean over H and W: N x C x H x W to N x C.
    GlobalAvgPool,
    /// Maximum over H and W: N x C x H x W to N x C.
    GlobalMaxPool,
    /// N x C x H x W to N x (C H W), in torch's order.
    Flatten,
    /// Dropout.
    Dropout(Dropout),
    /// Stochastic depth.
    StochasticDepth(StochasticDepth),
    /// Multi-head self-attention.
    SelfAttention(SelfAttention),
    /// Multiplication of each channel by a learned factor.
    ChannelScale(ChannelScale),
    /// A learned token before the pixels.
    ClassToken(ClassToken),
    /// A learned vector added to each pixel.
    PositionTable(PositionTable),
    /// The first pixel of a map.
    FirstToken(FirstToken),
    /// Multi-head attention to an input or a tap.
    CrossAttention(CrossAttention),
    /// Mean of the pixels by attention: N x C x H x W to N x C.
    AttentionPool(AttentionPool),
    /// Blocks of pixels as channels: N x C x H x W to N x (S² C) x H/S x W/S.
    SpaceToDepth(SpaceToDepth),
    /// Fully connected, on each pixel.
    Project(Projection),
    /// Fully connected.
    Linear(Linear),
    /// body(x) + shortcut(x); an empty shortcut is the identity.
    Residual {
        /// The main path.
        body: Vec<Layer>,
        /// The shortcut path.
        shortcut: Vec<Layer>,
    },
    /// Several branches from the same input, joined; an empty branch is the identity.
    Parallel {
        /// How their outputs are joined.
        join: Join,
        /// The branches, in the order in which they are joined.
        branches: Vec<Branch>,
    },
    /// A name for the value that reaches it. Only those that a branch starts at are kept.
    Tap {
        /// Its name, with the prefix of the names around it.
        name: String,
    },
}

/// A layer that contains no others: its words, its shape rule and its tensors.
pub(in crate::lang) trait Operation {
    /// How it is written.
    fn words(&self) -> &'static LayerKind;

    /// Tensor prefix; empty if it has no tensors.
    #[expect(clippy::unnecessary_literal_bound, reason = "layers with tensors return their own name")]
    fn name(&self) -> &str {
        ""
    }

    /// Names of its tensors, without the prefix; empty for one that has the name of the layer.
    fn tensors(&self) -> &'static [&'static str] {
        &[]
    }

    /// The input or tap that it reads besides its input.
    fn reads(&self) -> Option<&str> {
        None
    }

    /// As [`Operation::shape`]; `other` is what [`Operation::reads`] names, if its shape is known.
    fn shape_with(&self, input: Flow, other: Option<Flow>, found: &mut Findings) -> Option<Flow> {
        let _ = other;
        self.shape(input, found)
    }

    /// The output for this input; [`None`] if it is unknown because of a misfit, or because it depends on the patch size.
    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let _ = found;
        Some(input)
    }

    /// The output whatever the input.
    fn anyway(&self, classes: usize) -> Option<Flow> {
        let _ = classes;
        None
    }
}

/// What a layer is made of.
pub(in crate::lang) enum LayerPart<'a> {
    /// One operation.
    One(&'a dyn Operation),
    /// A sum of two paths.
    Residual(&'a [Layer], &'a [Layer]),
    /// Joined branches.
    Parallel(Join, &'a [Branch]),
    /// A name for the input.
    Tap(&'a str),
}

impl Layer {
    /// The operation, or the layers inside.
    pub(in crate::lang) fn part(&self) -> LayerPart<'_> {
        LayerPart::One(match self {
            Self::Conv(conv) => conv,
            Self::BatchNorm(norm) => norm,
            Self::LayerNorm(norm) => norm,
            Self::Relu => &Activation(&activation::RELU),
            Self::Relu6 => &Activation(&activation::RELU6),
            Self::Gelu => &Activation(&activation::GELU),
            Self::Silu => &Activation(&activation::SILU),
            Self::Tanh => &Activation(&activation::TANH),
            Self::Sigmoid => &Activation(&activation::SIGMOID),
            Self::L2Norm => &Activation(&activation::L2_NORM),
            Self::MaxPool(pool) => pool,
            Self::AvgPool(pool) => pool,
            Self::AdaptiveAvgPool(pool) => pool,
            Self::GlobalAvgPool => &GlobalPool(&pooling::GLOBAL_AVG_POOL),
            Self::GlobalMaxPool => &GlobalPool(&pooling::GLOBAL_MAX_POOL),
            Self::Flatten => &Flatten,
            Self::Dropout(dropout) => dropout,
            Self::StochasticDepth(depth) => depth,
            Self::SelfAttention(attention) => attention,
            Self::ChannelScale(scale) => scale,
            Self::ClassToken(token) => token,
            Self::PositionTable(table) => table,
            Self::FirstToken(first) => first,
            Self::CrossAttention(attention) => attention,
            Self::AttentionPool(pool) => pool,
            Self::SpaceToDepth(blocks) => blocks,
            Self::Project(project) => project,
            Self::Linear(linear) => linear,
            Self::Residual { body, shortcut } => return LayerPart::Residual(body, shortcut),
            Self::Parallel { join, branches } => return LayerPart::Parallel(*join, branches),
            Self::Tap { name } => return LayerPart::Tap(name),
        })
    }
}

/// Every layer type, in the order of the manual.
pub const KINDS: [LayerKind; 31] = [
    conv::CONV,
    norm::BATCH_NORM,
    layer_norm::LAYER_NORM,
    channel_scale::CHANNEL_SCALE,
    activation::RELU,
    activation::RELU6,
    activation::GELU,
    activation::SILU,
    activation::TANH,
    activation::SIGMOID,
    activation::L2_NORM,
    pooling::MAX_POOL,
    pooling::AVG_POOL,
    pooling::ADAPTIVE_AVG_POOL,
    pooling::GLOBAL_AVG_POOL,
    pooling::GLOBAL_MAX_POOL,
    attention_pool::ATTENTION_POOL,
    flatten::FLATTEN,
    space_to_depth::SPACE_TO_DEPTH,
    attention::SELF_ATTENTION,
    cross_attention::CROSS_ATTENTION,
    tokens::CLASS_TOKEN,
    tokens::POSITION_TABLE,
    tokens::FIRST_TOKEN,
    dropout::DROPOUT,
    dropout::STOCHASTIC_DEPTH,
    conv::PROJECT,
    conv::LINEAR,
    branches::RESIDUAL,
    branches::PARALLEL,
    tap::TAP,
];

// Fields added later are omitted from the text at their neutral value, so that digests stay the same.

const fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_one(value: &usize) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl NetworkSpec {
    /// A network of these layers that uses no other under a name and has no auxiliary outputs.
    #[must_use]
    pub const fn new(name: String, layers: Vec<Layer>) -> Self {
        Self { name, layers, prefixes: BTreeSet::new(), auxiliary: Vec::new() }
    }

    /// Whether it is a whole classifier, and not a network up to a tap: its last layer depends on the classes.
    #[must_use]
    pub fn is_classifier(&self) -> bool {
        matches!(self.layers.last(), Some(Layer::Linear(Linear { out: None, .. })))
    }

    /// The names of all its tensors, including running statistics, in the order of the layers; shared ones once.
    #[must_use]
    pub fn tensors(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        for layer in self.single_layers() {
            let LayerPart::One(operation) = layer.part() else { continue };
            let name = operation.name();
            let full = |end: &&str| if end.is_empty() { name.to_owned() } else { format!("{name}.{end}") };
            let names = operation.tensors().iter().map(full);
            all.extend(names.filter(|name| seen.insert(name.clone())));
        }
        all
    }

    /// All layers that contain no others, in order; those of the auxiliary outputs last.
    #[must_use]
    pub fn single_layers(&self) -> Vec<&Layer> {
        let mut all = Vec::new();
        let auxiliary = self.auxiliary.iter().rev().flat_map(|output| output.branch.layers.iter().rev());
        let mut waiting: Vec<&Layer> = auxiliary.chain(self.layers.iter().rev()).collect();
        while let Some(layer) = waiting.pop() {
            match layer.part() {
                LayerPart::One(_) | LayerPart::Tap(_) => all.push(layer),
                LayerPart::Residual(body, shortcut) => waiting.extend(shortcut.iter().rev().chain(body.iter().rev())),
                LayerPart::Parallel(_, branches) => {
                    waiting.extend(branches.iter().rev().flat_map(|branch| branch.layers.iter().rev()));
                }
            }
        }
        all
    }

    /// Digest of what it computes: its layers with their tensor names, and how it finds pretrained ones; not its own name.
    ///
    /// # Panics
    /// Never: layers always serialise.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_string(&self.layers).expect("layers serialise");
        let mut hasher = Hasher::new("macula network 1");
        hasher.text(&text);
        // Layer norms were computed by candle once, whose sums have another order.
        if self.single_layers().into_iter().any(|layer| matches!(layer, Layer::LayerNorm(_))) {
            hasher.text("layer norm 2");
        }
        self.prefixes.iter().for_each(|prefix| _ = hasher.text(prefix));
        if !self.auxiliary.is_empty() {
            hasher.text(&serde_json::to_string(&self.auxiliary).expect("layers serialise"));
        }
        hasher.finish()
    }
}
