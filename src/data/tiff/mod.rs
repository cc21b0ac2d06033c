//! TIFF decoder for lesion masks of any encoding and for photographs that the `image` crate refuses: raw samples and palette. Knows
//! nothing of lesions. Written here because the `tiff` crate refuses palettes of fewer than 8 bits, as `IDRiD`'s masks have.
//!
//! Supported: bilevel, grey (1, 2, 4, 8, 16 bits), palette (1, 2, 4, 8), RGB and RGBA (8, 16); uncompressed, `PackBits`, LZW, Deflate;
//! strips and tiles; both byte orders and fill orders; horizontal differencing; for slides also JPEG. Files are untrusted: sizes are
//! bounded before memory is allocated, and every offset is checked. References: TIFF 6.0 (Adobe, 1992) and its supplement 2.

mod blocks;
mod directory;
mod jpeg;
mod photograph;
mod pyramid;
mod unpack;

use super::colour::Colour;

pub(super) use directory::TiffFile;
pub(super) use photograph::{White, describe, may_be_slide, profile, read as photograph};
pub(super) use pyramid::{Pyramid, PyramidLevel};
pub(super) use unpack::unpack_bits;

/// Largest supported mask, pixels: 2^28 (16384 x 16384).
pub(super) const MOST_PIXELS: usize = 1 << 28;

/// Command that converts a slide to a layout that is read.
pub(super) const CONVERT: &str = "vips tiffsave IN OUT.tif --tile --pyramid --bigtiff --compression jpeg --Q 90";

/// Whether the bytes start like a TIFF.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(b"II") || bytes.starts_with(b"MM")
}

/// Whether the bytes can hardly be anything but the start of a TIFF.
pub(super) fn is_certain(bytes: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| bytes.starts_with(*magic))
}

/// Photometric interpretation (tag 262) of the kinds that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// Grey, 0 is white.
    WhiteIsZero,
    /// Grey, 0 is black.
    BlackIsZero,
    /// Red, green and blue.
    Rgb,
    /// Indices into a palette.
    Palette,
}

/// What a TIFF is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TiffUse {
    /// A mask or a small photograph, whole.
    Whole,
    /// A slide, region by region: its pixels may be JPEG.
    Slide,
    /// The mask of a slide, region by region.
    SlideMask,
}

impl TiffUse {
    /// In words.
    const fn words(self) -> &'static str {
        match self {
            Self::Slide => "slides",
            Self::Whole | Self::SlideMask => "masks",
        }
    }
}

/// Layout of a TIFF's image.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the file that is either set or not")]
pub(super) struct TiffImage {
    /// Width, px.
    pub(super) width: usize,
    /// Height, px.
    pub(super) height: usize,
    /// Bits per sample.
    pub(super) bits: usize,
    /// Samples per pixel.
    pub(super) samples: usize,
    /// Photometric interpretation.
    pub(super) colours: Photometric,
    compression: usize,
    /// Whether bits are stored least significant first.
    reversed: bool,
    differences: bool,
    big: bool,
    /// Width of a strip or tile, px.
    pub(super) block_width: usize,
    block_height: usize,
    tiled: bool,
    /// Colours that indices stand for; empty without a palette.
    pub(super) palette: Vec<Colour>,
    /// Whether samples are two's complement.
    pub(super) signed: bool,
    /// Whether the last sample of several is the pixel's opacity.
    pub(super) alpha: bool,
    /// The largest value of a sample.
    pub(super) most: u16,
    /// How its strips or tiles are JPEGs; [`None`] if they are not.
    jpeg: Option<jpeg::JpegBlocks>,
}

impl TiffImage {
    /// Reads the layout of a mask, or of a photograph of a kind that masks have, from a directory.
    ///
    /// # Errors
    /// Says in a few words why the image cannot be read.
    pub(super) fn describe(file: &TiffFile<'_>) -> Result<Self, String> {
        Self::layout(file, TiffUse::Whole)
    }

    fn layout(file: &TiffFile<'_>, role: TiffUse) -> Result<Self, String> {
        let (width, height) = (file.one(256, 0)?, file.one(257, 0)?);
        if width == 0 || height == 0 {
            return Err("it has no width or height".to_owned());
        }
        if role == TiffUse::Whole && width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(format!("{width} x {height} pixels exceed the limit for masks"));
        }
        if width.max(height) > pyramid::LONGEST {
            return Err(format!("its side of {} px exceeds the limit for slides", width.max(height)));
        }
        let samples = file.one(277, 1)?;
        let bits = file.one(258, 1)?;
        for sample in 1..samples.min(file.count(258)).min(8) {
            if file.value(258, sample)? != Some(bits) {
                return Err("its samples differ in size".to_owned());
            }
        }
        let compression = file.one(259, 1)?;
        let is_jpeg = role == TiffUse::Slide && compression == 7;
        let photometric = file.one(262, 1)?;
        let colours = match photometric {
            0 => Photometric::WhiteIsZero,
            1 => Photometric::BlackIsZero,
            2 => Photometric::Rgb,
            3 => Photometric::Palette,
            // The JPEG decoder converts them.
            6 if is_jpeg => Photometric::Rgb,
            other => {
                return Err(format!("photometric interpretation {other} is not supported for {}", role.words()));
            }
        };
        let deep = role != TiffUse::Slide;
        let fits = match colours {
            _ if is_jpeg => bits == 8 && (samples == 1 && colours != Photometric::Palette || samples == 3),
            Photometric::Rgb => (bits == 8 || bits == 16 && deep) && (3..=4).contains(&samples),
            Photometric::Palette => matches!(bits, 1 | 2 | 4 | 8) && samples == 1,
            _ => {
                (matches!(bits, 1 | 2 | 4 | 8) || bits == 16 && deep) && samples == 1
                    || (bits == 8 || bits == 16 && deep) && samples == 2
            }
        };
        if !fits {
            return Err(format!("{samples} samples of {bits} bits are not supported for {}", role.words()));
        }
        let signed = match file.one(339, 1)? {
            2 => true,
            3 => return Err("its samples are floating point".to_owned()),
            5 | 6 => return Err("its samples are complex numbers".to_owned()),
            _ => false,
        };
        if signed && (bits < 8 || colours == Photometric::Palette || role == TiffUse::Slide) {
            return Err(format!("signed samples of {bits} bits are not supported for {}", role.words()));
        }
        if samples > 1 && file.one(284, 1)? != 1 {
            return Err("its channels are stored in separate planes".to_owned());
        }
        supported(compression, role)?;
        // A JPEG has its own prediction.
        let differences = match file.one(317, 1)? {
            2 if !is_jpeg && matches!(bits, 8 | 16) => true,
            other if !is_jpeg && other != 1 => {
                return Err(format!("predictor {other} is not supported with {bits} bits"));
            }
            _ => false,
        };
        let tiled = file.count(322) > 0;
        let (block_width, block_height) = if tiled {
            let (width, height) = (file.one(322, 0)?, file.one(323, 0)?);
            if width % 16 != 0 || height % 16 != 0 || width == 0 || height == 0 || width.max(height) > 1 << 15 {
                return Err(format!("tiles of {width} x {height} are not valid"));
            }
            (width, height)
        } else {
            (width, file.one(278, height)?.clamp(1, height))
        };
        let channels = if colours == Photometric::Rgb { 3 } else { 1 };
        // An extra sample is alpha if the file says so or, as in libtiff, if it says nothing; not if the file says it is unspecified.
        let alpha = samples > channels && (file.count(338) == 0 || matches!(file.one(338, 0)?, 1 | 2));
        let picture = Self {
            width,
            height,
            bits,
            samples,
            colours,
            compression,
            reversed: file.one(266, 1)? == 2,
            differences,
            big: file.big,
            block_width,
            block_height,
            tiled,
            palette: if colours == Photometric::Palette { palette(file, bits)? } else { Vec::new() },
            alpha,
            signed,
            most: ((1u32 << (bits - usize::from(signed))) - 1) as u16,
            jpeg: if is_jpeg { Some(jpeg::JpegBlocks::of(file, photometric, samples)?) } else { None },
        };
        if role != TiffUse::Whole {
            picture.bounded()?;
        }
        Ok(picture)
    }

    /// Number of colour channels.
    pub(super) fn channels(&self) -> usize {
        if self.colours == Photometric::Rgb { 3 } else { 1 }
    }

    /// Samples of pixel `x` of a row.
    pub(super) fn pixel(&self, row: &[u8], x: usize) -> [u16; 4] {
        let mut samples = [0; 4];
        for (c, sample) in samples.iter_mut().enumerate().take(self.samples) {
            let at = x * self.samples + c;
            *sample = match self.bits {
                8 => u16::from(row[at]),
                16 => {
                    let pair = [row[2 * at], row[2 * at + 1]];
                    if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
                }
                bits => {
                    let in_byte = 8 / bits;
                    u16::from(row[at / in_byte] >> (8 - bits * (at % in_byte + 1))) & ((1 << bits) - 1)
                }
            };
        }
        samples
    }
}

/// Refuses a compression that is not read.
fn supported(compression: usize, role: TiffUse) -> Result<(), String> {
    let slide = role == TiffUse::Slide;
    Err(match compression {
        _ if matches!(compression, 1 | 5 | 8 | 32773 | 32946) || slide && compression == 7 => return Ok(()),
        2..=4 => "it has fax compression (CCITT); save it with LZW or Deflate".to_owned(),
        6 if slide => format!("it has old-style JPEG compression; convert it: `{CONVERT}`"),
        6 | 7 => "it has JPEG compression, which blurs masks; save it with LZW or Deflate".to_owned(),
        33003 | 33005 | 34712 if slide => format!("it has JPEG 2000 compression; convert it: `{CONVERT}`"),
        other if slide => format!("compression {other} is not supported; convert it: `{CONVERT}`"),
        other => format!("compression {other} is not supported; save it with LZW or Deflate"),
    })
}

fn palette(file: &TiffFile<'_>, bits: usize) -> Result<Vec<Colour>, String> {
    let colours = 1 << bits;
    if file.count(320) < 3 * colours {
        return Err("its palette is missing or too short".to_owned());
    }
    let mut values = Vec::with_capacity(3 * colours);
    for i in 0..3 * colours {
        values.push(file.value(320, i)?.unwrap_or(0));
    }
    // Values should have 16 bits; some writers store 8-bit values, as libtiff accounts for.
    let shift = if values.iter().any(|&value| value > 255) { 8 } else { 0 };
    let channel = |c: usize, i: usize| (values[c * colours + i] >> shift).min(255) as u8;
    Ok((0..colours).map(|i| [channel(0, i), channel(1, i), channel(2, i)]).collect())
}
