//! Products of a matrix whose rows are gathered from images (taps of a window) with a packed matrix. Knows no convolution.

use rayon::prelude::*;

use super::chosen;
use super::micro;
use super::moments::{Moments, add_moments};
use super::shape::{Begin, COLUMNS, ROWS, Rectify, panels};
use super::shared::{BufferPool, SharedBuffer};

/// Location of the rows of a matrix: a row is `taps` parts of `len` floats, each somewhere in an image or outside of it (zeros).
#[derive(Debug)]
pub(super) struct GatheredRows {
    /// Parts per row.
    pub(super) taps: usize,
    /// Floats per part.
    pub(super) len: usize,
    /// Offsets of the parts in an image, tap by tap, each for all rows; [`OUTSIDE`] for zeros.
    pub(super) offsets: Vec<u32>,
    /// Pixel of the result that each row of an image belongs to.
    pub(super) targets: Vec<u32>,
    /// Floats per source image.
    pub(super) source: usize,
    /// Pixels per image of the result.
    pub(super) target: usize,
    /// A part of zeros.
    pub(super) zeros: Vec<f32>,
}

/// Offset of a part outside of the image.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Tiles of rows that are computed with one panel after the other, so that they and the panel stay in the L2 cache.
const TILES: usize = 20;
/// Terms that a tile of the gradient of a kernel sums at once.
const TERMS: usize = 256;
/// Number of independent parts of the gradient of a kernel, for as many threads.
const PIECES: usize = 16;

/// Epilogue of a product, fused into its computation.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    /// Bias, added to every row; padded to a multiple of 32.
    pub(super) bias: Option<&'a [f32]>,
    /// Matrix of the shape of the result that is added.
    pub(super) extra: Option<&'a [f32]>,
    /// Whether the product is added to what the result holds.
    pub(super) start: Begin,
    /// Rectifier.
    pub(super) rectify: Rectify,
}

impl GatheredRows {
    /// Rows per image.
    pub(super) fn rows(&self) -> usize {
        self.targets.len()
    }

    /// Length of a row.
    pub(super) fn depth(&self) -> usize {
        self.taps * self.len
    }

    /// Pointer to part `tap` of row `row` of image `image`.
    fn part(&self, images: &[f32], image: usize, tap: usize, row: usize) -> *const f32 {
        match self.offsets[tap * self.rows() + row] {
            OUTSIDE => self.zeros.as_ptr(),
            offset => images[image * self.source + offset as usize..].as_ptr(),
        }
    }

    /// `out` (pixels x `columns`) = gathered rows times `packed` (panels of depth x 32), then the epilogue. Sums and sums of squares of
    /// the columns go to `moments`, if given.
    #[expect(unsafe_code, reason = "tiles are handed to micro-kernels as pointers")]
    pub(super) fn product(
        &self,
        images: &[f32],
        packed: &[f32],
        columns: usize,
        out: &mut [f32],
        finish: Finish,
        moments: Option<&mut Moments>,
    ) {
        let (path, depth, panels) = (chosen(), self.depth(), panels(columns));
        let n = images.len() / self.source;
        let total = n * self.rows();
        assert_eq!(packed.len(), panels * depth * COLUMNS, "packed for another product");
        assert_eq!(out.len(), n * self.target * columns, "a result of another shape");
        assert!(finish.bias.is_none_or(|bias| bias.len() >= panels * COLUMNS), "a bias is padded");
        assert!(finish.extra.is_none_or(|extra| extra.len() == out.len()), "what is added has the result's shape");
        let tiles = total.div_ceil(ROWS);
        let blocks = tiles.div_ceil(TILES);
        let shared = SharedBuffer::new(out);
        let columns_of = |panel: usize| (columns - panel * COLUMNS).min(COLUMNS);
        let task = |task: usize| {
            let (block, panel) = (task / panels, task % panels);
            let (first, last) = (tiles * block / blocks, tiles * (block + 1) / blocks);
            let mut parts = vec![std::ptr::null(); self.taps * ROWS];
            for tile in first..last {
                let rows = (total - tile * ROWS).min(ROWS);
                let mut job = micro::Gathered {
                    parts: parts.as_ptr(),
                    rows,
                    taps: self.taps,
                    len: self.len,
                    panel: packed[panel * depth * COLUMNS..].as_ptr(),
                    out: [std::ptr::null_mut(); ROWS],
                    extra: [std::ptr::null(); ROWS],
                    bias: finish.bias.map_or(std::ptr::null(), |bias| bias[panel * COLUMNS..].as_ptr()),
                    bounds: finish.rectify.bounds(),
                    columns: columns_of(panel),
                };
                for r in 0..rows {
                    let (image, row) = ((tile * ROWS + r) / self.rows(), (tile * ROWS + r) % self.rows());
                    for tap in 0..self.taps {
                        parts[tap * ROWS + r] = self.part(images, image, tap, row);
                    }
                    let at = (image * self.target + self.targets[row] as usize) * columns + panel * COLUMNS;
                    // SAFETY: each row and panel belongs to one task only.
                    job.out[r] = unsafe { shared.at(at, columns_of(panel)) };
                    job.extra[r] = match (finish.start, finish.extra) {
                        (Begin::Add, _) => job.out[r],
                        (Begin::Fresh, Some(extra)) => extra[at..].as_ptr(),
                        (Begin::Fresh, None) => std::ptr::null(),
                    };
                }
                job.parts = parts.as_ptr();
                // SAFETY: the offsets stay within an image by construction, the lengths were asserted above.
                unsafe { micro::gathered(path, &job) };
            }
            let (top, bottom) = (first * ROWS, (last * ROWS).min(total));
            (top, bottom, block, panel)
        };
        match moments {
            None => (0..blocks * panels).into_par_iter().for_each(|index| _ = task(index)),
            Some(moments) => {
                assert!(self.target == self.rows() && finish.start == Begin::Fresh, "moments are of rows in order");
                let sums = moments.blocks(blocks, panels);
                sums.par_iter_mut().enumerate().for_each(|(index, sums)| {
                    let (top, bottom, _, panel) = task(index);
                    // SAFETY: these rows and columns were written by this task and are touched by no other.
                    let rows = unsafe { shared.at(top * columns + panel * COLUMNS, 0) };
                    add_moments(rows, bottom - top, columns, columns_of(panel), sums);
                });
            }
        }
    }

    /// `out` (depth x `columns`) = transposed gathered rows times `factors` (pixels x `columns`): the gradient of a kernel.
    #[expect(unsafe_code, reason = "tiles are handed to micro-kernels as pointers")]
    pub(super) fn transposed(
        &self,
        images: &[f32],
        factors: &[f32],
        columns: usize,
        out: &mut [f32],
        pool: &BufferPool,
    ) {
        let (path, depth, panels) = (chosen(), self.depth(), panels(columns));
        let n = images.len() / self.source;
        let total = n * self.rows();
        assert_eq!(factors.len(), total * columns, "factors of another shape");
        assert_eq!(out.len(), depth * columns, "a result of another shape");
        let blocks = total.div_ceil(TERMS);
        let chunks = (PIECES / panels).clamp(1, blocks.max(1));
        let mut rest = pool.take((chunks - 1) * depth * columns);
        let (shared, shared_rest) = (SharedBuffer::new(out), SharedBuffer::new(&mut rest));
        (0..chunks * panels).into_par_iter().for_each(|task| {
            let (chunk, panel) = (task / panels, task % panels);
            let width = (columns - panel * COLUMNS).min(COLUMNS);
            let mut parts = vec![std::ptr::null(); TERMS];
            let mut packed = vec![0.0; TERMS * COLUMNS];
            let range = blocks * chunk / chunks..blocks * (chunk + 1) / chunks;
            for block in range.clone() {
                let (first, last) = (block * TERMS, ((block + 1) * TERMS).min(total));
                for (packed, factors) in
                    packed.chunks_exact_mut(COLUMNS).zip(factors[first * columns..].chunks(columns))
                {
                    packed[..width].copy_from_slice(&factors[panel * COLUMNS..][..width]);
                }
                for tap in 0..self.taps {
                    for (term, part) in (first..last).zip(&mut parts) {
                        *part = self.part(images, term / self.rows(), tap, term % self.rows());
                    }
                    // Tiles of about equal height: a short one would leave execution units idle.
                    let tiles = self.len.div_ceil(ROWS);
                    for tile in 0..tiles {
                        let (top, bottom) = (self.len * tile / tiles, self.len * (tile + 1) / tiles);
                        let at = (tap * self.len + top) * columns + panel * COLUMNS;
                        let extent = (bottom - top - 1) * columns + width;
                        // SAFETY: each chunk and panel belongs to one task only.
                        let out = unsafe {
                            if chunk == 0 {
                                shared.at(at, extent)
                            } else {
                                shared_rest.at((chunk - 1) * depth * columns + at, extent)
                            }
                        };
                        let job = micro::Summed {
                            parts: parts.as_ptr(),
                            first: top,
                            rows: bottom - top,
                            count: last - first,
                            panel: packed.as_ptr(),
                            out,
                            stride: columns,
                            start: if block == range.start { Begin::Fresh } else { Begin::Add },
                            columns: width,
                        };
                        // SAFETY: the offsets stay within an image by construction, the lengths were asserted above.
                        unsafe { micro::summed(path, &job) };
                    }
                }
            }
        });
        add_chunks(out, &rest);
        pool.give(rest);
    }
}

/// a += b.
pub fn accumulate(a: &mut [f32], b: &[f32]) {
    a.par_chunks_mut(1 << 14).zip(b.par_chunks(1 << 14)).for_each(|(a, b)| add(a, b));
}

/// out += each of the equally long pieces of `rest`, in order.
pub(super) fn add_chunks(out: &mut [f32], rest: &[f32]) {
    const PIECE: usize = 1 << 14;
    let len = out.len();
    if rest.is_empty() {
        return;
    }
    out.par_chunks_mut(PIECE).enumerate().for_each(|(piece, out)| {
        for chunk in rest.chunks_exact(len) {
            add(out, &chunk[piece * PIECE..][..out.len()]);
        }
    });
}

super::vector::vectorised! {
    /// a += b.
    fn add(a: &mut [f32], b: &[f32]) {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
    }
}
