//! Forward pass in evaluation mode: batch norms are folded into the preceding convolutions, with residual and rectifier fused. Knows no
//! tape.

use super::ops::Folded;
use super::pass::{EvaluationPass, Execution, Forward, HostBatch, PassMode, StepInputs};
use super::segment;
use crate::stage::StageError;

/// Folds and packs all convolutions; [`None`] for other steps.
pub(super) fn fold(model: &Execution, running: &[f32]) -> Vec<Option<Folded>> {
    let steps = model.program.steps.iter().enumerate();
    steps.map(|(at, step)| step.op.conv().map(|conv| conv.fold(model, running, at))).collect()
}

/// Logits of a batch.
///
/// # Errors
/// Those of operations without kernels.
pub(super) fn forward(
    model: Execution,
    running: &[f32],
    folded: &[Option<Folded>],
    batch: HostBatch,
) -> Result<Vec<f32>, StageError> {
    let Execution { program, plan, pool, .. } = model;
    let images = batch.pixels.len() / plan.extents[0].len();
    let evaluation = EvaluationPass { running, folded };
    let mut left = program.uses.clone();
    let mut values: Vec<Option<Vec<f32>>> = vec![None; program.uses.len()];
    batch.enter(program, pool, &mut values);
    for (at, step) in program.steps.iter().enumerate() {
        // A convolution that only a batch norm reads is executed together with it.
        if step.op.conv().is_some() && program.norm_after(step).is_some() {
            continue;
        }
        let input = program.folded_conv(step).map_or(step.input, |conv| program.steps[conv].input);
        let mut y = pool.take(images * plan.extents[step.output].len());
        let inputs = StepInputs { model, at, step, input, values: &values };
        match step.op.operation().kernels() {
            Some(kernels) => {
                kernels.forward(&mut Forward { inputs, mode: PassMode::Evaluation(&evaluation) }, &mut y);
            }
            None => segment::evaluate(inputs, running, &mut y)?,
        }
        values[step.output] = Some(y);
        for value in std::iter::once(input).chain(step.others().iter().copied()) {
            left[value] -= 1;
            if left[value] == 0
                && let Some(buffer) = values[value].take()
            {
                pool.give(buffer);
            }
        }
    }
    let result = values[program.last()].clone().expect("logits are kept");
    values.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    Ok(result)
}
