//! Run lengths of masks: COCO's compressed texts, and checks of lengths from any source. Knows no JSON and no XML.

use super::mistakes::AnnotationMistakes;
use super::shape::{DrawnShape, RunOrder};
use crate::data::decode;

/// Lengths in COCO's compressed form: each is written in groups of 5 bits, least significant first, as a character from `0` on; bit 6
/// says that another group follows, and the highest bit of the last one is the sign. From the fourth on, a length is stored as
/// its difference to the one two before.
///
/// # Errors
/// A short description of what is wrong with the text.
pub(super) fn decompressed(text: &str) -> Result<Vec<u32>, String> {
    let mut counts: Vec<u32> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut next) = (0_i64, 0, first);
        loop {
            let group = next.checked_sub(48).filter(|group| *group < 64);
            let group =
                group.ok_or_else(|| format!("its RLE has the character `{}`", char::from(next).escape_default()))?;
            if shift > 30 {
                return Err("its RLE has a length that exceeds any picture".to_owned());
            }
            value |= i64::from(group & 0x1f) << shift;
            shift += 5;
            if group & 0x20 == 0 {
                if group & 0x10 != 0 {
                    value -= 1 << shift;
                }
                break;
            }
            next = bytes.next().ok_or("its RLE ends in the middle of a length")?;
        }
        if counts.len() > 2 {
            value += i64::from(counts[counts.len() - 2]);
        }
        let count = u32::try_from(value).map_err(|_| format!("its RLE has the length {value}"))?;
        counts.push(count);
    }
    Ok(counts)
}

/// Run lengths as a shape; adds a mistake if they do not fill the rectangle, or nothing is inside.
pub(super) fn runs(
    order: RunOrder,
    corner: [u32; 2],
    size: [u32; 2],
    counts: Vec<u32>,
    place: &str,
    mistakes: &mut AnnotationMistakes,
) -> Option<DrawnShape> {
    let [width, height] = size.map(|side| side as usize);
    if width == 0 || height == 0 || !decode::is_supported_size(width, height) {
        mistakes.add(place, format!("has an RLE of {width} x {height} px, which no photograph has"));
        return None;
    }
    let area = width as u64 * height as u64;
    let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    if sum != area {
        mistakes.add(place, format!("has an RLE of {sum} pixels, but {width} x {height} is {area}"));
        return None;
    }
    if counts.iter().skip(1).step_by(2).all(|count| *count == 0) {
        mistakes.add(place, "has an RLE without a pixel inside");
        return None;
    }
    Some(DrawnShape::Runs { order, corner, size, counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_lengths_are_those_of_pycocotools() {
        // `pycocotools.mask.encode` of a mask of 4 x 5 px with rows 1 and 2 of columns 1 to 3.
        assert_eq!(decompressed("623000O"), Ok(vec![6, 2, 3, 2, 3, 2, 2]));
        // Of 800 x 600 px with a single pixel at (700, 500).
        assert_eq!(decompressed("ddj<1[Sj1"), Ok(vec![420_500, 1, 59_499]));
    }

    #[test]
    fn damaged_lengths_are_refused() {
        assert!(decompressed("5~").is_err_and(|text| text.contains('~')));
        assert!(decompressed("5 2").is_err());
        assert!(decompressed("o").is_err_and(|text| text.contains("ends in the middle")));
        assert!(decompressed("oooooooooo0").is_err_and(|text| text.contains("exceeds")));
        assert!(decompressed("O").is_err_and(|text| text.contains("length -1")));
    }

    #[test]
    fn lengths_that_do_not_fill_the_picture_are_refused() {
        let text = |counts: &[u32], size| {
            let mut mistakes = AnnotationMistakes::of("a.json");
            let found = runs(RunOrder::Columns, [0, 0], size, counts.to_vec(), "annotations[0]", &mut mistakes);
            assert_eq!(found, None);
            mistakes.error("damaged-annotation").expect("a mistake").to_string()
        };
        assert!(text(&[5, 90], [10, 9]).contains("95 pixels, but 10 x 9 is 90"));
        assert!(text(&[u32::MAX, u32::MAX], [10, 9]).contains("8589934590 pixels"));
        assert!(text(&[90], [10, 9]).contains("without a pixel"));
        assert!(text(&[5, 0, 85], [10, 9]).contains("without a pixel"));
        assert!(text(&[0], [0, 9]).contains("0 x 9"));
        assert!(text(&[1], [1 << 20, 1 << 20]).contains("no photograph"));
    }
}
