//! Class token and table of positions of a vision transformer (Dosovitskiy et al. 2021).

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::ParameterRole;
use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Program, wrong};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation};
use crate::lang::network;

pub(super) fn class_token(layer: &network::ClassToken, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let shape = vec![1, 1, compiler.extents[input].channels];
    let token = compiler.parameter(layer.name.clone(), shape, ParameterRole::Table)?;
    compiler.step(Op::plain(ClassToken { token }), input)
}

pub(super) fn position_table(
    layer: &network::PositionTable,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    let Extent { height, width, channels } = compiler.extents[input];
    let pixels = height * width;
    let table = compiler.parameter(layer.name.clone(), vec![1, pixels, channels], ParameterRole::Table)?;
    compiler.step(Op::plain(PositionTable { table, pixels }), input)
}

pub(super) fn first_token(compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    compiler.step(Op::plain(FirstToken), input)
}

/// A learned token, then the pixels.
#[derive(Debug)]
struct ClassToken {
    token: usize,
}

impl Operation for ClassToken {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        let Extent { height, width, channels } = input;
        Ok(Extent { height: 1, width: height * width + 1, channels })
    }

    fn parameters(&self, _: &Program) -> Vec<usize> {
        vec![self.token]
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        let pixels = x.reshape((images, channels, 1, height * width))?;
        let token = of.parameter(self.token).reshape((1, channels, 1, 1))?;
        Tensor::cat(&[token.broadcast_as((images, channels, 1, 1))?.contiguous()?, pixels], 3)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for ClassToken {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let (from, x, token) = (of.inputs.from(), of.inputs.x(), of.inputs.model.parameter(self.token));
        let images = y.par_chunks_exact_mut(from.len() + from.channels).zip(x.par_chunks_exact(from.len()));
        images.for_each(|(y, x)| {
            let (first, rest) = y.split_at_mut(from.channels);
            first.copy_from_slice(token);
            rest.copy_from_slice(x);
        });
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let from = of.from();
        let image = from.len() + from.channels;
        if !of.pass.frozen[self.token] {
            of.parameter(self.token, |gradient| {
                gradient.fill(0.0);
                for dy in dy.chunks_exact(image) {
                    gradient.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
                }
            });
        }
        of.replace(dy, |dy, dx| {
            let images = dx.par_chunks_exact_mut(from.len()).zip(dy.par_chunks_exact(image));
            images.for_each(|(dx, dy)| dx.copy_from_slice(&dy[from.channels..]));
        });
    }
}

/// Pixels plus a vector for each place.
#[derive(Debug)]
struct PositionTable {
    table: usize,
    pixels: usize,
}

/// Entries of a table whose gradient one thread sums.
const PIECE: usize = 4096;

impl Operation for PositionTable {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        if input.height * input.width != self.pixels {
            return Err(wrong(format!(
                "a table of {} positions meets a map of {} x {} pixels",
                self.pixels, input.height, input.width
            ))
            .hint("use images of the size that the table is for"));
        }
        Ok(input)
    }

    fn parameters(&self, _: &Program) -> Vec<usize> {
        vec![self.table]
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let table = of.parameter(self.table).reshape((height * width, channels))?.t()?;
        x.broadcast_add(&table.reshape((1, channels, height, width))?)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for PositionTable {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let table = of.inputs.model.parameter(self.table);
        let images = y.par_chunks_exact_mut(table.len()).zip(of.inputs.x().par_chunks_exact(table.len()));
        images.for_each(|(y, x)| {
            y.iter_mut().zip(x).zip(table).for_each(|((y, x), place)| *y = x + place);
        });
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        if !of.pass.frozen[self.table] {
            of.parameter(self.table, |gradient| {
                let length = gradient.len();
                // Image by image, in the order of the batch.
                gradient.par_chunks_mut(PIECE).enumerate().for_each(|(piece, gradient)| {
                    gradient.fill(0.0);
                    for dy in dy.chunks_exact(length) {
                        let own = &dy[piece * PIECE..][..gradient.len()];
                        gradient.iter_mut().zip(own).for_each(|(sum, dy)| *sum += dy);
                    }
                });
            });
        }
        of.add(dy);
    }
}

/// The first pixel.
#[derive(Debug)]
struct FirstToken;

impl Operation for FirstToken {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(Extent { height: 1, width: 1, channels: input.channels })
    }

    fn graph(&self, _: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        x.narrow(2, 0, 1)?.narrow(3, 0, 1)?.contiguous()
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for FirstToken {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let (from, x) = (of.inputs.from(), of.inputs.x());
        for (y, x) in y.chunks_exact_mut(from.channels).zip(x.chunks_exact(from.len())) {
            y.copy_from_slice(&x[..from.channels]);
        }
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let from = of.from();
        of.replace(dy, |dy, dx| {
            dx.par_chunks_exact_mut(from.len()).zip(dy.par_chunks_exact(from.channels)).for_each(|(dx, dy)| {
                dx.fill(0.0);
                dx[..from.channels].copy_from_slice(dy);
            });
        });
    }
}
