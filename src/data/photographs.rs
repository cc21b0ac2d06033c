//! A photograph set: what sources make and `extract` reads.
//!
//! Its tree holds for each photograph `NAME/photograph.EXT` and `NAME/mask.CLASS.EXT` for each mask that exists, and one
//! `NAME/facts.json`; `set.json` names the classes. All that concerns a photograph lies under its name, so that it is one item.

use serde::{Deserialize, Serialize};

use super::mask::Threshold;

/// `set.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotographSet {
    /// Lesion classes in the order of the labels (`MA HE EX SE`).
    pub classes: Vec<String>,
    /// The photographs' names, sorted.
    pub photographs: Vec<String>,
}

/// `NAME/facts.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotographFacts {
    /// The patient, where known.
    pub patient: Option<String>,
    /// The side of the data set's own split, where there is one.
    pub official: Option<Official>,
    /// For each class in order: what a mask file that is not there means.
    pub without_mask: Vec<WithoutMask>,
    /// Side of one pixel in native pixels of the release: 1 as released, 2 after halving. Area in native pixels is kept apart.
    pub scale: u32,
    /// From which value on a mask's pixel is lesion; 1 where the pipeline does not say, and 0 where it says 1 (see
    /// [`PhotographFacts::threshold`]).
    #[serde(default = "any_value", skip_serializing_if = "is_any_value")]
    pub mask_from: u8,
    /// Whether a mask's values say how many pixels of the release are lesion, rather than that one is.
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
    /// From which value on a mask's pixel is lesion.
    #[must_use]
    pub const fn threshold(&self) -> Threshold {
        match self.mask_from {
            1 => Threshold::Automatic,
            0 => Threshold::From(1),
            value => Threshold::From(value),
        }
    }
}

/// A data set's own split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Official {
    /// For fitting.
    Train,
    /// For choosing epochs and thresholds.
    Valid,
    /// For the one test.
    Test,
}

/// What it means that a photograph has no mask file of a class.
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

    /// The side of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Train, Self::Valid, Self::Test].into_iter().find(|side| side.name() == name)
    }
}
