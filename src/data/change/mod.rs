//! Preprocessing of photographs before patches are extracted: crop, shrink, contrast. Integer arithmetic, or sums in a fixed order:
//! the same bytes on every machine. Knows no files.

mod clahe;
mod fit;
mod local_mean;

use super::bitmap::Rect;
use super::decode::Photograph;
use super::mask::Mask;

pub use clahe::clahe;
pub use fit::{fit, fit_mask};
pub use local_mean::local_mean;

/// A pixel whose mean of red, green and blue exceeds this lies in the camera's field of view.
const DARK: u32 = 10;

/// Bounding box of the field of view: first to last row and column of which at least 1 % is not dark; the whole photograph if there
/// is none.
#[must_use]
pub fn field_of_view(photograph: &Photograph) -> Rect {
    let (mut rows, mut columns) = (vec![0; photograph.height], vec![0; photograph.width]);
    for (y, row) in rows.iter_mut().enumerate() {
        for (pixel, column) in photograph.row(y).as_chunks::<3>().0.iter().zip(&mut columns) {
            let light = u32::from(is_light(*pixel));
            *row += light;
            *column += light;
        }
    }
    let span = |counts: &[u32], across: usize| {
        let seen = |count: &u32| u64::from(*count) * 100 >= across as u64;
        let first = counts.iter().position(seen)?;
        Some((first, counts.iter().rposition(seen)? + 1))
    };
    match (span(&columns, photograph.height), span(&rows, photograph.width)) {
        (Some((left, right)), Some((top, bottom))) => Rect { left, top, right, bottom },
        _ => Rect { left: 0, top: 0, right: photograph.width, bottom: photograph.height },
    }
}

/// Whether the mean of red, green and blue is that of a pixel in the field of view.
pub(super) fn is_light(pixel: [u8; 3]) -> bool {
    pixel.iter().map(|&value| u32::from(value)).sum::<u32>() > 3 * DARK
}

/// Crops to `rect` and divides width and height by `by`: each pixel is the mean of a box, halves rounded up. Rows and columns that
/// do not fill a box are dropped.
#[must_use]
pub fn shrink(photograph: &Photograph, rect: Rect, by: usize) -> Photograph {
    let (width, height) = ((rect.right - rect.left) / by, (rect.bottom - rect.top) / by);
    let mut rgb = Vec::with_capacity(width * height * 3);
    let mut sums = vec![0_u32; width * 3];
    let area = (by * by) as u32;
    for y in 0..height {
        sums.fill(0);
        for row in (0..by).map(|i| photograph.row(rect.top + y * by + i)) {
            let row = &row[rect.left * 3..][..width * by * 3];
            for (sum, pixels) in sums.as_chunks_mut::<3>().0.iter_mut().zip(row.chunks_exact(by * 3)) {
                for pixel in pixels.as_chunks::<3>().0 {
                    (0..3).for_each(|c| sum[c] += u32::from(pixel[c]));
                }
            }
        }
        rgb.extend(sums.iter().map(|sum| ((2 * sum + area) / (2 * area)) as u8));
    }
    Photograph { width, height, rgb }
}

/// The mask after the same crop and division: each pixel holds the number of native lesion pixels in its box.
#[must_use]
pub fn shrink_mask(mask: &Mask, rect: Rect, by: usize) -> Mask {
    let (width, height) = ((rect.right - rect.left) / by, (rect.bottom - rect.top) / by);
    let mut counts = vec![0_u16; width * height];
    let within = Rect { right: rect.left + width * by, bottom: rect.top + height * by, ..rect };
    for (x, y) in mask.bits().pixels_in(within) {
        let at = (y - rect.top) / by * width + (x - rect.left) / by;
        counts[at] = counts[at].saturating_add(mask.native(x, y));
    }
    Mask::counted(width, height, counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bitmap::Bitmap;

    fn whole(photograph: &Photograph) -> Rect {
        Rect { left: 0, top: 0, right: photograph.width, bottom: photograph.height }
    }

    #[test]
    fn boxes_are_averaged_with_halves_up() {
        let grey = [0, 1, 10, 20, 99, 1, 0, 10, 21, 99, 7, 7, 7, 7, 7];
        let rgb = grey.iter().flat_map(|&value| [value, 0, 255]).collect();
        let photograph = Photograph { width: 5, height: 3, rgb };
        let half = shrink(&photograph, whole(&photograph), 2);
        assert_eq!((half.width, half.height), (2, 1), "what fills no box is left out");
        assert_eq!(half.rgb, [1, 0, 255, 15, 0, 255], "0.5 is 1, 15.25 is 15");
    }

    #[test]
    fn masks_keep_the_number_of_released_pixels() {
        let mut bits = Bitmap::new(6, 4);
        for (x, y) in [(0, 0), (1, 0), (1, 1), (4, 2)] {
            bits.set(x, y);
        }
        let rect = Rect { left: 0, top: 0, right: 6, bottom: 4 };
        let half = shrink_mask(&Mask::released(bits), rect, 2);
        assert_eq!([half.native(0, 0), half.native(1, 0), half.native(2, 1)], [3, 0, 1]);
        let quarter = shrink_mask(&half, Rect { right: 2, bottom: 2, ..rect }, 2);
        assert_eq!(quarter.native(0, 0), 3, "counts add up over two changes");
    }

    #[test]
    fn the_field_of_view_passes_over_specks() {
        let mut photograph = Photograph { width: 300, height: 200, rgb: vec![3; 300 * 200 * 3] };
        let mut light = |x: usize, y: usize| photograph.rgb[(y * 300 + x) * 3] = 90;
        (40..260).for_each(|x| (20..150).for_each(|y| light(x, y)));
        light(5, 190);
        assert_eq!(field_of_view(&photograph), Rect { left: 40, top: 20, right: 260, bottom: 150 });
    }
}
