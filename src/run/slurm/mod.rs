//! Stages as jobs of Slurm: submitted from a thread of their own, which watches the queue and the store. The queue only says
//! whether it is worth waiting; what counts as a result is a record in the store. Computes nothing.

pub mod client;
pub mod compute;
mod follow;
pub mod overview;
mod submission;
mod verdict;

use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use client::{ClientError, JobState, QueuedJob, SlurmClient, job_name};
use follow::Follower;
pub(super) use submission::{last_seconds, order, resources};
use verdict::{JobEnd, verdict};

use super::context::RunContext;
use super::events::{Event, JobPhase};
use crate::base::Digest;
use crate::lang::executor::{ExecutorSpec, JobResources};
use crate::plan::{StageId, keys};
use crate::stage::{StageError, Warning};
use crate::store::{AttemptOutcome, JobAttempt, Order};

/// Shortest time between two looks at the store and at the progress of jobs.
const LOOK: Duration = Duration::from_secs(1);

/// Shortest time between two rounds of submissions.
const ROUND: Duration = Duration::from_millis(500);

/// How often the thread wakes up.
const TICK: Duration = Duration::from_millis(100);

/// First time between two questions to the queue; it doubles up to `poll`.
const FIRST_POLL: Duration = Duration::from_secs(1);

/// How often a stage is submitted again after a job was lost.
const MOST_LOST: usize = 5;

/// What the executor asks of the thread.
pub(super) enum ClusterCommand {
    /// To submit a stage, or to attach to its job.
    Submit(Box<JobRequest>),
    /// To submit nothing more: jobs that wait are cancelled, those that run are awaited.
    Drain,
}

/// A stage to be submitted.
pub(super) struct JobRequest {
    /// The stage.
    pub(super) id: StageId,
    /// Its order.
    pub(super) order: Order,
    /// What its job asks for.
    pub(super) resources: JobResources,
}

/// What the thread reports.
pub(super) enum ClusterNews {
    /// The result of a stage is recorded; with the attempt that computed it, if it is known.
    Done(StageId, Option<JobAttempt>),
    /// A stage failed.
    Failed(StageId, StageError),
    /// A stage was not computed, because nothing more is submitted.
    Withdrawn(StageId),
}

/// A stage that was handed over.
struct Ticket {
    id: StageId,
    order: Order,
    resources: JobResources,
    /// The job, once there is one.
    job: Option<String>,
    /// Its state in the queue when it was last asked.
    state: Option<JobState>,
    reason: String,
    /// Since when the job has ended without a result.
    ended: Option<Instant>,
    /// How often a job was lost.
    lost: usize,
    /// Whether memory or time was raised already.
    raised: bool,
    /// Where the last attempt stopped.
    resume: Option<String>,
    follower: Follower,
}

/// The thread's state.
pub(super) struct Cluster<'a> {
    shared: &'a RunContext<'a>,
    client: SlurmClient,
    spec: ExecutorSpec,
    tickets: Vec<Ticket>,
    news: Sender<ClusterNews>,
    draining: bool,
    /// Whether it was reported that the queue does not answer.
    away: bool,
    poll_pause: Duration,
    polled: Instant,
    looked: Instant,
    round: Instant,
}

impl<'a> Cluster<'a> {
    /// A thread without stages.
    pub(super) fn new(
        shared: &'a RunContext<'a>,
        client: SlurmClient,
        spec: ExecutorSpec,
        news: Sender<ClusterNews>,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            client,
            spec,
            tickets: Vec::new(),
            news,
            draining: false,
            away: false,
            poll_pause: FIRST_POLL,
            polled: now,
            looked: now,
            round: now.checked_sub(ROUND).unwrap_or(now),
        }
    }

    /// Works until the executor hangs up. Jobs continue then.
    pub(super) fn run(mut self, commands: &Receiver<ClusterCommand>) {
        loop {
            match commands.recv_timeout(TICK) {
                Ok(command) => {
                    self.take(command);
                    while let Ok(command) = commands.try_recv() {
                        self.take(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.tickets.is_empty() {
                continue;
            }
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                self.look();
            }
            if self.round.elapsed() >= ROUND && self.tickets.iter().any(|ticket| ticket.job.is_none()) {
                self.round = Instant::now();
                self.submit();
            }
            if self.polled.elapsed() >= self.poll_pause && self.tickets.iter().any(|ticket| ticket.job.is_some()) {
                self.poll_pause = (self.poll_pause * 2).min(Duration::from_secs(self.spec.poll));
                self.poll();
            }
        }
    }

    fn take(&mut self, command: ClusterCommand) {
        match command {
            ClusterCommand::Submit(request) => {
                let JobRequest { id, order, resources } = *request;
                let follower = Follower::new(&self.shared.engine.store.layout().job(&order.key));
                self.tickets.push(Ticket {
                    id,
                    order,
                    resources,
                    job: None,
                    state: None,
                    reason: String::new(),
                    ended: None,
                    lost: 0,
                    raised: false,
                    resume: None,
                    follower,
                });
                self.poll_pause = FIRST_POLL.min(Duration::from_secs(self.spec.poll));
            }
            ClusterCommand::Drain => self.drain(),
        }
    }

    /// Whether the store has a result that this run accepts. A damaged one, or one of another target, may be why the stage runs.
    fn has_result(&self, ticket: &Ticket) -> bool {
        let engine = self.shared.engine;
        let key = &ticket.order.key;
        let target = keys::target(engine.stage(ticket.id), engine.implementation(ticket.id));
        engine.store.is_recorded(key) && matches!(engine.store.find(key, &target, engine.accept), Ok(Ok(_)))
    }

    /// Looks for results in the store, and at the progress of jobs.
    fn look(&mut self) {
        let mut at = 0;
        while at < self.tickets.len() {
            if self.has_result(&self.tickets[at]) {
                self.done(at);
                continue;
            }
            let ticket = &mut self.tickets[at];
            if ticket.state == Some(JobState::Running) {
                ticket.follower.follow(&ticket.order.stage, self.shared.watch);
            }
            at += 1;
        }
    }

    fn done(&mut self, at: usize) {
        let mut ticket = self.tickets.remove(at);
        ticket.follower.follow(&ticket.order.stage, self.shared.watch);
        let attempt = ticket.job.as_ref().and_then(|job| self.attempt(&ticket.order.key, job));
        self.tell(ClusterNews::Done(ticket.id, attempt));
    }

    fn fail(&mut self, at: usize, error: StageError) {
        let ticket = self.tickets.remove(at);
        self.tell(ClusterNews::Failed(ticket.id, error));
    }

    fn attempt(&self, key: &Digest, job: &str) -> Option<JobAttempt> {
        JobAttempt::read(self.shared.engine.store.layout(), key, job)
    }

    fn tell(&self, news: ClusterNews) {
        // The executor hangs up when it ends.
        let _ = self.news.send(news);
    }

    fn event(&self, at: usize, phase: JobPhase, node: &str, reason: &str) {
        let ticket = &self.tickets[at];
        self.shared.watch.event(&Event::Job {
            stage: ticket.order.stage.clone(),
            job: ticket.job.clone().unwrap_or_default(),
            phase,
            node: node.to_owned(),
            reason: reason.to_owned(),
        });
    }

    fn warn(&self, stage: &str, code: &str, text: String) {
        let warning = Warning { code: code.to_owned(), text };
        self.shared.watch.event(&Event::Warned { stage: stage.to_owned(), warning });
    }

    /// The queue; reports once that it does not answer.
    fn queue(&mut self) -> Option<Vec<QueuedJob>> {
        match self.client.queue() {
            Ok(jobs) => {
                self.away = false;
                Some(jobs)
            }
            Err(error) => {
                self.is_away(&error);
                None
            }
        }
    }

    fn is_away(&mut self, error: &ClientError) {
        if !std::mem::replace(&mut self.away, true) {
            let stage = self.tickets.first().map(|ticket| ticket.order.stage.clone()).unwrap_or_default();
            self.warn(&stage, "queue-away", format!("Slurm does not answer ({error}); waiting for it"));
        }
    }

    /// Submits stages that have no job, as far as there is room, or attaches to jobs that an earlier driver submitted.
    fn submit(&mut self) {
        let store = self.shared.engine.store;
        let room = self.spec.max_queued.saturating_sub(self.tickets.iter().filter(|one| one.job.is_some()).count());
        let mut locks: Vec<(StageId, File)> = Vec::new();
        let open: Vec<(StageId, Digest)> = self
            .tickets
            .iter()
            .filter(|ticket| ticket.job.is_none())
            .map(|ticket| (ticket.id, ticket.order.key))
            .take(room)
            .collect();
        for (id, key) in open {
            match submission::lock(store, &key) {
                Ok(Some(lock)) => locks.push((id, lock)),
                // Another driver is submitting it.
                Ok(None) => {}
                Err(error) => {
                    self.tickets.retain(|ticket| ticket.id != id);
                    self.tell(ClusterNews::Failed(id, error.into()));
                }
            }
        }
        if locks.is_empty() {
            return;
        }
        // Asked while the locks are held: no other driver submits the same stages now.
        let Some(queue) = self.queue() else { return };
        for (id, lock) in locks {
            let Some(at) = self.tickets.iter().position(|ticket| ticket.id == id) else { continue };
            let name = job_name(&self.tickets[at].order.key);
            if let Some(job) = queue.iter().find(|job| job.name == name && job.state.is_alive()) {
                if job.state == JobState::Ending {
                    continue;
                }
                self.tickets[at].job = Some(job.id.clone());
                self.event(at, JobPhase::Attached, &job.nodes, &job.reason);
                self.notice(at, job);
                continue;
            }
            let key = self.tickets[at].order.key;
            // Another process computes it without a job.
            if store.is_claimed(&key) || self.has_result(&self.tickets[at]) {
                continue;
            }
            match self.submit_one(at, lock) {
                Ok(job) => {
                    let ticket = &mut self.tickets[at];
                    (ticket.job, ticket.state, ticket.ended) = (Some(job), Some(JobState::Pending), None);
                    self.event(at, JobPhase::Submitted, "", "");
                }
                Err(SubmitError::Client(ClientError::Refused(text))) => {
                    let error = StageError::input("job-refused", format!("Slurm refused the job: {text}"));
                    let hint = "see `executor` in `project.kdl`, or run it here with `--executor local`";
                    self.fail(at, error.hint(hint));
                }
                Err(SubmitError::Client(error)) => return self.is_away(&error),
                Err(SubmitError::Store(error)) => self.fail(at, error),
            }
        }
    }

    fn submit_one(&self, at: usize, lock: File) -> Result<String, SubmitError> {
        let (store, ticket) = (self.shared.engine.store, &self.tickets[at]);
        let script = submission::script(store, &ticket.order);
        let script = script.map_err(|error| SubmitError::Store(error.into()))?;
        let options = submission::options(store, &self.spec, &ticket.order, ticket.resources, &script);
        self.client.submit(&options, Some(lock)).map_err(SubmitError::Client)
    }

    /// Asks the queue about all jobs.
    fn poll(&mut self) {
        let queue = self.queue();
        self.polled = Instant::now();
        let Some(queue) = queue else { return };
        let ids: Vec<StageId> = self.tickets.iter().map(|ticket| ticket.id).collect();
        for id in ids {
            let Some(at) = self.tickets.iter().position(|ticket| ticket.id == id) else { continue };
            let Some(job) = self.tickets[at].job.clone() else { continue };
            match queue.iter().find(|queued| queued.id == job) {
                Some(queued) if queued.state.is_alive() => self.notice(at, queued),
                ended => self.ended(at, &job, ended.map(|queued| queued.state)),
            }
        }
    }

    /// Notes the state of a job that has not ended.
    fn notice(&mut self, at: usize, queued: &QueuedJob) {
        let before = self.tickets[at].state;
        let changed = before != Some(queued.state) || self.tickets[at].reason != queued.reason;
        let ticket = &mut self.tickets[at];
        (ticket.state, ticket.ended) = (Some(queued.state), None);
        ticket.reason.clone_from(&queued.reason);
        match queued.state {
            JobState::Pending if matches!(before, Some(JobState::Running | JobState::Ending)) => {
                self.event(at, JobPhase::Requeued, "", &queued.reason);
                self.client.start_now(&queued.id);
            }
            JobState::Pending if changed => self.event(at, JobPhase::Queued, "", &queued.reason),
            JobState::Running if before != Some(JobState::Running) => {
                self.event(at, JobPhase::Running, &queued.nodes, "");
            }
            _ => {}
        }
    }

    /// Decides what follows from the end of a job without a result.
    fn ended(&mut self, at: usize, job: &str, state: Option<JobState>) {
        let store = self.shared.engine.store;
        let attempt = self.attempt(&self.tickets[at].order.key, job);
        // Also a result that this run does not accept: the node may have another target.
        let says_so =
            |attempt: &JobAttempt| matches!(attempt.outcome, AttemptOutcome::Computed | AttemptOutcome::Reused);
        let is_recorded = store.is_recorded(&self.tickets[at].order.key);
        if is_recorded && attempt.as_ref().is_some_and(says_so) || self.has_result(&self.tickets[at]) {
            return self.done(at);
        }
        let since = *self.tickets[at].ended.get_or_insert_with(Instant::now);
        let log = follow::log_tail(store, &self.tickets[at].order.key, job);
        let ticket = &mut self.tickets[at];
        let wait = Duration::from_secs(self.spec.wait);
        match verdict(job, state, attempt.as_ref(), &log, since.elapsed(), wait) {
            JobEnd::Wait => {}
            JobEnd::Fail(error) => self.fail(at, error),
            JobEnd::Elsewhere => (ticket.job, ticket.ended) = (None, None),
            JobEnd::Resume(resume) => {
                let moved = resume.is_some() && resume != ticket.resume;
                let text = resume.as_ref().map_or_else(String::new, |place| format!(", resumes {place}"));
                ticket.resume = resume;
                // Without progress it counts as lost.
                ticket.lost = if moved { 0 } else { ticket.lost + 1 };
                self.again(at, format!("job {job} was asked to stop; submitted again{text}"));
            }
            JobEnd::Lost(why) => {
                ticket.lost += 1;
                self.again(at, format!("job {job} {why}; submitted again"));
            }
            JobEnd::Memory => {
                let least = ticket.resources.memory.unwrap_or(1 << 30);
                if std::mem::replace(&mut ticket.raised, true) {
                    return self.fail(at, verdict::memory(job, least));
                }
                let more = least / 2 * 3;
                ticket.resources.memory = Some(more);
                let text = format!("job {job} ran out of memory; submitted again with {} MiB", more >> 20);
                self.again(at, text);
            }
            JobEnd::Time => {
                if std::mem::replace(&mut ticket.raised, true) {
                    return self.fail(at, verdict::time(job));
                }
                ticket.resources.minutes = ticket.resources.minutes.map(|minutes| minutes * 2);
                let limit = ticket.resources.minutes.map_or_else(String::new, |minutes| format!(" with {minutes} min"));
                self.again(at, format!("job {job} reached its time limit; submitted again{limit}"));
            }
        }
    }

    /// Submits a stage again, unless it was lost too often.
    fn again(&mut self, at: usize, text: String) {
        let ticket = &mut self.tickets[at];
        (ticket.job, ticket.state, ticket.ended) = (None, None, None);
        let lost = ticket.lost;
        if lost > MOST_LOST {
            return self.fail(at, verdict::lost(lost));
        }
        if self.draining {
            let ticket = self.tickets.remove(at);
            return self.tell(ClusterNews::Withdrawn(ticket.id));
        }
        let stage = ticket.order.stage.clone();
        self.warn(&stage, "job-again", text);
    }

    /// Cancels jobs that wait, and gives up stages without jobs.
    fn drain(&mut self) {
        self.draining = true;
        let mut cancelled = Vec::new();
        for ticket in std::mem::take(&mut self.tickets) {
            match (&ticket.job, ticket.state) {
                (Some(_), Some(JobState::Running | JobState::Ending)) => self.tickets.push(ticket),
                (job, _) => {
                    cancelled.extend(job.clone());
                    self.tell(ClusterNews::Withdrawn(ticket.id));
                }
            }
        }
        if !cancelled.is_empty() {
            let _ = self.client.cancel(&cancelled);
        }
    }
}

/// Why a job was not submitted.
enum SubmitError {
    Client(ClientError),
    Store(StageError),
}
