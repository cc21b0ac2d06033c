//! TIFF masks: which samples of the decoded image are lesion.

use super::{Levels, Mask, Scale, Threshold};
use crate::data::bitmap::Bitmap;
use crate::data::byte_source::ByteSource;
use crate::data::tiff::{Photometric, TiffFile, TiffImage};

/// Decodes a mask (see [`Threshold`]) and applies its orientation.
///
/// # Errors
/// A short description of what is wrong with the file.
pub(super) fn read(bytes: &[u8], threshold: Threshold) -> Result<Mask, String> {
    let file = TiffFile::open(ByteSource::Memory(bytes))?;
    file.one_page()?;
    let image = TiffImage::describe(&file)?;
    let mut builder = MaskBuilder::new(&image, threshold)?;
    image.rows(&file, |row, left, y| builder.mark(row, &image, left, y))?;
    Ok(builder.mask().shown(file.orientation()))
}

/// Whether a mask was, or may have been, decoded differently by the first version of macula.
pub(in crate::data) fn decoding_changed(source: ByteSource<'_>, threshold: Threshold) -> bool {
    let Ok(file) = TiffFile::open(source) else { return false };
    if !file.orientation().is_upright() || file.one_page().is_err() || file.number(339, 0) == Some(2.0) {
        return true;
    }
    let Ok(image) = TiffImage::describe(&file) else { return false };
    let samples_more = image.samples > image.channels() && !image.alpha;
    let values = match image.colours {
        Photometric::Palette => {
            let mut colours = image.palette.clone();
            colours.sort_unstable();
            colours.dedup();
            colours.len() > 2
        }
        _ => image.bits > 1,
    };
    samples_more || values && threshold == Threshold::Automatic
}

/// Builder of a mask from the rows of a TIFF.
pub(super) enum MaskBuilder {
    /// One sample of at most 8 bits: which values are lesion, and which have occurred.
    Table { lesion: Box<[bool; 256]>, seen: Box<[bool; 256]>, mask: Bitmap },
    /// One bit per pixel, the most common case, by whole bytes: `byte & keep ^ flip`.
    Bits { keep: u8, flip: u8, mask: Bitmap },
    /// Grey levels or colours.
    Levels(Levels),
}

impl MaskBuilder {
    fn new(image: &TiffImage, threshold: Threshold) -> Result<Self, String> {
        Self::with(image, threshold, Scale::Full)
    }

    /// A builder for a part of an image.
    pub(super) fn of_part(part: &TiffImage, threshold: Threshold) -> Result<Self, String> {
        Self::with(part, threshold, Scale::Numbers)
    }

    /// A builder; `scale` is the meaning of values that may be brightness.
    fn with(image: &TiffImage, threshold: Threshold, scale: Scale) -> Result<Self, String> {
        let mask = || Bitmap::new(image.width, image.height);
        let lesion: Vec<bool> = match image.colours {
            Photometric::Palette if Threshold::is_grey_scale(&image.palette) && image.bits > 1 => {
                return Ok(Self::Levels(Levels::new(mask(), 255, threshold, scale)));
            }
            Photometric::Palette => threshold.of_palette(&image.palette).ok_or("its palette is empty")?,
            Photometric::WhiteIsZero | Photometric::BlackIsZero if image.bits == 1 && image.samples == 1 => {
                let white_is_zero = image.colours == Photometric::WhiteIsZero;
                vec![white_is_zero, !white_is_zero]
            }
            _ => {
                let scale = if image.bits < 8 || image.signed { Scale::Numbers } else { scale };
                return Ok(Self::Levels(Levels::new(mask(), image.most, threshold, scale)));
            }
        };
        if image.bits == 1 {
            let flip = if lesion[0] { 0xff } else { 0 };
            let keep = if lesion[0] == lesion[1] { 0 } else { 0xff };
            return Ok(Self::Bits { keep, flip, mask: mask() });
        }
        let mut table = [false; 256];
        table.iter_mut().zip(lesion).for_each(|(entry, lesion)| *entry = lesion);
        Ok(Self::Table { lesion: Box::new(table), seen: Box::new([false; 256]), mask: mask() })
    }

    pub(super) fn mark(&mut self, row: &[u8], image: &TiffImage, left: usize, y: usize) -> Result<(), String> {
        let width = image.block_width.min(image.width - left);
        match self {
            Self::Bits { keep, flip, mask } => {
                let bits = &row[..width.div_ceil(8)];
                if (*keep, *flip) == (0xff, 0) {
                    mask.set_bits(left, y, bits);
                } else {
                    mask.set_bits(left, y, &bits.iter().map(|byte| byte & *keep ^ *flip).collect::<Vec<u8>>());
                }
            }
            Self::Table { lesion, seen, mask } => {
                for x in 0..width {
                    let value = usize::from(image.pixel(row, x)[0]);
                    seen[value] = true;
                    if lesion[value] {
                        mask.set(left + x, y);
                    }
                }
            }
            Self::Levels(levels) => {
                let channels = image.channels();
                for x in 0..width {
                    let samples = image.pixel(row, x);
                    if image.signed && samples[..image.samples].iter().any(|value| *value > image.most) {
                        return Err("it has negative values, whose meaning is unknown".to_owned());
                    }
                    let shown = |value: u16| match image.colours {
                        Photometric::WhiteIsZero => image.most - value,
                        Photometric::Palette => u16::from(image.palette[usize::from(value)][0]),
                        _ => value,
                    };
                    let colour = if channels == 3 { [samples[0], samples[1], samples[2]] } else { [samples[0]; 3] };
                    let alpha = image.alpha.then(|| samples[channels]);
                    levels.add(left + x, y, colour.map(shown), alpha);
                }
            }
        }
        Ok(())
    }

    pub(super) fn mask(self) -> Mask {
        match self {
            Self::Bits { mask, .. } => Mask::released(mask),
            Self::Table { seen, mask, .. } => Mask::of_colours(mask, seen.iter().filter(|seen| **seen).count()),
            Self::Levels(levels) => levels.mask(),
        }
    }
}
