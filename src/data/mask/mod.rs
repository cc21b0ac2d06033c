//! Lesion masks from files of any encoding: which pixels are lesion.

mod from_tiff;
mod levels;
mod of_value;
mod partial;
mod pixels;

use super::bitmap::{Bitmap, Rect};
use super::byte_source::ByteSource;
use super::colour::Colour;
use super::decode::PictureFormat;
use super::orientation::Orientation;
use super::{decode, png_header, tiff};

pub(super) use from_tiff::decoding_changed;
use levels::{Levels, Scale};
pub use of_value::MaskValue;
pub(super) use partial::PartialMask;

/// Lowest value at which a mask pixel is lesion.
///
/// Grey: on the scale 0..=255, other depths in proportion; 1 means any value but 0. Colour: any of red, green and blue reaches it.
/// Palette: the colour of the pixel's index reaches it; if neither of the first two colours is black, black is not the background and
/// any colour but that of index 0 is lesion. Fully transparent pixels are never lesion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Not set by the pipeline: any value but 0, or half of white for masks with soft edges.
    Automatic,
    /// From this value on.
    From(u8),
}

impl Threshold {
    /// Lowest lesion value if white is `most`.
    #[must_use]
    pub const fn level(self, most: u16) -> u16 {
        match self {
            Self::Automatic | Self::From(0 | 1) => 1,
            Self::From(value) => (value as u32 * most as u32).div_ceil(255) as u16,
        }
    }

    /// Whether each index of a palette is lesion; [`None`] for an empty palette.
    #[must_use]
    pub fn of_palette(self, palette: &[Colour]) -> Option<Vec<bool>> {
        let background = *palette.first()?;
        let black = Self::black_first(palette);
        let bright = |colour: &Colour| colour.iter().any(|&value| u16::from(value) >= self.level(255));
        Some(palette.iter().map(|colour| if black { bright(colour) } else { *colour != background }).collect())
    }

    /// Whether black is the background of a palette.
    pub(super) fn black_first(palette: &[Colour]) -> bool {
        palette.iter().take(2).any(|colour| *colour == [0; 3])
    }

    /// Whether a palette holds only grey levels on a black background, so that its indices are read as grey.
    fn is_grey_scale(palette: &[Colour]) -> bool {
        Self::black_first(palette) && palette.iter().all(|[red, green, blue]| red == green && green == blue)
    }
}

/// Values of a mask of several classes that belong to none of `classes` and are not black, as a pipeline writes them, each with its number
/// of pixels, the most frequent first.
///
/// # Errors
/// A short description of what is wrong with the file.
pub fn other_values(bytes: &[u8], classes: &[MaskValue]) -> Result<Vec<(String, u64)>, String> {
    of_value::other_values(bytes, classes)
}

/// Content of a mask file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskContent {
    /// Lesion pixels, by a threshold.
    Lesion(Threshold),
    /// The pixels of one value, in a mask of several classes.
    Value(MaskValue),
    /// Number of native lesion pixels per pixel, as `preprocess` writes.
    Counts,
}

/// Kind of values found in a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskValues {
    /// One or two values, or a threshold set by the pipeline.
    #[default]
    Two,
    /// More than two values up to white: soft edges, thresholded at half of white.
    Soft,
    /// More than two values, all but the background taken as lesion.
    Many,
    /// Mostly neither black nor white.
    Photograph,
}

/// A lesion mask, and the number of native pixels behind each of its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    bits: Bitmap,
    counts: Option<Vec<u16>>,
    seen: MaskValues,
    turned: Orientation,
}

impl Mask {
    /// A mask at native resolution.
    #[must_use]
    pub const fn released(bits: Bitmap) -> Self {
        Self { bits, counts: None, seen: MaskValues::Two, turned: Orientation::UPRIGHT }
    }

    /// A palette mask in which so many colours occur.
    fn of_colours(bits: Bitmap, colours: usize) -> Self {
        Self { seen: if colours > 2 { MaskValues::Many } else { MaskValues::Two }, ..Self::released(bits) }
    }

    /// The mask with the orientation of its file applied.
    fn shown(self, orientation: Orientation) -> Self {
        Self { bits: orientation.turn(self.bits), turned: orientation, ..self }
    }

    /// A mask from counts of native lesion pixels, row by row.
    ///
    /// # Panics
    /// If the length of `counts` is not `width` x `height` (a bug in the caller).
    #[must_use]
    pub fn counted(width: usize, height: usize, counts: Vec<u16>) -> Self {
        assert_eq!(counts.len(), width * height, "counts of a {width} x {height} mask");
        let mut bits = Bitmap::new(width, height);
        for (i, _) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            bits.set(i % width, i / width);
        }
        Self { counts: Some(counts), ..Self::released(bits) }
    }

    /// Decodes a mask file, TIFF or PNG, or JPEG if the pipeline sets a threshold.
    ///
    /// # Errors
    /// A short description of what is wrong with the file.
    pub fn read(bytes: &[u8], content: MaskContent) -> Result<Self, String> {
        let is_dicom = || decode::format_of(ByteSource::Memory(bytes)) == Some(PictureFormat::Dicom);
        match content {
            MaskContent::Lesion(_) | MaskContent::Value(_) if is_dicom() => {
                Err("it is a DICOM, which is read as a photograph only".to_owned())
            }
            MaskContent::Lesion(threshold) if tiff::begins(bytes) => from_tiff::read(bytes, threshold),
            MaskContent::Lesion(threshold) if bytes.starts_with(png_header::MAGIC) => pixels::of_png(bytes, threshold),
            MaskContent::Lesion(threshold) if decode::is_jpeg(bytes) => pixels::of_jpeg(bytes, threshold),
            MaskContent::Lesion(_) if bytes.is_empty() => Err("the file is empty".to_owned()),
            MaskContent::Lesion(_) => Err("it is not a PNG or TIFF".to_owned()),
            MaskContent::Value(_) if decode::is_jpeg(bytes) => {
                Err("it is a JPEG, which blurs the values of classes".to_owned())
            }
            MaskContent::Value(value) => of_value::read(bytes, value),
            MaskContent::Counts => pixels::counts(bytes),
        }
    }

    /// Kind of values found in the file.
    #[must_use]
    pub const fn seen(&self) -> MaskValues {
        self.seen
    }

    /// Orientation applied when it was read.
    #[must_use]
    pub const fn turned(&self) -> Orientation {
        self.turned
    }

    /// Lesion pixels.
    #[must_use]
    pub const fn bits(&self) -> &Bitmap {
        &self.bits
    }

    /// Number of native lesion pixels behind pixel (x, y).
    #[must_use]
    pub fn native(&self, x: usize, y: usize) -> u16 {
        match &self.counts {
            Some(counts) => counts[y * self.bits.width() + x],
            None => u16::from(self.bits.get(x, y)),
        }
    }

    /// Number of native lesion pixels within `rect`.
    #[must_use]
    pub fn native_in(&self, rect: Rect) -> u32 {
        match &self.counts {
            None => self.bits.count_in(rect),
            Some(counts) => {
                let count = |(x, y)| u32::from(counts[y * self.bits.width() + x]);
                self.bits.pixels_in(rect).map(count).sum()
            }
        }
    }
}
