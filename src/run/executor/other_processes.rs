//! Other processes on the same store: a stage that one of them computes is waited for without resources, while other
//! stages run.

use std::collections::VecDeque;

use super::super::events::Event;
use super::super::job::Job;
use super::super::resources::ResourceRequest;
use super::super::state::State;
use super::Executor;
use crate::plan::StageId;

impl Executor<'_> {
    /// The next stage that may run, with its resources taken. Waiting for other processes takes none.
    pub(super) fn next_free(&mut self) -> Option<StageId> {
        let engine = self.shared.engine;
        let mut queue = self.queue();
        while let Some(id) = queue.pop_front() {
            if self.is_elsewhere(id) {
                let first = self.elsewhere.is_empty();
                self.wait_elsewhere(id);
                if first {
                    queue = self.queue();
                }
                continue;
            }
            let need = self.needs.entry(id).or_insert_with(|| ResourceRequest::of(engine, id));
            if self.pool.take(id, need.clone()) {
                return Some(id);
            }
        }
        None
    }

    /// The queued stages; in reverse order if another process works on the same pipeline, so that the two meet in the
    /// middle.
    fn queue(&self) -> VecDeque<StageId> {
        let queued = self.states.iter().filter(|(_, state)| **state == State::Queued).map(|(id, _)| id);
        let queued: VecDeque<StageId> = queued.collect();
        if self.elsewhere.is_empty() { queued } else { queued.into_iter().rev().collect() }
    }

    /// Whether another process is computing a stage.
    fn is_elsewhere(&self, id: StageId) -> bool {
        matches!(self.tasks.get(&id), Some(Job::Compute(task)) if self.shared.engine.store.is_claimed(&task.key))
    }

    /// Makes a stage wait for another process.
    pub(super) fn wait_elsewhere(&mut self, id: StageId) {
        self.states.set(id, State::Elsewhere);
        if self.elsewhere.insert(id) {
            let stage = self.shared.engine.stage(id).name.clone();
            self.shared.watch.event(&Event::StageWaits { stage });
        }
    }

    /// Decides stages again that other processes released: they are done, or must be computed here.
    pub(super) fn look_elsewhere(&mut self) {
        let elsewhere: Vec<StageId> =
            self.states.iter().filter(|(_, state)| **state == State::Elsewhere).map(|(id, _)| id).collect();
        for id in elsewhere.into_iter().filter(|id| !self.is_elsewhere(*id)).collect::<Vec<_>>() {
            self.tasks.remove(&id);
            self.states.set(id, State::Waiting);
        }
    }
}
