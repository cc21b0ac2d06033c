//! Recipes: the part of a record from which a result can be computed again without its pipeline.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::decision::{Engine, Task};
use super::graph::StageId;
use crate::base::{FileId, Span};
use crate::lang::spec::{Output, ParamValue, Pipeline, StageSpec};
use crate::lang::value::Value;
use crate::stage::{Inputs, Named, StageError, Work};
use crate::store::{Objects, Recipe, RecipeInput, Record, StoreError, StoredTree};

/// A stage without its source text and references.
#[derive(Debug, Serialize, Deserialize)]
struct StoredStage {
    kind: String,
    implementation: String,
    seed: u64,
    params: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unkeyed: Vec<String>,
    /// Port and type.
    outputs: Vec<(String, String)>,
}

/// The recipe of a task; the trees of its inputs become objects.
///
/// # Errors
/// Those of putting them into the store.
pub fn write(engine: &Engine, id: StageId, task: &Task) -> Result<Recipe, StageError> {
    let stage = engine.stage(id);
    let unkeyed = stage.params.iter().filter(|(_, param)| !param.keyed).map(|(name, _)| name.clone());
    let written = StoredStage {
        kind: stage.stage_type.clone(),
        implementation: stage.implementation.clone(),
        seed: stage.seed,
        params: stage.values(),
        unkeyed: unkeyed.collect(),
        outputs: stage.outputs.iter().map(|output| (output.port.clone(), output.ty.clone())).collect(),
    };
    let json = |error: serde_json::Error| StageError::Bug(format!("cannot serialise a stage: {error}"));
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

/// The stage of a record as a pipeline of its own, under its original names and without references. [`None`] if the record has no
/// readable recipe.
#[must_use]
pub fn pipeline(record: &Record) -> Option<Pipeline> {
    let written: StoredStage = serde_json::from_value(record.recipe.as_ref()?.stage.clone()).ok()?;
    let span = Span::new(FileId(0), 0..0);
    let param = |(name, value): (String, Value)| {
        let keyed = !written.unkeyed.contains(&name);
        (name, ParamValue { value, keyed, span: None })
    };
    let stage = StageSpec {
        name: record.made.stage.clone(),
        base_name: record.made.stage.clone(),
        seed: written.seed,
        stage_type: written.kind,
        implementation: written.implementation,
        inputs: Vec::new(),
        params: written.params.into_iter().map(param).collect(),
        marks: BTreeSet::new(),
        outputs: written.outputs.into_iter().map(|(port, ty)| Output { port, ty }).collect(),
        span,
    };
    let (name, seed) = (record.made.pipeline.clone(), stage.seed);
    Some(Pipeline { name, seed, doc: None, stages: vec![stage], instances: Vec::new(), span })
}

/// The inputs of a recipe's stage.
///
/// # Errors
/// [`StoreError::Missing`] or [`StoreError::Damaged`] if a tree is lost; those of reading it.
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
