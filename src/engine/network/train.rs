//! Training step: forward pass over a program, keeping what the backward pass needs, and the backward pass. Knows no tape and no
//! optimizer.

use super::ops::StatisticsSource;
use super::pass::{Backward, Execution, Forward, Gradients, HostBatch, Pass, PassMode, Saved, StepInputs, Training};
use super::program::{Norm, Program, Step};
use super::segment;
use crate::base::random::Stream;
use crate::stage::StageError;

/// Whether each value depends on a trainable parameter.
pub(super) fn wanted(program: &Program, frozen: &[bool]) -> Vec<bool> {
    let trainable =
        |step: &Step| step.op.operation().parameters(program).into_iter().any(|parameter| !frozen[parameter]);
    let mut wanted = vec![false; program.uses.len()];
    for step in &program.steps {
        wanted[step.output] = step.reads().any(|value| wanted[value]) || trainable(step);
    }
    wanted
}

/// Whether the backward pass reads each value, given which of them need gradients.
fn read_back(program: &Program, wanted: &[bool], frozen: &[bool]) -> Vec<bool> {
    let mut read = vec![false; wanted.len()];
    for step in program.steps.iter().filter(|step| wanted[step.output]) {
        let Some(kernels) = step.op.operation().kernels() else { continue };
        let reads = kernels.reads_back(frozen);
        read[step.input] |= reads.input;
        read[step.output] |= reads.output;
        step.others().iter().for_each(|other| read[*other] |= reads.others);
    }
    read[program.last()] = true;
    read
}

impl Training<'_> {
    /// Whether a batch norm takes its statistics from a value.
    pub(super) fn wants_sums(&self, program: &Program, value: usize) -> bool {
        let reads = |step: &Step| {
            step.input == value
                && (step.op.norm())
                    .is_some_and(|norm| (self.source)(&program.norms[norm.norm]) != StatisticsSource::Running)
        };
        program.steps.iter().any(reads)
    }
}

/// Forward pass. Batch norms whose `source` is the batch update `running`.
///
/// # Errors
/// Those of operations without kernels.
pub(super) fn forward(
    model: Execution,
    running: &mut [f32],
    batch: HostBatch,
    frozen: &[bool],
    source: impl Fn(&Norm) -> StatisticsSource,
    dropout: Stream,
) -> Result<Pass, StageError> {
    let Execution { program, plan, pool, .. } = model;
    let images = batch.pixels.len() / plan.extents[0].len();
    let wanted = wanted(program, frozen);
    let read = read_back(program, &wanted, frozen);
    let mut left = program.uses.clone();
    let mut values: Vec<Option<Vec<f32>>> = vec![None; program.uses.len()];
    let mut kept: Vec<Saved> = program.steps.iter().map(|_| None).collect();
    batch.enter(program, pool, &mut values);
    let mut training = Training::new(program, running, &source, dropout);
    for (at, step) in program.steps.iter().enumerate() {
        let mut y = pool.take(images * plan.extents[step.output].len());
        let inputs = StepInputs { model, at, step, input: step.input, values: &values };
        kept[at] = match step.op.operation().kernels() {
            Some(kernels) => kernels.forward(&mut Forward { inputs, mode: PassMode::Training(&mut training) }, &mut y),
            None => segment::forward(inputs, &mut training, &wanted, frozen, &mut y)?,
        };
        values[step.output] = Some(y);
        for value in step.reads() {
            left[value] -= 1;
            if left[value] == 0
                && !read[value]
                && let Some(buffer) = values[value].take()
            {
                pool.give(buffer);
            }
        }
    }
    Ok(Pass { images, values, kept, wanted, frozen: frozen.to_vec(), observed: training.observed })
}

/// Backward pass from the gradient of the logits; writes that of the parameters, 0 for frozen ones.
///
/// # Errors
/// Those of operations without kernels.
pub(super) fn backward(
    model: Execution,
    mut pass: Pass,
    dlogits: &[f32],
    gradient: &mut [f32],
) -> Result<(), StageError> {
    let Execution { program, pool, .. } = model;
    let mut gradients = Gradients { of: vec![None; program.uses.len()], pool };
    let mut of_logits = pool.take(dlogits.len());
    of_logits.copy_from_slice(dlogits);
    gradients.of[program.last()] = Some(of_logits);
    for (parameter, frozen) in program.parameters.iter().zip(&pass.frozen) {
        if *frozen {
            gradient[parameter.range.clone()].fill(0.0);
        }
    }
    let mut written = vec![false; program.parameters.len()];
    for (at, step) in program.steps.iter().enumerate().rev() {
        let Some(dy) = gradients.of[step.output].take() else { continue };
        let (gradients, gradient, written) = (&mut gradients, &mut *gradient, &mut written[..]);
        let mut here = Backward { model, at, step, pass: &pass, gradients, gradient, written };
        match step.op.operation().kernels() {
            Some(kernels) => kernels.backward(&mut here, dy),
            None => segment::backward(&mut here, dy)?,
        }
        if !pass.wanted[step.input]
            && let Some(unused) = gradients.of[step.input].take()
        {
            pool.give(unused);
        }
        if let Some(buffer) = pass.values[step.output].take() {
            pool.give(buffer);
        }
    }
    gradients.of.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    pass.recycle(pool);
    Ok(())
}
