//! What the stages of a run share beside its threads: memory and devices. A stage begins where what it is expected to hold is free,
//! so that two trainings do not exhaust a machine together. Results do not depend on it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lang::value::Value;
use crate::plan::{Engine, StageId, keys};
use crate::stage::Work;
use crate::store::EVERYWHERE;

/// How much there is to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Bytes.
    pub memory: u64,
    /// Stages that may compute on the same device at the same time.
    pub per_device: usize,
}

impl ResourceLimits {
    /// Of a machine that has `memory` bytes, where that is known: a fifth of it is left to the system and to what is mapped.
    #[must_use]
    pub fn of(memory: Option<u64>) -> Self {
        Self { memory: memory.map_or(u64::MAX, |memory| memory / 5 * 4), per_device: 1 }
    }
}

/// What a stage is expected to hold while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourceRequest {
    /// Bytes: what it held when it last ran, or what it may hold at most; [`None`] where that is not known.
    pub memory: Option<u64>,
    /// The device that it computes on, where that is not the processor.
    pub device: Option<String>,
}

impl ResourceRequest {
    /// What a stage needs, as far as its parameters and the records of earlier runs tell.
    #[must_use]
    pub fn of(engine: &Engine, id: StageId) -> Self {
        let (stage, implementation) = (engine.stage(id), engine.implementation(id));
        let target = keys::target(stage, implementation);
        let device = (target != EVERYWHERE && !target.starts_with("cpu-")).then(|| {
            let device = target.split('-').next().unwrap_or(&target);
            device.to_owned()
        });
        let memory = match (implementation.work, stage.params.get("memory")) {
            // Commands may be told how much each of their processes may hold, in MiB.
            (Work::Command { .. }, Some(Value::Int(most))) => u64::try_from(*most).ok().map(|most| most << 20),
            _ => engine.store.runs.memory_of(&engine.pipeline.name, &stage.name),
        };
        Self { memory, device }
    }
}

/// The slots of a run.
#[derive(Debug)]
pub(super) struct ResourcePool {
    limits: ResourceLimits,
    /// What a stage without a record counts.
    unknown: u64,
    held: BTreeMap<StageId, ResourceRequest>,
}

impl ResourcePool {
    /// ResourcePool for at most `jobs` stages: without a record, each counts as one of so many that fill the memory.
    pub(super) fn new(limits: ResourceLimits, jobs: usize) -> Self {
        Self { limits, unknown: limits.memory / jobs.max(1) as u64, held: BTreeMap::new() }
    }

    /// Takes what a stage needs, and returns whether that was free. One that needs more than there is runs alone.
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

    /// Gives back what a stage took.
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
