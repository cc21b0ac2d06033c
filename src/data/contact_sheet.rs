//! Contact sheet of a patch set: sample patches of each class and healthy ones, with lesions outlined if masks are kept.

use super::canvas::{Canvas, LETTER};
use super::colour::Colour;
use super::patches::{Health, Label, Part, PatchRow, PatchSet, Shard};
use crate::stage::StageError;
use crate::store::Objects;

/// Colour-blind safe colours of the classes (Okabe and Ito 2008), in label order.
pub const CLASS_COLOURS: [Colour; 6] =
    [[86, 180, 233], [240, 228, 66], [0, 158, 115], [204, 121, 167], [230, 159, 0], [213, 94, 0]];

const TILE: usize = 112;
const GAP: usize = 6;
const HEAD: usize = 22;
const CAPTION: usize = 12;
/// Background.
pub(in crate::data) const PAGE: Colour = [24, 26, 30];
/// Text.
pub(in crate::data) const INK: Colour = [226, 228, 232];
/// Secondary text.
pub(super) const SOFT: Colour = [150, 155, 163];

/// The contact sheet: a row per class, one for healthy and one for undetermined patches, with at most `across` patches each, evenly
/// spaced in the set's order. [`None`] if the set is empty.
///
/// # Errors
/// Errors from reading the shards.
pub fn sheet(set: &PatchSet, objects: &Objects, across: usize) -> Result<Option<Canvas>, StageError> {
    let bands = bands(set, across);
    if bands.is_empty() {
        return Ok(None);
    }
    let band_height = HEAD + TILE + CAPTION + GAP;
    let widest = bands.iter().map(|band| band.samples.len()).max().unwrap_or(0).max(4);
    let mut canvas = Canvas::new(GAP + widest * (TILE + GAP), GAP + bands.len() * band_height, PAGE);
    for (number, band) in bands.iter().enumerate() {
        let top = GAP + number * band_height;
        canvas.write(&band.title, (GAP, top + 4), 2, band.colour);
        for (place, (part, row)) in band.samples.iter().enumerate() {
            let shard = Shard::open(part, &set.info, objects)?;
            let corner = (GAP + place * (TILE + GAP), top + HEAD);
            patch(&mut canvas, set, &shard, row, corner);
            let caption: String = caption(set, part, row).chars().take(TILE / LETTER).collect();
            canvas.write(&caption, (corner.0, corner.1 + TILE + 3), 1, SOFT);
        }
    }
    Ok(Some(canvas))
}

/// A row of sample patches.
struct SampleRow<'a> {
    title: String,
    colour: Colour,
    samples: Vec<(&'a Part, &'a PatchRow)>,
}

fn bands(set: &PatchSet, across: usize) -> Vec<SampleRow<'_>> {
    let all: Vec<(&Part, &PatchRow)> =
        set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row))).collect();
    let band = |name: &str, colour, is_in: &dyn Fn(&PatchRow) -> bool| {
        let members: Vec<(&Part, &PatchRow)> = all.iter().copied().filter(|(_, row)| is_in(row)).collect();
        let take = members.len().min(across);
        let samples = (0..take).map(|at| members[at * members.len() / take]).collect();
        let title = format!("{name}  {}", crate::base::figure::thousands(members.len() as u64));
        (take > 0).then_some(SampleRow { title, colour, samples })
    };
    let classes = set.info.classes.iter().enumerate().filter_map(|(class, name)| {
        band(name, CLASS_COLOURS[class % CLASS_COLOURS.len()], &|row| row.labels[class] == Label::Present)
    });
    let others = [("healthy", Health::Healthy), ("undetermined", Health::Undetermined)];
    let others = others.iter().filter_map(|(name, health)| band(name, INK, &|row| row.health() == *health));
    classes.chain(others).collect()
}

fn patch(canvas: &mut Canvas, set: &PatchSet, shard: &Shard, row: &PatchRow, corner: (usize, usize)) {
    let (size, margin, side) = (set.info.size as usize, set.info.margin as usize, shard.side());
    let pixels = super::leak::inner(shard.pixels(row.index), set.info.size, set.info.margin);
    canvas.draw(&pixels, (size, size), corner, (TILE, TILE));
    for class in 0..set.info.classes.len() {
        let Some(bits) = shard.mask(row.index, class) else { continue };
        let is_set = |x: usize, y: usize| {
            let at = (y + margin) * side + x + margin;
            bits[at / 8] >> (7 - at % 8) & 1 == 1
        };
        let colour = CLASS_COLOURS[class % CLASS_COLOURS.len()];
        canvas.outline(&is_set, (size, size), corner, (TILE, TILE), colour);
    }
}

/// Caption of a patch, lesions and position: `MA+EX 128,256 IDRiD_01`; long names are cut to their end.
fn caption(set: &PatchSet, part: &Part, row: &PatchRow) -> String {
    let present = set.info.classes.iter().zip(&row.labels).filter(|(_, label)| **label == Label::Present);
    let present: Vec<&str> = present.map(|(class, _)| class.as_str()).collect();
    let lesions = if present.is_empty() { String::new() } else { format!("{} ", present.join("+")) };
    let place = format!("{lesions}{},{} ", row.x, row.y);
    let room = (TILE / LETTER).saturating_sub(place.chars().count());
    let name: Vec<char> = part.photograph.chars().collect();
    place + &name[name.len().saturating_sub(room)..].iter().collect::<String>()
}
