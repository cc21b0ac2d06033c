//! Gradient of a kernel by its 16 Winograd points: for each, the sum over all tiles of the point of the input times that of the
//! gradient. Knows no network.

use rayon::prelude::*;

use super::transforms::{self, POINTS};
use super::{Begin, BufferPool, COLUMNS, ROWS, SharedBuffer, Winograd, chosen, micro, panels};
use crate::engine::kernels::gather::add_chunks;

/// Floats of the points of the tiles whose products are summed at once.
const TERMS: usize = 1 << 17;
/// Tiles transformed by one task.
const PIECE: usize = 24;
/// Maximum number of chunks of tiles that are summed separately, so that threads can go on while others finish a chunk.
const CHUNKS: usize = 16;
/// Maximum number of floats of the sums of all chunks.
const SUMS: usize = 1 << 22;

impl Winograd {
    /// The four pixels of a tile of the gradient of the result.
    fn given<'a>(&'a self, dy: &'a [f32], tile: usize) -> [&'a [f32]; 4] {
        let image = &dy[tile / self.gives.len() * self.target..];
        self.gives[tile % self.gives.len()].map(|at| self.pixel(image, at, self.out))
    }

    /// `dkernel` = the gradient of the kernel, from the input and the gradient of the output.
    #[expect(unsafe_code, reason = "rows of taps are written by several threads")]
    pub(in crate::engine::kernels) fn kernel_gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        dkernel: &mut [f32],
        pool: &BufferPool,
    ) {
        let (depth, columns, total) = (self.channels, self.out, self.tiles(x));
        assert_eq!(dy.len(), x.len() / self.source * self.target, "a gradient of another shape");
        assert_eq!(dkernel.len(), 9 * depth * columns, "a kernel of another shape");
        let (len, terms) = (POINTS * depth * columns, (TERMS / depth.max(columns)).clamp(96, 384));
        let blocks = total.div_ceil(terms);
        let chunks = (SUMS / len).clamp(1, CHUNKS).min(blocks);
        let mut sums = pool.take(chunks * len);
        sums.par_chunks_mut(len).enumerate().for_each(|(chunk, sums)| {
            let mut of_x = pool.take(POINTS * terms * depth);
            let mut of_dy = pool.take(POINTS * panels(columns) * terms * COLUMNS);
            let range = blocks * chunk / chunks..blocks * (chunk + 1) / chunks;
            for block in range.clone() {
                let first = block * terms;
                let tiles = (total - first).min(terms);
                let of_x = &mut of_x[..POINTS * tiles * depth];
                let of_dy = &mut of_dy[..POINTS * panels(columns) * tiles * COLUMNS];
                self.points(x, dy, [first, tiles], of_x, of_dy);
                let start = if block == range.start { Begin::Fresh } else { Begin::Add };
                sum(of_x, of_dy, [tiles, depth, columns], start, sums);
            }
            pool.give(of_x);
            pool.give(of_dy);
        });
        let (all, rest) = sums.split_at_mut(len);
        add_chunks(all, rest);
        let all = &*all;
        let shared = SharedBuffer::new(dkernel);
        (0..depth).into_par_iter().for_each(|row| {
            // SAFETY: each row of inputs belongs to one task only.
            let taps = |tap| unsafe { shared.part((tap * depth + row) * columns, columns) };
            transforms::kernel(all, row, &mut std::array::from_fn(taps));
        });
        pool.give(sums);
    }

    /// Points of `tiles` tiles from `first` on, of the input (16 x tiles x depth) and of the gradient of the output
    /// (16 x panels x tiles x 32).
    #[expect(unsafe_code, reason = "points are written by several threads, tile by tile")]
    fn points(&self, x: &[f32], dy: &[f32], [first, tiles]: [usize; 2], of_x: &mut [f32], of_dy: &mut [f32]) {
        let (depth, planes) = (self.channels, POINTS * panels(self.out));
        let (of_x, of_dy) = (SharedBuffer::new(of_x), SharedBuffer::new(of_dy));
        (0..tiles.div_ceil(PIECE)).into_par_iter().for_each(|piece| {
            let from = piece * PIECE;
            let count = (tiles - from).min(PIECE);
            let range = first + from..first + from + count;
            let reads: Vec<_> = range.clone().map(|tile| self.read(x, tile)).collect();
            // SAFETY: these tiles belong to this task only.
            let plane = |point| unsafe { of_x.part((point * tiles + from) * depth, count * depth) };
            transforms::images(&reads, &mut std::array::from_fn(plane));
            let gives: Vec<_> = range.map(|tile| self.given(dy, tile)).collect();
            // SAFETY: as above.
            let plane = |at| unsafe { of_dy.part((at * tiles + from) * COLUMNS, count * COLUMNS) };
            transforms::gradients(&gives, &mut (0..planes).map(plane).collect::<Vec<_>>());
        });
    }
}

/// `sums` (16 x depth x columns) (+)= `of_x` (16 x tiles x depth), transposed, times `of_dy` (16 x panels x tiles x 32).
#[expect(unsafe_code, reason = "tiles are handed to micro-kernels as pointers")]
fn sum(of_x: &[f32], of_dy: &[f32], [tiles, depth, columns]: [usize; 3], start: Begin, sums: &mut [f32]) {
    let (path, panels) = (chosen(), panels(columns));
    assert_eq!(of_x.len(), POINTS * tiles * depth, "points of other tiles");
    assert_eq!(of_dy.len(), POINTS * panels * tiles * COLUMNS, "points of other tiles");
    let shared = SharedBuffer::new(sums);
    (0..POINTS * panels).into_par_iter().for_each(|task| {
        let (point, panel) = (task / panels, task % panels);
        let width = (columns - panel * COLUMNS).min(COLUMNS);
        let rows = of_x[point * tiles * depth..].chunks_exact(depth).take(tiles);
        let parts: Vec<*const f32> = rows.map(<[f32]>::as_ptr).collect();
        let of_dy = &of_dy[task * tiles * COLUMNS..][..tiles * COLUMNS];
        // Tiles of about equal height: a short one would leave execution units idle.
        let heights = depth.div_ceil(ROWS);
        for height in 0..heights {
            let (top, bottom) = (depth * height / heights, depth * (height + 1) / heights);
            let at = (point * depth + top) * columns + panel * COLUMNS;
            // SAFETY: each point and panel belongs to one task only.
            let out = unsafe { shared.at(at, (bottom - top - 1) * columns + width) };
            let job = micro::Summed {
                parts: parts.as_ptr(),
                first: top,
                rows: bottom - top,
                count: tiles,
                panel: of_dy.as_ptr(),
                out,
                stride: columns,
                start,
                columns: width,
            };
            // SAFETY: the slices have the lengths that the job says.
            unsafe { micro::summed(path, &job) };
        }
    });
}
