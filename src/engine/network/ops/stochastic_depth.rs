//! Stochastic depth: dropout of whole images.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, PassMode, Saved, save};
use super::super::program::{Extent, wrong};
use super::super::tape::{OnTape, TapeMode};
use super::{Kernels, LayerResult, Op, Operation, dropout};
use crate::lang::network;

pub(super) fn stochastic_depth(
    layer: &network::StochasticDepth,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    let share = layer.share;
    if !(0.0..1.0).contains(&share) {
        return Err(wrong(format!("stochastic depth of {share}: must be at least 0 and less than 1")));
    }
    if share == 0.0 {
        return Ok(input);
    }
    compiler.step(Op::plain(StochasticDepth { share }), input)
}

/// Zeroes a fraction `share` of the images in training.
#[derive(Debug)]
struct StochasticDepth {
    share: f64,
}

/// Multiplies the values of each image by its factor.
fn scale(values: &mut [f32], factors: &[f32]) {
    let image = values.len() / factors.len();
    values.par_chunks_exact_mut(image).zip(factors).for_each(|(values, factor)| {
        for value in values {
            *value *= factor;
        }
    });
}

impl Operation for StochasticDepth {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn only_in_training(&self) -> bool {
        true
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let TapeMode::Training(training) = &mut of.mode else { return Ok(x.clone()) };
        let images = x.dim(0)?;
        let factors = dropout::factors(self.share, images, &mut training.dropout);
        x.broadcast_mul(&of.constant(factors, &[images, 1, 1, 1])?)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for StochasticDepth {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let (x, image) = (of.inputs.x(), of.inputs.to().len());
        let PassMode::Training(training) = &mut of.mode else {
            y.copy_from_slice(x);
            return None;
        };
        let factors = dropout::factors(self.share, y.len() / image, &mut training.dropout);
        y.par_chunks_exact_mut(image).zip(x.par_chunks_exact(image)).zip(&factors).for_each(|((y, x), factor)| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * factor);
        });
        save(factors)
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        let factors: &Vec<f32> = of.saved();
        scale(&mut dy, factors);
        of.add(dy);
    }
}
