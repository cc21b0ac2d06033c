//! What the user trusts: digests of pipeline files, with all that they use, and of the code of their commands. They are kept
//! outside of every project, one a line, so that no project can bring its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::Project;
use super::job::Shared;
use crate::base::{Digest, Hasher, Sources, disk};
use crate::lang::spec::Reference;
use crate::plan::{Decision, Engine, StageId, Task};
use crate::stage::{Code, StageError, Work};

/// Which commands may be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The digest of the pipeline's files.
    pub pipeline: Option<Digest>,
    /// All that the user trusts.
    pub known: BTreeSet<Digest>,
}

impl Trust {
    /// What `file` says is trusted, beside the digest of the pipeline at hand.
    #[must_use]
    pub fn read(file: Option<&Path>, sources: &Sources) -> Self {
        let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let known = text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
        Self { pipeline: Some(of_files(sources)), known: known.collect() }
    }

    /// Adds digests, each with words for people, to `file`, which only its owner can write.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(file: &Path, digests: &[(Digest, String)]) -> std::io::Result<()> {
        let mut text = std::fs::read_to_string(file).unwrap_or_default();
        for (digest, words) in digests {
            if !text.lines().any(|line| line.starts_with(&digest.to_string())) {
                // A line break in a path must not become a line of its own.
                let _ = writeln!(text, "{digest} {}", words.replace(['\n', '\r'], " "));
            }
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        disk::write_whole(file, text.as_bytes())
    }
}

/// The digest of a pipeline's file and of all files that it uses, wherever they lie. What was set on the command line is the
/// user's own word.
#[must_use]
pub fn of_files(sources: &Sources) -> Digest {
    let files = sources.iter().filter(|(_, source)| source.path.is_some());
    let digests: BTreeSet<Digest> = files.map(|(_, source)| Digest::of(source.text.as_bytes())).collect();
    let mut hasher = Hasher::new("macula trust 1");
    hasher.int(digests.len() as u64);
    for digest in &digests {
        hasher.digest(digest);
    }
    hasher.finish()
}

/// The code that the commands of a pipeline are given: for each the digest, and what it is of which stage.
///
/// # Errors
/// What reading a program of the project's runs into.
pub fn code(engine: &Engine, decisions: &BTreeMap<StageId, Decision>) -> Result<Vec<(Digest, String)>, StageError> {
    let mut found = Vec::new();
    for (at, stage) in engine.pipeline.stages.iter().enumerate() {
        for Pinned { reference, .. } in pinned(engine, StageId(at)) {
            let source = engine.graph.find(&reference.stage).and_then(|id| decisions.get(&id));
            let Some(Decision::Source(known) | Decision::Reuse(known, _)) = source else { continue };
            if let Some(tree) = known.outputs.get(&reference.port) {
                found.push((tree.digest(), format!("{} of {}", reference.stage, stage.name)));
            }
        }
        if let Some((word, tree)) = engine.own_program(StageId(at))? {
            found.push((tree.digest(), format!("{word} of {}", stage.name)));
        }
    }
    Ok(found)
}

/// An input that may hold a command's code.
struct Pinned<'e> {
    port: &'e str,
    /// Its place among what the port is given.
    at: usize,
    reference: &'e Reference,
}

fn pinned<'e>(engine: &Engine<'e>, id: StageId) -> Vec<Pinned<'e>> {
    let Work::Command { code, .. } = engine.implementation(id).work else { return Vec::new() };
    let is_source = |reference: &Reference| {
        let stage = engine.graph.find(&reference.stage);
        stage.is_some_and(|id| matches!(engine.implementation(id).work, Work::Source(_)))
    };
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for input in &engine.stage(id).inputs {
        let port = input.port.as_str();
        for reference in &input.from {
            let place = places.entry(port).or_default();
            if code.pinned.contains(&port) || code.of_sources.contains(&port) && is_source(reference) {
                found.push(Pinned { port, at: *place, reference });
            }
            *place += 1;
        }
    }
    found
}

/// Whether a pipeline holds commands at all.
#[must_use]
pub fn has_commands(project: &Project) -> bool {
    let command = |name: &str| {
        let found = project.implementations.iter().find(|known| known.name == name);
        found.is_some_and(|found| matches!(found.work, Work::Command { .. }))
    };
    project.pipeline.stages.iter().any(|stage| command(&stage.implementation))
}

/// Refuses a command of a pipeline, or with code, that the user did not trust.
pub(super) fn check(shared: &Shared, id: StageId, task: &Task, code: Code) -> Result<(), StageError> {
    let (engine, trust) = (shared.engine, &shared.trust);
    if !trust.pipeline.is_some_and(|digest| trust.known.contains(&digest)) {
        let stage = engine.stage(id);
        let text = format!("`{} {}` runs a command, and this pipeline is not trusted", stage.kind, stage.name);
        return Err(StageError::input("not-trusted", text)
            .hint("read the file, then `macula trust FILE`; any change of it or of what it uses asks again"));
    }
    let inputs = pinned(engine, id).into_iter().filter_map(|input| task.inputs.many(input.port).get(input.at));
    let own = engine.own_program(id)?.is_some();
    let program = task.inputs.many(code.program).iter().filter(|_| own);
    for named in inputs.chain(program) {
        if !trust.known.contains(&named.tree.digest()) {
            let text = format!("the code that `{}` gives was not trusted, or changed since", named.name);
            return Err(StageError::input("not-trusted", text)
                .hint("read it, then `macula trust FILE`, or `macula run --trust FILE`"));
        }
    }
    Ok(())
}
