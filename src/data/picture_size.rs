//! Width, height and orientation of a photograph by its file's header. Decodes no pixels.

use std::path::Path;

use super::byte_source::{ByteSource, FileWindow};
use super::decode::{self, PictureFormat};
use super::dicom::DicomImage;
use super::jpeg_header;
use super::orientation::Orientation;
use super::png_header;
use super::slide_region;
use super::tiff::TiffFile;
use crate::stage::StageError;

/// Size of a photograph as its header states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// Width and height as displayed, px.
    pub shown: [u32; 2],
    /// Orientation that is applied when the photograph is decoded.
    pub orientation: Orientation,
}

/// Size of the photograph in a file.
///
/// # Errors
/// `damaged-photograph` if the header cannot be read, `unread-photograph` if the photograph is larger than supported.
pub fn of_file(path: &Path) -> Result<PictureSize, StageError> {
    let found = FileWindow::open(path).ok().and_then(|file| of(ByteSource::Disk(&file)));
    let Some((stored, orientation)) = found.filter(|((width, height), _)| *width > 0 && *height > 0) else {
        let text = format!("photograph `{}` has no readable width and height", path.display());
        return Err(StageError::input("damaged-photograph", text).hint("copy or download the file again"));
    };
    if !decode::is_supported_size(stored.0, stored.1) {
        let text =
            format!("photograph `{}` is {} x {} px, which exceeds the limit", path.display(), stored.0, stored.1);
        return Err(StageError::input("unread-photograph", text).hint(slide_region::HINT));
    }
    let (width, height) = orientation.shown(stored);
    Ok(PictureSize { shown: [width as u32, height as u32], orientation })
}

/// Width and height of the picture in a file that is in memory, as its header states them; [`None`] if it has no readable header.
#[must_use]
pub fn of_bytes(file: &[u8]) -> Option<[u32; 2]> {
    let (stored, orientation) = of(ByteSource::Memory(file))?;
    let (width, height) = orientation.shown(stored);
    Some([u32::try_from(width).ok()?, u32::try_from(height).ok()?])
}

/// Width and height as stored, and orientation.
fn of(source: ByteSource<'_>) -> Option<((usize, usize), Orientation)> {
    Some(match decode::format_of(source)? {
        PictureFormat::Jpeg => {
            let header = jpeg_header::header(source)?;
            (header.size()?, header.orientation)
        }
        PictureFormat::Tiff => {
            let file = TiffFile::open(source).ok()?;
            let side = |tag: u16| file.number(tag, 0).map(|side| side as usize);
            ((side(256)?, side(257)?), file.orientation())
        }
        PictureFormat::Png => {
            let header = png_header::header(source)?;
            (header.size, header.orientation)
        }
        PictureFormat::Dicom => (DicomImage::open(source).ok()?.size(), Orientation::UPRIGHT),
    })
}
