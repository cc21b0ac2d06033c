//! Items of a map stage and their results. Knows no runner.

use crate::store::Tree;

/// One item of a map stage: a name and the data that its result is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name (`IDRiD_01`).
    pub name: String,
    /// Everything that its result depends on.
    pub tree: Tree,
    /// Estimated peak bytes while the item is processed; charged against `Options::memory` (bytes). 0 if negligible.
    pub bytes_in_flight: u64,
}

/// Result of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemResult {
    /// Its files.
    pub tree: Tree,
    /// Target that it was computed on, if that may differ from the one that [`Determinism::PathExact`](super::Determinism) names.
    pub target: Option<String>,
}

impl From<Tree> for ItemResult {
    fn from(tree: Tree) -> Self {
        Self { tree, target: None }
    }
}
