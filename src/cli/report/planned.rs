//! Stages of a pipeline as they are now, from its plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Arguments, ReportedStage, drawing, facts, missing, needs_first, params};
use crate::base::figure::counted;
use crate::cli::graph::mark;
use crate::cli::lock;
use crate::cli::run_id::RunIds;
use crate::cli::{Failure, Loaded};
use crate::data::patches::photographs;
use crate::lang::spec::StageSpec;
use crate::plan::drawings::{self, StageStatus};
use crate::plan::{Decision, StageId, StageResults};
use crate::report::run::{DataFacts, RunFacts};
use crate::run::provenance::{ProvenanceCache, ProvenanceLookup};
use crate::run::{self, Host, Options};
use crate::stage::Work;
use crate::store::{Kind, Manifest, StoreError};

/// Stages and facts of a planned pipeline.
pub(super) struct PlannedStages {
    pub(super) stages: Vec<ReportedStage>,
    pub(super) data: Vec<DataFacts>,
    /// The lock file, in a sentence.
    pub(super) lock: String,
}

/// The stages of a pipeline, and the facts of its last run.
///
/// # Errors
/// A [`Failure`] if it cannot be planned.
pub(super) fn read(
    host: &Host,
    loaded: &Loaded,
    arguments: &Arguments,
) -> Result<(Vec<ReportedStage>, RunFacts), Failure> {
    let PlannedStages { stages, data, lock } = planned(host, loaded)?;
    let record = loaded.store.runs.newest_first(Some(&loaded.pipeline.name)).find(|run| !run.stages.is_empty());
    let ids = RunIds::of(&loaded.store);
    let mut rows =
        vec![("pipeline".to_owned(), format!("`{}` of `{}`", loaded.pipeline.name, facts::private_file(&loaded.file)))];
    match &record {
        Some(record) => rows.extend(facts::of_record(record, ids.short(&record.id))),
        None => rows.push(("last run".to_owned(), "not recorded in this store".to_owned())),
    }
    let facts = RunFacts {
        pipeline: loaded.pipeline.name.clone(),
        doc: loaded.pipeline.doc.clone(),
        rows,
        graph: Some(drawings::svg(&drawing(&loaded.pipeline.name, &stages))),
        base: facts::base_difference(loaded),
        params: stages.iter().flat_map(|stage| stage.params.clone()).collect(),
        commands: facts::commands(&loaded.file, arguments),
        lock,
        data,
        notes: missing(&stages).into_iter().collect(),
        stages: stages.iter().map(facts::of_stage).collect(),
    };
    Ok((stages, facts))
}

/// Plans all stages and reads what is known of each.
///
/// # Errors
/// A [`Failure`] if the pipeline cannot be planned, or an error of the store.
pub(super) fn planned(host: &Host, loaded: &Loaded) -> Result<PlannedStages, Failure> {
    let ids = RunIds::of(&loaded.store);
    let found = run::plan(host, &loaded.project(), &Options::usual(host.processors), |engine, explained| {
        let (mut stages, mut known) = (Vec::new(), StageResults::new());
        for (id, decision, _) in &explained {
            let spec = engine.stage(*id);
            let (result, made) = match decision {
                Decision::Source(result) => (Some(result), None),
                Decision::Reuse(result, reused) => (Some(result), Some(&reused.made)),
                _ => (None, None),
            };
            let _ = engine.locate(*id);
            let mut outputs = Vec::new();
            for output in &spec.outputs {
                let artifact = result.and_then(|result| result.outputs.get(&output.port));
                let tree = artifact.map(|artifact| artifact.tree(&engine.store.objects).cloned()).transpose()?;
                outputs.push((output.clone(), tree));
            }
            if let Some(result) = result {
                _ = known.insert(*id, Arc::clone(result));
            }
            let is_source = matches!(engine.implementation(*id).work, Work::Source(_));
            let seconds = made.map(|made| if made.full_seconds > 0.0 { made.full_seconds } else { made.seconds });
            let digests = result.iter().flat_map(|result| &result.outputs);
            let port = |port: &String| if spec.outputs.len() > 1 { port.clone() } else { String::new() };
            stages.push(ReportedStage {
                name: spec.name.clone(),
                base_name: spec.base_name.clone(),
                kind: spec.stage_type.clone(),
                inputs: inputs(spec),
                summary: result.map(|result| result.summary.clone()),
                state: state(decision, is_source),
                mark: mark(decision),
                seconds,
                run: made.map_or_else(String::new, |made| ids.short(&made.run).to_owned()),
                version: result.map_or_else(String::new, |result| version(&result.manifest)),
                digests: digests.map(|(name, made)| (port(name), made.digest().short())).collect(),
                params: params::differing(&spec.name, &spec.stage_type, &values(spec)),
                outputs,
            });
        }
        let (cache, objects) = (ProvenanceCache::default(), &engine.store.objects);
        let lookup = ProvenanceLookup { engine, known: &known, cache: &cache };
        let mut data = Vec::new();
        for (id, result) in &known {
            let spec = engine.stage(*id);
            // Synthetic photographs have no files, and so no source.
            if spec.inputs.is_empty() && spec.outputs.iter().any(|output| output.ty == "photographs") {
                for artifact in result.outputs.values() {
                    let count = photographs(artifact.tree(objects)?).count() as u64;
                    let note = format!("`{}`", artifact.digest());
                    let photographs = (count > 0).then_some(count);
                    data.push(DataFacts {
                        stage: spec.name.clone(),
                        role: format!("source ({})", spec.stage_type),
                        photographs,
                        patients: None,
                        note,
                    });
                }
            }
            if spec.outputs.iter().any(|output| output.ty == "model") && spec.stage_type == "train" {
                data.extend(seen(&lookup, *id, &spec.name));
            }
        }
        let lock = lock::described(host, loaded, &known);
        Ok::<_, StoreError>(PlannedStages { stages: needs_first(stages), data, lock })
    })?;
    Ok(found.map_err(run::PlanError::from)?)
}

/// Rows on what a model has seen.
fn seen(lookup: &ProvenanceLookup<'_>, id: StageId, name: &str) -> Vec<DataFacts> {
    let row = |role: &str, photographs, patients, note: String| DataFacts {
        stage: name.to_owned(),
        role: role.to_owned(),
        photographs,
        patients,
        note,
    };
    let Ok(seen) = lookup.seen(id) else {
        return vec![row(
            "training",
            None,
            None,
            "not known: a result between it and the photographs is not in the store".to_owned(),
        )];
    };
    let provenance = seen.digests();
    let mut rows = Vec::new();
    for (role, data) in [("training", &provenance.fitted), ("selection", &provenance.chosen)] {
        let patients = Some(data.patients.len() as u64).filter(|count| *count > 0);
        rows.push(row(role, Some(data.photographs.len() as u64), patients, String::new()));
    }
    if !provenance.weights.is_empty() {
        let digests: Vec<String> = provenance.weights.iter().map(|digest| format!("`{digest}`")).collect();
        let count = counted(digests.len() as u64, "file", "files");
        rows.push(row(
            "weights",
            None,
            None,
            format!("{count} of weights, whose training is not recorded here: {}", digests.join(", ")),
        ));
    }
    rows
}

fn inputs(spec: &StageSpec) -> Vec<(String, String, String)> {
    let of = |input: &crate::lang::spec::Input| {
        let port = input.port.clone();
        input.from.iter().map(move |from| (port.clone(), from.stage.clone(), from.port.clone())).collect::<Vec<_>>()
    };
    spec.inputs.iter().flat_map(of).collect()
}

fn state(decision: &Decision, is_source: bool) -> String {
    match (decision, mark(decision)) {
        (Decision::Source(_), _) if is_source => "checked".to_owned(),
        (_, Some(StageStatus::WillRun)) => "no result: would run now".to_owned(),
        (_, Some(mark)) => mark.words().to_owned(),
        (_, None) => String::new(),
    }
}

/// Version of the implementation of a stage.
pub(super) fn version(manifest: &Manifest) -> String {
    let fields = manifest.of(Kind::Implementation);
    let mut versions = fields.into_iter().filter(|field| field.path == "version");
    versions.next().map_or_else(String::new, |field| field.shown.clone())
}

/// Values of all parameters, in words.
fn values(spec: &StageSpec) -> BTreeMap<String, String> {
    spec.params.iter().map(|(name, param)| (name.clone(), param.value.to_string())).collect()
}
