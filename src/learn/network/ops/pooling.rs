//! Pooling by windows, by parts and over all pixels.

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved, save};
use super::super::program::{Extent, Step, windowed, wrong};
use super::super::trunk::lower::Lowering;
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Op, Operation};
use crate::lang::network;
use crate::learn::gpu::Kernel;
use crate::learn::kernels::adaptive::Parts;
use crate::learn::kernels::pooling::{PoolWindow, global_max, global_max_gradient, global_mean, global_mean_gradient};
use crate::stage::StageError;

pub(super) fn max_pool(layer: &network::MaxPool, compiler: &mut Compiler, input: usize) -> Result<usize, StageError> {
    let &network::MaxPool { kernel, stride, padding } = layer;
    if !(1..=15).contains(&kernel) || stride == 0 || 2 * padding > kernel {
        return Err(wrong(format!(
            "max pooling of {kernel} px, stride {stride}, padding {padding}: the window must be 1 to 15 px, the \
             padding at most half of it, and the stride above 0"
        )));
    }
    compiler.step(Op::plain(MaxPool(Window { kernel, stride, padding })), input)
}

pub(super) fn avg_pool(layer: &network::AvgPool, compiler: &mut Compiler, input: usize) -> Result<usize, StageError> {
    let &network::AvgPool { kernel, stride, padding } = layer;
    if kernel == 0 || stride == 0 || 2 * padding > kernel {
        return Err(wrong(format!(
            "average pooling of {kernel} px, stride {stride}, padding {padding}: window and stride must be above 0, \
             and the padding at most half the window"
        )));
    }
    compiler.step(Op::plain(MeanPool(Window { kernel, stride, padding })), input)
}

pub(super) fn adaptive_avg_pool(
    layer: &network::AdaptiveAvgPool,
    compiler: &mut Compiler,
    input: usize,
) -> Result<usize, StageError> {
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

    fn extent(self, input: Extent) -> Result<Extent, StageError> {
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

impl Operation for MaxPool {
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        self.0.extent(input)
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let mut places = vec![0; y.len()];
        self.0.over(of.inputs.from()).max(of.inputs.x(), y, &mut places);
        save(places)
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (window, places) = (self.0.over(of.from()), of.saved::<Vec<u8>>());
        of.replace(dy, |dy, dx| window.max_gradient(dy, places, dx));
    }

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
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        self.0.extent(input)
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        self.0.over(of.inputs.from()).mean(of.inputs.x(), y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let window = self.0.over(of.from());
        of.replace(dy, |dy, dx| window.mean_gradient(dy, dx));
    }

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
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        Ok(Extent { height: self.side, width: self.side, channels: input.channels })
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        self.parts(of.inputs.from()).mean(of.inputs.x(), y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let parts = self.parts(of.from());
        of.replace(dy, |dy, dx| parts.mean_gradient(dy, dx));
    }

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
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        Ok(Extent { height: 1, width: 1, channels: input.channels })
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        global_mean(of.inputs.x(), of.inputs.from().channels, y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let channels = of.from().channels;
        of.replace(dy, |dy, dx| global_mean_gradient(dy, channels, dx));
    }

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
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        Ok(Extent { height: 1, width: 1, channels: input.channels })
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let mut places = vec![0; y.len()];
        global_max(of.inputs.x(), of.inputs.from().channels, y, &mut places);
        save(places)
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (channels, places) = (of.from().channels, of.saved::<Vec<u32>>());
        of.replace(dy, |dy, dx| global_max_gradient(dy, places, channels, dx));
    }

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
