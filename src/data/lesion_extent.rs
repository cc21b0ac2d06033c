//! How much of a lesion is in a patch, and how far from the patch's rim: measured in the masks of the photographs that patches were cut
//! from. Knows no label rule.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::bitmap::Rect;
use super::item::{self, OpenPhotograph};
use super::lesions::components::{Connectivity, PixelRun, components, runs};
use super::mask::Mask;
use super::patches::{Part, PatchSet};
use crate::stage::{Item, StageError};
use crate::store::{Objects, Tree};

/// Lesions of one class in one patch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LesionExtent {
    /// Largest fraction of a lesion that is inside the patch, by native pixels; of the patch if the lesion is larger than that.
    pub share: f64,
    /// Largest distance of a lesion pixel inside from the patch's rim: the number of pixels between them.
    pub rim: u32,
}

/// Extents for each part, row and class of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct LesionExtents(pub Vec<Vec<Vec<LesionExtent>>>);

/// Measures the lesions in all patches of a set. `photographs` are those that it was cut from, and possibly more.
///
/// # Errors
/// `other-masks` if a photograph is missing or another one, or has other classes or another scale; if a mask cannot be read.
pub fn measure(set: &PatchSet, photographs: &Tree, objects: &Objects) -> Result<LesionExtents, StageError> {
    let classes = item::classes(photographs, objects)?;
    if classes != set.info.classes {
        let (here, there) = (set.info.classes.join(" "), classes.join(" "));
        return Err(other(format!(
            "the patches have the classes `{here}`, but the photographs at `masks` have `{there}`"
        )));
    }
    let items = item::items(photographs, objects)?;
    let items: BTreeMap<&str, &Item> = items.iter().map(|item| (item.name.as_str(), item)).collect();
    let of_part = |part: &Part| {
        if part.rows.is_empty() {
            return Ok(Vec::new());
        }
        let missing = || other(format!("the set at `masks` has no photograph `{}`", part.photograph));
        let item = items.get(part.photograph.as_str()).ok_or_else(missing)?;
        let opened = OpenPhotograph::new(&item.name, &item.tree, objects)?;
        if opened.digest()? != part.digest || opened.facts.scale != set.info.scale {
            return Err(other(format!(
                "`{}` at `masks` is not the photograph that its patches were cut from",
                item.name
            )));
        }
        let mut extents = vec![vec![LesionExtent::default(); classes.len()]; part.rows.len()];
        for class in 0..classes.len() {
            let Some(mask) = opened.mask_of_file(class)? else { continue };
            let lesions: Vec<MaskLesion> = components(&runs(mask.bits()), Connectivity::Eight)
                .into_iter()
                .map(|runs| MaskLesion::of(runs, &mask))
                .collect();
            for (row, extents) in part.rows.iter().zip(&mut extents) {
                if row.mask_pixels[class] > 0 {
                    extents[class] = extent(&mask, &lesions, square(row.x, row.y, set.info.size), set.info.scale);
                }
            }
        }
        Ok(extents)
    };
    Ok(LesionExtents(set.parts.par_iter().map(of_part).collect::<Result<_, StageError>>()?))
}

fn other(text: String) -> StageError {
    let hint = "connect the photographs that the patches were cut from: those at `from` of `extract`";
    StageError::input("other-masks", text).hint(hint).field("masks")
}

fn square(x: u32, y: u32, side: u32) -> Rect {
    let [left, top, side] = [x, y, side].map(|at| at as usize);
    Rect { left, top, right: left + side, bottom: top + side }
}

/// A lesion of a mask.
struct MaskLesion {
    runs: Vec<PixelRun>,
    bounds: Rect,
    /// Native pixels.
    area: u64,
}

impl MaskLesion {
    fn of(runs: Vec<PixelRun>, mask: &Mask) -> Self {
        let mut bounds = Rect { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };
        for run in &runs {
            bounds.left = bounds.left.min(run.left as usize);
            bounds.top = bounds.top.min(run.y as usize);
            bounds.right = bounds.right.max(run.right as usize);
            bounds.bottom = bounds.bottom.max(run.y as usize + 1);
        }
        let area = native(&runs, mask, bounds);
        Self { runs, bounds, area }
    }
}

/// Native pixels of these runs inside `rect`.
fn native(runs: &[PixelRun], mask: &Mask, rect: Rect) -> u64 {
    let inside = |run: &PixelRun| {
        let (y, left, right) =
            (run.y as usize, (run.left as usize).max(rect.left), (run.right as usize).min(rect.right));
        let within = (rect.top..rect.bottom).contains(&y) && left < right;
        if within { u64::from(mask.native_in(Rect { left, top: y, right, bottom: y + 1 })) } else { 0 }
    };
    runs.iter().map(inside).sum()
}

/// Extent of the lesions of one class in the patch at `rect`; `scale` is the side of a pixel in native pixels.
fn extent(mask: &Mask, lesions: &[MaskLesion], rect: Rect, scale: u32) -> LesionExtent {
    let patch = ((rect.right - rect.left) as u64 * u64::from(scale)).pow(2);
    let overlaps = |lesion: &&MaskLesion| {
        let bounds = lesion.bounds;
        bounds.left < rect.right && rect.left < bounds.right && bounds.top < rect.bottom && rect.top < bounds.bottom
    };
    let share = |lesion: &MaskLesion| native(&lesion.runs, mask, rect) as f64 / lesion.area.min(patch).max(1) as f64;
    let rim = |(x, y): (usize, usize)| {
        (x - rect.left).min(rect.right - 1 - x).min(y - rect.top).min(rect.bottom - 1 - y) as u32
    };
    LesionExtent {
        share: lesions.iter().filter(overlaps).map(share).fold(0.0, f64::max),
        rim: mask.bits().pixels_in(rect).map(rim).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bitmap::Bitmap;

    /// A bar of 8 x 2 pixels and a single one, on 20 x 20.
    fn mask() -> Mask {
        let mut bits = Bitmap::new(20, 20);
        (4..12).for_each(|x| [6, 7].into_iter().for_each(|y| bits.set(x, y)));
        bits.set(18, 18);
        Mask::released(bits)
    }

    fn of(mask: &Mask, x: u32, y: u32, side: u32) -> LesionExtent {
        let all = components(&runs(mask.bits()), Connectivity::Eight);
        let lesions: Vec<MaskLesion> = all.into_iter().map(|runs| MaskLesion::of(runs, mask)).collect();
        extent(mask, &lesions, square(x, y, side), 1)
    }

    #[test]
    fn a_share_is_of_the_lesion_and_the_rim_is_that_of_the_patch() {
        let mask = mask();
        assert_eq!(of(&mask, 0, 0, 20), LesionExtent { share: 1.0, rim: 7 });
        // Its first pixel, in the last column and row of the patch; then its two left columns.
        assert_eq!(of(&mask, 0, 2, 5), LesionExtent { share: 0.0625, rim: 0 });
        assert_eq!(of(&mask, 0, 2, 6), LesionExtent { share: 0.25, rim: 1 });
        assert_eq!(of(&mask, 0, 4, 6), LesionExtent { share: 0.25, rim: 1 });
        // The single pixel in a corner, whole.
        assert_eq!(of(&mask, 14, 14, 5), LesionExtent { share: 1.0, rim: 0 });
        assert_eq!(of(&mask, 12, 0, 8), LesionExtent::default(), "right next to the bar");
    }

    #[test]
    fn a_lesion_larger_than_the_patch_is_measured_by_the_patch() {
        let mut bits = Bitmap::new(20, 20);
        (0..20).for_each(|x| (0..20).for_each(|y| bits.set(x, y)));
        assert_eq!(of(&Mask::released(bits), 8, 8, 4), LesionExtent { share: 1.0, rim: 1 });
    }

    #[test]
    fn counts_of_native_pixels_are_the_areas() {
        // Two pixels of a lesion, of which one holds three times as many native pixels.
        let mut counts = vec![0; 64];
        (counts[9], counts[10]) = (1, 3);
        let mask = Mask::counted(8, 8, counts);
        assert_eq!(of(&mask, 0, 0, 2).share, 0.25, "only the first");
        assert_eq!(of(&mask, 2, 0, 2).share, 0.75, "only the second");
    }
}
