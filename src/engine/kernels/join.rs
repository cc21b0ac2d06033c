//! Concatenation of matrices by columns, and its backward pass. Knows no network.

use rayon::prelude::*;

/// Rows that a thread copies at once.
const ROWS: usize = 256;

/// `y` (rows x `columns`) = the parts side by side; each part has its own number of columns.
pub fn concat(parts: &[(&[f32], usize)], columns: usize, y: &mut [f32]) {
    y.par_chunks_mut(ROWS * columns).enumerate().for_each(|(piece, y)| {
        let mut from = 0;
        for (part, width) in parts {
            let rows = part[piece * ROWS * width..].chunks_exact(*width);
            for (y, row) in y.chunks_exact_mut(columns).zip(rows) {
                y[from..from + width].copy_from_slice(row);
            }
            from += width;
        }
    });
}

/// `part` (rows x `width`) = the columns of `y` (rows x `columns`) from `from` on: the backward pass of [`concat()`].
pub fn columns_of(y: &[f32], columns: usize, from: usize, width: usize, part: &mut [f32]) {
    part.par_chunks_mut(ROWS * width).zip(y.par_chunks(ROWS * columns)).for_each(|(part, y)| {
        for (part, y) in part.chunks_exact_mut(width).zip(y.chunks_exact(columns)) {
            part.copy_from_slice(&y[from..from + width]);
        }
    });
}
