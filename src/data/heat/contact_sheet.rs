//! Contact sheet of overlays, for viewing in a terminal.

use super::overlay::within;
use crate::data::canvas::{Canvas, LETTER};
use crate::data::contact_sheet::{INK, PAGE};
use crate::data::png_image::pixels;

const TILE: usize = 420;
const GAP: usize = 8;
const HEAD: usize = 24;
const CAPTION: usize = 14;
const ACROSS: usize = 3;

/// Overlays (PNG) with their names, out of `all` photographs.
///
/// # Errors
/// If an image is not a PNG.
pub fn contact_sheet(overlays: &[(String, Vec<u8>)], all: usize) -> Result<Canvas, String> {
    let across = overlays.len().clamp(1, ACROSS);
    let decoded = overlays.iter().map(|(_, png)| pixels(png)).collect::<Result<Vec<_>, _>>()?;
    let tiles: Vec<(usize, usize)> = decoded.iter().map(|(_, size)| within(*size, TILE)).collect();
    let tall = tiles.iter().map(|tile| tile.1).max().unwrap_or(0) + CAPTION + GAP;
    let mut canvas =
        Canvas::new(GAP + across * (TILE + GAP), HEAD + overlays.len().div_ceil(across) * tall + GAP, PAGE);
    canvas.write(&format!("{} of {all} photographs, highest scores first", overlays.len()), (GAP, 8), 1, INK);
    for (at, (((name, _), (rgb, size)), tile)) in overlays.iter().zip(&decoded).zip(&tiles).enumerate() {
        let corner = (GAP + at % across * (TILE + GAP), HEAD + at / across * tall);
        canvas.draw(rgb, *size, corner, *tile);
        let caption: String = name.chars().take(TILE / LETTER).collect();
        canvas.write(&caption, (corner.0, corner.1 + tile.1 + 3), 1, INK);
    }
    Ok(canvas)
}
