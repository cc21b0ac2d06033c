//! Photograph sets, as sources write and `extract` reads them.
//!
//! The tree holds `NAME/photograph.EXT`, `NAME/mask.CLASS.EXT` for each existing mask and `NAME/facts.json` for each photograph;
//! `set.json` lists the classes. All files of a photograph lie under its name, so that it is one item.

use serde::{Deserialize, Serialize};

use super::mask::Threshold;
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
}

const fn any_value() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_any_value(value: &u8) -> bool {
    *value == any_value()
}

impl PhotographFacts {
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
