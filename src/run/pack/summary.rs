//! What the documents of a pack say: stages, models, metrics. Names no photograph.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{Project, time};
use super::contents::PackContents;
use crate::lang::port_types::CARRIERS;
use crate::plan::training_data::signature;
use crate::plan::{Engine, StageId, StageResult, StageResults};
use crate::report::croissant::{self, DescribedPatches};
use crate::stage::{StageError, Work};
use crate::store::{Objects, RunRecord, Tree};

/// What a pack is about.
pub(super) struct PackSummary<'a> {
    /// The description of the pack.
    pub(super) contents: &'a PackContents,
    /// The pipeline's `doc`.
    pub(super) doc: Option<String>,
    /// Its seed.
    pub(super) seed: u64,
    /// Its stages, each after those that it needs.
    pub(super) stages: Vec<StageSummary>,
    /// Begin and end of the run that computed the newest result, nanoseconds since 1970.
    pub(super) times: Option<(u64, u64)>,
}

/// A stage.
pub(super) struct StageSummary {
    pub(super) name: String,
    /// Its type.
    pub(super) stage_type: String,
    /// What the type does: the first sentence of its documentation.
    pub(super) doc: String,
    /// The implementation and its version.
    pub(super) implementation: (String, u32),
    pub(super) determinism: &'static str,
    pub(super) target: String,
    pub(super) is_source: bool,
    /// Types of its outputs.
    pub(super) types: Vec<String>,
    /// Stages that it reads.
    pub(super) needs: BTreeSet<String>,
    /// The network that it trains, and whether it starts from pretrained weights.
    pub(super) network: Option<String>,
    /// Number of photographs, of a set of them.
    pub(super) photographs: Option<usize>,
    /// `scores.json`, of an evaluation.
    pub(super) scores: Option<Value>,
    /// `set.json`, of patches.
    pub(super) patches: Option<Value>,
    /// When its result was made, nanoseconds since 1970, and seconds that it took.
    pub(super) made: Option<(u64, f64)>,
}

impl<'a> PackSummary<'a> {
    /// The summary of a pack.
    pub(super) fn of(
        project: &Project,
        engine: &Engine,
        known: &StageResults,
        contents: &'a PackContents,
        run: Option<&RunRecord>,
    ) -> Result<Self, StageError> {
        let stages = engine.graph.order().iter().filter_map(|id| Some((*id, known.get(id)?)));
        let stages = stages.map(|(id, result)| StageSummary::of(project, engine, id, result));
        let times = run.map(|run| (run.began, run.began + (run.seconds.max(0.0) * 1e9) as u64));
        Ok(Self {
            contents,
            doc: project.pipeline.doc.clone(),
            seed: project.pipeline.seed,
            stages: stages.collect::<Result<_, _>>()?,
            times,
        })
    }

    /// The evaluations, with their scores.
    pub(super) fn evaluations(&self) -> impl Iterator<Item = (&StageSummary, &Value)> {
        self.stages.iter().filter_map(|stage| Some((stage, stage.scores.as_ref()?)))
    }

    /// The description of the patch sets inside; [`None`] if there are none.
    pub(super) fn croissant(&self) -> Result<Option<String>, StageError> {
        let sets: Vec<DescribedPatches> = self.stages.iter().filter_map(|stage| self.described(stage)).collect();
        if sets.is_empty() {
            return Ok(None);
        }
        croissant::text(&self.contents.pipeline.name, &time::utc(self.newest())[..10], &sets).map(Some)
    }

    fn described<'s>(&'s self, stage: &'s StageSummary) -> Option<DescribedPatches<'s>> {
        let set = stage.patches.as_ref()?;
        let classes = set["classes"].as_array()?.iter().filter_map(Value::as_str).collect();
        let packed = self.contents.results.iter().filter(|result| result.stage == stage.name);
        let files = packed.flat_map(|result| result.outputs.values().flatten());
        let parts = files.filter(|(name, _)| name.starts_with("parts/") && name.ends_with(".parquet"));
        let parts: BTreeSet<&str> = parts.map(|(_, file)| file.path.as_str()).collect();
        (!parts.is_empty()).then_some(DescribedPatches { stage: &stage.name, classes, parts })
    }

    /// When the newest result was made, nanoseconds since 1970.
    pub(super) fn newest(&self) -> u64 {
        let made = self.stages.iter().filter_map(|stage| stage.made.map(|(began, _)| began)).max();
        self.times.map(|(began, _)| began).or(made).unwrap_or(0)
    }

    /// The files of a stage's result in the pack.
    pub(super) fn files(&self, stage: &str) -> BTreeSet<&str> {
        let packed = self.contents.results.iter().filter(|result| result.stage == stage);
        packed.flat_map(|result| result.outputs.values().flatten()).map(|(_, file)| file.path.as_str()).collect()
    }
}

impl StageSummary {
    fn of(project: &Project, engine: &Engine, id: StageId, result: &StageResult) -> Result<Self, StageError> {
        let (stage, implementation) = (engine.stage(id), engine.implementation(id));
        let objects = &project.store.objects;
        let has = |ty: &str| stage.outputs.iter().any(|output| output.ty == ty);
        let signature = signature(stage);
        let doc = signature.map(|signature| first_sentence(&signature.doc)).unwrap_or_default();
        let made = match result.key {
            Some(key) => {
                let found = project.store.find(&key, &result.target, engine.accept)?;
                found.ok().map(|found| (found.record.made.began, found.record.made.seconds))
            }
            None => None,
        };
        let is_set = |ty: &String| CARRIERS.contains(&ty.as_str()) && ty != "photographs";
        let mut sets = stage.outputs.iter().filter(|output| is_set(&output.ty));
        let patches = match sets.find_map(|output| result.outputs.get(&output.port)) {
            Some(made) => json(objects, made.tree(objects)?, "set.json")?,
            None => None,
        };
        let scores = match stage.outputs.iter().find(|output| output.ty == "scores") {
            Some(output) => match result.outputs.get(&output.port) {
                Some(made) => json(objects, made.tree(objects)?, "scores.json")?,
                None => None,
            },
            None => None,
        };
        let photographs = match stage.outputs.iter().find(|output| output.ty == "photographs") {
            Some(output) => match result.outputs.get(&output.port) {
                Some(made) => {
                    let names = made.tree(objects)?.entries.keys();
                    Some(names.filter(|name| name.rsplit('/').next().is_some_and(is_photograph)).count())
                }
                None => None,
            },
            None => None,
        };
        Ok(Self {
            name: stage.name.clone(),
            stage_type: stage.stage_type.clone(),
            doc,
            implementation: (implementation.name.to_owned(), implementation.version_of(&stage.values())),
            determinism: implementation.determinism.name(&result.target),
            target: result.target.clone(),
            is_source: matches!(implementation.work, Work::Source(_)),
            types: stage.outputs.iter().map(|output| output.ty.clone()).collect(),
            needs: stage.inputs.iter().flat_map(|input| &input.from).map(|from| from.stage.clone()).collect(),
            network: stage.network().filter(|_| has("model")).map(|network| network.name.clone()),
            photographs,
            scores,
            patches,
            made,
        })
    }
}

fn is_photograph(name: &str) -> bool {
    name.starts_with("photograph.")
}

fn first_sentence(doc: &str) -> String {
    doc.split_inclusive(". ").next().unwrap_or(doc).trim().to_owned()
}

fn json(objects: &Objects, tree: &Tree, name: &str) -> Result<Option<Value>, StageError> {
    Ok(objects.read_in(tree, name)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
