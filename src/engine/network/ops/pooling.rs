//! Pooling by windows, by parts and over all pixels.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved, save};
use super::super::program::{Extent, Step, windowed, wrong};
use super::super::tape::OnTape;
use super::super::trunk::lower::Lowering;
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Kernels, Launches, LayerResult, Op, Operation};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::adaptive::{Parts, part};
use crate::engine::kernels::pooling::{PoolWindow, global_max, global_max_gradient, global_mean, global_mean_gradient};
use crate::lang::network;

pub(super) fn max_pool(layer: &network::MaxPool, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let &network::MaxPool { kernel, stride, padding } = layer;
    if !(1..=15).contains(&kernel) || stride == 0 || 2 * padding > kernel {
        return Err(wrong(format!(
            "max pooling of {kernel} px, stride {stride}, padding {padding}: the window must be 1 to 15 px, the \
             padding at most half of it, and the stride above 0"
        )));
    }
    compiler.step(Op::plain(MaxPool(Window { kernel, stride, padding })), input)
}

pub(super) fn avg_pool(layer: &network::AvgPool, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let &network::AvgPool { kernel, stride, padding } = layer;
    if kernel == 0 || stride == 0 || 2 * padding > kernel {
        return Err(wrong(format!(
            "average pooling of {kernel} px, stride {stride}, padding {padding}: window and stride must be above 0, \
             and the padding at most half the window"
        )));
    }
    compiler.step(Op::plain(MeanPool(Window { kernel, stride, padding })), input)
}

/// Means of 2 x 2 pixels.
pub(super) fn halved(compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    compiler.step(Op::plain(MeanPool(Window { kernel: 2, stride: 2, padding: 0 })), input)
}

pub(super) fn adaptive_avg_pool(
    layer: &network::AdaptiveAvgPool,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    if layer.side == 0 {
        return Err(wrong("adaptive pooling to 0 pixels"));
    }
    compiler.step(Op::plain(AdaptiveMean { side: layer.side }), input)
}

/// Window without the size of its images.
#[derive(Clone, Copy, Debug)]
struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    fn over(self, of: Extent) -> PoolWindow {
        let (Extent { height, width, channels }, Self { kernel, stride, padding }) = (of, self);
        PoolWindow { height, width, channels, kernel, stride, padding }
    }

    fn extent(self, input: Extent) -> LayerResult<Extent> {
        windowed(input, input.channels, self.kernel, self.stride, self.padding)
    }

    /// Counts in the order of the GPU kernels.
    fn counts(self, from: Extent, to: Extent, count: usize) -> [usize; 9] {
        let Self { kernel, stride, padding } = self;
        [from.height, from.width, from.channels, kernel, stride, padding, to.height, to.width, count]
    }

    fn lower_back(self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        let n = self.counts(on.extent(step.input), on.extent(step.output), on.count(step.input));
        on.back_beside(at, Kernel::PoolGradient, step.input, dy, &n);
    }
}

/// Maxima of windows.
#[derive(Debug)]
struct MaxPool(Window);

/// Maximum of each window in candle (N x C x `outputs`), from the pixels of `x` (N x C x pixels). `taps` are the pixels of each tap; a
/// pixel outside of the image is the number of pixels. As in the kernels, the first of equal values wins and NaN always does.
/// The maxima are found off the tape and then gathered, so that each gradient goes to one pixel.
fn gathered_max(x: &Tensor, taps: &[Vec<u32>]) -> Result<Tensor> {
    let (images, channels, pixels) = x.dims3()?;
    let outputs = taps[0].len();
    let outside = Tensor::full(f32::NEG_INFINITY, (images, channels, 1), x.device())?.to_dtype(x.dtype())?;
    let padded = Tensor::cat(&[&x.detach(), &outside], 2)?;
    let shape = (images, channels, outputs);
    let at = |pixels: Vec<u32>| Tensor::from_vec(pixels, outputs, x.device());
    // If all are minus infinity, the first tap inside is taken.
    let inside = |output: usize| taps.iter().map(|tap| tap[output]).find(|&pixel| (pixel as usize) < pixels);
    let first = (0..outputs).map(|output| inside(output).unwrap_or(0)).collect();
    let mut winner = at(first)?.broadcast_as(shape)?.contiguous()?;
    let mut best = outside.broadcast_as(shape)?.contiguous()?;
    for tap in taps {
        let tap = at(tap.clone())?;
        let value = padded.index_select(&tap, 2)?;
        let larger = value.gt(&best)?.maximum(&value.ne(&value)?)?;
        winner = larger.where_cond(&tap.broadcast_as(shape)?.contiguous()?, &winner)?;
        best = larger.where_cond(&value, &best)?;
    }
    x.gather(&winner, 2)
}

/// Sums of ranges of each side with these factors, as a product with a matrix for each side. `x` is N x C x H x W.
fn ranges(x: &Tensor, of: &OnTape, side: impl Fn(usize) -> Vec<(Range<usize>, f64)>) -> Result<Tensor> {
    let (images, channels, height, width) = x.dims4()?;
    let matrix = |length: usize| {
        let ranges = side(length);
        let mut numbers = vec![0.0; length * ranges.len()];
        for (column, (range, factor)) in ranges.iter().enumerate() {
            range.clone().for_each(|row| numbers[row * ranges.len() + column] = *factor);
        }
        of.constant(numbers, &[length, ranges.len()])
    };
    let (down, across) = (matrix(height)?, matrix(width)?);
    let (rows, columns) = (down.dim(1)?, across.dim(1)?);
    let across = x.reshape((images * channels * height, width))?.matmul(&across)?;
    let turned = across.reshape((images * channels, height, columns))?.transpose(1, 2)?.contiguous()?;
    let down = turned.reshape((images * channels * columns, height))?.matmul(&down)?;
    let turned = down.reshape((images * channels, columns, rows))?.transpose(1, 2)?.contiguous()?;
    turned.reshape((images, channels, rows, columns))
}

impl Operation for MaxPool {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        self.0.extent(input)
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let window = self.0.over(of.from());
        let ((rows, columns), outside) = (window.outputs(), window.height * window.width);
        let pixel = |output: usize, tap: usize| window.pixel(output, tap).unwrap_or(outside) as u32;
        let taps: Vec<Vec<u32>> = (0..window.kernel * window.kernel)
            .map(|tap| (0..rows * columns).map(|output| pixel(output, tap)).collect())
            .collect();
        gathered_max(&x.flatten_from(2)?, &taps)?.reshape((x.dim(0)?, window.channels, rows, columns))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for MaxPool {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let mut places = vec![0; y.len()];
        self.0.over(of.inputs.from()).max(of.inputs.x(), y, &mut places);
        save(places)
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (window, places) = (self.0.over(of.from()), of.saved::<Vec<u8>>());
        of.replace(dy, |dy, dx| window.max_gradient(dy, places, dx));
    }
}

impl Launches for MaxPool {
    fn lower(&self, on: &mut Lowering, at: usize, step: &Step, y: Pointer) {
        let count = on.count(step.output);
        let places = on.schedule.buffer(count);
        on.kept[at] = Some(places);
        let x = on.value(step.input);
        let n = self.0.counts(on.extent(step.input), on.extent(step.output), count);
        let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::MaxPool, count, [x, y, places.into()], numbers);
    }

    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        self.0.lower_back(on, at, step, dy);
    }
}

/// Means of windows.
#[derive(Debug)]
struct MeanPool(Window);

impl Operation for MeanPool {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        self.0.extent(input)
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let Window { kernel, stride, padding } = self.0;
        ranges(x, of, |length| {
            let along = |at: usize| {
                let reach = (at * stride + kernel).saturating_sub(padding).min(length);
                ((at * stride).saturating_sub(padding)..reach, 1.0 / kernel as f64)
            };
            (0..=(length + 2 * padding - kernel) / stride).map(along).collect()
        })
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for MeanPool {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        self.0.over(of.inputs.from()).mean(of.inputs.x(), y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let window = self.0.over(of.from());
        of.replace(dy, |dy, dx| window.mean_gradient(dy, dx));
    }
}

impl Launches for MeanPool {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        let count = on.count(step.output);
        let n = self.0.counts(on.extent(step.input), on.extent(step.output), count);
        on.simple(Kernel::MeanPool, step.input, y, count, &n);
    }

    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        self.0.lower_back(on, at, step, dy);
    }
}

/// Launch of means of parts, as many rows and columns of them as the output has.
fn lower_parts(on: &mut Lowering, step: &Step, y: Pointer) {
    let (from, to, count) = (on.extent(step.input), on.extent(step.output), on.count(step.output));
    on.simple(Kernel::PartMeans, step.input, y, count, &[count, from.height, from.width, from.channels, to.height]);
}

fn lower_parts_back(on: &mut Lowering, step: &Step, dy: Pointer) {
    let (from, to, count) = (on.extent(step.input), on.extent(step.output), on.count(step.input));
    let n = [count, from.height, from.width, from.channels, to.height];
    on.back_plain(Kernel::PartMeansGradient, step.input, dy, &n);
}

/// Means of `side` x `side` parts.
#[derive(Debug)]
struct AdaptiveMean {
    side: usize,
}

impl AdaptiveMean {
    fn parts(&self, of: Extent) -> Parts {
        let Extent { height, width, channels } = of;
        Parts { height, width, channels, side: self.side }
    }
}

impl Operation for AdaptiveMean {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(Extent { height: self.side, width: self.side, channels: input.channels })
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        ranges(x, of, |length| {
            let parts = (0..self.side).map(|at| part(at, self.side, length));
            parts.map(|part| (part.clone(), 1.0 / part.len() as f64)).collect()
        })
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for AdaptiveMean {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        self.parts(of.inputs.from()).mean(of.inputs.x(), y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let parts = self.parts(of.from());
        of.replace(dy, |dy, dx| parts.mean_gradient(dy, dx));
    }
}

impl Launches for AdaptiveMean {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        lower_parts(on, step, y);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        lower_parts_back(on, step, dy);
    }
}

/// Mean of all pixels.
#[derive(Debug)]
pub(super) struct GlobalMean;

impl Operation for GlobalMean {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(Extent { height: 1, width: 1, channels: input.channels })
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        x.flatten_from(2)?.mean_keepdim(2)?.unsqueeze(3)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for GlobalMean {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        global_mean(of.inputs.x(), of.inputs.from().channels, y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let channels = of.from().channels;
        of.replace(dy, |dy, dx| global_mean_gradient(dy, channels, dx));
    }
}

impl Launches for GlobalMean {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        lower_parts(on, step, y);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        lower_parts_back(on, step, dy);
    }
}

/// Maximum of all pixels.
#[derive(Debug)]
pub(super) struct GlobalMax;

impl Operation for GlobalMax {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(Extent { height: 1, width: 1, channels: input.channels })
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let x = x.flatten_from(2)?;
        let (pixels, known) = (x.dim(2)?, x.detach());
        // Each pixel gets a rank of its own, so that no tie is left to candle: earlier pixels first among maxima, and the last NaN above all.
        let ranks = Tensor::arange(0, pixels as u32, x.device())?.to_dtype(DType::F32)?;
        let ranks = ranks.reshape((1, 1, pixels))?.broadcast_as(x.shape())?.contiguous()?;
        let earlier = ranks.affine(-1.0, pixels as f64)?;
        let maximum = known.max_keepdim(2)?.broadcast_as(x.shape())?;
        let rank = known.eq(&maximum)?.where_cond(&earlier, &ranks.zeros_like()?)?;
        let rank = known.ne(&known)?.where_cond(&(ranks + (pixels + 1) as f64)?, &rank)?;
        x.gather(&rank.argmax_keepdim(2)?, 2)?.unsqueeze(3)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for GlobalMax {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let mut places = vec![0; y.len()];
        global_max(of.inputs.x(), of.inputs.from().channels, y, &mut places);
        save(places)
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (channels, places) = (of.from().channels, of.saved::<Vec<u32>>());
        of.replace(dy, |dy, dx| global_max_gradient(dy, places, channels, dx));
    }
}

impl Launches for GlobalMax {
    fn lower(&self, on: &mut Lowering, at: usize, step: &Step, y: Pointer) {
        let (from, count) = (on.extent(step.input), on.count(step.output));
        let places = on.schedule.buffer(4 * count);
        on.kept[at] = Some(places);
        let x = on.value(step.input);
        let numbers =
            LaunchNumbers { n: &[count, from.height * from.width, from.channels], ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::ImageMax, count, [x, y, places.into()], numbers);
    }

    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        let (from, count) = (on.extent(step.input), on.count(step.input));
        let n = [count, from.height * from.width, from.channels];
        on.back_beside(at, Kernel::ImageMaxGradient, step.input, dy, &n);
    }
}
