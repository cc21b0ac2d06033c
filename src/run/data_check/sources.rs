//! The photographs that a pipeline's stages give: sources are evaluated, and what other stages made is taken from the store, or computed as by
//! a run. Reads no photograph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::files::{CollectingFiles, SeenFiles};
use crate::lang::port_types::CARRIERS;
use crate::plan::{Decision, Engine, Graph, StageId, StageResults};
use crate::run::events::Watch;
use crate::run::files::ProjectFiles;
use crate::run::{self, Host, Links, Options, PlanError, Project};
use crate::stage::{StageError, Summary};
use crate::store::{Accept, Tree};

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub enum DataCheckError {
    /// The pipeline cannot be planned, or a stage is unknown.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A stage that was asked for gives something else.
    #[error("`{stage}` does not give photographs")]
    OtherOutput {
        /// The stage.
        stage: String,
        /// The stages that do.
        known: Vec<String>,
    },
    /// No stage gives photographs.
    #[error("pipeline `{0}` has no stage that gives photographs")]
    WithoutPhotographs(String),
    /// An error that is not about the data.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// The photographs of one output of a stage.
pub(super) struct FoundSource {
    /// The stage, with its port if it has several outputs.
    pub(super) stage: String,
    /// What the stage is an instance of.
    pub(super) stage_type: String,
    /// The set; [`None`] if there is none, see `failure`.
    pub(super) set: Option<Tree>,
    /// What the stage reported.
    pub(super) summary: Summary,
    /// What its files are.
    pub(super) seen: SeenFiles,
    /// Why there is no set.
    pub(super) failure: Option<StageError>,
}

/// The stages whose photographs are checked: those with these names, or all that need no other stage.
fn wanted(project: &Project, graph: &Graph, names: &[String]) -> Result<Vec<StageId>, DataCheckError> {
    let stage = |id: StageId| &project.pipeline.stages[id.0];
    let gives = |id: &StageId| stage(*id).outputs.iter().any(|output| output.ty == CARRIERS[0]);
    // As written: results do not depend on it, but people compare with their file.
    let all = || (0..project.pipeline.stages.len()).map(StageId).filter(gives);
    let mut ids = BTreeSet::new();
    for name in names {
        let own: Vec<StageId> = run::target(project, graph, name)?.into_iter().filter(gives).collect();
        if own.is_empty() {
            let known = all().map(|id| stage(id).base_name.clone()).collect();
            return Err(DataCheckError::OtherOutput { stage: name.clone(), known });
        }
        ids.extend(own);
    }
    if names.is_empty() {
        ids.extend(all().filter(|id| graph.needs(*id).is_empty()));
    }
    if ids.is_empty() {
        return Err(DataCheckError::WithoutPhotographs(project.pipeline.name.clone()));
    }
    Ok(ids.into_iter().collect())
}

/// The photographs of the stages with these names, or of all sources. A stage that fails is part of the result.
///
/// # Errors
/// [`DataCheckError`].
pub(super) fn find(
    host: &Host,
    project: &Project,
    names: &[String],
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<FoundSource>, DataCheckError> {
    let (graph, diags) = Graph::new(project.pipeline);
    if !diags.is_empty() {
        return Err(PlanError::Pipeline(diags).into());
    }
    let wanted = wanted(project, &graph, names)?;
    let needed = graph.with_needs(&wanted);
    let files = CollectingFiles::new(ProjectFiles::new(host, &project.folder, project.store));
    let (pipeline, implementations, store) = (project.pipeline, project.implementations, project.store);
    let engine = Engine::new(pipeline, graph, implementations, store, &files, Accept::AnyTarget)?;
    let mut evaluated = EvaluatedStages::default();
    for id in engine.graph.order().iter().filter(|id| needed.contains(id)) {
        evaluated.add(&engine, &files, *id)?;
    }
    let missing: Vec<StageId> = wanted.iter().copied().filter(|id| evaluated.is_missing(*id)).collect();
    if !missing.is_empty() {
        let targets = missing.iter().map(|id| engine.stage(*id).name.clone()).collect();
        let options = Options { targets, links: Links::None, ..options.clone() };
        let report = run::execute(host, project, &options, watch)?;
        if report.stopped {
            return Err(StageError::Stopped.into());
        }
        evaluated.known.extend(report.known);
        for failure in report.failed {
            let id = engine.graph.find(&failure.stage);
            for wanted in missing.iter().filter(|wanted| id.is_some_and(|id| needs(&engine, **wanted).contains(&id))) {
                let StageError::Input { code, text, hint, field } = &failure.error else { continue };
                let error = StageError::Input { code, text: text.clone(), hint: hint.clone(), field: field.clone() };
                evaluated.failed.entry(*wanted).or_insert(error);
            }
            if !matches!(failure.error, StageError::Input { .. }) {
                return Err(failure.error.into());
            }
        }
    }
    let mut found = Vec::new();
    for id in wanted {
        found.extend(evaluated.sources(&engine, id)?);
    }
    Ok(found)
}

fn needs(engine: &Engine, id: StageId) -> BTreeSet<StageId> {
    engine.graph.with_needs(&[id])
}

/// What is known about stages so far.
#[derive(Default)]
struct EvaluatedStages {
    known: StageResults,
    failed: BTreeMap<StageId, StageError>,
    seen: BTreeMap<StageId, SeenFiles>,
}

impl EvaluatedStages {
    /// Evaluates a source, or looks for the result of another stage in the store.
    fn add(&mut self, engine: &Engine, files: &CollectingFiles, id: StageId) -> Result<(), StageError> {
        if engine.graph.needs(id).iter().any(|need| !self.known.contains_key(need)) {
            return Ok(());
        }
        // What was seen before belongs to another stage.
        drop(files.take());
        match engine.decide(id, &self.known) {
            Ok(Decision::Source(known)) => {
                self.known.insert(id, known);
            }
            Ok(Decision::Reuse(known, reused)) if reused.remote_hit.is_none() => {
                self.known.insert(id, known);
            }
            Ok(_) => {}
            Err(error @ StageError::Input { .. }) => {
                self.failed.insert(id, error);
            }
            Err(error) => return Err(error),
        }
        // A source whose result was remembered is evaluated now, so that the store can read its files.
        if self.known.contains_key(&id)
            && let Err(error) = engine.locate(id)
        {
            self.known.remove(&id);
            match error {
                StageError::Input { .. } => self.failed.insert(id, error),
                error => return Err(error),
            };
        }
        self.seen.insert(id, files.take());
        Ok(())
    }

    /// Whether the result of a stage has to be computed.
    fn is_missing(&self, id: StageId) -> bool {
        !self.known.contains_key(&id) && !self.failed.contains_key(&id)
    }

    /// The photographs of a stage, for each output that holds some.
    fn sources(&mut self, engine: &Engine, id: StageId) -> Result<Vec<FoundSource>, StageError> {
        let stage = engine.stage(id);
        let mut seen = self.seen.remove(&id).unwrap_or_default();
        let mut failure = self.failed.remove(&id);
        let known = self.known.get(&id);
        if known.is_none() && failure.is_none() {
            return Err(StageError::Bug(format!("neither a result of `{}` nor a reason", stage.name)));
        }
        let mut found = Vec::new();
        for output in stage.outputs.iter().filter(|output| output.ty == CARRIERS[0]) {
            let name = &stage.name;
            let artifact = known.and_then(|known| known.outputs.get(&output.port));
            found.push(FoundSource {
                stage: if stage.outputs.len() == 1 { name.clone() } else { format!("{name}.{}", output.port) },
                stage_type: stage.stage_type.clone(),
                set: artifact.map(|artifact| artifact.tree(&engine.store.objects).cloned()).transpose()?,
                summary: known.map(|known| known.summary.clone()).unwrap_or_default(),
                seen: std::mem::take(&mut seen),
                failure: failure.take(),
            });
        }
        Ok(found)
    }
}

/// Problems of files that no photograph uses.
pub(super) fn unplaced(seen: &mut SeenFiles) -> Vec<StageError> {
    let placed: BTreeSet<&PathBuf> = seen.placed.values().collect();
    let rest: Vec<PathBuf> = seen.refused.keys().filter(|file| !placed.contains(file)).cloned().collect();
    rest.iter().filter_map(|file| seen.refused.remove(file)).collect()
}
