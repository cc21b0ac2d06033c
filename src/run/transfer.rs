//! Results of a pipeline to remotes and from them. What may go is decided here; how it goes is for the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{PlanError, Project, World, with_engine};
use crate::plan::{Decision, Engine, StageId, keys};
use crate::store::Accept;
use crate::store::remote::{Fault, Remote, Sent, Was, Way};

/// The types of outputs that hold neither a piece nor a name of a photograph.
const WITHOUT_PHOTOGRAPHS: [&str; 3] = ["model", "thresholds", "weights"];

/// What is told while files go or come.
pub trait Hear: Sync {
    /// Of a stage's result so many bytes went or came.
    fn bytes(&self, stage: &str, remote: &str, bytes: u64);
}

/// What became of one stage and one remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The stage.
    pub stage: String,
    /// The remote; none where none was asked.
    pub remote: Option<String>,
    /// What became of it.
    pub became: Became,
    /// Files that went, or would.
    pub files: usize,
    /// Bytes that went or came, or would.
    pub bytes: u64,
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It went, or came.
    Moved,
    /// It was there before.
    There,
    /// It was not computed yet, or no remote has it.
    Absent,
    /// It holds pieces or names of photographs, which the remote may not have.
    Withheld,
    /// It did not arrive.
    Failed,
}

/// Sends what the store has of a pipeline's results to a remote. Stages in order.
///
/// # Errors
/// [`PlanError`] where no plan can be made; [`Fault`] where the remote fails.
pub fn push(
    world: &World,
    project: &Project,
    targets: &[String],
    remote: &Remote,
    way: Way,
    hear: &dyn Hear,
) -> Result<Result<Vec<Moved>, Fault>, PlanError> {
    with_engine(world, project, targets, Accept::AnyClass, |engine, wanted| {
        let decisions = engine.plan(wanted);
        let mut moved = Vec::new();
        for id in engine.graph.order().iter().filter(|id| wanted.contains(id)) {
            let Some(decision) = decisions.get(id) else { continue };
            match sent(world, engine, *id, decision, remote, way, hear) {
                Ok(Some(one)) => moved.push(one),
                Ok(None) => {}
                Err(fault) => return Err(fault),
            }
        }
        project.store.files.save();
        Ok(moved)
    })
}

/// [`None`] for a source: what it finds stays where it is.
fn sent(
    world: &World,
    engine: &Engine,
    id: StageId,
    decision: &Decision,
    remote: &Remote,
    way: Way,
    hear: &dyn Hear,
) -> Result<Option<Moved>, Fault> {
    let stage = engine.stage(id);
    let moved = |became, files, bytes| {
        Ok(Some(Moved { stage: stage.name.clone(), remote: Some(remote.name.clone()), became, files, bytes }))
    };
    let known = match decision {
        Decision::Source(_) => return Ok(None),
        Decision::Reuse(known, reused) if reused.offer.is_none() => known,
        _ => return moved(Became::Absent, 0, 0),
    };
    if !remote.photographs && shows_photographs(engine, id) {
        return moved(Became::Withheld, 0, 0);
    }
    let Some(key) = known.key else { return Ok(None) };
    let class = keys::class(stage, engine.implementation(id));
    let Ok(found) = engine.store.find(&key, &class, engine.accept)? else { return moved(Became::Absent, 0, 0) };
    let go_on = |bytes: u64| {
        hear.bytes(&stage.name, &remote.name, bytes);
        !world.interrupted()
    };
    let Sent { was, files, bytes } = engine.store.send(remote, &found, way, &go_on)?;
    moved(if was == Was::There { Became::There } else { Became::Moved }, files, bytes)
}

/// Whether outputs of a stage may hold a piece or a name of a photograph: what a command makes may hold anything.
fn shows_photographs(engine: &Engine, id: StageId) -> bool {
    engine.stage(id).outputs.iter().any(|output| !WITHOUT_PHOTOGRAPHS.contains(&output.ty.as_str()))
}

/// Brings what remotes have of a pipeline's results and the store has not. Stages in order.
///
/// # Errors
/// [`PlanError`] where no plan can be made, or the store can't be written.
pub fn pull(
    world: &World,
    project: &Project,
    targets: &[String],
    accept: Accept,
    way: Way,
    hear: &dyn Hear,
) -> Result<Vec<Moved>, PlanError> {
    with_engine(world, project, targets, accept, |engine, wanted| {
        let decisions: BTreeMap<StageId, Decision> = engine.plan(wanted);
        project.store.files.save();
        let mut moved = Vec::new();
        for id in engine.graph.order().iter().filter(|id| wanted.contains(id)) {
            let Some(decision) = decisions.get(id) else { continue };
            moved.extend(brought(world, engine, *id, decision, way, hear)?);
        }
        Ok(moved)
    })?
}

fn brought(
    world: &World,
    engine: &Engine,
    id: StageId,
    decision: &Decision,
    way: Way,
    hear: &dyn Hear,
) -> Result<Option<Moved>, PlanError> {
    let stage = &engine.stage(id).name;
    let moved = |remote: Option<&str>, became, bytes| {
        Ok(Some(Moved { stage: stage.clone(), remote: remote.map(str::to_owned), became, files: 0, bytes }))
    };
    let offer = match decision {
        Decision::Source(_) => return Ok(None),
        Decision::Reuse(_, reused) => match &reused.offer {
            None => return moved(None, Became::There, 0),
            Some(offer) => Arc::clone(offer),
        },
        _ => return moved(None, Became::Absent, 0),
    };
    let bytes = offer.bytes();
    if way == Way::Dry {
        return moved(Some(offer.remote()), Became::Moved, bytes);
    }
    let go_on = |come: u64| {
        hear.bytes(stage, offer.remote(), come);
        !world.interrupted()
    };
    let became = if engine.store.bring(&offer, &go_on)?.is_some() { Became::Moved } else { Became::Failed };
    moved(Some(offer.remote()), became, bytes)
}
