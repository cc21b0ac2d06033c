//! Events of a run, reported as they happen.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::looks::LooksSoFar;
use crate::base::{Digest, sync};
use crate::plan::Upgrade;
use crate::stage::{Metrics, Progress, Summary, Warning};
use crate::store::remote::Trouble;
use crate::store::{ComputedItems, ReusedItems, RunOutcome, StageOutcome};

/// Event of a run. Written as JSON Lines with `--json` and into the run's folder, from which `macula watch` reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run started.
    RunBegan {
        /// Its id.
        run: String,
        /// The pipeline.
        pipeline: String,
        /// Its file, as given.
        file: String,
        /// How many stages it has.
        stages: usize,
        /// How many of them are known to run.
        to_run: usize,
        /// How many depend on the results of those.
        unknown: usize,
        /// Width of the longest stage name.
        widest: usize,
    },
    /// Stages will run because another version of macula made their results; reported before any of them runs.
    Upgraded {
        /// The implementation, its versions, the stages.
        upgrade: Upgrade,
    },
    /// A stage started.
    StageBegan {
        /// The stage.
        stage: String,
        /// What it is an instance of.
        kind: String,
        /// Key of the result.
        key: Digest,
        /// Why, in a few words.
        reason: String,
        /// Items of a map stage that are reused.
        items: Option<ReusedItems>,
    },
    /// The photographs of the run are compared with each other, before any stage starts.
    ComparisonBegan {
        /// The stage type that compares them.
        stage: String,
    },
    /// What a comparison of photographs found.
    Compared {
        /// The stage type that compared them.
        stage: String,
        /// How long it took, seconds.
        seconds: f64,
        /// What it found, in a line.
        headline: String,
    },
    /// A comparison of photographs ended, with or without a result.
    ComparisonEnded {
        /// The stage type that compared them.
        stage: String,
    },
    /// A stage waits for another process that computes the same result.
    StageWaits {
        /// The stage.
        stage: String,
    },
    /// A job of the cluster that computes a stage.
    Job {
        /// The stage.
        stage: String,
        /// The job's id.
        job: String,
        /// What happened to it.
        phase: JobPhase,
        /// Where it runs.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        node: String,
        /// Why it waits.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// A stage's result is fetched from a remote.
    StageFetched {
        /// The stage.
        stage: String,
        /// The remote.
        remote: String,
        /// Bytes to fetch.
        bytes: u64,
    },
    /// A remote failed; the run continues without it, or without what is damaged there.
    Remote {
        /// What.
        trouble: Trouble,
    },
    /// Progress of a stage.
    Step {
        /// The stage.
        stage: String,
        /// Units done.
        done: u64,
        /// Units in all; 0 if unknown.
        total: u64,
        /// What is counted.
        unit: String,
        /// Current state in a few words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        now: String,
    },
    /// A line of a stage that stays on the screen.
    Line {
        /// The stage.
        stage: String,
        /// The line.
        text: String,
    },
    /// Metrics of a stage after an epoch.
    Metrics {
        /// The stage.
        stage: String,
        /// The epoch, names and values.
        #[serde(flatten)]
        metrics: Metrics,
    },
    /// A warning while a stage runs.
    Warned {
        /// The stage.
        stage: String,
        /// The warning.
        warning: Warning,
    },
    /// A stage ended with a result.
    StageEnded {
        /// The stage.
        stage: String,
        /// Key of the result; a source has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Digest>,
        /// How.
        became: StageOutcome,
        /// How long it took here, seconds.
        seconds: f64,
        /// How long computing it took when it was computed, seconds.
        cost: f64,
        /// Items of a map stage that were computed.
        items: Option<ComputedItems>,
        /// Target of a reused result, if it is not this machine's.
        other_class: Option<String>,
        /// The remote that a reused result came from in this run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<String>,
        /// Headline, tables and warnings.
        summary: Summary,
    },
    /// A stage failed.
    StageFailed {
        /// The stage.
        stage: String,
        /// Code of the error, if it has one.
        code: Option<String>,
        /// The problem.
        text: String,
        /// What to do about it.
        hint: Option<String>,
        /// `file:line`.
        at: Option<String>,
        /// Whether it was only stopped.
        stopped: bool,
        /// What is to blame, if it is neither the pipeline nor its data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<FailureFault>,
        /// Where the next run resumes, if it was stopped and left a checkpoint or items.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<String>,
    },
    /// A stage was not run because others failed.
    StageLeft {
        /// The stage.
        stage: String,
        /// Why.
        reason: String,
    },
    /// Stored bytes are damaged or missing; the stage that made them runs again.
    Repairing {
        /// The stage that runs again.
        stage: String,
        /// What was found.
        text: String,
        /// The stage that found it, which waits for the repair.
        found_by: String,
    },
    /// Test sets that the run has looked at were looked at before.
    Looked {
        /// How often, and by which stages.
        #[serde(flatten)]
        looks: LooksSoFar,
    },
    /// The user asked to stop; stages end at a safe point.
    Stopping,
    /// The run ended.
    RunEnded {
        /// How.
        ended: RunOutcome,
        /// How many stages were computed.
        computed: usize,
        /// How many were reused.
        reused: usize,
        /// Seconds.
        seconds: f64,
        /// Folder in which the results are linked.
        results: Option<String>,
    },
}

/// What a failure is to blame on, other than the pipeline and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureFault {
    /// The store or the disk.
    Store,
    /// macula itself.
    Bug,
}

/// What happened to a job of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobPhase {
    /// It was submitted.
    Submitted,
    /// It was submitted earlier; this run waits for it.
    Attached,
    /// It waits in the queue.
    Queued,
    /// It runs.
    Running,
    /// Slurm put it back into the queue.
    Requeued,
}

impl JobPhase {
    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Attached => "attached",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Requeued => "requeued",
        }
    }
}

/// Watcher of a run.
pub trait Watch: Sync {
    /// Called with each event, from several threads.
    fn event(&self, event: &Event);
}

/// Watcher that ignores everything.
pub struct Nobody;

impl Watch for Nobody {
    fn event(&self, _event: &Event) {}
}

/// Progress of a stage as events; steps at most ten times a second.
pub struct StageProgress<'a> {
    stage: String,
    watch: &'a dyn Watch,
    last: Mutex<Option<Instant>>,
    now: Mutex<String>,
    began: Instant,
}

impl<'a> StageProgress<'a> {
    /// The progress of `stage`.
    #[must_use]
    pub fn new(stage: &str, watch: &'a dyn Watch) -> Self {
        Self { stage: stage.to_owned(), watch, last: Mutex::default(), now: Mutex::default(), began: Instant::now() }
    }
}

impl Progress for StageProgress<'_> {
    fn step(&self, done: u64, total: u64, unit: &str) {
        {
            let mut last = sync::lock(&self.last);
            let now = Instant::now();
            if last.is_some_and(|last| now - last < Duration::from_millis(100)) {
                return;
            }
            *last = Some(now);
        }
        let now = sync::lock(&self.now).clone();
        self.watch.event(&Event::Step { stage: self.stage.clone(), done, total, unit: unit.to_owned(), now });
    }

    fn now(&self, words: &str) {
        words.clone_into(&mut sync::lock(&self.now));
    }

    fn line(&self, text: &str) {
        self.watch.event(&Event::Line { stage: self.stage.clone(), text: text.to_owned() });
    }

    fn metrics(&self, metrics: &Metrics) {
        self.watch.event(&Event::Metrics { stage: self.stage.clone(), metrics: metrics.clone() });
    }

    fn elapsed(&self) -> Option<Duration> {
        Some(self.began.elapsed())
    }

    fn warn(&self, warning: &Warning) {
        self.watch.event(&Event::Warned { stage: self.stage.clone(), warning: warning.clone() });
    }
}
