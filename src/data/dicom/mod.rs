//! DICOM photographs (PS3.3, PS3.5, PS3.10) to 8-bit RGB: a single frame, uncompressed, deflated, run-length encoded, or JPEG with 8 bits.
//!
//! Only the elements that say what the pixels mean are read. Names, dates and identifiers of patients are skipped by their lengths: no value
//! of them is ever in memory, so none can reach a message, a log or a result. Files are untrusted: sizes are bounded before memory is allocated,
//! and every offset is checked. `docs/pictures.md` has the formulas.

mod attributes;
mod colours;
mod elements;
mod grey;
mod image;
mod layout;
mod pixels;
mod syntax;

use std::path::Path;

use super::byte_source::{ByteSource, FileWindow};
pub(super) use image::DicomImage;
pub(super) use pixels::DicomPixels;

/// Length of the preamble, after which the magic word follows.
const PREAMBLE: usize = 128;

/// Reason why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DicomFault {
    /// The file ends too early.
    Truncated,
    /// The file is damaged.
    Damaged(String),
    /// The file is intact, but not supported.
    Unread {
        /// What it is.
        reason: String,
        /// What to do about it; [`None`] for the usual.
        hint: Option<&'static str>,
    },
}

impl DicomFault {
    /// A header that is not one at this offset.
    fn header(at: usize) -> Self {
        Self::Damaged(format!("its header is damaged at byte {at}"))
    }

    /// A file that is not supported.
    fn unread(reason: impl Into<String>) -> Self {
        Self::Unread { reason: reason.into(), hint: None }
    }
}

/// How a file starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DicomStart {
    /// With file meta information at this offset.
    Meta(usize),
    /// With a dataset, without preamble and meta information; whether it is explicit is a guess.
    Bare {
        /// Whether elements seem to state their representations.
        explicit: bool,
    },
}

impl DicomStart {
    /// How a DICOM starts; [`None`] if the file is not one.
    fn of(source: ByteSource<'_>) -> Option<Self> {
        let start = source.at(0, 8)?;
        if source.at(PREAMBLE, 4).is_some_and(|magic| *magic == *b"DICM") {
            return Some(Self::Meta(PREAMBLE + 4));
        }
        match *start {
            [2, 0, 0..=0x18, 0, b'O' | b'U', b'B' | b'I' | b'L', ..] => Some(Self::Meta(0)),
            // A dataset starts with its character set, its kind, or another of the first elements of group 8.
            [8, 0, 0 | 1 | 5 | 8 | 0x12 | 0x16, 0, b'U', b'L', 4, 0]
            | [8, 0, 0 | 1 | 5 | 8 | 0x12 | 0x16, 0, b'C' | b'D' | b'U', b'S' | b'A' | b'I', 0..=64, 0] => {
                Some(Self::Bare { explicit: true })
            }
            [8, 0, 0 | 1 | 5 | 8 | 0x12 | 0x16, 0, 0..=64, 0, 0, 0] => Some(Self::Bare { explicit: false }),
            _ => None,
        }
    }
}

/// Whether the bytes start like a DICOM.
pub(super) fn begins(source: ByteSource<'_>) -> bool {
    DicomStart::of(source).is_some()
}

/// Whether a file on disk starts like a DICOM.
pub(super) fn is_dicom(path: &Path) -> bool {
    FileWindow::open(path).is_ok_and(|file| begins(ByteSource::Disk(&file)))
}
