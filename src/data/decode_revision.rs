//! Whether a file is read otherwise than by the first macula, from its header alone. Where it is, a source says so beside the
//! photograph's files, so that results which were computed of other pixels are not taken again, and no others are computed again.

use std::path::Path;

use super::jpeg_header;
use super::mask::{self, Threshold};
use super::png_header;
use super::byte_source::{FileWindow, ByteSource};
use super::tiff;

/// The file of a photograph in a set that says which reading its pixels need; there only if it is not the first.
pub const FILE: &str = "reading.json";

/// The reading that changed last. 2: orientation, pages, palettes of PNG, extra samples, signs, soft edges, depths and layouts of
/// JPEG as `docs/pictures.md` has them.
pub const REVISION: u32 = 2;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// A photograph.
    Photograph,
    /// A mask, and from which value on its pixels are lesion.
    Mask(Threshold),
}

/// Whether the file was or may have been read otherwise before. A file that can't be read is for whoever reads its pixels.
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
                Ok(described) => !described.orientation.is_upright() || described.own || described.deep,
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
