//! Masks in PNG and JPEG, and the pixel counts that `preprocess` writes.

use std::io::Cursor;

use super::{Levels, Mask, Scale, Threshold};
use crate::data::bitmap::Bitmap;
use crate::data::byte_source::ByteSource;
use crate::data::colour::Colour;
use crate::data::decode::Photograph;
use crate::data::png_header::{self, PngHeader};
use crate::data::tiff::MOST_PIXELS;

/// Upper bound of the compression ratio.
const RATIO: usize = 4096;

/// Pixels of a PNG, and what its chunks say of them.
pub(super) struct PngPixels {
    pub(super) header: PngHeader,
    pub(super) frame: ::png::OutputInfo,
    pub(super) bytes: Vec<u8>,
}

/// Decodes a PNG of bounded size that is not an animation; `unpacked` says how samples are unpacked.
pub(super) fn decoded(
    bytes: &[u8],
    unpacked: impl Fn(&PngHeader) -> ::png::Transformations,
) -> Result<PngPixels, String> {
    let header = png_header::header(ByteSource::Memory(bytes)).ok_or("it is not a PNG")?;
    if header.frames > 1 {
        return Err(format!(
            "it is an animation of {} frames; save the intended frame as a file of its own",
            header.frames
        ));
    }
    let wrong = |error: ::png::DecodingError| error.to_string();
    let limits = ::png::Limits { bytes: 9 * MOST_PIXELS };
    let mut decoder = ::png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    let info = decoder.read_header_info().map_err(wrong)?;
    let (width, height) = (info.width as usize, info.height as usize);
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(format!("{width} x {height} pixels exceed the limit for masks"));
    }
    decoder.set_transformations(unpacked(&header));
    let mut reader = decoder.read_info().map_err(wrong)?;
    let too_short = || "its pixels end too early: the file is truncated or damaged".to_owned();
    let length = reader.output_buffer_size().filter(|length| *length <= bytes.len().saturating_mul(RATIO));
    let mut pixels = vec![0; length.ok_or_else(too_short)?];
    let frame = reader.next_frame(&mut pixels).map_err(wrong)?;
    Ok(PngPixels { header, frame, bytes: pixels })
}

/// Decodes a PNG mask. Palettes are not expanded to colours, since the index tells which one is the background.
pub(super) fn of_png(bytes: &[u8], threshold: Threshold) -> Result<Mask, String> {
    let unpacked = |header: &PngHeader| {
        if header.indexed { ::png::Transformations::IDENTITY } else { ::png::Transformations::EXPAND }
    };
    let PngPixels { header, frame, bytes } = decoded(bytes, unpacked)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let rows = bytes.chunks_exact(frame.line_size).take(height);
    let empty = Bitmap::new(width, height);
    let mask = if header.indexed {
        of_indices(rows, usize::from(header.bits), &header.palette, &header.opacity, empty, threshold)?
    } else {
        of_samples(rows, frame.color_type.samples(), frame.bit_depth, empty, header.bits, threshold)
    };
    Ok(mask.shown(header.orientation))
}

fn of_indices<'p>(
    rows: impl Iterator<Item = &'p [u8]>,
    bits: usize,
    palette: &[Colour],
    opacity: &[u8],
    empty: Bitmap,
    threshold: Threshold,
) -> Result<Mask, String> {
    let width = empty.width();
    let index = |row: &[u8], x: usize| {
        let in_byte = 8 / bits;
        usize::from(row[x / in_byte] >> (8 - bits * (x % in_byte + 1))) & ((1 << bits) - 1)
    };
    let outside = || "some pixels have an index outside the palette".to_owned();
    if Threshold::is_grey_scale(palette) && bits > 1 {
        let mut levels = Levels::new(empty, 255, threshold, Scale::Full);
        for (y, row) in rows.enumerate() {
            for x in 0..width {
                let index = index(row, x);
                let grey = u16::from(palette.get(index).ok_or_else(outside)?[0]);
                levels.add(x, y, [grey; 3], opacity.get(index).map(|opacity| u16::from(*opacity)));
            }
        }
        return Ok(levels.mask());
    }
    let mut lesion = threshold.of_palette(palette).ok_or("its palette is empty")?;
    lesion.iter_mut().zip(opacity).for_each(|(lesion, opacity)| *lesion &= *opacity > 0);
    let (mut mask, mut seen) = (empty, vec![false; palette.len()]);
    for (y, row) in rows.enumerate() {
        for x in 0..width {
            let index = index(row, x);
            *seen.get_mut(index).ok_or_else(outside)? = true;
            if lesion[index] {
                mask.set(x, y);
            }
        }
    }
    Ok(Mask::of_colours(mask, seen.iter().filter(|seen| **seen).count()))
}

/// A mask from rows of grey or colour samples; `stored` is the number of bits per sample in the file.
fn of_samples<'p>(
    rows: impl Iterator<Item = &'p [u8]>,
    samples: usize,
    depth: ::png::BitDepth,
    empty: Bitmap,
    stored: u8,
    threshold: Threshold,
) -> Mask {
    let width = empty.width();
    let deep = depth == ::png::BitDepth::Sixteen;
    let scale = if stored < 8 { Scale::Numbers } else { Scale::Full };
    let mut levels = Levels::new(empty, if deep { u16::MAX } else { 255 }, threshold, scale);
    let sample = |row: &[u8], at: usize| {
        if deep { u16::from_be_bytes([row[2 * at], row[2 * at + 1]]) } else { u16::from(row[at]) }
    };
    for (y, row) in rows.enumerate() {
        for x in 0..width {
            let first = x * samples;
            let colour = if samples >= 3 { [0, 1, 2].map(|c| sample(row, first + c)) } else { [sample(row, first); 3] };
            let alpha = matches!(samples, 2 | 4).then(|| sample(row, first + samples - 1));
            levels.add(x, y, colour, alpha);
        }
    }
    levels.mask()
}

/// Decodes a JPEG mask. JPEG blurs edges, so the pipeline must set a threshold.
pub(super) fn of_jpeg(bytes: &[u8], threshold: Threshold) -> Result<Mask, String> {
    let Threshold::From(2..) = threshold else {
        return Err("it is a JPEG, which blurs masks".to_owned());
    };
    let mut picture = Photograph::default();
    let info = picture.decode_bytes(bytes).map_err(|fault| fault.to_string())?;
    let empty = Bitmap::new(picture.width, picture.height);
    let mut levels = Levels::new(empty, 255, threshold, Scale::Full);
    for (i, colour) in picture.rgb.as_chunks::<3>().0.iter().enumerate() {
        levels.add(i % picture.width, i / picture.width, colour.map(u16::from), None);
    }
    Ok(Mask { turned: info.orientation, ..levels.mask() })
}

/// Decodes counts of native lesion pixels, as `preprocess` writes them.
pub(super) fn counts(bytes: &[u8]) -> Result<Mask, String> {
    let mut reader = image::ImageReader::new(Cursor::new(bytes));
    reader = reader.with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(1 << 15);
    limits.max_image_height = Some(1 << 15);
    limits.max_alloc = Some(9 * MOST_PIXELS as u64);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| error.to_string())?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    // No conversion: it would scale 8 bits to 16.
    let counts = match picture {
        image::DynamicImage::ImageLuma8(grey) => grey.into_raw().into_iter().map(u16::from).collect(),
        image::DynamicImage::ImageLuma16(grey) => grey.into_raw(),
        _ => return Err("pixel counts must be grey".to_owned()),
    };
    Ok(Mask::counted(width, height, counts))
}
