//! Pushes and pulls a pipeline's results. Decides what may be transferred; the store does the transfer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Host, PlanError, Project, with_engine};
use crate::lang::port_types::may_show_photographs;
use crate::plan::{Decision, Engine, StageId, keys};
use crate::store::Accept;
use crate::store::remote::{Fault, Remote, TransferMode, Uploaded, Was};

/// Receives progress during transfers.
pub trait Hear: Sync {
    /// So many bytes of a stage's result were transferred.
    fn bytes(&self, stage: &str, remote: &str, bytes: u64);
}

/// Outcome for one stage and one remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The stage.
    pub stage: String,
    /// The remote; [`None`] if none was asked.
    pub remote: Option<String>,
    /// The outcome.
    pub became: Became,
    /// Number of files uploaded, or that would be.
    pub files: usize,
    /// Bytes transferred, or that would be.
    pub bytes: u64,
}

/// Outcome of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Transferred.
    Moved,
    /// Already on the other side.
    There,
    /// Not computed yet, or on no remote.
    Absent,
    /// Not pushed: it may contain image data or file names, which the remote may not have.
    Withheld,
    /// The download failed.
    Failed,
}

/// Pushes a pipeline's results from the store to a remote, in the order of stages.
///
/// # Errors
/// [`PlanError`] if no plan is possible; [`Fault`] if the remote fails.
pub fn push(
    host: &Host,
    project: &Project,
    targets: &[String],
    remote: &Remote,
    mode: TransferMode,
    hear: &dyn Hear,
) -> Result<Result<Vec<Moved>, Fault>, PlanError> {
    with_engine(host, project, targets, Accept::AnyTarget, |engine, wanted| {
        let decisions = engine.plan(wanted);
        let mut moved = Vec::new();
        for id in engine.graph.order().iter().filter(|id| wanted.contains(id)) {
            let Some(decision) = decisions.get(id) else { continue };
            match sent(host, engine, *id, decision, remote, mode, hear) {
                Ok(Some(one)) => moved.push(one),
                Ok(None) => {}
                Err(fault) => return Err(fault),
            }
        }
        project.store.files.save();
        Ok(moved)
    })
}

/// [`None`] for a source, whose files are not pushed.
fn sent(
    host: &Host,
    engine: &Engine,
    id: StageId,
    decision: &Decision,
    remote: &Remote,
    mode: TransferMode,
    hear: &dyn Hear,
) -> Result<Option<Moved>, Fault> {
    let stage = engine.stage(id);
    let moved = |became, files, bytes| {
        Ok(Some(Moved { stage: stage.name.clone(), remote: Some(remote.name.clone()), became, files, bytes }))
    };
    let known = match decision {
        Decision::Source(_) => return Ok(None),
        Decision::Reuse(known, reused) if reused.remote_hit.is_none() => known,
        _ => return moved(Became::Absent, 0, 0),
    };
    if !remote.photographs && shows_photographs(engine, id) {
        return moved(Became::Withheld, 0, 0);
    }
    let Some(key) = known.key else { return Ok(None) };
    let target = keys::target(stage, engine.implementation(id));
    let Ok(found) = engine.store.find(&key, &target, engine.accept)? else { return moved(Became::Absent, 0, 0) };
    let on_progress = |bytes: u64| {
        hear.bytes(&stage.name, &remote.name, bytes);
        !host.interrupted()
    };
    let Uploaded { was, files, bytes } = engine.store.upload(remote, &found, mode, &on_progress)?;
    moved(if was == Was::There { Became::There } else { Became::Moved }, files, bytes)
}

/// Whether outputs of a stage may contain image data or file names: a command's output may contain anything.
fn shows_photographs(engine: &Engine, id: StageId) -> bool {
    engine.stage(id).outputs.iter().any(|output| may_show_photographs(&output.ty))
}

/// Pulls a pipeline's results that the store lacks, in the order of stages.
///
/// # Errors
/// [`PlanError`] if no plan is possible, or the store is not writable.
pub fn pull(
    host: &Host,
    project: &Project,
    targets: &[String],
    accept: Accept,
    mode: TransferMode,
    hear: &dyn Hear,
) -> Result<Vec<Moved>, PlanError> {
    with_engine(host, project, targets, accept, |engine, wanted| {
        let decisions: BTreeMap<StageId, Decision> = engine.plan(wanted);
        project.store.files.save();
        let mut moved = Vec::new();
        for id in engine.graph.order().iter().filter(|id| wanted.contains(id)) {
            let Some(decision) = decisions.get(id) else { continue };
            moved.extend(download(host, engine, *id, decision, mode, hear)?);
        }
        Ok(moved)
    })?
}

fn download(
    host: &Host,
    engine: &Engine,
    id: StageId,
    decision: &Decision,
    mode: TransferMode,
    hear: &dyn Hear,
) -> Result<Option<Moved>, PlanError> {
    let stage = &engine.stage(id).name;
    let moved = |remote: Option<&str>, became, bytes| {
        Ok(Some(Moved { stage: stage.clone(), remote: remote.map(str::to_owned), became, files: 0, bytes }))
    };
    let hit = match decision {
        Decision::Source(_) => return Ok(None),
        Decision::Reuse(_, reused) => match &reused.remote_hit {
            None => return moved(None, Became::There, 0),
            Some(hit) => Arc::clone(hit),
        },
        _ => return moved(None, Became::Absent, 0),
    };
    let bytes = hit.bytes();
    if mode == TransferMode::DryRun {
        return moved(Some(hit.remote()), Became::Moved, bytes);
    }
    let on_progress = |received: u64| {
        hear.bytes(stage, hit.remote(), received);
        !host.interrupted()
    };
    let became = if engine.store.download(&hit, &on_progress)?.is_some() { Became::Moved } else { Became::Failed };
    moved(Some(hit.remote()), became, bytes)
}
