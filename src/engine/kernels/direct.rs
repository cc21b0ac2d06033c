//! Grouped convolutions by plain loops: correct, not fast, except for depthwise ones, which have kernels of their own. They know no
//! packed panels.

use rayon::prelude::*;

use super::depthwise;
use super::shape::{Begin, ConvShape, Epilogue};
use super::shared::BufferPool;

/// Pixels of the input that output (oy, ox) reads, each with its tap.
fn taps(shape: &ConvShape, oy: usize, ox: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..shape.kernel * shape.kernel).filter_map(move |tap| Some((tap, pixel(shape, oy, ox, tap)?)))
}

/// Pixel of the input that tap `tap` of output (oy, ox) reads; [`None`] if it lies outside.
fn pixel(shape: &ConvShape, oy: usize, ox: usize, tap: usize) -> Option<usize> {
    let ConvShape { height, width, kernel, stride, padding, dilation, .. } = *shape;
    let y = (oy * stride + tap / kernel * dilation).checked_sub(padding).filter(|&y| y < height)?;
    let x = (ox * stride + tap % kernel * dilation).checked_sub(padding).filter(|&x| x < width)?;
    Some(y * width + x)
}

/// Floats per image of the input and of the output.
fn images(shape: &ConvShape) -> (usize, usize) {
    let (rows, columns) = shape.outputs();
    (shape.height * shape.width * shape.channels, rows * columns * shape.out)
}

/// As [`super::conv::Conv::forward`].
pub(super) fn forward(shape: &ConvShape, x: &[f32], kernel: &[f32], after: Epilogue, y: &mut [f32]) {
    if depthwise::is_depthwise(shape) {
        return depthwise::forward(shape, x, kernel, after, y);
    }
    let (source, target) = images(shape);
    let (_, columns) = shape.outputs();
    let (inputs, outputs) = (shape.channels / shape.groups, shape.out / shape.groups);
    let bounds = after.rectify.bounds();
    y.par_chunks_mut(target).zip(x.par_chunks(source)).enumerate().for_each(|(image, (y, x))| {
        for (at, y) in y.chunks_exact_mut(shape.out).enumerate() {
            y.fill(0.0);
            for (tap, pixel) in taps(shape, at / columns, at % columns) {
                let x = &x[pixel * shape.channels..][..shape.channels];
                for (group, y) in y.chunks_exact_mut(outputs).enumerate() {
                    for (i, x) in x[group * inputs..][..inputs].iter().enumerate() {
                        let kernel = &kernel[(tap * inputs + i) * shape.out + group * outputs..][..outputs];
                        y.iter_mut().zip(kernel).for_each(|(y, w)| *y += x * w);
                    }
                }
            }
            if let Some(bias) = after.bias {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
            if let Some(extra) = after.extra {
                let extra = &extra[image * target + at * shape.out..];
                y.iter_mut().zip(extra).for_each(|(y, extra)| *y += extra);
            }
            for y in y {
                *y = bounds.hold(*y);
            }
        }
    });
}

/// As [`super::conv::Conv::input_gradient`].
pub(super) fn input_gradient(shape: &ConvShape, dy: &[f32], kernel: &[f32], begin: Begin, dx: &mut [f32]) {
    if depthwise::is_depthwise(shape) {
        return depthwise::input_gradient(shape, dy, kernel, begin, dx);
    }
    let (source, target) = images(shape);
    let (_, columns) = shape.outputs();
    let (inputs, outputs) = (shape.channels / shape.groups, shape.out / shape.groups);
    dx.par_chunks_mut(source).zip(dy.par_chunks(target)).for_each(|(dx, dy)| {
        if begin == Begin::Fresh {
            dx.fill(0.0);
        }
        for (at, dy) in dy.chunks_exact(shape.out).enumerate() {
            for (tap, pixel) in taps(shape, at / columns, at % columns) {
                let dx = &mut dx[pixel * shape.channels..][..shape.channels];
                for (group, dy) in dy.chunks_exact(outputs).enumerate() {
                    for (i, dx) in dx[group * inputs..][..inputs].iter_mut().enumerate() {
                        let kernel = &kernel[(tap * inputs + i) * shape.out + group * outputs..][..outputs];
                        *dx += dy.iter().zip(kernel).map(|(dy, w)| dy * w).sum::<f32>();
                    }
                }
            }
        }
    });
}

/// As [`super::conv::Conv::kernel_gradient`]; each tap is summed by one task over all images in order.
pub(super) fn kernel_gradient(shape: &ConvShape, x: &[f32], dy: &[f32], dkernel: &mut [f32], pool: &BufferPool) {
    if depthwise::is_depthwise(shape) {
        return depthwise::kernel_gradient(shape, x, dy, dkernel, pool);
    }
    let (source, target) = images(shape);
    let (_, columns) = shape.outputs();
    let (inputs, outputs) = (shape.channels / shape.groups, shape.out / shape.groups);
    dkernel.par_chunks_mut(inputs * shape.out).enumerate().for_each(|(wanted, dkernel)| {
        dkernel.fill(0.0);
        for (x, dy) in x.chunks_exact(source).zip(dy.chunks_exact(target)) {
            for (at, dy) in dy.chunks_exact(shape.out).enumerate() {
                let Some(pixel) = pixel(shape, at / columns, at % columns, wanted) else { continue };
                let x = &x[pixel * shape.channels..][..shape.channels];
                for (group, dy) in dy.chunks_exact(outputs).enumerate() {
                    for (i, x) in x[group * inputs..][..inputs].iter().enumerate() {
                        let dkernel = &mut dkernel[i * shape.out + group * outputs..][..outputs];
                        dkernel.iter_mut().zip(dy).for_each(|(dw, dy)| *dw += x * dy);
                    }
                }
            }
        }
    });
}
