//! Backward pass of a program as launches. Executes nothing.

use super::lower::{Lowering, flag};
use super::schedule::{CallOp, LaunchNumbers, Pointer, Transfer};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::Begin;

impl Lowering<'_> {
    pub(super) fn backward(&mut self) {
        let program = self.of.program;
        for (parameter, _) in program.parameters.iter().zip(self.of.frozen).filter(|(_, frozen)| **frozen) {
            let at = self.of.numbers.gradient + 4 * parameter.range.start as u64;
            self.schedule.call(CallOp::Clear(4 * parameter.range.len() as u64), [Pointer::At(at)]);
        }
        let (last, count) = (self.of.program.last(), self.count(self.of.program.last()));
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
                step.op.launches().lower_back(self, at, step, dy.into());
            }
        }
    }

    /// Gradient buffer of a value that a step reads, and whether it already holds a sum; [`None`] if the gradient is not needed.
    pub(in crate::engine::network) fn gradient(&mut self, value: usize) -> Option<(Pointer, Begin)> {
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

    /// Launches a kernel from dy and what the forward pass saved to dx; its last count says whether it adds.
    pub(in crate::engine::network) fn back_beside(
        &mut self,
        at: usize,
        kernel: Kernel,
        input: usize,
        dy: Pointer,
        n: &[usize],
    ) {
        let Some((dx, begin)) = self.gradient(input) else { return };
        let beside = Pointer::from(self.kept[at].map(Pointer::from));
        let (threads, n) = (self.count(input), [n, &[flag(begin)]].concat());
        self.schedule.launch(kernel, threads, [dy, beside, dx], LaunchNumbers { n: &n, ..LaunchNumbers::default() });
    }

    /// Launches a kernel from dy to dx; its last count says whether it adds.
    pub(in crate::engine::network) fn back_plain(&mut self, kernel: Kernel, input: usize, dy: Pointer, n: &[usize]) {
        let Some((dx, begin)) = self.gradient(input) else { return };
        let (threads, n) = (self.count(input), [n, &[flag(begin)]].concat());
        self.schedule.launch(kernel, threads, [dy, dx], LaunchNumbers { n: &n, ..LaunchNumbers::default() });
    }
}
