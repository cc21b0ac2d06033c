//! Convolutions over N x H x W x C with square kernels, and linear layers as convolutions of single pixels. They know no
//! network and keep no parameters.
//!
//! The layout of kernels is k x k x in/groups x out. There is no im2col: micro-kernels read the rows of the product in place from the
//! images (Dukhan 2019, "The indirect convolution algorithm"). In the forward pass, every output pixel is a row of taps. In the backward
//! pass, the pixels of the input are split by their phase under the stride, and each phase is a convolution of stride 1 over the
//! gradient of the output with the taps that reach it.

use rayon::prelude::*;

use super::direct;
use super::gather::{Finish, GatheredRows, OUTSIDE};
use super::moments::Moments;
use super::shape::{Begin, COLUMNS, ConvShape, Epilogue, panels};
use super::shared::{BufferPool, SharedBuffer};
use super::winograd::{KernelUse, Winograd};

/// Convolution prepared for images of one size.
#[derive(Debug)]
pub struct Conv {
    /// Shape.
    pub shape: ConvShape,
    forward: GatheredRows,
    /// Taps that reach each phase, and where they lie in the gradient of the output.
    backward: Vec<(Vec<usize>, GatheredRows)>,
    /// Whether images are first copied with padding, so that a row of the kernel is one part.
    padded: bool,
    /// Winograd algorithm for the forward and the backward pass, if the shape allows it.
    winograd: [Option<Winograd>; 2],
}

/// Kernel packed for the forward product.
#[derive(Clone, Debug)]
pub struct Packed(Vec<f32>);

impl Conv {
    /// Prepares a convolution.
    #[must_use]
    pub fn new(shape: ConvShape) -> Self {
        // With few channels a tap is too short for the inner loop, so the adjacent taps of a kernel row are merged.
        let merged = shape.groups == 1 && shape.dilation == 1 && shape.kernel > 1 && shape.channels < 16;
        let padded = merged && shape.padding > 0;
        let winograd = [Winograd::new(&shape), Winograd::back(&shape)];
        let (forward, backward) = if shape.groups > 1 {
            (GatheredRows::empty(), Vec::new())
        } else {
            let forward = match &winograd[0] {
                Some(_) => GatheredRows::empty(),
                None if merged => rows_of_kernel(&shape),
                None => taps_of_kernel(&shape),
            };
            (forward, if winograd[1].is_some() { Vec::new() } else { phases(&shape) })
        };
        Self { shape, forward, backward, padded, winograd }
    }

    /// Packs a kernel for [`Conv::forward`].
    #[must_use]
    pub fn pack(&self, kernel: &[f32], pool: &BufferPool) -> Packed {
        if self.shape.groups > 1 {
            return Packed(kernel.to_vec());
        }
        if let [Some(winograd), _] = &self.winograd {
            return Packed(winograd.pack(kernel, KernelUse::Forward, pool));
        }
        let (out, depth) = (self.shape.out, self.forward.depth());
        let mut packed = pool.take(panels(out) * depth * COLUMNS);
        packed.par_chunks_mut(depth * COLUMNS).enumerate().for_each(|(panel, packed)| {
            let width = (out - panel * COLUMNS).min(COLUMNS);
            for (packed, kernel) in packed.chunks_exact_mut(COLUMNS).zip(kernel.chunks_exact(out)) {
                packed[..width].copy_from_slice(&kernel[panel * COLUMNS..][..width]);
                packed[width..].fill(0.0);
            }
        });
        Packed(packed)
    }

    /// `y` = x convolved with the kernel, then `after`. Sums and sums of squares of the channels of y go to `moments`.
    pub fn forward(
        &self,
        x: &[f32],
        kernel: &Packed,
        after: Epilogue,
        y: &mut [f32],
        moments: Option<&mut Moments>,
        pool: &BufferPool,
    ) {
        if self.shape.groups > 1 {
            direct::forward(&self.shape, x, &kernel.0, after, y);
            if let Some(moments) = moments {
                moments.of(y, self.shape.out);
            }
            return;
        }
        let bias = after.bias.map(|bias| {
            let mut padded = bias.to_vec();
            padded.resize(panels(self.shape.out) * COLUMNS, 0.0);
            padded
        });
        let finish = Finish { bias: bias.as_deref(), extra: after.extra, start: Begin::Fresh, rectify: after.rectify };
        if let [Some(winograd), _] = &self.winograd {
            return winograd.product(x, &kernel.0, y, finish, moments, pool);
        }
        self.with_images(x, pool, |images| {
            self.forward.product(images, &kernel.0, self.shape.out, y, finish, moments);
        });
    }

    /// `dx` (+)= the gradient of the input, from that of the output.
    pub fn input_gradient(&self, dy: &[f32], kernel: &[f32], begin: Begin, dx: &mut [f32], pool: &BufferPool) {
        if self.shape.groups > 1 {
            direct::input_gradient(&self.shape, dy, kernel, begin, dx);
            return;
        }
        if let [_, Some(winograd)] = &self.winograd {
            let packed = winograd.pack(kernel, KernelUse::Back, pool);
            winograd.product(dy, &packed, dx, Finish { start: begin, ..Finish::default() }, None, pool);
            return pool.give(packed);
        }
        if begin == Begin::Fresh && self.backward.iter().any(|(taps, _)| taps.is_empty()) {
            dx.par_chunks_mut(1 << 14).for_each(|dx| dx.fill(0.0));
        }
        for (taps, gather) in self.backward.iter().filter(|(taps, _)| !taps.is_empty()) {
            let packed = self.pack_transposed(kernel, taps, pool);
            let finish = Finish { start: begin, ..Finish::default() };
            gather.product(dy, &packed, self.shape.channels, dx, finish, None);
            pool.give(packed);
        }
    }

    /// `dkernel` = the gradient of the kernel, from the input and the gradient of the output.
    pub fn kernel_gradient(&self, x: &[f32], dy: &[f32], dkernel: &mut [f32], pool: &BufferPool) {
        if self.shape.groups > 1 {
            direct::kernel_gradient(&self.shape, x, dy, dkernel, pool);
            return;
        }
        if let [Some(winograd), _] = &self.winograd {
            return winograd.kernel_gradient(x, dy, dkernel, pool);
        }
        self.with_images(x, pool, |images| self.forward.transposed(images, dy, self.shape.out, dkernel, pool));
    }

    /// Calls `work` with the images, padded if the taps need it.
    fn with_images(&self, x: &[f32], pool: &BufferPool, work: impl FnOnce(&[f32])) {
        if !self.padded {
            return work(x);
        }
        let ConvShape { height, width, channels, padding, .. } = self.shape;
        let (image, row) = (height * width * channels, (width + 2 * padding) * channels);
        let n = x.len() / image;
        let mut padded = pool.take(n * self.forward.source);
        padded.par_chunks_mut(self.forward.source).zip(x.par_chunks_exact(image)).for_each(|(padded, x)| {
            for (y, padded) in padded.chunks_exact_mut(row).enumerate() {
                if y < padding || y >= height + padding {
                    padded.fill(0.0);
                    continue;
                }
                let (left, rest) = padded.split_at_mut(padding * channels);
                let (middle, right) = rest.split_at_mut(width * channels);
                left.fill(0.0);
                middle.copy_from_slice(&x[(y - padding) * width * channels..][..width * channels]);
                right.fill(0.0);
            }
        });
        work(&padded);
        pool.give(padded);
    }

    /// Packs the given taps of a kernel with inputs as columns and outputs as depth.
    #[expect(unsafe_code, reason = "panels are filled by several threads, tap by tap")]
    fn pack_transposed(&self, kernel: &[f32], taps: &[usize], pool: &BufferPool) -> Vec<f32> {
        let ConvShape { channels, out, .. } = self.shape;
        let depth = taps.len() * out;
        let mut packed = pool.take(panels(channels) * depth * COLUMNS);
        let shared = SharedBuffer::new(&mut packed);
        (0..panels(channels) * taps.len()).into_par_iter().for_each(|index| {
            let (panel, at) = (index / taps.len(), index % taps.len());
            // SAFETY: each panel and tap belongs to one task only.
            let packed = unsafe { shared.part((panel * depth + at * out) * COLUMNS, out * COLUMNS) };
            let width = (channels - panel * COLUMNS).min(COLUMNS);
            let kernel = &kernel[(taps[at] * channels + panel * COLUMNS) * out..][..width * out];
            if width < COLUMNS {
                packed.fill(0.0);
            }
            // Sixteen outputs at a time, so that the cache lines written stay in the L1 cache.
            for (piece, packed) in packed.chunks_mut(16 * COLUMNS).enumerate() {
                for (column, kernel) in kernel.chunks_exact(out).enumerate() {
                    for (packed, weight) in packed.chunks_exact_mut(COLUMNS).zip(&kernel[piece * 16..]) {
                        packed[column] = *weight;
                    }
                }
            }
        });
        packed
    }
}

impl Packed {
    /// Returns its buffer to the pool.
    pub fn recycle(self, pool: &BufferPool) {
        pool.give(self.0);
    }
}

impl GatheredRows {
    fn empty() -> Self {
        Self { taps: 0, len: 0, offsets: Vec::new(), targets: Vec::new(), source: 1, target: 0, zeros: Vec::new() }
    }
}

/// Gather in which every tap of the kernel is one part with all input channels.
fn taps_of_kernel(shape: &ConvShape) -> GatheredRows {
    let (rows, columns) = shape.outputs();
    let mut offsets = Vec::with_capacity(shape.kernel * shape.kernel * rows * columns);
    for (ky, kx) in pairs(shape.kernel, shape.kernel) {
        for (oy, ox) in pairs(rows, columns) {
            let (y, x) = (
                (oy * shape.stride + ky * shape.dilation).wrapping_sub(shape.padding),
                (ox * shape.stride + kx * shape.dilation).wrapping_sub(shape.padding),
            );
            let inside = y < shape.height && x < shape.width;
            offsets.push(if inside { ((y * shape.width + x) * shape.channels) as u32 } else { OUTSIDE });
        }
    }
    GatheredRows {
        taps: shape.kernel * shape.kernel,
        len: shape.channels,
        offsets,
        targets: (0..(rows * columns) as u32).collect(),
        source: shape.height * shape.width * shape.channels,
        target: rows * columns,
        zeros: vec![0.0; shape.channels],
    }
}

/// Gather in which every row of the kernel is one part, for padded images.
fn rows_of_kernel(shape: &ConvShape) -> GatheredRows {
    let (rows, columns) = shape.outputs();
    let width = shape.width + 2 * shape.padding;
    let mut offsets = Vec::with_capacity(shape.kernel * rows * columns);
    for ky in 0..shape.kernel {
        for (oy, ox) in pairs(rows, columns) {
            offsets.push((((oy * shape.stride + ky) * width + ox * shape.stride) * shape.channels) as u32);
        }
    }
    GatheredRows {
        taps: shape.kernel,
        len: shape.kernel * shape.channels,
        offsets,
        targets: (0..(rows * columns) as u32).collect(),
        source: (shape.height + 2 * shape.padding) * width * shape.channels,
        target: rows * columns,
        zeros: Vec::new(),
    }
}

/// Pixels of the input by their phase under the stride, with the taps that reach each phase.
fn phases(shape: &ConvShape) -> Vec<(Vec<usize>, GatheredRows)> {
    let (rows, columns) = shape.outputs();
    // Taps along one axis that reach a phase: those with (at + padding - their offset) divisible by the stride.
    let reach = |phase: usize| {
        (0..shape.kernel).filter(move |tap| {
            (phase + shape.padding + shape.stride * shape.reach() - tap * shape.dilation).is_multiple_of(shape.stride)
        })
    };
    // Output that a tap comes from, if there is one.
    let from = |at: usize, tap: usize, count: usize| {
        let reached = (at + shape.padding).checked_sub(tap * shape.dilation)? / shape.stride;
        (reached < count).then_some(reached)
    };
    let along = |phase: usize, side: usize| (phase..side).step_by(shape.stride);
    let mut phases = Vec::with_capacity(shape.stride * shape.stride);
    for (py, px) in pairs(shape.stride.min(shape.height), shape.stride.min(shape.width)) {
        let (mut taps, mut offsets) = (Vec::new(), Vec::new());
        for ky in reach(py) {
            for kx in reach(px) {
                taps.push(ky * shape.kernel + kx);
                for y in along(py, shape.height) {
                    for x in along(px, shape.width) {
                        let source = from(y, ky, rows).zip(from(x, kx, columns));
                        offsets.push(source.map_or(OUTSIDE, |(oy, ox)| ((oy * columns + ox) * shape.out) as u32));
                    }
                }
            }
        }
        let targets =
            along(py, shape.height).flat_map(|y| along(px, shape.width).map(move |x| (y * shape.width + x) as u32));
        let gather = GatheredRows {
            taps: taps.len(),
            len: shape.out,
            offsets,
            targets: targets.collect(),
            source: rows * columns * shape.out,
            target: shape.height * shape.width,
            zeros: vec![0.0; shape.out],
        };
        phases.push((taps, gather));
    }
    phases
}

/// All pairs, the second index running fastest.
fn pairs(first: usize, second: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..first).flat_map(move |a| (0..second).map(move |b| (a, b)))
}
