//! The work of one stage: claim, compute, commit. Runs on its own thread; the computation itself runs in the pool.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::Span;
use tracing::field::Empty;

use super::context::{RunContext, guarded, panicked};
use super::events::{Event, StageProgress};
use super::map::{self, MapResults};
use super::status::resume_after_stop;
use crate::plan::{Cost, Reused, StageId, StageResult, Task, keys, recipe};
use crate::stage::{Ctx, Outcome, Params, Progress as _, StageError, Stop, Warning, Work};
use crate::store::{Artifact, Claim, ComputedItems, Lookup, Made, Record, StoreError, StoredTree, Tree};

/// What to do for a stage.
pub enum Job {
    /// Compute it.
    Compute(Box<Task>),
    /// Download its result from a remote.
    Download(Arc<StageResult>, Box<Reused>),
}

impl Job {
    /// The span of a stage in the log. What the job does fills in the rest.
    pub(super) fn span(&self, stage: &str) -> tracing::Span {
        let job = match self {
            Self::Compute(_) => "compute",
            Self::Download(..) => "download",
        };
        tracing::info_span!(target: "macula::stage", "stage", name = stage, job, items = Empty, bytes = Empty)
    }
}

/// How a job ended.
pub enum Ended {
    /// Computed; for a map stage with the number of items computed here, of how many.
    Computed(Arc<StageResult>, Option<ComputedItems>),
    /// Available: another process computed it meanwhile, or it was downloaded.
    Reused(Arc<StageResult>, Reused),
    /// Another process is computing it; returns the task.
    Busy(Box<Task>),
    /// The remote did not deliver the result.
    NotReceived,
    /// It was stopped; where the next attempt resumes, if it left something.
    Stopped(Option<String>),
    /// It failed.
    Failed(StageError),
}

/// Computes a stage, unless another process does or did.
pub fn run(shared: &RunContext, id: StageId, task: Box<Task>, stop: &Stop) -> Ended {
    verified(shared, id, attempt(shared, id, task, stop).unwrap_or_else(Ended::Failed))
}

/// Verifies what will be linked by name, wherever the result came from: a result computed just now may contain reused
/// items.
fn verified(shared: &RunContext, id: StageId, ended: Ended) -> Ended {
    let (Ended::Computed(known, _) | Ended::Reused(known, _)) = &ended else { return ended };
    verify_shown(shared, id, known).map_or_else(|error| Ended::Failed(error.into()), |()| ended)
}

/// Verifies the part of a stage's result that will be linked by name and is not yet, so that damage is repaired first.
///
/// # Errors
/// As [`results::verify`](super::results::verify).
pub fn verify_shown(shared: &RunContext, id: StageId, known: &StageResult) -> Result<(), StoreError> {
    let Some(folder) = &shared.results else { return Ok(()) };
    if known.key.is_none() {
        return Ok(());
    }
    shared.pool.install(|| super::results::verify(folder, shared.engine, id, known))
}

/// Downloads a stage's result.
pub fn download(shared: &RunContext, id: StageId, known: Arc<StageResult>, reused: Reused, stop: &Stop) -> Ended {
    let Some(hit) = &reused.remote_hit else { return Ended::Reused(known, reused) };
    let store = shared.engine.store;
    let all = hit.open_bytes(&store.objects) >> 10;
    let progress = StageProgress::new(&shared.engine.stage(id).name, shared.watch);
    let on_progress = |received: u64| {
        progress.step(received >> 10, all, "KiB");
        !stop.raised()
    };
    match store.download(hit, &on_progress) {
        Ok(Some(_)) => verified(shared, id, Ended::Reused(known, reused)),
        Ok(None) => Ended::NotReceived,
        Err(error) => Ended::Failed(error.into()),
    }
}

fn attempt(shared: &RunContext, id: StageId, task: Box<Task>, stop: &Stop) -> Result<Ended, StageError> {
    let engine = shared.engine;
    let target = keys::target(engine.stage(id), engine.implementation(id));
    let claim = match engine.store.lookup(&task.key, &target, engine.accept)? {
        Lookup::Hit(found) => {
            let (known, reused) = engine.reused(id, *found, task.manifest);
            return Ok(Ended::Reused(known, reused));
        }
        Lookup::Busy => return Ok(Ended::Busy(task)),
        Lookup::Miss(claim, _) => claim,
    };
    if !claim.excludes() && !shared.reported_no_locks.swap(true, Ordering::Relaxed) {
        let place = engine.store.layout().root().display();
        let text =
            format!("`{place}` is on a file system without locks: concurrent runs may compute the same result twice");
        let warning = Warning { code: "store-locks".into(), text };
        shared.watch.event(&Event::Warned { stage: engine.stage(id).name.clone(), warning });
    }
    let began = shared.host.nanoseconds();
    let clock = Instant::now();
    let Computed { outcome, items, of_items } = match compute(shared, id, &task, &claim.partial()?, stop) {
        Err(StageError::Stopped) => return Ok(Ended::Stopped(resume_after_stop(engine, id, &task))),
        other => other?,
    };
    let seconds = clock.elapsed().as_secs_f64();
    let full_seconds = match items {
        // Most of the work was done in an earlier run; only its record says how long that took.
        Some(ComputedItems { computed: 0, total: 1.. }) => {
            let last = engine.store.runs.last_of(&engine.pipeline.name, &engine.stage(id).name);
            last.map_or(0.0, |(_, last)| last.full_seconds).max(seconds)
        }
        Some(ComputedItems { computed: computed @ 1.., total }) => {
            seconds + of_items * (total as f64 / computed as f64 - 1.0)
        }
        _ => seconds,
    };
    check(shared, id, &outcome)?;
    let made = Made {
        pipeline: engine.pipeline.name.clone(),
        stage: engine.stage(id).name.clone(),
        run: shared.run.clone(),
        began,
        seconds,
        full_seconds,
        macula: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let target = outcome.target.clone().unwrap_or(target);
    let known = commit(shared, id, claim, &task, outcome, target, made)?;
    Ok(Ended::Computed(known, items))
}

/// What a stage's work produced.
struct Computed {
    outcome: Outcome,
    /// Number of items of a map stage computed here, of how many.
    items: Option<ComputedItems>,
    /// Time for the items, seconds.
    of_items: f64,
}

impl From<Outcome> for Computed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, items: None, of_items: 0.0 }
    }
}

fn compute(shared: &RunContext, id: StageId, task: &Task, partial: &Path, stop: &Stop) -> Result<Computed, StageError> {
    let stage = shared.engine.stage(id);
    let params = crate::plan::decision::params(stage);
    let progress = StageProgress::new(&stage.name, shared.watch);
    let ctx = Ctx { stop, ..context(shared, id, task, &params, partial, &progress) };
    match shared.engine.implementation(id).work {
        Work::Whole(work) | Work::Report(work) => Ok(guarded(shared, || work(&ctx))?.into()),
        Work::Command { run, code } => {
            super::trust::check(shared.engine, (&shared.trust, &shared.file), id, task, code)?;
            // Not in the pool: the command's own threads do the work while this one waits.
            let commands = super::commands::RunCommands {
                host: shared.host,
                stop,
                sandbox: shared.sandbox,
                project: &shared.project,
                logs: shared.engine.store.runs.folder(&shared.run).join("logs"),
                stage: stage.name.clone(),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&ctx, &commands)));
            Ok(outcome.unwrap_or_else(|panic| Err(panicked(&*panic)))?.into())
        }
        Work::Map { one, gather, .. } => {
            let clock = Instant::now();
            let MapResults { items: results, computed, target } = map::run(shared, id, task, &ctx, one)?;
            Span::current().record("items", computed);
            let of_items = clock.elapsed().as_secs_f64();
            let mut outcome = guarded(shared, || gather(&ctx, &results))?;
            // A result is as reproducible as its least reproducible item.
            outcome.target = outcome.target.or(target);
            Ok(Computed { outcome, items: Some(ComputedItems { computed, total: results.len() as u64 }), of_items })
        }
        Work::Source(_) => Err(StageError::Bug("a source has no job".into())),
    }
}

fn context<'a>(
    shared: &'a RunContext,
    id: StageId,
    task: &'a Task,
    params: &'a Params,
    partial: &'a Path,
    progress: &'a StageProgress,
) -> Ctx<'a> {
    Ctx {
        params,
        inputs: &task.inputs,
        streams: shared.engine.streams(id),
        objects: &shared.engine.store.objects,
        partial,
        progress,
        stop: &shared.host.stop,
    }
}

/// Checks that an outcome has exactly the ports of the signature and only objects of the store.
fn check(shared: &RunContext, id: StageId, outcome: &Outcome) -> Result<(), StageError> {
    let stage = shared.engine.stage(id);
    let made: Vec<&String> = outcome.outputs.keys().collect();
    let mut expected: Vec<&String> = stage.outputs.iter().map(|output| &output.port).collect();
    expected.sort();
    if made != expected {
        return Err(StageError::Bug(format!("`{}` made the outputs {made:?}, not {expected:?}", stage.stage_type)));
    }
    for tree in outcome.outputs.values() {
        if let Some((name, entry)) = shared.engine.store.objects.first_missing(tree) {
            // Another stage may have found an object that this one passes on damaged meanwhile; its repair is under
            // way.
            if shared.engine.store.objects.damaged().contains(&entry.digest) {
                return Err(StoreError::Missing { digest: entry.digest }.into());
            }
            return Err(StageError::Bug(format!("`{}` names `{name}`, which is not in the store", stage.stage_type)));
        }
    }
    Ok(())
}

fn commit(
    shared: &RunContext,
    id: StageId,
    claim: Claim,
    task: &Task,
    outcome: Outcome,
    target: String,
    made: Made,
) -> Result<Arc<StageResult>, StageError> {
    let objects = &shared.engine.store.objects;
    let span = Span::current();
    if !span.is_disabled() {
        span.record("bytes", outcome.outputs.values().map(Tree::size).sum::<u64>());
    }
    let mut outputs = BTreeMap::new();
    for (port, tree) in &outcome.outputs {
        outputs.insert(port.clone(), StoredTree { tree: tree.digest(), object: objects.put_tree(tree)? });
    }
    let summary = serde_json::to_value(&outcome.summary).map_err(|error| StageError::Bug(error.to_string()))?;
    let cost = Cost { last_seconds: made.seconds, full_seconds: made.seconds_to_recompute() };
    let record_target = target.clone();
    let recipe = Some(recipe::write(shared.engine, id, task)?);
    let record = Record { key: task.key, target, outputs, summary, manifest: task.manifest.clone(), made, recipe };
    claim.commit(objects, &record)?;
    let made = |(port, tree): (String, Tree)| {
        let artifact = match record.outputs.get(&port) {
            Some(stored) => Artifact::made(stored, tree),
            None => tree.into(),
        };
        (port, artifact)
    };
    Ok(Arc::new(StageResult {
        outputs: outcome.outputs.into_iter().map(made).collect(),
        summary: outcome.summary,
        manifest: task.manifest.clone(),
        key: Some(task.key),
        target: record_target,
        cost,
    }))
}
