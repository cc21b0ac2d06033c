//! Element-wise activations: rectifiers, and smooth ones.

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Step};
use super::super::trunk::lower::{Lowering, flag};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Add, BatchNorm, Op, Operation, ReadBack};
use crate::learn::gpu::Kernel;
use crate::learn::kernels::smooth::Smooth;
use crate::learn::kernels::{Rectify, norm};
use crate::stage::StageError;

/// Adds a rectifier, fused into the previous step if that is a batch norm or a sum that nothing else reads.
pub(super) fn rectifier(wanted: Rectify, compiler: &mut Compiler, input: usize) -> Result<usize, StageError> {
    if !compiler.pinned[input]
        && let Some(Step { op: Op::Norm(BatchNorm { rectify, .. }) | Op::Add(Add { rectify, .. }), output, .. }) =
            compiler.program.steps.last_mut()
        && *output == input
        && [Rectify::No, wanted].contains(rectify)
    {
        *rectify = wanted;
        return Ok(input);
    }
    compiler.step(Op::plain(Rectifier(wanted)), input)
}

/// Rectifier as a step of its own.
#[derive(Debug)]
struct Rectifier(Rectify);

impl Operation for Rectifier {
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        Ok(input)
    }

    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { output: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        y.copy_from_slice(of.inputs.x());
        norm::rectify(self.0, y);
        None
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        norm::rectify_gradient(self.0, of.y(), &mut dy);
        of.add(dy);
    }

    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        on.sum(step, None, self.0, y);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        on.sum_back(step, None, self.0, dy);
    }
}

/// Number of a smooth activation in the GPU kernels.
fn number(smooth: Smooth) -> usize {
    usize::from(smooth == Smooth::Silu)
}

impl Operation for Smooth {
    fn extent(&self, input: Extent, _: &[Extent]) -> Result<Extent, StageError> {
        Ok(input)
    }

    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        Smooth::forward(*self, of.inputs.x(), y);
        None
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        self.gradient(of.x(), &mut dy);
        of.add(dy);
    }

    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        let count = on.count(step.output);
        on.simple(Kernel::Smooth, step.input, y, count, &[count, number(*self)]);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        let (x, count) = (on.value(step.input), on.count(step.input));
        let Some((dx, begin)) = on.gradient(step.input) else { return };
        let n = [count, number(*self), flag(begin)];
        let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::SmoothGradient, count, [x, dy, dx], numbers);
    }
}
