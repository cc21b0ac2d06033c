//! Pictures of single patches: the patch or its surroundings, with a frame around the patch and the outline of a mask. Also sheets of such
//! pictures. Knows no score.

use super::canvas::{Canvas, LETTER};
use super::colour::Colour;
use super::contact_sheet::{CLASS_COLOURS, INK, PAGE, SOFT};
use super::decode::Photograph;
use super::mask::Mask;
use super::patches::{SetInfo, Shard};
use super::png_image::pixels;

/// Side of a picture, px.
pub const PICTURE_SIDE: usize = 192;

/// Colour of the frame around the patch.
const FRAME: Colour = [255; 3];

/// Shown surroundings of a patch on each side, as a fraction of its side, if its photograph is at hand.
const AROUND: f64 = 0.5;

const GAP: usize = 6;
const HEAD: usize = 22;
const CAPTION: usize = 12;

/// A patch of a shard with the margin that is stored around it, and the outline of the class if masks are stored.
#[must_use]
pub fn of_shard(shard: &Shard, info: &SetInfo, index: u32, class: usize) -> Canvas {
    let (side, margin) = (shard.side(), info.margin as usize);
    let mut canvas = Canvas::new(PICTURE_SIDE, PICTURE_SIDE, PAGE);
    canvas.draw(shard.pixels(index), (side, side), (0, 0), (PICTURE_SIDE, PICTURE_SIDE));
    if margin > 0 {
        frame(&mut canvas, side, (margin, margin), info.size as usize);
    }
    if let Some(bits) = shard.mask(index, class) {
        let is_set = |x: usize, y: usize| {
            let at = y * side + x;
            bits[at / 8] >> (7 - at % 8) & 1 == 1
        };
        canvas.outline(&is_set, (side, side), (0, 0), (PICTURE_SIDE, PICTURE_SIDE), colour(class));
    }
    canvas
}

/// A patch with its surroundings in the photograph, and the outline of the mask. `corner` is the top left corner of the patch, `size` its
/// side, px.
#[must_use]
pub fn of_photograph(
    photograph: &Photograph,
    mask: Option<&Mask>,
    corner: (usize, usize),
    size: usize,
    class: usize,
) -> Canvas {
    let side = (size as f64 * (1.0 + 2.0 * AROUND)) as usize;
    let side = side.min(photograph.width).min(photograph.height);
    let start = |at: usize, longest: usize| at.saturating_sub((side.saturating_sub(size)) / 2).min(longest - side);
    let (left, top) = (start(corner.0, photograph.width), start(corner.1, photograph.height));
    let mut region = Vec::with_capacity(side * side * 3);
    for y in top..top + side {
        region.extend_from_slice(&photograph.row(y)[left * 3..(left + side) * 3]);
    }
    let mut canvas = Canvas::new(PICTURE_SIDE, PICTURE_SIDE, PAGE);
    canvas.draw(&region, (side, side), (0, 0), (PICTURE_SIDE, PICTURE_SIDE));
    frame(&mut canvas, side, (corner.0 - left, corner.1 - top), size);
    if let Some(mask) = mask {
        let is_set = |x: usize, y: usize| mask.bits().get(left + x, top + y);
        canvas.outline(&is_set, (side, side), (0, 0), (PICTURE_SIDE, PICTURE_SIDE), colour(class));
    }
    canvas
}

const fn colour(class: usize) -> Colour {
    CLASS_COLOURS[class % CLASS_COLOURS.len()]
}

/// Draws the edges of a square of `size` px at `corner`, in a picture of `side` px.
fn frame(canvas: &mut Canvas, side: usize, corner: (usize, usize), size: usize) {
    let scaled = |at: usize| (at * PICTURE_SIDE / side).min(PICTURE_SIDE - 1);
    let (left, top) = (scaled(corner.0), scaled(corner.1));
    let (right, bottom) = (scaled(corner.0 + size), scaled(corner.1 + size));
    for x in left..=right {
        canvas.set(x, top, FRAME);
        canvas.set(x, bottom, FRAME);
    }
    for y in top..=bottom {
        canvas.set(left, y, FRAME);
        canvas.set(right, y, FRAME);
    }
}

/// Pictures of one kind, for a sheet.
pub struct PictureBand {
    /// Title.
    pub title: String,
    /// Class whose colour the title has.
    pub class: usize,
    /// PNGs of [`PICTURE_SIDE`] px with their captions.
    pub pictures: Vec<(Vec<u8>, String)>,
}

/// A sheet with a row of pictures for each band, at most `across` of each. [`None`] without pictures.
///
/// # Errors
/// If a picture is not a PNG.
pub fn picture_sheet(bands: &[PictureBand], across: usize) -> Result<Option<Canvas>, String> {
    let bands: Vec<&PictureBand> = bands.iter().filter(|band| !band.pictures.is_empty()).collect();
    let widest = bands.iter().map(|band| band.pictures.len().min(across)).max().unwrap_or(0);
    if widest == 0 {
        return Ok(None);
    }
    let height = HEAD + PICTURE_SIDE + CAPTION + GAP;
    let mut canvas = Canvas::new(GAP + widest.max(3) * (PICTURE_SIDE + GAP), GAP + bands.len() * height, PAGE);
    for (number, band) in bands.iter().enumerate() {
        let top = GAP + number * height;
        let mark = (GAP, top + 4);
        canvas.fill(mark, (10, 10), colour(band.class));
        canvas.write(&band.title, (GAP + 16, top + 5), 1, INK);
        for (place, (png, caption)) in band.pictures.iter().take(across).enumerate() {
            let (rgb, size) = pixels(png)?;
            let corner = (GAP + place * (PICTURE_SIDE + GAP), top + HEAD);
            canvas.draw(&rgb, size, corner, (PICTURE_SIDE, PICTURE_SIDE));
            let caption: String = caption.chars().take(PICTURE_SIDE / LETTER).collect();
            canvas.write(&caption, (corner.0, corner.1 + PICTURE_SIDE + 3), 1, SOFT);
        }
    }
    Ok(Some(canvas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bitmap::Bitmap;

    #[test]
    fn a_patch_is_framed_in_its_surroundings_and_its_mask_outlined() {
        let photograph = Photograph { width: 96, height: 96, rgb: vec![100; 96 * 96 * 3] };
        let mut bits = Bitmap::new(96, 96);
        bits.set(40, 40);
        let mask = Mask::released(bits);
        // 64 px of the photograph are shown from (24, 24) on, three px of the picture for each.
        let drawn = of_photograph(&photograph, Some(&mask), (40, 40), 32, 0);
        let at = |x: usize, y: usize| drawn.at((x - 24) * 3 + 1, (y - 24) * 3 + 1);
        assert_eq!([at(30, 30), at(60, 60)], [[100; 3]; 2]);
        assert_eq!(drawn.at(48, 60), FRAME, "the left edge of the patch, 16 px from that of the picture");
        assert_eq!(drawn.at(50, 48), CLASS_COLOURS[0], "the mask covers its pixel");
        // At the corner of the photograph, the picture stays within it.
        let drawn = of_photograph(&photograph, None, (64, 64), 32, 0);
        assert_eq!(drawn.at(96, 120), FRAME);
        assert_eq!(drawn.at(10, 10), [100; 3]);
    }

    #[test]
    fn a_sheet_has_a_row_for_each_band_with_pictures() {
        let png = Canvas::new(PICTURE_SIDE, PICTURE_SIDE, [7; 3]).png();
        let band = |pictures: usize| PictureBand {
            title: "MA".to_owned(),
            class: 1,
            pictures: vec![(png.clone(), "0.9".to_owned()); pictures],
        };
        let sheet = picture_sheet(&[band(5), band(0), band(1)], 4).expect("PNGs").expect("pictures");
        assert_eq!(sheet.width(), GAP + 4 * (PICTURE_SIDE + GAP));
        assert_eq!(sheet.height(), GAP + 2 * (HEAD + PICTURE_SIDE + CAPTION + GAP));
        assert_eq!(sheet.at(GAP + 10, GAP + HEAD + 10), [7; 3]);
        assert!(picture_sheet(&[band(0)], 4).expect("no PNG").is_none());
    }
}
