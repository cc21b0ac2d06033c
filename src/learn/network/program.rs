//! Program of a network: a list of steps over numbered values. Knows shapes and names, executes nothing.

use std::ops::Range;

use super::Parameter;
use crate::learn::kernels::Rectify;
use crate::learn::kernels::adaptive::Parts;
use crate::learn::kernels::pooling::PoolWindow;
use crate::learn::kernels::shape::ConvShape;
use crate::learn::kernels::smooth::Smooth;
use crate::stage::StageError;

/// Compiled network.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// Steps in order of execution. Value 0 is the pixels, the output of the last step the logits.
    pub(super) steps: Vec<Step>,
    /// Number of steps that use each value.
    pub(super) uses: Vec<usize>,
    /// All parameters, in the order of the layers.
    pub(super) parameters: Vec<Parameter>,
    /// All batch norms, in the order of the layers.
    pub(super) norms: Vec<Norm>,
    /// All residual blocks.
    pub(super) blocks: Vec<ResidualBlock>,
}

impl Program {
    /// Names of all tensors of a weights file: parameters, then running statistics.
    pub(super) fn names(&self) -> Vec<String> {
        let running = self
            .norms
            .iter()
            .flat_map(|norm| ["running_mean", "running_var"].map(|end| format!("{}.{end}", norm.name)));
        self.parameters.iter().map(|parameter| parameter.name.clone()).chain(running).collect()
    }
}

/// Step that computes `output` from `input` and from further values that the operation names.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) input: usize,
    pub(super) output: usize,
}

/// Operation of a step. Parameters and batch norms are indices in [`Program`].
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Convolution, or linear layer as a convolution of single pixels.
    Conv { weight: usize, bias: Option<usize>, geometry: Geometry },
    /// Batch norm, with fused residual and rectifier.
    Norm { norm: usize, add: Option<usize>, rectify: Rectify },
    /// Rectifier.
    Rectify(Rectify),
    /// Smooth activation.
    Smooth(Smooth),
    /// Sum of two values, with fused rectifier.
    Add { other: usize, rectify: Rectify },
    /// Concatenation of channels: those of the input, then those of the others.
    Concat { others: Vec<usize> },
    /// Maxima of windows.
    MaxPool { kernel: usize, stride: usize, padding: usize },
    /// Means of windows.
    MeanPool { kernel: usize, stride: usize, padding: usize },
    /// Means of `side` x `side` parts.
    AdaptiveMean { side: usize },
    /// Mean of all pixels.
    GlobalMean,
    /// Maximum of all pixels.
    GlobalMax,
    /// Transposition to channels before pixels.
    Flatten,
    /// Dropout of a fraction `share` in training.
    Dropout { share: f64 },
}

/// Convolution without the size of its images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
    pub(super) groups: usize,
}

/// Batch norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) name: String,
    pub(super) channels: usize,
    pub(super) gamma: usize,
    pub(super) beta: usize,
    /// Start of the running mean, which the variance follows.
    pub(super) running: usize,
    pub(super) eps: f64,
    pub(super) momentum: f64,
    /// Tensor prefix of the convolution directly before it.
    pub(super) conv: Option<String>,
}

/// Residual block: gamma of its last batch norm, and the range of its parameters.
#[derive(Debug)]
pub(super) struct ResidualBlock {
    pub(super) gamma: Option<usize>,
    pub(super) parameters: Range<usize>,
}

/// Height, width and channels of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Extent {
    /// Floats per image.
    pub(super) fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    pub(super) fn window(self, kernel: usize, stride: usize, padding: usize) -> PoolWindow {
        let Self { height, width, channels } = self;
        PoolWindow { height, width, channels, kernel, stride, padding }
    }

    pub(super) fn parts(self, side: usize) -> Parts {
        let Self { height, width, channels } = self;
        Parts { height, width, channels, side }
    }

    pub(super) fn conv(self, geometry: Geometry) -> ConvShape {
        let Geometry { out, kernel, stride, padding, dilation, groups } = geometry;
        let Self { height, width, channels } = self;
        ConvShape { height, width, channels, out, kernel, stride, padding, dilation, groups }
    }
}

pub(super) fn wrong(text: impl Into<String>) -> StageError {
    StageError::input("shape-mismatch", text)
}

impl Op {
    /// Extent of the output, from those of all earlier values.
    pub(super) fn extent(&self, input: usize, extents: &[Extent]) -> Result<Extent, StageError> {
        let input = extents[input];
        let side = |side: usize, kernel: usize, stride: usize, padding: usize| {
            let room = (side + 2 * padding).checked_sub(kernel).ok_or_else(|| {
                wrong(format!("a window of {kernel} px does not fit {side} px with {padding} px of padding"))
                    .hint("use larger patches or fewer strides")
            })?;
            Ok::<_, StageError>(room / stride + 1)
        };
        let windowed = |channels, kernel, stride, padding| {
            let height = side(input.height, kernel, stride, padding)?;
            Ok(Extent { height, width: side(input.width, kernel, stride, padding)?, channels })
        };
        match self {
            Self::Conv { geometry: Geometry { out, kernel, stride, padding, dilation, .. }, .. } => {
                windowed(*out, dilation * (kernel - 1) + 1, *stride, *padding)
            }
            Self::MaxPool { kernel, stride, padding } | Self::MeanPool { kernel, stride, padding } => {
                windowed(input.channels, *kernel, *stride, *padding)
            }
            Self::AdaptiveMean { side } => Ok(Extent { height: *side, width: *side, channels: input.channels }),
            Self::GlobalMean | Self::GlobalMax => Ok(Extent { height: 1, width: 1, channels: input.channels }),
            Self::Flatten => Ok(Extent { height: 1, width: 1, channels: input.len() }),
            Self::Concat { others } => {
                let mut channels = input.channels;
                for other in others.iter().map(|&other| extents[other]) {
                    agree("joins", input, Extent { channels: input.channels, ..other })?;
                    channels += other.channels;
                }
                Ok(Extent { channels, ..input })
            }
            Self::Add { other, .. } | Self::Norm { add: Some(other), .. } => {
                agree("adds", input, extents[*other])?;
                Ok(input)
            }
            Self::Norm { add: None, .. } | Self::Rectify(_) | Self::Smooth(_) | Self::Dropout { .. } => Ok(input),
        }
    }
}

/// Checks that two branches that meet have the same extent.
fn agree(what: &str, one: Extent, other: Extent) -> Result<(), StageError> {
    if one == other {
        return Ok(());
    }
    let text = |extent: Extent| format!("{} x {} x {}", extent.channels, extent.height, extent.width);
    Err(wrong(format!("a layer {what} different shapes: {} and {}", text(one), text(other))))
}

impl Step {
    /// Values that the step reads besides its input; a value read twice is listed twice.
    pub(super) fn others(&self) -> &[usize] {
        match &self.op {
            Op::Norm { add: Some(other), .. } | Op::Add { other, .. } => std::slice::from_ref(other),
            Op::Concat { others } => others,
            _ => &[],
        }
    }

    /// All values that the step reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.input).chain(self.others().iter().copied())
    }
}

impl Program {
    /// Extents of all values for images of that height and width.
    pub(super) fn extents(&self, height: usize, width: usize) -> Result<Vec<Extent>, StageError> {
        let mut extents = vec![Extent { height, width, channels: 3 }; self.uses.len()];
        for step in &self.steps {
            extents[step.output] = step.op.extent(step.input, &extents)?;
            if let Op::Conv { weight, geometry, .. } = &step.op {
                let held = self.parameters[*weight].range.len();
                if extents[step.input].conv(*geometry).weights() != held {
                    return Err(wrong(format!(
                        "patches of {width} x {height} px give `{}` {} input features, but it was built for another number",
                        self.parameters[*weight].name, extents[step.input].channels
                    )));
                }
            }
        }
        Ok(extents)
    }

    /// Number of floats of all parameters.
    pub(super) fn floats(&self) -> usize {
        self.parameters.last().map_or(0, |parameter| parameter.range.end)
    }

    /// Convolution whose output is read only by the batch norm of `norm_step`.
    pub(super) fn folded_conv(&self, norm_step: &Step) -> Option<usize> {
        if !matches!(norm_step.op, Op::Norm { .. }) || self.uses[norm_step.input] != 1 {
            return None;
        }
        self.steps.iter().position(|step| step.output == norm_step.input && matches!(step.op, Op::Conv { .. }))
    }
}
