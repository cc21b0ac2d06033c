//! Concatenation of channels.

use candle_core::{Result, Tensor};

use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Step, agree};
use super::super::tape::OnTape;
use super::super::trunk::lower::{Lowering, flag};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Kernels, Launches, LayerResult, Operation};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::join;

/// Channels of the input, then those of the others.
#[derive(Debug)]
pub(in crate::engine::network) struct Concat {
    pub(in crate::engine::network) others: Vec<usize>,
}

impl Operation for Concat {
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent> {
        let mut channels = input.channels;
        for &other in others {
            agree("joins", input, Extent { channels: input.channels, ..other })?;
            channels += other.channels;
        }
        Ok(Extent { channels, ..input })
    }

    fn others(&self) -> &[usize] {
        &self.others
    }

    fn graph(&self, of: &mut OnTape, _: &Tensor) -> Result<Tensor> {
        let parts: Vec<&Tensor> = of.step.reads().map(|value| of.value(value)).collect();
        Tensor::cat(&parts, 1)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Concat {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let inputs = of.inputs;
        let parts: Vec<_> =
            inputs.step.reads().map(|value| (inputs.value(value), inputs.extent(value).channels)).collect();
        join::concat(&parts, inputs.to().channels, y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let channels = of.extent(of.step.output).channels;
        let mut before = 0;
        for value in of.step.reads() {
            let width = of.extent(value).channels;
            if of.pass.wanted[value] {
                let mut part = of.fresh(value);
                join::columns_of(&dy, channels, before, width, &mut part);
                of.gradients.add(value, part);
            }
            before += width;
        }
        of.model.pool.give(dy);
    }
}

impl Launches for Concat {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        let all = on.extent(step.output).channels;
        let mut before = 0;
        for value in step.reads() {
            let (channels, part) = (on.extent(value).channels, on.count(value));
            on.simple(Kernel::PutColumns, value, y, part, &[part, channels, all, before]);
            before += channels;
        }
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        let all = on.extent(step.output).channels;
        let mut before = 0;
        for value in step.reads() {
            let (channels, part) = (on.extent(value).channels, on.count(value));
            if let Some((dx, begin)) = on.gradient(value) {
                let n = [part, channels, all, before, flag(begin)];
                let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
                on.schedule.launch(Kernel::TakeColumns, part, [dy, dx], numbers);
            }
            before += channels;
        }
    }
}
