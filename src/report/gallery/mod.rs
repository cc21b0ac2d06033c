//! Patches of an evaluation with their pictures: all errors, and examples of hits. Which are shown, and how large, so that a page stays
//! small whatever the side of a patch.

mod choice;
mod page;
mod source;

pub(super) use choice::{Predicted, predicted};
pub use page::section;
pub use source::PictureSource;

use std::collections::BTreeMap;

use crate::data::table::Columns;
use crate::data::thumbnail::{MaskOutline, RgbPixels};
use crate::learn::evaluation::{ExampleKind, ExamplePatch, Scores};
use crate::stage::StageError;

/// Bytes of all patches on a page, with their outlines and texts.
pub const GALLERY_BYTES: usize = 2_700_000;

/// Sides of pictures, px: the largest with which all patches fit is taken.
const SIDES: [usize; 7] = [224, 176, 144, 112, 88, 68, 52];

/// Patches by which the size of all pictures is estimated.
const SAMPLED: usize = 24;

/// Bytes of a figure without picture and outlines.
const FIGURE_BYTES: usize = 620;

/// Patches of an evaluation, as a page shows them.
#[derive(Debug, Default)]
pub struct Gallery {
    /// The patches: the gravest errors first, then hits.
    pub patches: Vec<GalleryPatch>,
    /// Number of patches with an error.
    pub errors: usize,
    /// Whether pictures could be had of all patches, and not only of the examples that an evaluation keeps.
    pub all: bool,
}

/// A patch with its picture.
#[derive(Debug)]
pub struct GalleryPatch {
    /// Name of its photograph.
    pub photograph: String,
    /// Its top left corner, px.
    pub corner: (u32, u32),
    /// Right and bottom edges of the patches of its photograph, px.
    pub extent: (u32, u32),
    /// What was right and wrong: classes that are present or predicted.
    pub outcomes: Vec<ClassOutcome>,
    /// Classes known to be present.
    pub present: Vec<usize>,
    /// JPEG.
    pub picture: Vec<u8>,
    /// Outlines of the masks of classes.
    pub outlines: Vec<(usize, MaskOutline)>,
}

/// Outcome of one class on a patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassOutcome {
    /// Index of the class.
    pub class: usize,
    /// True positive, false positive or false negative.
    pub kind: ExampleKind,
    /// Score of the class.
    pub score: f64,
    /// Mask pixels of the class, native.
    pub mask_pixels: u32,
}

/// Picture of a patch at full size, and the outlines of its masks.
struct FullPicture {
    pixels: RgbPixels,
    outlines: Vec<(usize, MaskOutline)>,
}

/// The gallery of an evaluation, in at most `bytes`. `pngs` are the pictures of `examples`, used for what no patch set on the page has.
///
/// # Errors
/// Store errors, or a damaged picture.
pub(super) fn gallery(
    scores: &Scores,
    table: &Columns,
    (examples, pngs): (&[ExamplePatch], &[Vec<u8>]),
    source: Option<&PictureSource<'_>>,
    bytes: usize,
) -> Result<Gallery, StageError> {
    let predicted = predicted(scores, table).map_err(|error| StageError::Bug(error.to_string()))?;
    let of_examples: BTreeMap<usize, &Vec<u8>> =
        examples.iter().zip(pngs).map(|(example, png)| (example.row, png)).collect();
    let found = |example: &&ExamplePatch| example.kind == ExampleKind::Found;
    let hits: Vec<usize> = examples.iter().filter(found).map(|example| example.row).collect();
    let errors = predicted.errors();
    let count = errors.len();
    let shown: Vec<usize> = match source {
        Some(_) => errors,
        None => errors.into_iter().filter(|row| of_examples.contains_key(row)).collect(),
    };
    // Hits have room first: they are few.
    let hits = choice::without(&hits, &shown);
    let order: Vec<usize> = hits.iter().chain(&shown).copied().collect();
    let picture = |row: usize| {
        if let Some(source) = source {
            source.picture(row)
        } else {
            let pixels = RgbPixels::of_png(of_examples[&row]).map_err(StageError::Bug)?;
            Ok(FullPicture { pixels, outlines: Vec::new() })
        }
    };
    let side = side(&order, bytes, &picture)?;
    let (mut patches, mut used) = (Vec::new(), 0);
    for &row in &order {
        let FullPicture { pixels, outlines } = picture(row)?;
        let jpeg = pixels.jpeg(side);
        used += cost(&jpeg, &outlines);
        if used > bytes {
            break;
        }
        patches.push(predicted.patch(row, jpeg, outlines));
    }
    let hits = hits.len().min(patches.len());
    patches.rotate_left(hits);
    Ok(Gallery { patches, errors: count, all: source.is_some() })
}

/// Bytes of a figure on a page.
fn cost(jpeg: &[u8], outlines: &[(usize, MaskOutline)]) -> usize {
    let paths: usize = outlines.iter().map(|(_, outline)| 2 * outline.path.len() + 80).sum();
    jpeg.len().div_ceil(3) * 4 + paths + FIGURE_BYTES
}

/// Side of the pictures, px, estimated from some of them.
fn side(
    rows: &[usize],
    bytes: usize,
    picture: &dyn Fn(usize) -> Result<FullPicture, StageError>,
) -> Result<usize, StageError> {
    let step = rows.len().div_ceil(SAMPLED).max(1);
    let sample = rows.iter().step_by(step).map(|&row| picture(row)).collect::<Result<Vec<_>, _>>()?;
    let all = |side: usize| {
        let bytes: usize = sample.iter().map(|one| cost(&one.pixels.jpeg(side), &one.outlines)).sum();
        bytes as f64 / sample.len().max(1) as f64 * rows.len() as f64
    };
    let fits = |side: &usize| all(*side) * 1.05 <= bytes as f64;
    Ok(SIDES.into_iter().find(fits).unwrap_or(SIDES[SIDES.len() - 1]))
}
