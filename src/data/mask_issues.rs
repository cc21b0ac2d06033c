//! What is odd about a photograph's masks though they can be read: kept beside an item's result, told once all are done. Knows no
//! stage.

use serde::{Deserialize, Serialize};

use crate::base::figure::counted;
use crate::stage::{Item, StageError, Warning};
use crate::store::{Objects, Tree};

/// The file of an item's result that holds them; there only if there are any, and never part of an output.
pub const FILE: &str = "remarks.json";

/// What is odd about one mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskIssue {
    /// The lesion class.
    pub class: String,
    /// What it is.
    #[serde(rename = "odd")]
    pub kind: MaskIssueKind,
}

/// What may be odd about a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskIssueKind {
    /// It covers more than half of its photograph.
    CoversMost,
    /// Its edges are soft.
    Soft,
    /// It has more than two values.
    ManyValues,
    /// It looks like a photograph, or is one.
    Photograph,
    /// Of it and its photograph one is to be shown turned, and the sizes would fit without that.
    Turned,
}

/// In the order in which they are told.
const ALL: [MaskIssueKind; 5] = [MaskIssueKind::Photograph, MaskIssueKind::CoversMost, MaskIssueKind::Turned, MaskIssueKind::Soft, MaskIssueKind::ManyValues];

impl MaskIssueKind {
    const fn code(self) -> &'static str {
        match self {
            Self::CoversMost => "mask-covers-most",
            Self::Soft => "soft-mask",
            Self::ManyValues => "mask-values",
            Self::Photograph => "mask-is-photograph",
            Self::Turned => "mask-orientation",
        }
    }

    /// What follows the masks that are counted, in both numbers, and what it means.
    const fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::CoversMost => (
                "covers more than half of its photograph",
                "cover more than half of their photographs",
                "is the background white?",
            ),
            Self::Soft => (
                "has soft edges",
                "have soft edges",
                "values from half of white on count as lesion; `mask-from` says otherwise",
            ),
            Self::ManyValues => {
                ("has more than two values", "have more than two values", "all but the background count as lesion")
            }
            Self::Photograph => {
                ("looks like a photograph", "look like photographs", "a mask is black but for the lesion")
            }
            Self::Turned => (
                "does not say to be shown as its photograph does",
                "do not say to be shown as their photographs do",
                "each is turned as its own file says (EXIF or TIFF orientation)",
            ),
        }
    }
}

/// Puts issues into an item's result.
///
/// # Errors
/// As the store's.
pub fn write(issues: &[MaskIssue], tree: &mut Tree, objects: &Objects) -> Result<(), StageError> {
    if !issues.is_empty() {
        let bytes = serde_json::to_vec(issues).map_err(|error| StageError::Bug(error.to_string()))?;
        tree.insert(FILE, objects.put(&bytes)?);
    }
    Ok(())
}

/// The warnings of all items: one for each thing that is odd, with the first mask in order.
///
/// # Errors
/// As the store's.
pub fn warnings(results: &[(Item, Tree)], objects: &Objects) -> Result<Vec<Warning>, StageError> {
    let mut all: Vec<(&str, MaskIssue)> = Vec::new();
    for (item, result) in results {
        let Some(bytes) = objects.read_in(result, FILE)? else { continue };
        let own: Vec<MaskIssue> =
            serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`{FILE}`: {error}")))?;
        all.extend(own.into_iter().map(|issue| (item.name.as_str(), issue)));
    }
    let warning = |kind: &MaskIssueKind| {
        let mut own = all.iter().filter(|(_, issue)| issue.kind == *kind);
        let (name, MaskIssue { class, .. }) = own.next()?;
        let count = 1 + own.count() as u64;
        let (one, many, meaning) = kind.text();
        let text = match count {
            1 => format!("the mask of `{class}` of `{name}` {one}: {meaning}"),
            _ => format!("{} {many}, that of `{class}` of `{name}` first: {meaning}", counted(count, "mask", "masks")),
        };
        Some(Warning { code: kind.code().to_owned(), text })
    };
    Ok(ALL.iter().filter_map(warning).collect())
}
