//! Pooling over N x H x W x C: maximum with argmax, mean, and global pooling. Knows no network.

use rayon::prelude::*;

use super::vector::vectorised;

/// Pooling window over images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolWindow {
    /// Height of the input, px.
    pub height: usize,
    /// Width of the input, px.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Side of the window, px; at most 15.
    pub kernel: usize,
    /// Stride, px.
    pub stride: usize,
    /// Padding on each side, px; at most half the side of the window.
    pub padding: usize,
}

impl PoolWindow {
    /// Height and width of the output, px.
    #[must_use]
    pub fn outputs(&self) -> (usize, usize) {
        let out = |side: usize| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        (out(self.height), out(self.width))
    }

    fn images(&self) -> (usize, usize) {
        let (rows, columns) = self.outputs();
        (self.height * self.width * self.channels, rows * columns * self.channels)
    }

    /// Pixel of the input that tap `tap` of output `at` reads; [`None`] if it lies outside.
    pub(in crate::engine) fn pixel(&self, at: usize, tap: usize) -> Option<usize> {
        let (_, columns) = self.outputs();
        let y =
            (at / columns * self.stride + tap / self.kernel).checked_sub(self.padding).filter(|&y| y < self.height)?;
        let x =
            (at % columns * self.stride + tap % self.kernel).checked_sub(self.padding).filter(|&x| x < self.width)?;
        Some(y * self.width + x)
    }

    /// Outputs whose window contains pixel (y, x), each with its tap, in order.
    fn holders(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns) = self.outputs();
        let Self { kernel, stride, padding, .. } = *self;
        let along = move |at: usize, count: usize| {
            let at = at + padding;
            let first = (at + 1).saturating_sub(kernel).div_ceil(stride);
            (first..=at / stride).take_while(move |&o| o < count).map(move |o| (o, at - o * stride))
        };
        along(y, rows)
            .flat_map(move |(oy, ky)| along(x, columns).map(move |(ox, kx)| (oy * columns + ox, ky * kernel + kx)))
    }

    /// `y` = the maximum of each window, `places` = its tap. As in torch, the first of equal values in reading order wins, padding
    /// never does, NaN always does.
    pub fn max(&self, x: &[f32], y: &mut [f32], places: &mut [u8]) {
        let ((source, target), c) = (self.images(), self.channels);
        let images = y.par_chunks_mut(target).zip(places.par_chunks_mut(target)).zip(x.par_chunks(source));
        images.for_each(|((y, places), x)| {
            for (at, (y, places)) in y.chunks_exact_mut(c).zip(places.chunks_exact_mut(c)).enumerate() {
                y.fill(f32::NEG_INFINITY);
                let mut first = true;
                for tap in 0..self.kernel * self.kernel {
                    let Some(pixel) = self.pixel(at, tap) else { continue };
                    if first {
                        // If all are minus infinity, the first tap inside is taken.
                        places.fill(tap as u8);
                        first = false;
                    }
                    keep_larger(&x[pixel * c..][..c], tap as u8, y, places);
                }
            }
        });
    }

    /// `dx` = the gradient of the input of [`PoolWindow::max`].
    pub fn max_gradient(&self, dy: &[f32], places: &[u8], dx: &mut [f32]) {
        let ((source, target), c) = (self.images(), self.channels);
        let images = dx.par_chunks_mut(source).zip(dy.par_chunks(target)).zip(places.par_chunks(target));
        images.for_each(|((dx, dy), places)| {
            for (pixel, dx) in dx.chunks_exact_mut(c).enumerate() {
                dx.fill(0.0);
                for (at, tap) in self.holders(pixel / self.width, pixel % self.width) {
                    add_where(&dy[at * c..][..c], &places[at * c..][..c], tap as u8, dx);
                }
            }
        });
    }

    /// `y` = the mean of each window; padding counts as zeros.
    pub fn mean(&self, x: &[f32], y: &mut [f32]) {
        let ((source, target), c) = (self.images(), self.channels);
        let count = (self.kernel * self.kernel) as f32;
        y.par_chunks_mut(target).zip(x.par_chunks(source)).for_each(|(y, x)| {
            for (at, y) in y.chunks_exact_mut(c).enumerate() {
                y.fill(0.0);
                for pixel in (0..self.kernel * self.kernel).filter_map(|tap| self.pixel(at, tap)) {
                    y.iter_mut().zip(&x[pixel * c..][..c]).for_each(|(y, x)| *y += x);
                }
                for y in y.iter_mut() {
                    *y /= count;
                }
            }
        });
    }

    /// `dx` = the gradient of the input of [`PoolWindow::mean`].
    pub fn mean_gradient(&self, dy: &[f32], dx: &mut [f32]) {
        let ((source, target), c) = (self.images(), self.channels);
        let count = (self.kernel * self.kernel) as f32;
        dx.par_chunks_mut(source).zip(dy.par_chunks(target)).for_each(|(dx, dy)| {
            for (pixel, dx) in dx.chunks_exact_mut(c).enumerate() {
                dx.fill(0.0);
                for (at, _) in self.holders(pixel / self.width, pixel % self.width) {
                    dx.iter_mut().zip(&dy[at * c..][..c]).for_each(|(dx, dy)| *dx += dy / count);
                }
            }
        });
    }
}

vectorised! {
    fn keep_larger(x: &[f32], tap: u8, y: &mut [f32], places: &mut [u8]) {
        for ((x, y), place) in x.iter().zip(y).zip(places) {
            let larger = *x > *y || x.is_nan();
            *y = if larger { *x } else { *y };
            *place = if larger { tap } else { *place };
        }
    }
}

vectorised! {
    fn add_where(dy: &[f32], places: &[u8], tap: u8, dx: &mut [f32]) {
        for ((dy, place), dx) in dy.iter().zip(places).zip(dx) {
            *dx += if *place == tap { *dy } else { 0.0 };
        }
    }
}

/// `y` (N x C) = the maximum over all pixels, `places` = its pixel. As in torch, the first of equal values wins, NaN always does.
pub fn global_max(x: &[f32], channels: usize, y: &mut [f32], places: &mut [u32]) {
    let source = x.len() / (y.len() / channels);
    y.par_chunks_mut(channels).zip(places.par_chunks_mut(channels)).zip(x.par_chunks(source)).for_each(
        |((y, places), x)| {
            y.copy_from_slice(&x[..channels]);
            places.fill(0);
            for (pixel, x) in (0..).zip(x.chunks_exact(channels)) {
                for ((x, y), place) in x.iter().zip(&mut *y).zip(&mut *places) {
                    if *x > *y || x.is_nan() {
                        (*y, *place) = (*x, pixel);
                    }
                }
            }
        },
    );
}

/// `dx` = the gradient of the input of [`global_max`].
pub fn global_max_gradient(dy: &[f32], places: &[u32], channels: usize, dx: &mut [f32]) {
    let source = dx.len() / (dy.len() / channels);
    let images = dx.par_chunks_mut(source).zip(dy.par_chunks(channels)).zip(places.par_chunks(channels));
    images.for_each(|((dx, dy), places)| {
        dx.fill(0.0);
        for (channel, (dy, place)) in dy.iter().zip(places).enumerate() {
            dx[*place as usize * channels + channel] = *dy;
        }
    });
}

/// `y` (N x C) = the mean over all pixels.
pub fn global_mean(x: &[f32], channels: usize, y: &mut [f32]) {
    let source = x.len() / (y.len() / channels);
    let count = (source / channels) as f32;
    y.par_chunks_mut(channels).zip(x.par_chunks(source)).for_each(|(y, x)| {
        y.fill(0.0);
        for x in x.chunks_exact(channels) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        }
        for y in y.iter_mut() {
            *y /= count;
        }
    });
}

/// `dx` = the gradient of the input of [`global_mean`].
pub fn global_mean_gradient(dy: &[f32], channels: usize, dx: &mut [f32]) {
    let source = dx.len() / (dy.len() / channels);
    let count = (source / channels) as f32;
    dx.par_chunks_mut(source).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
        for dx in dx.chunks_exact_mut(channels) {
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy / count);
        }
    });
}

/// `y` (N x (C P)) = x (N x P x C) with each image transposed: the order of torch's `flatten`.
pub fn flatten(x: &[f32], pixels: usize, channels: usize, y: &mut [f32]) {
    y.par_chunks_mut(pixels * channels).zip(x.par_chunks(pixels * channels)).for_each(|(y, x)| {
        for (channel, y) in y.chunks_exact_mut(pixels).enumerate() {
            for (y, x) in y.iter_mut().zip(x[channel..].iter().step_by(channels)) {
                *y = *x;
            }
        }
    });
}
