//! The executor: starts what is ready and processes what ended until nothing is left to do.

mod cluster;
mod damage;
mod other_processes;

pub use cluster::ClusterLink;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Limits;
use super::context::RunContext;
use super::events::{Event, FailureFault};
use super::job::{self, Ended, Job};
use super::resources::{ResourceLimits, ResourcePool, ResourceRequest};
use super::state::{State, States};
use crate::base::usage::held_memory;
use crate::base::{Digest, Sources, threads};
use crate::plan::{Decision, Reason, Reused, StageId, StageResult, StageResults};
use crate::stage::{StageError, Stop, Warning, Work};
use crate::store::{ComputedItems, StageOutcome, StageRun, StoreError};

/// Interval for checking the stop signal and the claims of other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Pause before the first retry of a stage; each further pause is four times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What happens to independent stages when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// Running stages finish, no other starts.
    FailFast,
    /// All stages that do not depend on it continue (`--keep-going`).
    KeepGoing,
}

/// A stage that failed.
#[derive(Debug)]
pub struct StageFailure {
    /// The stage.
    pub stage: String,
    /// Why.
    pub error: StageError,
}

/// The executor of one run.
pub struct Executor<'a> {
    /// What its jobs share.
    pub shared: &'a RunContext<'a>,
    /// The source texts, for the location of errors.
    pub sources: &'a Sources,
    /// Maximum number of stages at the same time.
    pub jobs: usize,
    /// What happens when one fails.
    pub failures: Failures,
    /// Time limit and retries.
    pub limits: Limits,
    /// The cluster that computes stages, if there is one.
    pub cluster: Option<ClusterLink>,
    pool: ResourcePool,
    /// Resource requests of the stages that wait for resources.
    needs: BTreeMap<StageId, ResourceRequest>,
    running: BTreeMap<StageId, Running>,
    /// Peak memory while a stage ran, minus what was held before.
    memory: BTreeMap<StageId, u64>,
    tries: BTreeMap<StageId, usize>,
    /// Stages that wait for a retry, until when.
    resting: BTreeMap<StageId, Instant>,
    states: States,
    known: StageResults,
    tasks: BTreeMap<StageId, Job>,
    elsewhere: BTreeSet<StageId>,
    repairing: BTreeSet<StageId>,
    /// How often a stage found an object damaged or missing.
    found: BTreeMap<(StageId, Digest), usize>,
    reasons: BTreeMap<StageId, String>,
    /// Where stages that were stopped resume.
    resume: BTreeMap<StageId, String>,
    reported_stop: bool,
    /// Stages whose warnings by content were reported with the plan.
    foreseen: BTreeSet<StageId>,
    /// What became of each stage, for the run's record.
    pub stages: BTreeMap<String, StageRun>,
    /// What failed.
    pub failed: Vec<StageFailure>,
}

/// A stage that runs.
struct Running {
    began: Instant,
    stop: Arc<Stop>,
    /// Whether it was asked to end because of the time limit.
    late: bool,
    /// Bytes that the process held when it began, and the peak since.
    held: Option<(u64, u64)>,
}

type Message = (StageId, Ended, f64);

impl<'a> Executor<'a> {
    /// An executor for `plan`, which was made just now.
    #[must_use]
    pub fn new(
        shared: &'a RunContext<'a>,
        sources: &'a Sources,
        jobs: usize,
        failures: Failures,
        plan: BTreeMap<StageId, Decision>,
    ) -> Self {
        let wanted: BTreeSet<StageId> = plan.keys().copied().collect();
        let mut executor = Self {
            shared,
            sources,
            jobs: jobs.max(1),
            failures,
            limits: Limits::default(),
            cluster: None,
            pool: ResourcePool::new(ResourceLimits::of(None), jobs),
            needs: BTreeMap::new(),
            running: BTreeMap::new(),
            memory: BTreeMap::new(),
            tries: BTreeMap::new(),
            resting: BTreeMap::new(),
            states: States::new(&wanted),
            known: StageResults::new(),
            tasks: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            repairing: BTreeSet::new(),
            found: BTreeMap::new(),
            reasons: BTreeMap::new(),
            resume: BTreeMap::new(),
            reported_stop: false,
            foreseen: plan.iter().filter(|(_, decision)| is_decided(decision)).map(|(id, _)| *id).collect(),
            stages: BTreeMap::new(),
            failed: Vec::new(),
        };
        let order: Vec<StageId> = shared.engine.graph.order().to_vec();
        let mut plan = plan;
        for id in order {
            match plan.remove(&id) {
                None | Some(Decision::Unknown(_) | Decision::Blocked(_)) => {}
                // An input was just found damaged: the plan for this stage is outdated.
                Some(_) if executor.awaits_repair(id) => {}
                // An input is still to be downloaded; this stage is decided again after that.
                Some(Decision::Run(_)) if !executor.inputs_known(id) => {}
                Some(decision) => executor.take_decision(id, decision),
            }
        }
        executor
    }

    /// Sets the resource limits.
    pub fn share(&mut self, limits: ResourceLimits) {
        self.pool = ResourcePool::new(limits, self.jobs);
    }

    /// Runs until every stage is done, failed or stopped.
    pub fn run(&mut self) {
        let (sender, receiver) = channel();
        let shared = self.shared;
        std::thread::scope(|scope| {
            self.begin_cluster(scope);
            let start = |id: StageId, job: Job, stop: Arc<Stop>, sender: Sender<Message>| {
                threads::hand_over(scope, job, move |job| {
                    let _span = job.span(&shared.engine.stage(id).name).entered();
                    let clock = Instant::now();
                    let ended = match job {
                        Job::Compute(task) => job::run(shared, id, task, &stop),
                        Job::Download(known, reused) => job::download(shared, id, known, *reused, &stop),
                    };
                    // Nobody receives it if the executor itself panicked.
                    let _ = sender.send((id, ended, clock.elapsed().as_secs_f64()));
                })
            };
            loop {
                self.report_stop();
                self.advance();
                self.report_troubles();
                while let Some((id, job)) = self.next_job() {
                    let stop = Arc::new(Stop::below(&shared.host.stop));
                    let held = held_memory().map(|held| (held, held));
                    let running = Running { began: Instant::now(), stop: Arc::clone(&stop), late: false, held };
                    self.running.insert(id, running);
                    if let Err((error, job)) = start(id, job, stop, sender.clone()) {
                        self.refused(id, job, &error);
                        break;
                    }
                }
                let running = self.states.count(|state| *state == State::Running);
                let elsewhere = self.states.count(|state| *state == State::Elsewhere);
                let idle = elsewhere == 0 && self.resting.is_empty();
                if running == 0 && (idle || self.closing()) && !self.awaits_jobs() {
                    break;
                }
                self.take_messages(&receiver);
            }
            self.leave_cluster();
        });
        self.report_troubles();
        self.leave();
    }

    /// Puts a stage back for which the system had no thread, to be retried on each poll; fails it if no other stage is
    /// running.
    fn refused(&mut self, id: StageId, job: Job, error: &std::io::Error) {
        self.pool.give_back(id);
        if self.running.remove(&id).is_some() && self.running.is_empty() {
            return self.take_failure(id, super::no_thread(error));
        }
        self.tasks.insert(id, job);
        self.elsewhere.insert(id);
        self.states.set(id, State::Elsewhere);
    }

    /// Reports problems with remotes, each once; the run continues without them.
    fn report_troubles(&self) {
        for trouble in self.shared.engine.store.remotes.troubles() {
            self.shared.watch.event(&Event::Remote { trouble });
        }
    }

    /// Whether the user asked to stop.
    fn stopping(&self) -> bool {
        self.shared.host.interrupted()
    }

    /// Reports once that the stop signal arrived.
    fn report_stop(&mut self) {
        if !self.reported_stop && self.stopping() && self.states.count(|state| *state == State::Running) > 0 {
            self.reported_stop = true;
            self.shared.watch.event(&Event::Stopping);
        }
    }

    /// Whether nothing new may start.
    fn closing(&self) -> bool {
        self.stopping() || (self.failures == Failures::FailFast && !self.failed.is_empty())
    }

    /// Decides stages that became ready, until there are none.
    fn advance(&mut self) {
        while !self.closing() {
            let awake = |id: &StageId| self.resting.get(id).is_none_or(|until| *until <= Instant::now());
            let ready =
                |(id, state): &(StageId, &State)| **state == State::Waiting && awake(id) && self.inputs_known(*id);
            let ready = self.states.iter().find(ready);
            let Some((id, _)) = ready else { return };
            self.resting.remove(&id);
            self.states.set(id, State::Ready);
            match self.shared.engine.decide(id, &self.known) {
                Ok(decision) => {
                    self.warn(id, &decision);
                    self.take_decision(id, decision);
                }
                Err(error) => self.take_failure(id, error),
            }
        }
    }

    /// Reports the warnings by content about a stage that was decided only now.
    fn warn(&mut self, id: StageId, decision: &Decision) {
        if !is_decided(decision) || !self.foreseen.insert(id) {
            return;
        }
        let stage = &self.shared.engine.stage(id).name;
        for warning in self.shared.engine.checked(id, &self.known).unwrap_or_default() {
            self.shared.watch.event(&Event::Warned { stage: stage.clone(), warning });
        }
    }

    /// Whether one of the stages it depends on, directly or not, is being repaired.
    fn awaits_repair(&self, id: StageId) -> bool {
        let needs = || self.shared.engine.graph.with_needs(&[id]);
        !self.repairing.is_empty() && needs().iter().any(|need| *need != id && self.repairing.contains(need))
    }

    fn inputs_known(&self, id: StageId) -> bool {
        self.shared.engine.graph.needs(id).iter().all(|need| self.known.contains_key(need))
    }

    fn take_decision(&mut self, id: StageId, decision: Decision) {
        match decision {
            Decision::Source(known) => self.end(id, known, StageOutcome::Source, 0.0, None, None),
            Decision::Reuse(known, reused) if reused.remote_hit.is_some() => {
                self.tasks.insert(id, Job::Download(known, reused));
                self.states.set(id, State::Queued);
            }
            Decision::Reuse(known, reused) => match job::verify_shown(self.shared, id, &known) {
                Ok(()) => self.reuse(id, known, *reused),
                Err(error) => self.take_failure(id, StageError::Store(error)),
            },
            Decision::Run(task) => {
                let engine = self.shared.engine;
                let last = engine.store.runs.last_of(&engine.pipeline.name, &engine.stage(id).name);
                let reason = Reason::find(&task.absent, &task.manifest, last.as_ref().map(|(_, stage)| stage));
                self.reasons.insert(id, reason.short());
                self.tasks.insert(id, Job::Compute(task));
                self.states.set(id, State::Queued);
            }
            Decision::Failed(error) => self.take_failure(id, error),
            Decision::Unknown(_) | Decision::Blocked(_) => {}
        }
    }

    /// The next stage to compute or download, if resources allow; it counts as running from then on.
    fn next_job(&mut self) -> Option<(StageId, Job)> {
        self.submit_ready();
        let running = self.states.count(|state| *state == State::Running);
        if self.closing() || running >= self.jobs {
            return None;
        }
        let id = self.next_free()?;
        let Some(job) = self.tasks.remove(&id) else {
            self.pool.give_back(id);
            return None;
        };
        self.states.set(id, State::Running);
        let stage = self.shared.engine.stage(id);
        match &job {
            Job::Compute(task) => self.shared.watch.event(&Event::StageBegan {
                stage: stage.name.clone(),
                kind: stage.stage_type.clone(),
                key: task.key,
                reason: self.reasons.remove(&id).unwrap_or_default(),
                items: task.items,
            }),
            Job::Download(_, reused) => {
                if let Some(hit) = &reused.remote_hit {
                    let bytes = hit.open_bytes(&self.shared.engine.store.objects);
                    if bytes > 0 {
                        let (stage, remote) = (stage.name.clone(), hit.remote().to_owned());
                        self.shared.watch.event(&Event::StageFetched { stage, remote, bytes });
                    }
                }
            }
        }
        Some((id, job))
    }

    fn take_messages(&mut self, receiver: &Receiver<Message>) {
        match receiver.recv_timeout(POLL_INTERVAL) {
            Ok(message) => self.take_message(message),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        while let Ok(message) = receiver.try_recv() {
            self.take_message(message);
        }
        self.watch_time();
        self.watch_memory();
        self.take_news();
        if self.closing() {
            return;
        }
        self.look_elsewhere();
    }

    /// Updates the peak memory of running stages. Stages that run in parallel all count the whole process.
    fn watch_memory(&mut self) {
        let Some(now) = held_memory().filter(|_| !self.running.is_empty()) else { return };
        for (_, most) in self.running.values_mut().filter_map(|running| running.held.as_mut()) {
            *most = now.max(*most);
        }
    }

    /// Asks stages that exceeded the time limit to end.
    fn watch_time(&mut self) {
        let Some(timeout) = self.limits.timeout else { return };
        for running in self.running.values_mut().filter(|running| !running.late && running.began.elapsed() > timeout) {
            running.late = true;
            running.stop.raise();
        }
    }

    fn take_message(&mut self, (id, ended, seconds): Message) {
        self.watch_memory();
        self.pool.give_back(id);
        let ran = self.running.remove(&id);
        let late = ran.as_ref().is_some_and(|ran| ran.late);
        let held = ran.and_then(|ran| ran.held).map(|(before, most)| most - before);
        match ended {
            Ended::Computed(known, items) => {
                // A command's memory is not this process's.
                let command = matches!(self.shared.engine.implementation(id).work, Work::Command { .. });
                self.memory.extend(held.filter(|_| !command).map(|held| (id, held)));
                let became = if self.repairing.contains(&id) { StageOutcome::Repaired } else { StageOutcome::Computed };
                self.end(id, known, became, seconds, items, None);
            }
            Ended::Reused(known, reused) => self.reuse(id, known, reused),
            // The remote is not asked again: on the next decision, the stage is computed.
            Ended::NotReceived => self.states.set(id, State::Waiting),
            Ended::Busy(task) => {
                self.tasks.insert(id, Job::Compute(task));
                self.wait_elsewhere(id);
            }
            Ended::Failed(StageError::Stopped) | Ended::Stopped(_) if late => {
                let seconds = self.limits.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
                self.take_failure(id, timed_out(seconds));
            }
            Ended::Stopped(resume) => {
                self.resume.extend(resume.map(|place| (id, place)));
                self.take_failure(id, StageError::Stopped);
            }
            Ended::Failed(error) => self.take_failure(id, error),
        }
    }

    fn reuse(&mut self, id: StageId, known: Arc<StageResult>, reused: Reused) {
        self.end(id, known, StageOutcome::Reused, 0.0, None, Some(reused));
    }

    fn end(
        &mut self,
        id: StageId,
        known: Arc<StageResult>,
        became: StageOutcome,
        seconds: f64,
        items: Option<ComputedItems>,
        reused: Option<Reused>,
    ) {
        // Whatever the outcome, a source's too: damage found from now on is a new finding.
        self.repairing.remove(&id);
        let stage = self.shared.engine.stage(id).name.clone();
        let outputs = known.outputs.iter().map(|(port, tree)| (port.clone(), tree.digest())).collect();
        self.stages.insert(
            stage.clone(),
            StageRun {
                became,
                key: known.key,
                manifest: Some(known.manifest.clone()),
                outputs,
                seconds,
                last_seconds: known.cost.last_seconds,
                full_seconds: known.cost.full_seconds,
                items,
                headline: known.summary.headline.clone(),
                kind: self.shared.engine.stage(id).stage_type.clone(),
                metrics: known.summary.metrics.clone(),
                memory: self.memory.get(&id).copied(),
            },
        );
        self.states.set(id, State::Ended(became));
        let (key, cost, summary) = (known.key, known.cost.last_seconds, known.summary.clone());
        let (other_class, hit) = reused.map_or((None, None), |reused| (reused.other_target, reused.remote_hit));
        let remote = hit.map(|hit| hit.remote().to_owned());
        self.known.insert(id, known);
        self.shared.watch.event(&Event::StageEnded {
            stage,
            key,
            became,
            seconds,
            cost,
            items,
            other_class,
            remote,
            summary,
        });
    }

    fn take_failure(&mut self, id: StageId, error: StageError) {
        let error = match error {
            StageError::Store(StoreError::Changed { path }) => {
                // Its size and time may be unchanged: the next run must not trust the cached digest.
                self.shared.engine.store.forget_file(&path);
                StageError::Store(StoreError::Changed { path })
            }
            StageError::Store(error) if error.can_pass() && self.rest(id, &error) => return,
            StageError::Store(error) => match self.repair(id, error) {
                Ok(()) => return,
                Err(error) => StageError::Store(error),
            },
            other => other,
        };
        let stage = self.shared.engine.stage(id);
        let stopped = matches!(error, StageError::Stopped);
        let (code, text, hint, field) = match &error {
            StageError::Input { code, text, hint, field } => {
                (Some((*code).to_owned()), text.clone(), hint.clone(), field.as_deref())
            }
            StageError::Store(inner) => (None, inner.to_string(), inner.hint(), None),
            StageError::Stopped | StageError::Bug(_) => (None, error.to_string(), None, None),
        };
        let fault = match &error {
            StageError::Store(_) => Some(FailureFault::Store),
            StageError::Bug(_) => Some(FailureFault::Bug),
            StageError::Input { .. } | StageError::Stopped => None,
        };
        // A pipeline built in code has no text.
        let text_known = self.sources.iter().next().is_some();
        let at = text_known.then(|| self.sources.cite(stage.place(field)));
        self.repairing.remove(&id);
        self.note(id, if stopped { StageOutcome::Stopped } else { StageOutcome::Failed });
        let name = stage.name.clone();
        let resume = self.resume.remove(&id);
        let failed = Event::StageFailed { stage: name.clone(), code, text, hint, at, stopped, fault, resume };
        self.shared.watch.event(&failed);
        if !stopped {
            self.failed.push(StageFailure { stage: name, error });
        }
    }

    /// Schedules a retry of a stage that failed with a transient error, unless its retries are used up.
    fn rest(&mut self, id: StageId, error: &StoreError) -> bool {
        let tries = self.tries.entry(id).or_default();
        if *tries >= self.limits.retries || self.shared.host.interrupted() {
            return false;
        }
        let pause = FIRST_PAUSE * 4_u32.pow(*tries as u32);
        *tries += 1;
        let stage = self.shared.engine.stage(id).name.clone();
        let text = format!("{error}; retrying in {} s", pause.as_secs_f64());
        let warning = Warning { code: "stage-retried".into(), text };
        self.shared.watch.event(&Event::Warned { stage, warning });
        self.resting.insert(id, Instant::now() + pause);
        self.states.set(id, State::Waiting);
        true
    }

    /// Reports the stages that were never started.
    fn leave(&mut self) {
        let open = |state: &State| !matches!(state, State::Running | State::Ended(_));
        let left: Vec<StageId> = self.states.iter().filter(|(_, state)| open(state)).map(|(id, _)| id).collect();
        for id in left {
            let needs = self.shared.engine.graph.with_needs(&[id]);
            let cause = self
                .states
                .iter()
                .find(|(need, state)| needs.contains(need) && **state == State::Ended(StageOutcome::Failed));
            let reason = match cause {
                _ if *self.states.get(id) == State::Submitted => {
                    "its job continues; the same command waits for it".to_owned()
                }
                Some((cause, _)) => format!("needs `{}`", self.shared.engine.stage(cause).name),
                None if self.stopping() => "stopped before it started".to_owned(),
                None => "another stage failed (`--keep-going` runs it anyway)".to_owned(),
            };
            self.note(id, StageOutcome::NotRun);
            let stage = self.shared.engine.stage(id).name.clone();
            self.shared.watch.event(&Event::StageLeft { stage, reason });
        }
    }

    /// Notes that a stage ended without a result.
    fn note(&mut self, id: StageId, became: StageOutcome) {
        self.states.set(id, State::Ended(became));
        let stage = StageRun {
            became,
            key: None,
            manifest: None,
            outputs: BTreeMap::new(),
            seconds: 0.0,
            last_seconds: 0.0,
            full_seconds: 0.0,
            items: None,
            headline: String::new(),
            kind: self.shared.engine.stage(id).stage_type.clone(),
            metrics: BTreeMap::new(),
            memory: None,
        };
        self.stages.insert(self.shared.engine.stage(id).name.clone(), stage);
    }

    /// Stages with known outputs.
    #[must_use]
    pub fn known(&self) -> &StageResults {
        &self.known
    }

    /// How many stages ended this way.
    #[must_use]
    pub fn ended(&self, outcome: StageOutcome) -> usize {
        self.states.ended(outcome)
    }

    /// Whether a stage was stopped or not started because the user asked to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopping() && self.ended(StageOutcome::Stopped) + self.ended(StageOutcome::NotRun) > 0
    }
}

/// Whether a stage runs or is reused, with everything above it known.
fn is_decided(decision: &Decision) -> bool {
    matches!(decision, Decision::Run(_) | Decision::Reuse(..))
}

fn timed_out(seconds: f64) -> StageError {
    StageError::input("stage-timeout", format!("timed out after {seconds}s"))
        .hint("raise `--timeout`; the next run resumes from its checkpoint")
}
