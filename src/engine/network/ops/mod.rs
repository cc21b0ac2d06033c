//! Operations of a program. Each is one file with everything that it computes: the steps that a layer becomes, what it reads and keeps,
//! its meaning in candle and, if it has kernels, forward and backward pass on the CPU and the launches of both on a GPU. Its words, its shape rule and its
//! tensors are in a file of the same name in `lang::network`.

mod activation;
mod add;
mod attention;
mod attention_pool;
mod channel_scale;
mod concat;
mod conv;
mod crop;
mod cross_attention;
mod dropout;
mod flatten;
mod l2_norm;
mod layer_norm;
mod norm;
mod pooling;
mod space_to_depth;
mod stochastic_depth;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use candle_core::{Result, Tensor};

use super::compile::Compiler;
use super::pass::{Backward, Forward, Saved};
use super::program::{Extent, Program, Step};
use super::tape::OnTape;
use super::trunk::lower::Lowering;
use super::trunk::schedule::Pointer;
use crate::base::random::Stream;
use crate::engine::kernels::Rectify;
use crate::engine::kernels::smooth::Smooth;
use crate::lang::network::{InputKind, Layer, NetworkSpec};
use crate::stage::StageError;

/// Result of compiling an operation.
pub(super) type LayerResult<T> = std::result::Result<T, StageError>;

pub(super) use add::Add;
pub(super) use concat::Concat;
pub(super) use conv::{Conv, ConvolutionBy, Folded, LibraryConvolution, LibraryUse};
pub(super) use norm::{BatchNorm, StatisticsSource};

/// Operation of a step. Those that others are fused into have a variant.
#[derive(Debug)]
pub(super) enum Op {
    /// Convolution, or linear layer as a convolution of single pixels.
    Conv(Conv),
    /// Batch norm, with fused residual and rectifier.
    Norm(BatchNorm),
    /// Sum of two values, with fused rectifier.
    Add(Add),
    /// Any other.
    Plain(Box<dyn Operation>),
}

impl Op {
    pub(super) fn plain(operation: impl Operation + 'static) -> Self {
        Self::Plain(Box::new(operation))
    }

    /// Its launches, in a network whose operations all have them.
    pub(super) fn launches(&self) -> &dyn Launches {
        self.operation().launches().expect("a GPU's schedule computes only networks whose operations all have launches")
    }

    /// What it computes.
    pub(super) fn operation(&self) -> &dyn Operation {
        match self {
            Self::Conv(conv) => conv,
            Self::Norm(norm) => norm,
            Self::Add(add) => add,
            Self::Plain(operation) => &**operation,
        }
    }

    /// The convolution, if it is one.
    pub(super) fn conv(&self) -> Option<&Conv> {
        match self {
            Self::Conv(conv) => Some(conv),
            _ => None,
        }
    }

    /// The batch norm, if it is one.
    pub(super) fn norm(&self) -> Option<&BatchNorm> {
        match self {
            Self::Norm(norm) => Some(norm),
            _ => None,
        }
    }
}

/// What the backward pass of an operation reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadBack {
    /// Its input.
    pub(super) input: bool,
    /// Its output.
    pub(super) output: bool,
    /// What else it read.
    pub(super) others: bool,
}

/// What an operation is. Parameters and batch norms are indices in [`Program`].
pub(super) trait Operation: Debug + Send + Sync {
    /// Extent of the output, from those of the input and of [`Operation::others`].
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent>;

    /// Values that it reads besides its input; a value read twice is listed twice.
    fn others(&self) -> &[usize] {
        &[]
    }

    /// Its parameters.
    fn parameters(&self, program: &Program) -> Vec<usize> {
        let _ = program;
        Vec::new()
    }

    /// Its output in candle, on the tape: what it means. `x` is its input.
    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor>;

    /// Whether it passes its input on unchanged in evaluation.
    fn only_in_training(&self) -> bool {
        false
    }

    /// Its kernels on the CPU; [`None`] if only candle computes it.
    fn kernels(&self) -> Option<&dyn Kernels>;

    /// Its launches on a GPU; [`None`] if only candle computes it there.
    fn launches(&self) -> Option<&dyn Launches> {
        None
    }
}

/// Kernels of an operation on the CPU.
pub(super) trait Kernels {
    /// What its backward pass reads, besides what its forward pass saves.
    fn reads_back(&self, frozen: &[bool]) -> ReadBack {
        let _ = frozen;
        ReadBack::default()
    }

    /// Writes its output to `y`, and returns what its backward pass needs.
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved;

    /// Adds to the gradients of its inputs and parameters; `dy` is the gradient of its output.
    fn backward(&self, of: &mut Backward, dy: Vec<f32>);
}

/// Launches of an operation in the schedule of a GPU.
pub(super) trait Launches {
    /// Adds the launches that write its output to `y`.
    fn lower(&self, on: &mut Lowering, at: usize, step: &Step, y: Pointer);

    /// Adds the launches of its backward pass; `dy` is the gradient of its output.
    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer);

    /// Random mask over the output, for a GPU schedule that asks for one.
    fn mask(&self, count: usize, stream: &mut Stream) -> Option<Vec<f32>> {
        let _ = (count, stream);
        None
    }
}

/// Adds the steps of a layer; returns the value of its output.
pub(super) fn compile(layer: &Layer, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    match layer {
        Layer::Conv(layer) => conv::conv(layer, compiler, input),
        Layer::Linear(layer) => conv::linear(layer, compiler, input),
        Layer::BatchNorm(layer) => norm::batch_norm(layer, compiler, input),
        Layer::LayerNorm(layer) => layer_norm::layer_norm(layer, compiler, input),
        Layer::Relu => activation::rectifier(Rectify::Yes, compiler, input),
        Layer::Relu6 => activation::rectifier(Rectify::Six, compiler, input),
        Layer::Gelu => compiler.step(Op::plain(Smooth::Gelu), input),
        Layer::Silu => compiler.step(Op::plain(Smooth::Silu), input),
        Layer::Tanh => compiler.step(Op::plain(Smooth::Tanh), input),
        Layer::Sigmoid => compiler.step(Op::plain(Smooth::Sigmoid), input),
        Layer::L2Norm => compiler.step(Op::plain(l2_norm::L2Norm), input),
        Layer::MaxPool(layer) => pooling::max_pool(layer, compiler, input),
        Layer::AvgPool(layer) => pooling::avg_pool(layer, compiler, input),
        Layer::AdaptiveAvgPool(layer) => pooling::adaptive_avg_pool(layer, compiler, input),
        Layer::GlobalAvgPool => compiler.step(Op::plain(pooling::GlobalMean), input),
        Layer::GlobalMaxPool => compiler.step(Op::plain(pooling::GlobalMax), input),
        Layer::Flatten => compiler.step(Op::plain(flatten::Flatten), input),
        Layer::Dropout(layer) => dropout::dropout(layer, compiler, input),
        Layer::StochasticDepth(layer) => stochastic_depth::stochastic_depth(layer, compiler, input),
        Layer::SelfAttention(layer) => attention::self_attention(layer, compiler, input),
        Layer::ChannelScale(layer) => channel_scale::channel_scale(layer, compiler, input),
        Layer::ClassToken(layer) => tokens::class_token(layer, compiler, input),
        Layer::PositionTable(layer) => tokens::position_table(layer, compiler, input),
        Layer::FirstToken(_) => tokens::first_token(compiler, input),
        Layer::CrossAttention(layer) => cross_attention::cross_attention(layer, compiler, input),
        Layer::AttentionPool(layer) => attention_pool::attention_pool(layer, compiler, input),
        Layer::SpaceToDepth(layer) => space_to_depth::space_to_depth(layer, compiler, input),
        Layer::Project(layer) => conv::project(layer, compiler, input),
        Layer::Residual { body, shortcut } => compiler.residual(body, shortcut, input),
        Layer::Parallel { join, branches } => compiler.parallel(*join, branches, input),
        Layer::Tap { name } => Ok(compiler.tap(name, input)),
    }
}

/// Adds the steps that make inputs from value 0, the pixels; returns the value of each. The pixels are those of the patch, or, for `wide`,
/// those of a canvas of twice its side with the patch in the middle.
pub(super) fn compile_inputs(
    inputs: &BTreeSet<InputKind>,
    compiler: &mut Compiler,
) -> LayerResult<BTreeMap<InputKind, usize>> {
    let canvas = inputs.contains(&InputKind::Wide);
    let patch = if canvas { crop::middle(compiler, 0)? } else { 0 };
    let mut values = BTreeMap::from([(InputKind::Patch, patch)]);
    for input in inputs {
        let value = match input {
            InputKind::Patch => patch,
            InputKind::Half => pooling::halved(compiler, patch)?,
            InputKind::Wide => pooling::halved(compiler, 0)?,
        };
        values.insert(*input, value);
    }
    Ok(values)
}

/// Whether all operations of a network have launches on a GPU.
pub(super) fn all_have_launches(spec: &NetworkSpec) -> bool {
    !spec.single_layers().into_iter().any(|layer| {
        matches!(
            layer,
            Layer::LayerNorm(_)
                | Layer::L2Norm
                | Layer::SelfAttention(_)
                | Layer::ChannelScale(_)
                | Layer::ClassToken(_)
                | Layer::PositionTable(_)
                | Layer::FirstToken(_)
                | Layer::CrossAttention(_)
                | Layer::AttentionPool(_)
                | Layer::SpaceToDepth(_)
                | Layer::StochasticDepth(_)
        )
    })
}
