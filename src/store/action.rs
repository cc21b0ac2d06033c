//! Records of results: from a key to its outputs. A record carries the digest of its own text, so a damaged record is a
//! cache miss.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Artifact, Manifest, StoreError, StoredTree};
use crate::base::{Digest, disk};

/// A result on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    pub key: Digest,
    /// The target that it was computed on (`cpu-avx2`); [`EVERYWHERE`] if the result is the same on any machine.
    #[serde(rename = "class")]
    pub target: String,
    /// The tree of each output port.
    pub outputs: BTreeMap<String, StoredTree>,
    /// The summary shown to the user, as the runner wrote it.
    pub summary: serde_json::Value,
    /// What the key was computed from.
    pub manifest: Manifest,
    /// Provenance, for display.
    pub made: Made,
    /// How to recompute it; missing from records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
}

/// Everything needed to recompute a result without its pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The stage as planned: implementation, parameters, seed, outputs.
    pub stage: serde_json::Value,
    /// The inputs of its ports, in order.
    pub inputs: Vec<RecipeInput>,
}

/// An input of a recipe: a tree and the port that it goes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeInput {
    /// The port.
    pub port: String,
    /// The stage that produced it.
    pub stage: String,
    /// `folds.train`.
    pub name: String,
    /// The tree.
    pub tree: StoredTree,
    /// The summary of the stage that produced it; only kept for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<serde_json::Value>,
}

/// The target of results that are the same bytes on any machine.
pub const EVERYWHERE: &str = "any";

/// Provenance of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The pipeline.
    pub pipeline: String,
    /// The stage's name in that pipeline.
    pub stage: String,
    /// The run's id.
    pub run: String,
    /// Start time: nanoseconds since 1970, UTC.
    pub began: u64,
    /// Duration of that computation, seconds.
    pub seconds: f64,
    /// Estimated duration of computing all of it, seconds; larger than `seconds` if a map stage reused items. 0 in old
    /// records.
    #[serde(default, rename = "anew")]
    pub full_seconds: f64,
    /// macula's version.
    pub macula: String,
}

impl Made {
    /// Estimated seconds to recompute it from nothing.
    #[must_use]
    pub fn seconds_to_recompute(&self) -> f64 {
        self.full_seconds.max(self.seconds)
    }
}

/// A record whose outputs are all present.
#[derive(Clone, Debug)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// Its outputs.
    pub outputs: BTreeMap<String, Artifact>,
}

/// Why a key has no usable result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// None was ever recorded.
    Never,
    /// There was one, but its record or one of its objects is damaged or missing.
    Lost,
    /// There is one only for another target, and that was not accepted.
    OtherTarget(String),
}

/// Whether a result of another target is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Accepted if this machine's target has none.
    AnyTarget,
    /// Not accepted (`--exact`).
    OwnTarget,
}

/// Writes a record.
pub(super) fn write(path: &Path, record: &Record) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    disk::make_folder(folder).map_err(StoreError::disk("create", folder))?;
    disk::write_whole(path, &sealed(record)).map_err(StoreError::disk("write", path))
}

/// Reads a record; [`Absent::Lost`] if it is damaged.
pub(super) fn read(path: &Path) -> Result<Result<Record, Absent>, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(Absent::Never)),
        Err(error) => return Err(StoreError::disk("read", path)(error)),
    };
    Ok(unsealed(&bytes).ok_or(Absent::Lost))
}

/// A value as two lines: the digest of the JSON text, then the text.
pub(super) fn sealed<T: Serialize>(value: &T) -> Vec<u8> {
    let text = super::json(value);
    [Digest::of(&text).to_string().as_bytes(), b"\n", &text, b"\n"].concat()
}

/// Reads what [`sealed`] wrote; [`None`] if it is damaged.
pub(super) fn unsealed<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (digest, value) = text.split_once('\n')?;
    let value = value.strip_suffix('\n')?;
    let expected: Digest = digest.parse().ok()?;
    (Digest::of(value.as_bytes()) == expected).then(|| serde_json::from_str(value).ok())?
}
