//! Results of stages, as decisions and runs pass them on. Knows neither.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::graph::StageId;
use crate::base::Digest;
use crate::stage::Summary;
use crate::store::{Artifact, Manifest};

/// The result of a stage.
#[derive(Clone, Debug)]
pub struct StageResult {
    /// The artifact of each output port.
    pub outputs: BTreeMap<String, Artifact>,
    /// Its summary for people.
    pub summary: Summary,
    /// The manifest of its key.
    pub manifest: Manifest,
    /// Its key; [`None`] for a source.
    pub key: Option<Digest>,
    /// The target that it was computed on.
    pub target: String,
    /// What computing it costs; zero for a source.
    pub cost: Cost,
}

/// Computing time of a stage, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Time of the last computation, which for a map stage covered only the missing items.
    pub last_seconds: f64,
    /// Time to compute the whole result.
    pub full_seconds: f64,
}

/// Results of the stages that have one.
pub type StageResults = BTreeMap<StageId, Arc<StageResult>>;
