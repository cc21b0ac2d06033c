//! Repair during a run: when stored bytes are damaged or missing, the stage that produced them runs again, and the
//! stages that need them wait.

use super::super::events::Event;
use super::super::state::State;
use super::Executor;
use crate::plan::StageId;
use crate::store::{Artifact, StoreError, Tree};

/// How often a stage may find the same object damaged in one run, each time after its repair, before that counts as a
/// failure.
const REPAIRS: usize = 2;

impl Executor<'_> {
    /// If stored bytes are damaged or missing, runs the stage that produced them again, and this one after it.
    pub(super) fn repair(&mut self, id: StageId, error: StoreError) -> Result<(), StoreError> {
        let (StoreError::Damaged { digest, .. } | StoreError::Missing { digest }) = &error else { return Err(error) };
        let digest = *digest;
        // Whichever stage repairs it, and however often: a stage that keeps finding it damaged fails.
        let times = self.found.entry((id, digest)).or_default();
        *times += 1;
        if *times > REPAIRS {
            return Err(error);
        }
        let engine = self.shared.engine;
        let above = engine.graph.with_needs(&[id]);
        let made_it = |maker: &&StageId| {
            let mut outputs = self.known.get(maker).into_iter().flat_map(|known| known.outputs.values());
            let names = |tree: &Tree| tree.entries.values().any(|entry| entry.digest == digest);
            let of = |made: &Artifact| {
                made.object().is_some_and(|object| object.digest == digest)
                    || made.tree(&engine.store.objects).is_ok_and(names)
            };
            **maker != id && outputs.any(of)
        };
        // The first stage in order produced it, the others pass it on. If none did, it is an item or a checkpoint of
        // this stage.
        let maker =
            engine.graph.order().iter().filter(|maker| above.contains(maker)).find(made_it).copied().unwrap_or(id);
        // Several stages may find the same damage: during the repair that is one finding, and after it there is nothing
        // to do.
        let first = !self.repairing.contains(&maker);
        if first && maker != id && engine.store.objects.verify(&digest).is_ok() {
            self.wait_again(id, id);
            return Ok(());
        }
        if first && let Some(key) = self.known.get(&maker).and_then(|known| known.key) {
            engine.store.forget(&key)?;
        }
        self.repairing.insert(maker);
        self.shared.watch.event(&Event::Repairing {
            stage: engine.stage(maker).name.clone(),
            text: error.to_string(),
            found_by: engine.stage(id).name.clone(),
        });
        self.wait_again(maker, id);
        Ok(())
    }

    /// Makes `stage` and its dependants wait for their inputs again; of the running ones only `ended`.
    fn wait_again(&mut self, stage: StageId, ended: StageId) {
        for again in self.shared.engine.graph.with_dependants(&[stage]) {
            if !matches!(self.states.get(again), State::Running | State::Elsewhere) || again == ended {
                self.known.remove(&again);
                self.tasks.remove(&again);
                self.states.set(again, State::Waiting);
            }
        }
    }
}
