//! Convolutions of 3 x 3 taps with stride 1 by F(2 x 2, 3 x 3) of Lavin and Gray 2016 ("Fast algorithms for convolutional neural
//! networks"): 16 multiplications for four pixels instead of 36. They know no network.
//!
//! Tiles of 4 x 4 pixels are transformed into 16 points; each point of all tiles is a matrix (tiles x channels), whose product with
//! that point of the kernel is that point of the 2 x 2 tiles of the result. Both transforms consist of sums and differences only.

mod gradient;
mod pack;
mod transforms;

use rayon::prelude::*;

use super::gather::{Finish, OUTSIDE};
use super::micro;
use super::moments::{Moments, Sums, add_moments};
use super::shape::{Begin, Bounds, COLUMNS, ConvShape, ROWS, Rectify, panels};
use super::shared::{BufferPool, SharedBuffer};
use super::{chosen, vectorised};
pub(super) use pack::KernelUse;
use transforms::{POINTS, STRIP};

/// Rows of micro-kernels per block, so that its points stay in the L2 cache.
const HEIGHT: usize = 4;
/// Minimum number of blocks, for as many threads.
const BLOCKS: usize = 8;

/// Tiles of images of one size.
#[derive(Debug)]
pub(super) struct Winograd {
    /// Channels of the input.
    channels: usize,
    /// Channels of the result.
    out: usize,
    /// Offsets of the 16 pixels that each tile of an image reads; [`OUTSIDE`] for zeros.
    reads: Vec<[u32; POINTS]>,
    /// Offsets of the four pixels that each tile of an image writes; [`OUTSIDE`] if there is none.
    gives: Vec<[u32; 4]>,
    /// Floats per image of the input.
    source: usize,
    /// Floats per image of the result.
    target: usize,
    /// Pixel of zeros.
    zeros: Vec<f32>,
}

impl Winograd {
    /// Tiles of a convolution of that shape; [`None`] if the algorithm does not apply or would not be faster.
    pub(super) fn new(shape: &ConvShape) -> Option<Self> {
        let ConvShape { height, width, channels, out, padding, .. } = *shape;
        let plain = shape.kernel == 3 && shape.stride == 1 && shape.dilation == 1 && shape.groups == 1;
        let whole = |channels: usize| channels >= COLUMNS && channels.is_multiple_of(STRIP);
        if !plain || padding > 2 || !whole(channels) || !whole(out) {
            return None;
        }
        let (rows, columns) = shape.outputs();
        let (down, across) = (rows.div_ceil(2), columns.div_ceil(2));
        // Tiles at the edges may write fewer than four pixels.
        if 9 * rows * columns < 20 * down * across {
            return None;
        }
        let (mut reads, mut gives) = (Vec::new(), Vec::new());
        for tile in 0..down * across {
            let (y, x) = (tile / across * 2, tile % across * 2);
            reads.push(std::array::from_fn(|point| {
                let (y, x) = ((y + point / 4).wrapping_sub(padding), (x + point % 4).wrapping_sub(padding));
                if y < height && x < width { ((y * width + x) * channels) as u32 } else { OUTSIDE }
            }));
            gives.push(std::array::from_fn(|pixel| {
                let (y, x) = (y + pixel / 2, x + pixel % 2);
                if y < rows && x < columns { ((y * columns + x) * out) as u32 } else { OUTSIDE }
            }));
        }
        let (source, target) = (height * width * channels, rows * columns * out);
        Some(Self { channels, out, reads, gives, source, target, zeros: vec![0.0; channels.max(out)] })
    }

    /// Tiles of the convolution that computes the gradient of the input from that of the output; [`None`] as for [`Winograd::new`].
    pub(super) fn back(shape: &ConvShape) -> Option<Self> {
        let (height, width) = shape.outputs();
        let padding = 2_usize.checked_sub(shape.padding)?;
        Self::new(&ConvShape { height, width, channels: shape.out, out: shape.channels, padding, ..*shape })
    }

    /// Number of tiles of all images.
    fn tiles(&self, x: &[f32]) -> usize {
        x.len() / self.source * self.reads.len()
    }

    /// The 16 pixels that a tile reads.
    fn read<'a>(&'a self, x: &'a [f32], tile: usize) -> [&'a [f32]; POINTS] {
        let image = &x[tile / self.reads.len() * self.source..];
        self.reads[tile % self.reads.len()].map(|at| self.pixel(image, at, self.channels))
    }

    fn pixel<'a>(&'a self, image: &'a [f32], at: u32, channels: usize) -> &'a [f32] {
        if at == OUTSIDE { &self.zeros[..channels] } else { &image[at as usize..][..channels] }
    }

    /// Offsets of the pixels of a tile in the result, each with its index in the tile.
    fn targets(&self, tile: usize) -> impl Iterator<Item = (usize, usize)> {
        let image = tile / self.gives.len() * self.target;
        let places = self.gives[tile % self.gives.len()].into_iter().enumerate();
        places.filter(|(_, at)| *at != OUTSIDE).map(move |(pixel, at)| (pixel, image + at as usize))
    }

    /// `y` = x convolved with the packed kernel, then the epilogue. Sums and sums of squares of the channels of y go to `moments`.
    pub(super) fn product(
        &self,
        x: &[f32],
        packed: &[f32],
        y: &mut [f32],
        finish: Finish,
        moments: Option<&mut Moments>,
        pool: &BufferPool,
    ) {
        let (columns, panels, total) = (self.out, panels(self.out), self.tiles(x));
        assert_eq!(packed.len(), POINTS * panels * self.channels * COLUMNS, "packed for another product");
        assert_eq!(y.len(), x.len() / self.source * self.target, "a result of another shape");
        assert!(finish.bias.is_none_or(|bias| bias.len() >= columns), "a bias for every channel");
        assert!(finish.extra.is_none_or(|extra| extra.len() == y.len()), "what is added has the result's shape");
        let rows = total.div_ceil(ROWS);
        let blocks = rows.div_ceil(HEIGHT).max(BLOCKS.min(rows));
        let range = |block: usize| rows * block / blocks * ROWS..(rows * (block + 1) / blocks * ROWS).min(total);
        let shared = SharedBuffer::new(y);
        // Pixels of a block, tile by tile, four of each.
        let pixels = |first: usize, tiles: usize| {
            let mut points = pool.take(POINTS * tiles * self.channels);
            let reads: Vec<_> = (first..first + tiles).map(|tile| self.read(x, tile)).collect();
            let mut planes = points.chunks_exact_mut(tiles * self.channels);
            transforms::images(&reads, &mut std::array::from_fn(|_| planes.next().unwrap_or_default()));
            let mut products = pool.take(POINTS * tiles * columns);
            multiply(&points, packed, [tiles, self.channels, columns], &mut products);
            let mut pixels = pool.take(4 * tiles * columns);
            transforms::results(&products, columns, &mut pixels);
            pool.give(points);
            pool.give(products);
            pixels
        };
        let place = |target: usize| {
            #[expect(unsafe_code, reason = "pixels are written by several threads, tile by tile")]
            // SAFETY: each pixel of the result belongs to one tile only, and each tile to one task.
            unsafe {
                shared.part(target, columns)
            }
        };
        let Some(moments) = moments else {
            (0..blocks).into_par_iter().for_each(|block| {
                let tiles = range(block);
                let pixels = pixels(tiles.start, tiles.len());
                for (tile, pixels) in tiles.zip(pixels.chunks_exact(4 * columns)) {
                    for (pixel, target) in self.targets(tile) {
                        let extra = finish.extra.map(|extra| &extra[target..][..columns]);
                        let bounds = finish.rectify.bounds();
                        write(
                            &pixels[pixel * columns..][..columns],
                            [finish.bias, extra],
                            finish.start,
                            bounds,
                            place(target),
                        );
                    }
                }
                pool.give(pixels);
            });
            return;
        };
        let plain = finish.bias.is_none() && finish.extra.is_none() && finish.start == Begin::Fresh;
        assert!(plain && finish.rectify == Rectify::No, "moments are of the product itself");
        moments.blocks(blocks, panels).par_chunks_mut(panels).enumerate().for_each(|(block, sums)| {
            let tiles = range(block);
            let mut pixels = pixels(tiles.start, tiles.len());
            // Moves the pixels that exist together.
            let mut held = 0;
            for (at, tile) in tiles.enumerate() {
                for (pixel, target) in self.targets(tile) {
                    let from = (4 * at + pixel) * columns;
                    pixels.copy_within(from..from + columns, held * columns);
                    place(target).copy_from_slice(&pixels[held * columns..][..columns]);
                    held += 1;
                }
            }
            add_rows(&pixels[..held * columns], columns, sums);
            pool.give(pixels);
        });
    }
}

/// Adds the sums over rows of `columns` columns to those of each panel.
fn add_rows(rows: &[f32], columns: usize, sums: &mut [Sums]) {
    for (panel, sums) in sums.iter_mut().enumerate() {
        let from = panel * COLUMNS;
        add_moments(rows[from..].as_ptr(), rows.len() / columns, columns, (columns - from).min(COLUMNS), sums);
    }
}

/// `products` (16 x tiles x columns) = `points` (16 x tiles x depth) times `packed` (16 x panels x depth x 32), point by point.
#[expect(unsafe_code, reason = "tiles are handed to micro-kernels as pointers")]
fn multiply(points: &[f32], packed: &[f32], [tiles, depth, columns]: [usize; 3], products: &mut [f32]) {
    let path = chosen();
    let panels = panels(columns);
    assert_eq!(points.len(), POINTS * tiles * depth, "points of other tiles");
    assert_eq!(packed.len(), POINTS * panels * depth * COLUMNS, "packed for another product");
    assert_eq!(products.len(), POINTS * tiles * columns, "products of another shape");
    let shared = SharedBuffer::new(products);
    for (point, points) in points.chunks_exact(tiles * depth).enumerate() {
        for panel in 0..panels {
            let width = (columns - panel * COLUMNS).min(COLUMNS);
            let packed = &packed[(point * panels + panel) * depth * COLUMNS..][..depth * COLUMNS];
            for top in (0..tiles).step_by(ROWS) {
                let rows = (tiles - top).min(ROWS);
                let mut parts = [std::ptr::null(); ROWS];
                let mut out = [std::ptr::null_mut(); ROWS];
                for row in 0..rows {
                    parts[row] = points[(top + row) * depth..][..depth].as_ptr();
                    let at = (point * tiles + top + row) * columns + panel * COLUMNS;
                    // SAFETY: no other thread uses the products, and rows do not overlap.
                    out[row] = unsafe { shared.at(at, width) };
                }
                let job = micro::Gathered {
                    parts: parts.as_ptr(),
                    rows,
                    taps: 1,
                    len: depth,
                    panel: packed.as_ptr(),
                    out,
                    extra: [std::ptr::null(); ROWS],
                    bias: std::ptr::null(),
                    bounds: Rectify::No.bounds(),
                    columns: width,
                };
                // SAFETY: the slices have the lengths that the job says.
                unsafe { micro::gathered(path, &job) };
            }
        }
    }
}

vectorised! {
    /// Writes a pixel: adds bias and extra, or the content of `y`, and clamps.
    fn write(pixel: &[f32], added: [Option<&[f32]>; 2], start: Begin, bounds: Bounds, y: &mut [f32]) {
        match (added[0], added[1], start) {
            (Some(bias), Some(extra), _) => {
                for (((y, pixel), bias), extra) in y.iter_mut().zip(pixel).zip(bias).zip(extra) {
                    *y = bounds.hold(pixel + bias + extra);
                }
            }
            (Some(added), None, _) | (None, Some(added), _) => {
                for ((y, pixel), added) in y.iter_mut().zip(pixel).zip(added) {
                    *y = bounds.hold(pixel + added);
                }
            }
            (None, None, Begin::Add) => {
                for (y, pixel) in y.iter_mut().zip(pixel) {
                    *y = bounds.hold(pixel + *y);
                }
            }
            (None, None, Begin::Fresh) => {
                for (y, pixel) in y.iter_mut().zip(pixel) {
                    *y = bounds.hold(*pixel);
                }
            }
        }
    }
}
