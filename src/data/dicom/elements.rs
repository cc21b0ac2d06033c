//! Data elements of a DICOM file (PS3.5): where each one stands. Values are read one by one, by whoever knows their tag. Files are untrusted:
//! every length is checked, and sequences are skipped without recursion. Knows no tag but those that delimit sequences.

use std::borrow::Cow;

use super::DicomFault;
use crate::data::byte_source::ByteSource;

/// Tag that begins an item of a sequence.
pub(super) const ITEM: u32 = 0xfffe_e000;

/// Tag that ends an item of undefined length.
const ITEM_END: u32 = 0xfffe_e00d;

/// Tag that ends a sequence of undefined length.
pub(super) const SEQUENCE_END: u32 = 0xfffe_e0dd;

/// Deepest nesting of sequences.
const DEEPEST: usize = 64;

/// Largest number of elements and items that are looked at.
const MOST_ELEMENTS: usize = 1 << 20;

/// Value representations with a length of two bytes in explicit encoding; all others have four.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

/// Encoding of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ElementEncoding {
    /// Whether each element states its value representation.
    pub(super) explicit: bool,
    /// Whether numbers are big-endian.
    pub(super) big: bool,
}

impl ElementEncoding {
    /// Explicit, little-endian: that of file meta information.
    pub(super) const META: Self = Self { explicit: true, big: false };

    /// A number of two bytes.
    pub(super) const fn short(self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// A number of four bytes.
    pub(super) const fn long(self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// An element: its tag, and where its value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataElement {
    /// Group and element number.
    pub(super) tag: u32,
    /// Value representation; zeros if it is not stated.
    pub(super) representation: [u8; 2],
    /// Offset of the value.
    pub(super) start: usize,
    /// Bytes of the value; [`None`] if a delimiter ends it.
    pub(super) length: Option<usize>,
}

/// Reads the elements of a dataset in their order.
pub(super) struct ElementReader<'a> {
    source: ByteSource<'a>,
    encoding: ElementEncoding,
    /// Offset of the next element.
    pub(super) at: usize,
    /// Elements and items so far.
    read: usize,
}

impl<'a> ElementReader<'a> {
    pub(super) const fn new(source: ByteSource<'a>, encoding: ElementEncoding, at: usize) -> Self {
        Self { source, encoding, at, read: 0 }
    }

    /// The element at the current offset, which stays; [`None`] at the end of the file.
    ///
    /// # Errors
    /// A file that ends within the element, or something else than an element.
    pub(super) fn peek(&mut self) -> Result<Option<DataElement>, DicomFault> {
        if self.at >= self.source.size() {
            return Ok(None);
        }
        self.read += 1;
        if self.read > MOST_ELEMENTS {
            return Err(DicomFault::Damaged("its header has too many elements".to_owned()));
        }
        let (at, encoding) = (self.at, self.encoding);
        let head: [u8; 8] = self.array(at)?;
        let group = encoding.short([head[0], head[1]]);
        let tag = u32::from(group) << 16 | u32::from(encoding.short([head[2], head[3]]));
        let long =
            |bytes| Some(encoding.long(bytes)).filter(|length| *length != u32::MAX).map(|length| length as usize);
        let last = [head[4], head[5], head[6], head[7]];
        // Delimiters have no representation.
        if group == 0xfffe || !encoding.explicit {
            return Ok(Some(DataElement { tag, representation: [0; 2], start: at + 8, length: long(last) }));
        }
        let representation = [head[4], head[5]];
        if !representation.iter().all(u8::is_ascii_uppercase) {
            return Err(DicomFault::header(at));
        }
        if SHORT.contains(&&representation) {
            let length = Some(usize::from(encoding.short([head[6], head[7]])));
            return Ok(Some(DataElement { tag, representation, start: at + 8, length }));
        }
        let length = long(self.array(at + 8)?);
        Ok(Some(DataElement { tag, representation, start: at + 12, length }))
    }

    /// Moves behind an element.
    ///
    /// # Errors
    /// A file that ends before it does, or a damaged sequence.
    pub(super) fn skip(&mut self, element: &DataElement) -> Result<(), DicomFault> {
        if let Some(length) = element.length {
            self.at = self.end(element.start, length)?;
            return Ok(());
        }
        // What is unknown and of undefined length has the implicit encoding inside.
        let outside = self.encoding;
        if element.representation == *b"UN" {
            self.encoding = ElementEncoding { explicit: false, big: false };
        }
        self.at = element.start;
        // What is open: sequences, and items of them, in turn.
        let mut open = 1;
        while open > 0 {
            let here = self.at;
            let inner = self.peek()?.ok_or(DicomFault::Truncated)?;
            let in_sequence = open % 2 == 1;
            match (inner.tag, in_sequence, inner.length) {
                (SEQUENCE_END, true, _) | (ITEM_END, false, _) => {
                    open -= 1;
                    self.at = inner.start;
                }
                (ITEM, true, None) | (_, false, None) => {
                    open += 1;
                    self.at = inner.start;
                    if open > 2 * DEEPEST {
                        return Err(DicomFault::header(here));
                    }
                }
                (ITEM, true, Some(length)) => self.at = self.end(inner.start, length)?,
                (tag, false, Some(length)) if tag >> 16 != 0xfffe => self.at = self.end(inner.start, length)?,
                _ => return Err(DicomFault::header(here)),
            }
        }
        self.encoding = outside;
        Ok(())
    }

    /// End of a value.
    fn end(&self, start: usize, length: usize) -> Result<usize, DicomFault> {
        start.checked_add(length).filter(|end| *end <= self.source.size()).ok_or(DicomFault::Truncated)
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], DicomFault> {
        let bytes: Option<Cow<'a, [u8]>> = self.source.at(at, N);
        bytes.and_then(|bytes| bytes.as_array().copied()).ok_or(DicomFault::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element with a length of two bytes.
    fn short(tag: [u8; 4], representation: [u8; 2], value: &[u8]) -> Vec<u8> {
        [&tag[..], &representation, &(value.len() as u16).to_le_bytes(), value].concat()
    }

    /// A delimiter, an item, or an element of a sequence.
    fn open(tag: [u8; 4], length: u32) -> Vec<u8> {
        [&tag[..], &length.to_le_bytes()].concat()
    }

    const UNDEFINED: u32 = u32::MAX;
    const AN_ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];
    const END_OF_ITEM: [u8; 4] = [0xfe, 0xff, 0x0d, 0xe0];
    const END_OF_SEQUENCE: [u8; 4] = [0xfe, 0xff, 0xdd, 0xe0];

    fn tags(bytes: &[u8]) -> Result<Vec<u32>, DicomFault> {
        let mut reader = ElementReader::new(ByteSource::Memory(bytes), ElementEncoding::META, 0);
        let mut found = Vec::new();
        while let Some(element) = reader.peek()? {
            found.push(element.tag);
            reader.skip(&element)?;
        }
        Ok(found)
    }

    fn sequence(representation: [u8; 2], inside: &[u8]) -> Vec<u8> {
        let head = [&[0x08, 0, 0x40, 0x11][..], &representation, &[0, 0], &UNDEFINED.to_le_bytes()].concat();
        [&head, inside, &open(END_OF_SEQUENCE, 0)].concat()
    }

    #[test]
    fn sequences_are_skipped_whatever_they_hold() {
        let rows = short([0x28, 0, 0x10, 0], *b"US", &[1, 0]);
        let inner = short([0x08, 0, 0x05, 0], *b"CS", b"ISO_IR 6");
        let sized = [open(AN_ITEM, inner.len() as u32), inner.clone()].concat();
        let unsized_item = |inside: &[u8]| [&open(AN_ITEM, UNDEFINED), inside, &open(END_OF_ITEM, 0)].concat();
        let nested = sequence(*b"SQ", &unsized_item(&[sequence(*b"SQ", &sized), inner.clone()].concat()));
        // Inside of what is unknown, elements state no representation.
        let unknown = sequence(*b"UN", &unsized_item(&[&[0x08, 0, 0x05, 0, 2, 0, 0, 0][..], b"AB"].concat()));
        for before in [sequence(*b"SQ", &sized), sequence(*b"SQ", &unsized_item(&inner)), nested, unknown] {
            let bytes = [before, rows.clone()].concat();
            assert_eq!(tags(&bytes).expect("read"), [0x0008_1140, 0x0028_0010]);
            for end in 1..bytes.len() {
                // Cut short, it is an error unless the cut is between the two.
                assert!(tags(&bytes[..end]).is_err() || end == bytes.len() - rows.len(), "{end}");
            }
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = [sequence(*b"SQ", &[])[..12].to_vec(), open(AN_ITEM, UNDEFINED)].concat().repeat(1000);
        assert!(matches!(tags(&deep), Err(DicomFault::Damaged(_))));
    }
}
