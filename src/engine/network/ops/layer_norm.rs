//! Layer norm over the channels of each pixel. No kernels: candle computes it.

use candle_core::{Result, Tensor};

use super::super::ParameterRole;
use super::super::compile::Compiler;
use super::super::program::{Extent, Program};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation};
use crate::lang::network;

pub(super) fn layer_norm(layer: &network::LayerNorm, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let network::LayerNorm { name, eps } = layer;
    let channels = compiler.extents[input].channels;
    let gamma = compiler.parameter(format!("{name}.weight"), vec![channels], ParameterRole::Gamma)?;
    let beta = compiler.parameter(format!("{name}.bias"), vec![channels], ParameterRole::Beta)?;
    compiler.step(Op::plain(LayerNorm { gamma, beta, eps: *eps }), input)
}

/// Layer norm with these parameters.
#[derive(Debug)]
struct LayerNorm {
    gamma: usize,
    beta: usize,
    eps: f64,
}

impl Operation for LayerNorm {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn parameters(&self, _: &Program) -> Vec<usize> {
        vec![self.gamma, self.beta]
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        // candle-nn's fused layer norm has no backward pass. No sum here, also of gradients, is over the last dimensions only: candle adds those
        // up in the order of the processor's vectors.
        let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(1)? + self.eps)?.sqrt()?;
        let normal = centred.broadcast_div(&deviation)?.permute((0, 2, 3, 1))?;
        let y = normal.broadcast_mul(of.parameter(self.gamma))?.broadcast_add(of.parameter(self.beta))?;
        y.permute((0, 3, 1, 2))?.contiguous()
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        None
    }
}
