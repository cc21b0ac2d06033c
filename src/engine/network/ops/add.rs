//! Sum of two values, with fused rectifier.

use candle_core::{Result, Tensor};

use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Step, agree};
use super::super::tape::OnTape;
use super::super::trunk::lower::{Lowering, bounds, flag};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::activation::rectified;
use super::{Kernels, Launches, LayerResult, Operation, ReadBack};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::{Begin, Rectify, accumulate, norm};

/// Sum of the input and another value.
#[derive(Debug)]
pub(in crate::engine::network) struct Add {
    pub(in crate::engine::network) other: usize,
    pub(in crate::engine::network) rectify: Rectify,
}

impl Operation for Add {
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent> {
        others.iter().try_for_each(|&other| agree("adds", input, other))?;
        Ok(input)
    }

    fn others(&self) -> &[usize] {
        std::slice::from_ref(&self.other)
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        rectified(self.rectify, &(x + of.value(self.other))?)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Add {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { output: self.rectify != Rectify::No, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        y.copy_from_slice(of.inputs.x());
        accumulate(y, of.inputs.value(self.other));
        if self.rectify != Rectify::No {
            norm::rectify(self.rectify, y);
        }
        None
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        if self.rectify != Rectify::No {
            norm::rectify_gradient(self.rectify, of.y(), &mut dy);
        }
        if of.pass.wanted[self.other] {
            let mut copy = of.fresh(self.other);
            copy.copy_from_slice(&dy);
            of.gradients.add(self.other, copy);
        }
        of.add(dy);
    }
}

impl Launches for Add {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        on.sum(step, Some(self.other), self.rectify, y);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        on.sum_back(step, Some(self.other), self.rectify, dy);
    }
}

/// Launches of sums and rectifiers.
impl Lowering<'_> {
    pub(super) fn sum(&mut self, step: &Step, other: Option<usize>, rectify: Rectify, y: Pointer) {
        let (x, count) = (self.value(step.input), self.count(step.output));
        let other = Pointer::from(other.map(|other| self.value(other)));
        let numbers = LaunchNumbers { n: &[count], f: &bounds(rectify), ..LaunchNumbers::default() };
        self.schedule.launch(Kernel::SumRectified, count, [x, other, y], numbers);
    }

    pub(super) fn sum_back(&mut self, step: &Step, other: Option<usize>, rectify: Rectify, dy: Pointer) {
        let count = self.count(step.input);
        let first = self.gradient(step.input);
        let second = other.and_then(|other| self.gradient(other));
        if rectify == Rectify::No {
            // Values that are not finite pass too.
            for (dx, begin) in first.into_iter().chain(second) {
                let numbers = LaunchNumbers { n: &[count, flag(begin)], ..LaunchNumbers::default() };
                self.schedule.launch(Kernel::CopyGradient, count, [dy, dx], numbers);
            }
            return;
        }
        let y = self.value(step.output);
        let split = |gradient: Option<(Pointer, Begin)>| gradient.unwrap_or((Pointer::None, Begin::Fresh));
        let ((dx, begin), (dother, begin_other)) = (split(first), split(second));
        let n = [count, flag(begin), flag(begin_other)];
        let numbers = LaunchNumbers { n: &n, f: &bounds(rectify), ..LaunchNumbers::default() };
        self.schedule.launch(Kernel::SumGradient, count, [y, dy, dx, dother], numbers);
    }
}
