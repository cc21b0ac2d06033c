//! Operation without kernels among operations with them: candle computes it on a tape of its own, from values of the kernels and back. Knows
//! no operation.

use candle_core::{Device, Result, Tensor, Var};

use super::input::with_floats;
use super::pass::{Backward, Saved, StepInputs, Training, save};
use super::tape::{OnTape, TapeMode, host};
use super::{candle, layout};
use crate::stage::StageError;

/// Tape of one operation after its forward pass.
struct StepTape {
    /// Values whose gradient is wanted, N x H x W x C.
    inputs: Vec<(usize, Var)>,
    /// Parameters that are trained.
    parameters: Vec<(usize, Var)>,
    /// N x H x W x C.
    output: Tensor,
}

/// Which values and parameters are variables.
struct Variables<'a> {
    /// Values that depend on a trained parameter; none without a backward pass.
    wanted: Option<&'a [bool]>,
    frozen: &'a [bool],
}

/// Writes the output of a step in training mode to `y`, and returns what its backward pass needs.
pub(super) fn forward(
    inputs: StepInputs,
    training: &mut Training,
    wanted: &[bool],
    frozen: &[bool],
    y: &mut [f32],
) -> std::result::Result<Saved, StageError> {
    let variables = Variables { wanted: Some(wanted), frozen };
    let tape = compute(inputs, &variables, TapeMode::Training(training)).map_err(candle)?;
    with_floats(&tape.output, |output| y.copy_from_slice(output))?;
    Ok(save(tape))
}

/// Writes the output of a step in evaluation mode to `y`.
pub(super) fn evaluate(inputs: StepInputs, running: &[f32], y: &mut [f32]) -> std::result::Result<(), StageError> {
    let variables = Variables { wanted: None, frozen: &[] };
    let tape = compute(inputs, &variables, TapeMode::Evaluation(running)).map_err(candle)?;
    with_floats(&tape.output, |output| y.copy_from_slice(output))
}

/// Adds to the gradients of the inputs and parameters of a step; `dy` is the gradient of its output.
///
/// # Errors
/// [`StageError::Bug`] if no gradient reaches one of them.
pub(super) fn backward(of: &mut Backward, dy: Vec<f32>) -> std::result::Result<(), StageError> {
    let tape: &StepTape = of.saved();
    let loss = |dy: &[f32]| {
        let dy = Tensor::from_slice(dy, tape.output.shape(), &Device::Cpu)?;
        (&tape.output * dy)?.sum_all()
    };
    let found = loss(&dy).and_then(|loss| loss.backward()).map_err(candle)?;
    of.model.pool.give(dy);
    let lost = |what: &str| StageError::Bug(format!("no gradient reaches {what} of {:?}", of.step.op.operation()));
    for (value, variable) in &tape.inputs {
        let found = found.get(variable).ok_or_else(|| lost("an input"))?.contiguous().map_err(candle)?;
        let mut dx = of.fresh(*value);
        with_floats(&found, |found| dx.copy_from_slice(found))?;
        of.gradients.add(*value, dx);
    }
    for (parameter, variable) in &tape.parameters {
        let shape = &of.model.program.parameters[*parameter].shape;
        let values = host(found.get(variable).ok_or_else(|| lost("a parameter"))?).map_err(candle)?;
        of.parameter(*parameter, |gradient| gradient.copy_from_slice(&layout::from_torch(shape, &values)));
    }
    Ok(())
}

fn compute(inputs: StepInputs, variables: &Variables, mode: TapeMode) -> Result<StepTape> {
    let (program, step) = (inputs.model.program, inputs.step);
    let (mut of_inputs, mut of_parameters) = (Vec::new(), Vec::new());
    let mut values: Vec<Option<Tensor>> = vec![None; program.uses.len()];
    for value in step.reads() {
        if values[value].is_some() {
            continue;
        }
        let (floats, extent) = (inputs.value(value), inputs.extent(value));
        let shape = (floats.len() / extent.len(), extent.height, extent.width, extent.channels);
        let mut tensor = Tensor::from_slice(floats, shape, &Device::Cpu)?;
        if variables.wanted.is_some_and(|wanted| wanted[value]) {
            let variable = Var::from_tensor(&tensor)?;
            tensor = variable.as_tensor().clone();
            of_inputs.push((value, variable));
        }
        values[value] = Some(tensor.permute((0, 3, 1, 2))?.contiguous()?);
    }
    let mut parameters: Vec<Option<Tensor>> = vec![None; program.parameters.len()];
    for at in step.op.operation().parameters(program) {
        let shape = &program.parameters[at].shape;
        let values = layout::to_torch(shape, inputs.model.parameter(at));
        let mut tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?;
        if variables.wanted.is_some() && !variables.frozen[at] {
            let variable = Var::from_tensor(&tensor)?;
            tensor = variable.as_tensor().clone();
            of_parameters.push((at, variable));
        }
        parameters[at] = Some(tensor);
    }
    let x = values[inputs.input].clone().expect("a step reads its input");
    let extents = &inputs.model.plan.extents;
    let mut on_tape = OnTape { program, extents, step, values: &values, parameters: &parameters, mode };
    let output = step.op.operation().graph(&mut on_tape, &x)?.permute((0, 2, 3, 1))?.contiguous()?;
    Ok(StepTape { inputs: of_inputs, parameters: of_parameters, output })
}

#[cfg(test)]
mod tests {
    use super::super::compile::compile;
    use super::super::joined::JoinedShapes;
    use super::super::ops::{Kernels, LayerResult, Op, Operation, StatisticsSource};
    use super::super::pass::{Execution, HostBatch};
    use super::super::plan::SizedPlan;
    use super::super::program::Extent;
    use super::super::train;
    use super::*;
    use crate::base::Streams;
    use crate::engine::kernels::BufferPool;
    use crate::lang::network::{Conv, Layer, Linear, NetworkSpec};

    /// Identity that cuts the tape.
    #[derive(Debug)]
    struct Cut;

    impl Operation for Cut {
        fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
            Ok(input)
        }

        fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
            Ok(x.detach())
        }

        fn kernels(&self) -> Option<&dyn Kernels> {
            None
        }
    }

    #[test]
    fn an_operation_that_cuts_the_tape_is_an_error() {
        let conv = Conv {
            name: "conv".to_owned(),
            out: 4,
            kernel: 3,
            stride: 1,
            padding: 1,
            dilation: 1,
            groups: 1,
            bias: true,
            expects: None,
        };
        let linear = Linear { name: "head".to_owned(), out: None, bias: true, expects: None };
        let layers = vec![Layer::Conv(conv), Layer::Relu, Layer::GlobalAvgPool, Layer::Linear(linear)];
        let mut program =
            compile(&NetworkSpec::new("cut".to_owned(), layers), 4, &JoinedShapes::new(), 2).expect("it fits");
        program.steps[1].op = Op::plain(Cut);
        let plan = SizedPlan::new(&program, 4, 4).expect("it fits");
        let (pool, flat) = (BufferPool::default(), vec![0.5; program.floats()]);
        let model = Execution { program: &program, plan: &plan, flat: &flat, pool: &pool };
        let passed = |frozen: [bool; 4]| {
            let dropout = Streams::new(1, "test").stream("dropout", 0, &[]);
            let batch = HostBatch { pixels: &[1.0; 96], joined: &[] };
            let pass = train::forward(model, &mut [], batch, &frozen, |_| StatisticsSource::Batch, dropout)?;
            train::backward(model, pass, &[1.0; 4], &mut vec![0.0; flat.len()])
        };
        let text = passed([false; 4]).expect_err("the convolution gets no gradient").to_string();
        assert!(text.contains("no gradient reaches an input of Cut"), "{text}");
        // What lies behind the cut needs no gradient if the convolution is frozen.
        passed([true, true, false, false]).expect("a step");
    }
}
