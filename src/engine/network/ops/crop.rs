//! The middle half of rows and columns: the patch in a canvas that shows its surroundings.

use candle_core::{Result, Tensor};

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved};
use super::super::program::{Extent, Step, wrong};
use super::super::tape::OnTape;
use super::super::trunk::lower::{Lowering, flag};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::{Kernels, Launches, LayerResult, Op, Operation};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::Begin;

pub(super) fn middle(compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    compiler.step(Op::plain(Middle), input)
}

/// Middle half of rows and columns; both are multiples of 4.
#[derive(Debug)]
struct Middle;

impl Middle {
    /// Ranges of elements of an image that are kept, one for each row of the output.
    fn rows(from: Extent) -> impl Iterator<Item = std::ops::Range<usize>> {
        let Extent { height, width, channels } = from;
        let (top, left) = (height / 4, width / 4);
        (top..top + height / 2).map(move |row| {
            let start = (row * width + left) * channels;
            start..start + width / 2 * channels
        })
    }
}

impl Operation for Middle {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        let Extent { height, width, channels } = input;
        if !height.is_multiple_of(4) || !width.is_multiple_of(4) {
            return Err(wrong(format!("`wide` needs patches with even sides, not {} x {} px", width / 2, height / 2))
                .hint("extract patches of an even `size`"));
        }
        Ok(Extent { height: height / 2, width: width / 2, channels })
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let Extent { height, width, .. } = of.from();
        x.narrow(2, height / 4, height / 2)?.narrow(3, width / 4, width / 2)?.contiguous()
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for Middle {
    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let from = of.inputs.from();
        let images = of.inputs.x().chunks_exact(from.len()).zip(y.chunks_exact_mut(of.inputs.to().len()));
        for (x, y) in images {
            let lines = y.chunks_exact_mut(from.width / 2 * from.channels);
            Self::rows(from).zip(lines).for_each(|(row, line)| line.copy_from_slice(&x[row]));
        }
        None
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (from, to) = (of.from(), of.extent(of.step.output));
        of.replace(dy, |dy, dx| {
            dx.fill(0.0);
            for (dy, dx) in dy.chunks_exact(to.len()).zip(dx.chunks_exact_mut(from.len())) {
                let lines = dy.chunks_exact(to.width * to.channels);
                Self::rows(from).zip(lines).for_each(|(row, line)| dx[row].copy_from_slice(line));
            }
        });
    }
}

impl Launches for Middle {
    fn lower(&self, on: &mut Lowering, _: usize, step: &Step, y: Pointer) {
        let (from, to) = (on.extent(step.input), on.extent(step.output));
        let x = on.value(step.input);
        // Columns of all rows, then rows of all images, as columns of matrices.
        let count = on.of.images * from.height * to.width * from.channels;
        let columns = on.stored_buffer(count);
        let mut take = |from: Pointer, to: Pointer, count: usize, [part, all, before]: [usize; 3]| {
            let n = [count, part, all, before, flag(Begin::Fresh)];
            let numbers = LaunchNumbers { n: &n, ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::TakeColumns, count, [from, to], numbers);
        };
        let line = to.width * to.channels;
        take(x, columns.into(), count, [line, from.width * from.channels, from.width / 4 * from.channels]);
        let output = count / from.height * to.height;
        take(columns.into(), y, output, [to.height * line, from.height * line, from.height / 4 * line]);
    }

    fn lower_back(&self, _: &mut Lowering, _: usize, _: &Step, _: Pointer) {
        // Its input is pixels, whose gradient is never wanted.
    }
}
