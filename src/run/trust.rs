//! What the user trusts: digests of pipeline files, including all files that they use, and of their commands' code.
//! Kept outside every project, one per line, so that no project can bring its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::Project;
use crate::base::{Digest, Hasher, Sources, disk};
use crate::lang::spec::Reference;
use crate::plan::{Decision, Engine, StageId, Task};
use crate::stage::{Code, StageError, Work};

/// Which commands may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The digest of the pipeline's files.
    pub pipeline: Option<Digest>,
    /// All digests that the user trusts.
    pub known: BTreeSet<Digest>,
}

impl Trust {
    /// The trusted digests in `file`, with the digest of the current pipeline.
    #[must_use]
    pub fn read(file: Option<&Path>, sources: &Sources) -> Self {
        let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let known = text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
        Self { pipeline: Some(of_files(sources)), known: known.collect() }
    }

    /// Adds digests with their descriptions to `file`, which only its owner may write.
    ///
    /// # Errors
    /// The system's error.
    pub fn add(file: &Path, digests: &[(Digest, String)]) -> std::io::Result<()> {
        let mut text = std::fs::read_to_string(file).unwrap_or_default();
        for (digest, words) in digests {
            if !text.lines().any(|line| line.starts_with(&digest.to_string())) {
                // A line break in a path must not start a new line.
                let _ = writeln!(text, "{digest} {}", words.replace(['\n', '\r'], " "));
            }
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        disk::write_whole(file, text.as_bytes())
    }
}

/// The digest of a pipeline file and of all files that it uses, wherever they are. Command-line settings are the user's
/// own and not included.
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

/// The code of a pipeline's commands: digests with descriptions.
///
/// # Errors
/// An error from reading a program of the project.
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

/// An input that may contain a command's code.
struct Pinned<'e> {
    port: &'e str,
    /// Its index among the inputs of the port.
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

/// Whether a pipeline contains commands.
#[must_use]
pub fn has_commands(project: &Project) -> bool {
    let command = |name: &str| {
        let found = project.implementations.iter().find(|known| known.name == name);
        found.is_some_and(|found| matches!(found.work, Work::Command { .. }))
    };
    project.pipeline.stages.iter().any(|stage| command(&stage.implementation))
}

/// Refuses a command if its pipeline or its code is not trusted.
/// `file` is the pipeline's.
pub(super) fn check(
    engine: &Engine,
    (trust, file): (&Trust, &str),
    id: StageId,
    task: &Task,
    code: Code,
) -> Result<(), StageError> {
    if !trust.pipeline.is_some_and(|digest| trust.known.contains(&digest)) {
        let stage = engine.stage(id);
        let text = format!("`{} {}` runs a command, but this pipeline is not trusted", stage.stage_type, stage.name);
        return Err(StageError::input("not-trusted", text).hint(format!(
            "review the file, then run `macula trust {file}`; changing it or a file it uses revokes trust"
        )));
    }
    let inputs = pinned(engine, id).into_iter().filter_map(|input| task.inputs.many(input.port).get(input.at));
    let own = engine.own_program(id)?.is_some();
    let program = task.inputs.many(code.program).iter().filter(|_| own);
    for named in inputs.chain(program) {
        if !trust.known.contains(&named.tree.digest()) {
            let text = format!("the code in `{}` is not trusted, or has changed", named.name);
            return Err(StageError::input("not-trusted", text)
                .hint(format!("review it, then run `macula trust {file}` or `macula run --trust {file}`")));
        }
    }
    Ok(())
}
