//! Labels of pictures in files for other programs: COCO JSON and `GeoJSON` as `QuPath` reads it. Outlines run along the edges of pixels, so
//! that they say exactly what the masks say. Knows no stage.

mod coco;
mod qupath;

pub use coco::CocoWriter;
pub use qupath::feature_collection;

use super::bitmap::Rect;
use super::lesions::components::{Connectivity, PixelRun, components, runs};
use super::lesions::outline::{PixelPolygon, polygons};
use super::mask::Mask;
use super::patches::Label;
use crate::base::Digest;

/// A picture and its labels.
#[derive(Clone, Debug)]
pub struct LabelledPicture {
    /// Name of its photograph.
    pub photograph: String,
    /// Digest of that photograph's file.
    pub digest: Digest,
    /// Name of the picture's file.
    pub file: String,
    /// Width and height, px.
    pub size: [u32; 2],
    /// Side of a pixel in native pixels.
    pub scale: u32,
    /// Label of each class. A class that is present without a lesion has no mask.
    pub labels: Vec<Label>,
    /// Lesions of all classes, by class and number.
    pub lesions: Vec<OutlinedLesion>,
}

/// A lesion: pixels of a class that are connected by edges or corners.
#[derive(Clone, Debug)]
pub struct OutlinedLesion {
    /// Index of its class.
    pub class: usize,
    /// Its number within class and picture, from 1, in the order of the lesions' first pixels.
    pub number: u32,
    /// Its pixels in the picture.
    pub pixels: u32,
    /// Its area, native pixels.
    pub area: u32,
    /// Its box, px.
    pub bounds: Rect,
    /// Its pixels, row by row from the left.
    runs: Vec<PixelRun>,
    /// Its outline.
    outline: Vec<PixelPolygon>,
}

impl LabelledPicture {
    /// Whether a class is present, but no mask says where.
    #[must_use]
    pub fn is_placeless(&self, class: usize) -> bool {
        self.labels[class] == Label::Present && !self.lesions.iter().any(|lesion| lesion.class == class)
    }
}

/// The lesions of a mask of class `class`.
#[must_use]
pub fn lesions(class: usize, mask: &Mask) -> Vec<OutlinedLesion> {
    let all = components(&runs(mask.bits()), Connectivity::Eight);
    let lesion = |(runs, number): (Vec<PixelRun>, u32)| {
        let mut bounds = Rect { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };
        let (mut pixels, mut area) = (0, 0);
        for run in &runs {
            let row = Rect {
                left: run.left as usize,
                top: run.y as usize,
                right: run.right as usize,
                bottom: run.y as usize + 1,
            };
            pixels += run.right - run.left;
            area += mask.native_in(row);
            bounds.left = bounds.left.min(row.left);
            bounds.top = bounds.top.min(row.top);
            bounds.right = bounds.right.max(row.right);
            bounds.bottom = bounds.bottom.max(row.bottom);
        }
        let outline = polygons(&runs);
        OutlinedLesion { class, number, pixels, area, bounds, runs, outline }
    };
    all.into_iter().zip(1..).map(lesion).collect()
}
