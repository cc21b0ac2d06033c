//! Mean of the pixels of a map, weighted by an attention of their own (Ilse et al. 2018).

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved, save};
use super::super::program::{Extent, agree};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation, ReadBack, conv};
use crate::engine::kernels::pixel_mean;
use crate::engine::kernels::smooth::Smooth;
use crate::lang::network;

pub(super) fn attention_pool(
    layer: &network::AttentionPool,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    let network::AttentionPool { name, hidden, gated } = layer;
    let branch = |compiler: &mut Compiler, tensor: &str, activation: Smooth| {
        let value = conv::pixelwise(compiler, &format!("{name}.{tensor}.weight"), None, *hidden, input)?;
        compiler.step(Op::plain(activation), value)
    };
    let mut features = branch(compiler, "V", Smooth::Tanh)?;
    if *gated {
        let gate = branch(compiler, "U", Smooth::Sigmoid)?;
        features = compiler.step(Op::plain(Product { others: [gate] }), features)?;
    }
    let scores = conv::pixelwise(compiler, &format!("{name}.w.weight"), None, 1, features)?;
    compiler.step(Op::plain(PixelMean { others: [scores] }), input)
}

/// Product of two values, entry by entry.
#[derive(Debug)]
struct Product {
    others: [usize; 1],
}

impl Operation for Product {
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent> {
        agree("multiplies", input, others[0])?;
        Ok(input)
    }

    fn others(&self) -> &[usize] {
        &self.others
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        x * of.value(self.others[0])
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

/// `values` times `factors`, entry by entry.
fn multiply(values: &mut [f32], factors: &[f32]) {
    const PIECE: usize = 1 << 14;
    let pieces = values.par_chunks_mut(PIECE).zip(factors.par_chunks(PIECE));
    pieces.for_each(|(values, factors)| values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor));
}

impl Kernels for Product {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, others: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        y.copy_from_slice(of.inputs.x());
        multiply(y, of.inputs.value(self.others[0]));
        None
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        let other = self.others[0];
        if of.pass.wanted[other] {
            let mut part = of.fresh(other);
            part.copy_from_slice(&dy);
            multiply(&mut part, of.x());
            of.gradients.add(other, part);
        }
        multiply(&mut dy, of.value(other));
        of.add(dy);
    }
}

/// Mean of the pixels, weighted by the softmax of another value over them.
#[derive(Debug)]
struct PixelMean {
    others: [usize; 1],
}

impl Operation for PixelMean {
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent> {
        agree("weights", Extent { channels: 1, ..input }, others[0])?;
        Ok(Extent { height: 1, width: 1, channels: input.channels })
    }

    fn others(&self) -> &[usize] {
        &self.others
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let scores = of.value(self.others[0]).flatten_from(1)?;
        // candle's fused softmax has no backward pass.
        let shares = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?.exp()?;
        let shares = shares.broadcast_div(&shares.sum_keepdim(1)?)?;
        let (images, channels, height, width) = x.dims4()?;
        let pixels = x.reshape((images, channels, height * width))?;
        let mean = pixels.matmul(&shares.unsqueeze(2)?)?;
        mean.reshape((images, channels, 1, 1))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for PixelMean {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let scores = of.inputs.value(self.others[0]);
        save(pixel_mean::forward(of.inputs.x(), scores, of.inputs.from().channels, y))
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let shares: &Vec<f32> = of.saved();
        let other = self.others[0];
        let (mut dx, mut of_scores) = (of.fresh(of.step.input), of.fresh(other));
        pixel_mean::backward(of.x(), shares, &dy, &mut dx, &mut of_scores);
        of.model.pool.give(dy);
        if of.pass.wanted[other] {
            of.gradients.add(other, of_scores);
        } else {
            of.model.pool.give(of_scores);
        }
        of.add(dx);
    }
}
