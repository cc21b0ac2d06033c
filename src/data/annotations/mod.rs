//! Annotations of photographs that tools write as shapes: COCO, labelme, CVAT, `QuPath`, YOLO. The readers turn a file into labelled shapes
//! and a list of its mistakes; a source keeps the shapes of each photograph and class, and they are drawn when a mask is read. Knows no
//! folder and no pattern.

mod coco;
mod cvat;
mod divide;
mod draw;
mod drawn_mask;
mod embedded_png;
mod json;
mod labelme;
mod labels;
mod mistakes;
mod picture_names;
mod qupath;
mod run_lengths;
mod shape;
mod yolo;
mod yolo_names;

pub use divide::RegionGrid;
pub use draw::{Placement, covers_a_centre, draw, placement};
pub use drawn_mask::{DRAWN, DrawnMask};
pub use labels::{LabelMap, unmapped};
pub use mistakes::AnnotationMistakes;
pub use picture_names::PictureNames;
pub use shape::{DrawnShape, RunOrder};
pub use yolo_names::names as yolo_names;

use std::collections::BTreeMap;

use crate::data::text_table;

/// Format of annotation files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationFormat {
    /// COCO JSON.
    Coco,
    /// labelme JSON.
    Labelme,
    /// "CVAT for images 1.1" XML.
    Cvat,
    /// `GeoJSON` as `QuPath` writes it.
    Qupath,
    /// YOLO text: boxes and polygons.
    Yolo,
}

impl AnnotationFormat {
    /// The format with this name in a pipeline.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "coco" => Self::Coco,
            "labelme" => Self::Labelme,
            "cvat" => Self::Cvat,
            "qupath" => Self::Qupath,
            "yolo" => Self::Yolo,
            _ => return None,
        })
    }

    /// Whether a file describes many photographs and names them.
    #[must_use]
    pub const fn names_pictures(self) -> bool {
        matches!(self, Self::Coco | Self::Cvat)
    }

    /// Extension of its files.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Coco | Self::Labelme => "json",
            Self::Cvat => "xml",
            Self::Qupath => "geojson",
            Self::Yolo => "txt",
        }
    }
}

/// What a reader needs to know.
pub struct ReadingRule<'a> {
    /// Labels of classes.
    pub labels: &'a LabelMap,
    /// Radius of points, px; [`None`] if a point with a label of a class is a mistake.
    pub point_radius: Option<f64>,
    /// Names of YOLO's numbers; empty if labels are the numbers.
    pub names: &'a BTreeMap<u32, String>,
}

/// A shape of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassShape {
    /// The class, in the order of [`LabelMap`].
    pub class: usize,
    /// Where the file has it: `annotations[17] (id 4123)`.
    pub place: String,
    /// The shape.
    pub shape: DrawnShape,
}

/// What a file states about one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnnotatedPicture {
    /// Name of the picture in the file; empty if the file names none.
    pub name: String,
    /// Name of the picture in a file that belongs to it by its own name; empty if it states none.
    pub stated: String,
    /// Where the file has it: `images[3] (id 4)`; empty for a file about one picture.
    pub place: String,
    /// Width and height in the file, px.
    pub size: Option<[u32; 2]>,
    /// Shapes of classes.
    pub shapes: Vec<ClassShape>,
    /// Classes that the file says were searched for, by the members that `absent-shape listed` names.
    pub searched: Vec<usize>,
}

/// Content of an annotation file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnnotationFile {
    /// Pictures, in the order of the file.
    pub pictures: Vec<AnnotatedPicture>,
    /// Number of shapes with each label, as spelled in the file, also of labels that belong to no class.
    pub labels: BTreeMap<String, u64>,
    /// Labels that the file declares, also without a shape; [`None`] if its format has no such list.
    pub declared: Option<Vec<String>>,
}

/// Reads an annotation file. Shapes with a mistake are left out; [`None`] if nothing can be read.
#[must_use]
pub fn read(
    format: AnnotationFormat,
    bytes: &[u8],
    rule: &ReadingRule<'_>,
    mistakes: &mut AnnotationMistakes,
) -> Option<AnnotationFile> {
    let Ok(text) = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) else {
        mistakes.add("", text_table::not_text(bytes));
        return None;
    };
    match format {
        AnnotationFormat::Coco => coco::read(text, rule, mistakes),
        AnnotationFormat::Labelme => labelme::read(text, rule, mistakes),
        AnnotationFormat::Cvat => cvat::read(text, rule, mistakes),
        AnnotationFormat::Qupath => qupath::read(text, rule, mistakes),
        AnnotationFormat::Yolo => Some(yolo::read(text, rule, mistakes)),
    }
}
