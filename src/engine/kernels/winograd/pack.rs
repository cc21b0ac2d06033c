//! Packing of 3 x 3 kernels as 16 Winograd points, in panels for products. Knows no image.

use rayon::prelude::*;

use super::transforms::{self, POINTS, STRIP};
use super::{BufferPool, COLUMNS, SharedBuffer, Winograd, panels};

/// Pass that a kernel is packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::kernels) enum KernelUse {
    /// Forward, from inputs to outputs.
    Forward,
    /// Backward, from the gradient of the outputs to that of the inputs: taps rotated by 180 degrees, inputs and outputs swapped.
    Back,
}

impl Winograd {
    /// Packs a kernel (3 x 3 x inputs x outputs of the forward convolution) as 16 x panels x depth x 32 points.
    #[expect(unsafe_code, reason = "panels are filled by several threads, strip by strip")]
    pub(in crate::engine::kernels) fn pack(&self, kernel: &[f32], way: KernelUse, pool: &BufferPool) -> Vec<f32> {
        let (depth, columns) = (self.channels, self.out);
        let (panels, strips) = (panels(columns), depth / STRIP);
        assert_eq!(kernel.len(), 9 * depth * columns, "a kernel of another shape");
        let mut packed = pool.take(POINTS * panels * depth * COLUMNS);
        let shared = SharedBuffer::new(&mut packed);
        (0..panels * strips).into_par_iter().for_each(|task| {
            let (panel, first) = (task / strips, task % strips * STRIP);
            for half in 0..COLUMNS / STRIP {
                let from = panel * COLUMNS + half * STRIP;
                let mut block = [0.0; BLOCK];
                if from < columns {
                    cut(kernel, way, [depth, columns], [first, from], &mut block);
                }
                for row in 0..STRIP {
                    let mut points = [[0.0; STRIP]; POINTS];
                    transforms::taps(&block[row * STRIP..], STRIP * STRIP, &mut points);
                    for (point, values) in points.iter().enumerate() {
                        let at = ((point * panels + panel) * depth + first + row) * COLUMNS + half * STRIP;
                        // SAFETY: each panel and strip of depth belongs to one task only.
                        unsafe { shared.part(at, STRIP) }.copy_from_slice(values);
                    }
                }
            }
        });
        packed
    }
}

/// Floats of 9 taps with 16 x 16 weights.
const BLOCK: usize = 9 * STRIP * STRIP;

/// Copies the weights from `first` in depth and `from` in columns, as 9 x 16 x 16.
fn cut(
    kernel: &[f32],
    way: KernelUse,
    [depth, columns]: [usize; 2],
    [first, from]: [usize; 2],
    block: &mut [f32; BLOCK],
) {
    for (tap, block) in block.chunks_exact_mut(STRIP * STRIP).enumerate() {
        match way {
            KernelUse::Forward => {
                let kernel = kernel[(tap * depth + first) * columns..].chunks_exact(columns);
                for (block, kernel) in block.chunks_exact_mut(STRIP).zip(kernel) {
                    block.copy_from_slice(&kernel[from..from + STRIP]);
                }
            }
            KernelUse::Back => {
                let kernel = kernel[((8 - tap) * columns + from) * depth..].chunks_exact(depth).take(STRIP);
                for (column, kernel) in kernel.enumerate() {
                    for (block, weight) in block[column..].iter_mut().step_by(STRIP).zip(&kernel[first..]) {
                        *block = *weight;
                    }
                }
            }
        }
    }
}
