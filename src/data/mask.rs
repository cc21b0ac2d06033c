//! Lesion masks from files of any encoding, by what a pixel means.

use super::bitmap::{Bitmap, Rect};
use super::tiff;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// From which value on a pixel is lesion.
///
/// Grey: from the value on, in 0..=255 (other depths in proportion; 1 means any value but 0). Colour: where any of red, green
/// and blue is. Palette: where the colour of the pixel's index is; where neither of the first two colours is black, black is
/// not the background, and any colour but that of index 0 is lesion. Where there is alpha, a transparent pixel is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(pub u8);

impl Threshold {
    /// The lowest lesion value where `most` is white.
    #[must_use]
    pub const fn level(self, most: u16) -> u16 {
        if self.0 <= 1 { 1 } else { (self.0 as u32 * most as u32).div_ceil(255) as u16 }
    }

    /// Which indices of a palette are lesion.
    #[must_use]
    pub fn of_palette(self, palette: &[Colour]) -> Option<Vec<bool>> {
        let background = *palette.first()?;
        let black = palette.iter().take(2).any(|colour| *colour == [0; 3]);
        let bright = |colour: &Colour| colour.iter().any(|&value| u16::from(value) >= self.level(255));
        Some(palette.iter().map(|colour| if black { bright(colour) } else { *colour != background }).collect())
    }
}

/// What a mask file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Lesion from a value on.
    Lesion(Threshold),
    /// How many pixels of the release each pixel stands for (what `preprocess` writes).
    Counts,
}

/// A mask: where the lesion is and how many pixels of the release that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    bits: Bitmap,
    counts: Option<Vec<u16>>,
}

impl Mask {
    /// A mask whose pixels are as released.
    #[must_use]
    pub const fn released(bits: Bitmap) -> Self {
        Self { bits, counts: None }
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
        Self { bits, counts: Some(counts) }
    }

    /// Reads a mask file of any format that is known by its first bytes: TIFF, PNG, JPEG.
    ///
    /// # Errors
    /// Says what is wrong with the file, in a few words.
    pub fn read(bytes: &[u8], content: Content) -> Result<Self, String> {
        match content {
            Content::Lesion(threshold) if bytes.starts_with(b"II") || bytes.starts_with(b"MM") => {
                tiff::read(bytes, threshold).map(Self::released)
            }
            Content::Lesion(threshold) => picture(bytes).map(|picture| lesion(&picture, threshold)),
            Content::Counts => {
                let picture = picture(bytes)?;
                let (width, height) = (picture.width() as usize, picture.height() as usize);
                // Never through a conversion: those scale 8 bits to 16.
                let counts = match picture {
                    image::DynamicImage::ImageLuma8(grey) => grey.into_raw().into_iter().map(u16::from).collect(),
                    image::DynamicImage::ImageLuma16(grey) => grey.into_raw(),
                    _ => return Err("counts of pixels are grey".to_owned()),
                };
                Ok(Self::counted(width, height, counts))
            }
        }
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

fn picture(bytes: &[u8]) -> Result<image::DynamicImage, String> {
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes));
    reader = reader.with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(1 << 15);
    limits.max_image_height = Some(1 << 15);
    limits.max_alloc = Some(9 * tiff::MOST_PIXELS as u64);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = image::ImageDecoder::dimensions(&decoder);
    // Before there is memory for it. A byte of the file stands for at most some thousand bytes of pixels, however it is compressed.
    if width as usize * height as usize > tiff::MOST_PIXELS {
        return Err(format!("{width} x {height} pixels are more than a mask may have"));
    }
    if image::ImageDecoder::total_bytes(&decoder) > (bytes.len() as u64).saturating_mul(4096) {
        return Err("its pixels end too early: the file is truncated or damaged".to_owned());
    }
    image::DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())
}

fn lesion(picture: &image::DynamicImage, threshold: Threshold) -> Mask {
    use image::DynamicImage as Picture;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let mut bits = Bitmap::new(width, height);
    let low = threshold.level(255) as u8;
    let high = threshold.level(u16::MAX);
    match picture {
        Picture::ImageLuma8(grey) => mark(&mut bits, grey.as_raw().iter().map(|&value| value >= low)),
        Picture::ImageLuma16(grey) => mark(&mut bits, grey.as_raw().iter().map(|&value| value >= high)),
        Picture::ImageRgb8(rgb) => {
            mark(&mut bits, rgb.as_raw().as_chunks::<3>().0.iter().map(|rgb| rgb.iter().any(|&value| value >= low)));
        }
        other => {
            let seen = |rgba: &[u16; 4]| rgba[3] > 0 && rgba[..3].iter().any(|&value| value >= high);
            let rgba = other.to_rgba16();
            // Eight bits became sixteen by repetition (v * 257), so that value 1 is 257 and `level` keeps its place.
            mark(&mut bits, rgba.as_raw().as_chunks::<4>().0.iter().map(seen));
        }
    }
    Mask::released(bits)
}

fn mark(bits: &mut Bitmap, lesion: impl Iterator<Item = bool>) {
    let width = bits.width();
    for (i, _) in lesion.enumerate().filter(|(_, lesion)| *lesion) {
        bits.set(i % width, i / width);
    }
}
