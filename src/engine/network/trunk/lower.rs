//! Lowering of a program to a schedule of launches: shared parts and the forward pass. Executes nothing and knows no device memory.

use std::collections::BTreeMap;

use super::super::input::Arrival;
use super::super::ops::LibraryConvolution;
use super::super::program::{Extent, Program, Step};
use super::schedule::{Buffer, CallOp, CallSchedule, LaunchNumbers, PlacedSchedule, Pointer, Transfer};
use crate::engine::gpu::{Direction, Kernel, PlannedConvolution, Precision};
use crate::engine::kernels::{Begin, Rectify};

/// Purpose of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine::network) enum Purpose {
    /// Batch statistics, dropout, and a backward pass.
    Training,
    /// Running statistics, and no backward pass.
    Evaluation,
}

/// Device addresses of the values of a network, all f32.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::network) struct CardParameters {
    pub(in crate::engine::network) flat: u64,
    pub(in crate::engine::network) gradient: u64,
    pub(in crate::engine::network) running: u64,
}

/// Inputs from which a schedule is built.
pub(in crate::engine::network) struct PassSettings<'a> {
    pub(in crate::engine::network) program: &'a Program,
    pub(in crate::engine::network) extents: &'a [Extent],
    pub(in crate::engine::network) images: usize,
    pub(in crate::engine::network) arrival: Arrival,
    pub(in crate::engine::network) precision: Precision,
    pub(in crate::engine::network) purpose: Purpose,
    /// Whether each parameter is frozen.
    pub(in crate::engine::network) frozen: &'a [bool],
    /// Whether each value depends on a trainable parameter.
    pub(in crate::engine::network) wanted: &'a [bool],
    pub(in crate::engine::network) numbers: CardParameters,
    /// Library convolution of each step.
    pub(in crate::engine::network) libraries: &'a [Option<LibraryConvolution>],
}

/// Builder of a schedule.
pub(in crate::engine::network) struct Lowering<'a> {
    pub(in crate::engine::network) of: PassSettings<'a>,
    pub(in crate::engine::network) schedule: CallSchedule,
    pub(in crate::engine::network) values: Vec<Option<Buffer>>,
    pub(in crate::engine::network) gradients: Vec<Option<Buffer>>,
    /// What each step saves for its backward pass.
    pub(in crate::engine::network) kept: Vec<Option<Buffer>>,
    /// Normalised pixels, f32.
    pub(in crate::engine::network) given: Buffer,
    /// Pixels in the storage format, by number of channels.
    stored: BTreeMap<usize, Buffer>,
}

/// Schedule, and the number of its calls before the backward pass.
pub(in crate::engine::network) struct LoweredPass {
    pub(in crate::engine::network) placed: PlacedSchedule,
    pub(in crate::engine::network) forward: usize,
}

/// Builds the schedule of a pass.
pub(in crate::engine::network) fn lower(setting: PassSettings) -> LoweredPass {
    let mut schedule = CallSchedule::default();
    let given = schedule.buffer(4 * setting.images * setting.extents[0].len());
    let values = setting.program.uses.len();
    let mut lowering = Lowering {
        values: vec![None; values],
        gradients: vec![None; values],
        kept: vec![None; setting.program.steps.len()],
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
pub(in crate::engine::network) fn runs(rows: usize, columns: usize) -> (usize, usize) {
    let wanted = (65536 / columns.max(1)).clamp(1, 1024);
    let length = rows.div_ceil(wanted).next_multiple_of(16);
    (length, rows.div_ceil(length))
}

/// Number of runs that [`Kernel::AddPairs`] adds at once.
const PAIRS: usize = 32;

pub(in crate::engine::network) fn flag(begin: Begin) -> usize {
    usize::from(begin == Begin::Add)
}

pub(in crate::engine::network) fn bounds(rectify: Rectify) -> [f32; 2] {
    match rectify {
        Rectify::No => [f32::NEG_INFINITY, f32::INFINITY],
        Rectify::Yes => [0.0, f32::INFINITY],
        Rectify::Six => [0.0, 6.0],
    }
}

impl Lowering<'_> {
    /// Allocates a buffer of values in the storage format.
    pub(in crate::engine::network) fn stored_buffer(&mut self, values: usize) -> Buffer {
        self.schedule.buffer(values * self.of.precision.bytes())
    }

    /// Address of a parameter.
    pub(in crate::engine::network) fn parameter(&self, parameter: usize) -> Pointer {
        Pointer::At(self.of.numbers.flat + 4 * self.of.program.parameters[parameter].range.start as u64)
    }

    /// Address of the gradient of a parameter; [`None`] if it is frozen.
    pub(in crate::engine::network) fn parameter_gradient(&self, parameter: usize) -> Option<Pointer> {
        let start = self.of.program.parameters[parameter].range.start as u64;
        (!self.of.frozen[parameter]).then(|| Pointer::At(self.of.numbers.gradient + 4 * start))
    }

    /// Number of elements of a value.
    pub(in crate::engine::network) fn count(&self, value: usize) -> usize {
        self.of.images * self.of.extents[value].len()
    }

    /// Extent of a value.
    pub(in crate::engine::network) fn extent(&self, value: usize) -> Extent {
        self.of.extents[value]
    }

    /// Whether a value is stored as f32 regardless of the precision: logits computed by macula's own kernels.
    pub(in crate::engine::network) fn wide(&self, value: usize) -> bool {
        let mut steps = self.of.program.steps.iter().zip(self.of.libraries);
        let made = steps.any(|(step, library)| step.output == value && step.op.conv().is_some() && library.is_none());
        value == self.of.program.last() && made
    }

    pub(in crate::engine::network) fn value(&mut self, value: usize) -> Pointer {
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
    pub(in crate::engine::network) fn conv_image(&mut self, at: usize) -> Pointer {
        let input = self.of.program.steps[at].input;
        match self.of.libraries[at] {
            Some(library) if input == 0 => self.pixels(library.channels).into(),
            _ => self.value(input),
        }
    }

    /// Reduces the runs of sums in `buffer` until one thread per column can add them.
    pub(in crate::engine::network) fn fewer_runs(
        &mut self,
        buffer: Buffer,
        columns: usize,
        runs: usize,
    ) -> (Buffer, usize) {
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
    pub(in crate::engine::network) fn column_sums(
        &mut self,
        x: Pointer,
        rows: usize,
        columns: usize,
        wide: bool,
    ) -> (Buffer, usize) {
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
        let (last, count) = (self.of.program.last(), self.count(self.of.program.last()));
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
        let operation = step.op.operation();
        if operation.only_in_training() && self.of.purpose == Purpose::Evaluation {
            self.values[step.output] = self.values[step.input];
            return;
        }
        let bytes = if self.wide(step.output) { 4 } else { self.of.precision.bytes() };
        let buffer = self.schedule.buffer(bytes * self.count(step.output));
        self.values[step.output] = Some(buffer);
        step.op.launches().lower(self, at, step, buffer.into());
    }

    /// Launches a kernel from one value to another.
    pub(in crate::engine::network) fn simple(
        &mut self,
        kernel: Kernel,
        input: usize,
        y: Pointer,
        threads: usize,
        n: &[usize],
    ) {
        let x = self.value(input);
        self.schedule.launch(kernel, threads, [x, y], LaunchNumbers { n, ..LaunchNumbers::default() });
    }

    /// Calls one direction of a library convolution, with its own workspace.
    pub(in crate::engine::network) fn library(
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
}
