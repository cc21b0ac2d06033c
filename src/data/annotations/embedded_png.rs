//! Masks that labelme keeps in its JSON: a PNG in base64 for the rectangle around a shape. Knows no JSON.

use super::mistakes::AnnotationMistakes;
use super::run_lengths::runs;
use super::shape::{DrawnShape, RunOrder};
use crate::data::bitmap::Rect;
use crate::data::mask::{Mask, MaskContent, Threshold};

/// The pixels that are not 0, with the first one at `corner`.
pub(super) fn pixels(
    text: &str,
    corner: [f64; 2],
    place: &str,
    mistakes: &mut AnnotationMistakes,
) -> Option<DrawnShape> {
    let bytes = decoded(text);
    let read = bytes.ok_or_else(|| "it is not base64".to_owned());
    let mask = match read.and_then(|bytes| Mask::read(&bytes, MaskContent::Lesion(Threshold::From(1)))) {
        Ok(mask) => mask,
        Err(reason) => {
            mistakes.add(place, format!("its mask cannot be read: {reason}"));
            return None;
        }
    };
    if corner.iter().any(|at| *at < 0.0) {
        mistakes.add(place, "its mask begins outside of the photograph");
        return None;
    }
    let bits = mask.bits();
    let (width, height) = (bits.width(), bits.height());
    let (mut counts, mut until) = (Vec::new(), 0);
    for (x, y) in bits.pixels_in(Rect { left: 0, top: 0, right: width, bottom: height }) {
        let at = y * width + x;
        if counts.is_empty() || at > until {
            counts.extend([(at - until) as u32, 0]);
        }
        *counts.last_mut()? += 1;
        until = at + 1;
    }
    counts.push((width * height - until) as u32);
    let [left, top] = corner.map(|at| at.floor() as u32);
    runs(RunOrder::Rows, [left, top], [width as u32, height as u32], counts, place, mistakes)
}

/// Bytes of a text in base64 (RFC 4648, with or without padding); line breaks are ignored.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for letter in text.trim_end_matches(['=', '\n', '\r', ' ']).bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_as_rfc_4648_has_it() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9v\nYmFy", "foobar")] {
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(decoded("Zm9v!"), None);
    }
}
