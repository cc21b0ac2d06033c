//! Transposition to channels before pixels, the order of torch's `flatten`.

use candle_core::{Result, Tensor};

use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Step};
use super::super::tape::OnTape;
use super::super::trunk::lower::Lowering;
use super::super::trunk::schedule::Pointer;
use super::{Kernels, Launches, LayerResult, Operation};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::pooling::flatten;

#[derive(Debug)]
pub(super) struct Flatten;

impl Operation for Flatten {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(Extent { height: 1, width: 1, channels: input.len() })
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        x.reshape((x.dim(0)?, (), 1, 1))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Flatten {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let from = of.inputs.from();
        flatten(of.inputs.x(), from.height * from.width, from.channels, y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        // The inverse transposition.
        let from = of.from();
        of.replace(dy, |dy, dx| flatten(dy, from.channels, from.height * from.width, dx));
    }
}

impl Launches for Flatten {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        let (from, count) = (on.extent(step.input), on.count(step.output));
        on.simple(Kernel::Transpose, step.input, y, count, &[count, from.height * from.width, from.channels, 0]);
    }

    fn lower_back(&self, on: &mut Lowering, _: usize, step: &Step, dy: Pointer) {
        let (from, count) = (on.extent(step.input), on.count(step.input));
        on.back_plain(Kernel::Transpose, step.input, dy, &[count, from.channels, from.height * from.width]);
    }
}
