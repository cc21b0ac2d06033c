//! Blocks of pixels as channels, as in Swin's patch merging.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, wrong};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation};
use crate::lang::network;

pub(super) fn space_to_depth(
    layer: &network::SpaceToDepth,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    if layer.side == 0 {
        return Err(wrong("`space-to-depth` has blocks of 0 px"));
    }
    compiler.step(Op::plain(SpaceToDepth { side: layer.side }), input)
}

/// Pixels of each block of `side` x `side` one after another, column by column; zeros beyond the map.
#[derive(Debug)]
struct SpaceToDepth {
    side: usize,
}

impl SpaceToDepth {
    /// Start of the pixel of an image that each part of an output pixel holds; [`None`] beyond the map.
    fn parts(&self, from: Extent, pixel: usize, columns: usize) -> impl Iterator<Item = Option<usize>> {
        let (side, row, column) = (self.side, pixel / columns * self.side, pixel % columns * self.side);
        (0..side * side).map(move |at| {
            let (row, column) = (row + at % side, column + at / side);
            (row < from.height && column < from.width).then(|| (row * from.width + column) * from.channels)
        })
    }
}

impl Operation for SpaceToDepth {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        let Extent { height, width, channels } = input;
        let (height, width) = (height.div_ceil(self.side), width.div_ceil(self.side));
        Ok(Extent { height, width, channels: channels * self.side * self.side })
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let Extent { height, width, .. } = of.from();
        let side = self.side;
        let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
        let (images, channels, ..) = x.dims4()?;
        let padded = x.pad_with_zeros(2, 0, rows * side - height)?.pad_with_zeros(3, 0, columns * side - width)?;
        // N, C, row, row in the block, column, column in the block.
        let blocks = padded.reshape(&[images, channels, rows, side, columns, side][..])?;
        let blocks = blocks.permute(&[0, 5, 3, 1, 2, 4][..])?.contiguous()?;
        blocks.reshape((images, channels * side * side, rows, columns))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for SpaceToDepth {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let (from, to, x) = (of.inputs.from(), of.inputs.to(), of.inputs.x());
        let pixels = to.height * to.width;
        y.par_chunks_exact_mut(to.channels).enumerate().for_each(|(at, y)| {
            let image = &x[at / pixels * from.len()..][..from.len()];
            for (part, y) in self.parts(from, at % pixels, to.width).zip(y.chunks_exact_mut(from.channels)) {
                match part {
                    Some(start) => y.copy_from_slice(&image[start..][..from.channels]),
                    None => y.fill(0.0),
                }
            }
        });
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (from, to) = (of.from(), of.extent(of.step.output));
        of.replace(dy, |dy, dx| {
            dx.par_chunks_exact_mut(from.len()).zip(dy.par_chunks_exact(to.len())).for_each(|(dx, dy)| {
                for (pixel, dy) in dy.chunks_exact(to.channels).enumerate() {
                    for (part, dy) in self.parts(from, pixel, to.width).zip(dy.chunks_exact(from.channels)) {
                        if let Some(start) = part {
                            dx[start..][..from.channels].copy_from_slice(dy);
                        }
                    }
                }
            });
        });
    }
}
