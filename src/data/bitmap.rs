//! One bit a pixel: where a lesion is. Knows no files.

/// A mask of `width` x `height` bits. Rows begin at a word; within a word the most significant bit is the leftmost pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    width: usize,
    height: usize,
    words: Vec<u64>,
}

/// A rectangle of pixels: the first column and row, and one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// One past the last column.
    pub right: usize,
    /// One past the last row.
    pub bottom: usize,
}

impl Bitmap {
    /// A mask with no pixel set.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, words: vec![0; width.div_ceil(64) * height] }
    }

    /// Width, px.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Height, px.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Whether the pixel is set.
    #[must_use]
    pub fn get(&self, x: usize, y: usize) -> bool {
        self.row(y)[x / 64] >> (63 - x % 64) & 1 == 1
    }

    /// Sets a pixel.
    pub fn set(&mut self, x: usize, y: usize) {
        let stride = self.width.div_ceil(64);
        self.words[y * stride + x / 64] |= 1 << (63 - x % 64);
    }

    /// Sets the pixels from column `x` of row `y` on to packed bits, most significant first. Bits past the row are left out.
    ///
    /// # Panics
    /// Where `x` is not a multiple of 8 or the row is outside: defects of the caller.
    pub fn set_bits(&mut self, x: usize, y: usize, bits: &[u8]) {
        assert!(x.is_multiple_of(8) && y < self.height, "packed bits begin at a byte within the mask");
        let bytes = bits.len().min(self.width.div_ceil(8).saturating_sub(x / 8));
        let stride = self.width.div_ceil(64);
        let row = &mut self.words[y * stride..][..stride];
        for (at, &byte) in (x / 8..).zip(&bits[..bytes]) {
            let shift = 56 - at % 8 * 8;
            row[at / 8] = row[at / 8] & !(0xff << shift) | u64::from(byte) << shift;
        }
        if let Some(last) = row.last_mut() {
            *last &= within_last(self.width);
        }
    }

    /// How many pixels are set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many pixels are set within `rect`, of which parts may lie outside the mask.
    #[must_use]
    pub fn count_in(&self, rect: Rect) -> u32 {
        self.pieces(rect).map(|(_, _, word)| word.count_ones()).sum()
    }

    /// The pixels that are set within `rect`, row by row from the left.
    pub fn pixels_in(&self, rect: Rect) -> impl Iterator<Item = (usize, usize)> {
        self.pieces(rect).flat_map(|(x, y, word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let next = (rest != 0).then(|| rest.leading_zeros() as usize)?;
                rest &= !(1 << (63 - next));
                Some((x + next, y))
            })
        })
    }

    /// The words that `rect` touches, bits outside of it cleared: column of the first bit, row, word.
    fn pieces(&self, rect: Rect) -> impl Iterator<Item = (usize, usize, u64)> {
        let (right, bottom) = (rect.right.min(self.width), rect.bottom.min(self.height));
        let words = if rect.left < right { rect.left / 64..right.div_ceil(64) } else { 0..0 };
        (rect.top..bottom).flat_map(move |y| {
            let row = self.row(y);
            words.clone().map(move |at| {
                let mut word = row[at];
                if at == rect.left / 64 {
                    word &= u64::MAX >> (rect.left % 64);
                }
                if at == (right - 1) / 64 {
                    word &= within_last(right);
                }
                (at * 64, y, word)
            })
        })
    }

    fn row(&self, y: usize) -> &[u64] {
        let stride = self.width.div_ceil(64);
        &self.words[y * stride..][..stride]
    }
}

/// The bits of the last word that lie left of `right`.
const fn within_last(right: usize) -> u64 {
    u64::MAX << (63 - (right + 63) % 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counting_in_words_is_counting_pixel_by_pixel(
            width in 1usize..200, height in 1usize..6, seed in any::<u64>(),
            left in 0usize..220, top in 0usize..8, w in 0usize..140, h in 0usize..8,
        ) {
            let mut mask = Bitmap::new(width, height);
            let set = |x: usize, y: usize| (x as u64 * 31 + y as u64 * 17 + 1).wrapping_mul(seed | 1) >> 61 == 0;
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                if set(x, y) { mask.set(x, y); }
            }
            let rect = Rect { left, top, right: left + w, bottom: top + h };
            let expected: Vec<_> = (top..(top + h).min(height))
                .flat_map(|y| (left..(left + w).min(width)).map(move |x| (x, y)))
                .filter(|&(x, y)| set(x, y))
                .collect();
            prop_assert_eq!(mask.count_in(rect) as usize, expected.len());
            prop_assert_eq!(mask.pixels_in(rect).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn packed_bits_past_the_row_are_left_out() {
        let mut mask = Bitmap::new(10, 2);
        mask.set_bits(0, 1, &[0b1000_0001, 0xff, 0xff]);
        assert_eq!(mask.count(), 4, "bits 0, 7, 8 and 9");
        mask.set_bits(8, 1, &[0]);
        assert_eq!(mask.count(), 2, "packed bits replace what stood there");
    }
}
