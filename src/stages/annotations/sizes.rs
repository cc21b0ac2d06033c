//! Whether annotations fit their photographs: sizes that files state, and shapes that are outside or too small.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::attach::{Attached, AttachedPicture};
use crate::base::figure::{counted, noun};
use crate::data::annotations::{
    AnnotationFormat, AnnotationMistakes, ClassShape, DrawnShape, Placement, covers_a_centre, placement,
};
use crate::data::orientation::Orientation;
use crate::data::pattern_matches::PatternMatch;
use crate::data::picture_size::{self, PictureSize};
use crate::data::slides;
use crate::stage::{StageError, Warning};

/// Photographs with shapes in pixels of their own.
pub(super) struct SizedPhotographs<'r> {
    pub(super) photographs: Vec<Attached<'r>>,
    pub(super) warnings: Vec<Warning>,
    /// Error about a photograph that has another size than its annotations.
    pub(super) error: Option<StageError>,
}

/// What was found about the shapes of one photograph.
#[derive(Default)]
struct ShapeFindings {
    size: [u32; 2],
    shapes: BTreeMap<usize, Vec<DrawnShape>>,
    mistakes: AnnotationMistakes,
    /// Shapes that cover no centre of a pixel, and shapes that are partly outside: how many, and the first.
    small: (u64, Option<String>),
    beyond: (u64, Option<String>),
    other_size: Option<StageError>,
}

/// Checks the annotations of each photograph.
pub(super) fn fit<'r>(
    fits: &[PatternMatch<'_>],
    attached: Vec<Attached<'r>>,
    root: &Path,
    format: AnnotationFormat,
    are_slides: bool,
    mistakes: &mut AnnotationMistakes,
) -> Result<SizedPhotographs<'r>, StageError> {
    let found: Vec<ShapeFindings> = fits
        .par_iter()
        .zip(&attached)
        .map(|(fit, own)| of_photograph(fit.file, own, root, format, are_slides))
        .collect::<Result<_, _>>()?;
    let (mut small, mut beyond) = ((0, None), (0, None));
    let mut photographs = Vec::new();
    let mut others: Vec<StageError> = Vec::new();
    for (own, found) in attached.into_iter().zip(found) {
        mistakes.append(found.mistakes);
        for (all, (count, first)) in [(&mut small, found.small), (&mut beyond, found.beyond)] {
            all.0 += count;
            all.1 = all.1.take().or(first);
        }
        others.extend(found.other_size);
        photographs.push(Attached { size: found.size, shapes: found.shapes, ..own });
    }
    let mut warnings = Vec::new();
    let mut warn = |code: &str, (count, first): (u64, Option<String>), one: &str, many: &str| {
        if let Some(first) = first {
            let text = format!("{} {} (first: {first})", counted(count, "shape", "shapes"), noun(count, one, many));
            warnings.push(Warning { code: code.to_owned(), text });
        }
    };
    warn(
        "small-shapes",
        small,
        "covers no centre of a pixel and gets the pixels under its corners",
        "cover no centre of a pixel and get the pixels under their corners",
    );
    warn(
        "outside-photograph",
        beyond,
        "extends beyond its photograph and is cut off at the edge",
        "extend beyond their photographs and are cut off at the edge",
    );
    Ok(SizedPhotographs { photographs, warnings, error: of_all(others) })
}

/// The first of these errors, with the number of the others.
fn of_all(others: Vec<StageError>) -> Option<StageError> {
    let count = others.len() as u64;
    let mut first = others.into_iter().next()?;
    if let StageError::Input { text, .. } = &mut first
        && count > 1
    {
        *text = format!("{text} ({} in total)", counted(count, "photograph", "photographs"));
    }
    Some(first)
}

fn of_photograph(
    file: &str,
    own: &Attached<'_>,
    root: &Path,
    format: AnnotationFormat,
    is_slide: bool,
) -> Result<ShapeFindings, StageError> {
    if own.sources.is_empty() {
        return Ok(ShapeFindings::default());
    }
    let path = root.join(file);
    let picture = if is_slide {
        PictureSize { shown: slides::slide_size(&path)?, orientation: Orientation::UPRIGHT }
    } else {
        picture_size::of_file(&path)?
    };
    let size = picture.shown;
    let mut found = ShapeFindings { size, ..ShapeFindings::default() };
    for source in &own.sources {
        if let Some(stated) = source.size.filter(|stated| *stated != size) {
            found.other_size.get_or_insert_with(|| other_size(file, picture, source, stated));
            continue;
        }
        let mut mistakes = AnnotationMistakes::of(source.name);
        for ClassShape { class, place, shape } in source.shapes {
            let shape = match format {
                AnnotationFormat::Yolo => shape.clone().scaled(size),
                _ => shape.clone(),
            };
            let named = || format!("`{}`: {place}", source.name);
            match placement(&shape, size) {
                Placement::Outside => {
                    let what = format!("is outside of `{file}`, which is {} x {} px", size[0], size[1]);
                    mistakes.add(place, what);
                    continue;
                }
                Placement::TooComplex => {
                    mistakes.add(place, "has an outline that crosses too many rows to be a drawing");
                    continue;
                }
                Placement::Beyond => {
                    found.beyond.0 += 1;
                    found.beyond.1.get_or_insert_with(named);
                }
                Placement::Inside => {}
            }
            if !covers_a_centre(&shape, size) {
                found.small.0 += 1;
                found.small.1.get_or_insert_with(named);
            }
            found.shapes.entry(*class).or_default().push(shape);
        }
        found.mistakes.append(mistakes);
    }
    Ok(found)
}

fn other_size(file: &str, picture: PictureSize, source: &AttachedPicture<'_>, stated: [u32; 2]) -> StageError {
    let PictureSize { shown: [width, height], orientation } = picture;
    let place = if source.place.is_empty() { String::new() } else { format!(": {}", source.place) };
    let text = format!(
        "`{}`{place} is drawn on {} x {} px, but its photograph `{file}` is {width} x {height} px",
        source.name, stated[0], stated[1]
    );
    if orientation.swaps() && stated == [height, width] {
        let text = format!("{text} after applying its orientation ({})", orientation.number());
        return StageError::input("photograph-orientation", text).hint(
            "the shapes match the pixels as stored: annotate the photograph as displayed, or remove its orientation tag",
        );
    }
    StageError::input("mask-size", text)
        .hint("annotations must have the size of their photograph: use the file that was annotated")
}
