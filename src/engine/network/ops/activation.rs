//! Element-wise activations: rectifiers, and smooth ones.

use candle_core::{Result, Tensor};

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Step};
use super::super::tape::OnTape;
use super::super::trunk::lower::{Lowering, flag};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Add, BatchNorm, Kernels, Launches, LayerResult, Op, Operation, ReadBack};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::smooth::Smooth;
use crate::engine::kernels::{Rectify, norm};

/// Adds a rectifier, fused into the previous step if that is a batch norm or a sum that nothing else reads.
pub(super) fn rectifier(wanted: Rectify, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
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

/// `x` clamped to the bounds of a rectifier. As in the kernels and in torch, the derivative at a bound is 0 (that of candle's `relu` is 1),
/// and NaN stays NaN.
pub(super) fn rectified(rectify: Rectify, x: &Tensor) -> Result<Tensor> {
    let bounded = match rectify {
        Rectify::No => return Ok(x.clone()),
        Rectify::Yes => x.clone(),
        Rectify::Six => x.ge(6.0)?.where_cond(&x.ones_like()?.affine(6.0, 0.0)?.detach(), x)?,
    };
    x.le(0.0)?.where_cond(&x.zeros_like()?.detach(), &bounded)
}

/// Rectifier as a step of its own.
#[derive(Debug)]
struct Rectifier(Rectify);

impl Operation for Rectifier {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        rectified(self.0, x)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Rectifier {
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
}

impl Launches for Rectifier {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        on.sum(step, None, self.0, y);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        on.sum_back(step, None, self.0, dy);
    }
}

/// Number of a smooth activation in the GPU kernels.
fn number(smooth: Smooth) -> usize {
    match smooth {
        Smooth::Gelu => 0,
        Smooth::Silu => 1,
        Smooth::Tanh => 2,
        Smooth::Sigmoid => 3,
    }
}

impl Operation for Smooth {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        match self {
            // candle's own `gelu_erf` has a derivative with a constant of six digits.
            Self::Gelu => ((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)? * (x * 0.5)?,
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
            // From parts with a backward pass.
            Self::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip(),
        }
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Smooth {
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
}

impl Launches for Smooth {
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
