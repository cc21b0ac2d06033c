//! What a result's record says of how to compute it again, without the pipeline that it came from.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::decision::{Engine, Task};
use super::graph::StageId;
use crate::base::{FileId, Span};
use crate::lang::spec::{Output, Pipeline, StageSpec};
use crate::lang::value::Value;
use crate::stage::{Inputs, Named, StageError, Work};
use crate::store::{Objects, Recipe, RecipeInput, Record, StoreError, StoredTree};

/// A stage without its texts and its references.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    kind: String,
    implementation: String,
    seed: u64,
    params: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unkeyed: Vec<String>,
    /// Port and type.
    outputs: Vec<(String, String)>,
}

/// Writes down how a task is computed again; the trees of its inputs become objects.
///
/// # Errors
/// What putting them into the store runs into.
pub fn write(engine: &Engine, id: StageId, task: &Task) -> Result<Recipe, StageError> {
    let stage = engine.stage(id);
    let written = Written {
        kind: stage.kind.clone(),
        implementation: stage.implementation.clone(),
        seed: stage.seed,
        params: stage.params.clone(),
        unkeyed: stage.unkeyed.clone(),
        outputs: stage.outputs.iter().map(|output| (output.port.clone(), output.ty.clone())).collect(),
    };
    let json = |error: serde_json::Error| StageError::Bug(format!("a stage can't be written down: {error}"));
    let page = matches!(engine.implementation(id).work, Work::Report(_));
    let mut inputs = Vec::new();
    for (port, named) in task.inputs.0.iter().flat_map(|(port, given)| given.iter().map(move |named| (port, named))) {
        let object = engine.store.objects.put_tree(&named.tree)?;
        let summary = named.summary.as_ref().filter(|_| page).map(serde_json::to_value).transpose().map_err(json)?;
        inputs.push(RecipeInput {
            port: port.clone(),
            stage: named.stage.clone(),
            name: named.name.clone(),
            tree: StoredTree { tree: named.tree.digest(), object },
            summary,
        });
    }
    Ok(Recipe { stage: serde_json::to_value(written).map_err(json)?, inputs })
}

/// The stage of a record as a pipeline of its own: it has the names that it had, and no references. [`None`] where the record
/// has no recipe that can be read.
#[must_use]
pub fn pipeline(record: &Record) -> Option<Pipeline> {
    let written: Written = serde_json::from_value(record.recipe.as_ref()?.stage.clone()).ok()?;
    let span = Span::new(FileId(0), 0..0);
    let stage = StageSpec {
        name: record.made.stage.clone(),
        own: record.made.stage.clone(),
        seed: written.seed,
        kind: written.kind,
        implementation: written.implementation,
        inputs: Vec::new(),
        params: written.params,
        unkeyed: written.unkeyed,
        marks: BTreeSet::new(),
        spans: BTreeMap::new(),
        outputs: written.outputs.into_iter().map(|(port, ty)| Output { port, ty }).collect(),
        span,
    };
    let (name, seed) = (record.made.pipeline.clone(), stage.seed);
    Some(Pipeline { name, seed, doc: None, stages: vec![stage], instances: Vec::new(), span })
}

/// What the ports of a recipe's stage are given.
///
/// # Errors
/// [`StoreError::Missing`] or [`StoreError::Damaged`] where a tree is lost; what reading it runs into.
pub fn inputs(recipe: &Recipe, objects: &Objects) -> Result<Inputs, StoreError> {
    let mut inputs = Inputs::default();
    for given in &recipe.inputs {
        let tree = objects.read_tree(&given.tree.object)?;
        let summary = given.summary.clone().and_then(|summary| serde_json::from_value(summary).ok());
        let named = Named { stage: given.stage.clone(), name: given.name.clone(), tree, summary };
        inputs.0.entry(given.port.clone()).or_default().push(named);
    }
    Ok(inputs)
}
