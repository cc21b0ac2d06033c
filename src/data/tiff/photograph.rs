//! TIFF photographs: their directory, and a decoder for layouts that the `image` crate does not support.

use super::{TiffFile, TiffImage};
use crate::data::byte_source::ByteSource;
use crate::data::orientation::Orientation;

/// Longest colour profile that is read, bytes.
const LONGEST_PROFILE: usize = 1 << 22;

/// White level of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::data) enum White {
    /// Not stated by the file.
    Unsaid,
    /// The largest value of this many bits (PNG's sBIT).
    OfBits(u8),
    /// This value.
    Value(f64),
}

/// Layout of a photograph.
pub(in crate::data) struct PhotographLayout {
    /// Orientation.
    pub(in crate::data) orientation: Orientation,
    /// White level.
    pub(in crate::data) white: White,
    /// Whether it is decoded by [`read`] rather than the `image` crate.
    pub(in crate::data) own: bool,
    /// Bits per sample.
    pub(in crate::data) bits: u8,
    /// Width and height as stored, px.
    pub(in crate::data) size: (usize, usize),
}

/// Layout of a photograph, or the reason why it is not supported.
///
/// # Errors
/// If the directory itself cannot be read.
pub(in crate::data) fn describe(source: ByteSource<'_>) -> Result<Result<PhotographLayout, String>, String> {
    let file = TiffFile::open(source)?;
    Ok(described(&file))
}

fn described(file: &TiffFile<'_>) -> Result<PhotographLayout, String> {
    file.one_page()?;
    let number = |tag, default| file.number(tag, 0).map_or(default, |value| value as u32);
    let (bits, samples, photometric) = (number(258, 1), number(277, 1), number(262, 1));
    let kind = match photometric {
        0..=3 | 5 => None,
        6 => Some("it has YCbCr colours".to_owned()),
        8..=10 => Some("it has CIE L*a*b* colours".to_owned()),
        32803 | 34892 => Some("it holds raw sensor data".to_owned()),
        other => Some(format!("it has photometric interpretation {other}")),
    };
    if let Some(kind) = kind {
        return Err(kind);
    }
    match number(339, 1) {
        2 => return Err("it has signed samples".to_owned()),
        3 if bits != 32 || samples == 1 || photometric != 2 => {
            return Err("it has floating-point samples in a layout other than 32-bit RGB".to_owned());
        }
        5 | 6 => return Err("it has complex samples".to_owned()),
        3 => {}
        _ if photometric == 3 && matches!(bits, 1 | 2 | 4 | 8) => {}
        _ if photometric < 2 && matches!(bits, 1 | 2 | 4 | 8 | 16) => {}
        _ if matches!(photometric, 2 | 5) && matches!(bits, 8 | 16) => {}
        _ => return Err(format!("it has {bits}-bit samples")),
    }
    // The `image` crate supports neither palettes, nor grey with an extra sample, nor reversed fill order.
    let own = photometric == 3 || matches!(bits, 2 | 4) || photometric < 2 && samples == 2 || number(266, 1) == 2;
    if own && bits == 16 {
        return Err("it has 16-bit samples in an unsupported layout".to_owned());
    }
    let size = (number(256, 0) as usize, number(257, 0) as usize);
    Ok(PhotographLayout { orientation: file.orientation(), white: white(file), own, bits: bits as u8, size })
}

/// Whether a file that is not read as a photograph may be a slide: it is stored in tiles, or larger than photographs are.
pub(in crate::data) fn may_be_slide(source: ByteSource<'_>) -> bool {
    TiffFile::open(source).is_ok_and(|file| {
        let side = |tag| file.number(tag, 0).unwrap_or(0.0);
        file.count(322) > 0 || side(256) * side(257) > super::MOST_PIXELS as f64
    })
}

/// White level by tags 341 and 281. A value that is not one less than a power of two is rather the largest that occurs, and ignored.
fn white(file: &TiffFile<'_>) -> White {
    let least = file.number(340, 0).or_else(|| file.number(280, 0)).unwrap_or(0.0);
    let most = file.number(341, 0).or_else(|| file.number(281, 0));
    let known = |most: &f64| *most == 1.0 || (8..=16).any(|bits| *most == f64::from((1_u32 << bits) - 1));
    most.filter(known).filter(|_| least == 0.0).map_or(White::Unsaid, White::Value)
}

/// Colour profile of a photograph (tag 34675); [`None`] if there is none.
pub(in crate::data) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let file = TiffFile::open(ByteSource::Memory(bytes)).ok()?;
    file.bytes(34675, LONGEST_PROFILE).ok().flatten()
}

/// Decodes a photograph of at most 8 bits per sample: width and height, and RGB pixels.
///
/// # Errors
/// A short description of what is wrong with the file.
pub(in crate::data) fn read(bytes: &[u8]) -> Result<((usize, usize), Vec<u8>), String> {
    let file = TiffFile::open(ByteSource::Memory(bytes))?;
    let picture = TiffImage::describe(&file)?;
    let (width, height) = (picture.width, picture.height);
    let mut rgb = Vec::new();
    picture.rows(&file, |row, left, y| {
        if rgb.is_empty() {
            rgb.resize(width * height * 3, 0);
        }
        for x in 0..picture.block_width.min(width - left) {
            let outside = || "some pixels have an index outside the palette".to_owned();
            let colour = picture.colour(row, x).ok_or_else(outside)?;
            rgb[(y * width + left + x) * 3..][..3].copy_from_slice(&colour);
        }
        Ok(())
    })?;
    Ok(((width, height), rgb))
}
