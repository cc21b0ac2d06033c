//! Photographs resized to a square, and their masks.

use crate::data::bitmap::{Bitmap, Rect};
use crate::data::decode::Photograph;
use crate::data::mask::Mask;
use crate::data::resize::resized;

/// The photograph in the middle of a black square of `side` px, its longest side as long as that (see [`resized`]).
#[must_use]
pub fn fit(photograph: &Photograph, side: usize) -> Photograph {
    let small = resized(photograph, side);
    let [left, top] = margins([small.width, small.height], side);
    let mut rgb = vec![0; side * side * 3];
    for y in 0..small.height {
        rgb[((top + y) * side + left) * 3..][..small.width * 3].copy_from_slice(small.row(y));
    }
    Photograph { width: side, height: side, rgb }
}

/// The mask of a photograph after [`fit`]: a pixel is lesion if one of those that it stands for is.
#[must_use]
pub fn fit_mask(mask: &Mask, side: usize) -> Mask {
    let (width, height) = (mask.bits().width(), mask.bits().height());
    let blank = Photograph { width, height, rgb: Vec::new() };
    let [across, down] = crate::data::resize::size_of(&blank, side);
    let [left, top] = margins([across, down], side);
    let mut bits = Bitmap::new(side, side);
    for y in 0..down {
        let rows = source(y, down, height);
        for x in 0..across {
            let columns = source(x, across, width);
            let rect = Rect { left: columns[0], top: rows[0], right: columns[1], bottom: rows[1] };
            if mask.bits().count_in(rect) > 0 {
                bits.set(left + x, top + y);
            }
        }
    }
    Mask::released(bits)
}

/// Black to the left and on top.
fn margins(size: [usize; 2], side: usize) -> [usize; 2] {
    size.map(|length| (side - length.min(side)) / 2)
}

/// Pixels of a side of `from` px that pixel `at` of `to` stands for: from the first to before the second.
fn source(at: usize, to: usize, from: usize) -> [usize; 2] {
    let start = at * from / to;
    [start, ((at + 1) * from / to).max(start + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_centred_and_every_lesion_is_kept() {
        let photograph = Photograph { width: 300, height: 200, rgb: vec![200; 300 * 200 * 3] };
        let fitted = fit(&photograph, 30);
        assert_eq!((fitted.width, fitted.height), (30, 30));
        let light: Vec<bool> = (0..30).map(|y| fitted.row(y)[45] > 0).collect();
        assert_eq!(light, [vec![false; 5], vec![true; 20], vec![false; 5]].concat());
        for at in [(0, 0), (299, 199), (137, 61)] {
            let mut bits = Bitmap::new(300, 200);
            bits.set(at.0, at.1);
            let fitted = fit_mask(&Mask::released(bits), 30);
            assert_eq!(fitted.bits().pixels().collect::<Vec<_>>(), [(at.0 / 10, 5 + at.1 / 10)]);
        }
        let mut small = Bitmap::new(3, 2);
        small.set(2, 1);
        assert_eq!(fit_mask(&Mask::released(small), 30).bits().count(), 100, "enlarged without holes");
    }
}
