//! Distance from a point to the nearest pixel of a set. Knows no lesions.

use std::ops::Range;

use super::components::{Connectivity, PixelRun, components};
use crate::data::change::is_light;
use crate::data::decode::Photograph;

/// A set of pixels by row, for distances to it.
#[derive(Clone, Debug)]
pub struct PixelSet {
    runs: Vec<PixelRun>,
    /// Runs of each row.
    rows: Vec<Range<usize>>,
}

impl PixelSet {
    /// The pixels of `runs`, sorted row by row from the left, in an image of `height` rows.
    #[must_use]
    pub fn new(runs: Vec<PixelRun>, height: usize) -> Self {
        let mut rows = vec![0..0; height];
        let mut start = 0;
        for row in runs.chunk_by(|one, other| one.y == other.y) {
            if let Some(range) = rows.get_mut(row[0].y as usize) {
                *range = start..start + row.len();
            }
            start += row.len();
        }
        Self { runs, rows }
    }

    /// The background of a photograph: dark pixels that are connected to its border by edges. The rest is the field of view, whatever
    /// dark pixels it encloses.
    #[must_use]
    pub fn background(photograph: &Photograph) -> Self {
        let mut dark: Vec<PixelRun> = Vec::new();
        for y in 0..photograph.height {
            for (x, pixel) in photograph.row(y).as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = (x as u32, y as u32);
                match dark.last_mut() {
                    _ if is_light(*pixel) => {}
                    Some(last) if last.y == y && last.right == x => last.right += 1,
                    _ => dark.push(PixelRun { y, left: x, right: x + 1 }),
                }
            }
        }
        let (width, height) = (photograph.width as u32, photograph.height as u32);
        let at_border = |run: &PixelRun| run.y == 0 || run.y + 1 == height || run.left == 0 || run.right == width;
        let all = components(&dark, Connectivity::Four).into_iter();
        let mut background: Vec<PixelRun> = all.filter(|part| part.iter().any(at_border)).flatten().collect();
        background.sort_unstable();
        Self::new(background, photograph.height)
    }

    /// Number of pixels.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.right - run.left)).sum()
    }

    /// Number of pixels of a run that are in the set.
    #[must_use]
    pub fn covered(&self, run: &PixelRun) -> u64 {
        let Some(row) = self.rows.get(run.y as usize) else { return 0 };
        let runs = &self.runs[row.clone()];
        let first = runs.partition_point(|own| own.right <= run.left);
        let near = runs[first..].iter().take_while(|own| own.left < run.right);
        near.map(|own| u64::from(own.right.min(run.right) - own.left.max(run.left))).sum()
    }

    /// Distance from a point to the nearest pixel, a square of side 1 whose top left corner is (x, y), px; 0 inside one, [`None`] for
    /// an empty set.
    #[must_use]
    pub fn distance(&self, [x, y]: [f64; 2]) -> Option<f64> {
        let height = self.rows.len();
        let start = (y.max(0.0) as usize).min(height.checked_sub(1)?);
        let mut least = f64::INFINITY;
        for step in 0..height {
            let (up, down) = (start.checked_sub(step), (start + step < height).then_some(start + step));
            // Rows further away in both directions are at least this far from the point.
            if (step as f64 - 1.0).max(0.0).powi(2) > least {
                break;
            }
            for row in up.into_iter().chain(down) {
                let across = outside(y, row as f64, row as f64 + 1.0);
                if let Some(along) = self.along(row, x) {
                    least = least.min(along * along + across * across);
                }
            }
        }
        least.is_finite().then(|| least.sqrt())
    }

    /// Horizontal distance to the nearest pixel of a row.
    fn along(&self, row: usize, x: f64) -> Option<f64> {
        let runs = &self.runs[self.rows[row].clone()];
        let after = runs.partition_point(|run| f64::from(run.left) <= x);
        let near = runs[after.saturating_sub(1)..].iter().take(2);
        near.map(|run| outside(x, f64::from(run.left), f64::from(run.right))).reduce(f64::min)
    }
}

/// Distance from `at` to the interval; 0 inside.
fn outside(at: f64, from: f64, to: f64) -> f64 {
    (from - at).max(at - to).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::bitmap::Bitmap;
    use crate::data::lesions::components::runs;

    proptest! {
        #[test]
        fn the_distance_is_that_to_the_nearest_of_all_pixels(
            width in 1usize..40, height in 1usize..30, seed in any::<u64>(), rare in 1u64..60, x in 0.0..40.0, y in 0.0..30.0,
        ) {
            let mut bits = Bitmap::new(width, height);
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                if ((x * 31 + y * 57 + 1) as u64).wrapping_mul(seed | 1) >> 56 < 256 / rare {
                    bits.set(x, y);
                }
            }
            let squared = |(px, py): (usize, usize)| {
                outside(x, px as f64, px as f64 + 1.0).powi(2) + outside(y, py as f64, py as f64 + 1.0).powi(2)
            };
            let expected = bits.pixels().map(squared).reduce(f64::min).map(f64::sqrt);
            prop_assert_eq!(PixelSet::new(runs(&bits), height).distance([x, y]), expected);
        }
    }

    #[test]
    fn the_pixels_of_a_run_in_a_set_are_counted() {
        let run = |y, left, right| PixelRun { y, left, right };
        let set = PixelSet::new(vec![run(1, 2, 5), run(1, 8, 10), run(3, 0, 4)], 5);
        let covered = [run(1, 0, 20), run(1, 4, 9), run(1, 5, 8), run(0, 0, 20), run(3, 3, 9), run(9, 0, 4)];
        assert_eq!(covered.map(|run| set.covered(&run)), [5, 2, 0, 0, 1, 0]);
        assert_eq!(set.count(), 9);
    }

    #[test]
    fn the_background_is_dark_and_reaches_the_border() {
        let mut photograph = Photograph { width: 40, height: 30, rgb: vec![0; 40 * 30 * 3] };
        let mut light = |x: usize, y: usize| photograph.rgb[(y * 40 + x) * 3..][..3].fill(90);
        for (x, y) in (5..25).flat_map(|y| (5..35).map(move |x| (x, y))) {
            // A dark spot within the field.
            if !((18..22).contains(&x) && (14..16).contains(&y)) {
                light(x, y);
            }
        }
        let background = PixelSet::background(&photograph);
        assert_eq!(background.distance([20.0, 15.0]), Some(10.0), "to the row above the field");
        assert_eq!(background.distance([6.5, 15.0]), Some(1.5));
        assert_eq!(background.distance([2.0, 2.0]), Some(0.0));
    }
}
