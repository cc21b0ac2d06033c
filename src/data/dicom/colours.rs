//! Colours of a DICOM: luma and chroma, and palettes (PS3.3, C.7.6.3.1.2 and C.7.9).

use super::DicomFault;
use super::attributes::{self as tag, DicomAttributes};
use super::layout::SampleLayout;
use crate::data::colour::Colour;

/// Longest palette, bytes: 65536 values of two.
const LONGEST: usize = 1 << 17;

/// Red, green and blue of luma and chroma in the full range, rounded exactly.
pub(super) fn rgb_of_ybr([luma, blue, red]: Colour) -> Colour {
    let (luma, blue, red) = (i64::from(luma), i64::from(blue) - 128, i64::from(red) - 128);
    let rounded = |numerator: i64, denominator: i64| {
        (2 * numerator + denominator).div_euclid(2 * denominator).clamp(0, 255) as u8
    };
    [
        rounded(1000 * luma + 1402 * red, 1000),
        // 0.114 * 1.772 / 0.587, and 0.299 * 1.402 / 0.587.
        rounded(587_000 * luma - 202_008 * blue - 419_198 * red, 587_000),
        rounded(1000 * luma + 1772 * blue, 1000),
    ]
}

/// A palette in 8 bits.
pub(super) struct DicomPalette {
    /// Value of the first colour.
    first: i32,
    colours: Vec<Colour>,
}

impl DicomPalette {
    /// Reads a palette.
    ///
    /// # Errors
    /// A palette that is missing, damaged, or in segments.
    pub(super) fn read(attributes: &DicomAttributes<'_>, layout: &SampleLayout) -> Result<Self, DicomFault> {
        let descriptor = |channel: u32| -> Option<[u16; 3]> {
            let number = |index| attributes.short(tag::PALETTE + channel, index);
            Some([number(0)?, number(1)?, number(2)?])
        };
        let missing = || {
            if attributes.has(tag::PALETTE_SEGMENTS) {
                DicomFault::unread("its palette is in segments")
            } else {
                DicomFault::unread("it has no palette")
            }
        };
        let red = descriptor(0).ok_or_else(missing)?;
        let [entries, first, bits] = red;
        if descriptor(1) != Some(red) || descriptor(2) != Some(red) || !matches!(bits, 8 | 16) {
            return Err(DicomFault::Damaged("its palette's descriptors are not valid".to_owned()));
        }
        let entries = if entries == 0 { 1 << 16 } else { usize::from(entries) };
        let channel = |channel: u32| {
            let tag = tag::PALETTE_VALUES + channel;
            let element = attributes.element(tag).ok_or_else(missing)?;
            let wide = element.representation == *b"OW" || element.representation == *b"US";
            let value = attributes.value(tag, LONGEST);
            let levels = value.and_then(|value| levels(&value, entries, bits, wide, attributes.syntax.elements.big));
            levels.ok_or_else(|| DicomFault::Damaged("its palette is too short or too long".to_owned()))
        };
        let [red, green, blue] = [channel(0)?, channel(1)?, channel(2)?];
        let colours = (0..entries).map(|at| [red[at], green[at], blue[at]]).collect();
        let first = if layout.signed { i32::from(first.cast_signed()) } else { i32::from(first) };
        Ok(Self { first, colours })
    }

    /// Colour of a stored value: the nearest one if it is outside of the palette.
    pub(super) fn colour(&self, stored: i32) -> Colour {
        self.colours[(stored - self.first).clamp(0, self.colours.len() as i32 - 1) as usize]
    }
}

/// Values of one channel in 8 bits: the high byte of 16 bits.
fn levels(value: &[u8], entries: usize, bits: u16, wide: bool, big: bool) -> Option<Vec<u8>> {
    if value.len() == entries * 2 {
        let word = |pair: &[u8; 2]| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
        let words: Vec<u16> = value.as_chunks::<2>().0.iter().map(word).collect();
        // Some writers store 8 bits in the high byte of two.
        let is_high = bits == 16 || words.iter().any(|word| *word > 255);
        return Some(words.iter().map(|word| if is_high { word >> 8 } else { *word } as u8).collect());
    }
    if bits != 8 || value.len() != entries.next_multiple_of(2) && value.len() != entries {
        return None;
    }
    let mut bytes = value.to_vec();
    if wide && big {
        bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
    }
    bytes.truncate(entries);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_and_chroma_are_rounded_exactly() {
        assert_eq!(rgb_of_ybr([128, 128, 128]), [128; 3]);
        assert_eq!(rgb_of_ybr([0, 255, 255]), [178, 0, 225]);
        // 33 + 1.772 * 125 is 254.5.
        assert_eq!(rgb_of_ybr([33, 253, 128]), [33, 0, 255]);
    }

    #[test]
    fn a_palette_has_one_or_two_bytes_for_each_value() {
        assert_eq!(levels(&[1, 2, 3, 0], 3, 8, false, false), Some(vec![1, 2, 3]));
        assert_eq!(levels(&[2, 1, 0, 3], 3, 8, true, true), Some(vec![1, 2, 3]));
        assert_eq!(levels(&[1, 0, 2, 0], 2, 8, true, false), Some(vec![1, 2]));
        assert_eq!(levels(&[0, 1, 0, 2], 2, 16, true, false), Some(vec![1, 2]));
        assert_eq!(levels(&[1, 0, 2, 0], 2, 16, true, true), Some(vec![1, 2]));
        for (length, bits) in [(2, 16), (3, 8), (9, 8)] {
            assert_eq!(levels(&vec![0; length], 5, bits, true, false), None, "{length}");
        }
    }
}
