//! Products of a matrix whose rows lie scattered in images (taps of a window) with a packed one. Knows no convolution.

use rayon::prelude::*;

use super::chosen;
use super::micro::{self, COLUMNS, ROWS, Start};
use super::moments::{Moments, add_moments};
use super::shared::{Pool, Shared};

/// Where the rows of a matrix lie: a row is `taps` parts of `len` floats, each somewhere in an image or outside of it (zeros).
#[derive(Debug)]
pub(super) struct Gather {
    /// Parts per row.
    pub(super) taps: usize,
    /// Floats per part.
    pub(super) len: usize,
    /// Offsets of the parts in an image, tap by tap, each for all rows; [`OUTSIDE`] for zeros.
    pub(super) offsets: Vec<u32>,
    /// The pixel of the result that each row of an image belongs to.
    pub(super) targets: Vec<u32>,
    /// Floats per source image.
    pub(super) source: usize,
    /// Pixels per image of the result.
    pub(super) target: usize,
    /// A part of zeros.
    pub(super) zeros: Vec<f32>,
}

/// The offset of a part that lies outside of the image.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Tiles of rows that are computed with one panel after the other, so that they and the panel stay in the second cache.
const TILES: usize = 20;
/// Terms that a tile of a kernel's gradient sums at once.
const TERMS: usize = 256;
/// Independent pieces that a kernel's gradient is cut into, for as many threads.
const PIECES: usize = 16;

/// What is done to a product before it is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    /// Added to every row; padded to a multiple of 32.
    pub(super) bias: Option<&'a [f32]>,
    /// Added: another matrix of the result's shape.
    pub(super) extra: Option<&'a [f32]>,
    /// Whether what the result holds is added.
    pub(super) start: Begin,
    /// Whether negative elements become 0.
    pub(super) rectify: Rectify,
}

/// What a product is added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// Nothing: what was there is overwritten.
    #[default]
    Fresh,
    /// What is there already.
    Add,
}

/// Whether a rectifier follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rectify {
    /// None follows.
    #[default]
    No,
    /// max(x, 0).
    Yes,
    /// min(max(x, 0), 6).
    Six,
}

/// What an element is held between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Bounds {
    /// `x`, or the bound that it is beyond. A NaN stays one.
    #[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
    #[inline(always)]
    pub(super) fn hold(self, x: f32) -> f32 {
        let x = if x < self.low { self.low } else { x };
        if x > self.high { self.high } else { x }
    }

    /// `gradient` where `x` lies between the bounds, else 0: what passes a rectifier on the way back.
    #[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
    #[inline(always)]
    pub(super) fn pass(self, x: f32, gradient: f32) -> f32 {
        if x > self.low && x < self.high { gradient } else { 0.0 }
    }
}

impl Rectify {
    /// The bounds that no result is beyond.
    pub(super) fn bounds(self) -> Bounds {
        match self {
            Self::No => Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY },
            Self::Yes => Bounds { low: 0.0, high: f32::INFINITY },
            Self::Six => Bounds { low: 0.0, high: 6.0 },
        }
    }
}

/// Panels of 32 columns that `columns` need.
pub(super) fn panels(columns: usize) -> usize {
    columns.div_ceil(COLUMNS)
}

impl Gather {
    /// Rows per image.
    pub(super) fn rows(&self) -> usize {
        self.targets.len()
    }

    /// Length of a row.
    pub(super) fn depth(&self) -> usize {
        self.taps * self.len
    }

    /// A pointer to part `tap` of row `row` of image `image`.
    fn part(&self, images: &[f32], image: usize, tap: usize, row: usize) -> *const f32 {
        match self.offsets[tap * self.rows() + row] {
            OUTSIDE => self.zeros.as_ptr(),
            offset => images[image * self.source + offset as usize..].as_ptr(),
        }
    }

    /// `out` (pixels x `columns`) = gathered rows times `packed` (panels of depth x 32), finished. Returns the sums of the
    /// columns and of their squares where `moments` is asked for.
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
        let shared = Shared::new(out);
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
                    // SAFETY: each row and panel belongs to one task alone.
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
    pub(super) fn transposed(&self, images: &[f32], factors: &[f32], columns: usize, out: &mut [f32], pool: &Pool) {
        let (path, depth, panels) = (chosen(), self.depth(), panels(columns));
        let n = images.len() / self.source;
        let total = n * self.rows();
        assert_eq!(factors.len(), total * columns, "factors of another shape");
        assert_eq!(out.len(), depth * columns, "a result of another shape");
        let blocks = total.div_ceil(TERMS);
        let chunks = (PIECES / panels).clamp(1, blocks.max(1));
        let mut rest = pool.take((chunks - 1) * depth * columns);
        let (shared, shared_rest) = (Shared::new(out), Shared::new(&mut rest));
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
                    // Tiles of about equal height: a short one leaves the processor waiting.
                    let tiles = self.len.div_ceil(ROWS);
                    for tile in 0..tiles {
                        let (top, bottom) = (self.len * tile / tiles, self.len * (tile + 1) / tiles);
                        let at = (tap * self.len + top) * columns + panel * COLUMNS;
                        let extent = (bottom - top - 1) * columns + width;
                        // SAFETY: each chunk and panel belongs to one task alone.
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
                            start: if block == range.start { Start::Zero } else { Start::Present },
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
