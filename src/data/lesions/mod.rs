//! Lesions of a photograph: the connected components of its masks. Knows no stage.
//!
//! The tree of all photographs' lesions: `lesions.json` ([`LesionsInfo`]), `counts.parquet` (one row per photograph and class),
//! `lesions/PHOTOGRAPH.parquet` (one row per lesion, see [`table`]) and `outlines/PHOTOGRAPH.geojson` (see [`geojson`]).
//!
//! Coordinates are pixels of the photograph that the masks belong to, as displayed: x to the right, y downwards, the top left corner of
//! the photograph at (0, 0), so that the centre of the first pixel is (0.5, 0.5). Areas are counted in native pixels.

pub mod components;
pub mod geojson;
pub mod nearest;
pub mod outline;
pub mod shape;
pub mod table;

use serde::{Deserialize, Serialize};

use self::components::{Connectivity, PixelRun, components, runs};
use self::nearest::PixelSet;
use self::outline::{PixelPolygon, polygons};
use super::bitmap::Rect;
use super::decode::Photograph;
use super::item::{Annotation, OpenPhotograph};
use super::mask::Mask;
use crate::base::Digest;
use crate::stage::StageError;

/// `lesions.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LesionsInfo {
    /// Lesion classes in label order.
    pub classes: Vec<String>,
    /// Side of one pixel in native pixels.
    pub scale: u32,
}

/// One lesion: pixels of a mask that are connected by edges or corners.
#[derive(Clone, Debug, PartialEq)]
pub struct LesionComponent {
    /// Index of its class.
    pub class: usize,
    /// Its number among the lesions of its class in the photograph, from 1, in the order of their first pixels, row by row.
    pub number: u32,
    /// Its pixels in the photograph.
    pub pixels: u32,
    /// Its area, native pixels.
    pub area: u32,
    /// Its box, px.
    pub bounds: Rect,
    /// Mean of its pixels' centres (x, y), px.
    pub centre: [f64; 2],
    /// Distance from its centre to the rim of the field of view: the nearest background pixel (see [`PixelSet::background`]) or the
    /// edge of the photograph, px.
    pub rim: f32,
    /// Distance from its centre to the nearest pixel of the optic disc, px; 0 within it, [`None`] if the disc is not annotated.
    pub disc: Option<f32>,
}

/// Class and centre of a lesion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LesionCentre {
    /// Index of its class.
    pub class: usize,
    /// Mean of its pixels' centres (x, y), px.
    pub at: [f64; 2],
}

/// Lesions of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct PhotographLesions {
    /// The photograph's name.
    pub photograph: String,
    /// Digest of its file.
    pub digest: Digest,
    /// Its patient, if known.
    pub patient: Option<String>,
    /// Its width and height, px.
    pub size: [u32; 2],
    /// Side of one pixel in native pixels.
    pub scale: u32,
    /// Lesion classes in label order, and whether each is annotated: a class that is not has unknown lesions, not none.
    pub classes: Vec<(String, bool)>,
    /// The lesions, by class and number.
    pub lesions: Vec<LesionComponent>,
}

/// Finds the lesions of a photograph, and the outline of each, in the same order. `disc` is the same photograph in a set whose only
/// class is the optic disc.
///
/// # Errors
/// If a file cannot be read or a mask has the wrong size; store errors.
pub fn find(
    name: &str,
    opened: &OpenPhotograph<'_>,
    disc: Option<&OpenPhotograph<'_>>,
) -> Result<(PhotographLesions, Vec<Vec<PixelPolygon>>), StageError> {
    let mut photograph = Photograph::default();
    let digest = opened.photograph(&mut photograph)?;
    let disc = match disc.map(|disc| disc.annotation(0, &photograph)).transpose()? {
        Some(Annotation::Mask(mask)) => Some(PixelSet::new(runs(mask.bits()), photograph.height)),
        Some(Annotation::Absent | Annotation::Present | Annotation::Unknown) | None => None,
    };
    let background = PixelSet::background(&photograph);
    let rim = |[x, y]: [f64; 2]| {
        let edge = x.min(y).min(photograph.width as f64 - x).min(photograph.height as f64 - y);
        background.distance([x, y]).map_or(edge, |distance| distance.min(edge))
    };
    let mut found = PhotographLesions {
        photograph: name.to_owned(),
        digest,
        patient: opened.facts.patient.clone(),
        size: [photograph.width as u32, photograph.height as u32],
        scale: opened.facts.scale,
        classes: Vec::new(),
        lesions: Vec::new(),
    };
    let mut outlines = Vec::new();
    for (class, class_name) in opened.classes.iter().enumerate() {
        let annotation = opened.annotation(class, &photograph)?;
        found.classes.push((class_name.clone(), !matches!(annotation, Annotation::Present | Annotation::Unknown)));
        let Some(mask) = annotation.mask() else { continue };
        for (component, number) in components(&runs(mask.bits()), Connectivity::Eight).iter().zip(1..) {
            let mut lesion = measured(component, mask);
            (lesion.class, lesion.number) = (class, number);
            lesion.rim = rim(lesion.centre) as f32;
            lesion.disc = disc.as_ref().and_then(|disc| disc.distance(lesion.centre)).map(|distance| distance as f32);
            found.lesions.push(lesion);
            outlines.push(polygons(component));
        }
    }
    Ok((found, outlines))
}

/// Centres of the lesions in a photograph's masks, one mask per class, in the order of [`PhotographLesions::lesions`].
#[must_use]
pub fn centres(masks: &[Annotation]) -> Vec<LesionCentre> {
    let of_mask = |(class, mask): (usize, &Annotation)| {
        let found = mask.mask().map(|mask| (mask, components(&runs(mask.bits()), Connectivity::Eight)));
        let of = move |(mask, found): (&Mask, Vec<Vec<PixelRun>>)| -> Vec<LesionCentre> {
            found.iter().map(|pixels| LesionCentre { class, at: measured(pixels, mask).centre }).collect()
        };
        found.map(of).unwrap_or_default()
    };
    masks.iter().enumerate().flat_map(of_mask).collect()
}

impl PhotographLesions {
    /// Centres of the lesions.
    #[must_use]
    pub fn centres(&self) -> Vec<LesionCentre> {
        self.lesions.iter().map(|lesion| LesionCentre { class: lesion.class, at: lesion.centre }).collect()
    }
}

/// Area, box and centre of a component of `mask`; the rest is empty.
fn measured(component: &[PixelRun], mask: &Mask) -> LesionComponent {
    let (mut pixels, mut area, mut doubled) = (0_u32, 0_u32, [0_u64; 2]);
    let mut bounds = Rect { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };
    for run in component {
        let (y, left, right) = (run.y as usize, run.left as usize, run.right as usize);
        pixels += run.right - run.left;
        area += mask.native_in(Rect { left, top: y, right, bottom: y + 1 });
        // Twice the sums of the centres' coordinates are integers: of x + 1/2 from left to right, (right^2 - left^2) / 2.
        doubled[0] += (right * right - left * left) as u64;
        doubled[1] += ((right - left) * (2 * y + 1)) as u64;
        bounds.left = bounds.left.min(left);
        bounds.top = bounds.top.min(y);
        bounds.right = bounds.right.max(right);
        bounds.bottom = bounds.bottom.max(y + 1);
    }
    let centre = doubled.map(|sum| sum as f64 / (2.0 * f64::from(pixels)));
    LesionComponent { class: 0, number: 0, pixels, area, bounds, centre, rim: 0.0, disc: None }
}

/// Quantile of sorted values, linear between neighbours (numpy's default); [`None`] without values.
#[must_use]
pub fn quantile(sorted: &[u32], fraction: f64) -> Option<f64> {
    let at = sorted.len().checked_sub(1)? as f64 * fraction;
    let below = f64::from(sorted[at.floor() as usize]);
    let above = f64::from(sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        assert_eq!([0.25, 0.5, 0.75].map(|at| quantile(&[1, 2, 4, 10], at)), [Some(1.75), Some(3.0), Some(5.5)]);
        assert_eq!(quantile(&[7], 0.25), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
