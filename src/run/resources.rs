//! Resources that the stages of a run share besides threads: memory and devices. A stage starts when its expected needs
//! are free, so that two trainings do not exhaust the machine together. Results do not depend on it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::decision::params;
use crate::plan::{Engine, StageId, keys};
use crate::stage::Work;
use crate::store::EVERYWHERE;

/// Resource limits of a run: bytes of memory, concurrent stages per device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Memory, bytes.
    pub memory: u64,
    /// Maximum number of stages that compute on the same device at the same time.
    pub per_device: usize,
}

impl ResourceLimits {
    /// Limits for a machine with `memory` bytes, if known: a fifth is left to the system and to mapped files.
    #[must_use]
    pub fn of(memory: Option<u64>) -> Self {
        Self { memory: memory.map_or(u64::MAX, |memory| memory / 5 * 4), per_device: 1 }
    }
}

/// Resources that a stage is expected to use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourceRequest {
    /// Memory in bytes: what the stage held when it last ran, or its own limit; [`None`] if unknown.
    pub memory: Option<u64>,
    /// The device that it computes on, if not the processor.
    pub device: Option<String>,
}

impl ResourceRequest {
    /// The request of a stage, from its parameters and the records of earlier runs.
    #[must_use]
    pub fn of(engine: &Engine, id: StageId) -> Self {
        let (stage, implementation) = (engine.stage(id), engine.implementation(id));
        let target = keys::target(stage, implementation);
        let processor = target == EVERYWHERE || target.split('-').any(|part| part == "cpu");
        let device = (!processor).then(|| {
            let device = target.split('-').find(|part| *part != "candle").unwrap_or(&target);
            device.to_owned()
        });
        let memory = match implementation.work {
            Work::Command { code, .. } => (code.memory)(&params(stage)),
            _ => None,
        };
        let memory = memory.or_else(|| engine.store.runs.memory_of(&engine.pipeline.name, &stage.name));
        Self { memory, device }
    }
}

/// The resources of a run.
#[derive(Debug)]
pub(super) struct ResourcePool {
    limits: ResourceLimits,
    /// Memory assumed for a stage without a record.
    unknown: u64,
    held: BTreeMap<StageId, ResourceRequest>,
}

impl ResourcePool {
    /// A pool for at most `jobs` stages; one without a record counts as a `jobs`-th of the memory.
    pub(super) fn new(limits: ResourceLimits, jobs: usize) -> Self {
        Self { limits, unknown: limits.memory / jobs.max(1) as u64, held: BTreeMap::new() }
    }

    /// Takes a stage's resources and returns whether they were free. A stage that needs more than the limits runs
    /// alone.
    pub(super) fn take(&mut self, id: StageId, need: ResourceRequest) -> bool {
        let held = self.held.values().fold(0, |sum: u64, held| sum.saturating_add(self.bytes(held)));
        let beside = self.held.values().filter(|held| need.device.is_some() && held.device == need.device).count();
        let free =
            held.saturating_add(self.bytes(&need)) <= self.limits.memory && beside < self.limits.per_device.max(1);
        let fits = free || self.held.is_empty();
        if fits {
            self.held.insert(id, need);
        }
        fits
    }

    /// Releases a stage's resources.
    pub(super) fn give_back(&mut self, id: StageId) {
        self.held.remove(&id);
    }

    fn bytes(&self, need: &ResourceRequest) -> u64 {
        need.memory.unwrap_or(self.unknown).min(self.limits.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(memory: Option<u64>, device: Option<&str>) -> ResourceRequest {
        ResourceRequest { memory, device: device.map(str::to_owned) }
    }

    #[test]
    fn stages_share_memory_and_devices() {
        let mut pool = ResourcePool::new(ResourceLimits { memory: 100, per_device: 1 }, 4);
        let [one, two, three] = [1, 2, 3].map(StageId);
        assert!(pool.take(one, need(Some(70), None)));
        assert!(!pool.take(two, need(Some(40), None)), "110 of 100");
        assert!(pool.take(two, need(None, Some("cuda"))), "one that is not known counts a quarter");
        assert!(!pool.take(three, need(Some(1), Some("cuda"))), "the device is in use");
        pool.give_back(one);
        pool.give_back(two);
        assert!(pool.take(three, need(Some(500), Some("cuda"))), "one that needs more than there is runs alone");
        assert!(!pool.take(one, need(Some(1), None)));
    }
}
