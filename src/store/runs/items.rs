//! Counts of a map stage's items, as records and events hold them: pairs of numbers.

use serde::{Deserialize, Serialize};

/// Items of a map stage that have a result before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct ReusedItems {
    /// Items with a result.
    pub reused: u64,
    /// All items.
    pub total: u64,
}

/// Items of a map stage that were computed in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct ComputedItems {
    /// Items computed in this run.
    pub computed: u64,
    /// All items.
    pub total: u64,
}

impl From<(u64, u64)> for ReusedItems {
    fn from((reused, total): (u64, u64)) -> Self {
        Self { reused, total }
    }
}

impl From<ReusedItems> for (u64, u64) {
    fn from(items: ReusedItems) -> Self {
        (items.reused, items.total)
    }
}

impl From<(u64, u64)> for ComputedItems {
    fn from((computed, total): (u64, u64)) -> Self {
        Self { computed, total }
    }
}

impl From<ComputedItems> for (u64, u64) {
    fn from(items: ComputedItems) -> Self {
        (items.computed, items.total)
    }
}
