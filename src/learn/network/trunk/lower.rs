//! Lowering of a program to a schedule of launches: shared parts and the forward pass. Executes nothing and knows no device memory.

use std::collections::BTreeMap;

use super::super::input::Arrival;
use super::super::program::{Extent, Op, Program, Step};
use super::schedule::{Buffer, CallOp, CallSchedule, LaunchNumbers, PlacedSchedule, Pointer, Transfer};
use crate::learn::gpu::{Direction, Kernel, PlannedConvolution, Precision};
use crate::learn::kernels::shape::ConvShape;
use crate::learn::kernels::smooth::Smooth;
use crate::learn::kernels::{Begin, Rectify};

/// Purpose of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Batch statistics, dropout, and a backward pass.
    Training,
    /// Running statistics, and no backward pass.
    Evaluation,
}

/// Device addresses of the values of a network, all f32.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CardParameters {
    pub(super) flat: u64,
    pub(super) gradient: u64,
    pub(super) running: u64,
}

/// Convolution computed by the vendor library.
#[derive(Clone, Copy, Debug)]
pub(super) struct LibraryConvolution {
    pub(super) planned: PlannedConvolution,
    /// Channels of its image, including padding.
    pub(super) channels: usize,
}

/// Inputs from which a schedule is built.
pub(super) struct PassSettings<'a> {
    pub(super) program: &'a Program,
    pub(super) extents: &'a [Extent],
    pub(super) images: usize,
    pub(super) arrival: Arrival,
    pub(super) precision: Precision,
    pub(super) purpose: Purpose,
    /// Whether each parameter is frozen.
    pub(super) frozen: &'a [bool],
    /// Whether each value depends on a trainable parameter.
    pub(super) wanted: &'a [bool],
    pub(super) numbers: CardParameters,
    /// Library convolution of each step.
    pub(super) libraries: &'a [Option<LibraryConvolution>],
}

/// What a step saves for the backward pass.
#[derive(Clone, Copy, Debug)]
pub(super) enum SavedBuffer {
    Nothing,
    /// Kernel in the layout of the library.
    Packed(Buffer),
    /// Mean, 1/deviation, scale and shift of each channel.
    Norm(Buffer),
    /// Positions of maxima, or a dropout mask.
    Beside(Buffer),
}

/// Builder of a schedule.
pub(super) struct Lowering<'a> {
    pub(super) of: PassSettings<'a>,
    pub(super) schedule: CallSchedule,
    pub(super) values: Vec<Option<Buffer>>,
    pub(super) gradients: Vec<Option<Buffer>>,
    pub(super) kept: Vec<SavedBuffer>,
    /// Normalised pixels, f32.
    pub(super) given: Buffer,
    /// Pixels in the storage format, by number of channels.
    stored: BTreeMap<usize, Buffer>,
}

/// Schedule, and the number of its calls before the backward pass.
pub(super) struct LoweredPass {
    pub(super) placed: PlacedSchedule,
    pub(super) forward: usize,
}

/// Builds the schedule of a pass.
pub(super) fn lower(setting: PassSettings) -> LoweredPass {
    let mut schedule = CallSchedule::default();
    let given = schedule.buffer(4 * setting.images * setting.extents[0].len());
    let values = setting.program.uses.len();
    let mut lowering = Lowering {
        values: vec![None; values],
        gradients: vec![None; values],
        kept: vec![SavedBuffer::Nothing; setting.program.steps.len()],
        of: setting,
        schedule,
        given,
        stored: BTreeMap::new(),
    };
    lowering.forward();
    let forward = lowering.schedule.len();
    if lowering.of.purpose == Purpose::Training {
        lowering.backward();
    }
    LoweredPass { placed: lowering.schedule.place(), forward }
}

/// Rows per run, and number of runs, for sums over the rows of a matrix by column: enough threads for a large GPU, by shape only.
pub(super) fn runs(rows: usize, columns: usize) -> (usize, usize) {
    let wanted = (65536 / columns.max(1)).clamp(1, 1024);
    let length = rows.div_ceil(wanted).next_multiple_of(16);
    (length, rows.div_ceil(length))
}

/// Number of runs that [`Kernel::AddPairs`] adds at once.
const PAIRS: usize = 32;

pub(super) fn flag(begin: Begin) -> usize {
    usize::from(begin == Begin::Add)
}

pub(super) fn bounds(rectify: Rectify) -> [f32; 2] {
    match rectify {
        Rectify::No => [f32::NEG_INFINITY, f32::INFINITY],
        Rectify::Yes => [0.0, f32::INFINITY],
        Rectify::Six => [0.0, 6.0],
    }
}

/// Counts of a convolution in the order of the kernels.
pub(super) fn conv_counts(shape: ConvShape, images: usize) -> [usize; 12] {
    let (rows, columns) = shape.outputs();
    let ConvShape { height, width, channels, out, kernel, stride, padding, dilation, groups } = shape;
    [images, height, width, channels, out, kernel, stride, padding, dilation, groups, rows, columns]
}

/// Counts of a pooling window in the order of the kernels.
pub(super) fn window_counts(from: Extent, to: Extent, kernel: usize, stride: usize, padding: usize) -> [usize; 8] {
    [from.height, from.width, from.channels, kernel, stride, padding, to.height, to.width]
}

pub(super) fn smooth_number(smooth: Smooth) -> usize {
    usize::from(smooth == Smooth::Silu)
}

impl Lowering<'_> {
    /// Allocates a buffer of values in the storage format.
    pub(super) fn stored_buffer(&mut self, values: usize) -> Buffer {
        self.schedule.buffer(values * self.of.precision.bytes())
    }

    /// Address of a parameter.
    pub(super) fn parameter(&self, parameter: usize) -> Pointer {
        Pointer::At(self.of.numbers.flat + 4 * self.of.program.parameters[parameter].range.start as u64)
    }

    /// Address of the gradient of a parameter; [`None`] if it is frozen.
    pub(super) fn parameter_gradient(&self, parameter: usize) -> Option<Pointer> {
        let start = self.of.program.parameters[parameter].range.start as u64;
        (!self.of.frozen[parameter]).then(|| Pointer::At(self.of.numbers.gradient + 4 * start))
    }

    /// Number of elements of a value.
    pub(super) fn count(&self, value: usize) -> usize {
        self.of.images * self.of.extents[value].len()
    }

    /// Value of the logits.
    pub(super) fn last(&self) -> usize {
        self.of.program.steps.last().map_or(0, |step| step.output)
    }

    /// Whether a value is stored as f32 regardless of the precision: logits computed by macula's own kernels.
    pub(super) fn wide(&self, value: usize) -> bool {
        let mut steps = self.of.program.steps.iter().zip(self.of.libraries);
        let made = steps
            .any(|(step, library)| step.output == value && matches!(step.op, Op::Conv { .. }) && library.is_none());
        value == self.last() && made
    }

    pub(super) fn value(&mut self, value: usize) -> Pointer {
        match self.values[value] {
            Some(buffer) => buffer.into(),
            None => self.pixels(self.of.extents[0].channels).into(),
        }
    }

    /// Pixels in the storage format, padded to so many channels.
    fn pixels(&mut self, channels: usize) -> Buffer {
        if let Some(&there) = self.stored.get(&channels) {
            return there;
        }
        let extent = self.of.extents[0];
        let count = self.of.images * extent.height * extent.width * channels;
        let buffer = self.stored_buffer(count);
        let n = [count, extent.channels, channels];
        let pointers = [self.given.into(), buffer.into()];
        self.schedule.launch(Kernel::FromFloats, count, pointers, LaunchNumbers { n: &n, ..LaunchNumbers::default() });
        self.stored.insert(channels, buffer);
        buffer
    }

    /// Image that a convolution reads.
    pub(super) fn conv_image(&mut self, at: usize) -> Pointer {
        let input = self.of.program.steps[at].input;
        match self.of.libraries[at] {
            Some(library) if input == 0 => self.pixels(library.channels).into(),
            _ => self.value(input),
        }
    }

    /// Reduces the runs of sums in `buffer` until one thread per column can add them.
    pub(super) fn fewer_runs(&mut self, buffer: Buffer, columns: usize, runs: usize) -> (Buffer, usize) {
        if runs <= PAIRS {
            return (buffer, runs);
        }
        let left = runs.div_ceil(PAIRS);
        let fewer = self.schedule.buffer(16 * left * columns);
        let n = [columns, runs, left];
        let pointers = [buffer.into(), fewer.into()];
        self.schedule.launch(
            Kernel::AddPairs,
            left * columns,
            pointers,
            LaunchNumbers { n: &n, ..LaunchNumbers::default() },
        );
        (fewer, left)
    }

    /// Sums a value and its squares by column.
    pub(super) fn column_sums(&mut self, x: Pointer, rows: usize, columns: usize, wide: bool) -> (Buffer, usize) {
        let (length, runs) = runs(rows, columns);
        let buffer = self.schedule.buffer(16 * runs * columns);
        let n = [rows, columns, length, runs, usize::from(wide)];
        self.schedule.launch(
            Kernel::ColumnMoments,
            runs * columns,
            [x, buffer.into()],
            LaunchNumbers { n: &n, ..LaunchNumbers::default() },
        );
        self.fewer_runs(buffer, columns, runs)
    }

    fn forward(&mut self) {
        let floats = self.of.images * self.of.extents[0].len();
        match self.of.arrival {
            Arrival::Pixels => self.schedule.call(CallOp::Give(Transfer::Pixels, 4 * floats), [self.given.into()]),
            Arrival::Stored(stored) => self.views(stored),
        }
        let program = self.of.program;
        for (at, step) in program.steps.iter().enumerate() {
            self.step(at, step);
        }
        let (last, count) = (self.last(), self.count(self.last()));
        let mut logits = self.value(last);
        if !self.wide(last) {
            let floats = self.schedule.buffer(4 * count);
            let n = [count];
            self.schedule.launch(
                Kernel::ToFloats,
                count,
                [logits, floats.into()],
                LaunchNumbers { n: &n, ..LaunchNumbers::default() },
            );
            logits = floats.into();
        }
        self.schedule.call(CallOp::Take(Transfer::Logits, count), [logits]);
    }

    fn step(&mut self, at: usize, step: &Step) {
        let (from, to) = (self.of.extents[step.input], self.of.extents[step.output]);
        let count = self.count(step.output);
        let training = self.of.purpose == Purpose::Training;
        if let Op::Dropout { .. } = step.op
            && !training
        {
            self.values[step.output] = self.values[step.input];
            return;
        }
        let bytes = if self.wide(step.output) { 4 } else { self.of.precision.bytes() };
        let buffer = self.schedule.buffer(bytes * count);
        self.values[step.output] = Some(buffer);
        let y = Pointer::from(buffer);
        match &step.op {
            Op::Conv { weight, bias, geometry } => {
                let bias = bias.map(|bias| self.parameter(bias));
                self.conv(at, from.conv(*geometry), self.parameter(*weight), bias, y);
            }
            Op::Norm { norm, add, rectify } => {
                let x = self.value(step.input);
                self.norm_statistics(at, *norm, x, step.input);
                let SavedBuffer::Norm(kept) = self.kept[at] else { return };
                let extra = Pointer::from(add.map(|add| self.value(add)));
                self.schedule.launch(
                    Kernel::NormAffine,
                    count,
                    [x, kept.into(), extra, y],
                    LaunchNumbers { n: &[count, to.channels], f: &bounds(*rectify), ..LaunchNumbers::default() },
                );
            }
            Op::Rectify(rectify) => self.sum(step.input, None, *rectify, y, count),
            Op::Add { other, rectify } => self.sum(step.input, Some(*other), *rectify, y, count),
            Op::Smooth(smooth) => self.simple(Kernel::Smooth, step.input, y, &[count, smooth_number(*smooth)]),
            Op::Concat { others } => {
                let mut before = 0;
                for value in std::iter::once(step.input).chain(others.iter().copied()) {
                    let (channels, part) = (self.of.extents[value].channels, self.count(value));
                    let x = self.value(value);
                    let n = [part, channels, to.channels, before];
                    self.schedule.launch(
                        Kernel::PutColumns,
                        part,
                        [x, y],
                        LaunchNumbers { n: &n, ..LaunchNumbers::default() },
                    );
                    before += channels;
                }
            }
            Op::MaxPool { kernel, stride, padding } => {
                let places = self.schedule.buffer(count);
                self.kept[at] = SavedBuffer::Beside(places);
                let x = self.value(step.input);
                let mut n = window_counts(from, to, *kernel, *stride, *padding).to_vec();
                n.push(count);
                let pointers = [x, y, places.into()];
                self.schedule.launch(
                    Kernel::MaxPool,
                    count,
                    pointers,
                    LaunchNumbers { n: &n, ..LaunchNumbers::default() },
                );
            }
            Op::MeanPool { kernel, stride, padding } => {
                let mut n = window_counts(from, to, *kernel, *stride, *padding).to_vec();
                n.push(count);
                self.simple(Kernel::MeanPool, step.input, y, &n);
            }
            Op::AdaptiveMean { .. } | Op::GlobalMean => {
                self.simple(
                    Kernel::PartMeans,
                    step.input,
                    y,
                    &[count, from.height, from.width, from.channels, to.height],
                );
            }
            Op::GlobalMax => {
                let places = self.schedule.buffer(4 * count);
                self.kept[at] = SavedBuffer::Beside(places);
                let x = self.value(step.input);
                let n = [count, from.height * from.width, from.channels];
                let pointers = [x, y, places.into()];
                self.schedule.launch(
                    Kernel::ImageMax,
                    count,
                    pointers,
                    LaunchNumbers { n: &n, ..LaunchNumbers::default() },
                );
            }
            Op::Flatten => {
                self.simple(Kernel::Transpose, step.input, y, &[count, from.height * from.width, from.channels, 0]);
            }
            Op::Dropout { .. } => {
                let mask = self.schedule.buffer(4 * count);
                self.kept[at] = SavedBuffer::Beside(mask);
                self.schedule.call(CallOp::Give(Transfer::Mask(at), 4 * count), [mask.into()]);
                let x = self.value(step.input);
                let n = [count, 0];
                self.schedule.launch(
                    Kernel::Mask,
                    count,
                    [x, mask.into(), y],
                    LaunchNumbers { n: &n, ..LaunchNumbers::default() },
                );
            }
        }
    }

    /// Launches a kernel from one value to another.
    fn simple(&mut self, kernel: Kernel, input: usize, y: Pointer, n: &[usize]) {
        let x = self.value(input);
        let threads = n[if matches!(kernel, Kernel::MeanPool) { 8 } else { 0 }];
        self.schedule.launch(kernel, threads, [x, y], LaunchNumbers { n, ..LaunchNumbers::default() });
    }

    fn sum(&mut self, input: usize, other: Option<usize>, rectify: Rectify, y: Pointer, count: usize) {
        let x = self.value(input);
        let other = Pointer::from(other.map(|other| self.value(other)));
        let numbers = LaunchNumbers { n: &[count], f: &bounds(rectify), ..LaunchNumbers::default() };
        self.schedule.launch(Kernel::SumRectified, count, [x, other, y], numbers);
    }

    fn conv(&mut self, at: usize, shape: ConvShape, weight: Pointer, bias: Option<Pointer>, y: Pointer) {
        let image = self.conv_image(at);
        let output = self.of.program.steps[at].output;
        let count = self.count(output);
        let Some(library) = self.of.libraries[at] else {
            let mut n = conv_counts(shape, self.of.images).to_vec();
            n.push(usize::from(self.wide(output)));
            let pointers = [image, weight, bias.into(), y];
            self.schedule.launch(
                Kernel::ConvForward,
                count,
                pointers,
                LaunchNumbers { n: &n, ..LaunchNumbers::default() },
            );
            return;
        };
        let taps = shape.kernel * shape.kernel;
        let weights = shape.out * taps * library.channels;
        let packed = self.stored_buffer(weights);
        let n = [taps, shape.channels, shape.out, library.channels];
        self.schedule.launch(
            Kernel::Pack,
            weights,
            [weight, packed.into()],
            LaunchNumbers { n: &n, ..LaunchNumbers::default() },
        );
        self.kept[at] = SavedBuffer::Packed(packed);
        self.library(library.planned, Direction::Forward, [image, packed.into(), y], Begin::Fresh);
        if let Some(bias) = bias {
            let n = [count, shape.out];
            self.schedule.launch(
                Kernel::AddBias,
                count,
                [bias, y],
                LaunchNumbers { n: &n, ..LaunchNumbers::default() },
            );
        }
    }

    /// Calls one direction of a library convolution, with its own workspace.
    pub(super) fn library(
        &mut self,
        planned: PlannedConvolution,
        direction: Direction,
        on: [Pointer; 3],
        begin: Begin,
    ) {
        let workspace = self.schedule.buffer(planned.workspace as usize);
        let [image, kernel, output] = on;
        self.schedule.call(CallOp::Convolve(planned.id, direction, begin), [image, kernel, output, workspace.into()]);
    }

    /// Whether a batch norm uses the running statistics: in evaluation, and if both of its parameters are frozen.
    pub(super) fn norm_is_fixed(&self, norm: usize) -> bool {
        let norm = &self.of.program.norms[norm];
        self.of.purpose == Purpose::Evaluation || (self.of.frozen[norm.gamma] && self.of.frozen[norm.beta])
    }

    fn norm_statistics(&mut self, at: usize, norm: usize, x: Pointer, input: usize) {
        let (fixed, layer) = (self.norm_is_fixed(norm), &self.of.program.norms[norm]);
        let (channels, rows) = (layer.channels, self.count(input) / layer.channels);
        let (sums, runs) = if fixed {
            (Pointer::None, 0)
        } else {
            let (buffer, runs) = self.column_sums(x, rows, channels, false);
            (buffer.into(), runs)
        };
        let kept = self.schedule.buffer(4 * 4 * channels);
        self.kept[at] = SavedBuffer::Norm(kept);
        let running = Pointer::At(self.of.numbers.running + 4 * layer.running as u64);
        let pointers = [sums, self.parameter(layer.gamma), self.parameter(layer.beta), running, kept.into()];
        let numbers = LaunchNumbers { n: &[channels, runs, rows], d: &[layer.eps, layer.momentum], f: &[] };
        self.schedule.launch(Kernel::NormStatistics, channels, pointers, numbers);
    }
}
