//! Photograph sets, as sources write and `extract` reads them.
//!
//! The tree holds `NAME/photograph.EXT`, `NAME/mask.CLASS.EXT` for each existing mask and `NAME/facts.json` for each photograph; a mask
//! is an image, or with the extension `shapes` the shapes that an annotation tool drew.
//! `set.json` lists the classes. All files of a photograph lie under its name, so that it is one item.

use serde::{Deserialize, Serialize};

use super::mask::{MaskContent, MaskValue, Threshold};
use crate::base::Digest;
use crate::stage::StageError;
use crate::store::{Objects, Tree};

/// `set.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotographSet {
    /// Lesion classes in label order (`MA HE EX SE`).
    pub classes: Vec<String>,
    /// The photographs' names, sorted.
    pub photographs: Vec<String>,
    /// How their classes relate.
    #[serde(default, skip_serializing_if = "LabelScheme::is_multi_label")]
    pub labels: LabelScheme,
}

/// How the classes of a set relate to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelScheme {
    /// Each class is present or absent, whatever the others are.
    #[default]
    MultiLabel,
    /// Exactly one class is present.
    Single,
    /// As [`LabelScheme::Single`], and the classes are grades in ascending order.
    Grades,
}

impl LabelScheme {
    /// Whether classes are independent.
    #[must_use]
    pub const fn is_multi_label(&self) -> bool {
        matches!(self, Self::MultiLabel)
    }
}

/// `NAME/facts.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotographFacts {
    /// The patient, if known.
    pub patient: Option<String>,
    /// Its set in the data set's official split, if there is one.
    pub official: Option<Official>,
    /// Meaning of a missing mask file, per class in order.
    pub without_mask: Vec<WithoutMask>,
    /// Side of one pixel in native pixels: 1 as released, 2 after halving.
    pub scale: u32,
    /// Lowest lesion value of a mask; 1 if not set by the pipeline, and 0 if set to 1 (see [`PhotographFacts::threshold`]).
    #[serde(default = "any_value", skip_serializing_if = "is_any_value")]
    pub mask_from: u8,
    /// Whether mask values are counts of native lesion pixels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
    /// How the classes of its set relate.
    #[serde(default, skip_serializing_if = "LabelScheme::is_multi_label")]
    pub labels: LabelScheme,
    /// Value of each class in its mask file, if one file is the mask of several classes; empty if none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask_values: Vec<Option<MaskValue>>,
    /// Indices of classes that a table says are absent, although the photograph has a mask of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told_absent: Vec<usize>,
    /// Whether it was a region of a slide before it was changed, so that labels of the slide do not hold for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
}

const fn any_value() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_any_value(value: &u8) -> bool {
    *value == any_value()
}

impl PhotographFacts {
    /// Facts of a photograph as released, of an unknown patient and in no official split, with masks by the automatic threshold.
    #[must_use]
    pub const fn released(without_mask: Vec<WithoutMask>) -> Self {
        Self {
            patient: None,
            official: None,
            without_mask,
            scale: 1,
            mask_from: any_value(),
            counted: false,
            labels: LabelScheme::MultiLabel,
            mask_values: Vec::new(),
            told_absent: Vec::new(),
            part: false,
        }
    }

    /// Whether the mask file of class `k` is that of several classes.
    #[must_use]
    pub fn is_common_mask(&self, k: usize) -> bool {
        self.mask_values.get(k).is_some_and(Option::is_some)
    }

    /// Content of the mask file of class `k`.
    #[must_use]
    pub fn mask_content(&self, k: usize) -> MaskContent {
        match self.mask_values.get(k) {
            _ if self.counted => MaskContent::Counts,
            Some(Some(value)) => MaskContent::Value(*value),
            _ => MaskContent::Lesion(self.threshold()),
        }
    }

    /// Value of `mask_from` for a threshold that the pipeline may set.
    #[must_use]
    pub fn stored_mask_from(set: Option<usize>) -> u8 {
        match set {
            None => 1,
            Some(1) => 0,
            Some(value) => u8::try_from(value).unwrap_or(u8::MAX),
        }
    }

    /// Lowest lesion value of a mask.
    #[must_use]
    pub const fn threshold(&self) -> Threshold {
        match self.mask_from {
            1 => Threshold::Automatic,
            0 => Threshold::From(1),
            value => Threshold::From(value),
        }
    }
}

/// Digest of a photograph's file in a set, and its patient, if known; [`None`] if the set does not have it.
///
/// # Errors
/// Store errors.
pub fn file_and_patient(
    set: &Tree,
    name: &str,
    objects: &Objects,
) -> Result<Option<(Digest, Option<String>)>, StageError> {
    let file = format!("{name}/photograph.");
    let Some((_, entry)) = set.under(&file).next() else { return Ok(None) };
    let missing = || StageError::Bug(format!("photograph `{name}` without `facts.json`"));
    let facts = objects.read_in(set, &format!("{name}/facts.json"))?.ok_or_else(missing)?;
    let facts: PhotographFacts =
        serde_json::from_slice(&facts).map_err(|error| StageError::Bug(format!("photograph `{name}`: {error}")))?;
    Ok(Some((entry.digest, facts.patient)))
}

/// A set of a data set's official split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Official {
    /// Training set.
    Train,
    /// Validation set, for choosing epochs and thresholds.
    Valid,
    /// Test set.
    Test,
}

/// Meaning of a missing mask file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutMask {
    /// The lesion is absent.
    Absent,
    /// It was not annotated.
    Unknown,
    /// The lesion is somewhere in the photograph.
    Present,
}

impl Official {
    /// Its name in tables: `train`, `valid`, `test`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// The set with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Train, Self::Valid, Self::Test].into_iter().find(|side| side.name() == name)
    }
}
