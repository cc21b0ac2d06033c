//! Photograph decoder: JPEG, PNG, TIFF or DICOM to 8-bit RGB. A truncated file, or one with a missing piece, is an error, never a grey area;
//! so is damage that the decoder detects. (Not detected: a missing piece of a progressive JPEG, or altered pixels.) Metadata about the
//! pixels (orientation, white level) is respected; a file that lacks what is needed, or has a layout not supported here, is rejected.
//! `docs/pictures.md` has the table.

use std::fmt;

use image::{DynamicImage, ImageDecoder, ImageFormat};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::byte_source::ByteSource;
use super::dicom::{self, DicomFault, DicomImage, DicomPixels};
use super::image_issues::ImageIssueKind;
use super::jpeg_header::{self, ScanEnd};
use super::orientation::Orientation;
use super::slide_region;
use super::tiff::{self, White};
use super::{bit_depth, colour_profile, png_header};
use crate::stage::StageError;

/// Largest supported side, px.
const LONGEST: usize = 1 << 15;

/// Largest supported number of pixels: four times that of the largest fundus cameras.
const MOST_PIXELS: usize = 1 << 28;

/// Name of the colour space that a camera states without a profile.
const ADOBE_RGB: &str = "Adobe RGB (1998)";

/// Upper bound of pixels per byte of a JPEG: each block of 8 x 8 takes at least one bit.
const JPEG_PIXELS: usize = 512;

/// Upper bound of the compression ratio: a little more than Deflate's 1032 and LZW's 2731.
const RATIO: u64 = 4096;

/// What decoding found out about a photograph next to its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedInfo {
    /// Orientation that was applied.
    pub orientation: Orientation,
    /// What is strange about the photograph.
    pub issues: Vec<ImageIssueKind>,
    /// Description of its colour profile, unless that is sRGB or missing.
    pub profile: Option<String>,
    /// Format of the file.
    pub format: PictureFormat,
    /// Bits per sample of the file; for a palette, of its indices.
    pub bits: u8,
}

/// Format of a photograph's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PictureFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// TIFF or `BigTIFF`.
    Tiff,
    /// DICOM.
    Dicom,
}

impl PictureFormat {
    /// Its name: `JPEG`, `PNG`, `TIFF`, `DICOM`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::Dicom => "DICOM",
        }
    }
}

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

    /// Decodes the file called `name` (for messages) into this photograph's memory, with its orientation applied.
    ///
    /// # Errors
    /// `truncated-photograph`, `damaged-photograph` or `unread-photograph`, naming the file.
    pub fn decode(&mut self, bytes: &[u8], name: &str) -> Result<DecodedInfo, StageError> {
        self.decode_bytes(bytes).map_err(|fault| fault.of(name))
    }

    /// As [`Photograph::decode`], for an image without a name.
    pub(super) fn decode_bytes(&mut self, bytes: &[u8]) -> Result<DecodedInfo, DecodeFault> {
        let info = match format_of(ByteSource::Memory(bytes)) {
            Some(PictureFormat::Jpeg) => self.decode_jpeg(bytes, JpegColours::Marked)?,
            Some(PictureFormat::Tiff) => self.decode_tiff(bytes)?,
            Some(PictureFormat::Dicom) => self.decode_dicom(bytes)?,
            Some(PictureFormat::Png) | None => self.decode_png(bytes)?,
        };
        if !info.orientation.is_upright() {
            let size = (self.width, self.height);
            self.rgb = info.orientation.turn_rgb(&self.rgb, size);
            (self.width, self.height) = info.orientation.shown(size);
        }
        Ok(info)
    }

    fn decode_jpeg(&mut self, bytes: &[u8], colours: JpegColours) -> Result<DecodedInfo, DecodeFault> {
        let header = jpeg_header::header(ByteSource::Memory(bytes)).ok_or(DecodeFault::Truncated)?;
        if let Some(reason) = header.refused() {
            return Err(DecodeFault::Unread(reason));
        }
        let (orientation, bits) = (header.orientation, header.bits().unwrap_or(8));
        let is_unmarked = !header.states_colours;
        let profile = match header.profile(bytes) {
            Some(profile) => colour_profile::other_than_srgb(&profile),
            None => header.adobe_rgb.then(|| ADOBE_RGB.to_owned()),
        };
        let whole = header.without_stray(bytes);
        let is_rgb = colours == JpegColours::Rgb && is_unmarked;
        (self.width, self.height) = jpeg_pixels(&whole, (LONGEST, LONGEST), ColorSpace::RGB, is_rgb, &mut self.rgb)?;
        Ok(DecodedInfo { orientation, issues: Vec::new(), profile, format: PictureFormat::Jpeg, bits })
    }

    fn decode_dicom(&mut self, bytes: &[u8]) -> Result<DecodedInfo, DecodeFault> {
        let image = DicomImage::open(ByteSource::Memory(bytes))?;
        let (size, mut issues) = (image.size(), image.issues.clone());
        promised(size.0, size.1)?;
        let mut own = None;
        match image.pixels()? {
            DicomPixels::Samples(samples) => {
                let (rgb, dark) = image.rgb(&samples);
                ((self.width, self.height), self.rgb) = (size, rgb);
                issues.extend(dark.then_some(ImageIssueKind::Dark));
            }
            DicomPixels::Jpeg(jpeg) => {
                if !is_jpeg(&jpeg) {
                    return Err(DecodeFault::Damaged("its pixels should be a JPEG, but are not".to_owned()));
                }
                let colours = if image.is_rgb() { JpegColours::Rgb } else { JpegColours::Marked };
                own = self.decode_jpeg(&jpeg, colours)?.profile;
                if (self.width, self.height) != size {
                    let text = format!(
                        "its JPEG has {} x {} px, but its header says {} x {}",
                        self.width, self.height, size.0, size.1
                    );
                    return Err(DecodeFault::Damaged(text));
                }
                image.finish_jpeg(&mut self.rgb)?;
            }
        }
        // As other programs show it: rows and columns as stored, whatever a JPEG inside says.
        let (orientation, format) = (Orientation::UPRIGHT, PictureFormat::Dicom);
        let profile = match (image.profile(), image.colour_space()) {
            (Some(profile), _) => colour_profile::other_than_srgb(&profile),
            (None, Some(space)) => (space != "SRGB").then(|| space.to_owned()),
            (None, None) => own,
        };
        Ok(DecodedInfo { orientation, issues, profile, format, bits: image.bits() })
    }

    fn decode_tiff(&mut self, bytes: &[u8]) -> Result<DecodedInfo, DecodeFault> {
        // If the directory cannot be read, the decoder reports why.
        let Ok(described) = tiff::describe(ByteSource::Memory(bytes)) else {
            let dark = self.decode_other(bytes, None, White::Unsaid)?;
            let format = PictureFormat::Tiff;
            let (orientation, issues) = (Orientation::UPRIGHT, of_dark(dark));
            return Ok(DecodedInfo { orientation, issues, profile: None, format, bits: 8 });
        };
        let is_slide = tiff::may_be_slide(ByteSource::Memory(bytes));
        let unread = |reason| if is_slide { DecodeFault::Slide(reason) } else { DecodeFault::Unread(reason) };
        let described = described.map_err(unread)?;
        if is_slide && described.size.0.checked_mul(described.size.1).is_none_or(|pixels| pixels > MOST_PIXELS) {
            let (width, height) = described.size;
            let text = format!("{width} x {height} pixels exceed the limit for photographs ({MOST_PIXELS})");
            return Err(DecodeFault::Slide(text));
        }
        let dark = if described.own {
            let (size, rgb) = tiff::photograph(bytes).map_err(DecodeFault::Damaged)?;
            ((self.width, self.height), self.rgb) = (size, rgb);
            false
        } else {
            // Format guessing does not recognise BigTIFF.
            self.decode_other(bytes, Some(ImageFormat::Tiff), described.white)?
        };
        let (orientation, format) = (described.orientation, PictureFormat::Tiff);
        let profile = tiff::profile(bytes).and_then(|profile| colour_profile::other_than_srgb(&profile));
        Ok(DecodedInfo { orientation, issues: of_dark(dark), profile, format, bits: described.bits })
    }

    fn decode_png(&mut self, bytes: &[u8]) -> Result<DecodedInfo, DecodeFault> {
        if bytes.starts_with(b"\x89PNG") && !bytes.array_windows().rev().any(|end| end == b"IEND\xaeB`\x82") {
            return Err(DecodeFault::Truncated);
        }
        let header = png_header::header(ByteSource::Memory(bytes))
            .filter(|_| bytes.starts_with(png_header::MAGIC))
            .unwrap_or_default();
        if header.frames > 1 {
            let text =
                format!("it is an animation of {} frames; save the intended frame as a file of its own", header.frames);
            return Err(DecodeFault::Unread(text));
        }
        let dark = self.decode_other(bytes, None, header.significant.map_or(White::Unsaid, White::OfBits))?;
        let bits = if header.bits == 0 { 8 } else { header.bits };
        let (orientation, format) = (header.orientation, PictureFormat::Png);
        let profile = header.profile(bytes);
        Ok(DecodedInfo { orientation, issues: of_dark(dark), profile, format, bits })
    }

    /// Decodes with the `image` crate and returns whether the photograph is almost black in 8 bits though it need not be.
    fn decode_other(&mut self, bytes: &[u8], format: Option<ImageFormat>, white: White) -> Result<bool, DecodeFault> {
        use image::error::{ImageError, LimitError};
        let wrong = |error: ImageError| match error {
            ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => DecodeFault::Truncated,
            ImageError::Limits(LimitError { .. }) => {
                DecodeFault::Damaged("it exceeds the size limit for photographs".to_owned())
            }
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
        // Eight bytes per pixel, and some for the decoder itself.
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
        let (rgb, dark) = bit_depth::rgb8(picture, white).map_err(DecodeFault::Unread)?;
        self.rgb = rgb;
        Ok(dark)
    }
}

/// Meaning of the components of a JPEG.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JpegColours {
    /// As its markers say; luma and chroma without them.
    Marked,
    /// As its markers say; red, green and blue without them.
    Rgb,
}

fn of_dark(dark: bool) -> Vec<ImageIssueKind> {
    dark.then_some(ImageIssueKind::Dark).into_iter().collect()
}

/// Format of a file by its first bytes; [`None`] if they are those of no supported one.
pub(super) fn format_of(source: ByteSource<'_>) -> Option<PictureFormat> {
    let start = source.at(0, 8).or_else(|| source.at(0, 2))?;
    if is_jpeg(&start) {
        return Some(PictureFormat::Jpeg);
    }
    if *start == *png_header::MAGIC {
        return Some(PictureFormat::Png);
    }
    // The 128 bytes before a DICOM's magic word may be those of a TIFF.
    if dicom::begins(source) && !tiff::is_certain(&start) {
        return Some(PictureFormat::Dicom);
    }
    tiff::begins(&start).then_some(PictureFormat::Tiff)
}

/// Decodes a JPEG of at most this size without stray bytes into reused memory, and returns its width and height. `is_rgb`: components that
/// no marker names are red, green and blue.
fn jpeg_pixels(
    bytes: &[u8],
    most: (usize, usize),
    colours: ColorSpace,
    is_rgb: bool,
    into: &mut Vec<u8>,
) -> Result<(usize, usize), DecodeFault> {
    let header = jpeg_header::header(ByteSource::Memory(bytes)).ok_or(DecodeFault::Truncated)?;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(most.0)
        .set_max_height(most.1)
        .jpeg_set_out_colorspace(colours);
    // If the end marker comes too early, the decoder continues with zeros and the rest of the image comes out flat. Without the
    // marker it runs out of bytes and reports that. It looks ahead by at most 8 bytes, so these zeros are more than a complete
    // image needs, and soon used up by one that lacks blocks.
    let unmarked = match header.end(bytes).ok_or(DecodeFault::Truncated)? {
        ScanEnd::OnlyScan(at) => [&bytes[..at], &[0; 16]].concat(),
        ScanEnd::Somewhere => Vec::new(),
    };
    let bytes = if unmarked.is_empty() { bytes } else { &unmarked };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let wrong = |error| match error {
        DecodeErrors::ExhaustedData | DecodeErrors::FormatStatic("Premature end of buffer") => DecodeFault::Truncated,
        error => DecodeFault::Damaged(format!("{error:?}")),
    };
    decoder.decode_headers().map_err(wrong)?;
    if is_rgb && decoder.input_colorspace() == Some(ColorSpace::YCbCr) {
        // The same out as in: components stay as they are.
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::YCbCr));
    }
    let (width, height) = decoder.dimensions().ok_or_else(|| DecodeFault::Damaged("it has no size".to_owned()))?;
    promised(width, height)?;
    if width * height > bytes.len().saturating_mul(JPEG_PIXELS) {
        return Err(DecodeFault::Truncated);
    }
    // The decoder writes every byte or the whole photograph is rejected, so old contents need not be cleared.
    into.resize(width * height * colours.num_components(), 0);
    decoder.decode_into(into).map_err(wrong)?;
    Ok((width, height))
}

/// Decodes a JPEG that is a part of an image, of at most this size: width and height, and grey or RGB pixels.
pub(super) fn jpeg_block(
    bytes: &[u8],
    most: (usize, usize),
    is_grey: bool,
) -> Result<((usize, usize), Vec<u8>), DecodeFault> {
    let header = jpeg_header::header(ByteSource::Memory(bytes)).ok_or(DecodeFault::Truncated)?;
    if let Some(reason) = header.refused() {
        return Err(DecodeFault::Unread(reason));
    }
    let mut pixels = Vec::new();
    let colours = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    let size = jpeg_pixels(bytes, most, colours, false, &mut pixels)?;
    Ok((size, pixels))
}

/// Whether the bytes start like a JPEG.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8])
}

/// Whether a photograph of this size is decoded.
pub(super) fn is_supported_size(width: usize, height: usize) -> bool {
    width.max(height) <= LONGEST && width * height <= MOST_PIXELS
}

/// Checks the size in a header before memory is allocated for it.
fn promised(width: usize, height: usize) -> Result<(), DecodeFault> {
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        let text = format!("{width} x {height} pixels exceed the limit for photographs ({MOST_PIXELS})");
        return Err(DecodeFault::Damaged(text));
    }
    Ok(())
}

/// Reason why an image cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DecodeFault {
    /// The file ends before its pixels do.
    Truncated,
    /// The file is not an image, or is damaged.
    Damaged(String),
    /// The file is intact, but of an unsupported or underspecified layout.
    Unread(String),
    /// As [`DecodeFault::Unread`], with what to do about it.
    Convertible(String, &'static str),
    /// It is a TIFF that may be a slide.
    Slide(String),
}

impl From<DicomFault> for DecodeFault {
    fn from(fault: DicomFault) -> Self {
        match fault {
            DicomFault::Truncated => Self::Truncated,
            DicomFault::Damaged(reason) => Self::Damaged(reason),
            DicomFault::Unread { reason, hint: Some(hint) } => Self::Convertible(reason, hint),
            DicomFault::Unread { reason, hint: None } => Self::Unread(reason),
        }
    }
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it is truncated: the image data ends too early"),
            Self::Damaged(reason) | Self::Unread(reason) | Self::Convertible(reason, _) | Self::Slide(reason) => {
                f.write_str(reason)
            }
        }
    }
}

impl DecodeFault {
    /// The error for photograph `name`.
    fn of(&self, name: &str) -> StageError {
        match self {
            Self::Truncated => StageError::input(
                "truncated-photograph",
                format!("`{name}` is truncated: the image data ends too early"),
            )
            .hint("copy or download the file again"),
            Self::Damaged(reason) => StageError::input(
                "damaged-photograph",
                format!("`{name}` cannot be read as a photograph: {reason}"),
            )
            .hint("supported formats are JPEG, PNG, TIFF and DICOM; if it is one of them, copy or download the file again"),
            Self::Convertible(reason, hint) => {
                StageError::input("unread-photograph", format!("`{name}` is not supported: {reason}")).hint(*hint)
            }
            Self::Unread(reason) => {
                StageError::input("unread-photograph", format!("`{name}` is not supported: {reason}"))
                    .hint("save it as an 8-bit JPEG, PNG or TIFF; `docs/pictures.md` lists the supported files")
            }
            Self::Slide(reason) => {
                StageError::input("unread-photograph", format!("`{name}` is not supported: {reason}"))
                    .hint(slide_region::HINT)
            }
        }
    }
}
