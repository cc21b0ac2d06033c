//! Layer norm over the channels of each pixel.

use candle_core::{Result, Tensor};

use super::super::ParameterRole;
use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved, save};
use super::super::program::{Extent, Program};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation, ReadBack};
use crate::engine::kernels::layer_norm::{self as kernel, RowStatistics};
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
        // candle-nn's fused layer norm has no backward pass.
        let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(1)? + self.eps)?.sqrt()?;
        let normal = centred.broadcast_div(&deviation)?;
        let scaled = normal.broadcast_mul(&OnTape::channels(of.parameter(self.gamma))?)?;
        scaled.broadcast_add(&OnTape::channels(of.parameter(self.beta))?)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for LayerNorm {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let model = of.inputs.model;
        let (gamma, beta) = (model.parameter(self.gamma), model.parameter(self.beta));
        save(kernel::forward(of.inputs.x(), gamma, beta, self.eps, y))
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let statistics: &RowStatistics = of.saved();
        let gamma = of.model.parameter(self.gamma);
        let mut dx = of.wanted().then(|| of.fresh(of.step.input));
        let (of_gamma, of_beta) = kernel::backward(of.x(), &dy, gamma, statistics, dx.as_deref_mut());
        of.parameter(self.gamma, |gradient| gradient.copy_from_slice(&of_gamma));
        of.parameter(self.beta, |gradient| gradient.copy_from_slice(&of_beta));
        of.model.pool.give(dy);
        if let Some(dx) = dx {
            of.add(dx);
        }
    }
}
