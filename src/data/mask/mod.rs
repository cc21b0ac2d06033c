//! Lesion masks from files of any encoding, by what a pixel means.

mod from_tiff;
mod levels;
mod pixels;

use super::bitmap::{Bitmap, Rect};
use super::colour::Colour;
use super::orientation::Orientation;
use super::{decode, png_header, tiff};

pub(super) use from_tiff::decoding_changed;
use levels::{Levels, Scale};

/// From which value on a pixel is lesion.
///
/// Grey: from the value on, in 0..=255 (other depths in proportion; 1 means any value but 0). Colour: where any of red, green
/// and blue is. Palette: where the colour of the pixel's index is; where neither of the first two colours is black, black is
/// not the background, and any colour but that of index 0 is lesion. Where there is alpha, a transparent pixel is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// The pipeline does not say: any value but 0, and of masks with soft edges half of white.
    Automatic,
    /// From this value on.
    From(u8),
}

impl Threshold {
    /// The lowest lesion value where `most` is white.
    #[must_use]
    pub const fn level(self, most: u16) -> u16 {
        match self {
            Self::Automatic | Self::From(0 | 1) => 1,
            Self::From(value) => (value as u32 * most as u32).div_ceil(255) as u16,
        }
    }

    /// Which indices of a palette are lesion.
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

    /// Whether a palette holds values of grey on black and nothing else, so that its indices are read as grey.
    fn is_grey_scale(palette: &[Colour]) -> bool {
        Self::black_first(palette) && palette.iter().all(|[red, green, blue]| red == green && green == blue)
    }
}

/// What a mask file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskContent {
    /// Lesion from a value on.
    Lesion(Threshold),
    /// How many pixels of the release each pixel stands for (what `preprocess` writes).
    Counts,
}

/// What the values of a mask look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskValues {
    /// One or two values, or the pipeline says from which one on a pixel is lesion.
    #[default]
    Two,
    /// More than two up to white: the edges are soft, and half of white was taken.
    Soft,
    /// More than two, all but the background taken.
    Many,
    /// Most pixels are neither black nor white.
    Photograph,
}

/// A mask: where the lesion is and how many pixels of the release that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    bits: Bitmap,
    counts: Option<Vec<u16>>,
    seen: MaskValues,
    turned: Orientation,
}

impl Mask {
    /// A mask whose pixels are as released.
    #[must_use]
    pub const fn released(bits: Bitmap) -> Self {
        Self { bits, counts: None, seen: MaskValues::Two, turned: Orientation::UPRIGHT }
    }

    /// A mask of a palette of which so many colours occur.
    fn of_colours(bits: Bitmap, colours: usize) -> Self {
        Self { seen: if colours > 2 { MaskValues::Many } else { MaskValues::Two }, ..Self::released(bits) }
    }

    /// The mask as its file says that it is to be shown.
    fn shown(self, orientation: Orientation) -> Self {
        Self { bits: orientation.turn(self.bits), turned: orientation, ..self }
    }

    /// A mask of which each pixel stands for some pixels of the release, row by row.
    ///
    /// # Panics
    /// Where `counts` is not `width` x `height` long: a defect of the caller.
    #[must_use]
    pub fn counted(width: usize, height: usize, counts: Vec<u16>) -> Self {
        assert_eq!(counts.len(), width * height, "counts of a {width} x {height} mask");
        let mut bits = Bitmap::new(width, height);
        for (i, _) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            bits.set(i % width, i / width);
        }
        Self { counts: Some(counts), ..Self::released(bits) }
    }

    /// Reads a mask file of any format that is known by its first bytes: TIFF and PNG, and JPEG where the pipeline says from which
    /// value on a pixel is lesion.
    ///
    /// # Errors
    /// Says what is wrong with the file, in a few words.
    pub fn read(bytes: &[u8], content: MaskContent) -> Result<Self, String> {
        match content {
            MaskContent::Lesion(threshold) if tiff::begins(bytes) => from_tiff::read(bytes, threshold),
            MaskContent::Lesion(threshold) if bytes.starts_with(png_header::MAGIC) => pixels::of_png(bytes, threshold),
            MaskContent::Lesion(threshold) if decode::is_jpeg(bytes) => pixels::of_jpeg(bytes, threshold),
            MaskContent::Lesion(_) if bytes.is_empty() => Err("the file is empty".to_owned()),
            MaskContent::Lesion(_) => Err("it does not begin as a PNG or TIFF".to_owned()),
            MaskContent::Counts => pixels::counts(bytes),
        }
    }

    /// What its values look like.
    #[must_use]
    pub const fn seen(&self) -> MaskValues {
        self.seen
    }

    /// How it was turned to be as shown.
    #[must_use]
    pub const fn turned(&self) -> Orientation {
        self.turned
    }

    /// Where it is set.
    #[must_use]
    pub const fn bits(&self) -> &Bitmap {
        &self.bits
    }

    /// How many pixels of the release pixel (x, y) stands for.
    #[must_use]
    pub fn native(&self, x: usize, y: usize) -> u16 {
        match &self.counts {
            Some(counts) => counts[y * self.bits.width() + x],
            None => u16::from(self.bits.get(x, y)),
        }
    }

    /// How many pixels of the release are lesion within `rect`.
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
