//! TIFF decoder for lesion masks of any encoding and for photographs that the `image` crate refuses: raw samples and palette. Knows
//! nothing of lesions. Written here because the `tiff` crate refuses palettes of fewer than 8 bits, as `IDRiD`'s masks have.
//!
//! Supported: bilevel, grey (1, 2, 4, 8, 16 bits), palette (1, 2, 4, 8), RGB and RGBA (8, 16); uncompressed, `PackBits`, LZW, Deflate;
//! strips and tiles; both byte orders and fill orders; horizontal differencing. Files are untrusted: sizes are bounded before memory is
//! allocated, and every offset is checked. References: TIFF 6.0 (Adobe, 1992) and its supplement 2.

mod directory;
mod photograph;

use std::borrow::Cow;
use std::io::Read;

use super::colour::Colour;

pub(super) use directory::TiffFile;
pub(super) use photograph::{White, describe, profile, read as photograph};

/// Largest supported mask, pixels: 2^28 (16384 x 16384).
pub(super) const MOST_PIXELS: usize = 1 << 28;

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

/// Layout of a TIFF's first image.
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
}

impl TiffImage {
    /// Reads the layout from a directory.
    ///
    /// # Errors
    /// Says in a few words why the image cannot be read.
    pub(super) fn describe(file: &TiffFile<'_>) -> Result<Self, String> {
        let (width, height) = (file.one(256, 0)?, file.one(257, 0)?);
        if width == 0 || height == 0 {
            return Err("it has no width or height".to_owned());
        }
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(format!("{width} x {height} pixels exceed the limit for masks"));
        }
        let samples = file.one(277, 1)?;
        let bits = file.one(258, 1)?;
        for sample in 1..samples.min(file.count(258)).min(8) {
            if file.value(258, sample)? != Some(bits) {
                return Err("its samples differ in size".to_owned());
            }
        }
        let colours = match file.one(262, 1)? {
            0 => Photometric::WhiteIsZero,
            1 => Photometric::BlackIsZero,
            2 => Photometric::Rgb,
            3 => Photometric::Palette,
            other => return Err(format!("photometric interpretation {other} is not supported for masks")),
        };
        let fits = match colours {
            Photometric::Rgb => matches!(bits, 8 | 16) && (3..=4).contains(&samples),
            Photometric::Palette => matches!(bits, 1 | 2 | 4 | 8) && samples == 1,
            _ => matches!(bits, 1 | 2 | 4 | 8 | 16) && samples == 1 || matches!(bits, 8 | 16) && samples == 2,
        };
        if !fits {
            return Err(format!("{samples} samples of {bits} bits are not supported for masks"));
        }
        let signed = match file.one(339, 1)? {
            2 => true,
            3 => return Err("its samples are floating point".to_owned()),
            5 | 6 => return Err("its samples are complex numbers".to_owned()),
            _ => false,
        };
        if signed && (bits < 8 || colours == Photometric::Palette) {
            return Err(format!("signed samples of {bits} bits are not supported for masks"));
        }
        if samples > 1 && file.one(284, 1)? != 1 {
            return Err("its channels are stored in separate planes".to_owned());
        }
        let compression = file.one(259, 1)?;
        match compression {
            1 | 5 | 8 | 32773 | 32946 => {}
            2..=4 => return Err("it has fax compression (CCITT); save it with LZW or Deflate".to_owned()),
            6 | 7 => return Err("it has JPEG compression, which blurs masks; save it with LZW or Deflate".to_owned()),
            other => return Err(format!("compression {other} is not supported; save it with LZW or Deflate")),
        }
        let differences = match file.one(317, 1)? {
            1 => false,
            2 if matches!(bits, 8 | 16) => true,
            other => return Err(format!("predictor {other} is not supported with {bits} bits")),
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
        };
        Ok(picture)
    }

    /// Passes each row of each strip or tile to `take`, with the column and row of its first pixel.
    ///
    /// # Errors
    /// A damaged file, or what `take` returns.
    pub(super) fn rows(
        &self,
        file: &TiffFile<'_>,
        mut take: impl FnMut(&[u8], usize, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let across = self.width.div_ceil(self.block_width);
        for block in 0..across * self.height.div_ceil(self.block_height) {
            let (left, top) = (block % across * self.block_width, block / across * self.block_height);
            let rows = self.block_height.min(self.height - top);
            let data = self.block(file, block, rows)?;
            for (row, y) in data.chunks_exact(self.row_bytes()).zip(top..top + rows) {
                take(row, left, y)?;
            }
        }
        Ok(())
    }

    /// Number of colour channels.
    pub(super) fn channels(&self) -> usize {
        if self.colours == Photometric::Rgb { 3 } else { 1 }
    }

    fn row_bytes(&self) -> usize {
        (self.block_width * self.samples * self.bits).div_ceil(8)
    }

    /// Bytes of the first `rows` rows of a strip or tile.
    fn block<'a>(&self, file: &TiffFile<'a>, block: usize, rows: usize) -> Result<Cow<'a, [u8]>, String> {
        let (offsets, sizes) = if self.tiled { (324, 325) } else { (273, 279) };
        let missing = || "it has no strip or tile offsets".to_owned();
        let offset = file.value(offsets, block)?.ok_or_else(missing)?;
        let whole = self.row_bytes() * rows;
        // Some writers omit the size of a single strip.
        let left = file.size().saturating_sub(offset);
        let size = if file.count(sizes) == 0 { left } else { file.value(sizes, block)?.ok_or_else(missing)? };
        let mut raw = file.slice(offset, size)?;
        if self.reversed {
            raw.to_mut().iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut data = match self.compression {
            1 => raw,
            32773 => Cow::Owned(unpack_bits(&raw, whole)),
            5 => Cow::Owned(unpack_lzw(&raw, whole)?),
            _ => Cow::Owned(inflate(&raw, whole)),
        };
        if data.len() < whole {
            return Err("its pixels end too early: the file is truncated or damaged".to_owned());
        }
        if self.differences {
            data.to_mut().chunks_exact_mut(self.row_bytes()).for_each(|row| self.undo_differences(row));
        }
        Ok(data)
    }

    fn undo_differences(&self, row: &mut [u8]) {
        if self.bits == 8 {
            for i in self.samples..row.len() {
                row[i] = row[i].wrapping_add(row[i - self.samples]);
            }
            return;
        }
        let read = |pair: [u8; 2]| if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let (pairs, _) = row.as_chunks_mut::<2>();
        for i in self.samples..pairs.len() {
            let sum = read(pairs[i]).wrapping_add(read(pairs[i - self.samples]));
            pairs[i] = if self.big { sum.to_be_bytes() } else { sum.to_le_bytes() };
        }
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

/// Decodes `PackBits` (TIFF 6.0, section 9), at most `most` bytes.
pub(super) fn unpack_bits(raw: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = raw;
    while let [head, tail @ ..] = rest
        && out.len() < most
    {
        let count = usize::from(*head) + 1;
        match (*head, tail) {
            (128, _) => rest = tail,
            (0..128, _) => {
                let literal = &tail[..count.min(tail.len())];
                out.extend_from_slice(literal);
                rest = &tail[literal.len()..];
            }
            (_, [byte, after @ ..]) => {
                out.extend(std::iter::repeat_n(*byte, 258 - count));
                rest = after;
            }
            (_, []) => break,
        }
    }
    out.truncate(most);
    out
}

/// Decodes LZW (TIFF 6.0, section 13), at least `most` bytes if there are as many.
fn unpack_lzw(raw: &[u8], most: usize) -> Result<Vec<u8>, String> {
    if raw.starts_with(&[0, 1]) {
        return Err("it has the old LZW variant from before TIFF 6; save it again".to_owned());
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut out, mut rest, mut buffer) = (Vec::new(), raw, vec![0; 1 << 16]);
    while out.len() < most {
        let step = decoder.decode_bytes(rest, &mut buffer);
        rest = &rest[step.consumed_in..];
        out.extend_from_slice(&buffer[..step.consumed_out]);
        match step.status {
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(out)
}

/// Decodes Deflate with a zlib header, at most `most` bytes; if damaged, as many as can be read.
fn inflate(raw: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(most.min(raw.len().saturating_mul(64)));
    // The caller detects errors by too few bytes.
    let _ = flate2::read::ZlibDecoder::new(raw).take(most as u64).read_to_end(&mut out);
    out
}
