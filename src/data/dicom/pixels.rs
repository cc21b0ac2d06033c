//! Pixel data of a DICOM (PS3.5, section 8 and annexes A and G): samples as they are stored, run lengths, and frames in fragments.

use std::borrow::Cow;

use super::DicomFault;
use super::attributes::DicomAttributes;
use super::elements::{DataElement, ITEM, SEQUENCE_END};
use super::layout::SampleLayout;
use super::syntax::PixelCompression;
use crate::data::colour::Colour;
use crate::data::tiff::unpack_bits;

/// Upper bound of Deflate's compression ratio.
const DEFLATE_RATIO: usize = 1040;

/// Upper bound of the compression ratio of run lengths: 128 bytes from 2.
const RUNS_RATIO: usize = 64;

/// Bytes of the header of run lengths.
const RUNS_HEADER: usize = 64;

/// Pixels of an image.
pub(in crate::data) enum DicomPixels<'a> {
    /// A JPEG.
    Jpeg(Cow<'a, [u8]>),
    /// Samples.
    Samples(SampleBytes<'a>),
}

/// Samples of all pixels.
pub(in crate::data) struct SampleBytes<'a> {
    bytes: Cow<'a, [u8]>,
    /// Whether samples of two bytes are big-endian.
    big: bool,
    /// Whether all red samples come first, then all green ones.
    planar: bool,
}

impl SampleBytes<'_> {
    /// Passes the bits of each sample to `take`.
    pub(super) fn each(&self, layout: &SampleLayout, mut take: impl FnMut(u16)) {
        if layout.allocated == 8 {
            return self.bytes.iter().for_each(|byte| take(u16::from(*byte)));
        }
        let word = |pair: &[u8; 2]| if self.big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
        self.bytes.as_chunks::<2>().0.iter().for_each(|pair| take(word(pair)));
    }

    /// Passes the three samples of each pixel to `take`.
    pub(super) fn each_colour(&self, layout: &SampleLayout, mut take: impl FnMut(Colour)) {
        if layout.halved {
            for [left, right, blue, red] in self.bytes.as_chunks::<4>().0 {
                take([*left, *blue, *red]);
                take([*right, *blue, *red]);
            }
        } else if self.planar {
            let (first, rest) = self.bytes.split_at(layout.pixels());
            let (second, third) = rest.split_at(layout.pixels());
            for ((first, second), third) in first.iter().zip(second).zip(third) {
                take([*first, *second, *third]);
            }
        } else {
            self.bytes.as_chunks::<3>().0.iter().for_each(|colour| take(*colour));
        }
    }
}

/// Reads the pixels of an image whose size was checked.
pub(super) fn read<'a>(
    attributes: &'a DicomAttributes<'_>,
    layout: &SampleLayout,
) -> Result<DicomPixels<'a>, DicomFault> {
    let missing = || DicomFault::unread("it holds no image");
    let element = attributes.pixels.ok_or_else(missing)?;
    let expected = layout.bytes();
    match attributes.syntax.pixels {
        PixelCompression::Native => native(attributes, layout, &element),
        PixelCompression::Jpeg => Ok(DicomPixels::Jpeg(frame(attributes, &element)?)),
        PixelCompression::RunLengths => {
            let frame = frame(attributes, &element)?;
            if expected > frame.len().saturating_mul(RUNS_RATIO) {
                return Err(DicomFault::Truncated);
            }
            let bytes = Cow::Owned(run_lengths(&frame, layout)?);
            Ok(DicomPixels::Samples(SampleBytes { bytes, big: false, planar: true }))
        }
    }
}

/// Samples as they are stored.
fn native<'a>(
    attributes: &'a DicomAttributes<'_>,
    layout: &SampleLayout,
    element: &DataElement,
) -> Result<DicomPixels<'a>, DicomFault> {
    let expected = layout.bytes();
    let length = element.length.ok_or_else(|| DicomFault::Damaged("its pixels have no length".to_owned()))?;
    if length != expected && length != expected.next_multiple_of(2) {
        let text = format!("its pixels have {length} bytes, but its header says {expected}");
        return Err(DicomFault::Damaged(text));
    }
    if attributes.syntax.deflated && expected > attributes.size().saturating_mul(DEFLATE_RATIO) {
        return Err(DicomFault::Truncated);
    }
    let big = attributes.syntax.elements.big;
    // Bytes are stored in words, whose order is that of the file.
    if big && layout.allocated == 8 && element.representation == *b"OW" {
        let mut bytes = attributes.bytes(element.start, length)?.into_owned();
        bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
        bytes.truncate(expected);
        return Ok(DicomPixels::Samples(SampleBytes { bytes: Cow::Owned(bytes), big, planar: layout.planar }));
    }
    let bytes = attributes.bytes(element.start, expected)?;
    Ok(DicomPixels::Samples(SampleBytes { bytes, big, planar: layout.planar }))
}

/// The only frame, put together from its fragments.
fn frame<'a>(attributes: &'a DicomAttributes<'_>, element: &DataElement) -> Result<Cow<'a, [u8]>, DicomFault> {
    if element.length.is_some() {
        return Err(DicomFault::Damaged("its pixels should be in fragments, but are not".to_owned()));
    }
    let mut reader = attributes.reader(element.start);
    let mut fragments: Vec<DataElement> = Vec::new();
    loop {
        let item = reader.peek()?.ok_or(DicomFault::Truncated)?;
        match item.tag {
            ITEM if item.length.is_some() => fragments.push(item),
            SEQUENCE_END => break,
            _ => return Err(DicomFault::header(reader.at)),
        }
        reader.skip(&item)?;
    }
    // The first item is a table of offsets.
    let bytes = |item: &DataElement| attributes.bytes(item.start, item.length.unwrap_or(0));
    match fragments.get(1..).unwrap_or_default() {
        [] => Err(DicomFault::Truncated),
        [only] => bytes(only),
        several => {
            let mut whole = Vec::new();
            for item in several {
                whole.extend_from_slice(&bytes(item)?);
            }
            Ok(Cow::Owned(whole))
        }
    }
}

/// Samples in planes, those of two bytes little-endian.
fn run_lengths(frame: &[u8], layout: &SampleLayout) -> Result<Vec<u8>, DicomFault> {
    let header = frame.get(..RUNS_HEADER).ok_or(DicomFault::Truncated)?;
    let numbers: Vec<usize> =
        header.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize).collect();
    let width = layout.allocated / 8;
    let segments = layout.samples * width;
    if numbers[0] != segments {
        let text = format!("its run lengths have {} segments instead of {segments}", numbers[0]);
        return Err(DicomFault::Damaged(text));
    }
    let pixels = layout.pixels();
    let mut out = vec![0; pixels * segments];
    for segment in 0..segments {
        let start = numbers[1 + segment];
        let end = if segment + 1 < segments { numbers[2 + segment] } else { frame.len() };
        let runs = frame.get(start..end).filter(|_| start >= RUNS_HEADER).ok_or(DicomFault::Truncated)?;
        let bytes = unpack_bits(runs, pixels);
        if bytes.len() < pixels {
            return Err(DicomFault::Truncated);
        }
        // Of two bytes, the high one comes first.
        let (plane, high) = (segment / width, segment % width == 0 && width == 2);
        let offset = plane * pixels * width + usize::from(high);
        for (to, byte) in out[offset..].iter_mut().step_by(width).zip(&bytes) {
            *to = *byte;
        }
    }
    Ok(out)
}
