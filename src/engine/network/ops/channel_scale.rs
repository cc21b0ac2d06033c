//! Multiplication of each channel by a learned factor.

use candle_core::{Result, Tensor};

use super::super::ParameterRole;
use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Program};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation, ReadBack};
use crate::engine::kernels::{Rectify, layer_norm, norm};
use crate::lang::network;

pub(super) fn channel_scale(
    layer: &network::ChannelScale,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    let shape = vec![compiler.extents[input].channels, 1, 1];
    let factors = compiler.parameter(layer.name.clone(), shape, ParameterRole::LayerScale)?;
    compiler.step(Op::plain(ChannelScale { factors }), input)
}

/// Channels times these parameters.
#[derive(Debug)]
struct ChannelScale {
    factors: usize,
}

impl Operation for ChannelScale {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn parameters(&self, _: &Program) -> Vec<usize> {
        vec![self.factors]
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        x.broadcast_mul(&OnTape::channels(of.parameter(self.factors))?)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for ChannelScale {
    fn reads_back(&self, frozen: &[bool]) -> ReadBack {
        ReadBack { input: !frozen[self.factors], ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let factors = of.inputs.model.parameter(self.factors);
        norm::affine(of.inputs.x(), factors, &vec![0.0; factors.len()], None, Rectify::No, y);
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let factors = of.model.parameter(self.factors);
        if !of.pass.frozen[self.factors] {
            // Sums of x dy by channel, as for values that are normalised already.
            let rows = vec![[0.0, 1.0]; dy.len() / factors.len()];
            let (of_factors, _) = layer_norm::backward(of.x(), &dy, factors, &rows, None);
            of.parameter(self.factors, |gradient| gradient.copy_from_slice(&of_factors));
        }
        let shift = vec![0.0; factors.len()];
        of.replace(dy, |dy, dx| norm::affine(dy, factors, &shift, None, Rectify::No, dx));
    }
}
