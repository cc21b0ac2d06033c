//! The types of ports.

/// Types that hold labelled photographs or their patches, and pass marks on: outputs made of marked patches are marked.
pub const CARRIERS: [&str; 3] = ["photographs", "patches", "views"];

/// The type of pretrained weights, from a file or from `pretrain`.
pub const PRETRAINED: &str = "weights";

/// The type of any files: those of a command, and exported ones.
pub const FILES: &str = "files";

/// The type of pairs of photographs that show the same picture.
pub const DUPLICATES: &str = "duplicates";

/// The types of ports.
pub(super) const TYPES: [&str; 17] = [
    "photographs",
    DUPLICATES,
    "lesions",
    "patches",
    "views",
    "embeddings",
    "weights",
    "model",
    "thresholds",
    "predictions",
    "maps",
    "scores",
    "spread",
    "analysis",
    "report",
    FILES,
    "program",
];

/// Types whose outputs contain neither image data nor file names of photographs.
const WITHOUT_PHOTOGRAPHS: [&str; 3] = ["model", "thresholds", "weights"];

/// Types whose outputs name photographs, but contain no image data.
const ONLY_NAMES: [&str; 5] = [DUPLICATES, "lesions", "predictions", "spread", "analysis"];

/// Whether an output of type `ty` may name photographs, but contains no image data.
#[must_use]
pub fn only_names_photographs(ty: &str) -> bool {
    ONLY_NAMES.contains(&ty)
}

/// Whether an output of type `ty` may contain image data or file names of photographs: a command's files may contain anything.
#[must_use]
pub fn may_show_photographs(ty: &str) -> bool {
    !WITHOUT_PHOTOGRAPHS.contains(&ty)
}

/// Placeholder for an unknown type: it fits everything, so that a mistake is reported once.
pub(super) const ANY: &str = "?";
