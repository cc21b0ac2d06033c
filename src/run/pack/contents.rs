//! The description of a pack, `macula.json`: which files it has, which results they are, and how it was made. Knows neither
//! archives nor stores.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::store::{Entry, Record};

/// The format that this macula writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Name of the description.
pub(super) const CONTENTS: &str = "macula.json";

/// Folder of the pipeline, with everything that it uses.
pub(super) const PROJECT: &str = "project";

/// Folder of the results' files.
pub(super) const OUTPUTS: &str = "outputs";

/// The description of a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackContents {
    /// Its format.
    pub format: u32,
    /// Version of the macula that wrote it.
    pub macula: String,
    /// The pipeline.
    pub pipeline: PackedPipeline,
    /// Its lock file: a path in the pack.
    pub lock: String,
    /// Whether photographs, and results with pieces of them, are inside.
    pub photographs: bool,
    /// Whether results that name photographs are inside.
    pub names: bool,
    /// The run that computed the newest result; [`None`] if its record is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The machine of that run, as recorded: `os`, `arch`, `processors`, `kernels`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// All other files, by path.
    pub files: BTreeMap<String, Entry>,
    /// The results.
    pub results: Vec<PackedResult>,
    /// Results that are not inside, or not as a whole.
    pub withheld: Vec<Withheld>,
    /// Where sources look for data that is not inside, relative to the project folder, by stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, BTreeSet<String>>,
}

/// The pipeline of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedPipeline {
    /// Its name.
    pub name: String,
    /// Its file: a path in the pack.
    pub file: String,
    /// The project's folder: a path in the pack.
    pub project: String,
    /// `--pipeline`, if it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// `--sweep`, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<String>,
    /// `--set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// A result in a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackedResult {
    /// The stage.
    pub stage: String,
    /// The record, without the recipe.
    pub record: Record,
    /// The files of each output port, by name in its tree.
    pub outputs: BTreeMap<String, BTreeMap<String, PackedFile>>,
}

/// A file of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedFile {
    /// Path in the pack; results share files.
    pub path: String,
    /// Digest and size.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A result that is not in a pack as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The stage.
    pub stage: String,
    /// Type of the output that may not be inside.
    #[serde(rename = "type")]
    pub ty: String,
    /// Digest of each output's tree.
    pub outputs: BTreeMap<String, Digest>,
}
