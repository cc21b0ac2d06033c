//! Memory that reading a region takes besides its pixels: a strip or tile of the slide, or of a mask, as large as the file has them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::Digest;
use crate::data::byte_source::{ByteSource, FileWindow};
use crate::data::tiff::Pyramid;

/// Bytes taken for strips or tiles of a file whose header cannot be read.
const UNKNOWN: u64 = 1 << 28;

/// Files by what they are: slides by the size of the level that is read, and masks.
type SlideFile = (Digest, Option<[u32; 2]>);

/// Estimates by the headers of files; each file is looked at once.
#[derive(Default)]
pub(in crate::data) struct BlockMemory(BTreeMap<SlideFile, u64>);

impl BlockMemory {
    /// Most bytes that strips or tiles of a slide's level take, or of a mask if `level` is [`None`]. `path` finds the file.
    pub(in crate::data) fn of<P: AsRef<Path>>(
        &mut self,
        digest: Digest,
        level: Option<[u32; 2]>,
        path: impl FnOnce() -> Option<P>,
    ) -> u64 {
        *self.0.entry((digest, level)).or_insert_with(|| {
            path().and_then(|path| by_header(path.as_ref(), level)).map_or(UNKNOWN, |bytes| bytes as u64)
        })
    }
}

fn by_header(path: &Path, level: Option<[u32; 2]>) -> Option<usize> {
    let file = FileWindow::open(path).ok()?;
    let source = ByteSource::Disk(&file);
    let Some(size) = level else { return Some(Pyramid::of_mask(source).ok()?.levels.first()?.part_bytes()) };
    let pyramid = Pyramid::of_slide(source).ok()?;
    let level = pyramid.levels.iter().find(|level| level.size == size.map(|side| side as usize))?;
    Some(level.part_bytes())
}
