//! Locks: what a pipeline came to, written beside it, so that whoever executes it again sees what came out the same. Holds no
//! time, no path and no name of a photograph.

mod text;
mod verdict;

use std::collections::BTreeMap;

pub use text::{Unreadable, read, write};
pub use verdict::{Judged, Verdict, Why, judge};

use super::Project;
use crate::base::{Digest, Hasher};
use crate::lang::spec::StageSpec;
use crate::lang::stdlib;
use crate::plan::{AllKnown, Known, StageId, keys};
use crate::stage::{Implementation, Work};
use crate::store::{Kind, Objects, Tree};

/// Files of a source that a lock lists; of more it has only the number and the digest of all.
const MOST_FILES: usize = 10_000;

/// Hexadecimal digits by which a lock knows a file's name and content.
const DIGITS: usize = 12;

/// What a pipeline came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Lockfile {
    /// The pipeline.
    pub pipeline: String,
    /// macula's version.
    pub macula: String,
    /// The digest of the standard library's text.
    pub stdlib: Digest,
    /// Its stages, in the order of the file.
    pub stages: Vec<LockedStage>,
}

/// What a stage came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockedStage {
    /// The stage's name.
    pub name: String,
    /// What it is an instance of.
    pub kind: String,
    /// What computes it.
    pub implementation: String,
    /// The version of that.
    pub version: u32,
    /// How far its bytes can be reproduced: `bit-exact`, `path-exact`, `unknown`.
    pub determinism: String,
    /// The target that it was computed on: `cpu-avx2`, or `any`.
    pub target: String,
    /// Its key; a source has none.
    pub key: Option<Digest>,
    /// The seed, where it draws.
    pub seed: Option<String>,
    /// Its parameters as they are shown, but for paths.
    pub params: BTreeMap<String, String>,
    /// The outputs that its ports are given: `folds.train`.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// For each output port the digest of its tree.
    pub outputs: BTreeMap<String, Digest>,
    /// Its figures.
    pub figures: BTreeMap<String, f64>,
    /// The files of a source, by the digest of their names.
    pub files: BTreeMap<String, LockedFile>,
    /// How many files a source has.
    pub count: usize,
}

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    /// The beginning of its content's digest.
    pub content: String,
    /// Its name, where it was looked at on this machine: a lock does not hold it.
    pub name: Option<String>,
}

impl Lockfile {
    /// What the stages of `known` came to.
    #[must_use]
    pub fn of(project: &Project, known: &AllKnown) -> Self {
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
    fn of(stage: &StageSpec, implementation: &Implementation, known: &Known, objects: &Objects) -> Self {
        let params =
            stage.params.iter().filter(|(name, value)| !stage.unkeyed.contains(name) && !keys::holds_path(value));
        let inputs = stage.inputs.iter().map(|input| {
            let from = input.from.iter().map(|from| format!("{}.{}", from.stage, from.port));
            (input.port.clone(), from.collect())
        });
        let source = matches!(implementation.work, Work::Source(_));
        // One that can't be read was whole when it was found, a moment ago: then its files are not told apart.
        let trees = known.outputs.values().filter(|_| source).filter_map(|made| made.tree(objects).ok());
        let trees: Vec<&Tree> = trees.collect();
        let figures = known.summary.figures.iter().filter(|(_, figure)| figure.is_finite());
        Self {
            name: stage.name.clone(),
            kind: stage.kind.clone(),
            implementation: implementation.name.to_owned(),
            version: implementation.version_of(&stage.params),
            determinism: implementation.determinism.name().to_owned(),
            target: known.target.clone(),
            key: known.key,
            seed: known.manifest.of(Kind::Seed).next().map(|field| field.shown.clone()),
            params: params.map(|(name, value)| (name.clone(), value.to_string())).collect(),
            inputs: inputs.collect(),
            outputs: known.outputs.iter().map(|(port, tree)| (port.clone(), tree.digest())).collect(),
            figures: figures.map(|(name, figure)| (name.clone(), *figure)).collect(),
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
