//! Masks of several classes: the pixels of one value or colour. Knows no class.

use serde::{Deserialize, Serialize};

use super::Mask;
use super::pixels::{PngPixels, decoded};
use crate::data::bitmap::Bitmap;
use crate::data::byte_source::ByteSource;
use crate::data::colour::Colour;
use crate::data::tiff::{self, Photometric, TiffFile, TiffImage};
use crate::stage::StageError;

/// Value of a class in a mask of several classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskValue {
    /// Grey value or palette index as stored in the file, whatever its bit depth.
    Number(u16),
    /// Red, green and blue, 8 bits each.
    Colour([u8; 3]),
}

impl MaskValue {
    /// The value of a class, from the parameter `mask-values`.
    ///
    /// # Errors
    /// `mask-value`.
    pub fn of_param(class: &str, text: &str) -> Result<Self, StageError> {
        Self::parse(text).ok_or_else(|| {
            StageError::input("mask-value", format!("`{text}` is not a value of a mask"))
                .hint("write a grey value or index from 0 to 65535 (`\"3\"`), or a colour (`\"#ff0000\"`)")
                .field(format!("mask-values.{class}"))
        })
    }

    /// Parses `3` or `#ff0000`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(digits) = text.strip_prefix('#') else { return text.parse().ok().map(Self::Number) };
        if digits.len() != 6 || !digits.is_ascii() {
            return None;
        }
        let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        Some(Self::Colour([channel(0)?, channel(2)?, channel(4)?]))
    }
}

/// A pixel of a mask of several classes.
struct LabelPixel {
    /// Grey value or index; [`None`] for a colour with different channels.
    number: Option<u16>,
    /// Colour on the scale of 8 bits.
    colour: Colour,
}

impl LabelPixel {
    /// A grey pixel of so many bits.
    fn grey(value: u16, bits: u32) -> Self {
        let most = (1_u32 << bits) - 1;
        let shown = (u32::from(value) * 255 / most) as u8;
        Self { number: Some(value), colour: [shown; 3] }
    }

    /// A pixel of three samples of so many bits.
    fn of_samples(samples: [u16; 3], bits: u32) -> Self {
        let most = (1_u32 << bits) - 1;
        let equal = samples[0] == samples[1] && samples[1] == samples[2];
        let colour = samples.map(|sample| (u32::from(sample) * 255 / most) as u8);
        Self { number: equal.then_some(samples[0]), colour }
    }

    /// Whether it has a value.
    ///
    /// # Errors
    /// If a number is looked for among colours.
    fn is(&self, value: MaskValue) -> Result<bool, String> {
        match value {
            MaskValue::Number(number) => match self.number {
                Some(own) => Ok(own == number),
                None => Err(format!(
                    "its pixels have colours, but the value of the class is `{number}`; give the class a colour"
                )),
            },
            MaskValue::Colour(colour) => Ok(self.colour == colour),
        }
    }
}

/// The pixels of one value in a PNG or TIFF. Transparent pixels have no value.
///
/// # Errors
/// A short description of what is wrong with the file.
pub(super) fn read(bytes: &[u8], value: MaskValue) -> Result<Mask, String> {
    if tiff::begins(bytes) { of_tiff(bytes, value) } else { of_png(bytes, value) }
}

/// Refuses a number that a sample of so many bits cannot hold.
fn possible(value: MaskValue, bits: u32) -> Result<(), String> {
    match value {
        MaskValue::Number(number) if u32::from(number) >> bits > 0 => {
            Err(format!("it has {bits} bits per sample, which cannot hold the value `{number}` of the class"))
        }
        _ => Ok(()),
    }
}

fn of_png(bytes: &[u8], value: MaskValue) -> Result<Mask, String> {
    let PngPixels { header, frame, bytes } = decoded(bytes, |_| ::png::Transformations::IDENTITY)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let (samples, bits) = (frame.color_type.samples(), frame.bit_depth as usize);
    possible(value, bits as u32)?;
    let sample = |row: &[u8], at: usize| match bits {
        16 => u16::from_be_bytes([row[2 * at], row[2 * at + 1]]),
        8 => u16::from(row[at]),
        _ => {
            let in_byte = 8 / bits;
            u16::from(row[at / in_byte] >> (8 - bits * (at % in_byte + 1))) & ((1 << bits) - 1)
        }
    };
    let outside = || "some pixels have an index outside the palette".to_owned();
    let mut mask = Bitmap::new(width, height);
    for (y, row) in bytes.chunks_exact(frame.line_size).take(height).enumerate() {
        for x in 0..width {
            let first = x * samples;
            let (pixel, is_clear) = if header.indexed {
                let index = sample(row, first);
                let colour = *header.palette.get(usize::from(index)).ok_or_else(outside)?;
                (LabelPixel { number: Some(index), colour }, header.opacity.get(usize::from(index)) == Some(&0))
            } else {
                let pixel = match samples {
                    1 | 2 => LabelPixel::grey(sample(row, first), bits as u32),
                    _ => LabelPixel::of_samples([0, 1, 2].map(|c| sample(row, first + c)), bits as u32),
                };
                (pixel, matches!(samples, 2 | 4) && sample(row, first + samples - 1) == 0)
            };
            if !is_clear && pixel.is(value)? {
                mask.set(x, y);
            }
        }
    }
    Ok(Mask::released(mask).shown(header.orientation))
}

fn of_tiff(bytes: &[u8], value: MaskValue) -> Result<Mask, String> {
    let file = TiffFile::open(ByteSource::Memory(bytes))?;
    file.one_page()?;
    let image = TiffImage::describe(&file)?;
    let (channels, bits) = (image.channels(), u32::from(image.most).count_ones());
    possible(value, bits)?;
    let mut mask = Bitmap::new(image.width, image.height);
    image.rows(&file, |row, left, y| {
        for x in 0..image.block_width.min(image.width - left) {
            let samples = image.pixel(row, x);
            if image.signed && samples[..image.samples].iter().any(|value| *value > image.most) {
                return Err("it has negative values, whose meaning is unknown".to_owned());
            }
            let pixel = match image.colours {
                Photometric::Palette => {
                    let outside = || "some pixels have an index outside the palette".to_owned();
                    let colour = *image.palette.get(usize::from(samples[0])).ok_or_else(outside)?;
                    LabelPixel { number: Some(samples[0]), colour }
                }
                Photometric::WhiteIsZero => LabelPixel::grey(image.most - samples[0], bits),
                _ if channels == 3 => LabelPixel::of_samples([samples[0], samples[1], samples[2]], bits),
                _ => LabelPixel::grey(samples[0], bits),
            };
            if !(image.alpha && samples[channels] == 0) && pixel.is(value)? {
                mask.set(left + x, y);
            }
        }
        Ok(())
    })?;
    Ok(Mask::released(mask).shown(file.orientation()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::png_image::{PixelFormat, png};

    #[test]
    fn values_and_colours_are_read_as_written() {
        assert_eq!(MaskValue::parse("3"), Some(MaskValue::Number(3)));
        assert_eq!(MaskValue::parse("#ff0a00"), Some(MaskValue::Colour([255, 10, 0])));
        for text in ["", "-1", "70000", "#ff00", "red", "#gg0000"] {
            assert_eq!(MaskValue::parse(text), None, "{text}");
        }
    }

    #[test]
    fn pixels_of_a_value_are_found_in_grey_and_colour() {
        let found = |bytes: &[u8], value: &str| {
            let mask = read(bytes, MaskValue::parse(value).expect("a value")).expect("a mask");
            mask.bits().pixels().collect::<Vec<_>>()
        };
        let grey = png(&[0, 1, 2, 1], 2, 2, PixelFormat::Grey);
        assert_eq!(found(&grey, "1"), [(1, 0), (1, 1)]);
        assert_eq!(found(&grey, "2"), [(0, 1)]);
        assert_eq!(found(&grey, "#020202"), [(0, 1)]);
        assert!(found(&grey, "3").is_empty());
        let colour = png(&[255, 0, 0, 0, 255, 0, 7, 7, 7, 255, 0, 0], 2, 2, PixelFormat::Rgb);
        assert_eq!(found(&colour, "#ff0000"), [(0, 0), (1, 1)]);
        let equal = png(&[1, 1, 1, 0, 0, 0, 7, 7, 7, 1, 1, 1], 2, 2, PixelFormat::Rgb);
        assert_eq!(found(&equal, "7"), [(0, 1)], "grey as equal channels");
        assert!(read(&colour, MaskValue::Number(7)).is_err(), "an index among colours");
        assert!(read(&grey, MaskValue::Number(300)).is_err(), "more than 8 bits");
        let deep: Vec<u8> = [0_u16, 300, 300, 1].iter().flat_map(|value| value.to_ne_bytes()).collect();
        assert_eq!(found(&png(&deep, 2, 2, PixelFormat::Grey16), "300"), [(1, 0), (0, 1)]);
        assert!(read(b"\xff\xd8\xff", MaskValue::Number(1)).is_err(), "JPEG blurs values");
    }
}
