//! Convolution, and linear layer as a convolution of single pixels.

use std::collections::BTreeSet;

use candle_core::{Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear, Module};

use super::super::ParameterRole;
use super::super::compile::Compiler;
use super::super::pass::{Backward, Execution, Forward, PassMode, Saved, StepInputs};
use super::super::program::{Extent, Program, Step, windowed, wrong};
use super::super::tape::OnTape;
use super::super::trunk::lower::{Lowering, flag};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Kernels, Launches, LayerResult, Op, Operation, ReadBack, norm};
use crate::engine::gpu::{ConvolutionPlan, Direction, Gpu, Kernel, PlannedConvolution, SlowConvolution, SlowReason};
use crate::engine::kernels::conv::Packed;
use crate::engine::kernels::norm::column_sums;
use crate::engine::kernels::shape::{ConvShape, Epilogue};
use crate::engine::kernels::{Begin, Moments};
use crate::lang::network;

pub(super) fn conv(layer: &network::Conv, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let &network::Conv { ref name, out, kernel, stride, padding, dilation, groups, bias, .. } = layer;
    let channels = compiler.extents[input].channels;
    if [out, kernel, stride, dilation, groups].contains(&0)
        || !(channels.is_multiple_of(groups) && out.is_multiple_of(groups))
    {
        return Err(wrong(format!(
            "`{name}` has {channels} channels in, {out} out, {groups} groups, kernel {kernel}, stride {stride}, dilation {dilation}: \
             none may be 0, and the number of groups must divide both"
        )));
    }
    let shape = vec![out, channels / groups, kernel, kernel];
    let weight = compiler.parameter(format!("{name}.weight"), shape, ParameterRole::Kernel)?;
    let bias = bias.then(|| compiler.parameter(format!("{name}.bias"), vec![out], ParameterRole::Bias)).transpose()?;
    let geometry = Geometry { out, kernel, stride, padding, dilation, groups };
    let output = compiler.step(Op::Conv(Conv { weight, bias, geometry }), input)?;
    compiler.names[output] = Some(name.clone());
    Ok(output)
}

pub(super) fn project(layer: &network::Projection, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let network::Projection { name, out, bias } = layer;
    let bias = bias.then(|| format!("{name}.bias"));
    pixelwise(compiler, &format!("{name}.weight"), bias.as_deref(), *out, input)
}

/// Linear layer on each pixel, with parameters of these names.
pub(super) fn pixelwise(
    compiler: &mut Compiler,
    weight: &str,
    bias: Option<&str>,
    out: usize,
    input: usize,
) -> LayerResult<usize> {
    let shape = vec![out, compiler.extents[input].channels];
    let weight = compiler.parameter(weight.to_owned(), shape, ParameterRole::Kernel)?;
    let bias = bias.map(|name| compiler.parameter(name.to_owned(), vec![out], ParameterRole::Bias)).transpose()?;
    let geometry = Geometry { out, kernel: 1, stride: 1, padding: 0, dilation: 1, groups: 1 };
    compiler.step(Op::Conv(Conv { weight, bias, geometry }), input)
}

pub(super) fn linear(layer: &network::Linear, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let network::Linear { name, out, bias, .. } = layer;
    let extent = compiler.extents[input];
    if extent.height * extent.width != 1 {
        return Err(wrong(format!(
            "`{name}` receives {} x {} pixels of {} channels",
            extent.width, extent.height, extent.channels
        ))
        .hint("put `flatten` or `global-avg-pool` before it"));
    }
    let out = out.unwrap_or(compiler.classes);
    let bias = bias.then(|| format!("{name}.bias"));
    pixelwise(compiler, &format!("{name}.weight"), bias.as_deref(), out, input)
}

/// Convolution with these parameters.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::network) struct Conv {
    pub(in crate::engine::network) weight: usize,
    pub(in crate::engine::network) bias: Option<usize>,
    pub(in crate::engine::network) geometry: Geometry,
}

/// Convolution without the size of its images.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::network) struct Geometry {
    pub(in crate::engine::network) out: usize,
    pub(in crate::engine::network) kernel: usize,
    pub(in crate::engine::network) stride: usize,
    pub(in crate::engine::network) padding: usize,
    pub(in crate::engine::network) dilation: usize,
    pub(in crate::engine::network) groups: usize,
}

impl Geometry {
    /// Shape of the convolution over such images.
    pub(in crate::engine::network) fn over(self, of: Extent) -> ConvShape {
        let Self { out, kernel, stride, padding, dilation, groups } = self;
        let Extent { height, width, channels } = of;
        ConvShape { height, width, channels, out, kernel, stride, padding, dilation, groups }
    }
}

/// Convolution in evaluation mode, folded and packed.
#[derive(Debug)]
pub(in crate::engine::network) struct Folded {
    packed: Packed,
    bias: Option<Vec<f32>>,
}

/// Pixels at the end of a padded side that no window reaches.
fn spare(side: usize, shape: &ConvShape) -> usize {
    (side + 2 * shape.padding - shape.reach()) % shape.stride
}

/// `x` with zeros around it.
fn padded(x: &Tensor, padding: usize) -> Result<Tensor> {
    x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)
}

/// Convolution, as candle has it.
fn convolution(x: &Tensor, weight: &Tensor, shape: &ConvShape) -> Result<Tensor> {
    let ConvShape { stride, padding, dilation, groups, .. } = *shape;
    let with = |padding| Conv2dConfig { padding, stride, dilation, groups, cudnn_fwd_algo: None };
    let (rows, columns) = (spare(shape.height, shape), spare(shape.width, shape));
    if rows == columns {
        return Conv2d::new(weight.clone(), None, with(padding)).forward(x);
    }
    // candle's backward pass takes the rows that no window reaches to be as many as the columns.
    let padded = padded(x, padding)?;
    let covered = padded.narrow(2, 0, padded.dim(2)? - rows)?.narrow(3, 0, padded.dim(3)? - columns)?;
    Conv2d::new(weight.clone(), None, with(0)).forward(&covered.contiguous()?)
}

/// Depthwise convolution as a sum over the taps of the kernel; candle's own is a convolution for each channel.
fn depthwise(x: &Tensor, weight: &Tensor, shape: &ConvShape) -> Result<Tensor> {
    let padded = padded(x, shape.padding)?;
    let (rows, columns) = shape.outputs();
    let along = |x: &Tensor, dim: usize, tap: usize, count: usize| {
        let from = tap * shape.dilation;
        if shape.stride == 1 {
            return x.narrow(dim, from, count);
        }
        let at = (0..count).map(|at| (from + at * shape.stride) as u32).collect();
        x.index_select(&Tensor::from_vec(at, count, x.device())?, dim)
    };
    let mut sum: Option<Tensor> = None;
    for ky in 0..shape.kernel {
        let band = along(&padded, 2, ky, rows)?;
        for kx in 0..shape.kernel {
            let factor = OnTape::channels(&weight.narrow(2, ky, 1)?.narrow(3, kx, 1)?.contiguous()?)?;
            let term = along(&band, 3, kx, columns)?.broadcast_mul(&factor)?;
            sum = Some(if let Some(sum) = sum { (sum + term)? } else { term });
        }
    }
    Ok(sum.expect("a kernel has taps"))
}

/// Executes the convolution of step `at` in evaluation mode.
pub(super) fn convolve(inputs: &StepInputs, folded: &[Option<Folded>], at: usize, after: Epilogue, y: &mut [f32]) {
    let model = inputs.model;
    let (Some(conv), Some(folded)) = (&model.plan.convs[at], &folded[at]) else {
        unreachable!("a convolution is prepared")
    };
    let after = Epilogue { bias: folded.bias.as_deref(), ..after };
    conv.forward(inputs.x(), &folded.packed, after, y, None, model.pool);
}

impl Conv {
    /// Packs the kernel of step `at`, multiplied by the batch norm that alone reads its output if there is one.
    pub(in crate::engine::network) fn fold(&self, model: &Execution, running: &[f32], at: usize) -> Folded {
        let conv = model.plan.convs[at].as_ref().expect("a convolution is prepared");
        let kernel = model.parameter(self.weight);
        let bias = self.bias.map(|bias| model.parameter(bias));
        let Some(after) = model.program.norm_after(&model.program.steps[at]) else {
            return Folded { packed: conv.pack(kernel, model.pool), bias: bias.map(<[f32]>::to_vec) };
        };
        let (scale, mut shift) = norm::affine(model, running, after.norm);
        if let Some(bias) = bias {
            shift.iter_mut().zip(bias).zip(&scale).for_each(|((shift, bias), scale)| *shift += bias * scale);
        }
        let scaled: Vec<f32> = kernel
            .chunks_exact(scale.len())
            .flat_map(|row| row.iter().zip(&scale).map(|(weight, scale)| weight * scale))
            .collect();
        Folded { packed: conv.pack(&scaled, model.pool), bias: Some(shift) }
    }
}

impl Operation for Conv {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        let Geometry { out, kernel, stride, padding, dilation, .. } = self.geometry;
        windowed(input, out, dilation * (kernel - 1) + 1, stride, padding)
    }

    fn parameters(&self, _: &Program) -> Vec<usize> {
        std::iter::once(self.weight).chain(self.bias).collect()
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let weight = of.parameter(self.weight);
        let shape = self.geometry.over(of.from());
        let y = if weight.rank() == 2 {
            let pixels = x.permute((0, 2, 3, 1))?.contiguous()?;
            Linear::new(weight.clone(), None).forward(&pixels)?.permute((0, 3, 1, 2))?.contiguous()?
        } else if shape.groups == shape.channels && shape.out == shape.channels && shape.channels > 1 {
            depthwise(x, weight, &shape)?
        } else {
            convolution(x, weight, &shape)?
        };
        if let Some(bias) = self.bias { y.broadcast_add(&OnTape::channels(of.parameter(bias))?) } else { Ok(y) }
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Conv {
    fn reads_back(&self, frozen: &[bool]) -> ReadBack {
        ReadBack { input: !frozen[self.weight], ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let inputs = of.inputs;
        let (model, output) = (inputs.model, inputs.step.output);
        match &mut of.mode {
            PassMode::Training(training) => {
                let conv = model.plan.convs[inputs.at].as_ref().expect("a convolution is prepared");
                let packed = conv.pack(model.parameter(self.weight), model.pool);
                let mut moments = training.wants_sums(model.program, output).then(Moments::default);
                let after = Epilogue { bias: self.bias.map(|bias| model.parameter(bias)), ..Epilogue::default() };
                conv.forward(inputs.x(), &packed, after, y, moments.as_mut(), model.pool);
                packed.recycle(model.pool);
                training.sums[output] = moments;
            }
            PassMode::Evaluation(evaluation) => {
                convolve(&inputs, evaluation.folded, inputs.at, Epilogue::default(), y);
            }
        }
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (model, input) = (of.model, of.step.input);
        let conv = model.plan.convs[of.at].as_ref().expect("a convolution is prepared");
        if let Some(bias) = self.bias {
            of.parameter(bias, |gradient| gradient.copy_from_slice(&column_sums(&dy, conv.shape.out)));
        }
        if !of.pass.frozen[self.weight] {
            let x = of.x();
            of.parameter(self.weight, |gradient| conv.kernel_gradient(x, &dy, gradient, model.pool));
        }
        if of.wanted() {
            let begin = if of.gradients.of[input].is_some() { Begin::Add } else { Begin::Fresh };
            let mut dx = of.gradients.of[input].take().unwrap_or_else(|| of.fresh(input));
            conv.input_gradient(&dy, model.parameter(self.weight), begin, &mut dx, model.pool);
            of.gradients.of[input] = Some(dx);
        }
        model.pool.give(dy);
    }
}

impl Launches for Conv {
    fn lower(&self, on: &mut Lowering, at: usize, step: &Step, y: Pointer) {
        let shape = self.geometry.over(on.extent(step.input));
        let (weight, bias) = (on.parameter(self.weight), self.bias.map(|bias| on.parameter(bias)));
        let image = on.conv_image(at);
        let count = on.count(step.output);
        let Some(library) = on.of.libraries[at] else {
            let mut n = counts(shape, on.of.images).to_vec();
            n.push(usize::from(on.wide(step.output)));
            let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::ConvForward, count, [image, weight, bias.into(), y], numbers);
            return;
        };
        let taps = shape.kernel * shape.kernel;
        let weights = shape.out * taps * library.channels;
        let packed = on.stored_buffer(weights);
        let n = [taps, shape.channels, shape.out, library.channels];
        let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::Pack, weights, [weight, packed.into()], numbers);
        on.kept[at] = Some(packed);
        on.library(library.planned, Direction::Forward, [image, packed.into(), y], Begin::Fresh);
        if let Some(bias) = bias {
            let numbers = LaunchNumbers { n: &[count, shape.out], ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::AddBias, count, [bias, y], numbers);
        }
    }

    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        let shape = self.geometry.over(on.extent(step.input));
        let (wide, input) = (on.wide(step.output), step.input);
        let (rows, columns) = shape.outputs();
        let pixels = on.of.images * rows * columns;
        if let Some(gradient) = self.bias.and_then(|bias| on.parameter_gradient(bias)) {
            let (sums, runs) = on.column_sums(dy, pixels, shape.out, wide);
            let numbers = LaunchNumbers { n: &[shape.out, runs], ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::BiasGradient, shape.out, [sums.into(), gradient], numbers);
        }
        let image = on.conv_image(at);
        let (Some(library), Some(packed)) = (on.of.libraries[at], on.kept[at]) else {
            return self.lower_back_own(on, step, shape, image, dy);
        };
        let (taps, channels) = (shape.kernel * shape.kernel, library.channels);
        if let Some(gradient) = on.parameter_gradient(self.weight) {
            let own = on.stored_buffer(shape.out * taps * channels);
            on.library(library.planned, Direction::Kernel, [image, own.into(), dy], Begin::Fresh);
            let n = [taps, shape.channels, shape.out, channels];
            let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::Unpack, shape.weights(), [own.into(), gradient], numbers);
        }
        if let Some((dx, begin)) = on.gradient(input) {
            on.library(library.planned, Direction::Image, [dx, packed.into(), dy], begin);
        }
    }
}

/// What computes a convolution.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::network) enum ConvolutionBy {
    /// The vendor library.
    Library(LibraryConvolution),
    /// macula's own kernels, which are made for it.
    Own,
    /// macula's own kernels, because the library does not.
    Slow(SlowConvolution),
}

/// Convolution computed by the vendor library.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::network) struct LibraryConvolution {
    pub(in crate::engine::network) planned: PlannedConvolution,
    /// Channels of its image, including padding.
    pub(in crate::engine::network) channels: usize,
}

/// Counts in the order of the GPU kernels.
fn counts(shape: ConvShape, images: usize) -> [usize; 12] {
    let (rows, columns) = shape.outputs();
    let ConvShape { height, width, channels, out, kernel, stride, padding, dilation, groups } = shape;
    [images, height, width, channels, out, kernel, stride, padding, dilation, groups, rows, columns]
}

/// Number of output pixels that one thread sums for the gradient of a kernel, and number of such runs, by shape only.
fn kernel_runs(pixels: usize, weights: usize) -> (usize, usize) {
    let wanted = ((1 << 18) / weights).clamp(1, pixels.div_ceil(16));
    // Sums in f32 stay short, and the runs fit 2^30 elements.
    let length = pixels.div_ceil(wanted).min(1024).max((pixels * weights) >> 30).max(1);
    (length, pixels.div_ceil(length))
}

/// What the vendor library shall compute of a convolution.
#[derive(Clone, Copy)]
pub(in crate::engine::network) struct LibraryUse {
    pub(in crate::engine::network) images: usize,
    /// Whether the image is the pixels, which are padded to the channels that the library prefers.
    pub(in crate::engine::network) pixels: bool,
    /// Whether the gradient of the kernel is needed.
    pub(in crate::engine::network) kernel: bool,
    /// Whether the gradient of the image is needed.
    pub(in crate::engine::network) image: bool,
}

impl Conv {
    /// Plans the convolution in the vendor library, except for plans (by id) and directions that `failed`.
    pub(in crate::engine::network) fn plan(
        &self,
        gpu: &mut dyn Gpu,
        of: Extent,
        need: LibraryUse,
        failed: &BTreeSet<(usize, Direction)>,
    ) -> LayerResult<ConvolutionBy> {
        let shape = self.geometry.over(of);
        // Grouped convolutions and linear layers with few outputs use macula's own kernels.
        let single = shape.height == 1 && shape.width == 1 && shape.kernel == 1;
        if shape.groups > 1 || (single && shape.out < 64) {
            return Ok(ConvolutionBy::Own);
        }
        let channels = if need.pixels { gpu.precision().padded(shape.channels) } else { shape.channels };
        let mut directions = vec![Direction::Forward];
        if need.kernel {
            directions.push(Direction::Kernel);
        }
        if need.image {
            directions.push(Direction::Image);
        }
        let shape = ConvShape { channels, ..shape };
        let slow =
            |direction, reason| ConvolutionBy::Slow(SlowConvolution { shape, images: need.images, direction, reason });
        Ok(match gpu.plan(shape, need.images, &directions)? {
            ConvolutionPlan::Lacking(direction) => slow(direction, SlowReason::Lacking),
            ConvolutionPlan::Library(planned) => {
                match directions.iter().find(|of| failed.contains(&(planned.id, **of))) {
                    Some(&direction) => slow(direction, SlowReason::Failed),
                    None => ConvolutionBy::Library(LibraryConvolution { planned, channels }),
                }
            }
        })
    }

    /// Adds the launches of the backward pass by macula's own kernels.
    fn lower_back_own(&self, on: &mut Lowering, step: &Step, shape: ConvShape, image: Pointer, dy: Pointer) {
        let (wide, input) = (usize::from(on.wide(step.output)), step.input);
        let counts = counts(shape, on.of.images);
        if let Some(gradient) = on.parameter_gradient(self.weight) {
            let (rows, columns) = shape.outputs();
            let (length, runs) = kernel_runs(on.of.images * rows * columns, shape.weights());
            let sums = on.schedule.buffer(4 * runs * shape.weights());
            let n = [&counts[..], &[wide, runs, length]].concat();
            let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
            let pointers = [image, dy, sums.into()];
            on.schedule.launch(Kernel::ConvKernelGradient, runs * shape.weights(), pointers, numbers);
            let numbers = LaunchNumbers { n: &[shape.weights(), runs], ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::AddRuns, shape.weights(), [sums.into(), gradient], numbers);
        }
        if let Some((dx, begin)) = on.gradient(input) {
            let n = [&counts[..], &[wide, flag(begin)]].concat();
            let pointers = [dy, on.parameter(self.weight), dx];
            let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::ConvInputGradient, on.count(input), pointers, numbers);
        }
    }
}
