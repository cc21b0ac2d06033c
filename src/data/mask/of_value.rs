//! Masks of several classes: the pixels of one value or colour. Knows no class.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Mask;
use super::pixels::{PngPixels, decoded};
use crate::data::bitmap::Bitmap;
use crate::data::byte_source::ByteSource;
use crate::data::colour::Colour;
use crate::data::orientation::Orientation;
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

    /// Checks the values of classes: each belongs to one. `is_threshold_idle` says that the pipeline sets a threshold of lesion pixels, but
    /// that no class has masks without such a value.
    ///
    /// # Errors
    /// `mask-value`.
    pub fn check(values: &[(&str, Self)], is_threshold_idle: bool) -> Result<(), StageError> {
        for (at, (class, value)) in values.iter().enumerate() {
            if let Some((other, _)) = values[..at].iter().find(|(_, other)| other == value) {
                return Err(StageError::input("mask-value", format!("`{other}` and `{class}` have the same value"))
                    .hint("give each class the value that its pixels have in the mask")
                    .field(format!("mask-values.{class}")));
            }
        }
        if is_threshold_idle && !values.is_empty() {
            let text = "`mask-from` is a threshold, and these masks have a value for each class";
            return Err(StageError::input("mask-value", text).hint("remove `mask-from`").field("mask-from"));
        }
        Ok(())
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    fn is(self, value: MaskValue) -> Result<bool, String> {
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

impl fmt::Display for LabelPixel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.colour;
        match self.number {
            Some(number) => write!(f, "{number}"),
            None => write!(f, "#{red:02x}{green:02x}{blue:02x}"),
        }
    }
}

/// Different values of a mask that are counted; a picture that has more is not a mask.
const MOST_VALUES: usize = 256;

/// The pixels of one value in a PNG or TIFF. Transparent pixels have no value.
///
/// # Errors
/// A short description of what is wrong with the file.
pub(super) fn read(bytes: &[u8], value: MaskValue) -> Result<Mask, String> {
    let mut mask = None;
    let ([width, height], orientation) = each_pixel(bytes, Some(value), |[width, height], x, y, pixel| {
        if pixel.is(value)? {
            mask.get_or_insert_with(|| Bitmap::new(width, height)).set(x, y);
        }
        Ok(())
    })?;
    Ok(Mask::released(mask.unwrap_or_else(|| Bitmap::new(width, height))).shown(orientation))
}

/// Values of a mask of several classes that are neither black nor one of `classes`, each with its number of pixels, the most frequent
/// first; at most [`MOST_VALUES`] of them. A value is written as in a pipeline: `3` or `#ff0000`.
///
/// # Errors
/// A short description of what is wrong with the file.
pub(super) fn other_values(bytes: &[u8], classes: &[MaskValue]) -> Result<Vec<(String, u64)>, String> {
    let mut counts: Vec<(LabelPixel, u64)> = Vec::new();
    let mut last = 0;
    each_pixel(bytes, None, |_, _, _, pixel| {
        // Most pixels equal the one before.
        if counts.get(last).is_none_or(|(known, _)| *known != pixel) {
            last = counts.iter().position(|(known, _)| *known == pixel).unwrap_or_else(|| {
                if counts.len() < MOST_VALUES {
                    counts.push((pixel, 0));
                }
                counts.len() - 1
            });
        }
        if let Some((known, count)) = counts.get_mut(last) {
            *count += u64::from(*known == pixel);
        }
        Ok(())
    })?;
    let is_known = |pixel: &LabelPixel| {
        pixel.colour == [0; 3] && pixel.number.unwrap_or(0) == 0
            || classes.iter().any(|class| pixel.is(*class) == Ok(true))
    };
    let named = |(pixel, count): (LabelPixel, u64)| (pixel.to_string(), count);
    let mut others: Vec<(String, u64)> =
        counts.into_iter().filter(|(pixel, count)| *count > 0 && !is_known(pixel)).map(named).collect();
    others.sort_by(|(one, many), (other, more)| more.cmp(many).then_with(|| one.cmp(other)));
    Ok(others)
}

/// Refuses a number that a sample of so many bits cannot hold.
fn possible(value: Option<MaskValue>, bits: u32) -> Result<(), String> {
    match value {
        Some(MaskValue::Number(number)) if u32::from(number) >> bits > 0 => {
            Err(format!("it has {bits} bits per sample, which cannot hold the value `{number}` of the class"))
        }
        _ => Ok(()),
    }
}

/// Calls `each` for every pixel that is not transparent, with the mask's width and height, after checking that the file can hold `value`;
/// returns width and height, and the orientation, which is not applied.
fn each_pixel(
    bytes: &[u8],
    value: Option<MaskValue>,
    each: impl FnMut([usize; 2], usize, usize, LabelPixel) -> Result<(), String>,
) -> Result<([usize; 2], Orientation), String> {
    if tiff::begins(bytes) { of_tiff(bytes, value, each) } else { of_png(bytes, value, each) }
}

fn of_png(
    bytes: &[u8],
    value: Option<MaskValue>,
    mut each: impl FnMut([usize; 2], usize, usize, LabelPixel) -> Result<(), String>,
) -> Result<([usize; 2], Orientation), String> {
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
            if !is_clear {
                each([width, height], x, y, pixel)?;
            }
        }
    }
    Ok(([width, height], header.orientation))
}

fn of_tiff(
    bytes: &[u8],
    value: Option<MaskValue>,
    mut each: impl FnMut([usize; 2], usize, usize, LabelPixel) -> Result<(), String>,
) -> Result<([usize; 2], Orientation), String> {
    let file = TiffFile::open(ByteSource::Memory(bytes))?;
    file.one_page()?;
    let image = TiffImage::describe(&file)?;
    possible(value, u32::from(image.most).count_ones())?;
    let size = [image.width, image.height];
    let mut each = |x, y, pixel| each(size, x, y, pixel);
    image.rows(&file, |row, left, y| each_of_row(&image, row, left, y, &mut each))?;
    Ok((size, file.orientation()))
}

/// Calls `each` for every pixel of a row of a strip or tile that is not transparent; `left` is the column of its first pixel.
fn each_of_row(
    image: &TiffImage,
    row: &[u8],
    left: usize,
    y: usize,
    each: &mut impl FnMut(usize, usize, LabelPixel) -> Result<(), String>,
) -> Result<(), String> {
    let (channels, bits) = (image.channels(), u32::from(image.most).count_ones());
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
        if !(image.alpha && samples[channels] == 0) {
            each(left + x, y, pixel)?;
        }
    }
    Ok(())
}

/// Builder of a mask from the rows of a TIFF: the pixels of one value.
pub(super) struct ValueBuilder {
    value: MaskValue,
    mask: Bitmap,
}

impl ValueBuilder {
    pub(super) fn new(image: &TiffImage, value: MaskValue) -> Result<Self, String> {
        possible(Some(value), u32::from(image.most).count_ones())?;
        Ok(Self { value, mask: Bitmap::new(image.width, image.height) })
    }

    /// Adds a row of a strip or tile; `left` is the column of its first pixel.
    pub(super) fn mark(&mut self, row: &[u8], image: &TiffImage, left: usize, y: usize) -> Result<(), String> {
        let Self { value, mask } = self;
        each_of_row(image, row, left, y, &mut |x, y, pixel| {
            if pixel.is(*value)? {
                mask.set(x, y);
            }
            Ok(())
        })
    }

    pub(super) fn mask(self) -> Mask {
        Mask::released(self.mask)
    }
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
        let empty = read(&grey, MaskValue::Number(9)).expect("a mask");
        assert_eq!((empty.bits().width(), empty.bits().height()), (2, 2), "the size of a mask without the value");
    }

    #[test]
    fn values_of_no_class_are_counted() {
        let of = |bytes: &[u8], classes: &[&str]| {
            let classes: Vec<MaskValue> = classes.iter().filter_map(|text| MaskValue::parse(text)).collect();
            let found = other_values(bytes, &classes).expect("a mask");
            found.into_iter().map(|(value, count)| format!("{value} x {count}")).collect::<Vec<_>>()
        };
        let grey = png(&[0, 1, 2, 1, 7, 255, 255, 7, 255], 3, 3, PixelFormat::Grey);
        assert_eq!(of(&grey, &["1", "2"]), ["255 x 3", "7 x 2"]);
        assert_eq!(of(&grey, &["1", "2", "7", "255"]), [""; 0], "black is the background");
        let colour = png(&[255, 0, 0, 0, 255, 0, 7, 7, 7, 0, 0, 0], 2, 2, PixelFormat::Rgb);
        assert_eq!(of(&colour, &["#ff0000"]), ["#00ff00 x 1", "7 x 1"]);
        let many: Vec<u8> = (0..300_u16).flat_map(u16::to_ne_bytes).collect();
        assert_eq!(of(&png(&many, 300, 1, PixelFormat::Grey16), &["1"]).len(), MOST_VALUES - 2);
    }
}
