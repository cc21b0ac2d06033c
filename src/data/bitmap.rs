//! Bitmaps: one bit per pixel. Knows no files.

use std::ops::Range;

/// Bitmap of `width` x `height` bits. Each row starts at a word; the most significant bit of a word is its leftmost pixel.
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

/// Words and rows of a bitmap that overlap a rectangle.
struct WordSpan {
    words: Range<usize>,
    /// Bits of the first word, and of the last one, that lie inside the rectangle.
    first: u64,
    last: u64,
    rows: Range<usize>,
}

impl Bitmap {
    /// Bitmap with no pixel set.
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

    /// Overwrites row `y` from column `x` on with packed bits, most significant first. Bits past the end of the row are ignored.
    ///
    /// # Panics
    /// If `x` is not a multiple of 8 or `y` is out of range (bugs in the caller).
    pub fn set_bits(&mut self, x: usize, y: usize, bits: &[u8]) {
        assert!(x.is_multiple_of(8) && y < self.height, "packed bits start at a byte within the bitmap");
        let bytes = bits.len().min(self.width.div_ceil(8).saturating_sub(x / 8));
        let stride = self.width.div_ceil(64);
        let row = &mut self.words[y * stride..][..stride];
        let mut at = x / 8;
        let mut bits = &bits[..bytes];
        if at.is_multiple_of(8) {
            let (words, rest) = bits.as_chunks::<8>();
            for (word, &bytes) in row[at / 8..].iter_mut().zip(words) {
                *word = u64::from_be_bytes(bytes);
            }
            at += 8 * words.len();
            bits = rest;
        }
        for (at, &byte) in (at..).zip(bits) {
            let shift = 56 - at % 8 * 8;
            row[at / 8] = row[at / 8] & !(0xff << shift) | u64::from(byte) << shift;
        }
        if let Some(last) = row.last_mut() {
            *last &= within_last(self.width);
        }
    }

    /// Sets the pixels of row `y` in these columns, which must be within the bitmap.
    pub fn set_columns(&mut self, y: usize, columns: Range<usize>) {
        if columns.is_empty() {
            return;
        }
        let stride = self.width.div_ceil(64);
        let row = &mut self.words[y * stride..][..stride];
        let (from, to) = (columns.start / 64, (columns.end - 1) / 64);
        for (at, word) in row[from..=to].iter_mut().enumerate() {
            let first = if at == 0 { u64::MAX >> (columns.start % 64) } else { u64::MAX };
            let last = if from + at == to { within_last(columns.end) } else { u64::MAX };
            *word |= first & last;
        }
    }

    /// Number of set pixels.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Number of set pixels within `rect`, which may extend beyond the bitmap.
    #[must_use]
    pub fn count_in(&self, rect: Rect) -> u32 {
        let Some(WordSpan { words, first, last, rows }) = self.within(rect) else { return 0 };
        let mut count = 0;
        for y in rows {
            let row = &self.row(y)[words.clone()];
            // Most words are 0, and this loop dominates the cost of labelling a patch.
            if row.iter().fold(0, |any, word| any | word) == 0 {
                continue;
            }
            let end = row.len() - 1;
            for (at, &word) in row.iter().enumerate() {
                let word = if at == 0 { word & first } else { word };
                count += if at == end { word & last } else { word }.count_ones();
            }
        }
        count
    }

    /// Set pixels, row by row from the left.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, usize)> {
        self.pixels_in(Rect { left: 0, top: 0, right: self.width, bottom: self.height })
    }

    /// Set pixels within `rect`, row by row from the left.
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

    /// Words that overlap `rect`, with bits outside it cleared: column of the first bit, row, word.
    fn pieces(&self, rect: Rect) -> impl Iterator<Item = (usize, usize, u64)> {
        self.within(rect).into_iter().flat_map(move |WordSpan { words, first, last, rows }| {
            rows.flat_map(move |y| {
                let (row, end) = (self.row(y), words.end - 1);
                let start = words.start;
                words.clone().map(move |at| {
                    let word = if at == start { row[at] & first } else { row[at] };
                    (at * 64, y, if at == end { word & last } else { word })
                })
            })
        })
    }

    /// Overlap of `rect` and the bitmap; [`None`] if they are disjoint.
    fn within(&self, rect: Rect) -> Option<WordSpan> {
        let (right, bottom) = (rect.right.min(self.width), rect.bottom.min(self.height));
        (rect.left < right && rect.top < bottom).then(|| WordSpan {
            words: rect.left / 64..right.div_ceil(64),
            first: u64::MAX >> (rect.left % 64),
            last: within_last(right),
            rows: rect.top..bottom,
        })
    }

    fn row(&self, y: usize) -> &[u64] {
        let stride = self.width.div_ceil(64);
        &self.words[y * stride..][..stride]
    }
}

/// Bits of the last word that lie left of `right`.
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
    fn columns_are_set_as_single_pixels_would_be() {
        for (left, right) in [(0, 0), (0, 1), (3, 64), (0, 64), (63, 65), (64, 128), (5, 199), (190, 200)] {
            let (mut whole, mut single) = (Bitmap::new(200, 2), Bitmap::new(200, 2));
            whole.set_columns(1, left..right);
            (left..right).for_each(|x| single.set(x, 1));
            assert_eq!(whole, single, "{left}..{right}");
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

    #[test]
    fn packed_bits_lie_where_single_ones_would() {
        let bits: Vec<u8> = (0..27).map(|i| (i as u8).wrapping_mul(37) ^ 0x5a).collect();
        for (x, width) in [(0, 216), (8, 224), (64, 271), (64, 290), (128, 133)] {
            let (mut whole, mut single) = (Bitmap::new(width, 1), Bitmap::new(width, 1));
            whole.set_bits(x, 0, &bits);
            for bit in (0..8 * bits.len()).filter(|bit| bits[bit / 8] << (bit % 8) & 0x80 != 0 && x + bit < width) {
                single.set(x + bit, 0);
            }
            assert_eq!(whole, single, "from {x} of {width}");
        }
    }
}
