//! The decision engine: whether each stage will run. `plan`, `run` and `why` all use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rayon::prelude::*;

use super::graph::{Graph, StageId};
pub use super::result::{Cost, StageResult, StageResults};
use super::settings::settings;
use super::source::SourceStage;
use super::{keys, source};
use crate::base::sync;
use crate::base::{Digest, Streams};
use crate::lang::spec::{Pipeline, StageSpec};
use crate::lang::value::Value;
use crate::stage::{
    Ctx, Files, Implementation, Inputs, Item, Named, NoProgress, Params, StageError, Stop, Summary, Warning, Work,
};
use crate::store::{Absent, Accept, EVERYWHERE, Found, ItemHit, Manifest, RemoteHit, ReusedItems, Store, Tree};

/// The engine, with everything that it decides from.
pub struct Engine<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// Its graph.
    pub graph: Graph,
    /// Where results are looked up.
    pub store: &'a Store,
    /// External files, for sources.
    pub files: &'a (dyn Files + Sync),
    /// Whether results computed on another target are accepted.
    pub accept: Accept,
    implementations: Vec<&'a Implementation>,
    /// Compares what stages evaluate with what their models have seen.
    check: Option<&'a dyn ContentCheck>,
    /// Sources whose files the store can locate.
    located: Mutex<BTreeSet<StageId>>,
}

/// Check of a stage's inputs by content, beyond its key: a cached result is refused like one that would be computed.
pub trait ContentCheck: Sync {
    /// Warnings about the inputs of a stage, given the results of everything above it.
    ///
    /// # Errors
    /// A [`StageError`] if the stage must not have these inputs; those of the store.
    fn check(&self, engine: &Engine, id: StageId, known: &StageResults) -> Result<Vec<Warning>, StageError>;
}

/// The decision for one stage.
#[derive(Debug)]
pub enum Decision {
    /// A source, just evaluated.
    Source(Arc<StageResult>),
    /// Will not run: its result is in the store or on a remote.
    Reuse(Arc<StageResult>, Box<Reused>),
    /// Will run.
    Run(Box<Task>),
    /// Not known before these stages end.
    Unknown(Vec<StageId>),
    /// Cannot run: evaluating it failed.
    Failed(StageError),
    /// Cannot run: these stages failed.
    Blocked(Vec<StageId>),
}

/// A result that is reused.
#[derive(Clone, Debug)]
pub struct Reused {
    /// How it was made.
    pub made: crate::store::Made,
    /// Its target, if different from this machine's.
    pub other_target: Option<String>,
    /// The remote's copy, if the store has none; large parts may still have to be downloaded.
    pub remote_hit: Option<Arc<RemoteHit>>,
}

/// A stage that will run, with everything it needs.
#[derive(Debug)]
pub struct Task {
    /// The manifest of its key.
    pub manifest: Manifest,
    /// The key.
    pub key: Digest,
    /// Its inputs.
    pub inputs: Inputs,
    /// Why it runs.
    pub absent: Absent,
    /// Items of a map stage that are already computed.
    pub items: Option<ReusedItems>,
}

impl<'a> Engine<'a> {
    /// An engine for `pipeline`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if a stage's implementation is not among `implementations`.
    pub fn new(
        pipeline: &'a Pipeline,
        graph: Graph,
        implementations: &'a [Implementation],
        store: &'a Store,
        files: &'a (dyn Files + Sync),
        accept: Accept,
    ) -> Result<Self, StageError> {
        let find = |stage: &StageSpec| {
            implementations.iter().find(|known| known.name == stage.implementation).ok_or_else(|| {
                StageError::Bug(format!("stage `{}` has no implementation `{}`", stage.name, stage.implementation))
            })
        };
        let implementations = pipeline.stages.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { pipeline, graph, store, files, accept, implementations, check: None, located: Mutex::default() })
    }

    /// Sets the check of inputs by content.
    #[must_use]
    pub fn checking(self, check: &'a dyn ContentCheck) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Warnings of the check by content about a stage that will run or is reused.
    ///
    /// # Errors
    /// As [`ContentCheck::check`].
    pub fn checked(&self, id: StageId, known: &StageResults) -> Result<Vec<Warning>, StageError> {
        self.check.map_or_else(|| Ok(Vec::new()), |check| check.check(self, id, known))
    }

    /// The stage's specification.
    #[must_use]
    pub fn stage(&self, id: StageId) -> &'a StageSpec {
        &self.pipeline.stages[id.0]
    }

    /// The stage's implementation.
    #[must_use]
    pub fn implementation(&self, id: StageId) -> &'a Implementation {
        self.implementations[id.0]
    }

    /// Decides all stages of `wanted`, in order, as far as is possible now.
    #[must_use]
    pub fn plan(&self, wanted: &BTreeSet<StageId>) -> BTreeMap<StageId, Decision> {
        let mut known = StageResults::new();
        let mut decisions = BTreeMap::new();
        for &id in self.graph.order().iter().filter(|id| wanted.contains(id)) {
            let mut decision = self.decide_within(id, &known, &decisions);
            if let Err(error) = self.foresee(id, &decision, &known) {
                decision = Decision::Failed(error);
            }
            if let Decision::Source(result) | Decision::Reuse(result, _) = &decision {
                known.insert(id, Arc::clone(result));
            }
            decisions.insert(id, decision);
        }
        decisions
    }

    /// Warnings that stages which may run give in advance, and those of the check by content.
    pub fn foreseen<'d>(
        &self,
        decisions: impl Iterator<Item = (StageId, &'d Decision)> + Clone,
    ) -> Vec<(StageId, Warning)> {
        let known = decisions.clone().filter_map(|(id, decision)| match decision {
            Decision::Source(known) | Decision::Reuse(known, _) => Some((id, Arc::clone(known))),
            _ => None,
        });
        let known: StageResults = known.collect();
        let of = |(id, decision)| {
            let mut warnings = self.foresee(id, decision, &known).unwrap_or_default();
            if let Decision::Reuse(..) | Decision::Run(_) = decision {
                warnings.extend(self.checked(id, &known).unwrap_or_default());
            }
            warnings.into_iter().map(move |warning| (id, warning))
        };
        decisions.flat_map(of).collect()
    }

    /// Asks a stage that may run for warnings about the sources it reads.
    fn foresee(&self, id: StageId, decision: &Decision, known: &StageResults) -> Result<Vec<Warning>, StageError> {
        let (Some(foresee), Decision::Run(_) | Decision::Unknown(_)) = (self.implementation(id).foresee, decision)
        else {
            return Ok(Vec::new());
        };
        let stage = self.stage(id);
        let mut inputs = Inputs::default();
        for input in &stage.inputs {
            let given = input.from.iter().map(|reference| {
                let from = self.graph.find(&reference.stage)?;
                let result = known.get(&from).filter(|_| matches!(self.implementation(from).work, Work::Source(_)))?;
                let tree = result.outputs.get(&reference.port)?.tree(&self.store.objects).ok()?.clone();
                Some(Named { stage: reference.stage.clone(), name: reference.stage.clone(), tree, summary: None })
            });
            // A port whose trees are not known yet is connected nevertheless.
            let known = inputs.0.entry(input.port.clone()).or_default();
            known.extend(given.collect::<Option<Vec<_>>>().unwrap_or_default());
        }
        foresee(&params(stage), &inputs, &self.store.objects)
    }

    fn decide_within(&self, id: StageId, known: &StageResults, decisions: &BTreeMap<StageId, Decision>) -> Decision {
        let mut until = BTreeSet::new();
        let mut blocked = BTreeSet::new();
        for need in self.graph.needs(id) {
            match decisions.get(&need) {
                Some(Decision::Run(_)) => _ = until.insert(need),
                Some(Decision::Unknown(others)) => until.extend(others),
                Some(Decision::Failed(_)) => _ = blocked.insert(need),
                Some(Decision::Blocked(others)) => blocked.extend(others),
                _ => {}
            }
        }
        if !blocked.is_empty() {
            return Decision::Blocked(blocked.into_iter().collect());
        }
        if !until.is_empty() {
            return Decision::Unknown(until.into_iter().collect());
        }
        self.decide(id, known).unwrap_or_else(Decision::Failed)
    }

    /// Decides one stage with known inputs: never [`Decision::Unknown`] or [`Decision::Blocked`].
    ///
    /// # Errors
    /// Those of evaluating a source, a map stage's items, or the store.
    pub fn decide(&self, id: StageId, known: &StageResults) -> Result<Decision, StageError> {
        let (stage, implementation) = (self.stage(id), self.implementation(id));
        if let Work::Source(_) = implementation.work {
            let (known, located) = source::known(&self.source(id))?;
            if located {
                self.located().insert(id);
            }
            return Ok(Decision::Source(Arc::new(known)));
        }
        let given = self.narrowed(id, self.given(id, known)?)?;
        let manifest = keys::of_given(stage, implementation, &given)?;
        let key = manifest.key();
        self.checked(id, known)?;
        let find = || self.store.find(&key, &keys::target(stage, implementation), self.accept);
        let mut found = find()?;
        if found.is_err() && self.locate(id)? {
            // A result may refer to users' files.
            found = find()?;
        }
        match found {
            Ok(found) => {
                let (known, reused) = self.reused(id, found, manifest);
                Ok(Decision::Reuse(known, Box::new(reused)))
            }
            Err(absent) => {
                if let Some(hit) = self.remote_hit(id, &key)? {
                    let (known, reused) = self.reused(id, hit.found(), manifest);
                    return Ok(Decision::Reuse(known, Box::new(Reused { remote_hit: Some(hit), ..reused })));
                }
                let inputs = self.inputs(given)?;
                let mut task = Task { manifest, key, inputs, absent, items: None };
                if let Work::Map { .. } = implementation.work {
                    let items = self.items(id, &task)?;
                    let there = items.iter().filter(|(_, _, hit)| hit.is_some()).count();
                    task.items = Some(ReusedItems { reused: there as u64, total: items.len() as u64 });
                }
                Ok(Decision::Run(Box::new(task)))
            }
        }
    }

    /// The result of a stage with known inputs, if the store has it. Decides nothing, and asks no remote.
    ///
    /// # Errors
    /// Those of the store.
    pub fn stored(&self, id: StageId, known: &StageResults) -> Result<Option<Arc<StageResult>>, StageError> {
        let (stage, implementation) = (self.stage(id), self.implementation(id));
        let given = self.narrowed(id, self.given(id, known)?)?;
        let manifest = keys::of_given(stage, implementation, &given)?;
        let found = self.store.find(&manifest.key(), &keys::target(stage, implementation), self.accept)?;
        Ok(found.ok().map(|found| self.reused(id, found, manifest).0))
    }

    /// The copy of a result on a remote. A copy without one of the stage's outputs does not count.
    fn remote_hit(&self, id: StageId, key: &Digest) -> Result<Option<Arc<RemoteHit>>, StageError> {
        let stage = self.stage(id);
        let hit = self.store.find_remote(key, &keys::target(stage, self.implementation(id)), self.accept)?;
        Ok(hit.filter(|hit| {
            let made = &hit.record().outputs;
            made.len() == stage.outputs.len() && stage.outputs.iter().all(|output| made.contains_key(&output.port))
        }))
    }

    /// A result found in the store, for the runner. `manifest` is that of its key.
    #[must_use]
    pub fn reused(&self, id: StageId, found: Found, manifest: Manifest) -> (Arc<StageResult>, Reused) {
        let Found { record, outputs } = found;
        // A summary is for people: one in the format of another version must not stop a run.
        let summary = serde_json::from_value(record.summary).unwrap_or_default();
        let own = keys::target(self.stage(id), self.implementation(id));
        let foreign = record.target != own && record.target != EVERYWHERE;
        let target = record.target;
        let reused = Reused { other_target: foreign.then(|| target.clone()), made: record.made, remote_hit: None };
        let (last_seconds, full_seconds) = (reused.made.seconds, reused.made.seconds_to_recompute());
        let cost = Cost { last_seconds, full_seconds };
        let known = StageResult { outputs, summary, manifest, key: Some(record.key), target, cost };
        (Arc::new(known), reused)
    }

    /// The items of a map stage, the key of each, and its result if there is one.
    ///
    /// # Errors
    /// Those of listing the items or reading the segment.
    pub fn items(&self, id: StageId, task: &Task) -> Result<Vec<(Item, Digest, Option<ItemHit>)>, StageError> {
        let (stage, implementation) = (self.stage(id), self.implementation(id));
        let Work::Map { items, .. } = implementation.work else { return Ok(Vec::new()) };
        let params = params(stage);
        let stop = Stop::default();
        let ctx = Ctx {
            params: &params,
            inputs: &task.inputs,
            streams: self.streams(id),
            objects: &self.store.objects,
            partial: Path::new(""),
            progress: &NoProgress,
            stop: &stop,
        };
        let common = self.of_items(id)?;
        let results = self.store.results(&common)?;
        let target = keys::target(stage, implementation);
        let found = items(&ctx)?.into_par_iter().map(|item| {
            let key = keys::item(&common, &item);
            let hit = results.find(&key, &target, self.accept);
            (item, key, hit)
        });
        Ok(found.collect())
    }

    /// Digest of what all items of a map stage share, which names its segment.
    ///
    /// # Errors
    /// As [`keys::common`].
    pub fn of_items(&self, id: StageId) -> Result<Digest, StageError> {
        let implementation = self.implementation(id);
        let mut stage = self.stage(id).clone();
        stage.params.retain(|name, _| !only_enumerates(name, implementation));
        Ok(keys::common(&stage, implementation)?.key())
    }

    /// The random streams of a stage.
    #[must_use]
    pub fn streams(&self, id: StageId) -> Streams {
        let (stage, name) = (self.stage(id), self.implementation(id).name);
        match stage.value("replicate") {
            // Not another seed: a replicate must not draw what the same stage draws under a neighbouring seed.
            Some(Value::Int(replicate)) if *replicate != 0 => {
                Streams::new(stage.seed, &format!("{name}, replicate {replicate}"))
            }
            _ => Streams::new(stage.seed, name),
        }
    }

    /// Makes sure that the store can locate the files of the sources above a stage, so that they can be read.
    /// Returns whether any had to be located.
    ///
    /// # Errors
    /// Those of evaluating a source.
    pub fn locate(&self, id: StageId) -> Result<bool, StageError> {
        let sources = self.graph.with_needs(&[id]).into_iter();
        let of = |id: &StageId| matches!(self.implementation(*id).work, Work::Source(_));
        let unknown: Vec<StageId> = sources.filter(of).filter(|id| !self.located().contains(id)).collect();
        for &id in &unknown {
            source::locate(&self.source(id))?;
            self.located().insert(id);
        }
        Ok(!unknown.is_empty())
    }

    fn source(&self, id: StageId) -> SourceStage<'_> {
        SourceStage {
            stage: self.stage(id),
            implementation: self.implementation(id),
            store: self.store,
            files: self.files,
        }
    }

    fn located(&self) -> MutexGuard<'_, BTreeSet<StageId>> {
        sync::lock(&self.located)
    }

    fn inputs(&self, given: GivenInputs) -> Result<Inputs, StageError> {
        let mut inputs = Inputs::default();
        for (port, given) in given {
            let named = given.into_iter().map(|keys::KeyInput { stage, name, artifact, summary }| {
                let tree = artifact.tree(&self.store.objects)?.clone();
                Ok(Named { stage, name, tree, summary })
            });
            inputs.0.insert(port, named.collect::<Result<_, StageError>>()?);
        }
        Ok(inputs)
    }

    /// The part of each input that a stage reads.
    fn narrowed(&self, id: StageId, mut given: GivenInputs) -> Result<GivenInputs, StageError> {
        let Some(narrow) = self.implementation(id).narrow else { return Ok(given) };
        let makes = |above: &StageId| self.stage(*above).outputs.iter().any(|output| output.ty == narrow.upstream);
        if !self.graph.with_needs(&[id]).iter().any(makes) {
            return Ok(given);
        }
        let inputs = self.inputs(given.clone())?;
        for (port, at, tree) in (narrow.read)(&params(self.stage(id)), &inputs, &self.store.objects)? {
            if let Some(input) = given.get_mut(&port).and_then(|many| many.get_mut(at)) {
                input.artifact = tree.into();
            }
        }
        Ok(given)
    }

    fn given(&self, id: StageId, known: &StageResults) -> Result<GivenInputs, StageError> {
        let page = matches!(self.implementation(id).work, Work::Report(_));
        let mut inputs = GivenInputs::new();
        for input in &self.stage(id).inputs {
            let given = input.from.iter().map(|reference| {
                let from = self.graph.find(&reference.stage).and_then(|id| Some((id, known.get(&id)?)));
                let (from, result) =
                    from.ok_or_else(|| StageError::Bug(format!("the result of `{}` is not known", reference.stage)))?;
                let artifact = result.outputs.get(&reference.port).cloned().ok_or_else(|| {
                    StageError::Bug(format!("`{}` produced no output `{}`", reference.stage, reference.port))
                })?;
                let main = self.stage(from).outputs.len() == 1;
                // The name with its points of a sweep would change a page's key.
                let stage = self.stage(from).base_name.clone();
                let name = if main { stage.clone() } else { format!("{stage}.{}", reference.port) };
                let summary = page.then(|| Summary {
                    settings: settings(&self.graph, from, |id| (self.stage(id), self.implementation(id))),
                    ..result.summary.clone()
                });
                Ok(keys::KeyInput { stage, name, artifact, summary })
            });
            let given = given.collect::<Result<Vec<_>, StageError>>()?;
            inputs.entry(input.port.clone()).or_default().extend(given);
        }
        if let Work::Command { code, .. } = self.implementation(id).work
            && !inputs.contains_key(code.program)
            && let Some((word, tree)) = self.own_program(id)?
        {
            let given = keys::KeyInput { stage: word.clone(), name: word, artifact: tree.into(), summary: None };
            inputs.insert(code.program.to_owned(), vec![given]);
        }
        Ok(inputs)
    }

    /// The program of a command, if it is a file in the project folder: its word, and its content as a source would give it.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn own_program(&self, id: StageId) -> Result<Option<(String, Tree)>, StageError> {
        let Work::Command { code, .. } = self.implementation(id).work else { return Ok(None) };
        let Some(word) = (code.word)(&params(self.stage(id))) else { return Ok(None) };
        let Some(path) = self.files.own_program(&word) else { return Ok(None) };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("program").to_owned();
        let mut tree = Tree::default();
        tree.insert(name, self.files.entry(&path)?);
        Ok(Some((word, tree)))
    }
}

/// Inputs of a stage by port.
type GivenInputs = BTreeMap<String, Vec<keys::KeyInput>>;

/// A stage's parameters in the form that its implementation takes.
#[must_use]
pub fn params(stage: &StageSpec) -> Params {
    Params(stage.values())
}

/// The parameters that an item of a map stage depends on: all except those that only enumerate the items.
#[must_use]
pub fn item_params(stage: &StageSpec, implementation: &Implementation) -> Params {
    let mut params = params(stage);
    params.0.retain(|name, _| !only_enumerates(name, implementation));
    params
}

/// Whether a parameter only selects the items of a map stage and does not affect their results.
fn only_enumerates(name: &str, implementation: &Implementation) -> bool {
    matches!(implementation.work, Work::Map { enumeration_params, .. } if enumeration_params.contains(&name))
}
