//! Adaptive average pooling: means of a fixed number of parts, whatever the size of the images. Knows no network.

use std::ops::Range;

use rayon::prelude::*;

/// Partition of images of one size into `side` x `side` parts, as in torch's `AdaptiveAvgPool2d`: part i of n spans
/// floor(i length / n) to ceil((i + 1) length / n), so parts may overlap, and pixels repeat if there are more parts than pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Height of the input, px.
    pub height: usize,
    /// Width of the input, px.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Rows and columns of the output, px.
    pub side: usize,
}

/// Pixels of part `at` of `parts` along an axis of `length`.
pub(in crate::engine) fn part(at: usize, parts: usize, length: usize) -> Range<usize> {
    at * length / parts..((at + 1) * length).div_ceil(parts)
}

impl Parts {
    /// Number of pixels of output `at`, and the pixels.
    fn pixels(self, at: usize) -> (usize, impl Iterator<Item = usize>) {
        let (rows, columns) =
            (part(at / self.side, self.side, self.height), part(at % self.side, self.side, self.width));
        let count = rows.len() * columns.len();
        (count, rows.flat_map(move |y| columns.clone().map(move |x| y * self.width + x)))
    }

    fn images(self) -> (usize, usize) {
        (self.height * self.width * self.channels, self.side * self.side * self.channels)
    }

    /// `y` = the mean of each part.
    pub fn mean(self, x: &[f32], y: &mut [f32]) {
        let ((source, target), c) = (self.images(), self.channels);
        y.par_chunks_mut(target).zip(x.par_chunks(source)).for_each(|(y, x)| {
            for (at, y) in y.chunks_exact_mut(c).enumerate() {
                let (count, pixels) = self.pixels(at);
                y.fill(0.0);
                for pixel in pixels {
                    y.iter_mut().zip(&x[pixel * c..][..c]).for_each(|(y, x)| *y += x);
                }
                for y in y.iter_mut() {
                    *y /= count as f32;
                }
            }
        });
    }

    /// `dx` = the gradient of the input of [`Parts::mean`].
    pub fn mean_gradient(self, dy: &[f32], dx: &mut [f32]) {
        let ((source, target), c) = (self.images(), self.channels);
        dx.par_chunks_mut(source).zip(dy.par_chunks(target)).for_each(|(dx, dy)| {
            dx.fill(0.0);
            for (at, dy) in dy.chunks_exact(c).enumerate() {
                let (count, pixels) = self.pixels(at);
                for pixel in pixels {
                    dx[pixel * c..][..c].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy / count as f32);
                }
            }
        });
    }
}
