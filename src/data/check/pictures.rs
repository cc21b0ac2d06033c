//! Small pictures of photographs with findings, for a page.

use crate::data::canvas::Canvas;
use crate::data::contact_sheet::{CLASS_COLOURS, PAGE};
use crate::data::decode::Photograph;
use crate::data::duplicates::tile;
use crate::data::gallery::within;
use crate::data::item::OpenPhotograph;
use crate::data::orientation::Orientation;
use crate::data::png_image::{PixelFormat, png};
use crate::stage::{Item, StageError};
use crate::store::Objects;

/// Longest side, px.
const SIDE: usize = 256;

/// Small pictures for a page, as PNG.
#[derive(Debug, Default)]
pub struct FindingPictures {
    /// Photographs with findings: position of the source, position of the photograph in it, picture.
    pub photographs: Vec<(usize, usize, Vec<u8>)>,
    /// The members of each pair, in the order of the pairs; [`None`] for a member that could not be decoded again.
    pub pairs: Vec<[Option<Vec<u8>>; 2]>,
}

/// A photograph with the outlines of its masks, as PNG; [`None`] if it cannot be decoded. A mask that cannot be used is left out.
///
/// # Errors
/// [`StageError::Bug`].
pub fn thumbnail(item: &Item, objects: &Objects) -> Result<Option<Vec<u8>>, StageError> {
    let opened = OpenPhotograph::new(&item.name, &item.tree, objects)?;
    let mut photograph = Photograph::default();
    if usable(opened.photograph(&mut photograph))?.is_none() {
        return Ok(None);
    }
    let size = (photograph.width, photograph.height);
    let to = within(size, SIDE);
    let mut canvas = Canvas::new(to.0, to.1, PAGE);
    canvas.draw(&photograph.rgb, size, (0, 0), to);
    for class in 0..opened.classes.len() {
        let Some(Some(mask)) = usable(opened.mask(class, &photograph))? else { continue };
        let colour = CLASS_COLOURS[class % CLASS_COLOURS.len()];
        canvas.outline(&|x, y| mask.bits().get(x, y), size, (0, 0), to, colour);
    }
    Ok(Some(canvas.png()))
}

/// A photograph of a pair in an orientation, as PNG; [`None`] if it cannot be decoded.
///
/// # Errors
/// [`StageError::Bug`].
pub fn shown_pair(item: &Item, turned: Orientation, objects: &Objects) -> Result<Option<Vec<u8>>, StageError> {
    let opened = OpenPhotograph::new(&item.name, &item.tree, objects)?;
    let mut photograph = Photograph::default();
    if usable(opened.photograph(&mut photograph))?.is_none() {
        return Ok(None);
    }
    let (rgb, (width, height)) = tile(&photograph, turned, SIDE);
    Ok(Some(png(&rgb, width as u32, height as u32, PixelFormat::Rgb)))
}

/// What could be read; [`None`] if the file is at fault, which was reported.
fn usable<T>(read: Result<T, StageError>) -> Result<Option<T>, StageError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StageError::Input { .. } | StageError::Store(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
