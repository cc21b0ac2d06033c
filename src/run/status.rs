//! Runs of other processes, as their folders record them, and where an interrupted stage resumes. Writes only the file of progress in
//! the run's own folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Digest;
use crate::base::disk;
use crate::base::figure::counted;
use crate::base::flock::{self, LockMode, LockStatus};
use crate::plan::{Engine, StageId, Task};
use crate::stage::{Metrics, resume_note};
use crate::store::{RunRecord, StageOutcome, Store};

/// File of events in a run's folder; the run's process holds a lock on it until it ends.
pub(super) const EVENTS: &str = "events.jsonl";

/// File in a run's folder with the progress of its running stages.
pub(super) const PROGRESS: &str = "progress.json";

/// Shortest time between two writes of it.
const PAUSE: Duration = Duration::from_secs(1);

/// How many of the newest runs that have not ended are examined; the others were killed.
const RUNS: usize = 20;

/// Progress of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Units done.
    pub done: u64,
    /// Units in all; 0 if unknown.
    pub total: u64,
    /// What is counted.
    pub unit: String,
    /// Current state in a few words.
    #[serde(default)]
    pub now: String,
}

/// Stage that another process is running.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// The run.
    pub run: String,
    /// The stage.
    pub stage: String,
    /// Key of the result that it computes; [`None`] if an older macula runs it.
    pub key: Option<Digest>,
    /// Its progress, if it has reported any.
    pub steps: Option<Steps>,
    /// Metrics after its last epoch.
    pub metrics: Option<Metrics>,
}

/// Run that another process is executing.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRun {
    /// Its id.
    pub run: String,
    /// When it started: nanoseconds since 1970, UTC.
    pub began: u64,
    /// Its running stages.
    pub stages: Vec<Activity>,
}

/// Runs of a pipeline that other processes are executing, the newest first.
#[must_use]
pub fn live(store: &Store, pipeline: &str) -> Vec<LiveRun> {
    store.runs.open(pipeline).take(RUNS).filter_map(|record| of_run(store, &record)).collect()
}

/// Running stages of a run; [`None`] if its process has ended.
#[must_use]
pub fn of_run(store: &Store, record: &RunRecord) -> Option<LiveRun> {
    let folder = store.runs.folder(&record.id);
    let events = File::open(folder.join(EVENTS)).ok()?;
    let alive = !record.has_ended() && matches!(flock::lock(&events, LockMode::TryShared), Ok(LockStatus::Busy));
    let stages = || activities(&record.id, &folder, events);
    alive.then(|| LiveRun { run: record.id.clone(), began: record.began, stages: stages() })
}

fn activities(run: &str, folder: &Path, events: File) -> Vec<Activity> {
    let mut running: Vec<Activity> = Vec::new();
    for line in BufReader::new(events).lines().map_while(Result::ok) {
        // The last line may be incomplete.
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(stage) = event["stage"].as_str() else { continue };
        match event["event"].as_str() {
            Some("stage-began") => {
                let key = serde_json::from_value(event["key"].clone()).ok();
                running.push(Activity {
                    run: run.to_owned(),
                    stage: stage.to_owned(),
                    key,
                    steps: None,
                    metrics: None,
                });
            }
            Some("stage-ended" | "stage-failed" | "stage-waits") => running.retain(|activity| activity.stage != stage),
            Some("metrics") => {
                if let Some(activity) = running.iter_mut().find(|activity| activity.stage == stage) {
                    activity.metrics = serde_json::from_value(event).ok();
                }
            }
            _ => {}
        }
    }
    let mut progress = steps_in(folder);
    for activity in &mut running {
        activity.steps = progress.remove(&activity.stage);
    }
    running
}

/// Progress of the stages that a folder of events is about.
pub(super) fn steps_in(folder: &Path) -> BTreeMap<String, Steps> {
    let progress = std::fs::read(folder.join(PROGRESS)).unwrap_or_default();
    serde_json::from_slice(&progress).unwrap_or_default()
}

/// Where a stage that has to run resumes, if an earlier attempt left a checkpoint: `at epoch 6, batch 111`.
#[must_use]
pub fn resume(engine: &Engine, task: &Task) -> Option<String> {
    resume_note(&engine.store.layout().partial(&task.key)).map(|place| format!("at {place}"))
}

/// How the newest run of the pipeline ended for its stages that it began and did not finish: stopped or failed.
#[must_use]
pub fn unfinished(store: &Store, pipeline: &str) -> BTreeMap<String, StageOutcome> {
    let last = store.runs.newest_first(Some(pipeline)).next();
    let stages = last.into_iter().flat_map(|run| run.stages);
    let outcomes = stages.map(|(name, stage)| (name, stage.became));
    outcomes.filter(|(_, became)| matches!(became, StageOutcome::Stopped | StageOutcome::Failed)).collect()
}

/// Where a stage that was just interrupted resumes: [`resume`], or `with 12 of 64 items done`.
pub(super) fn resume_after_stop(engine: &Engine, id: StageId, task: &Task) -> Option<String> {
    let items = || {
        let all = engine.items(id, task).ok()?;
        let done = all.iter().filter(|(_, _, tree)| tree.is_some()).count();
        (done > 0).then(|| format!("with {done} of {} done", counted(all.len() as u64, "item", "items")))
    };
    resume(engine, task).or_else(items)
}

/// Writer of a run's file of progress.
#[derive(Debug, Default)]
pub(super) struct ProgressFile {
    steps: BTreeMap<String, Steps>,
    written: Option<Instant>,
}

impl ProgressFile {
    /// Records the progress of a stage and writes the file now and then. Failures are ignored.
    pub(super) fn step(&mut self, folder: &Path, stage: &str, steps: Steps) {
        self.steps.insert(stage.to_owned(), steps);
        if self.written.is_some_and(|written| written.elapsed() < PAUSE) {
            return;
        }
        self.written = Some(Instant::now());
        if let Ok(text) = serde_json::to_vec(&self.steps) {
            let _ = disk::write_lightly(&folder.join(PROGRESS), &text);
        }
    }

    /// Removes a stage that ended.
    pub(super) fn ended(&mut self, stage: &str) {
        self.steps.remove(stage);
    }

    /// Removes the file after the run.
    pub(super) fn remove(folder: &Path) {
        let _ = std::fs::remove_file(folder.join(PROGRESS));
    }
}
