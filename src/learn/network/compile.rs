//! Compiler from the layers of a network to a program: nested branches become a linear sequence of steps, rectifiers and sums are fused
//! into the preceding batch norms. Executes nothing.

use super::program::{Extent, Geometry, Norm, Op, Program, ResidualBlock, Step, wrong};
use super::{Parameter, ParameterRole};
use crate::lang::network::{Join, Layer, NetworkSpec};
use crate::learn::kernels::Rectify;
use crate::learn::kernels::smooth::Smooth;
use crate::stage::StageError;

/// Compiles `spec` for patches of `size` px and that many classes.
pub(super) fn compile(spec: &NetworkSpec, size: usize, classes: usize) -> Result<Program, StageError> {
    let mut compiler = Compiler {
        program: Program { uses: vec![0], ..Program::default() },
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
            "network `{}` ends in {} x {} x {} per patch, expected {classes} logits",
            spec.name, extent.channels, extent.height, extent.width
        ))
        .hint("end it with a `linear` layer without `out`"));
    }
    let program = compiler.program;
    let mut names: Vec<&str> = program.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[one, other]| one == other) {
        return Err(wrong(format!("two layers of network `{}` have a tensor called `{}`", spec.name, twice)));
    }
    Ok(program)
}

struct Compiler {
    program: Program,
    extents: Vec<Extent>,
    /// Whether a value is read by more than the next layer, so that nothing may be fused into the step that computes it.
    pinned: Vec<bool>,
    /// Tensor prefix of the convolution that computes a value.
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
        self.extents.push(step.op.extent(input, &self.extents)?);
        self.pinned.push(false);
        self.names.push(None);
        self.program.uses.push(0);
        for value in step.reads() {
            self.program.uses[value] += 1;
        }
        self.program.steps.push(step);
        Ok(output)
    }

    fn parameter(&mut self, name: String, shape: Vec<usize>, role: ParameterRole) -> usize {
        let len = shape.iter().product::<usize>();
        let range = self.floats..self.floats + len;
        self.floats = range.end;
        self.program.parameters.push(Parameter { name, shape, range, role });
        self.program.parameters.len() - 1
    }

    fn layer(&mut self, layer: &Layer, input: usize) -> Result<usize, StageError> {
        let extent = self.extents[input];
        match layer {
            Layer::Conv { name, out, kernel, stride, padding, dilation, groups, bias, .. } => {
                let (out, groups) = (*out, *groups);
                if [out, *kernel, *stride, *dilation, groups].contains(&0)
                    || !(extent.channels.is_multiple_of(groups) && out.is_multiple_of(groups))
                {
                    return Err(wrong(format!(
                        "`{name}` has {} channels in, {out} out, {groups} groups, kernel {kernel}, stride {stride}, dilation {dilation}: \
                         none may be 0, and the number of groups must divide both",
                        extent.channels
                    )));
                }
                let shape = vec![out, extent.channels / groups, *kernel, *kernel];
                let weight = self.parameter(format!("{name}.weight"), shape, ParameterRole::Kernel);
                let bias = bias.then(|| self.parameter(format!("{name}.bias"), vec![out], ParameterRole::Bias));
                let geometry =
                    Geometry { out, kernel: *kernel, stride: *stride, padding: *padding, dilation: *dilation, groups };
                let output = self.step(Op::Conv { weight, bias, geometry }, input)?;
                self.names[output] = Some(name.clone());
                Ok(output)
            }
            Layer::Linear { name, out, bias, .. } => {
                if extent.height * extent.width != 1 {
                    return Err(wrong(format!(
                        "`{name}` receives {} x {} pixels of {} channels",
                        extent.width, extent.height, extent.channels
                    ))
                    .hint("put `flatten` or `global-avg-pool` before it"));
                }
                let out = out.unwrap_or(self.classes);
                let weight =
                    self.parameter(format!("{name}.weight"), vec![out, extent.channels], ParameterRole::Kernel);
                let bias = bias.then(|| self.parameter(format!("{name}.bias"), vec![out], ParameterRole::Bias));
                let geometry = Geometry { out, kernel: 1, stride: 1, padding: 0, dilation: 1, groups: 1 };
                self.step(Op::Conv { weight, bias, geometry }, input)
            }
            Layer::BatchNorm { name, eps, momentum } => {
                let channels = extent.channels;
                let gamma = self.parameter(format!("{name}.weight"), vec![channels], ParameterRole::Gamma);
                let beta = self.parameter(format!("{name}.bias"), vec![channels], ParameterRole::Beta);
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
            Layer::Relu => self.rectify(Rectify::Yes, input),
            Layer::Relu6 => self.rectify(Rectify::Six, input),
            Layer::Gelu => self.step(Op::Smooth(Smooth::Gelu), input),
            Layer::Silu => self.step(Op::Smooth(Smooth::Silu), input),
            Layer::MaxPool { kernel, stride, padding } => {
                if !(1..=15).contains(kernel) || *stride == 0 || 2 * padding > *kernel {
                    return Err(wrong(format!(
                        "max pooling of {kernel} px, stride {stride}, padding {padding}: the window must be 1 to 15 px, the \
                         padding at most half of it, and the stride above 0"
                    )));
                }
                self.step(Op::MaxPool { kernel: *kernel, stride: *stride, padding: *padding }, input)
            }
            Layer::AvgPool { kernel, stride, padding } => {
                if *kernel == 0 || *stride == 0 || 2 * padding > *kernel {
                    return Err(wrong(format!(
                        "average pooling of {kernel} px, stride {stride}, padding {padding}: window and stride must be above 0, \
                         and the padding at most half the window"
                    )));
                }
                self.step(Op::MeanPool { kernel: *kernel, stride: *stride, padding: *padding }, input)
            }
            Layer::AdaptiveAvgPool { side } => {
                if *side == 0 {
                    return Err(wrong("adaptive pooling to 0 pixels"));
                }
                self.step(Op::AdaptiveMean { side: *side }, input)
            }
            Layer::GlobalAvgPool => self.step(Op::GlobalMean, input),
            Layer::GlobalMaxPool => self.step(Op::GlobalMax, input),
            Layer::Flatten => self.step(Op::Flatten, input),
            Layer::Dropout { share } => {
                if !(0.0..1.0).contains(share) {
                    return Err(wrong(format!("dropout of {share}: must be at least 0 and less than 1")));
                }
                self.step(Op::Dropout { share: *share }, input)
            }
            Layer::Residual { body, shortcut } => self.residual(body, shortcut, input),
            Layer::Parallel { join, branches } => self.parallel(*join, branches, input),
        }
    }

    /// Adds a rectifier, fused into the previous step if that is a batch norm or a sum that nothing else reads.
    fn rectify(&mut self, wanted: Rectify, input: usize) -> Result<usize, StageError> {
        if !self.pinned[input]
            && let Some(Step { op: Op::Norm { rectify, .. } | Op::Add { rectify, .. }, output, .. }) =
                self.program.steps.last_mut()
            && *output == input
            && [Rectify::No, wanted].contains(rectify)
        {
            *rectify = wanted;
            return Ok(input);
        }
        self.step(Op::Rectify(wanted), input)
    }

    /// Adds a residual block. The sum is fused into the last batch norm of the body if there is one; the shortcut is then computed first.
    fn residual(&mut self, body: &[Layer], shortcut: &[Layer], input: usize) -> Result<usize, StageError> {
        self.pinned[input] = true;
        let first = self.program.parameters.len();
        let long = self.sequence(body, input)?;
        // If the body is the identity, the last step computes the input and stays in place.
        let last_norm = self.program.steps.pop_if(|step| {
            step.output == long && long != input && matches!(step.op, Op::Norm { add: None, rectify: Rectify::No, .. })
        });
        // Gamma of the last batch norm; none if the block ends otherwise.
        let gamma = last_norm.as_ref().and_then(|step| match step.op {
            Op::Norm { norm, .. } => Some(self.program.norms[norm].gamma),
            _ => None,
        });
        let short = self.sequence(shortcut, input)?;
        let (a, b) = (self.extents[long], self.extents[short]);
        if a != b {
            return Err(wrong(format!(
                "a residual block adds different shapes: {} x {} x {} (body) and {} x {} x {} (shortcut)",
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
        self.program.blocks.push(ResidualBlock { gamma, parameters: first..self.program.parameters.len() });
        Ok(output)
    }

    /// Adds the branches one after the other, then the step that joins them.
    fn parallel(&mut self, join: Join, branches: &[Vec<Layer>], input: usize) -> Result<usize, StageError> {
        self.pinned[input] = true;
        let mut ends = Vec::with_capacity(branches.len());
        for branch in branches {
            let end = self.sequence(branch, input)?;
            ends.push(end);
        }
        let Some((&first, others)) = ends.split_first().filter(|(_, others)| !others.is_empty()) else {
            return Err(wrong("`parallel` needs at least two branches"));
        };
        match join {
            Join::Concat => self.step(Op::Concat { others: others.to_vec() }, first),
            Join::Sum => {
                others.iter().try_fold(first, |sum, &other| self.step(Op::Add { other, rectify: Rectify::No }, sum))
            }
        }
    }
}
