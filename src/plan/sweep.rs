//! The points of a sweep as one pipeline: equal stages of several points are merged.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use crate::base::{Digest, Hasher};
use crate::lang::spec::{Axis, Instance, Pipeline, Reference, StageSpec, Sweep};
use crate::stage::Implementation;

/// Most characters of a value in a stage's name.
const LONGEST: usize = 24;

/// A sweep as one pipeline.
#[derive(Clone, Debug)]
pub struct Merged {
    /// All stages of all points, each once. A stage that differs between points is named with the values that distinguish
    /// it: `classifier@lr=1e-4,seed=8`.
    pub pipeline: Pipeline,
    /// For each point, the names of its stages here, by their own names.
    pub stage_names: Vec<BTreeMap<String, String>>,
    /// Number of stages over all points before merging.
    pub before: usize,
    /// Number of merged stages that serve more than one point.
    pub shared: usize,
}

/// An instance's name, and the nodes that provide its outputs.
type Outlets = (String, Vec<(String, Reference)>);

/// Merges the points of `sweep`. The stages of the first point come first.
#[must_use]
pub fn merge(sweep: &Sweep, implementations: &[Implementation]) -> Merged {
    let seeded: BTreeSet<&str> = implementations.iter().filter(|known| known.seeded).map(|known| known.name).collect();
    let mut nodes: Vec<(StageSpec, Vec<usize>)> = Vec::new();
    let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut instances: BTreeMap<Outlets, (Instance, Vec<usize>)> = BTreeMap::new();
    let mut of_points: Vec<BTreeMap<String, usize>> = Vec::new();
    for (number, point) in sweep.points.iter().enumerate() {
        let pipeline = &point.pipeline;
        let mut here: BTreeMap<String, usize> = BTreeMap::new();
        for id in Graph::new(pipeline).0.order() {
            let stage = &pipeline.stages[id.0];
            let seed = seeded.contains(stage.implementation.as_str()).then_some(stage.seed);
            let identity = identity(stage, seed, &here);
            let at = *known.entry(identity).or_insert_with(|| {
                let mut stage = stage.clone();
                for reference in stage.inputs.iter_mut().flat_map(|input| &mut input.from) {
                    // A node's number until all have names.
                    reference.stage = here.get(&reference.stage).map_or(String::new(), usize::to_string);
                }
                nodes.push((stage, Vec::new()));
                nodes.len() - 1
            });
            nodes[at].1.push(number);
            here.insert(stage.base_name.clone(), at);
        }
        for instance in &pipeline.instances {
            let placed = |(port, from): &(String, Reference)| {
                let stage = here.get(&from.stage).map_or(String::new(), usize::to_string);
                (port.clone(), Reference { stage, port: from.port.clone() })
            };
            let outputs: Vec<(String, Reference)> = instance.outputs.iter().map(placed).collect();
            let made = Instance { outputs: outputs.clone(), ..instance.clone() };
            instances.entry((instance.name.clone(), outputs)).or_insert((made, Vec::new())).1.push(number);
        }
        of_points.push(here);
    }
    let mut taken = BTreeSet::new();
    let names: Vec<String> =
        nodes.iter().map(|(stage, points)| name(&stage.base_name, points, sweep, &mut taken)).collect();
    let shared = nodes.iter().filter(|(_, points)| points.len() > 1).count();
    let named = |number: &str| number.parse::<usize>().map_or(String::new(), |at| names[at].clone());
    let stages = nodes.into_iter().zip(&names).map(|((mut stage, _), name)| {
        name.clone_into(&mut stage.name);
        for reference in stage.inputs.iter_mut().flat_map(|input| &mut input.from) {
            reference.stage = named(&reference.stage);
        }
        stage
    });
    let stages: Vec<StageSpec> = stages.collect();
    let instances = instances.into_values().map(|(mut instance, points)| {
        instance.name = self::name(&instance.name, &points, sweep, &mut taken);
        for (_, from) in &mut instance.outputs {
            from.stage = named(&from.stage);
        }
        instance
    });
    let pipeline = Pipeline {
        name: sweep.name.clone(),
        seed: sweep.base.seed,
        doc: sweep.doc.clone(),
        instances: instances.collect(),
        stages,
        span: sweep.span,
    };
    let before = of_points.iter().map(BTreeMap::len).sum();
    let place = |here: BTreeMap<String, usize>| here.into_iter().map(|(base, at)| (base, names[at].clone())).collect();
    Merged { pipeline, stage_names: of_points.into_iter().map(place).collect(), before, shared }
}

/// Digest of everything in which two stages must agree to be merged.
fn identity(stage: &StageSpec, seed: Option<u64>, here: &BTreeMap<String, usize>) -> Digest {
    let mut hasher = Hasher::new("macula sweep node 1");
    hasher.text(&stage.base_name).text(&stage.stage_type).text(&stage.implementation);
    hasher.int(u64::from(seed.is_some())).int(seed.unwrap_or(0)).int(stage.params.len() as u64);
    for (name, param) in &stage.params {
        param.value.hash(hasher.text(name).int(u64::from(param.keyed)));
    }
    hasher.int(stage.inputs.len() as u64);
    for input in &stage.inputs {
        hasher.text(&input.port).int(input.from.len() as u64);
        for reference in &input.from {
            let at = here.get(&reference.stage).map_or(u64::MAX, |at| *at as u64);
            hasher.int(at).text(&reference.port);
        }
    }
    hasher.finish()
}

/// A name with the points that it belongs to, unless it belongs to all.
fn name(base: &str, points: &[usize], sweep: &Sweep, taken: &mut BTreeSet<String>) -> String {
    let mut words: Vec<String> = Vec::new();
    for (at, axis) in sweep.axes.iter().enumerate() {
        let value = sweep.points[points[0]].at[at];
        let all_of =
            |mut points: Box<dyn Iterator<Item = usize> + '_>| points.all(|point| sweep.points[point].at[at] == value);
        if all_of(Box::new(points.iter().copied())) && !all_of(Box::new(0..sweep.points.len())) {
            words.push(word(axis, value));
        }
    }
    let mut name = base.to_owned();
    if !words.is_empty() {
        name = format!("{base}@{}", words.join(","));
    }
    if !taken.insert(name.clone()) {
        let joint = if words.is_empty() { '@' } else { ',' };
        name = format!("{name}{joint}point={}", points[0] + 1);
        taken.insert(name.clone());
    }
    name
}

/// `lr=1e-4`, without characters that are special for a shell or a file system.
fn word(axis: &Axis, value: usize) -> String {
    let fits = |c: char| if c.is_alphanumeric() || ".-+_%".contains(c) { c } else { '-' };
    let text: String = axis.values[value].chars().take(LONGEST).map(fits).collect();
    format!("{}={text}", axis.name)
}
