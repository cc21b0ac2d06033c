//! Sums over the rows of a matrix by column: 16 rows at a time in f32, then in f64, in fixed blocks. Knows no batch norm.

use rayon::prelude::*;

use super::shape::{COLUMNS, panels};
use super::vector::vectorised;

/// Rows per block.
pub(super) const BLOCK: usize = 512;
/// Rows that are summed in f32.
const GROUP: usize = 16;

/// Row of 32 columns: with its length known, its sums stay in registers.
type RowStrip<'a> = &'a [f32; COLUMNS];

/// Two sums for each of 32 columns.
pub(super) type Sums = [[f64; COLUMNS]; 2];

/// Two sums per column (of x and x², or of g and g·x), in blocks that are added in order.
#[derive(Debug, Default)]
pub struct Moments {
    sums: Vec<Sums>,
}

impl Moments {
    /// Allocates `blocks` x `panels` sums, all 0.
    pub(super) fn blocks(&mut self, blocks: usize, panels: usize) -> &mut [Sums] {
        self.sums.clear();
        self.sums.resize(blocks * panels, [[0.0; COLUMNS]; 2]);
        &mut self.sums
    }

    /// Sums x and x² over all rows of `x`.
    pub fn of(&mut self, x: &[f32], columns: usize) {
        let (blocks, panels) = ((x.len() / columns).div_ceil(BLOCK), panels(columns));
        self.blocks(blocks, panels).par_iter_mut().enumerate().for_each(|(index, sums)| {
            let (block, from) = (index / panels, index % panels * COLUMNS);
            let rows = &x[block * BLOCK * columns..];
            let count = (rows.len() / columns).min(BLOCK);
            add_moments(rows[from..].as_ptr(), count, columns, (columns - from).min(COLUMNS), sums);
        });
    }

    /// Totals of each column.
    #[must_use]
    pub fn totals(&self, columns: usize) -> Vec<[f64; 2]> {
        let mut totals = vec![[0.0; 2]; columns];
        for block in self.sums.chunks_exact(panels(columns)) {
            for (totals, sums) in totals.chunks_mut(COLUMNS).zip(block) {
                for (c, total) in totals.iter_mut().enumerate() {
                    total[0] += sums[0][c];
                    total[1] += sums[1][c];
                }
            }
        }
        totals
    }
}

vectorised! {
    /// Adds the sums of x and x² over `count` rows of `width` columns, `stride` floats apart, that `rows` points to.
    #[expect(unsafe_code, reason = "other columns of the rows belong to other threads")]
    pub(super) fn add_moments(rows: *const f32, count: usize, stride: usize, width: usize, sums: &mut Sums) {
        for first in (0..count).step_by(GROUP) {
            let mut group = [[0.0f32; COLUMNS]; 2];
            for r in first..(first + GROUP).min(count) {
                // SAFETY: the caller has `count` rows of `width` columns there.
                let row = unsafe { std::slice::from_raw_parts(rows.add(r * stride), width) };
                let [s, q] = &mut group;
                if let Ok(row) = RowStrip::try_from(row) {
                    for ((s, q), x) in s.iter_mut().zip(q.iter_mut()).zip(row) {
                        *s += x;
                        *q += x * x;
                    }
                } else {
                    for ((s, q), x) in s.iter_mut().zip(q.iter_mut()).zip(row) {
                        *s += x;
                        *q += x * x;
                    }
                }
            }
            flush(&group, sums);
        }
    }
}

vectorised! {
    /// Adds the sums of g and g·(x - mean) over the rows of `x` and `g`, all of `mean.len()` columns, of which 32 from `from` on.
    pub(super) fn add_products(x: &[f32], g: &[f32], mean: &[f32], from: usize, sums: &mut Sums) {
        let columns = mean.len();
        let to = (from + COLUMNS).min(columns);
        for (x, g) in x.chunks(GROUP * columns).zip(g.chunks(GROUP * columns)) {
            let mut group = [[0.0f32; COLUMNS]; 2];
            for (x, g) in x.chunks_exact(columns).zip(g.chunks_exact(columns)) {
                let [s, q] = &mut group;
                let (x, g, mean) = (&x[from..to], &g[from..to], &mean[from..to]);
                if let (Ok(x), Ok(g), Ok(mean)) = (RowStrip::try_from(x), RowStrip::try_from(g), RowStrip::try_from(mean)) {
                    for ((((s, q), x), g), m) in s.iter_mut().zip(q.iter_mut()).zip(x).zip(g).zip(mean) {
                        *s += g;
                        *q += g * (x - m);
                    }
                } else {
                    for ((((s, q), x), g), m) in s.iter_mut().zip(q.iter_mut()).zip(x).zip(g).zip(mean) {
                        *s += g;
                        *q += g * (x - m);
                    }
                }
            }
            flush(&group, sums);
        }
    }
}

/// Adds f32 sums to f64 sums.
#[inline]
fn flush(group: &[[f32; COLUMNS]; 2], sums: &mut Sums) {
    for (group, sums) in group.iter().zip(sums) {
        for (x, sum) in group.iter().zip(sums) {
            *sum += f64::from(*x);
        }
    }
}
