//! Pairs of photographs side by side. The first is turned as the second, so that the eye can compare them.

use super::table::NearDuplicate;
use crate::data::canvas::{Canvas, LETTER};
use crate::data::contact_sheet::{INK, PAGE, SOFT};
use crate::data::decode::Photograph;
use crate::data::orientation::Orientation;
use crate::stage::StageError;

const TILE: usize = 420;
const GAP: usize = 8;
const HEAD: usize = 26;
const CAPTION: usize = 14;

/// A pair to be shown.
#[derive(Clone, Copy, Debug)]
pub struct ShownPair<'a> {
    /// The pair.
    pub pair: &'a NearDuplicate,
    /// What is said of each photograph besides its name.
    pub of: [&'a str; 2],
}

/// The pairs in rows, out of `all`. `read` decodes a photograph: the number of its pair in `shown`, and of the member.
///
/// # Errors
/// Those of `read`.
pub fn sheet(
    shown: &[ShownPair],
    all: u64,
    mut read: impl FnMut(usize, usize, &mut Photograph) -> Result<(), StageError>,
) -> Result<Canvas, StageError> {
    let mut rows = Vec::new();
    let mut photograph = Photograph::default();
    for (number, one) in shown.iter().enumerate() {
        let mut tiles = Vec::new();
        for side in 0..2 {
            read(number, side, &mut photograph)?;
            tiles.push(tile(&photograph, if side == 0 { one.pair.orientation } else { Orientation::UPRIGHT }, TILE));
        }
        rows.push(tiles);
    }
    let tall = |tiles: &[Tile]| CAPTION + tiles.iter().map(|(_, size)| size.1).max().unwrap_or(0) + GAP;
    let height = HEAD + rows.iter().map(|tiles| tall(tiles)).sum::<usize>();
    let mut canvas = Canvas::new(GAP + 2 * (TILE + GAP), height, PAGE);
    let count = crate::base::figure::counted(all, "pair", "pairs");
    let title = if shown.len() as u64 == all { count } else { format!("{} of {count}", shown.len()) };
    canvas.write(&title, (GAP, 6), 2, INK);
    let mut y = HEAD;
    for (one, tiles) in shown.iter().zip(&rows) {
        for (side, (rgb, size)) in tiles.iter().enumerate() {
            let x = GAP + side * (TILE + GAP);
            let name = fitting(&one.pair.members[side].name, TILE / LETTER);
            let letters = name.chars().count() + 2;
            canvas.write(&name, (x, y), 1, INK);
            let rest: String = one.of[side].chars().take((TILE / LETTER).saturating_sub(letters)).collect();
            canvas.write(&rest, (x + letters * LETTER, y), 1, SOFT);
            canvas.draw(rgb, *size, (x, y + CAPTION), *size);
        }
        y += tall(tiles);
    }
    Ok(canvas)
}

/// Pixels (RGB) and their size.
pub(in crate::data) type Tile = (Vec<u8>, (usize, usize));

/// A photograph in small, turned: its longest side has at most `side` px.
pub(in crate::data) fn tile(photograph: &Photograph, turned: Orientation, side: usize) -> Tile {
    let size = (photograph.width, photograph.height);
    let longest = size.0.max(size.1).max(1);
    let to = ((size.0 * side / longest).max(1), (size.1 * side / longest).max(1));
    let mut small = Canvas::new(to.0, to.1, PAGE);
    small.draw(&photograph.rgb, size, (0, 0), to);
    let rgb: Vec<u8> = (0..to.0 * to.1).flat_map(|at| small.at(at % to.0, at / to.0)).collect();
    (turned.turn_rgb(&rgb, to), turned.shown(to))
}

/// The last letters of a name that is too long.
fn fitting(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    letters[letters.len().saturating_sub(most)..].iter().collect()
}
