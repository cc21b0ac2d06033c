//! State of a pass over a program on the CPU, as its operations see it. Computes nothing.

use std::any::Any;

use super::ops::{Folded, StatisticsSource};
use super::plan::SizedPlan;
use super::program::{Extent, Norm, Program, Step};
use crate::base::random::Stream;
use crate::engine::kernels::{BufferPool, Moments, accumulate};

/// Program to execute, with its parameters.
#[derive(Clone, Copy)]
pub(super) struct Execution<'a> {
    pub(super) program: &'a Program,
    pub(super) plan: &'a SizedPlan,
    pub(super) flat: &'a [f32],
    pub(super) pool: &'a BufferPool,
}

impl<'a> Execution<'a> {
    /// Values of a parameter.
    pub(super) fn parameter(&self, parameter: usize) -> &'a [f32] {
        &self.flat[self.program.parameters[parameter].range.clone()]
    }
}

/// Batch on the host.
#[derive(Clone, Copy)]
pub(super) struct HostBatch<'a> {
    /// Normalised pixels, N x H x W x 3.
    pub(super) pixels: &'a [f32],
    /// Embeddings of the patches, in the order of [`Program::joined`].
    pub(super) joined: &'a [Vec<f32>],
}

impl HostBatch<'_> {
    /// Copies the values that have no step into buffers.
    pub(super) fn enter(&self, program: &Program, pool: &BufferPool, values: &mut [Option<Vec<f32>>]) {
        let mut copy = |value: usize, floats: &[f32]| {
            let mut buffer = pool.take(floats.len());
            buffer.copy_from_slice(floats);
            values[value] = Some(buffer);
        };
        copy(0, self.pixels);
        program.joined.iter().zip(self.joined).for_each(|(input, floats)| copy(input.value, floats));
    }
}

/// What the backward pass of a step needs besides values; of a type that only its operation knows.
pub(super) type Saved = Option<Box<dyn Any + Send + Sync>>;

/// [`Saved`] of `what`.
#[expect(clippy::unnecessary_wraps, reason = "operations that save nothing return `None`")]
pub(super) fn save(what: impl Any + Send + Sync) -> Saved {
    Some(Box::new(what))
}

/// What a step reads.
#[derive(Clone, Copy)]
pub(super) struct StepInputs<'a> {
    pub(super) model: Execution<'a>,
    /// Index of the step.
    pub(super) at: usize,
    pub(super) step: &'a Step,
    /// Value that it reads first: its input, or that of the convolution it is folded into.
    pub(super) input: usize,
    pub(super) values: &'a [Option<Vec<f32>>],
}

impl<'a> StepInputs<'a> {
    /// Elements of a value.
    pub(super) fn value(&self, value: usize) -> &'a [f32] {
        self.values[value].as_deref().expect("a value lives until its last use")
    }

    /// Elements of the input.
    pub(super) fn x(&self) -> &'a [f32] {
        self.value(self.input)
    }

    /// Extent of a value.
    pub(super) fn extent(&self, value: usize) -> Extent {
        self.model.plan.extents[value]
    }

    /// Extent of the input.
    pub(super) fn from(&self) -> Extent {
        self.extent(self.input)
    }

    /// Extent of the output.
    pub(super) fn to(&self) -> Extent {
        self.extent(self.step.output)
    }
}

/// Forward pass at one step.
pub(super) struct Forward<'a, 'b> {
    pub(super) inputs: StepInputs<'a>,
    pub(super) mode: PassMode<'a, 'b>,
}

/// Mode of a forward pass.
pub(super) enum PassMode<'a, 'b> {
    Training(&'a mut Training<'b>),
    Evaluation(&'a EvaluationPass<'b>),
}

/// State of a forward pass in training mode.
pub(super) struct Training<'a> {
    /// Running statistics of all batch norms.
    pub(super) running: &'a mut [f32],
    /// Sums over the output of a convolution, for the batch norm that reads it; by value.
    pub(super) sums: Vec<Option<Moments>>,
    pub(super) observed: Vec<Observed>,
    /// Where each batch norm takes its statistics from.
    pub(super) source: &'a dyn Fn(&Norm) -> StatisticsSource,
    pub(super) dropout: Stream,
}

impl<'a> Training<'a> {
    pub(super) fn new(
        program: &Program,
        running: &'a mut [f32],
        source: &'a dyn Fn(&Norm) -> StatisticsSource,
        dropout: Stream,
    ) -> Self {
        let sums = program.uses.iter().map(|_| None).collect();
        Self { running, sums, observed: Vec::new(), source, dropout }
    }
}

/// Index, sums of x and x², and number of rows of an observed batch norm.
pub(super) type Observed = (usize, Vec<[f64; 2]>, usize);

/// State of a forward pass in evaluation mode.
pub(super) struct EvaluationPass<'a> {
    pub(super) running: &'a [f32],
    /// Folded convolution of each step that is one.
    pub(super) folded: &'a [Option<Folded>],
}

/// Forward pass in training mode: values, and what else the backward pass needs.
pub(super) struct Pass {
    pub(super) images: usize,
    pub(super) values: Vec<Option<Vec<f32>>>,
    pub(super) kept: Vec<Saved>,
    /// Whether a value depends on a trainable parameter.
    pub(super) wanted: Vec<bool>,
    pub(super) frozen: Vec<bool>,
    pub(super) observed: Vec<Observed>,
}

impl Pass {
    /// Logits.
    pub(super) fn logits(&self, program: &Program) -> &[f32] {
        self.values[program.last()].as_deref().expect("logits are kept")
    }

    /// Returns all buffers to the pool.
    pub(super) fn recycle(self, pool: &BufferPool) {
        self.values.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    }
}

/// Gradients of the values during the backward pass.
pub(super) struct Gradients<'a> {
    pub(super) of: Vec<Option<Vec<f32>>>,
    pub(super) pool: &'a BufferPool,
}

impl Gradients<'_> {
    /// Adds `gradient` to the gradient of a value.
    pub(super) fn add(&mut self, value: usize, gradient: Vec<f32>) {
        match &mut self.of[value] {
            Some(present) => {
                accumulate(present, &gradient);
                self.pool.give(gradient);
            }
            empty => *empty = Some(gradient),
        }
    }
}

/// Backward pass at one step.
pub(super) struct Backward<'a, 'b> {
    pub(super) model: Execution<'a>,
    /// Index of the step.
    pub(super) at: usize,
    pub(super) step: &'a Step,
    pub(super) pass: &'a Pass,
    pub(super) gradients: &'a mut Gradients<'b>,
    /// Gradient of all parameters.
    pub(super) gradient: &'a mut [f32],
    /// Which of them hold the gradient of a later step.
    pub(super) written: &'a mut [bool],
}

impl<'a> Backward<'a, '_> {
    /// Elements of the input.
    pub(super) fn x(&self) -> &'a [f32] {
        self.pass.values[self.step.input].as_deref().expect("what the backward pass reads is kept")
    }

    /// Elements of a value that it read besides its input.
    pub(super) fn value(&self, value: usize) -> &'a [f32] {
        self.pass.values[value].as_deref().expect("what the backward pass reads is kept")
    }

    /// Elements of the output.
    pub(super) fn y(&self) -> &'a [f32] {
        self.pass.values[self.step.output].as_deref().expect("what the backward pass reads is kept")
    }

    /// What the forward pass saved.
    pub(super) fn saved<T: 'static>(&self) -> &'a T {
        let saved = self.pass.kept[self.at].as_ref().and_then(|saved| saved.downcast_ref());
        saved.expect("the forward pass saves what the backward pass needs")
    }

    /// Extent of a value.
    pub(super) fn extent(&self, value: usize) -> Extent {
        self.model.plan.extents[value]
    }

    /// Extent of the input.
    pub(super) fn from(&self) -> Extent {
        self.extent(self.step.input)
    }

    /// Whether the gradient of the input is wanted.
    pub(super) fn wanted(&self) -> bool {
        self.pass.wanted[self.step.input]
    }

    /// Buffer for the gradient of a value, with any content.
    pub(super) fn fresh(&self, value: usize) -> Vec<f32> {
        self.model.pool.take(self.pass.images * self.extent(value).len())
    }

    /// Adds to the gradient of the input.
    pub(super) fn add(&mut self, dx: Vec<f32>) {
        self.gradients.add(self.step.input, dx);
    }

    /// Writes the gradient of the input into a new buffer with `write`, and returns `dy` to the pool.
    pub(super) fn replace(&mut self, dy: Vec<f32>, write: impl FnOnce(&[f32], &mut [f32])) {
        let mut dx = self.fresh(self.step.input);
        write(&dy, &mut dx);
        self.model.pool.give(dy);
        self.add(dx);
    }

    /// Adds to the gradient of a parameter what `write` writes; does nothing if it is frozen. The gradients of several uses are summed
    /// in the order of the backward pass.
    pub(super) fn parameter(&mut self, parameter: usize, write: impl FnOnce(&mut [f32])) {
        if self.pass.frozen[parameter] {
            return;
        }
        let gradient = &mut self.gradient[self.model.program.parameters[parameter].range.clone()];
        if !std::mem::replace(&mut self.written[parameter], true) {
            return write(gradient);
        }
        let mut own = self.model.pool.take(gradient.len());
        write(&mut own);
        accumulate(gradient, &own);
        self.model.pool.give(own);
    }
}
