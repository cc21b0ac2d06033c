//! Lock files: a pipeline's results in a file next to it, so that others can check that they get the same. Contain no
//! times, no paths and no file names of photographs.

mod text;
mod verdict;

use std::collections::BTreeMap;

pub use text::{Unreadable, read, write};
pub use verdict::{Judged, Verdict, Why, judge};

use super::Project;
use crate::base::{Digest, Hasher};
use crate::lang::spec::StageSpec;
use crate::lang::stdlib;
use crate::plan::{StageId, StageResult, StageResults, keys};
use crate::stage::{Implementation, Work};
use crate::store::{Kind, Objects, Tree};

/// Maximum number of a source's files that a lock file lists; beyond it, only their number and the digest of all.
const MOST_FILES: usize = 10_000;

/// Hexadecimal digits that identify a file's name and content.
const DIGITS: usize = 12;

/// A pipeline's results.
#[derive(Clone, Debug, PartialEq)]
pub struct Lockfile {
    /// The pipeline.
    pub pipeline: String,
    /// macula's version.
    pub macula: String,
    /// The digest of the standard library's text.
    pub stdlib: Digest,
    /// Its stages, in the order of the pipeline file.
    pub stages: Vec<LockedStage>,
}

/// A stage's results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockedStage {
    /// The stage's name.
    pub name: String,
    /// The stage's type.
    pub kind: String,
    /// The implementation.
    pub implementation: String,
    /// Its version.
    pub version: u32,
    /// How far its bytes can be reproduced: `bit-exact`, `path-exact`, `unknown`.
    pub determinism: String,
    /// The target that it was computed on: `cpu-avx2`, or `any`.
    pub target: String,
    /// Its key; [`None`] for a source.
    pub key: Option<Digest>,
    /// The seed, if the stage uses it.
    pub seed: Option<String>,
    /// Its parameters as displayed, except paths.
    pub params: BTreeMap<String, String>,
    /// The outputs given to its ports: `folds.train`.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// The digest of each output port's tree.
    pub outputs: BTreeMap<String, Digest>,
    /// Its metrics.
    pub metrics: BTreeMap<String, f64>,
    /// A source's files, by the digest of their names.
    pub files: BTreeMap<String, LockedFile>,
    /// Number of a source's files.
    pub count: usize,
}

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    /// The start of its content's digest.
    pub content: String,
    /// Its name, if this machine has the file: a lock file does not contain names.
    pub name: Option<String>,
}

impl Lockfile {
    /// The results of the stages in `known`.
    #[must_use]
    pub fn of(project: &Project, known: &StageResults) -> Self {
        let stages = project.pipeline.stages.iter().enumerate().filter_map(|(at, stage)| {
            let implementation = project.implementations.iter().find(|known| known.name == stage.implementation)?;
            Some(LockedStage::of(stage, implementation, known.get(&StageId(at))?, &project.store.objects))
        });
        Self {
            pipeline: project.pipeline.name.clone(),
            macula: env!("CARGO_PKG_VERSION").to_owned(),
            stdlib: stdlib::digest(),
            stages: stages.collect(),
        }
    }

    /// The stage of that name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&LockedStage> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

impl LockedStage {
    fn of(stage: &StageSpec, implementation: &Implementation, known: &StageResult, objects: &Objects) -> Self {
        let params = stage.keyed().filter(|(_, value)| !keys::holds_path(value));
        let inputs = stage.inputs.iter().map(|input| {
            let from = input.from.iter().map(|from| format!("{}.{}", from.stage, from.port));
            (input.port.clone(), from.collect())
        });
        let source = matches!(implementation.work, Work::Source(_));
        // A tree that cannot be read was intact a moment ago; then its files are not compared.
        let trees = known.outputs.values().filter(|_| source).filter_map(|made| made.tree(objects).ok());
        let trees: Vec<&Tree> = trees.collect();
        let metrics = known.summary.metrics.iter().filter(|(_, metric)| metric.is_finite());
        Self {
            name: stage.name.clone(),
            kind: stage.stage_type.clone(),
            implementation: implementation.name.to_owned(),
            version: implementation.version_of(&stage.values()),
            determinism: implementation.determinism.name(&known.target).to_owned(),
            target: known.target.clone(),
            key: known.key,
            seed: known.manifest.of(Kind::Seed).next().map(|field| field.shown.clone()),
            params: params.map(|(name, value)| (name.clone(), value.to_string())).collect(),
            inputs: inputs.collect(),
            outputs: known.outputs.iter().map(|(port, tree)| (port.clone(), tree.digest())).collect(),
            metrics: metrics.map(|(name, metric)| (name.clone(), *metric)).collect(),
            files: files(&trees),
            count: trees.iter().map(|tree| tree.entries.len()).sum(),
        }
    }
}

fn files(trees: &[&Tree]) -> BTreeMap<String, LockedFile> {
    if trees.iter().map(|tree| tree.entries.len()).sum::<usize>() > MOST_FILES {
        return BTreeMap::new();
    }
    let entries = trees.iter().flat_map(|tree| &tree.entries);
    let file = |(name, entry): (&String, &crate::store::Entry)| {
        let of_name = Hasher::new("macula lock name 1").text(name).finish().to_string();
        let file = LockedFile { content: entry.digest.to_string()[..DIGITS].to_owned(), name: Some(name.clone()) };
        (of_name[..DIGITS].to_owned(), file)
    };
    entries.map(file).collect()
}
