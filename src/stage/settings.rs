//! Settings of stages, as the head of a page shows them. Knows no signature.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings of one stage, for the head of a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StageSettings {
    /// Name of the stage in its own pipeline: `classifier`.
    pub stage: String,
    /// Type of the stage: `train`.
    pub kind: String,
    /// Its seed, if it draws random numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Parameters that differ from their defaults, by dotted name.
    pub params: BTreeMap<String, String>,
}
