//! Values of the DICOM elements that say what pixels mean. No other element's value is read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use super::elements::{DataElement, ElementEncoding, ElementReader};
use super::syntax::TransferSyntax;
use super::{DicomFault, DicomStart};
use crate::data::byte_source::ByteSource;

/// Longest number or word that is read, bytes.
const LONGEST: usize = 1024;

/// Deflated bytes that are inflated for a header, at most.
const HEADER: usize = 1 << 24;

pub(super) const TRANSFER_SYNTAX: u32 = 0x0002_0010;
pub(super) const OBJECT_CLASS: u32 = 0x0008_0016;
pub(super) const IMAGER_SPACING: u32 = 0x0018_1164;
pub(super) const SAMPLES: u32 = 0x0028_0002;
pub(super) const PHOTOMETRIC: u32 = 0x0028_0004;
pub(super) const PLANES: u32 = 0x0028_0006;
pub(super) const FRAMES: u32 = 0x0028_0008;
pub(super) const ROWS: u32 = 0x0028_0010;
pub(super) const COLUMNS: u32 = 0x0028_0011;
pub(super) const SPACING: u32 = 0x0028_0030;
pub(super) const ASPECT: u32 = 0x0028_0034;
pub(super) const BITS_ALLOCATED: u32 = 0x0028_0100;
pub(super) const BITS_STORED: u32 = 0x0028_0101;
pub(super) const HIGH_BIT: u32 = 0x0028_0102;
pub(super) const SIGNED: u32 = 0x0028_0103;
pub(super) const BURNED_IN: u32 = 0x0028_0301;
pub(super) const WINDOW_CENTRE: u32 = 0x0028_1050;
pub(super) const WINDOW_WIDTH: u32 = 0x0028_1051;
pub(super) const INTERCEPT: u32 = 0x0028_1052;
pub(super) const SLOPE: u32 = 0x0028_1053;
pub(super) const WINDOW_FUNCTION: u32 = 0x0028_1056;
/// Descriptor of the palette's red; green and blue follow.
pub(super) const PALETTE: u32 = 0x0028_1101;
/// The palette's red; green and blue follow.
pub(super) const PALETTE_VALUES: u32 = 0x0028_1201;
/// The palette's red in segments.
pub(super) const PALETTE_SEGMENTS: u32 = 0x0028_1221;
pub(super) const PROFILE: u32 = 0x0028_2000;
pub(super) const COLOUR_SPACE: u32 = 0x0028_2002;
pub(super) const MODALITY_TABLE: u32 = 0x0028_3000;
pub(super) const VALUES_TABLE: u32 = 0x0028_3010;
pub(super) const SHARED_GROUPS: u32 = 0x5200_9229;
const FLOATS: u32 = 0x7fe0_0008;
const DOUBLES: u32 = 0x7fe0_0009;
const PIXELS: u32 = 0x7fe0_0010;

/// The elements that are read.
const READ: [u32; 34] = [
    OBJECT_CLASS,
    IMAGER_SPACING,
    SAMPLES,
    PHOTOMETRIC,
    PLANES,
    FRAMES,
    ROWS,
    COLUMNS,
    SPACING,
    ASPECT,
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    SIGNED,
    BURNED_IN,
    WINDOW_CENTRE,
    WINDOW_WIDTH,
    INTERCEPT,
    SLOPE,
    WINDOW_FUNCTION,
    PALETTE,
    PALETTE + 1,
    PALETTE + 2,
    PALETTE_VALUES,
    PALETTE_VALUES + 1,
    PALETTE_VALUES + 2,
    PALETTE_SEGMENTS,
    PROFILE,
    COLOUR_SPACE,
    MODALITY_TABLE,
    VALUES_TABLE,
    SHARED_GROUPS,
    FLOATS,
    DOUBLES,
];

/// Where the elements of a file stand.
pub(super) struct DicomAttributes<'a> {
    /// The file, or what was deflated in it.
    bytes: DatasetBytes<'a>,
    /// How the file is encoded.
    pub(super) syntax: TransferSyntax,
    /// Whether the encoding is a guess, because the file does not state it.
    pub(super) guessed: bool,
    found: BTreeMap<u32, DataElement>,
    /// The pixels; [`None`] if there are none.
    pub(super) pixels: Option<DataElement>,
}

/// Bytes that offsets of elements refer to.
enum DatasetBytes<'a> {
    /// The file's own.
    File(ByteSource<'a>),
    /// Inflated: the deflated bytes, and as many as a header needs.
    Inflated(Cow<'a, [u8]>, Vec<u8>),
}

impl<'a> DicomAttributes<'a> {
    /// Reads the headers of all elements before the pixels.
    ///
    /// # Errors
    /// A damaged or truncated file, an unknown transfer syntax, or one that is not a DICOM.
    pub(super) fn read(source: ByteSource<'a>) -> Result<Self, DicomFault> {
        let start = DicomStart::of(source).ok_or_else(|| DicomFault::Damaged("it is not a DICOM".to_owned()))?;
        let (stated, at) = match start {
            DicomStart::Meta(at) => transfer_syntax(source, at)?,
            DicomStart::Bare { .. } => (None, 0),
        };
        let guessed = stated.is_none();
        let syntax = match (stated, start) {
            (Some(identifier), _) => TransferSyntax::of(&identifier)?,
            (None, DicomStart::Bare { explicit }) => TransferSyntax::native(ElementEncoding { explicit, big: false }),
            // Explicit if the first element says so.
            (None, DicomStart::Meta(_)) => {
                let explicit = source.at(at + 4, 2).is_some_and(|letters| letters.iter().all(u8::is_ascii_uppercase));
                TransferSyntax::native(ElementEncoding { explicit, big: false })
            }
        };
        let (bytes, at) = if syntax.deflated {
            let deflated = source.at(at, source.size() - at).ok_or(DicomFault::Truncated)?;
            let head = inflate(&deflated, HEADER);
            (DatasetBytes::Inflated(deflated, head), 0)
        } else {
            (DatasetBytes::File(source), at)
        };
        let mut read = Self { bytes, syntax, guessed, found: BTreeMap::new(), pixels: None };
        read.elements(at)?;
        Ok(read)
    }

    fn elements(&mut self, at: usize) -> Result<(), DicomFault> {
        let mut found = BTreeMap::new();
        let mut reader = ElementReader::new(self.source(), self.syntax.elements, at);
        let mut pixels = None;
        while let Some(element) = reader.peek()? {
            if element.tag == PIXELS {
                pixels = Some(element);
                break;
            }
            if READ.contains(&element.tag) {
                found.entry(element.tag).or_insert(element);
            }
            // What follows may be long, and is never read.
            if element.tag == FRAMES {
                several_frames(self.text_of(&element).as_deref())?;
            }
            reader.skip(&element)?;
        }
        (self.found, self.pixels) = (found, pixels);
        Ok(())
    }

    fn source(&self) -> ByteSource<'_> {
        match &self.bytes {
            DatasetBytes::File(source) => *source,
            DatasetBytes::Inflated(_, head) => ByteSource::Memory(head),
        }
    }

    /// `length` bytes of the dataset from offset `start`.
    ///
    /// # Errors
    /// If there are fewer.
    pub(super) fn bytes(&self, start: usize, length: usize) -> Result<Cow<'_, [u8]>, DicomFault> {
        match &self.bytes {
            DatasetBytes::File(source) => source.at(start, length).ok_or(DicomFault::Truncated),
            DatasetBytes::Inflated(deflated, head) => {
                let end = start.checked_add(length).ok_or(DicomFault::Truncated)?;
                if let Some(bytes) = head.get(start..end) {
                    return Ok(Cow::Borrowed(bytes));
                }
                let mut whole = inflate(deflated, end);
                if whole.len() < end {
                    return Err(DicomFault::Truncated);
                }
                Ok(Cow::Owned(whole.split_off(start)))
            }
        }
    }

    /// Reads items from offset `at` on.
    pub(super) fn reader(&self, at: usize) -> ElementReader<'_> {
        ElementReader::new(self.source(), self.syntax.elements, at)
    }

    /// Bytes of the dataset that exist: those of the file, or of what is deflated.
    pub(super) fn size(&self) -> usize {
        match &self.bytes {
            DatasetBytes::File(source) => source.size(),
            DatasetBytes::Inflated(deflated, _) => deflated.len(),
        }
    }

    /// The element with this tag, unless it is empty.
    pub(super) fn element(&self, tag: u32) -> Option<DataElement> {
        self.found.get(&tag).filter(|element| element.length != Some(0)).copied()
    }

    /// Whether an element is there and not empty.
    pub(super) fn has(&self, tag: u32) -> bool {
        self.element(tag).is_some()
    }

    /// Value of an element, at most `most` bytes.
    pub(super) fn value(&self, tag: u32, most: usize) -> Option<Cow<'_, [u8]>> {
        let element = self.element(tag)?;
        let length = element.length.filter(|length| *length <= most)?;
        self.bytes(element.start, length).ok()
    }

    /// Number `index` of an element of numbers of two bytes.
    pub(super) fn short(&self, tag: u32, index: usize) -> Option<u16> {
        let value = self.value(tag, LONGEST)?;
        Some(self.syntax.elements.short(*value.get(2 * index..2 * index + 2)?.as_array()?))
    }

    /// Value of an element of text, without padding.
    pub(super) fn text(&self, tag: u32) -> Option<String> {
        self.text_of(&self.element(tag)?)
    }

    fn text_of(&self, element: &DataElement) -> Option<String> {
        let length = element.length.filter(|length| *length <= LONGEST)?;
        text(&self.source().at(element.start, length)?)
    }

    /// Numbers of an element of text; [`None`] if one of them is not a number.
    pub(super) fn numbers(&self, tag: u32) -> Option<Vec<f64>> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        self.text(tag)?.split('\\').map(number).collect()
    }
}

/// Text without padding; [`None`] if it is empty or not ASCII.
fn text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\0']);
    (text.is_ascii() && !text.is_empty()).then(|| text.to_owned())
}

/// Rejects more than one frame.
fn several_frames(frames: Option<&str>) -> Result<(), DicomFault> {
    match frames.map(str::parse::<u32>) {
        None | Some(Ok(1)) => Ok(()),
        Some(Ok(frames)) => Err(DicomFault::Unread {
            reason: format!("it has {frames} frames"),
            hint: Some("save the intended frame as a file of its own"),
        }),
        Some(Err(_)) => Err(DicomFault::Damaged("its number of frames cannot be read".to_owned())),
    }
}

/// Identifier of the transfer syntax in the file meta information from offset `at`, if stated, and where that ends.
fn transfer_syntax(source: ByteSource<'_>, at: usize) -> Result<(Option<String>, usize), DicomFault> {
    let mut reader = ElementReader::new(source, ElementEncoding::META, at);
    let mut found = None;
    loop {
        // The dataset that follows may have another encoding.
        let head = source.at(reader.at, 2);
        if head.is_none_or(|group| *group != [2, 0]) {
            return Ok((found, reader.at));
        }
        let Some(element) = reader.peek()? else { return Ok((found, reader.at)) };
        if element.tag == TRANSFER_SYNTAX {
            let length = element.length.filter(|length| *length <= LONGEST).ok_or(DicomFault::Truncated)?;
            found = text(&source.at(element.start, length).ok_or(DicomFault::Truncated)?);
        }
        reader.skip(&element)?;
    }
}

/// Inflates at most `most` bytes; of a damaged stream, those before the damage.
fn inflate(deflated: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(most.min(deflated.len().saturating_mul(8)));
    // The caller detects errors by too few bytes.
    let _ = flate2::read::DeflateDecoder::new(deflated).take(most as u64).read_to_end(&mut out);
    out
}
