//! Records of results: from a key to outputs. A record carries the digest of its own text, so that a damaged one is a miss.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Artifact, Entry, Manifest, StoreError};
use crate::base::{Digest, disk};

/// The result of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    pub key: Digest,
    /// The realisation target that it was computed in; [`EVERYWHERE`] where the result is the same on any machine.
    #[serde(rename = "class")]
    pub target: String,
    /// For each output port its tree.
    pub outputs: BTreeMap<String, StoredTree>,
    /// What people are told of it, as the runner wrote it.
    pub summary: serde_json::Value,
    /// What the key was made of.
    pub manifest: Manifest,
    /// How it came about; for people.
    pub made: Made,
    /// All that computing it again takes; an older macula did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
}

/// All that computing a result again takes, without the pipeline that it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The stage as the plan wrote it down: implementation, parameters, seed, outputs.
    pub stage: serde_json::Value,
    /// What its ports were given, in order.
    pub inputs: Vec<RecipeInput>,
}

/// A tree that a port was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeInput {
    /// The port.
    pub port: String,
    /// The stage that made it.
    pub stage: String,
    /// `folds.train`.
    pub name: String,
    /// The tree.
    pub tree: StoredTree,
    /// The summary of the stage that made it; for pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<serde_json::Value>,
}

/// The target of results that are the same bytes on any machine.
pub const EVERYWHERE: &str = "any";

/// A tree in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTree {
    /// [`Tree::digest`](super::Tree::digest).
    pub tree: Digest,
    /// The object that holds its names.
    pub object: Entry,
}

/// How a result came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The pipeline.
    pub pipeline: String,
    /// The stage's name there.
    pub stage: String,
    /// The run's id.
    pub run: String,
    /// When it began: nanoseconds since 1970, UTC.
    pub began: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// How long computing all of it takes, seconds: an estimate where items of a map stage were there. 0 in records of before it was kept.
    #[serde(default)]
    pub full_seconds: f64,
    /// macula's version.
    pub macula: String,
}

impl Made {
    /// How long computing it again from nothing takes, seconds, as far as is known.
    #[must_use]
    pub fn seconds_to_recompute(&self) -> f64 {
        self.full_seconds.max(self.seconds)
    }
}

/// A record whose outputs are all there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// Its outputs.
    pub outputs: BTreeMap<String, Artifact>,
}

/// Why there is no result for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// None was ever recorded.
    Never,
    /// There was one, but its record or an object of it is damaged or missing.
    Lost,
    /// There is one of another target only, and it is not wanted.
    OtherTarget(String),
}

/// Whether a result of another realisation target will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// It will where there is none of the own target.
    AnyTarget,
    /// It will not (`--exact`).
    OwnTarget,
}

/// Writes a record.
pub(super) fn write(path: &Path, record: &Record) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    disk::make_folder(folder).map_err(StoreError::disk("create", folder))?;
    disk::write_whole(path, &sealed(record)).map_err(StoreError::disk("write", path))
}

/// Reads a record; [`Absent::Lost`] where it is damaged.
pub(super) fn read(path: &Path) -> Result<Result<Record, Absent>, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(Absent::Never)),
        Err(error) => return Err(StoreError::disk("read", path)(error)),
    };
    Ok(unsealed(&bytes).ok_or(Absent::Lost))
}

/// A line with the digest of the text, and the text: one line of JSON.
pub(super) fn sealed<T: Serialize>(value: &T) -> Vec<u8> {
    let text = super::json(value);
    [Digest::of(&text).to_string().as_bytes(), b"\n", &text, b"\n"].concat()
}

/// What [`sealed`] wrote; [`None`] where it is damaged.
pub(super) fn unsealed<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (digest, value) = text.split_once('\n')?;
    let value = value.strip_suffix('\n')?;
    let expected: Digest = digest.parse().ok()?;
    (Digest::of(value.as_bytes()) == expected).then(|| serde_json::from_str(value).ok())?
}
