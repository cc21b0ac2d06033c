//! What the user trusts: digests of pipeline files, with all that they use, and of the code of their commands. They are kept
//! outside of every project, one a line, so that no project can bring its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::Project;
use super::job::Shared;
use crate::base::{Digest, Hasher, Sources, disk};
use crate::plan::{Decision, Engine, StageId, Task};
use crate::stage::{StageError, Work};

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

/// The code that the commands of a pipeline are given by its sources: for each the stage and port, and the digest.
#[must_use]
pub fn code(engine: &Engine, decisions: &BTreeMap<StageId, Decision>) -> Vec<(Digest, String)> {
    let mut found = Vec::new();
    for (at, stage) in engine.pipeline.stages.iter().enumerate() {
        let Work::Command { code, .. } = engine.implementation(StageId(at)).work else { continue };
        for input in stage.inputs.iter().filter(|input| code.contains(&input.port.as_str())) {
            for reference in &input.from {
                let source = engine.graph.find(&reference.stage).and_then(|id| decisions.get(&id));
                let Some(Decision::Source(known) | Decision::Reuse(known, _)) = source else { continue };
                if let Some(tree) = known.outputs.get(&reference.port) {
                    found.push((tree.digest(), format!("{} of {}", reference.stage, stage.name)));
                }
            }
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
pub(super) fn check(shared: &Shared, id: StageId, task: &Task, ports: &[&str]) -> Result<(), StageError> {
    let trust = &shared.trust;
    if !trust.pipeline.is_some_and(|digest| trust.known.contains(&digest)) {
        let stage = shared.engine.stage(id);
        let text = format!("`{} {}` runs a command, and this pipeline is not trusted", stage.kind, stage.name);
        return Err(StageError::input("not-trusted", text)
            .hint("read the file, then `macula trust FILE`; any change of it or of what it uses asks again"));
    }
    let given = ports.iter().flat_map(|port| task.inputs.many(port));
    for named in given {
        if !trust.known.contains(&named.tree.digest()) {
            let text = format!("the code that `{}` gives was not trusted, or changed since", named.name);
            return Err(StageError::input("not-trusted", text)
                .hint("read it, then `macula trust FILE`, or `macula run --trust FILE`"));
        }
    }
    Ok(())
}
