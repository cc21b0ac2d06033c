//! Records the looks at test sets that a run took. Knows no stage.

use std::collections::BTreeSet;

use super::looks::{FILE, Look, METRICS, add, predictions, so_far};
use super::provenance::{ProvenanceCache, ProvenanceLookup, UnknownProvenance};
use super::{Event, Host, Project, Watch, time};
use crate::base::Digest;
use crate::plan::{Engine, PatchUse, StageId, StageResult, StageResults, used_patches};
use crate::stage::Warning;

/// Records the evaluations of a run, each once, and reports how often their test sets have been looked at.
pub(super) fn record(host: &Host, project: &Project, engine: &Engine, known: &StageResults, watch: &dyn Watch) {
    if !host.records_looks(&project.folder) {
        return;
    }
    let cache = ProvenanceCache::default();
    let lookup = ProvenanceLookup { engine, known, cache: &cache };
    let looks: Vec<Look> = known.iter().filter_map(|(id, result)| look(host, project, &lookup, *id, result)).collect();
    let Some(first) = looks.first() else { return };
    match add(&project.folder.join(FILE), &looks) {
        Ok((all, new)) => {
            for event in so_far(&looks, &all, &new) {
                watch.event(&Event::Looked { looks: event });
            }
        }
        Err(error) => {
            let text = format!("cannot record this look at a test set in `{FILE}`: {error}");
            let warning = Warning { code: "test-looks".into(), text };
            watch.event(&Event::Warned { stage: first.stage.clone(), warning });
        }
    }
}

/// The look that a stage took, unless all photographs that it evaluates also chose the epoch or the thresholds: these are no test set.
fn look(host: &Host, project: &Project, lookup: &ProvenanceLookup, id: StageId, result: &StageResult) -> Option<Look> {
    let engine = lookup.engine;
    let used = used_patches(engine.pipeline, &engine.graph, id);
    let used = used.iter().find(|used| used.purpose == PatchUse::Evaluated)?;
    let predictions = engine.stage(id).outputs.iter().find_map(|output| {
        let tree = result.outputs.get(&output.port).filter(|_| output.ty == METRICS)?.tree(&engine.store.objects);
        predictions(&output.ty, tree.ok()?)
    })?;
    let (test_set, photographs) = test_set(lookup, id, used.from).ok()??;
    Some(Look {
        time: time::utc(host.nanoseconds()),
        pipeline: project.pipeline.name.clone(),
        stage: engine.stage(id).name.clone(),
        metrics: result.summary.headline.clone(),
        photographs,
        test_set,
        predictions,
    })
}

/// Digest and number of the photographs of an output; [`None`] if all of them chose the epoch or the thresholds, or none is known.
fn test_set(
    lookup: &ProvenanceLookup,
    id: StageId,
    from: (StageId, &str),
) -> Result<Option<(Digest, u64)>, UnknownProvenance> {
    let files: BTreeSet<Digest> = lookup.used(from.0, from.1)?.photographs.iter().map(|one| one.file).collect();
    let seen = lookup.seen(id)?;
    let chosen: BTreeSet<Digest> = seen.chosen.iter().flat_map(|set| &set.photographs).map(|one| one.file).collect();
    let bytes: Vec<u8> = files.iter().flat_map(|file| *file.bytes()).collect();
    Ok((!files.is_subset(&chosen)).then(|| (Digest::of(&bytes), files.len() as u64)))
}
