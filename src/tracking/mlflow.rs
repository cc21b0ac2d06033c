//! An `MLflow` file store: the pipeline is an experiment, each training and evaluation a run, whose id follows from its key. `MLflow` keeps
//! this layout for reading and migration; a database of its own would only be readable by the version of `MLflow` that it was made for.

mod yaml;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::yaml::{mapping, quoted, replaced, value};
use super::names::file_name;
use super::{TimedEpoch, TrackedEnd, TrackedOutcome, TrackedStage, Tracker};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};

/// Description of an experiment or a run.
const META: &str = "meta.yaml";

/// Folder of deleted experiments.
const TRASH: &str = ".trash";

/// The experiment that `MLflow` itself makes in a new store.
const DEFAULT: &str = "0";

/// File whose lock is held while a process writes a run; no other program reads it.
const LOCK: &str = ".macula.lock";

/// Characters that `MLflow` allows in names of metrics and parameters, besides letters and digits.
const ALSO: &str = "-_. ";

/// Longest value of a parameter, characters.
const LONGEST_VALUE: usize = 6000;

/// Characters that stay as they are in a file's address.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `MLflow`'s numbers of statuses.
const RUNNING: u8 = 1;
const FINISHED: u8 = 3;
const FAILED: u8 = 4;
const KILLED: u8 = 5;

/// The experiment of a pipeline.
pub(super) struct MlflowStore {
    folder: PathBuf,
    experiment: String,
    /// Runs of stages; [`None`] for one that another process writes, or that was deleted in `MLflow`.
    open: BTreeMap<String, Option<MlflowRun>>,
}

/// Run of one stage.
struct MlflowRun {
    folder: PathBuf,
    #[expect(dead_code, reason = "its lock lasts as long as it is open")]
    lock: File,
    /// The last step of each metric, once it was read.
    steps: BTreeMap<String, Option<i64>>,
}

impl MlflowStore {
    /// The store in `folder`, which is created, and the pipeline's experiment in it.
    pub(super) fn open(folder: &Path, pipeline: &str, time: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        if fs::read_dir(&folder)?.next().is_none() {
            experiment(&folder, DEFAULT, "Default", time)?;
        }
        let id = if let Some(id) = named(&folder, pipeline)? {
            id
        } else {
            let digest = Digest::of(format!("macula mlflow experiment {pipeline}").as_bytes()).to_string();
            // MLflow's own ids have 18 digits, too.
            let number = u64::from_str_radix(&digest[..15], 16).unwrap_or(1) % 900_000_000_000_000_000;
            let id = (100_000_000_000_000_000 + number).to_string();
            if folder.join(TRASH).join(&id).exists() {
                let text = format!(
                    "the experiment `{pipeline}` was deleted in MLflow; restore it, or remove it from `{TRASH}`"
                );
                return Err(io::Error::other(text));
            }
            experiment(&folder, &id, pipeline, time)?;
            id
        };
        Ok(Self { folder: folder.join(&id), experiment: id, open: BTreeMap::new() })
    }

    /// The run of a stage: its id follows from pipeline, name and key, so that it is found again.
    fn run(&self, stage: &TrackedStage, time: u64) -> io::Result<Option<MlflowRun>> {
        let id = stage.identity().to_string()[..32].to_owned();
        let folder = self.folder.join(&id);
        for part in ["metrics", "params", "tags", "artifacts"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let lock = flock::open(&folder.join(LOCK))?;
        if flock::lock(&lock, LockMode::TryExclusive)? == LockStatus::Busy {
            return Ok(None);
        }
        let meta = folder.join(META);
        match fs::read_to_string(&meta) {
            Ok(text) if value(&text, "lifecycle_stage").as_deref() == Some("deleted") => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {
                let fields = [
                    ("artifact_uri", quoted(&address(&folder.join("artifacts")))),
                    ("end_time", "null".to_owned()),
                    ("entry_point_name", "''".to_owned()),
                    ("experiment_id", quoted(&self.experiment)),
                    ("lifecycle_stage", "active".to_owned()),
                    ("run_id", quoted(&id)),
                    ("run_name", quoted(&stage.name)),
                    ("run_uuid", quoted(&id)),
                    ("source_name", "''".to_owned()),
                    ("source_type", "4".to_owned()),
                    ("source_version", "''".to_owned()),
                    ("start_time", time.to_string()),
                    ("status", RUNNING.to_string()),
                    ("tags", "[]".to_owned()),
                    ("user_id", "''".to_owned()),
                ];
                disk::write_lightly(&meta, mapping(&fields).as_bytes())?;
            }
        }
        for (name, text) in tags(stage) {
            add(&folder.join("tags").join(name), &text)?;
        }
        for (name, param) in &stage.params {
            let text: String = param.text().chars().take(LONGEST_VALUE).collect();
            add(&folder.join("params").join(file_name(name, ALSO)), &text)?;
        }
        Ok(Some(MlflowRun { folder, lock, steps: BTreeMap::new() }))
    }
}

/// What a run's tags say.
fn tags(stage: &TrackedStage) -> Vec<(&'static str, String)> {
    let mut tags = vec![
        ("mlflow.runName", stage.name.clone()),
        ("mlflow.source.name", "macula".to_owned()),
        ("mlflow.source.type", "LOCAL".to_owned()),
        ("macula.pipeline", stage.pipeline.clone()),
        ("macula.stage", stage.name.clone()),
        ("macula.stage-type", stage.stage_type.clone()),
        ("macula.key", stage.key.to_string()),
        ("macula.run", stage.run.clone()),
    ];
    tags.extend(stage.point.clone().map(|point| ("macula.point", point)));
    tags
}

/// Writes a file, unless it is there: tags and parameters may have been edited in `MLflow`.
fn add(path: &Path, text: &str) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    disk::write_lightly(path, text.as_bytes())
}

/// Writes an experiment.
fn experiment(store: &Path, id: &str, name: &str, time: u64) -> io::Result<()> {
    let folder = store.join(id);
    fs::create_dir_all(&folder)?;
    let fields = [
        ("artifact_location", quoted(&address(&folder))),
        ("creation_time", time.to_string()),
        ("experiment_id", quoted(id)),
        ("last_update_time", time.to_string()),
        ("lifecycle_stage", "active".to_owned()),
        ("name", quoted(name)),
    ];
    disk::write_lightly(&folder.join(META), mapping(&fields).as_bytes())
}

/// The active experiment of this name.
fn named(store: &Path, name: &str) -> io::Result<Option<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        let Ok(meta) = fs::read_to_string(entry.path().join(META)) else { continue };
        let active = value(&meta, "lifecycle_stage").is_none_or(|stage| stage == "active");
        if active && value(&meta, "name").as_deref() == Some(name) {
            found.extend(entry.file_name().into_string());
        }
    }
    found.sort();
    Ok(found.into_iter().next())
}

/// The address of a folder.
fn address(folder: &Path) -> String {
    format!("file://{}", utf8_percent_encode(&folder.to_string_lossy(), IN_PATH))
}

impl MlflowRun {
    /// Appends a value, unless the metric has one of this step or a later one.
    fn metric(&mut self, name: &str, value: f64, step: i64, time: u64) -> io::Result<()> {
        let path = self.folder.join("metrics").join(file_name(name, ALSO));
        let last = match self.steps.get(name) {
            Some(last) => *last,
            None => last_step(&path)?,
        };
        if last.is_some_and(|last| last >= step) {
            self.steps.insert(name.to_owned(), last);
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{time} {value:?} {step}\n").as_bytes())?;
        self.steps.insert(name.to_owned(), Some(step));
        Ok(())
    }

    fn epoch(&mut self, epoch: &TimedEpoch) -> io::Result<()> {
        for (name, value) in epoch.defined() {
            self.metric(name, value, epoch.recorded.epoch as i64, epoch.time)?;
        }
        Ok(())
    }

    /// Adds the epochs that are missing, those before others too.
    fn complete(&mut self, epochs: &[TimedEpoch]) -> io::Result<()> {
        let mut by_metric: BTreeMap<&str, Vec<(i64, f64, u64)>> = BTreeMap::new();
        for epoch in epochs {
            for (name, value) in epoch.defined() {
                by_metric.entry(name).or_default().push((epoch.recorded.epoch as i64, value, epoch.time));
            }
        }
        for (name, values) in by_metric {
            let path = self.folder.join("metrics").join(file_name(name, ALSO));
            last_step(&path)?;
            let mut lines: BTreeMap<i64, String> = BTreeMap::new();
            for line in fs::read_to_string(&path).unwrap_or_default().lines() {
                lines.extend(step(line).map(|step| (step, line.to_owned())));
            }
            if values.iter().all(|(step, ..)| lines.contains_key(step)) {
                continue;
            }
            for (step, value, time) in values {
                lines.entry(step).or_insert_with(|| format!("{time} {value:?} {step}"));
            }
            let text: String = lines.into_values().map(|line| line + "\n").collect();
            disk::write_lightly(&path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Changes the status, and when the run ended.
    fn status(&self, status: u8, ended: Option<u64>) -> io::Result<()> {
        let path = self.folder.join(META);
        let text = fs::read_to_string(&path)?;
        let ended = ended.map_or("null".to_owned(), |time| time.to_string());
        let new = replaced(&text, &[("status", status.to_string()), ("end_time", ended)]);
        if new == text { Ok(()) } else { disk::write_lightly(&path, new.as_bytes()) }
    }
}

/// The last step of a metric's file, from whose end a line that a killed process left incomplete is removed.
fn last_step(path: &Path) -> io::Result<Option<i64>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
    }
    Ok(String::from_utf8_lossy(&bytes[..whole]).lines().filter_map(step).max())
}

/// The step of a line `TIME VALUE STEP`.
fn step(line: &str) -> Option<i64> {
    let mut parts = line.split(' ');
    let step = parts.nth(2)?.parse().ok()?;
    parts.next().is_none().then_some(step)
}

impl Tracker for MlflowStore {
    fn name(&self) -> &'static str {
        "MLflow"
    }

    fn begin(&mut self, stage: &TrackedStage, time: u64) -> io::Result<()> {
        let run = self.run(stage, time)?;
        self.open.insert(stage.name.clone(), run);
        Ok(())
    }

    fn epoch(&mut self, stage: &TrackedStage, epoch: &TimedEpoch) -> io::Result<()> {
        let Some(Some(run)) = self.open.get_mut(&stage.name) else { return Ok(()) };
        if run.steps.is_empty() {
            // It may have been stopped, and continues.
            run.status(RUNNING, None)?;
        }
        run.epoch(epoch)
    }

    fn end(&mut self, stage: &TrackedStage, end: &TrackedEnd) -> io::Result<()> {
        let Some(Some(mut run)) = self.open.remove(&stage.name) else { return Ok(()) };
        let status = match end.outcome {
            TrackedOutcome::Finished => FINISHED,
            TrackedOutcome::Failed => FAILED,
            TrackedOutcome::Stopped => KILLED,
        };
        run.complete(&end.epochs)?;
        let step = end.last_epoch() as i64;
        for (name, value) in end.metrics.iter().filter(|(_, value)| value.is_finite()) {
            run.metric(name, *value, step, end.time)?;
        }
        for (path, bytes) in &end.files {
            let path = path.split('/').map(|part| file_name(part, ALSO)).collect::<PathBuf>();
            let path = run.folder.join("artifacts").join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            if fs::read(&path).ok().as_deref() != Some(bytes) {
                disk::write_lightly(&path, bytes)?;
            }
        }
        run.status(status, Some(end.time))
    }
}
