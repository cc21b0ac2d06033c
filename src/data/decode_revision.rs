//! Whether a file is decoded differently than by the first version of macula, from its header only. If so, a source records it next to
//! the photograph's files, so that results computed from other pixels are not reused, and no others are recomputed.

use std::path::Path;

use super::byte_source::{ByteSource, FileWindow};
use super::jpeg_header;
use super::mask::{self, Threshold};
use super::png_header;
use super::tiff;

/// File in a photograph set with the decoder revision that a photograph needs; only present if it is not the first.
pub const FILE: &str = "reading.json";

/// Latest decoder revision. 2: orientation, pages, PNG palettes, extra samples, signed samples, soft edges, bit depths and JPEG layouts
/// as in `docs/pictures.md`.
pub const REVISION: u32 = 2;

/// Use of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// A photograph.
    Photograph,
    /// A mask, with its threshold.
    Mask(Threshold),
}

/// Whether the file was, or may have been, decoded differently before. Unreadable files are left to the decoder.
#[must_use]
pub fn changed(path: &Path, role: FileUse) -> bool {
    FileWindow::open(path).is_ok_and(|file| of(ByteSource::Disk(&file), role).unwrap_or(false))
}

fn of(source: ByteSource<'_>, role: FileUse) -> Option<bool> {
    let start = source.at(0, 8)?;
    if start.starts_with(&[0xff, 0xd8]) {
        let header = jpeg_header::header(source)?;
        let refused = header.refused().is_some();
        return Some(refused || !header.orientation.is_upright() || role == FileUse::Mask(Threshold::Automatic));
    }
    if tiff::begins(&start) {
        return Some(match role {
            FileUse::Photograph => match tiff::describe(source).ok()? {
                Ok(described) => !described.orientation.is_upright() || described.own || described.bits > 8,
                Err(_) => true,
            },
            FileUse::Mask(threshold) => mask::decoding_changed(source, threshold),
        });
    }
    if *start != *png_header::MAGIC {
        return None;
    }
    let header = png_header::header(source)?;
    let all = !header.orientation.is_upright() || header.frames > 1;
    Some(match role {
        FileUse::Photograph => all || header.bits == 16,
        FileUse::Mask(threshold) => {
            let automatic = threshold == Threshold::Automatic;
            let palette = if header.indexed {
                !Threshold::black_first(&header.palette) || automatic && header.palette.len() > 2
            } else {
                automatic && header.bits > 1
            };
            all || palette
        }
    })
}
