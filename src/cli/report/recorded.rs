//! Stages of a run, from its record and the results in the store. The pipeline may have changed since.

use std::collections::BTreeMap;

use super::{ReportedStage, drawing, facts, missing, needs_first, params};
use crate::base::Digest;
use crate::base::shell::quoted;
use crate::cli::Failure;
use crate::cli::run_id::RunIds;
use crate::engine::kernels;
use crate::lang::signatures;
use crate::lang::spec::{Output, base_name};
use crate::plan::drawings::{self, StageStatus};
use crate::report::run::RunFacts;
use crate::store::{Accept, Kind, RunRecord, StageOutcome, StageRun, Store, Tree};

/// The stages of a run, its facts, and its short id.
///
/// # Errors
/// Those of the store.
pub(super) fn read(store: &Store, record: &RunRecord) -> Result<(Vec<ReportedStage>, RunFacts, String), Failure> {
    let ids = RunIds::of(store);
    let id = ids.short(&record.id).to_owned();
    let mut stages = Vec::new();
    for (name, run) in &record.stages {
        stages.push(stage(store, record, &ids, (name, run))?);
    }
    let stages = needs_first(stages);
    let mut rows =
        vec![("pipeline".to_owned(), format!("`{}` of `{}`", record.pipeline, facts::private_file(&record.file)))];
    rows.extend(facts::of_record(record, &id));
    let mut notes: Vec<String> = missing(&stages).into_iter().collect();
    notes.push(
        "The page is about this run. If the file has changed since, the commands below repeat what it says now"
            .to_owned(),
    );
    let file = facts::private_file(&record.file);
    let facts = RunFacts {
        pipeline: record.pipeline.clone(),
        rows,
        graph: Some(drawings::svg(&drawing(&record.pipeline, &stages))),
        params: stages.iter().flat_map(|stage| stage.params.clone()).collect(),
        commands: vec![
            format!("macula run {} --pipeline {}", quoted(&file), quoted(&record.pipeline)),
            format!("macula report {id}"),
        ],
        notes,
        stages: stages.iter().map(facts::of_stage).collect(),
        ..RunFacts::default()
    };
    Ok((stages, facts, id))
}

fn stage(
    store: &Store,
    record: &RunRecord,
    ids: &RunIds,
    (name, run): (&String, &StageRun),
) -> Result<ReportedStage, Failure> {
    let signature = signatures().iter().find(|signature| signature.name == run.kind);
    let declared = signature.map_or(&[][..], |signature| &signature.outputs);
    let found = match run.key {
        Some(key) => store.find(&key, &kernels::target(), Accept::AnyTarget)?.ok(),
        None => None,
    };
    let mut outputs = Vec::new();
    for (port, digest) in &run.outputs {
        let ty = declared.iter().find(|output| output.name == *port).or_else(|| declared.first());
        let ty = ty.map(|output| output.ty.clone()).unwrap_or_default();
        // A result that was computed again may be another one.
        let made = found.as_ref().and_then(|found| found.outputs.get(port)).filter(|made| made.digest() == *digest);
        let tree: Option<Tree> = made.map(|made| made.tree(&store.objects).cloned()).transpose()?;
        outputs.push((Output { port: port.clone(), ty }, tree));
    }
    // In the signature's order.
    let place = |output: &Output| declared.iter().position(|own| own.name == output.port);
    outputs.sort_by_key(|(output, _)| place(output));
    let several = outputs.len() > 1;
    let port = |port: &String| if several { port.clone() } else { String::new() };
    let (state, mark) = match run.became {
        StageOutcome::Failed => ("failed".to_owned(), Some(StageStatus::Failed)),
        outcome => {
            (outcome.name().to_owned(), outputs.iter().any(|(_, tree)| tree.is_some()).then_some(StageStatus::Stored))
        }
    };
    let seconds = [run.full_seconds, run.last_seconds].into_iter().find(|seconds| *seconds > 0.0);
    let made = found.as_ref().map(|found| ids.short(&found.record.made.run).to_owned());
    Ok(ReportedStage {
        name: name.clone(),
        base_name: base_name(name).to_owned(),
        kind: run.kind.clone(),
        inputs: inputs(record, run),
        summary: found.as_ref().map(|found| serde_json::from_value(found.record.summary.clone()).unwrap_or_default()),
        state,
        mark,
        seconds,
        run: made.unwrap_or_default(),
        version: run.manifest.as_ref().map_or_else(String::new, super::planned::version),
        digests: run.outputs.iter().map(|(name, digest)| (port(name), digest.short())).collect(),
        params: params::differing(name, &run.kind, &values(run)),
        outputs,
    })
}

/// The connections of a stage: by the content of its inputs, which is that of other stages' outputs.
fn inputs(record: &RunRecord, run: &StageRun) -> Vec<(String, String, String)> {
    let mut by_content: BTreeMap<Digest, (String, String)> = BTreeMap::new();
    for (name, stage) in &record.stages {
        for (port, digest) in &stage.outputs {
            _ = by_content.entry(*digest).or_insert_with(|| (name.clone(), port.clone()));
        }
    }
    let fields = run.manifest.iter().flat_map(|manifest| &manifest.fields).filter(|field| field.kind == Kind::Input);
    let connection = |field: &crate::store::Field| {
        let port = field.path.split('[').next().unwrap_or_default().to_owned();
        // The display text begins with the output's name, which tells two stages with one content apart.
        let shown = field.shown.split(' ').next().unwrap_or_default();
        let named = record.stages.iter().find_map(|(name, stage)| {
            let own = stage.outputs.iter().filter(|(_, digest)| **digest == field.content);
            let is_named = |port: &&String| shown == name || shown == format!("{name}.{port}");
            own.map(|(port, _)| port).find(is_named).map(|port| (name.clone(), port.clone()))
        });
        let (stage, output) = named.or_else(|| by_content.get(&field.content).cloned())?;
        Some((port, stage, output))
    };
    fields.filter_map(connection).collect()
}

/// Values of the parameters that are in the key.
fn values(run: &StageRun) -> BTreeMap<String, String> {
    let fields = run.manifest.iter().flat_map(|manifest| &manifest.fields);
    let params = fields.filter(|field| field.kind == Kind::Parameter);
    params.map(|field| (field.path.clone(), field.shown.clone())).collect()
}
