//! Pixels of a region: only the strips or tiles that it touches are read.

use crate::data::byte_source::{ByteSource, FileWindow};
use crate::data::decode::{DecodedInfo, Photograph, PictureFormat};
use crate::data::orientation::Orientation;
use crate::data::slide_region::SlideRegion;
use crate::data::tiff::{CONVERT, Pyramid};
use crate::stage::StageError;
use crate::store::{PartialRead, StoreError};

/// Reads a region of the slide called `name` (for messages) into reused memory.
///
/// # Errors
/// `damaged-photograph`, naming the file and the strip or tile; store errors.
pub(in crate::data) fn read(
    slide: &PartialRead,
    region: &SlideRegion,
    name: &str,
    into: &mut Photograph,
) -> Result<DecodedInfo, StageError> {
    let window = window(slide, name)?;
    let damaged = |reason: String| {
        let text = format!("slide `{name}` cannot be read at x {} y {}: {reason}", region.left, region.top);
        StageError::input("damaged-photograph", text)
            .hint(format!("copy or download the file again; if it is intact, convert it: `{CONVERT}`"))
    };
    let pyramid = Pyramid::of_slide(ByteSource::Disk(&window)).map_err(&damaged)?;
    let level = pyramid.levels.iter().find(|level| level.size == region.level_size.map(|side| side as usize));
    let level = level
        .ok_or_else(|| damaged(format!("it has no level of {} x {} px", region.level_size[0], region.level_size[1])))?;
    let rect = region.rect();
    // Every byte is written, or the region is rejected.
    into.rgb.resize((region.width * region.height) as usize * 3, 0);
    (into.width, into.height) = (region.width as usize, region.height as usize);
    let read = level.rgb_in(rect, &mut into.rgb).map_err(damaged);
    // Bytes that changed meanwhile are a better reason than what they look like.
    slide.finish()?;
    read?;
    let (orientation, format) = (Orientation::UPRIGHT, PictureFormat::Tiff);
    Ok(DecodedInfo { orientation, issues: Vec::new(), profile: None, format, bits: level.bits() })
}

/// The bytes of an open file.
pub(super) fn window(opened: &PartialRead, name: &str) -> Result<FileWindow, StageError> {
    let failed = |error| StoreError::Disk { doing: "read", path: name.into(), error };
    Ok(opened.file.try_clone().and_then(FileWindow::of).map_err(failed)?)
}
