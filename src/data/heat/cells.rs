//! Grid of cells over a photograph, and the patches that cover each cell.

use std::ops::Range;

use crate::data::bitmap::Rect;
use crate::data::grid::{EdgePolicy, PatchGrid};

/// Cover of a photograph: patches of `size` px every `stride` px, the last of a row or column shifted back until it fits, and cells of
/// `stride` px from the top left corner, the last as large as the remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellGrid {
    /// Side of a patch, px.
    pub size: usize,
    /// Distance between patches, and side of a cell, px.
    pub stride: usize,
    /// The photograph's width, px.
    pub width: usize,
    /// The photograph's height, px.
    pub height: usize,
}

impl CellGrid {
    /// Number of cells per row.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.width.div_ceil(self.stride)
    }

    /// Number of rows of cells.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.height.div_ceil(self.stride)
    }

    /// Top left corners of the patches, row by row; empty if the photograph is smaller than a patch.
    #[must_use]
    pub fn places(&self) -> Vec<(usize, usize)> {
        PatchGrid { size: self.size, stride: self.stride, edge: EdgePolicy::Shift }.places(self.width, self.height)
    }

    /// Pixels of a cell.
    #[must_use]
    pub fn cell(&self, column: usize, row: usize) -> Rect {
        let (x, y) = (self.along(column, self.width), self.along(row, self.height));
        Rect { left: x.start, top: y.start, right: x.end, bottom: y.end }
    }

    /// Mean score for each class and cell (C x H x W) over the patches that cover the cell's centre; NaN if none does. `scores` is N x C,
    /// a row for each of `places`. If the stride divides the patch's side, this equals the mean over the cell's pixels of the means over
    /// the patches covering each pixel.
    ///
    /// # Panics
    /// If the scores are not N x C (a bug in the caller).
    #[must_use]
    pub fn means(&self, places: &[(usize, usize)], scores: &[f64], classes: usize) -> Vec<f32> {
        assert_eq!(scores.len(), places.len() * classes, "a score for each patch and class");
        let cells = self.columns() * self.rows();
        let (mut sums, mut counts) = (vec![0.0_f64; classes * cells], vec![0_u32; cells]);
        for (&(x, y), scores) in places.iter().zip(scores.chunks_exact(classes.max(1))) {
            for row in self.covered(y, self.height) {
                for column in self.covered(x, self.width) {
                    let cell = row * self.columns() + column;
                    counts[cell] += 1;
                    for (class, score) in scores.iter().enumerate() {
                        sums[class * cells + cell] += score;
                    }
                }
            }
        }
        let mean = |(at, sum): (usize, &f64)| match counts[at % cells.max(1)] {
            0 => f32::NAN,
            count => (sum / f64::from(count)) as f32,
        };
        sums.iter().enumerate().map(mean).collect()
    }

    /// Pixel range of a cell along one side.
    fn along(&self, at: usize, length: usize) -> Range<usize> {
        at * self.stride..((at + 1) * self.stride).min(length)
    }

    /// Cells along one side whose centre pixel is covered by the patch starting at `start`.
    fn covered(&self, start: usize, length: usize) -> impl Iterator<Item = usize> {
        let end = (start + self.size).min(length);
        (start / self.stride..end.div_ceil(self.stride)).filter(move |&at| {
            let pixels = self.along(at, length);
            (start..end).contains(&usize::midpoint(pixels.start, pixels.end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cover(size: usize, stride: usize, width: usize, height: usize) -> CellGrid {
        CellGrid { size, stride, width, height }
    }

    #[test]
    fn cells_cover_the_photograph_once() {
        for cover in [cover(8, 4, 20, 12), cover(8, 3, 17, 11), cover(8, 8, 9, 8), cover(8, 5, 31, 8)] {
            let mut seen = vec![0; cover.width * cover.height];
            for (row, column) in (0..cover.rows()).flat_map(|row| (0..cover.columns()).map(move |column| (row, column)))
            {
                let Rect { left, top, right, bottom } = cover.cell(column, row);
                assert!(left < right && top < bottom, "{cover:?}");
                for (x, y) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))) {
                    seen[y * cover.width + x] += 1;
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{cover:?}");
        }
    }

    #[test]
    fn a_cell_is_the_mean_over_the_patches_that_cover_it() {
        let cover = cover(4, 2, 8, 4);
        let places = cover.places();
        assert_eq!(places, [(0, 0), (2, 0), (4, 0)]);
        let means = cover.means(&places, &[0.0, 1.0, 0.5, 0.0, 1.0, 0.0], 2);
        let row = [0.0, 0.25, 0.75, 1.0];
        assert_eq!(means[..8], [row, row].concat()[..]);
        let row = [1.0, 0.5, 0.0, 0.0];
        assert_eq!(means[8..], [row, row].concat()[..]);
    }

    #[test]
    fn where_the_stride_divides_the_side_it_is_the_mean_over_pixels() {
        let cover = cover(6, 3, 18, 12);
        let places = cover.places();
        let scores: Vec<f64> = (0..places.len()).map(|at| (at * at % 7) as f64).collect();
        let means = cover.means(&places, &scores, 1);
        for (at, mean) in means.iter().enumerate() {
            let Rect { left, top, right, bottom } = cover.cell(at % cover.columns(), at / cover.columns());
            let pixel = |x: usize, y: usize| {
                let over = |&&(px, py): &&(usize, usize)| (px..px + 6).contains(&x) && (py..py + 6).contains(&y);
                let covering: Vec<f64> =
                    places.iter().zip(&scores).filter(|(place, _)| over(place)).map(|(_, score)| *score).collect();
                covering.iter().sum::<f64>() / covering.len() as f64
            };
            let pixels: Vec<f64> =
                (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
            let expected = pixels.iter().sum::<f64>() / pixels.len() as f64;
            assert!((f64::from(*mean) - expected).abs() < 1e-6, "cell {at}: {mean}, {expected}");
        }
    }

    #[test]
    fn what_no_patch_covers_is_unknown() {
        let cover = cover(4, 2, 8, 4);
        let means = cover.means(&[(4, 0)], &[0.5], 1);
        assert!(means[0].is_nan() && means[1].is_nan() && means[4].is_nan());
        assert_eq!([means[2], means[3], means[7]], [0.5; 3]);
        assert!(CellGrid { size: 16, ..cover }.places().is_empty(), "a photograph smaller than a patch");
    }

    #[test]
    fn gaps_between_patches_are_unknown_and_edges_are_covered() {
        let wide = cover(2, 4, 12, 4);
        let means = wide.means(&wide.places(), &vec![1.0; wide.places().len()], 1);
        assert!(means.iter().all(|mean| mean.is_nan()), "the middle of a cell lies in the gap: {means:?}");
        let odd = cover(8, 4, 21, 13);
        let means = odd.means(&odd.places(), &vec![1.0; odd.places().len()], 1);
        assert!(means.iter().all(|mean| *mean == 1.0), "{means:?}");
    }
}
