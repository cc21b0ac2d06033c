//! Photographs in TIFF: what their directory says, and those of kinds that the `image` crate does not read.

use super::{Photometric, TiffFile, TiffImage};
use crate::data::orientation::Orientation;
use crate::data::byte_source::ByteSource;

/// Which value of a sample is white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::data) enum White {
    /// The file does not say.
    Unsaid,
    /// The largest value of so many bits (PNG's sBIT).
    OfBits(u8),
    /// This one.
    Value(f64),
}

/// How a photograph is to be read.
pub(in crate::data) struct PhotographLayout {
    /// How it is to be shown.
    pub(in crate::data) orientation: Orientation,
    /// Which value is white.
    pub(in crate::data) white: White,
    /// Whether it is read by [`read`], not by the `image` crate.
    pub(in crate::data) own: bool,
    /// Whether samples have more than 8 bits.
    pub(in crate::data) deep: bool,
}

/// What the directory of a photograph says: how it is to be read, or why it is not.
///
/// # Errors
/// Where the directory itself can't be read.
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
        6 => Some("its colours are YCbCr".to_owned()),
        8..=10 => Some("its colours are CIE L*a*b*".to_owned()),
        32803 | 34892 => Some("its pixels are as a camera's sensor gave them".to_owned()),
        other => Some(format!("its photometric interpretation is {other}")),
    };
    if let Some(kind) = kind {
        return Err(kind);
    }
    match number(339, 1) {
        2 => return Err("its samples are signed".to_owned()),
        3 if bits != 32 || samples == 1 || photometric != 2 => {
            return Err("its samples are floating point, of other than three channels of 32 bits".to_owned());
        }
        5 | 6 => return Err("its samples are complex numbers".to_owned()),
        3 => {}
        _ if photometric == 3 && matches!(bits, 1 | 2 | 4 | 8) => {}
        _ if photometric < 2 && matches!(bits, 1 | 2 | 4 | 8 | 16) => {}
        _ if matches!(photometric, 2 | 5) && matches!(bits, 8 | 16) => {}
        _ => return Err(format!("its samples have {bits} bits")),
    }
    // The other reader knows neither palettes, nor a sample more than grey, nor bits in the other order.
    let own = photometric == 3 || matches!(bits, 2 | 4) || photometric < 2 && samples == 2 || number(266, 1) == 2;
    if own && bits == 16 {
        return Err("its samples of 16 bits are stored in a way that is not read".to_owned());
    }
    Ok(PhotographLayout { orientation: file.orientation(), white: white(file), own, deep: bits > 8 })
}

/// Which value the file says is white (tags 341 and 281). What is not one less than a power of two is the largest value that
/// occurs, rather.
fn white(file: &TiffFile<'_>) -> White {
    let least = file.number(340, 0).or_else(|| file.number(280, 0)).unwrap_or(0.0);
    let most = file.number(341, 0).or_else(|| file.number(281, 0));
    let known = |most: &f64| *most == 1.0 || (8..=16).any(|bits| *most == f64::from((1_u32 << bits) - 1));
    most.filter(known).filter(|_| least == 0.0).map_or(White::Unsaid, White::Value)
}

/// Reads a photograph of at most 8 bits a sample: its width and height, and red, green and blue.
///
/// # Errors
/// Says what is wrong with the file, in a few words.
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
            let samples = picture.pixel(row, x);
            let grey = |value: u16| (u32::from(value) * 255 / u32::from(picture.most)) as u8;
            let colour = match picture.colours {
                Photometric::Palette => picture.palette[usize::from(samples[0])],
                Photometric::Rgb => [samples[0], samples[1], samples[2]].map(grey),
                Photometric::BlackIsZero => [grey(samples[0]); 3],
                Photometric::WhiteIsZero => [grey(picture.most - samples[0]); 3],
            };
            rgb[(y * width + left + x) * 3..][..3].copy_from_slice(&colour);
        }
        Ok(())
    })?;
    Ok(((width, height), rgb))
}
