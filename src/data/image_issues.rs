//! Issues of photographs and masks that can be decoded but look wrong: stored next to an item's result, reported once all items are
//! done. Knows no stage.

use serde::{Deserialize, Serialize};

use crate::base::figure::counted;
use crate::stage::{Item, StageError, Warning};
use crate::store::{Objects, Tree};

/// File in an item's result that holds its issues; only present if there are any, and never part of an output.
pub const FILE: &str = "remarks.json";

/// Code of the warning about masks that cover more than half of their photograph.
pub const COVERS_MOST: &str = "mask-covers-most";

/// An issue of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIssue {
    /// Lesion class of the mask; empty for an issue of the photograph.
    pub class: String,
    /// Kind of the issue.
    #[serde(rename = "odd")]
    pub kind: ImageIssueKind,
}

/// Kind of an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageIssueKind {
    /// A mask covers more than half of its photograph.
    CoversMost,
    /// A mask has values between black and white: soft edges, or several levels.
    Soft,
    /// A mask has more than two values.
    ManyValues,
    /// A mask looks like a photograph, or is one.
    Photograph,
    /// A mask and its photograph have different orientations, and the sizes do not show which is right.
    Turned,
    /// A mask with lesion pixels has the same bytes as that of another class.
    SharedMask,
    /// A photograph uses only the lowest part of its 16-bit range.
    Dark,
}

impl ImageIssue {
    /// The warning about this image, of the photograph with this name.
    #[must_use]
    pub fn warning(&self, photograph: &str) -> Warning {
        let Self { class, kind } = self;
        let (one, _, meaning) = kind.text();
        let text = if class.is_empty() {
            format!("photograph `{photograph}` {one}: {meaning}")
        } else {
            format!("the mask of `{class}` of `{photograph}` {one}: {meaning}")
        };
        Warning { code: kind.code().to_owned(), text }
    }
}

/// Kinds in the order in which they are reported.
const ALL: [ImageIssueKind; 7] = [
    ImageIssueKind::Dark,
    ImageIssueKind::Photograph,
    ImageIssueKind::SharedMask,
    ImageIssueKind::CoversMost,
    ImageIssueKind::Turned,
    ImageIssueKind::Soft,
    ImageIssueKind::ManyValues,
];

impl ImageIssueKind {
    const fn code(self) -> &'static str {
        match self {
            Self::CoversMost => COVERS_MOST,
            Self::Soft => "soft-mask",
            Self::ManyValues => "mask-values",
            Self::Photograph => "mask-is-photograph",
            Self::Turned => "mask-orientation",
            Self::SharedMask => "shared-mask",
            Self::Dark => "dark-photograph",
        }
    }

    /// The predicate in singular and plural, and what it means.
    const fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::CoversMost => (
                "covers more than half of its photograph",
                "cover more than half of their photographs",
                "is the background white?",
            ),
            Self::Soft => (
                "has values between black and white",
                "have values between black and white",
                "pixels from half of white on count as lesion; set another threshold with `mask-from`",
            ),
            Self::ManyValues => (
                "has more than two values",
                "have more than two values",
                "every value but the background counts as lesion; set a threshold with `mask-from`",
            ),
            Self::Photograph => {
                ("looks like a photograph", "look like photographs", "a mask is black except for the lesion")
            }
            Self::Turned => (
                "has a different orientation tag than its photograph",
                "have different orientation tags than their photographs",
                "each file is rotated by its own tag (EXIF or TIFF orientation)",
            ),
            Self::SharedMask => (
                "is identical to that of another class",
                "are identical to those of other classes",
                "both classes get the same labels",
            ),
            Self::Dark => (
                "uses less than a quarter of its 16-bit range",
                "use less than a quarter of their 16-bit range",
                "almost black in 8 bits; rescale the samples, or state the white level in the file",
            ),
        }
    }
}

/// Adds issues to an item's result.
///
/// # Errors
/// Store errors.
pub fn write(issues: &[ImageIssue], tree: &mut Tree, objects: &Objects) -> Result<(), StageError> {
    if !issues.is_empty() {
        let bytes = serde_json::to_vec(issues).map_err(|error| StageError::Bug(error.to_string()))?;
        tree.insert(FILE, objects.put(&bytes)?);
    }
    Ok(())
}

/// Warnings about the issues of all items: one for each kind, naming the first image.
///
/// # Errors
/// Store errors.
pub fn warnings(results: &[(Item, Tree)], objects: &Objects) -> Result<Vec<Warning>, StageError> {
    let mut all: Vec<(&str, ImageIssue)> = Vec::new();
    for (item, result) in results {
        let Some(bytes) = objects.read_in(result, FILE)? else { continue };
        let own: Vec<ImageIssue> =
            serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`{FILE}`: {error}")))?;
        all.extend(own.into_iter().map(|issue| (item.name.as_str(), issue)));
    }
    let warning = |kind: &ImageIssueKind| {
        let mut own = all.iter().filter(|(_, issue)| issue.kind == *kind);
        let (name, first) = own.next()?;
        let count = 1 + own.count() as u64;
        let (_, many, meaning) = kind.text();
        let class = &first.class;
        let text = match (count, class.is_empty()) {
            (1, _) => return Some(first.warning(name)),
            (_, true) => {
                format!("{} {many} (first: `{name}`): {meaning}", counted(count, "photograph", "photographs"))
            }
            (_, false) => {
                format!("{} {many} (first: `{class}` of `{name}`): {meaning}", counted(count, "mask", "masks"))
            }
        };
        Some(Warning { code: kind.code().to_owned(), text })
    };
    Ok(ALL.iter().filter_map(warning).collect())
}
