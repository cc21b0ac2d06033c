//! Division of the channels of each pixel by their Euclidean norm. No kernels: candle computes it.

use candle_core::{Result, Tensor};

use super::super::program::Extent;
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Operation};

/// Smallest divisor, that of torch's `normalize`.
const LEAST: f64 = 1e-12;

/// Channels of unit norm.
#[derive(Debug)]
pub(super) struct L2Norm;

impl Operation for L2Norm {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(input)
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        // No sum here, also of gradients, is over the last dimensions only: candle adds those up in the order of the processor's vectors.
        let norm = (x.sqr()?.sum_keepdim(1)? + LEAST * LEAST)?.sqrt()?;
        x.broadcast_div(&norm)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        None
    }
}
