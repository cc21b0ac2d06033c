//! Records of trainings and evaluations in the formats of other dashboards (`TensorBoard`, `MLflow`, Weights & Biases), written from the
//! events of a run. They describe results, and are never read as results. Knows no stage and no terminal.

mod describe;
pub mod mlflow;
mod names;
pub mod tensorboard;
pub mod wandb;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use self::describe::Describer;
pub use self::describe::{ParamText, SweepPoints, TrackedStage};
use self::mlflow::MlflowStore;
use self::tensorboard::TensorBoardLogs;
use self::wandb::WandbRuns;
use crate::base::{Digest, sync};
use crate::lang::spec::Pipeline;
use crate::learn::epochs::{self, RecordedEpoch};
use crate::run::{Event, Host, Watch};
use crate::stage::{Summary, Warning};
use crate::store::{Accept, EVERYWHERE, Found, Store};

/// Files of a result that are copied as artifacts. None of them names a photograph: dashboards are shared more widely than stores.
const ARTIFACTS: [&str; 3] = ["model.json", "scores.json", "thresholds.json"];

/// Largest file that is copied, bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Folders to write to; [`None`] for what is not wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingFolders {
    /// For `TensorBoard`'s event files.
    pub tensorboard: Option<PathBuf>,
    /// For an `MLflow` file store.
    pub mlflow: Option<PathBuf>,
    /// For offline runs of Weights & Biases.
    pub wandb: Option<PathBuf>,
}

/// Metrics of an epoch, and when it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimedEpoch {
    /// Milliseconds since 1970.
    pub time: u64,
    /// The epoch and its metrics, as in a `metrics` event.
    pub recorded: RecordedEpoch,
}

impl TimedEpoch {
    /// The metrics that are defined.
    pub(crate) fn defined(&self) -> impl Iterator<Item = (&String, f64)> {
        self.recorded.values.iter().filter_map(|(name, value)| Some((name, (*value)?)))
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackedOutcome {
    /// It has a result, computed now or earlier.
    Finished,
    /// It failed.
    Failed,
    /// It was stopped; the next run resumes it.
    Stopped,
}

/// What is known of a stage at its end.
#[derive(Clone, Debug)]
pub struct TrackedEnd {
    /// How it ended.
    pub outcome: TrackedOutcome,
    /// When: milliseconds since 1970.
    pub time: u64,
    /// All epochs of its result, in order; the times of those that ended in earlier runs are estimated.
    pub epochs: Vec<TimedEpoch>,
    /// The metrics of its summary.
    pub metrics: BTreeMap<String, f64>,
    /// Small files of its result, by path.
    pub files: Vec<(String, Vec<u8>)>,
}

impl TrackedEnd {
    /// The last epoch; 0 if it has none.
    pub(crate) fn last_epoch(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.recorded.epoch)
    }
}

/// A format. Whatever a process wrote earlier about the same stage with the same key is continued, never written twice.
pub(crate) trait Tracker: Send {
    /// The dashboard's name.
    fn name(&self) -> &'static str;
    /// Opens the record of a stage that started at `time` (milliseconds since 1970).
    fn begin(&mut self, stage: &TrackedStage, time: u64) -> io::Result<()>;
    /// Adds an epoch, unless it is there.
    fn epoch(&mut self, stage: &TrackedStage, epoch: &TimedEpoch) -> io::Result<()>;
    /// Completes the record of a stage.
    fn end(&mut self, stage: &TrackedStage, end: &TrackedEnd) -> io::Result<()>;
}

/// Watcher that records trainings and evaluations, and passes all events on.
pub struct Tracking<'a> {
    host: &'a Host,
    store: &'a Store,
    describer: Describer<'a>,
    state: Mutex<TrackingState>,
    next: Box<dyn Watch + 'a>,
}

struct TrackingState {
    run: String,
    trackers: Vec<Box<dyn Tracker>>,
    /// Stages that started.
    started: BTreeMap<String, StartedStage>,
}

/// A stage that started in this run.
struct StartedStage {
    key: Digest,
    /// Milliseconds since 1970.
    time: u64,
    /// Its description, once a tracker has it.
    tracked: Option<TrackedStage>,
}

impl<'a> Tracking<'a> {
    /// Watcher that writes into `folders`, which are created.
    ///
    /// # Errors
    /// The folder that cannot be written, and why.
    pub fn new(
        host: &'a Host,
        store: &'a Store,
        (pipeline, sweep): (&'a Pipeline, Option<SweepPoints<'a>>),
        folders: &TrackingFolders,
        next: Box<dyn Watch + 'a>,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let mut trackers: Vec<Box<dyn Tracker>> = Vec::new();
        let TrackingFolders { tensorboard, mlflow, wandb } = folders;
        if let Some(folder) = tensorboard {
            let logs = TensorBoardLogs::open(folder, &pipeline.name).map_err(|error| (folder.clone(), error))?;
            trackers.push(Box::new(logs));
        }
        if let Some(folder) = mlflow {
            let time = host.nanoseconds() / 1_000_000;
            let store = MlflowStore::open(folder, &pipeline.name, time).map_err(|error| (folder.clone(), error))?;
            trackers.push(Box::new(store));
        }
        if let Some(folder) = wandb {
            let runs = WandbRuns::open(folder, &pipeline.name).map_err(|error| (folder.clone(), error))?;
            trackers.push(Box::new(runs));
        }
        let state = TrackingState { run: String::new(), trackers, started: BTreeMap::new() };
        Ok(Self { host, store, describer: Describer::new(pipeline, sweep), state: Mutex::new(state), next })
    }

    fn take(&self, event: &Event) {
        let now = self.host.nanoseconds() / 1_000_000;
        let mut state = sync::lock(&self.state);
        match event {
            Event::RunBegan { run, .. } => state.run.clone_from(run),
            Event::StageBegan { stage, key, .. } => {
                state.started.insert(stage.clone(), StartedStage { key: *key, time: now, tracked: None });
            }
            Event::Metrics { stage, metrics } => {
                let recorded = RecordedEpoch { epoch: metrics.epoch, values: metrics.values.clone() };
                let epoch = TimedEpoch { time: now, recorded };
                let tracked = self.begun(&mut state, stage);
                if let Some(tracked) = tracked {
                    self.each(&mut state, stage, |tracker| tracker.epoch(&tracked, &epoch));
                }
            }
            Event::StageEnded { stage, key: Some(key), summary, .. } => {
                self.ended(&mut state, stage, *key, summary, now);
            }
            Event::StageFailed { stage, stopped, .. } => {
                let Some(tracked) = state.started.remove(stage).and_then(|started| started.tracked) else { return };
                let outcome = if *stopped { TrackedOutcome::Stopped } else { TrackedOutcome::Failed };
                let (epochs, metrics, files) = (Vec::new(), BTreeMap::new(), Vec::new());
                let end = TrackedEnd { outcome, time: now, epochs, metrics, files };
                self.each(&mut state, stage, |tracker| tracker.end(&tracked, &end));
            }
            _ => {}
        }
    }

    /// The description of a started stage, with which all trackers have begun.
    fn begun(&self, state: &mut TrackingState, stage: &str) -> Option<TrackedStage> {
        let started = state.started.get(stage)?;
        if let Some(tracked) = &started.tracked {
            return Some(tracked.clone());
        }
        let tracked = self.describer.describe(stage, started.key, &state.run)?;
        let time = started.time;
        self.each(state, stage, |tracker| tracker.begin(&tracked, time));
        state.started.get_mut(stage)?.tracked = Some(tracked.clone());
        Some(tracked)
    }

    /// Completes the record of a stage with a result, from the result itself.
    fn ended(&self, state: &mut TrackingState, stage: &str, key: Digest, summary: &Summary, now: u64) {
        let found = self.store.find(&key, EVERYWHERE, Accept::AnyTarget);
        let Ok(Ok(Found { record, outputs })) = found else { return };
        let (began, took) = (record.made.began / 1_000_000, (record.made.seconds * 1e3).max(0.0) as u64);
        let mut epochs = Vec::new();
        let mut files = Vec::new();
        let several = outputs.len() > 1;
        for (port, artifact) in &outputs {
            let Ok(tree) = artifact.tree(&self.store.objects) else { continue };
            let read = |name: &str| self.store.objects.read_in(tree, name).ok().flatten();
            if let Some(table) = read(epochs::FILE) {
                epochs = epochs::recorded(&table).unwrap_or_default();
            }
            let small = |name: &&str| tree.get(name).is_some_and(|entry| entry.size <= LARGEST_FILE);
            if summary.metrics.is_empty() {
                continue;
            }
            for name in ARTIFACTS.into_iter().filter(small) {
                let path = if several { format!("{port}/{name}") } else { name.to_owned() };
                files.extend(read(name).map(|bytes| (path, bytes.to_vec())));
            }
        }
        if epochs.is_empty() && summary.metrics.is_empty() {
            state.started.remove(stage);
            return;
        }
        let count = epochs.len().max(1) as u64;
        let timed = (1..).zip(epochs).map(|(at, recorded)| TimedEpoch { time: began + took * at / count, recorded });
        let started = state.started.remove(stage);
        let computed = started.is_some();
        let tracked = if let Some(tracked) = started.and_then(|started| started.tracked) {
            tracked
        } else {
            // The run that computed it, which may be an earlier one.
            let Some(tracked) = self.describer.describe(stage, key, &record.made.run) else { return };
            self.each(state, stage, |tracker| tracker.begin(&tracked, began));
            tracked
        };
        let end = TrackedEnd {
            outcome: TrackedOutcome::Finished,
            time: if computed { now } else { began + took },
            epochs: timed.collect(),
            metrics: summary.metrics.clone(),
            files,
        };
        self.each(state, stage, |tracker| tracker.end(&tracked, &end));
    }

    /// Lets each tracker write. One that cannot is given up with a warning: the run goes on.
    fn each(&self, state: &mut TrackingState, stage: &str, mut write: impl FnMut(&mut dyn Tracker) -> io::Result<()>) {
        state.trackers.retain_mut(|tracker| {
            let Err(error) = write(&mut **tracker) else { return true };
            let text = format!("nothing more is written for {}: {error}", tracker.name());
            let warning = Warning { code: "tracking".to_owned(), text };
            self.next.event(&Event::Warned { stage: stage.to_owned(), warning });
            false
        });
    }
}

impl Watch for Tracking<'_> {
    fn event(&self, event: &Event) {
        self.take(event);
        self.next.event(event);
    }
}

#[cfg(test)]
mod tests;
