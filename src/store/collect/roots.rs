//! What collection keeps, and when each result was last used.

use std::collections::{BTreeMap, BTreeSet};

use super::super::inventory::{Inventory, SegmentFile};
use super::super::{GcLock, Leases, RunRecord, Store, Use};
use super::Policy;
use crate::base::{Digest, disk};

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Keys whose results are kept.
    pub(super) keys: BTreeSet<Digest>,
    /// Objects that are kept.
    pub(super) objects: BTreeSet<Digest>,
    /// Segments that a running process uses.
    items: BTreeSet<Digest>,
    /// When a run last used a key.
    used: BTreeMap<Digest, u64>,
    /// Runs whose records are deleted, the oldest first.
    pub(super) old_runs: Vec<String>,
    /// Items without a result are kept if they were written at or after this time.
    items_since: u64,
}

/// A run as collection sees it: its time, its pipeline, the keys that it used or computed.
struct UsedKeys {
    pipeline: String,
    keys: BTreeSet<Digest>,
    /// From its record, if there is one.
    record: Option<Recorded>,
}

/// The part of a run's record about its time.
struct Recorded {
    /// Nanoseconds since 1970.
    began: u64,
    ended: bool,
}

impl Recorded {
    /// Whether the record of a run that is neither pinned nor recent is deleted.
    fn goes(&self, policy: Policy, gc_lock: &GcLock, now: u64) -> bool {
        let young = |age: u64| self.began.saturating_add(age) >= now;
        // A running process may be about to write how it ended.
        (policy.keep_runs.is_some() || policy.younger_than.is_some())
            && !policy.younger_than.is_some_and(young)
            && (self.ended || gc_lock.leases.living == 0)
    }
}

impl Roots {
    /// What running processes use, and all unfinished work.
    pub(super) fn of_leases(leases: &Leases) -> Self {
        let mut roots = Self::default();
        for one in &leases.used {
            match one {
                Use::Key(key) => _ = roots.keys.insert(*key),
                Use::Object(digest) => _ = roots.objects.insert(*digest),
                Use::Items(stage) => _ = roots.items.insert(*stage),
            }
        }
        roots
    }

    pub(super) fn of(store: &Store, inventory: &Inventory, gc_lock: &GcLock, policy: Policy, now: u64) -> Self {
        let mut roots = Self::of_leases(&gc_lock.leases);
        roots.items.extend(inventory.orders.iter().filter_map(|order| order.items));
        roots.items_since = policy.younger_than.map_or(0, |age| now.saturating_sub(age));
        // Include what other machines wrote a moment ago.
        disk::revalidate_dirs(&[&store.layout().runs(), &store.layout().pins()]);
        let runs = runs(store, inventory, &mut roots.used);
        let pinned = store.pins();
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, run) in runs.iter().rev() {
            let count = kept.entry(&run.pipeline).or_default();
            *count += 1;
            if policy.keep_runs.is_some_and(|runs| *count <= runs) || pinned.contains(id) {
                roots.keys.extend(&run.keys);
            } else if run.record.as_ref().is_some_and(|record| record.goes(policy, gc_lock, now)) {
                roots.old_runs.push(id.clone());
            }
        }
        roots.old_runs.reverse();
        if let Some(age) = policy.younger_than {
            for record in inventory.whole() {
                if roots.used_at(&record.key).max(record.made.began).saturating_add(age) >= now {
                    roots.keys.insert(record.key);
                }
            }
        }
        roots
    }

    /// When a run last used a key: nanoseconds since 1970; 0 if none is on record.
    pub(super) fn used_at(&self, key: &Digest) -> u64 {
        self.used.get(key).copied().unwrap_or(0)
    }

    /// Whether the items of a segment that belong to no result are kept.
    pub(super) fn keeps_items(&self, segment: &SegmentFile) -> bool {
        self.uses_items(segment) || segment.modified >= self.items_since
    }

    /// Whether a running process uses a segment.
    pub(super) fn uses_items(&self, segment: &SegmentFile) -> bool {
        self.items.contains(&segment.stage)
    }
}

/// All runs by id, in order of time. The record of a killed run lists no stages, but its finished results name the run.
fn runs(store: &Store, inventory: &Inventory, used: &mut BTreeMap<Digest, u64>) -> BTreeMap<String, UsedKeys> {
    let mut found: BTreeMap<String, UsedKeys> = BTreeMap::new();
    for run in store.runs.newest_first(None) {
        let record = Some(Recorded { began: run.began, ended: run.has_ended() });
        let RunRecord { id, pipeline, began, stages, compared, .. } = run;
        let keys: BTreeSet<Digest> = stages.values().filter_map(|stage| stage.key).chain(compared).collect();
        for key in &keys {
            let last = used.entry(*key).or_default();
            *last = began.max(*last);
        }
        found.insert(id, UsedKeys { pipeline, keys, record });
    }
    for record in inventory.whole() {
        let made = &record.made;
        let run = found.entry(made.run.clone()).or_insert_with(|| UsedKeys {
            pipeline: made.pipeline.clone(),
            keys: BTreeSet::new(),
            record: None,
        });
        run.keys.insert(record.key);
    }
    found
}
