//! What a job is made of: its order in the store, the copy of macula that it runs, its script, and the options of `sbatch`.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::context::RunContext;
use super::super::trust;
use super::client::job_name;
use crate::base::flock::{self, LockMode};
use crate::base::shell::quoted;
use crate::base::{Digest, disk};
use crate::lang::executor::{ExecutorSpec, JobResources};
use crate::plan::{StageId, Task, recipe};
use crate::sandbox::SandboxMode;
use crate::stage::{StageError, Work};
use crate::store::{Accept, Order, Store, StoreError};

/// Threads of a job for which nothing is said.
const THREADS: u64 = 4;

/// Shortest time limit that macula asks for by itself, minutes.
const LEAST_MINUTES: u64 = 10;

/// Memory of macula itself, in addition to what a stage was measured to hold, bytes.
const BASE_MEMORY: u64 = 512 << 20;

/// Seconds before the time limit at which a job is asked to stop.
const WARNING: u64 = 120;

/// The order of a stage; everything that it names is in the store. `known` is the copy of macula there, if this run made one.
///
/// # Errors
/// Those of the store; an untrusted command.
pub(in crate::run) fn order(
    shared: &RunContext,
    id: StageId,
    task: &Task,
    known: Option<Digest>,
) -> Result<Order, StageError> {
    let (engine, stage) = (shared.engine, shared.engine.stage(id));
    let work = engine.implementation(id).work;
    if let Work::Command { code, .. } = work {
        trust::check(engine, (&shared.trust, &shared.file), id, task, code)?;
    }
    let items = matches!(work, Work::Map { .. }).then(|| engine.of_items(id)).transpose()?;
    let order = Order {
        key: task.key,
        manifest: task.manifest.clone(),
        recipe: recipe::write(engine, id, task)?,
        pipeline: engine.pipeline.name.clone(),
        stage: stage.name.clone(),
        run: shared.run.clone(),
        file: shared.file.clone(),
        project: absolute(&shared.project),
        exact: engine.accept == Accept::OwnTarget,
        sandboxed: shared.sandbox == SandboxMode::Enforced,
        trusted: matches!(work, Work::Command { .. }),
        binary: known.map_or_else(|| binary(shared.host.executable.as_deref(), engine.store), Ok)?,
        items,
    };
    // The job reads the trees of its inputs, and where the photographs are.
    engine.store.objects.publish()?;
    engine.store.files.save();
    Ok(order)
}

/// Copies macula's binary into the store, unless it is there.
fn binary(executable: Option<&Path>, store: &Store) -> Result<Digest, StageError> {
    let own = PathBuf::from("/proc/self/exe");
    // Replaced by another version meanwhile, the name is no longer this one.
    let path = if own.exists() { own } else { executable.unwrap_or(Path::new("macula")).to_owned() };
    let bytes = std::fs::read(&path).map_err(StoreError::disk("read", &path))?;
    let digest = Digest::of(&bytes);
    let place = program(store, &digest);
    if place.metadata().is_ok_and(|facts| facts.len() == bytes.len() as u64) {
        return Ok(digest);
    }
    let folder = place.parent().unwrap_or(Path::new("."));
    disk::make_folder(folder).map_err(StoreError::disk("create", folder))?;
    // Renamed when it is complete and executable: another driver may be copying it, too.
    let part = folder.join(format!("part-{}", std::process::id()));
    let _ = std::fs::remove_file(&part);
    let copied = disk::write_once(&part, &bytes, 0o555).and_then(|()| std::fs::rename(&part, &place));
    copied.map_err(StoreError::disk("write", &place))?;
    Ok(digest)
}

/// A copy of macula in a store.
fn program(store: &Store, digest: &Digest) -> PathBuf {
    store.layout().binaries().join(digest.to_string()).join("macula")
}

/// Writes an order and its script. Only while no job of the key waits or runs: it would not find the order that it was
/// submitted for.
///
/// # Errors
/// Those of the disk.
pub(super) fn script(store: &Store, order: &Order) -> Result<PathBuf, StoreError> {
    let digest = order.write(store.layout())?;
    let root = absolute(store.layout().root());
    let program = absolute(&program(store, &order.binary));
    let text = format!(
        "#!/bin/sh\nexec {} job {} {} {digest}\n",
        quoted(&program.to_string_lossy()),
        quoted(&root.to_string_lossy()),
        order.key
    );
    let path = store.layout().job(&order.key).join("script");
    disk::write_lightly(&path, text.as_bytes()).map_err(StoreError::disk("write", &path))?;
    let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755));
    Ok(path)
}

/// The options of `sbatch` for a job.
pub(super) fn options(
    store: &Store,
    spec: &ExecutorSpec,
    order: &Order,
    resources: JobResources,
    script: &Path,
) -> Vec<String> {
    let folder = absolute(&store.layout().job(&order.key)).to_string_lossy().replace('%', "%%");
    let mut options = vec![
        "--parsable".to_owned(),
        format!("--job-name={}", job_name(&order.key)),
        format!("--output={folder}/%j.log"),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
        format!("--chdir={}", order.project.display()),
        format!("--comment={}", order.stage),
        format!("--cpus-per-task={}", resources.threads.unwrap_or(THREADS)),
    ];
    let mut named = |name: &str, value: Option<String>| {
        options.extend(value.map(|value| format!("--{name}={value}")));
    };
    named("partition", spec.partition.clone());
    named("account", spec.account.clone());
    named("qos", spec.qos.clone());
    named("mem", resources.memory.map(|bytes| format!("{}M", bytes.div_ceil(1 << 20))));
    named("gres", resources.gpus.filter(|gpus| *gpus > 0).map(|gpus| format!("gpu:{gpus}")));
    named("time", resources.minutes.map(|minutes| minutes.to_string()));
    // Without a known limit, that of the partition applies.
    let warning = resources.minutes.map_or(WARNING, |minutes| WARNING.min(minutes * 15));
    named("signal", Some(format!("B:USR1@{warning}")));
    options.extend(spec.options.iter().cloned());
    options.push(script.display().to_string());
    options
}

/// What the job of a stage asks for: what the user says, else what its last run needed and half as much memory, three
/// times the time.
pub(in crate::run) fn resources(shared: &RunContext, spec: &ExecutorSpec, id: StageId) -> JobResources {
    let (engine, stage) = (shared.engine, shared.engine.stage(id));
    let runs = &engine.store.runs;
    let memory = runs.memory_of(&engine.pipeline.name, &stage.name);
    let measured = JobResources {
        gpus: None,
        memory: memory.map(|bytes| bytes / 2 * 3 + BASE_MEMORY),
        minutes: last_seconds(shared, id).map(|seconds| ((seconds * 3.0 / 60.0).ceil() as u64).max(LEAST_MINUTES)),
        threads: None,
    };
    spec.resources_of(&stage.base_name).or(measured)
}

/// Seconds that a stage took when all of it was computed last, if that is known.
pub(in crate::run) fn last_seconds(shared: &RunContext, id: StageId) -> Option<f64> {
    let (engine, stage) = (shared.engine, shared.engine.stage(id));
    let last = engine.store.runs.last_of(&engine.pipeline.name, &stage.name);
    last.map(|(_, run)| run.full_seconds.max(run.last_seconds)).filter(|seconds| *seconds > 0.0)
}

/// The right to submit jobs for a key, which one driver has at a time; [`None`] if another one has it.
pub(super) fn lock(store: &Store, key: &Digest) -> Result<Option<File>, StoreError> {
    let folder = store.layout().job(key);
    disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
    let path = folder.join("submit");
    let file = flock::open(&path).map_err(StoreError::disk("write", &path))?;
    disk::share(&file, &path);
    for _ in 0..3 {
        match flock::lock(&file, LockMode::TryExclusive).map_err(StoreError::disk("lock", &path))? {
            flock::LockStatus::Busy => std::thread::sleep(Duration::from_millis(20)),
            flock::LockStatus::Held | flock::LockStatus::Unsupported => return Ok(Some(file)),
        }
    }
    Ok(None)
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}
