//! What a stage waits for, and what led to its re-run: the way through the graph to the parameter, file or version that changed first.
//! Knows no words.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::graph::StageId;
use super::keys;
use super::{Decision, Engine, Explanation};
use crate::store::{Absent, Accept, Difference, Kind, Manifest, RunRecord, StageRun, Tree};

/// Decisions by stage.
pub type Decisions<'a> = BTreeMap<StageId, &'a Decision>;

/// The decisions of a plan.
#[must_use]
pub fn decisions<'a>(explained: &[(StageId, &'a Decision, Explanation)]) -> Decisions<'a> {
    explained.iter().map(|(id, decision, _)| (*id, *decision)).collect()
}

/// The nearest stages that `id` waits for: those which it reads and which run or wait themselves, without those that another of them
/// waits for anyway.
#[must_use]
pub fn waits_for(engine: &Engine, id: StageId, decisions: &Decisions) -> Vec<StageId> {
    let pending = |id: &StageId| matches!(decisions.get(id), Some(Decision::Run(_) | Decision::Unknown(_)));
    let near: Vec<StageId> = engine.graph.needs(id).into_iter().filter(pending).collect();
    if near.len() < 2 {
        return near;
    }
    let of_others =
        |id: &StageId| near.iter().any(|other| other != id && engine.graph.with_needs(&[*other]).contains(id));
    near.iter().filter(|id| !of_others(id)).copied().collect()
}

/// A change that makes stages run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CauseKind {
    /// The stage is in no earlier run.
    New,
    /// Its result was removed from the store.
    Removed,
    /// Its result is damaged or missing.
    Lost,
    /// Its result was computed on another target, and `--exact` was given.
    OtherTarget(String),
    /// A fact that it depends on, and of a source the files that differ, if the old ones are known.
    Fact(Difference, Option<FileChanges>),
}

/// Files of a source that differ, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// Files with other content.
    pub changed: Vec<String>,
    /// New files.
    pub added: Vec<String>,
    /// Files that are gone.
    pub removed: Vec<String>,
}

/// A change, and the stages through which it reaches the stage that is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What changed.
    pub change: CauseKind,
    /// From the stage that changed to the one that is explained, both included.
    pub chain: Vec<StageId>,
}

/// What changed first, for a stage that runs or waits. Compared are the stages of `base`, or of the last run that had them. The
/// changes are in the order of the graph.
#[must_use]
pub fn causes(engine: &Engine, decisions: &Decisions, id: StageId, base: Option<&Arc<RunRecord>>) -> Vec<Cause> {
    let base = base.cloned().or_else(|| Some(last(engine, id, None)?.0));
    let mut search = CauseSearch {
        engine,
        decisions,
        base,
        parents: BTreeMap::from([(id, None)]),
        found: Vec::new(),
        open: Vec::new(),
    };
    let mut waiting = VecDeque::from([id]);
    while let Some(at) = waiting.pop_front() {
        for next in search.visit(at, at == id) {
            if let std::collections::btree_map::Entry::Vacant(new) = search.parents.entry(next) {
                new.insert(Some(at));
                waiting.push_back(next);
            }
        }
    }
    search.close();
    let place = |id: &StageId| engine.graph.order().iter().position(|other| other == id);
    let CauseSearch { mut found, parents, .. } = search;
    found.sort_by_key(|(at, _)| place(at));
    let chain = |at: StageId| std::iter::successors(Some(at), |at| parents.get(at).copied().flatten()).collect();
    found.into_iter().map(|(at, change)| Cause { change, chain: chain(at) }).collect()
}

/// The stage in `base`, or in the last run in which its key was known.
fn last(engine: &Engine, id: StageId, base: Option<&Arc<RunRecord>>) -> Option<(Arc<RunRecord>, StageRun)> {
    let name = &engine.stage(id).name;
    let of_base = base.and_then(|run| {
        let stage = run.stages.get(name).filter(|stage| stage.manifest.is_some())?;
        Some((Arc::clone(run), stage.clone()))
    });
    of_base.or_else(|| engine.store.runs.last_of(&engine.pipeline.name, name))
}

/// Search from a stage upwards, breadth first, so that chains are short.
struct CauseSearch<'a, 'e> {
    engine: &'a Engine<'e>,
    decisions: &'a Decisions<'a>,
    base: Option<Arc<RunRecord>>,
    /// The stage from which each was reached, which reads it.
    parents: BTreeMap<StageId, Option<StageId>>,
    found: Vec<(StageId, CauseKind)>,
    /// Differences of inputs, and the stages that may explain them.
    open: Vec<(StageId, Difference, Vec<StageId>)>,
}

impl CauseSearch<'_, '_> {
    /// Notes what changed at a stage, and returns the stages above it at which to continue.
    fn visit(&mut self, at: StageId, first: bool) -> Vec<StageId> {
        let Some(decision) = self.decisions.get(&at).copied() else { return Vec::new() };
        let Some((run, old)) = last(self.engine, at, self.base.as_ref()) else {
            self.found.push((at, CauseKind::New));
            return Vec::new();
        };
        let before = old.manifest.clone().unwrap_or_default();
        let differences = match decision {
            Decision::Source(result) | Decision::Reuse(result, _) => {
                // The same content by another way changes nothing below.
                let outputs = result.outputs.iter().map(|(port, artifact)| (port, artifact.digest()));
                let same = outputs.into_iter().all(|(port, digest)| old.outputs.get(port) == Some(&digest));
                if same && !first {
                    return Vec::new();
                }
                result.manifest.since(&before)
            }
            Decision::Run(task) => task.manifest.since(&before),
            Decision::Unknown(_) => self.own(at, &before),
            Decision::Failed(_) | Decision::Blocked(_) => return Vec::new(),
        };
        if let (Decision::Run(task), true) = (decision, differences.is_empty()) {
            let change = match &task.absent {
                Absent::Lost => CauseKind::Lost,
                Absent::OtherTarget(target) => CauseKind::OtherTarget(target.clone()),
                Absent::Never => CauseKind::Removed,
            };
            self.found.push((at, change));
        }
        let mut above = BTreeSet::new();
        if let Decision::Unknown(_) = decision {
            // What waits is reached through the nearest of them, so that the chain is the order of the run.
            let near = waits_for(self.engine, at, self.decisions);
            let is_known =
                |id: &StageId| matches!(self.decisions.get(id), Some(Decision::Source(_) | Decision::Reuse(..)));
            above.extend(self.engine.graph.needs(at).into_iter().filter(|id| is_known(id) || near.contains(id)));
        }
        for difference in differences {
            let from = self.inputs(at, &difference);
            if from.is_empty() {
                let files = (difference.kind == Kind::Files).then(|| self.files(at, &difference.path, &run, &old));
                self.found.push((at, CauseKind::Fact(difference, files.flatten())));
            } else {
                above.extend(&from);
                self.open.push((at, difference, from));
            }
        }
        above.into_iter().collect()
    }

    /// Differences of what is known of a stage whose inputs are not.
    fn own(&self, at: StageId, before: &Manifest) -> Vec<Difference> {
        let is_own = |kind: Kind| matches!(kind, Kind::Implementation | Kind::Seed | Kind::Parameter);
        let now = keys::common(self.engine.stage(at), self.engine.implementation(at)).unwrap_or_default();
        now.since(before).into_iter().filter(|difference| is_own(difference.kind)).collect()
    }

    /// The stages whose results an input's difference may come from; none if the input itself was changed in the file.
    fn inputs(&self, at: StageId, difference: &Difference) -> Vec<StageId> {
        let Difference { path, kind, old, new } = difference;
        let (Kind::Input | Kind::Name | Kind::Summary, Some(old), Some(new)) = (kind, old, new) else {
            return Vec::new();
        };
        let name = |shown: &str| shown.rsplit_once(' ').map(|(name, _)| name.to_owned());
        if *kind == Kind::Name || *kind == Kind::Input && name(old) != name(new) {
            return Vec::new();
        }
        let (port, place) = path.split_once('[').map_or((path.as_str(), None), |(port, place)| (port, Some(place)));
        let place: Option<usize> = place.and_then(|place| place.trim_end_matches(']').parse().ok());
        let of_port = self.engine.stage(at).inputs.iter().filter(|input| input.port == port);
        let references: Vec<_> = of_port.flat_map(|input| &input.from).collect();
        let meant = match place {
            Some(place) => references.get(place).copied().into_iter().collect(),
            None => references,
        };
        meant.into_iter().filter_map(|reference| self.engine.graph.find(&reference.stage)).collect()
    }

    /// Differences of inputs that nothing above explains are causes themselves: a command may produce other bytes from the same.
    fn close(&mut self) {
        let causes: BTreeSet<StageId> = self.found.iter().map(|(at, _)| *at).collect();
        for (at, difference, from) in std::mem::take(&mut self.open) {
            if self.engine.graph.with_needs(&from).is_disjoint(&causes) {
                self.found.push((at, CauseKind::Fact(difference, None)));
            }
        }
    }

    /// The files of a source that differ from an earlier run: a result that read them has recorded their names.
    fn files(&self, at: StageId, port: &str, run: &RunRecord, old: &StageRun) -> Option<FileChanges> {
        let Some(Decision::Source(now)) = self.decisions.get(&at) else { return None };
        let now = now.outputs.get(port)?.tree(&self.engine.store.objects).ok()?;
        let digest = old.outputs.get(port)?;
        let engine = self.engine;
        let of = &engine.stage(at).name;
        let readers = engine.pipeline.stages.iter().enumerate().filter(|(_, stage)| {
            stage.inputs.iter().flat_map(|input| &input.from).any(|reference| reference.stage == *of)
        });
        let mut trees = readers.filter_map(|(reader, stage)| {
            let key = run.stages.get(&stage.name)?.key?;
            let target = keys::target(stage, engine.implementation(StageId(reader)));
            let found = engine.store.find(&key, &target, Accept::AnyTarget).ok()?.ok()?;
            let recipe = found.record.recipe?;
            let input = recipe.inputs.into_iter().find(|input| input.tree.tree == *digest)?;
            engine.store.objects.read_tree(&input.tree.object).ok()
        });
        Some(FileChanges::between(&trees.next()?, now))
    }
}

impl FileChanges {
    /// Whether no file differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }

    fn between(old: &Tree, new: &Tree) -> Self {
        let names = |tree: &Tree, keep: &dyn Fn(&str) -> bool| -> Vec<String> {
            tree.entries.keys().filter(|name| keep(name)).cloned().collect()
        };
        Self {
            changed: names(new, &|name| old.get(name).is_some_and(|entry| new.get(name) != Some(entry))),
            added: names(new, &|name| old.get(name).is_none()),
            removed: names(old, &|name| new.get(name).is_none()),
        }
    }
}
