//! Photographs from files: JPEG, PNG or TIFF to 8-bit RGB. A file that is cut short, or of which a piece is missing, is an error,
//! never a grey area; so is damage that the decoder sees. (Not seen: a piece missing of a progressive JPEG, or changed pixels.)
//!
//! Photographs whose EXIF orientation is other than upright are refused: masks may have been drawn on either view, and half a
//! turn would not even change the size.

use image::ImageDecoder;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

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

    /// Decodes the file called `name` (for messages) into the memory of this photograph.
    ///
    /// # Errors
    /// `truncated-photograph`, `damaged-photograph` or `photograph-orientation`, naming the file.
    pub fn decode(&mut self, bytes: &[u8], name: &str) -> Result<(), StageError> {
        if bytes.starts_with(&[0xff, 0xd8]) { self.decode_jpeg(bytes, name) } else { self.decode_other(bytes, name) }
    }

    fn decode_jpeg(&mut self, bytes: &[u8], name: &str) -> Result<(), StageError> {
        let end = jpeg_end(bytes).ok_or_else(|| truncated(name))?;
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(LONGEST)
            .set_max_height(LONGEST)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        // Where the end mark follows the pixels too early, the decoder would go on with zeros for ever: the rest of the picture
        // comes out flat. Without the mark it runs out of bytes and says so. It looks ahead by 8 bytes at most, so these zeros
        // are more than a whole picture needs, and soon used up by one that lacks blocks.
        let unmarked = match end {
            JpegEnd::OnlyScan(at) => [&bytes[..at], &[0; 16]].concat(),
            JpegEnd::Somewhere => Vec::new(),
        };
        let bytes = if unmarked.is_empty() { bytes } else { &unmarked };
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        let wrong = |error| match error {
            DecodeErrors::ExhaustedData | DecodeErrors::FormatStatic("Premature end of buffer") => truncated(name),
            error => damaged(name, &format!("{error:?}")),
        };
        decoder.decode_headers().map_err(wrong)?;
        if let Some(exif) = decoder.exif() {
            upright(Orientation::from_exif_chunk(exif), name)?;
        }
        let (width, height) = decoder.dimensions().ok_or_else(|| damaged(name, "it names no size"))?;
        promised(width, height, name)?;
        if width * height > bytes.len().saturating_mul(JPEG_PIXELS) {
            return Err(truncated(name));
        }
        // Every byte is written by the decoder or the whole photograph is refused, so old contents may stay.
        self.rgb.resize(width * height * 3, 0);
        (self.width, self.height) = (width, height);
        decoder.decode_into(&mut self.rgb).map_err(wrong)
    }

    fn decode_other(&mut self, bytes: &[u8], name: &str) -> Result<(), StageError> {
        use image::error::{ImageError, LimitError};
        let wrong = |error: ImageError| match error {
            ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => truncated(name),
            ImageError::Limits(LimitError { .. }) => damaged(name, "it is larger than a photograph may be"),
            error if bytes.is_empty() => damaged(name, &format!("the file is empty ({error})")),
            error => damaged(name, &error.to_string()),
        };
        if bytes.starts_with(b"\x89PNG") && !bytes.array_windows().rev().any(|end| end == b"IEND\xaeB`\x82") {
            return Err(truncated(name));
        }
        let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes));
        reader = reader.with_guessed_format().map_err(|error| damaged(name, &error.to_string()))?;
        let mut limits = image::Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(LONGEST as u32), Some(LONGEST as u32));
        // Eight bytes a pixel, and some for the decoder itself.
        limits.max_alloc = Some(9 * MOST_PIXELS as u64);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(wrong)?;
        let (width, height) = decoder.dimensions();
        promised(width as usize, height as usize, name)?;
        if decoder.total_bytes() > (bytes.len() as u64).saturating_mul(RATIO) {
            return Err(truncated(name));
        }
        upright(decoder.orientation().ok(), name)?;
        let picture = image::DynamicImage::from_decoder(decoder).map_err(wrong)?;
        (self.width, self.height) = (picture.width() as usize, picture.height() as usize);
        self.rgb = picture.into_rgb8().into_raw();
        Ok(())
    }
}

/// What a header promises must be looked at before there is memory for it.
fn promised(width: usize, height: usize, name: &str) -> Result<(), StageError> {
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        let text = format!("{width} x {height} pixels are more than a photograph may have ({MOST_PIXELS})");
        return Err(damaged(name, &text));
    }
    Ok(())
}

/// Where a JPEG ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JpegEnd {
    /// At this byte, the end-of-image marker that follows the one scan.
    OnlyScan(usize),
    /// After several scans.
    Somewhere,
}

/// Finds the end-of-image marker; [`None`] where there is none. It is searched from the first scan on: a thumbnail within the
/// headers ends with one too.
fn jpeg_end(bytes: &[u8]) -> Option<JpegEnd> {
    let (mut at, mut sequential) = (2, true);
    let scan = loop {
        let &[0xff, marker, high, low] = bytes.get(at..at + 4)?.as_array()? else { return None };
        let length = 2 + usize::from(u16::from_be_bytes([high, low]));
        match marker {
            0xda => break at + length,
            // Fill bytes may stand before a marker.
            0xff => at += 1,
            _ => {
                sequential &= marker != 0xc2;
                at += length;
            }
        }
    };
    let mut at = scan;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match bytes.get(at + 1)? {
            // A value of the pixels that looks like a marker, fill bytes, or the mark of a restart.
            0 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            0xd9 if sequential => return Some(JpegEnd::OnlyScan(at)),
            _ => break,
        }
    }
    bytes[at..].array_windows().any(|pair| *pair == [0xff, 0xd9]).then_some(JpegEnd::Somewhere)
}

fn upright(orientation: Option<Orientation>, name: &str) -> Result<(), StageError> {
    if orientation.is_none_or(|orientation| orientation == Orientation::NoTransforms) {
        return Ok(());
    }
    Err(StageError::input(
        "photograph-orientation",
        format!("`{name}` is to be shown turned (EXIF orientation), and its masks may have been drawn on either view"),
    )
    .hint("turn the pixels themselves without loss (`jpegtran`, `exiftran -a`) and see that the masks still fit"))
}

fn truncated(name: &str) -> StageError {
    StageError::input("truncated-photograph", format!("`{name}` is truncated: its picture ends too early"))
        .hint("copy or download the file again")
}

fn damaged(name: &str, reason: &str) -> StageError {
    StageError::input("damaged-photograph", format!("`{name}` is no photograph that can be read: {reason}"))
        .hint("JPEG, PNG and TIFF are read; copy or download the file again if it is one of them")
}
