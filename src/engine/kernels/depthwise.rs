//! Depthwise convolutions. They know no groups of several channels.
//!
//! A pixel of the result is a sum over taps of a source pixel times a row of the kernel, channel by channel; the source is the input in
//! the forward pass and the gradient of the output in the backward pass. The sums of 32 channels stay in registers over all taps. These
//! are plain loops, which give the same bytes on every target.

use rayon::prelude::*;

use super::gather::add_chunks;
use super::shape::{Begin, Bounds, ConvShape, Epilogue};
use super::shared::BufferPool;
use super::vector::vectorised;

/// Number of independent parts of the gradient of a kernel, for as many threads.
const PIECES: usize = 16;

/// Taps that reach each position along one axis of a result, with the source position that each reads.
type AxisTaps = Vec<Vec<(usize, usize)>>;

/// Whether each channel is its own group, with one output.
pub(super) fn is_depthwise(shape: &ConvShape) -> bool {
    shape.groups == shape.channels && shape.groups == shape.out
}

/// Taps of the outputs along an axis of the input, `side` px long.
fn reads(shape: &ConvShape, side: usize, outputs: usize) -> AxisTaps {
    let place = |at: usize, tap: usize| {
        let place = (at * shape.stride + tap * shape.dilation).checked_sub(shape.padding)?;
        (place < side).then_some((tap, place))
    };
    (0..outputs).map(|at| (0..shape.kernel).filter_map(|tap| place(at, tap)).collect()).collect()
}

/// Taps that read the pixels of an axis, `side` px long.
fn read_by(shape: &ConvShape, side: usize, outputs: usize) -> AxisTaps {
    let place = |at: usize, tap: usize| {
        let from = (at + shape.padding).checked_sub(tap * shape.dilation)?;
        (from.is_multiple_of(shape.stride) && from / shape.stride < outputs).then_some((tap, from / shape.stride))
    };
    (0..side).map(|at| (0..shape.kernel).filter_map(|tap| place(at, tap)).collect()).collect()
}

/// As [`super::conv::Conv::forward`].
pub(super) fn forward(shape: &ConvShape, x: &[f32], kernel: &[f32], after: Epilogue, y: &mut [f32]) {
    let (rows, columns) = shape.outputs();
    let axes = [reads(shape, shape.height, rows), reads(shape, shape.width, columns)];
    let source = SourceImages { pixels: x, height: shape.height, width: shape.width };
    convolve(shape, &axes, &source, kernel, after, Begin::Fresh, y);
}

/// As [`super::conv::Conv::input_gradient`].
pub(super) fn input_gradient(shape: &ConvShape, dy: &[f32], kernel: &[f32], begin: Begin, dx: &mut [f32]) {
    let (rows, columns) = shape.outputs();
    let axes = [read_by(shape, shape.height, rows), read_by(shape, shape.width, columns)];
    let source = SourceImages { pixels: dy, height: rows, width: columns };
    convolve(shape, &axes, &source, kernel, Epilogue::default(), begin, dx);
}

/// Images that a result is summed from.
struct SourceImages<'a> {
    pixels: &'a [f32],
    height: usize,
    width: usize,
}

fn convolve(
    shape: &ConvShape,
    [rows, columns]: &[AxisTaps; 2],
    source: &SourceImages,
    kernel: &[f32],
    after: Epilogue,
    begin: Begin,
    out: &mut [f32],
) {
    let channels = shape.channels;
    let (image, row) = (source.height * source.width * channels, columns.len() * channels);
    out.par_chunks_mut(row).enumerate().for_each(|(index, out)| {
        let job = RowJob {
            image: &source.pixels[index / rows.len() * image..][..image],
            width: source.width,
            kernel,
            side: shape.kernel,
            rows: &rows[index % rows.len()],
            columns,
            channels,
            bias: after.bias,
            extra: after.extra.map(|extra| &extra[index * row..][..row]),
            begin,
            bounds: after.rectify.bounds(),
        };
        convolve_row(&job, out);
    });
}

/// Job that computes one row of a result.
struct RowJob<'a> {
    image: &'a [f32],
    width: usize,
    kernel: &'a [f32],
    side: usize,
    rows: &'a [(usize, usize)],
    columns: &'a AxisTaps,
    channels: usize,
    bias: Option<&'a [f32]>,
    extra: Option<&'a [f32]>,
    begin: Begin,
    bounds: Bounds,
}

vectorised! {
    fn convolve_row(job: &RowJob, out: &mut [f32]) {
        let c = job.channels;
        let mut parts: Vec<(&[f32], &[f32])> = Vec::with_capacity(job.side * job.side);
        for (at, (columns, out)) in job.columns.iter().zip(out.chunks_exact_mut(c)).enumerate() {
            parts.clear();
            for (ky, y) in job.rows {
                for (kx, x) in columns {
                    let (pixel, tap) = (y * job.width + x, ky * job.side + kx);
                    parts.push((&job.image[pixel * c..][..c], &job.kernel[tap * c..][..c]));
                }
            }
            let mut from = 0;
            while from + 32 <= c {
                finish::<32>(job, &parts, at, from, out);
                from += 32;
            }
            while from + 8 <= c {
                finish::<8>(job, &parts, at, from, out);
                from += 8;
            }
            for from in from..c {
                finish::<1>(job, &parts, at, from, out);
            }
        }
    }
}

/// Computes channels `from..from + L` of pixel `at` of a row.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn finish<const L: usize>(job: &RowJob, parts: &[(&[f32], &[f32])], at: usize, from: usize, out: &mut [f32]) {
    let Some(out) = out[from..].first_chunk_mut::<L>() else { return };
    let mut sums = if job.begin == Begin::Add { *out } else { [0.0; L] };
    for (x, weights) in parts {
        if let (Some(x), Some(weights)) = (x[from..].first_chunk::<L>(), weights[from..].first_chunk::<L>()) {
            for ((sum, x), weight) in sums.iter_mut().zip(x).zip(weights) {
                *sum += x * weight;
            }
        }
    }
    for added in [job.bias.map(|bias| &bias[from..]), job.extra.map(|extra| &extra[at * job.channels + from..])] {
        if let Some(added) = added.and_then(|added| added.first_chunk::<L>()) {
            sums.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = job.bounds.hold(sum);
    }
}

/// As [`super::conv::Conv::kernel_gradient`].
pub(super) fn kernel_gradient(shape: &ConvShape, x: &[f32], dy: &[f32], dkernel: &mut [f32], pool: &BufferPool) {
    let (rows, columns) = shape.outputs();
    let (source, target) = (shape.height * shape.width * shape.channels, rows * columns * shape.out);
    let images = x.len() / source;
    let pieces = images.clamp(1, PIECES);
    let mut rest = pool.take((pieces - 1) * dkernel.len());
    let axes = [reads(shape, shape.height, rows), reads(shape, shape.width, columns)];
    let zeros = vec![0.0; shape.channels];
    std::iter::once(&mut *dkernel).chain(rest.chunks_exact_mut(shape.weights())).enumerate().par_bridge().for_each(
        |(piece, sums)| {
            let range = images * piece / pieces..images * (piece + 1) / pieces;
            let (x, dy) = (&x[range.start * source..range.end * source], &dy[range.start * target..range.end * target]);
            sums.fill(0.0);
            sum_products(&Products { shape, axes: &axes, x, dy, zeros: &zeros }, sums);
        },
    );
    add_chunks(dkernel, &rest);
    pool.give(rest);
}

/// Images whose products sum to the gradient of a kernel.
struct Products<'a> {
    shape: &'a ConvShape,
    axes: &'a [AxisTaps; 2],
    x: &'a [f32],
    dy: &'a [f32],
    zeros: &'a [f32],
}

vectorised! {
    fn sum_products(job: &Products, sums: &mut [f32]) {
        match job.shape.kernel {
            3 => sum_taps::<9, 32>(job, sums),
            5 => sum_taps::<25, 16>(job, sums),
            _ => sum_taps::<1, 32>(job, sums),
        }
    }
}

/// Sums products row by row of the outputs, with the sums of `TAPS` taps and `L` channels in registers over a row.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn sum_taps<const TAPS: usize, const L: usize>(job: &Products, sums: &mut [f32]) {
    let ConvShape { height, width, channels: c, kernel, .. } = *job.shape;
    let [rows, columns] = job.axes;
    let mut parts: Vec<[&[f32]; TAPS]> = vec![[job.zeros; TAPS]; columns.len()];
    let images = job.x.chunks_exact(height * width * c).zip(job.dy.chunks_exact(rows.len() * columns.len() * c));
    for (x, dy) in images {
        for (rows, dy) in rows.iter().zip(dy.chunks_exact(columns.len() * c)) {
            for (first, sums) in sums.chunks_exact_mut(TAPS * c).enumerate() {
                let first = first * TAPS;
                for (parts, columns) in parts.iter_mut().zip(columns) {
                    *parts = [job.zeros; TAPS];
                    for (ky, y) in rows {
                        for (kx, at) in columns {
                            let tap = (ky * kernel + kx).wrapping_sub(first);
                            if tap < TAPS {
                                parts[tap] = &x[(y * width + at) * c..][..c];
                            }
                        }
                    }
                }
                let mut from = 0;
                while from + L <= c {
                    sum_strip::<TAPS, L>(&parts, dy, c, from, sums);
                    from += L;
                }
                while from + 8 <= c {
                    sum_strip::<TAPS, 8>(&parts, dy, c, from, sums);
                    from += 8;
                }
                for from in from..c {
                    sum_strip::<TAPS, 1>(&parts, dy, c, from, sums);
                }
            }
        }
    }
}

/// Adds the products of one row of outputs for channels `from..from + L`.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn sum_strip<const TAPS: usize, const L: usize>(
    parts: &[[&[f32]; TAPS]],
    dy: &[f32],
    channels: usize,
    from: usize,
    sums: &mut [f32],
) {
    let mut held = [[0.0; L]; TAPS];
    for (parts, dy) in parts.iter().zip(dy.chunks_exact(channels)) {
        let Some(dy) = dy[from..].first_chunk::<L>() else { return };
        for (held, x) in held.iter_mut().zip(parts) {
            let Some(x) = x[from..].first_chunk::<L>() else { return };
            for ((held, x), dy) in held.iter_mut().zip(x).zip(dy) {
                *held += x * dy;
            }
        }
    }
    for (held, sums) in held.iter().zip(sums.chunks_exact_mut(channels)) {
        sums[from..].iter_mut().zip(held).for_each(|(sum, held)| *sum += held);
    }
}
