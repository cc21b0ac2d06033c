//! Patches that a model was fitted on or chosen by, from the graph: those of its own training, of the model it starts from, and of the
//! encoders of the embeddings that it reads. Also the patches that a stage evaluates, chooses by or scores. Knows no store.

use std::collections::BTreeSet;

use super::graph::{Graph, StageId};
use crate::lang::network::NetworkSpec;
use crate::lang::port_types::{CARRIERS, FILES, PRETRAINED};
use crate::lang::signature::{InPort, Signature};
use crate::lang::signatures;
use crate::lang::spec::{Pipeline, StageSpec};

/// Everything that the training of a model read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingData<'a> {
    /// Outputs that it was fitted on.
    pub fitted: BTreeSet<(StageId, &'a str)>,
    /// Those of the former that a command read, which may have fitted on them, or chosen by them.
    pub commanded: BTreeSet<(StageId, &'a str)>,
    /// Outputs that it was chosen by.
    pub chosen: BTreeSet<(StageId, &'a str)>,
    /// Sources of weights, whose own training is unknown.
    pub weights: BTreeSet<StageId>,
}

/// What the training of the model at `model` read.
#[must_use]
pub fn training_data<'a>(pipeline: &'a Pipeline, graph: &'a Graph, model: StageId) -> TrainingData<'a> {
    let mut found = TrainingData::default();
    let mut reached = BTreeSet::from([model]);
    let mut todo = vec![model];
    // Commands whose files are weights.
    let mut trainers = BTreeSet::new();
    while let Some(at) = todo.pop() {
        let stage = &pipeline.stages[at.0];
        if stage.inputs.is_empty() {
            found.weights.insert(at);
        }
        let signature = signature(stage);
        let trains = trainers.contains(&at);
        for (port, source, out) in read(pipeline, graph, at) {
            if is_type(pipeline, source, out, "scores") {
                // Its models were judged there.
                continue;
            }
            if !carries(pipeline, source, out) {
                let imports = signature.and_then(|signature| signature.input(port)).is_some_and(is_weights_or_files);
                if is_type(pipeline, source, out, FILES) && (trains || imports) {
                    trainers.insert(source);
                }
                todo.extend(reached.insert(source).then_some(source));
                continue;
            }
            match signature.and_then(|signature| signature.input(port)) {
                Some(port) if port.fits() => found.fitted.insert((source, out)),
                Some(port) if port.chooses() => found.chosen.insert((source, out)),
                // What a command does with them is not known.
                Some(_) if trains => found.commanded.insert((source, out)) && found.fitted.insert((source, out)),
                _ => continue,
            };
            for encoder in encoders(pipeline, graph, stage, source) {
                todo.extend(reached.insert(encoder).then_some(encoder));
            }
        }
    }
    found
}

/// Whether a port takes the weights that a command wrote.
fn is_weights_or_files(port: &InPort) -> bool {
    [FILES, PRETRAINED].iter().all(|ty| port.types.iter().any(|own| own == ty))
}

/// What a stage does with patches that a model may have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchUse {
    /// Evaluates the model on them.
    Evaluated,
    /// Chooses an epoch or thresholds by them.
    Chosen,
    /// Scores them, without metrics.
    Scored,
}

/// Patches that a stage gets, and what for.
#[derive(Clone, Copy, Debug)]
pub struct UsedPatches<'a> {
    /// The port.
    pub port: &'a str,
    /// The stage and the output that they come from.
    pub from: (StageId, &'a str),
    /// What for.
    pub purpose: PatchUse,
}

/// The patches that a stage evaluates, chooses by or scores. Those of a diagnosis are left out: it may evaluate any.
#[must_use]
pub fn used_patches<'a>(pipeline: &'a Pipeline, graph: &'a Graph, id: StageId) -> Vec<UsedPatches<'a>> {
    let stage = &pipeline.stages[id.0];
    let Some(signature) = signature(stage).filter(|signature| stage.diagnosis(signature).is_none()) else {
        return Vec::new();
    };
    let scores = stage.outputs.iter().any(|output| output.ty == "predictions");
    let purpose = |port: &InPort| match port {
        _ if port.chooses() => Some(PatchUse::Chosen),
        _ if port.refuses("test") || port.excludes() => None,
        _ if !signature.metrics.is_empty() => Some(PatchUse::Evaluated),
        _ => scores.then_some(PatchUse::Scored),
    };
    let used = |(port, source, out)| {
        let purpose = purpose(signature.input(port)?)?;
        // Photographs may stand for their patches, where a port takes both.
        let by_photograph = signature.input(port)?.types.iter().any(|ty| ty == "patches");
        let names_them = by_photograph && is_type(pipeline, source, out, "photographs");
        let used = names_them || is_type(pipeline, source, out, "patches");
        used.then_some(UsedPatches { port, from: (source, out), purpose })
    };
    read(pipeline, graph, id).filter_map(used).collect()
}

/// The stages whose maps a stage computes metrics of, and for each the patches or photographs that say what was mapped.
#[must_use]
pub fn measured_maps<'a>(pipeline: &'a Pipeline, graph: &'a Graph, id: StageId) -> Vec<(StageId, UsedPatches<'a>)> {
    if signature(&pipeline.stages[id.0]).is_none_or(|signature| signature.metrics.is_empty()) {
        return Vec::new();
    }
    let maps = read(pipeline, graph, id).filter(|(_, source, out)| is_type(pipeline, *source, out, "maps"));
    let mapped = |(port, source, _): (&'a str, StageId, &'a str)| {
        let chosen = used_patches(pipeline, graph, source).into_iter().find(|used| used.purpose == PatchUse::Evaluated);
        let all = || read(pipeline, graph, source).find(|(_, stage, out)| carries(pipeline, *stage, out));
        let from = chosen.map(|used| used.from).or_else(|| all().map(|(_, stage, out)| (stage, out)))?;
        Some((source, UsedPatches { port, from, purpose: PatchUse::Evaluated }))
    };
    maps.filter_map(mapped).collect()
}

/// Sources of the photographs that an output of patches or photographs was made from.
#[must_use]
pub fn photograph_sources(pipeline: &Pipeline, graph: &Graph, stage: StageId) -> BTreeSet<StageId> {
    let is_source = |at: &StageId| !above(pipeline, graph, *at).any(|_| true);
    carriers(pipeline, graph, stage).into_iter().filter(is_source).collect()
}

/// Stages with the embeddings that the network of `stage` reads, of the patches that come from `source`.
fn encoders(pipeline: &Pipeline, graph: &Graph, stage: &StageSpec, source: StageId) -> BTreeSet<StageId> {
    let names = stage.network().map(NetworkSpec::embeddings).unwrap_or_default();
    let (mut found, mut reached, mut todo) = (BTreeSet::new(), BTreeSet::new(), vec![(source, names)]);
    while let Some((at, mut names)) = todo.pop() {
        if names.is_empty() || !reached.insert((at, names.clone())) {
            continue;
        }
        let joins = given_embeddings(&pipeline.stages[at.0]).is_some_and(|name| names.remove(&name));
        // Embeddings of an earlier join under the same name are replaced.
        for (_, source, out) in read(pipeline, graph, at) {
            if carries(pipeline, source, out) {
                todo.push((source, names.clone()));
            } else if joins {
                found.insert(source);
            }
        }
    }
    found
}

/// The name of the embeddings that a stage gives its patches.
fn given_embeddings(stage: &StageSpec) -> Option<String> {
    let given = signature(stage)?.outputs.iter().find_map(|out| stage.value(out.embeddings.as_ref()?));
    given.map(ToString::to_string)
}

/// The stage, and all stages that its patches or photographs went through.
fn carriers(pipeline: &Pipeline, graph: &Graph, stage: StageId) -> BTreeSet<StageId> {
    let mut reached = BTreeSet::from([stage]);
    let mut todo = vec![stage];
    while let Some(at) = todo.pop() {
        todo.extend(above(pipeline, graph, at).filter(|source| reached.insert(*source)));
    }
    reached
}

/// The stages whose patches or photographs a stage passes on.
fn above<'a>(pipeline: &'a Pipeline, graph: &'a Graph, at: StageId) -> impl Iterator<Item = StageId> + 'a {
    read(pipeline, graph, at).filter(|(_, source, out)| carries(pipeline, *source, out)).map(|(_, source, _)| source)
}

/// What a stage reads: its port, and the stage and output at that port. Without ports that only say something about the photographs of
/// others.
fn read<'a>(
    pipeline: &'a Pipeline,
    graph: &'a Graph,
    at: StageId,
) -> impl Iterator<Item = (&'a str, StageId, &'a str)> + 'a {
    let signature = signature(&pipeline.stages[at.0]);
    let informs = move |port: &str| signature.and_then(|signature| signature.input(port)).is_some_and(InPort::informs);
    let inputs = pipeline.stages[at.0].inputs.iter().filter(move |input| !informs(&input.port));
    let given = inputs.flat_map(|input| input.from.iter().map(move |from| (input.port.as_str(), from)));
    given.filter_map(|(port, from)| Some((port, graph.find(&from.stage)?, from.port.as_str())))
}

fn carries(pipeline: &Pipeline, stage: StageId, out: &str) -> bool {
    CARRIERS.iter().any(|ty| is_type(pipeline, stage, out, ty))
}

fn is_type(pipeline: &Pipeline, stage: StageId, out: &str, ty: &str) -> bool {
    pipeline.stages[stage.0].outputs.iter().any(|output| output.port == out && output.ty == ty)
}

/// The signature of a stage's type.
#[must_use]
pub fn signature(stage: &StageSpec) -> Option<&'static Signature> {
    signatures().iter().find(|signature| signature.name == stage.stage_type)
}
