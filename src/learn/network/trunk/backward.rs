//! Backward pass of a program as launches. Executes nothing.

use super::super::program::{Op, Step};
use super::lower::{Lowering, SavedBuffer, bounds, conv_counts, flag, runs, smooth_number, window_counts};
use super::schedule::{Buffer, CallOp, LaunchNumbers, Pointer, Transfer};
use crate::learn::gpu::{Direction, Kernel};
use crate::learn::kernels::shape::ConvShape;
use crate::learn::kernels::{Begin, Rectify};

/// Number of output pixels that one thread sums for the gradient of a kernel, and number of such runs, by shape only.
fn kernel_runs(pixels: usize, weights: usize) -> (usize, usize) {
    let wanted = ((1 << 18) / weights).clamp(1, pixels.div_ceil(16));
    // Sums in f32 stay short, and the runs fit 2^30 elements.
    let length = pixels.div_ceil(wanted).min(1024).max((pixels * weights) >> 30).max(1);
    (length, pixels.div_ceil(length))
}

impl Lowering<'_> {
    pub(super) fn backward(&mut self) {
        let program = self.of.program;
        for (parameter, _) in program.parameters.iter().zip(self.of.frozen).filter(|(_, frozen)| **frozen) {
            let at = self.of.numbers.gradient + 4 * parameter.range.start as u64;
            self.schedule.call(CallOp::Clear(4 * parameter.range.len() as u64), [Pointer::At(at)]);
        }
        let (last, count) = (self.last(), self.count(self.last()));
        let mut gradient = self.schedule.buffer(4 * count);
        self.schedule.call(CallOp::Give(Transfer::Gradient, 4 * count), [gradient.into()]);
        if !self.wide(last) {
            let stored = self.stored_buffer(count);
            let numbers = LaunchNumbers { n: &[count, 1, 1], ..LaunchNumbers::default() };
            self.schedule.launch(Kernel::FromFloats, count, [gradient.into(), stored.into()], numbers);
            gradient = stored;
        }
        self.gradients[last] = Some(gradient);
        for (at, step) in program.steps.iter().enumerate().rev() {
            if let Some(dy) = self.gradients[step.output] {
                self.step_back(at, step, dy);
            }
        }
    }

    /// Gradient buffer of a value that a step reads, and whether it already holds a sum; [`None`] if the gradient is not needed.
    fn gradient(&mut self, value: usize) -> Option<(Pointer, Begin)> {
        if !self.of.wanted[value] {
            return None;
        }
        if let Some(there) = self.gradients[value] {
            return Some((there.into(), Begin::Add));
        }
        let buffer = self.stored_buffer(self.count(value));
        self.gradients[value] = Some(buffer);
        Some((buffer.into(), Begin::Fresh))
    }

    fn step_back(&mut self, at: usize, step: &Step, dy: Buffer) {
        let (from, to) = (self.of.extents[step.input], self.of.extents[step.output]);
        let (count, dy) = (self.count(step.input), Pointer::from(dy));
        match &step.op {
            Op::Conv { weight, bias, geometry } => self.conv_back(at, from.conv(*geometry), *weight, *bias, dy),
            Op::Norm { norm, add, rectify } => self.norm_back(at, step, (*norm, *add, *rectify), dy),
            Op::Rectify(rectify) => self.sum_back(step, None, *rectify, dy),
            Op::Add { other, rectify } => self.sum_back(step, Some(*other), *rectify, dy),
            Op::Smooth(smooth) => {
                let x = self.value(step.input);
                let Some((dx, begin)) = self.gradient(step.input) else { return };
                let n = [count, smooth_number(*smooth), flag(begin)];
                let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
                self.schedule.launch(Kernel::SmoothGradient, count, [x, dy, dx], numbers);
            }
            Op::Concat { others } => {
                let mut before = 0;
                for value in std::iter::once(step.input).chain(others.iter().copied()) {
                    let (channels, part) = (self.of.extents[value].channels, self.count(value));
                    if let Some((dx, begin)) = self.gradient(value) {
                        let n = [part, channels, to.channels, before, flag(begin)];
                        let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
                        self.schedule.launch(Kernel::TakeColumns, part, [dy, dx], numbers);
                    }
                    before += channels;
                }
            }
            Op::Dropout { .. } => self.back_beside(at, Kernel::Mask, step.input, dy, &[count]),
            Op::MaxPool { kernel, stride, padding } | Op::MeanPool { kernel, stride, padding } => {
                let mut n = window_counts(from, to, *kernel, *stride, *padding).to_vec();
                n.push(count);
                self.back_beside(at, Kernel::PoolGradient, step.input, dy, &n);
            }
            Op::GlobalMax => {
                let n = [count, from.height * from.width, from.channels];
                self.back_beside(at, Kernel::ImageMaxGradient, step.input, dy, &n);
            }
            Op::AdaptiveMean { .. } | Op::GlobalMean => {
                let n = [count, from.height, from.width, from.channels, to.height];
                self.back_plain(Kernel::PartMeansGradient, step.input, dy, &n);
            }
            // The backward pass is the inverse transposition.
            Op::Flatten => {
                self.back_plain(Kernel::Transpose, step.input, dy, &[count, from.channels, from.height * from.width]);
            }
        }
    }

    /// Launches a kernel from dy and what the forward pass saved to dx; its last count says whether it adds.
    fn back_beside(&mut self, at: usize, kernel: Kernel, input: usize, dy: Pointer, n: &[usize]) {
        let Some((dx, begin)) = self.gradient(input) else { return };
        let beside = match self.kept[at] {
            SavedBuffer::Beside(buffer) => buffer.into(),
            _ => Pointer::None,
        };
        let (threads, n) = (self.count(input), [n, &[flag(begin)]].concat());
        self.schedule.launch(kernel, threads, [dy, beside, dx], LaunchNumbers { n: &n, ..LaunchNumbers::default() });
    }

    /// Launches a kernel from dy to dx; its last count says whether it adds.
    fn back_plain(&mut self, kernel: Kernel, input: usize, dy: Pointer, n: &[usize]) {
        let Some((dx, begin)) = self.gradient(input) else { return };
        let (threads, n) = (self.count(input), [n, &[flag(begin)]].concat());
        self.schedule.launch(kernel, threads, [dy, dx], LaunchNumbers { n: &n, ..LaunchNumbers::default() });
    }

    fn sum_back(&mut self, step: &Step, other: Option<usize>, rectify: Rectify, dy: Pointer) {
        let count = self.count(step.input);
        let first = self.gradient(step.input);
        let second = other.and_then(|other| self.gradient(other));
        if rectify == Rectify::No {
            // Values that are not finite pass too.
            for (dx, begin) in first.into_iter().chain(second) {
                let n = [count, flag(begin)];
                self.schedule.launch(
                    Kernel::CopyGradient,
                    count,
                    [dy, dx],
                    LaunchNumbers { n: &n, ..LaunchNumbers::default() },
                );
            }
            return;
        }
        let y = self.value(step.output);
        let split = |gradient: Option<(Pointer, Begin)>| gradient.unwrap_or((Pointer::None, Begin::Fresh));
        let ((dx, begin), (dother, begin_other)) = (split(first), split(second));
        self.schedule.launch(
            Kernel::SumGradient,
            count,
            [y, dy, dx, dother],
            LaunchNumbers {
                n: &[count, flag(begin), flag(begin_other)],
                f: &bounds(rectify),
                ..LaunchNumbers::default()
            },
        );
    }

    fn conv_back(&mut self, at: usize, shape: ConvShape, weight: usize, bias: Option<usize>, dy: Pointer) {
        let step = &self.of.program.steps[at];
        let (wide, input) = (self.wide(step.output), step.input);
        let (rows, columns) = shape.outputs();
        let pixels = self.of.images * rows * columns;
        if let Some(gradient) = bias.and_then(|bias| self.parameter_gradient(bias)) {
            let (sums, runs) = self.column_sums(dy, pixels, shape.out, wide);
            let numbers = LaunchNumbers { n: &[shape.out, runs], ..LaunchNumbers::default() };
            self.schedule.launch(Kernel::BiasGradient, shape.out, [sums.into(), gradient], numbers);
        }
        let image = self.conv_image(at);
        match (self.of.libraries[at], self.kept[at]) {
            (Some(library), SavedBuffer::Packed(packed)) => {
                let (taps, channels) = (shape.kernel * shape.kernel, library.channels);
                if let Some(gradient) = self.parameter_gradient(weight) {
                    let own = self.stored_buffer(shape.out * taps * channels);
                    self.library(library.planned, Direction::Kernel, [image, own.into(), dy], Begin::Fresh);
                    let n = [taps, shape.channels, shape.out, channels];
                    let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
                    self.schedule.launch(Kernel::Unpack, shape.weights(), [own.into(), gradient], numbers);
                }
                if let Some((dx, begin)) = self.gradient(input) {
                    self.library(library.planned, Direction::Image, [dx, packed.into(), dy], begin);
                }
            }
            _ => self.own_conv_back(at, shape, weight, image, dy),
        }
    }

    fn own_conv_back(&mut self, at: usize, shape: ConvShape, weight: usize, image: Pointer, dy: Pointer) {
        let step = &self.of.program.steps[at];
        let (wide, input) = (usize::from(self.wide(step.output)), step.input);
        let counts = conv_counts(shape, self.of.images);
        if let Some(gradient) = self.parameter_gradient(weight) {
            let (rows, columns) = shape.outputs();
            let (length, runs) = kernel_runs(self.of.images * rows * columns, shape.weights());
            let sums = self.schedule.buffer(4 * runs * shape.weights());
            let n = [&counts[..], &[wide, runs, length]].concat();
            let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
            let pointers = [image, dy, sums.into()];
            self.schedule.launch(Kernel::ConvKernelGradient, runs * shape.weights(), pointers, numbers);
            let numbers = LaunchNumbers { n: &[shape.weights(), runs], ..LaunchNumbers::default() };
            self.schedule.launch(Kernel::AddRuns, shape.weights(), [sums.into(), gradient], numbers);
        }
        if let Some((dx, begin)) = self.gradient(input) {
            let n = [&counts[..], &[wide, flag(begin)]].concat();
            let pointers = [dy, self.parameter(weight), dx];
            let count = self.count(input);
            self.schedule.launch(
                Kernel::ConvInputGradient,
                count,
                pointers,
                LaunchNumbers { n: &n, ..LaunchNumbers::default() },
            );
        }
    }

    fn norm_back(&mut self, at: usize, step: &Step, norm: (usize, Option<usize>, Rectify), dy: Pointer) {
        let ((norm, add, rectify), SavedBuffer::Norm(kept)) = (norm, self.kept[at]) else { return };
        let layer = &self.of.program.norms[norm];
        let (channels, count) = (layer.channels, self.count(step.input));
        let rows = count / channels;
        let (length, runs) = runs(rows, channels);
        let (x, y) = (self.value(step.input), self.value(step.output));
        // With a residual, the output tells which gradients pass; without, scale and shift of x do, and y may have been freed.
        let (passed, y) = match (rectify, add) {
            (Rectify::No, _) => (0, Pointer::None),
            (_, None) => (1, Pointer::None),
            (_, Some(_)) => (2, y),
        };
        let (residual, begin) = add.and_then(|add| self.gradient(add)).unwrap_or((Pointer::None, Begin::Fresh));
        let sums = self.schedule.buffer(16 * runs * channels);
        self.schedule.launch(
            Kernel::NormSums,
            runs * channels,
            [x, dy, kept.into(), y, residual, sums.into()],
            LaunchNumbers {
                n: &[rows, channels, length, runs, passed, flag(begin)],
                f: &bounds(rectify),
                ..LaunchNumbers::default()
            },
        );
        let (sums, runs) = self.fewer_runs(sums, channels, runs);
        let factors = self.schedule.buffer(4 * 3 * channels);
        let fixed = self.norm_is_fixed(norm);
        let dgamma = Pointer::from(self.parameter_gradient(layer.gamma));
        let dbeta = Pointer::from(self.parameter_gradient(layer.beta));
        let pointers = [sums.into(), self.parameter(layer.gamma), kept.into(), dgamma, dbeta, factors.into()];
        let numbers = LaunchNumbers { n: &[channels, runs, rows, usize::from(fixed)], ..LaunchNumbers::default() };
        self.schedule.launch(Kernel::NormFactors, channels, pointers, numbers);
        if let Some((dx, begin)) = self.gradient(step.input) {
            let n = [count, channels, flag(begin)];
            let pointers = [x, dy, factors.into(), dx];
            self.schedule.launch(
                Kernel::NormCombine,
                count,
                pointers,
                LaunchNumbers { n: &n, ..LaunchNumbers::default() },
            );
        }
    }
}
