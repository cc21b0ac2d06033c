//! A network's layers as a list of steps over numbered values, nested residuals included. Knows shapes and names, executes
//! nothing.

use std::ops::Range;

use super::{Parameter, Role};
use crate::lang::network::{Layer, NetworkSpec};
use crate::learn::kernels::Rectify;
use crate::learn::kernels::conv::ConvShape;
use crate::learn::kernels::pooling::Window;
use crate::stage::StageError;

/// A network, compiled.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// What is executed, in order. Value 0 is the pixels, the last step's output the logits.
    pub(super) steps: Vec<Step>,
    /// How many steps use each value.
    pub(super) uses: Vec<usize>,
    /// All parameters, in the order of the layers.
    pub(super) parameters: Vec<Parameter>,
    /// All batch norms, in the order of the layers.
    pub(super) norms: Vec<Norm>,
    /// All residual blocks.
    pub(super) blocks: Vec<Block>,
}

/// One step: `output` is computed from `input` (and from a second value that the operation names).
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) input: usize,
    pub(super) output: usize,
}

/// What a step does. Parameters and batch norms are named by their place in [`Program`].
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A convolution, or a linear layer as one of single pixels.
    Conv { weight: usize, bias: Option<usize>, geometry: Geometry },
    /// A batch norm, with a residual and a rectifier where they follow.
    Norm { norm: usize, add: Option<usize>, rectify: Rectify },
    /// max(x, 0).
    Rectify,
    /// A sum of two values, with a rectifier where it follows.
    Add { other: usize, rectify: Rectify },
    /// Maxima or means of windows.
    MaxPool { kernel: usize, stride: usize, padding: usize },
    /// Means of windows.
    MeanPool { kernel: usize, stride: usize },
    /// The mean of all pixels.
    GlobalMean,
    /// Channels before pixels.
    Flatten,
    /// Zeroes a share while training.
    Dropout { share: f64 },
}

/// A convolution without the size of its images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) groups: usize,
}

/// One batch norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) name: String,
    pub(super) channels: usize,
    pub(super) gamma: usize,
    pub(super) beta: usize,
    /// Where its running mean begins; the variance follows it.
    pub(super) running: usize,
    pub(super) eps: f64,
    pub(super) momentum: f64,
    /// The tensor prefix of the convolution it directly follows.
    pub(super) conv: Option<String>,
}

/// A residual block: the gamma of its last batch norm, and its kernels.
#[derive(Debug)]
pub(super) struct Block {
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

    pub(super) fn window(self, kernel: usize, stride: usize, padding: usize) -> Window {
        let Self { height, width, channels } = self;
        Window { height, width, channels, kernel, stride, padding }
    }

    pub(super) fn conv(self, geometry: Geometry) -> ConvShape {
        let Geometry { out, kernel, stride, padding, groups } = geometry;
        let Self { height, width, channels } = self;
        ConvShape { height, width, channels, out, kernel, stride, padding, groups }
    }
}

fn wrong(text: impl Into<String>) -> StageError {
    StageError::input("network-shape", text)
}

impl Op {
    /// The extent of the output.
    pub(super) fn extent(&self, input: Extent) -> Result<Extent, StageError> {
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
        match *self {
            Self::Conv { geometry: Geometry { out, kernel, stride, padding, .. }, .. } => {
                windowed(out, kernel, stride, padding)
            }
            Self::MaxPool { kernel, stride, padding } => windowed(input.channels, kernel, stride, padding),
            Self::MeanPool { kernel, stride } => windowed(input.channels, kernel, stride, 0),
            Self::GlobalMean => Ok(Extent { height: 1, width: 1, channels: input.channels }),
            Self::Flatten => Ok(Extent { height: 1, width: 1, channels: input.len() }),
            Self::Norm { .. } | Self::Rectify | Self::Add { .. } | Self::Dropout { .. } => Ok(input),
        }
    }
}

impl Step {
    /// The second value that the step reads.
    pub(super) fn second(&self) -> Option<usize> {
        match self.op {
            Op::Norm { add, .. } => add,
            Op::Add { other, .. } => Some(other),
            _ => None,
        }
    }
}

impl Program {
    /// Compiles `spec` for patches of `size` px and that many classes.
    pub(super) fn new(spec: &NetworkSpec, size: usize, classes: usize) -> Result<Self, StageError> {
        let mut compiler = Compiler {
            program: Self { uses: vec![0], ..Self::default() },
            extents: vec![Extent { height: size, width: size, channels: 3 }],
            pinned: vec![true],
            names: vec![None],
            classes,
            floats: 0,
            running: 0,
        };
        let logits = compiler.sequence(&spec.layers, 0)?;
        let extent = compiler.extents[logits];
        if extent != (Extent { height: 1, width: 1, channels: classes }) {
            return Err(wrong(format!(
                "network `{}` ends in {} x {} x {} per patch where {classes} logits are wanted",
                spec.name, extent.channels, extent.height, extent.width
            ))
            .hint("end it with a `linear` layer without `out`"));
        }
        let program = compiler.program;
        let mut names: Vec<&str> = program.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[one, other]| one == other) {
            return Err(wrong(format!("two layers of network `{}` have the tensor `{}`", spec.name, twice)));
        }
        Ok(program)
    }

    /// The extents of all values for images of that height and width.
    pub(super) fn extents(&self, height: usize, width: usize) -> Result<Vec<Extent>, StageError> {
        let mut extents = vec![Extent { height, width, channels: 3 }; self.uses.len()];
        for step in &self.steps {
            extents[step.output] = step.op.extent(extents[step.input])?;
            if let Op::Conv { weight, geometry, .. } = &step.op {
                let held = self.parameters[*weight].range.len();
                if extents[step.input].conv(*geometry).weights() != held {
                    return Err(wrong(format!(
                        "patches of {width} x {height} px give `{}` {} features, which it is not made for",
                        self.parameters[*weight].name, extents[step.input].channels
                    )));
                }
            }
        }
        Ok(extents)
    }

    /// Floats of all parameters.
    pub(super) fn floats(&self) -> usize {
        self.parameters.last().map_or(0, |parameter| parameter.range.end)
    }

    /// The convolution whose output is read by nobody but the batch norm that makes `norm_step`.
    pub(super) fn folded_conv(&self, norm_step: &Step) -> Option<usize> {
        if !matches!(norm_step.op, Op::Norm { .. }) || self.uses[norm_step.input] != 1 {
            return None;
        }
        self.steps.iter().position(|step| step.output == norm_step.input && matches!(step.op, Op::Conv { .. }))
    }
}

struct Compiler {
    program: Program,
    extents: Vec<Extent>,
    /// Values that more than the next layer reads: nothing may be fused into what makes them.
    pinned: Vec<bool>,
    /// The prefix of the convolution that made a value.
    names: Vec<Option<String>>,
    classes: usize,
    floats: usize,
    running: usize,
}

impl Compiler {
    fn sequence(&mut self, layers: &[Layer], input: usize) -> Result<usize, StageError> {
        layers.iter().try_fold(input, |value, layer| self.layer(layer, value))
    }

    fn step(&mut self, op: Op, input: usize) -> Result<usize, StageError> {
        let output = self.extents.len();
        let step = Step { op, input, output };
        self.extents.push(step.op.extent(self.extents[input])?);
        self.pinned.push(false);
        self.names.push(None);
        self.program.uses.push(0);
        self.program.uses[input] += 1;
        if let Some(second) = step.second() {
            self.program.uses[second] += 1;
        }
        self.program.steps.push(step);
        Ok(output)
    }

    fn parameter(&mut self, name: String, shape: Vec<usize>, role: Role) -> usize {
        let len = shape.iter().product::<usize>();
        let range = self.floats..self.floats + len;
        self.floats = range.end;
        self.program.parameters.push(Parameter { name, shape, range, role });
        self.program.parameters.len() - 1
    }

    fn layer(&mut self, layer: &Layer, input: usize) -> Result<usize, StageError> {
        let extent = self.extents[input];
        match layer {
            Layer::Conv { name, out, kernel, stride, padding, groups, bias } => {
                let (out, groups) = (*out, *groups);
                if [out, *kernel, *stride, groups].contains(&0)
                    || !(extent.channels.is_multiple_of(groups) && out.is_multiple_of(groups))
                {
                    return Err(wrong(format!(
                        "`{name}` has {} channels in, {out} out, {groups} groups, kernel {kernel}, stride {stride}: \
                         none may be 0, and the groups must divide both",
                        extent.channels
                    )));
                }
                let shape = vec![out, extent.channels / groups, *kernel, *kernel];
                let weight = self.parameter(format!("{name}.weight"), shape, Role::Kernel);
                let bias = bias.then(|| self.parameter(format!("{name}.bias"), vec![out], Role::Bias));
                let geometry = Geometry { out, kernel: *kernel, stride: *stride, padding: *padding, groups };
                let output = self.step(Op::Conv { weight, bias, geometry }, input)?;
                self.names[output] = Some(name.clone());
                Ok(output)
            }
            Layer::Linear { name, out, bias } => {
                if extent.height * extent.width != 1 {
                    return Err(wrong(format!(
                        "`{name}` is given {} x {} pixels of {} channels",
                        extent.width, extent.height, extent.channels
                    ))
                    .hint("put `flatten` or `global-avg-pool` before it"));
                }
                let out = out.unwrap_or(self.classes);
                let weight = self.parameter(format!("{name}.weight"), vec![out, extent.channels], Role::Kernel);
                let bias = bias.then(|| self.parameter(format!("{name}.bias"), vec![out], Role::Bias));
                let geometry = Geometry { out, kernel: 1, stride: 1, padding: 0, groups: 1 };
                self.step(Op::Conv { weight, bias, geometry }, input)
            }
            Layer::BatchNorm { name, eps, momentum } => {
                let channels = extent.channels;
                let gamma = self.parameter(format!("{name}.weight"), vec![channels], Role::Gamma);
                let beta = self.parameter(format!("{name}.bias"), vec![channels], Role::Beta);
                let norm = Norm {
                    name: name.clone(),
                    channels,
                    gamma,
                    beta,
                    running: self.running,
                    eps: *eps,
                    momentum: *momentum,
                    conv: self.names[input].clone(),
                };
                self.running += 2 * channels;
                self.program.norms.push(norm);
                let norm = self.program.norms.len() - 1;
                self.step(Op::Norm { norm, add: None, rectify: Rectify::No }, input)
            }
            Layer::Relu => {
                // Fused into the step before, where that is a batch norm or a sum that nobody else reads.
                if !self.pinned[input]
                    && let Some(Step { op: Op::Norm { rectify, .. } | Op::Add { rectify, .. }, output, .. }) =
                        self.program.steps.last_mut()
                    && *output == input
                {
                    *rectify = Rectify::Yes;
                    return Ok(input);
                }
                self.step(Op::Rectify, input)
            }
            Layer::MaxPool { kernel, stride, padding } => {
                if !(1..=15).contains(kernel) || *stride == 0 || 2 * padding > *kernel {
                    return Err(wrong(format!(
                        "max pooling of {kernel} px, stride {stride}, padding {padding}: the window is 1 to 15 px, the \
                         padding at most half of it, the stride not 0"
                    )));
                }
                self.step(Op::MaxPool { kernel: *kernel, stride: *stride, padding: *padding }, input)
            }
            Layer::AvgPool { kernel, stride } => {
                if *kernel == 0 || *stride == 0 {
                    return Err(wrong("average pooling with a window or stride of 0"));
                }
                self.step(Op::MeanPool { kernel: *kernel, stride: *stride }, input)
            }
            Layer::GlobalAvgPool => self.step(Op::GlobalMean, input),
            Layer::Flatten => self.step(Op::Flatten, input),
            Layer::Dropout { share } => {
                if !(0.0..1.0).contains(share) {
                    return Err(wrong(format!("dropout of {share}: the share is at least 0 and under 1")));
                }
                self.step(Op::Dropout { share: *share }, input)
            }
            Layer::Residual { body, shortcut } => self.residual(body, shortcut, input),
        }
    }

    /// The sum goes into the body's last batch norm, where there is one; the shortcut is then computed before that.
    fn residual(&mut self, body: &[Layer], shortcut: &[Layer], input: usize) -> Result<usize, StageError> {
        self.pinned[input] = true;
        let first = self.program.parameters.len();
        let long = self.sequence(body, input)?;
        let last_norm = self
            .program
            .steps
            .pop_if(|step| step.output == long && matches!(step.op, Op::Norm { add: None, rectify: Rectify::No, .. }));
        // The last batch norm's gamma; where the block ends otherwise, none.
        let gamma = last_norm.as_ref().and_then(|step| match step.op {
            Op::Norm { norm, .. } => Some(self.program.norms[norm].gamma),
            _ => None,
        });
        let short = self.sequence(shortcut, input)?;
        let (a, b) = (self.extents[long], self.extents[short]);
        if a != b {
            return Err(wrong(format!(
                "a residual adds {} x {} x {} (body) and {} x {} x {} (shortcut)",
                a.channels, a.height, a.width, b.channels, b.height, b.width
            )));
        }
        let output = if let Some(Step { op: Op::Norm { norm, .. }, input: from, output }) = last_norm {
            self.program.uses[short] += 1;
            self.program.steps.push(Step {
                op: Op::Norm { norm, add: Some(short), rectify: Rectify::No },
                input: from,
                output,
            });
            output
        } else {
            self.step(Op::Add { other: short, rectify: Rectify::No }, long)?
        };
        self.program.blocks.push(Block { gamma, parameters: first..self.program.parameters.len() });
        Ok(output)
    }
}
