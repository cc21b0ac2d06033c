//! Gallery of a photograph set: thumbnails with mask outlines.

use super::canvas::{Canvas, LETTER};
use super::contact_sheet::{CLASS_COLOURS, INK, PAGE, SOFT};
use super::decode::Photograph;
use super::item::{OpenPhotograph, classes, items};
use crate::base::figure::counted;
use crate::stage::StageError;
use crate::store::{Objects, Tree};

const TILE: usize = 300;
const GAP: usize = 8;
const HEAD: usize = 26;
const CAPTION: usize = 12;
const ACROSS: usize = 3;

/// Thumbnails of at most `most` photographs, evenly spaced in the set's order. [`None`] if the set is empty.
///
/// # Errors
/// Errors from reading and decoding photographs and masks.
pub fn gallery(set: &Tree, objects: &Objects, most: usize) -> Result<Option<Canvas>, StageError> {
    let all = items(set, objects)?;
    let classes = classes(set, objects)?;
    let take = all.len().min(most);
    if take == 0 {
        return Ok(None);
    }
    let across = take.min(ACROSS);
    let height = HEAD + take.div_ceil(across) * (TILE + CAPTION + GAP);
    let mut canvas = Canvas::new((GAP + across * (TILE + GAP)).max(GAP + 60 * LETTER), height, PAGE);
    let mut x = GAP;
    for (class, colour) in classes.iter().zip(CLASS_COLOURS.iter().cycle()) {
        canvas.write(class, (x, 8), 2, *colour);
        x += (class.chars().count() + 1) * LETTER * 2;
    }
    canvas.write(
        &format!("{take} of {}", counted(all.len() as u64, "photograph", "photographs")),
        (x + LETTER, 11),
        1,
        INK,
    );
    let mut photograph = Photograph::default();
    for place in 0..take {
        let item = &all[place * all.len() / take];
        let opened = OpenPhotograph::new(&item.name, &item.tree, objects)?;
        opened.photograph(&mut photograph)?;
        let corner = (GAP + place % across * (TILE + GAP), HEAD + place / across * (TILE + CAPTION + GAP));
        let size = (photograph.width, photograph.height);
        let to = within(size, TILE);
        canvas.draw(&photograph.rgb, size, corner, to);
        for class in 0..classes.len() {
            let Some(mask) = opened.mask(class, &photograph)? else { continue };
            let colour = CLASS_COLOURS[class % CLASS_COLOURS.len()];
            canvas.outline(&|x, y| mask.bits().get(x, y), size, corner, to, colour);
        }
        let caption = format!("{}  {} x {}", item.name, size.0, size.1);
        canvas.write(
            &caption.chars().take(TILE / LETTER).collect::<String>(),
            (corner.0, corner.1 + TILE + 3),
            1,
            SOFT,
        );
    }
    Ok(Some(canvas))
}

/// The largest size of the same aspect ratio within a square of `side`.
pub(in crate::data) fn within((width, height): (usize, usize), side: usize) -> (usize, usize) {
    let longest = width.max(height).max(1);
    ((width * side / longest).max(1), (height * side / longest).max(1))
}
