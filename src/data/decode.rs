//! Photographs from files: JPEG, PNG or TIFF to 8-bit RGB. A file that is cut short, or of which a piece is missing, is an error,
//! never a grey area; so is damage that the decoder sees. (Not seen: a piece missing of a progressive JPEG, or changed pixels.)
//! What a file says of its pixels (how they are to be shown, which value is white) holds; where it does not say enough, or says
//! what is not read here, it is refused. `docs/pictures.md` has the table.

use std::fmt;

use image::{DynamicImage, ImageDecoder, ImageFormat};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::jpeg_header::{self, ScanEnd};
use super::orientation::Orientation;
use super::byte_source::ByteSource;
use super::tiff::{self, White};
use super::{bit_depth, png_header};
use crate::stage::StageError;

/// Longest side that is read, px.
const LONGEST: usize = 1 << 15;

/// Most pixels that are read: four times those of the largest fundus cameras.
const MOST_PIXELS: usize = 1 << 28;

/// Pixels that a byte of a JPEG can stand for: each block of 8 x 8 takes one bit at least.
const JPEG_PIXELS: usize = 512;

/// Bytes of pixels that a byte of a compressed file can stand for: a little more than Deflate's 1032 and LZW's 2731.
const RATIO: u64 = 4096;

/// A decoded photograph: u8, height x width x 3, red green blue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Photograph {
    /// Width, px.
    pub width: usize,
    /// Height, px.
    pub height: usize,
    /// Pixels, row by row.
    pub rgb: Vec<u8>,
}

impl Photograph {
    /// Row `y`: `width` x 3 bytes.
    #[must_use]
    pub fn row(&self, y: usize) -> &[u8] {
        &self.rgb[y * self.width * 3..][..self.width * 3]
    }

    /// Decodes the file called `name` (for messages) into the memory of this photograph, as it is to be shown, and says how it had
    /// to be turned for that.
    ///
    /// # Errors
    /// `truncated-photograph`, `damaged-photograph` or `unread-photograph`, naming the file.
    pub fn decode(&mut self, bytes: &[u8], name: &str) -> Result<Orientation, StageError> {
        self.decode_bytes(bytes).map_err(|fault| fault.of(name))
    }

    /// As [`Photograph::decode`], of a picture without a name.
    pub(super) fn decode_bytes(&mut self, bytes: &[u8]) -> Result<Orientation, DecodeFault> {
        let orientation = if is_jpeg(bytes) {
            self.decode_jpeg(bytes)?
        } else if tiff::begins(bytes) {
            self.decode_tiff(bytes)?
        } else {
            self.decode_png(bytes)?
        };
        if !orientation.is_upright() {
            let size = (self.width, self.height);
            self.rgb = orientation.turn_rgb(&self.rgb, size);
            (self.width, self.height) = orientation.shown(size);
        }
        Ok(orientation)
    }

    fn decode_jpeg(&mut self, bytes: &[u8]) -> Result<Orientation, DecodeFault> {
        let header = jpeg_header::header(ByteSource::Memory(bytes)).ok_or(DecodeFault::Truncated)?;
        if let Some(reason) = header.refused() {
            return Err(DecodeFault::Unread(reason));
        }
        let orientation = header.orientation;
        let whole = header.without_stray(bytes);
        let header = jpeg_header::header(ByteSource::Memory(&whole)).ok_or(DecodeFault::Truncated)?;
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(LONGEST)
            .set_max_height(LONGEST)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        // Where the end mark follows the pixels too early, the decoder would go on with zeros for ever: the rest of the picture
        // comes out flat. Without the mark it runs out of bytes and says so. It looks ahead by 8 bytes at most, so these zeros
        // are more than a whole picture needs, and soon used up by one that lacks blocks.
        let unmarked = match header.end(&whole).ok_or(DecodeFault::Truncated)? {
            ScanEnd::OnlyScan(at) => [&whole[..at], &[0; 16]].concat(),
            ScanEnd::Somewhere => Vec::new(),
        };
        let bytes = if unmarked.is_empty() { &*whole } else { &unmarked };
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        let wrong = |error| match error {
            DecodeErrors::ExhaustedData | DecodeErrors::FormatStatic("Premature end of buffer") => DecodeFault::Truncated,
            error => DecodeFault::Damaged(format!("{error:?}")),
        };
        decoder.decode_headers().map_err(wrong)?;
        let (width, height) = decoder.dimensions().ok_or_else(|| DecodeFault::Damaged("it names no size".to_owned()))?;
        promised(width, height)?;
        if width * height > bytes.len().saturating_mul(JPEG_PIXELS) {
            return Err(DecodeFault::Truncated);
        }
        // Every byte is written by the decoder or the whole photograph is refused, so old contents may stay.
        self.rgb.resize(width * height * 3, 0);
        (self.width, self.height) = (width, height);
        decoder.decode_into(&mut self.rgb).map_err(wrong)?;
        Ok(orientation)
    }

    fn decode_tiff(&mut self, bytes: &[u8]) -> Result<Orientation, DecodeFault> {
        // Of a file whose directory can't be read the decoder says why.
        let Ok(described) = tiff::describe(ByteSource::Memory(bytes)) else {
            self.decode_other(bytes, None, White::Unsaid)?;
            return Ok(Orientation::UPRIGHT);
        };
        let described = described.map_err(DecodeFault::Unread)?;
        if described.own {
            let (size, rgb) = tiff::photograph(bytes).map_err(DecodeFault::Damaged)?;
            ((self.width, self.height), self.rgb) = (size, rgb);
        } else {
            // Guessed, a BigTIFF is not known.
            self.decode_other(bytes, Some(ImageFormat::Tiff), described.white)?;
        }
        Ok(described.orientation)
    }

    fn decode_png(&mut self, bytes: &[u8]) -> Result<Orientation, DecodeFault> {
        if bytes.starts_with(b"\x89PNG") && !bytes.array_windows().rev().any(|end| end == b"IEND\xaeB`\x82") {
            return Err(DecodeFault::Truncated);
        }
        let header = png_header::header(ByteSource::Memory(bytes)).filter(|_| bytes.starts_with(png_header::MAGIC)).unwrap_or_default();
        if header.frames > 1 {
            let text = format!("it is an animation of {} pictures, and which one is meant is not known", header.frames);
            return Err(DecodeFault::Unread(text));
        }
        self.decode_other(bytes, None, header.significant.map_or(White::Unsaid, White::OfBits))?;
        Ok(header.orientation)
    }

    fn decode_other(&mut self, bytes: &[u8], format: Option<ImageFormat>, white: White) -> Result<(), DecodeFault> {
        use image::error::{ImageError, LimitError};
        let wrong = |error: ImageError| match error {
            ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => DecodeFault::Truncated,
            ImageError::Limits(LimitError { .. }) => DecodeFault::Damaged("it is larger than a photograph may be".to_owned()),
            error if bytes.is_empty() => DecodeFault::Damaged(format!("the file is empty ({error})")),
            error => DecodeFault::Damaged(error.to_string()),
        };
        let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes));
        match format {
            Some(format) => reader.set_format(format),
            None => reader = reader.with_guessed_format().map_err(|error| DecodeFault::Damaged(error.to_string()))?,
        }
        let mut limits = image::Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(LONGEST as u32), Some(LONGEST as u32));
        // Eight bytes a pixel, and some for the decoder itself.
        limits.max_alloc = Some(9 * MOST_PIXELS as u64);
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(wrong)?;
        let (width, height) = decoder.dimensions();
        promised(width as usize, height as usize)?;
        if decoder.total_bytes() > (bytes.len() as u64).saturating_mul(RATIO) {
            return Err(DecodeFault::Truncated);
        }
        let picture = DynamicImage::from_decoder(decoder).map_err(wrong)?;
        (self.width, self.height) = (picture.width() as usize, picture.height() as usize);
        self.rgb = bit_depth::rgb8(picture, white).map_err(DecodeFault::Unread)?;
        Ok(())
    }
}

/// Whether a file begins as a JPEG.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8])
}

/// What a header promises must be looked at before there is memory for it.
fn promised(width: usize, height: usize) -> Result<(), DecodeFault> {
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        let text = format!("{width} x {height} pixels are more than a photograph may have ({MOST_PIXELS})");
        return Err(DecodeFault::Damaged(text));
    }
    Ok(())
}

/// Why a picture is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DecodeFault {
    /// The file ends before its pixels do.
    Truncated,
    /// The file is not a picture, or not whole.
    Damaged(String),
    /// The file is whole, and of a kind that is not read, or that does not say how to read it.
    Unread(String),
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it is truncated: its picture ends too early"),
            Self::Damaged(reason) | Self::Unread(reason) => f.write_str(reason),
        }
    }
}

impl DecodeFault {
    /// The error that names the photograph.
    fn of(&self, name: &str) -> StageError {
        match self {
            Self::Truncated => {
                StageError::input("truncated-photograph", format!("`{name}` is truncated: its picture ends too early"))
                    .hint("copy or download the file again")
            }
            Self::Damaged(reason) => {
                StageError::input("damaged-photograph", format!("`{name}` cannot be read as a photograph: {reason}"))
                    .hint("JPEG, PNG and TIFF are read; copy or download the file again if it is one of them")
            }
            Self::Unread(reason) => StageError::input("unread-photograph", format!("`{name}` is not read: {reason}"))
                .hint("save it again as a JPEG, PNG or TIFF of 8 bits; `docs/pictures.md` says which files are read"),
        }
    }
}
