//! Dropout.

use candle_core::{Result, Tensor};

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, PassMode, Saved, save};
use super::super::program::{Extent, Step, wrong};
use super::super::tape::{OnTape, TapeMode};
use super::super::trunk::lower::Lowering;
use super::super::trunk::schedule::{CallOp, LaunchNumbers, Pointer, Transfer};
use super::{Kernels, Launches, LayerResult, Op, Operation};
use crate::base::random::Stream;
use crate::engine::gpu::Kernel;
use crate::lang::network;

pub(super) fn dropout(layer: &network::Dropout, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let share = layer.share;
    if !(0.0..1.0).contains(&share) {
        return Err(wrong(format!("dropout of {share}: must be at least 0 and less than 1")));
    }
    compiler.step(Op::plain(Dropout { share }), input)
}

/// Dropout of a fraction `share` in training.
#[derive(Debug)]
struct Dropout {
    share: f64,
}

/// 0 for a fraction `share`, and the scale that preserves the mean for the rest.
pub(super) fn factors(share: f64, count: usize, stream: &mut Stream) -> Vec<f32> {
    let scale = (1.0 / (1.0 - share)) as f32;
    (0..count).map(|_| if stream.chance(share) { 0.0 } else { scale }).collect()
}

impl Operation for Dropout {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn only_in_training(&self) -> bool {
        true
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let TapeMode::Training(training) = &mut of.mode else { return Ok(x.clone()) };
        // The stream is drawn in the order of the kernels, N x H x W x C.
        let (images, channels, height, width) = x.dims4()?;
        let mask = factors(self.share, x.elem_count(), &mut training.dropout);
        x * of.constant(mask, &[images, height, width, channels])?.permute((0, 3, 1, 2))?
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Dropout {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        y.copy_from_slice(of.inputs.x());
        let PassMode::Training(training) = &mut of.mode else { return None };
        let mask = factors(self.share, y.len(), &mut training.dropout);
        y.iter_mut().zip(&mask).for_each(|(y, mask)| *y *= mask);
        save(mask)
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        let mask: &Vec<f32> = of.saved();
        dy.iter_mut().zip(mask).for_each(|(dy, mask)| *dy *= mask);
        of.add(dy);
    }
}

impl Launches for Dropout {
    fn lower(&self, on: &mut Lowering, at: usize, step: &Step, y: Pointer) {
        let count = on.count(step.output);
        let mask = on.schedule.buffer(4 * count);
        on.kept[at] = Some(mask);
        on.schedule.call(CallOp::Give(Transfer::Mask(at), 4 * count), [mask.into()]);
        let x = on.value(step.input);
        let numbers = LaunchNumbers { n: &[count, 0], ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::Mask, count, [x, mask.into(), y], numbers);
    }

    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        let count = on.count(step.input);
        on.back_beside(at, Kernel::Mask, step.input, dy, &[count]);
    }

    fn mask(&self, count: usize, stream: &mut Stream) -> Option<Vec<f32>> {
        Some(factors(self.share, count, stream))
    }
}
