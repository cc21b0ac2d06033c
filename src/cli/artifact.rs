//! The artifact that a command refers to: a stage's result in the current pipeline, or in its last run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exit, Failure, Loaded};
use crate::base::Digest;
use crate::lang::addresses;
use crate::lang::keywords::REPEAT;
use crate::lang::spec::{Output, StageSpec};
use crate::plan::{Decision, keys};
use crate::run::{self, Host, Options, status};
use crate::stage::{Cell, Summary};
use crate::store::{self, Absent, Accept, StoreError, Tree};

/// A stage's result.
#[derive(Debug)]
pub struct StageArtifact {
    /// The stage.
    pub stage: StageSpec,
    /// The requested port, if one was named.
    pub port: Option<String>,
    /// Its key; a source has none.
    pub key: Option<Digest>,
    /// The run that computed it, if recorded.
    pub run: Option<String>,
    /// Tree of each output port, or only of the requested one.
    pub outputs: BTreeMap<String, Tree>,
    /// Its summary for people.
    pub summary: Summary,
    /// Whether the current pipeline would make a different result.
    pub outdated: bool,
}

impl StageArtifact {
    /// The outputs with their types, in the signature's order.
    pub fn typed(&self) -> impl Iterator<Item = (&Output, &Tree)> {
        self.stage.outputs.iter().filter_map(|output| Some((output, self.outputs.get(&output.port)?)))
    }

    /// File or folder name of a port below that of the stage; [`None`] if the stage has a single output.
    #[must_use]
    pub fn folder_of(&self, port: &str) -> Option<String> {
        (self.outputs.len() > 1).then(|| port.to_owned())
    }

    /// Where the files of a port are linked, below the folder of the stage's results; [`None`] for that folder itself.
    #[must_use]
    pub fn linked_in<'a>(&self, port: &'a str) -> Option<&'a str> {
        (self.stage.outputs.len() > 1).then_some(port)
    }

    /// Its summary; of the tables with a row for each output, only the rows of the outputs that are here.
    #[must_use]
    pub fn own_summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        let name = |row: &[Cell]| match row.first() {
            Some(Cell::Text(name)) => name.clone(),
            _ => String::new(),
        };
        for table in &mut summary.tables {
            let named: Vec<String> = table.rows.iter().map(|row| name(row)).collect();
            if self.stage.outputs.iter().all(|output| named.contains(&output.port)) {
                let other = |port: &str| !self.outputs.contains_key(port);
                let of_other = |output: &Output, row: &[Cell]| output.port == name(row) && other(&output.port);
                table.rows.retain(|row| !self.stage.outputs.iter().any(|output| of_other(output, row)));
            }
        }
        summary
    }
}

/// Result of `wanted` (`patches`, `folds.train`): of the current pipeline, or else of its last run.
///
/// # Errors
/// A [`Failure`] if the stage or port is unknown, or has no result.
pub fn find(host: &Host, loaded: &Loaded, wanted: &str) -> Result<StageArtifact, Failure> {
    let (stage, port) = match loaded.pipeline.outlet(wanted) {
        Some(reference) => (reference.stage.clone(), Some(reference.port.clone())),
        None => parted(&loaded.pipeline.stages, wanted),
    };
    if let Some(instance) = loaded.pipeline.instances.iter().find(|instance| instance.name == stage) {
        // Of a `repeat`, the stages of its first copy.
        let mut seen = BTreeSet::new();
        let once = instance.outputs.iter().filter(|(port, _)| seen.insert(port));
        let named = once.map(|(port, from)| match instance.stage_type.as_str() {
            REPEAT => format!("`{}`", from.stage),
            _ => format!("`{stage}.{port}`"),
        });
        let outputs: Vec<String> = named.collect();
        return Err(Failure::user(format!("`{stage}` expands to several stages"))
            .hint(format!("name one of them: {}", outputs.join(", "))));
    }
    let stage = in_sweep(&loaded.pipeline.stages, stage)?;
    let options = Options { targets: vec![stage.clone()], ..Options::usual(host.processors) };
    let (mut resumes, mut damaged, mut refused) = (None, false, None);
    let found = run::plan(host, &loaded.project(), &options, |engine, explained| {
        let warnings = engine.foreseen(explained.iter().map(|(id, decision, _)| (*id, *decision))).into_iter();
        let of_stage = warnings.filter(|(id, _)| engine.stage(*id).name == stage);
        let warnings: Vec<_> = of_stage.map(|(_, warning)| warning).collect();
        let (id, decision, explanation) = explained.into_iter().find(|(id, ..)| engine.stage(*id).name == stage)?;
        if let Decision::Run(task) = decision {
            resumes = status::resume(engine, task);
            damaged = task.absent == Absent::Lost;
        }
        // The result may consist of the user's files.
        let _ = engine.locate(id);
        let artifact = |key, run, outputs: &BTreeMap<String, store::Artifact>, summary, outdated| {
            let outputs =
                outputs.iter().map(|(port, made)| Ok((port.clone(), made.tree(&engine.store.objects)?.clone())));
            Some(outputs.collect::<Result<_, StoreError>>().map(|outputs| StageArtifact {
                stage: engine.stage(id).clone(),
                port: port.clone(),
                key,
                run,
                outputs,
                summary,
                outdated,
            }))
        };
        match decision {
            Decision::Source(known) => artifact(None, None, &known.outputs, known.summary.clone(), false),
            Decision::Reuse(known, reused) => {
                let run = Some(reused.made.run.clone());
                let mut summary = known.summary.clone();
                // What the model has seen matters more than what its metrics say.
                summary.warnings.splice(0..0, warnings);
                artifact(known.key, run, &known.outputs, summary, false)
            }
            Decision::Failed(error) if error.has_code("fitted-on") => {
                refused = Some(error.to_string());
                None
            }
            _ => {
                let (_, last) = explanation.last.as_ref()?;
                let class = keys::target(engine.stage(id), engine.implementation(id));
                let found = engine.store.find(&last.key?, &class, Accept::AnyTarget).ok()?.ok()?;
                let summary = serde_json::from_value(found.record.summary).unwrap_or_default();
                artifact(last.key, Some(found.record.made.run), &found.outputs, summary, true)
            }
        }
    })?;
    let found = found.transpose().map_err(run::PlanError::from)?;
    if let Some(text) = refused {
        let hint = "evaluate and select on photographs that were not used for training".to_owned();
        let text = format!("`{stage}` is refused: {text}");
        return Err(Failure { exit: Exit::StageFailed, code: Some("fitted-on"), text, hint: Some(hint) });
    }
    let Some(mut artifact) = found else {
        let text = if damaged { "has a damaged or incomplete result" } else { "has no result yet" };
        return Err(Failure::user(format!("`{stage}` {text}")).hint(match resumes {
            Some(place) => format!("`macula run {} {stage}` resumes it {place}", loaded.file),
            None => format!("run `macula run {} {stage}` to compute it", loaded.file),
        }));
    };
    if let Some(port) = &artifact.port {
        if !artifact.outputs.contains_key(port) {
            let ports: Vec<String> = artifact.outputs.keys().map(|port| format!("`{stage}.{port}`")).collect();
            let hint = match ports.as_slice() {
                [_] => format!("it has one output: `macula show {} {stage}` shows it and its files", loaded.file),
                several => format!("its outputs are {}", several.join(", ")),
            };
            return Err(Failure::user(format!("`{stage}` has no output `{port}`")).hint(hint));
        }
        artifact.outputs.retain(|name, _| name == port);
    }
    Ok(artifact)
}

/// The only stage of a sweep that a name without values can mean.
fn in_sweep(stages: &[StageSpec], wanted: String) -> Result<String, Failure> {
    const LISTED: usize = 6;
    if stages.iter().any(|stage| stage.name == wanted) {
        return Ok(wanted);
    }
    let same: Vec<&str> =
        stages.iter().filter(|stage| addresses(&wanted, &stage.base_name)).map(|stage| stage.name.as_str()).collect();
    match same.as_slice() {
        [] => Ok(wanted),
        [one] => Ok((*one).to_owned()),
        several => {
            let listed: Vec<String> = several.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
            let more = if several.len() > LISTED { ", …" } else { "" };
            let message = if stages.iter().any(|stage| stage.base_name == wanted) {
                format!("the sweep has {} stages `{wanted}`", several.len())
            } else {
                format!("`{wanted}` stands for {} stages", several.len())
            };
            Err(Failure::user(message).hint(format!("name one: {}{more}", listed.join(", "))))
        }
    }
}

/// Splits `wanted` into a stage (the longest matching name) and a port.
fn parted(stages: &[StageSpec], wanted: &str) -> (String, Option<String>) {
    let is_stage = |name: &str| stages.iter().any(|stage| stage.name == name || addresses(name, &stage.base_name));
    match wanted.rsplit_once('.') {
        Some((stage, port)) if !is_stage(wanted) && is_stage(stage) => (stage.to_owned(), Some(port.to_owned())),
        _ => (wanted.to_owned(), None),
    }
}
