//! Stages that jobs of a cluster compute: which ones, handing them over, and taking back what became of them. Talks to the
//! thread that submits jobs, not to the cluster.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use super::super::events::Event;
use super::super::job::{self, Job};
use super::super::slurm::client::SlurmClient;
use super::super::slurm::{self, Cluster, ClusterCommand, ClusterNews, JobRequest};
use super::super::state::State;
use super::{Executor, Failures};
use crate::base::{Digest, threads};
use crate::lang::executor::ExecutorSpec;
use crate::plan::{Decision, StageId};
use crate::stage::{StageError, Work};
use crate::store::{ComputedItems, JobAttempt, StageOutcome};

/// Stages that took less time when they were computed last are computed here: seconds.
const QUICK: f64 = 10.0;

/// Connection of an executor to the thread that submits jobs.
pub struct ClusterLink {
    spec: ExecutorSpec,
    client: SlurmClient,
    commands: Option<Sender<ClusterCommand>>,
    news: Option<Receiver<ClusterNews>>,
    drained: bool,
    /// macula in the store, once it was copied there.
    binary: Option<Digest>,
}

impl ClusterLink {
    /// A connection that is not open yet.
    #[must_use]
    pub fn new((spec, client): (ExecutorSpec, SlurmClient)) -> Self {
        Self { spec, client, commands: None, news: None, drained: false, binary: None }
    }
}

impl<'a> Executor<'a> {
    /// Starts the thread that submits jobs, if there is a cluster.
    pub(super) fn begin_cluster<'scope>(&mut self, scope: &'scope Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        let shared = self.shared;
        let Some(link) = &mut self.cluster else { return };
        let ((commands, received), (sender, news)) = (channel(), channel());
        (link.commands, link.news) = (Some(commands), Some(news));
        let cluster = Cluster::new(shared, link.client.clone(), link.spec.clone(), sender);
        // Without a thread, nobody receives the first stage, which fails.
        let _ = threads::spawn(scope, move || cluster.run(&received));
    }

    /// Hands over the stages that are queued and go to the cluster.
    pub(super) fn submit_ready(&mut self) {
        if self.cluster.is_none() {
            return;
        }
        let queued = self.states.iter().filter(|(_, state)| **state == State::Queued).map(|(id, _)| id);
        for id in queued.collect::<Vec<_>>() {
            if !self.closing() && self.goes_to_cluster(id) {
                self.submit(id);
            }
        }
    }

    /// Ends the thread. Jobs continue.
    pub(super) fn leave_cluster(&mut self) {
        if let Some(link) = &mut self.cluster {
            link.commands = None;
        }
    }

    /// Whether jobs are awaited: all of them, or after a failure those that run already.
    pub(super) fn awaits_jobs(&mut self) -> bool {
        let failed = self.failures == Failures::FailFast && !self.failed.is_empty();
        let submitted = self.states.count(|state| *state == State::Submitted) > 0;
        if let Some(link) = &mut self.cluster
            && failed
            && submitted
            && !std::mem::replace(&mut link.drained, true)
            && let Some(commands) = &link.commands
        {
            let _ = commands.send(ClusterCommand::Drain);
        }
        submitted && !self.stopping()
    }

    /// Whether a stage that is queued is computed by a job: not a report, not the gathering of finished items, nothing that
    /// takes seconds.
    fn goes_to_cluster(&self, id: StageId) -> bool {
        let Some(ClusterLink { commands: Some(_), .. }) = &self.cluster else { return false };
        let Some(Job::Compute(task)) = self.tasks.get(&id) else { return false };
        let work = self.shared.engine.implementation(id).work;
        let gathers = task.items.is_some_and(|items| items.reused == items.total);
        let is_here = matches!(work, Work::Report(_)) || gathers;
        !is_here && slurm::last_seconds(self.shared, id).is_none_or(|seconds| seconds >= QUICK)
    }

    /// Hands a stage over.
    fn submit(&mut self, id: StageId) {
        let Some(Job::Compute(task)) = self.tasks.remove(&id) else { return };
        let Some(link) = &mut self.cluster else { return };
        let order = match slurm::order(self.shared, id, &task, link.binary) {
            Ok(order) => order,
            Err(error) => return self.take_failure(id, error),
        };
        link.binary = Some(order.binary);
        let resources = slurm::resources(self.shared, &link.spec, id);
        let stage = self.shared.engine.stage(id);
        self.shared.watch.event(&Event::StageBegan {
            stage: stage.name.clone(),
            kind: stage.stage_type.clone(),
            key: task.key,
            reason: self.reasons.remove(&id).unwrap_or_default(),
            items: task.items,
        });
        self.states.set(id, State::Submitted);
        let request = ClusterCommand::Submit(Box::new(JobRequest { id, order, resources }));
        if link.commands.as_ref().is_none_or(|commands| commands.send(request).is_err()) {
            self.states.set(id, State::Waiting);
            let error = StageError::input("no-thread", "cannot start a thread that submits jobs");
            self.take_failure(id, error.hint("raise the limit of processes (`ulimit -u`)"));
        }
    }

    /// Takes what became of stages that were handed over.
    pub(super) fn take_news(&mut self) {
        let Some(ClusterLink { news: Some(news), .. }) = &self.cluster else { return };
        let all: Vec<ClusterNews> = news.try_iter().collect();
        for news in all {
            match news {
                ClusterNews::Done(id, attempt) => self.take_result(id, attempt.as_ref()),
                ClusterNews::Failed(id, error) => {
                    self.states.set(id, State::Waiting);
                    self.take_failure(id, error);
                }
                ClusterNews::Withdrawn(id) => self.states.set(id, State::Waiting),
            }
        }
    }

    /// Takes the result that a job recorded, after verifying it like any other.
    fn take_result(&mut self, id: StageId, attempt: Option<&JobAttempt>) {
        self.states.set(id, State::Ready);
        match self.shared.engine.decide(id, &self.known) {
            Ok(Decision::Reuse(known, reused)) if reused.remote_hit.is_none() => {
                if let Err(error) = job::verify_shown(self.shared, id, &known) {
                    return self.take_failure(id, error.into());
                }
                self.memory.extend(attempt.and_then(|attempt| attempt.peak_bytes).map(|bytes| (id, bytes)));
                let items = attempt.and_then(|attempt| attempt.items);
                let items = items.map(|(computed, total)| ComputedItems { computed, total });
                let became = if self.repairing.contains(&id) { StageOutcome::Repaired } else { StageOutcome::Computed };
                self.end(id, known, became, reused.made.seconds, items, None);
            }
            Ok(Decision::Run(task)) => {
                let stage = &self.shared.engine.stage(id).name;
                let text = match task.absent {
                    crate::store::Absent::OtherTarget(target) => {
                        format!("the job of `{stage}` computed it on `{target}`, which `--exact` does not accept")
                    }
                    _ => format!("the job of `{stage}` left a result that cannot be read"),
                };
                let hint = "run the same command again; without `--exact` it takes results of other processors";
                self.take_failure(id, StageError::input("job-failed", text).hint(hint));
            }
            Ok(decision) => self.take_decision(id, decision),
            Err(error) => self.take_failure(id, error),
        }
    }
}
