//! Garbage collection: what may be deleted, what that frees, what recomputing it would cost, and deleting it. Knows no
//! stage.
//!
//! A *result* (a record and its objects) is deleted as a whole or not at all. An object is deleted when nothing that
//! remains refers to it. Collection holds the GC lock (`super::lease`) throughout, so no process can start to rely on
//! what is deleted.

mod choice;
mod roots;

use std::collections::BTreeSet;

use choice::Candidate;
use roots::Roots;

use super::inventory::{Inventory, files};
use super::verify::Maker;
use super::{Claim, GcLock, Leases, Order, Store, StoreError, Use, claim, items, verify};
use crate::base::{Digest, disk};

/// What to keep. The default deletes only what no result refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keep what the last so many runs of each pipeline used.
    pub keep_runs: Option<usize>,
    /// Keep what was used within so many nanoseconds.
    pub younger_than: Option<u64>,
    /// Of the rest, keep as much as fits into so many bytes of objects overall.
    pub max_size: Option<u64>,
}

impl Policy {
    /// Whether results may be deleted at all.
    fn takes_results(self) -> bool {
        self != Self::default()
    }
}

/// Whether to delete or only to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only report.
    DryRun,
    /// Delete.
    Sweep,
}

/// A deleted result.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// Where it came from.
    pub maker: Maker,
    /// Its key.
    pub key: Digest,
    /// When a run last used it: nanoseconds since 1970.
    pub used: u64,
    /// Bytes of the objects that are deleted with it; what several results share counts with the last of them.
    pub bytes: u64,
    /// Estimated seconds to recompute it.
    pub seconds: f64,
}

/// What is deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Results, in the order in which they were chosen.
    pub results: Vec<Gone>,
    /// Number of objects, including those that nothing referred to.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The part of `bytes` that stays on disk while `results/` or a `get --link` still has a hard link.
    pub linked: u64,
    /// Bytes of all objects before.
    pub before: u64,
    /// The part of `bytes` that is [`unreferenced`], whatever the policy.
    pub unnamed: u64,
    /// Estimated seconds to recompute all of these results, one after the other.
    pub seconds: f64,
    /// Number of processes using the store at the same time.
    pub living: usize,
    /// Number of deleted checkpoints of unfinished work.
    pub checkpoints: usize,
    /// Number of runs whose records are deleted.
    pub runs: usize,
    /// Bytes of those records (which are not objects).
    pub run_bytes: u64,
}

/// Collects. `now` is nanoseconds since 1970.
///
/// # Errors
/// [`StoreError::Disk`]; nothing that remains needs what was deleted by then.
pub fn collect(store: &Store, policy: Policy, mode: Mode, now: u64) -> Result<Collected, StoreError> {
    let gc_lock = GcLock::acquire(store.layout())?;
    let inventory = Inventory::of(store)?;
    let roots = Roots::of(store, &inventory, &gc_lock, policy, now);
    let candidates = choice::candidates(&inventory, &roots, policy);
    let going = choice::choose(&inventory, candidates, &roots, policy.max_size);
    let keep = kept_objects(&inventory, &roots, &going);
    let gone: Vec<(Digest, u64, bool)> = inventory
        .objects
        .iter()
        .filter(|(digest, _)| !keep.contains(digest))
        .map(|(digest, placed)| (*digest, placed.size, placed.linked))
        .collect();
    let checkpoints = old_checkpoints(store, policy, now)?;
    let mut collected = Collected {
        objects: gone.len(),
        bytes: gone.iter().map(|(_, size, _)| size).sum(),
        linked: gone.iter().filter(|(.., linked)| *linked).map(|(_, size, _)| size).sum(),
        before: inventory.bytes(),
        seconds: going.iter().map(|one| one.record.made.seconds_to_recompute()).sum(),
        living: gc_lock.leases.living,
        unnamed: unreferenced(&inventory, &gc_lock.leases),
        checkpoints: checkpoints.len(),
        runs: roots.old_runs.len(),
        run_bytes: roots.old_runs.iter().map(|id| store.runs.bytes(id)).sum(),
        ..Collected::default()
    };
    let mut left: BTreeSet<Digest> = gone.iter().map(|(digest, ..)| *digest).collect();
    for one in going.iter().rev() {
        let own = inventory.outputs(one.record).into_iter().filter(|entry| left.remove(&entry.digest));
        collected.results.push(Gone {
            maker: verify::maker(one.record),
            key: one.record.key,
            used: roots.used_at(&one.record.key).max(one.record.made.began),
            bytes: own.map(|entry| entry.size).sum(),
            seconds: one.record.made.seconds_to_recompute(),
        });
    }
    collected.results.reverse();
    if mode == Mode::Sweep {
        let paths: Vec<_> = going.iter().map(|one| one.path.clone()).collect();
        let gone: Vec<Digest> = gone.into_iter().map(|(digest, ..)| digest).collect();
        sweep(store, &inventory, &gc_lock, &paths, &gone)?;
        store.runs.sweep();
        Order::sweep(store.layout(), now);
        roots.old_runs.iter().for_each(|id| store.runs.remove(id));
        for key in &checkpoints {
            // A process that starts on the key right now waits, or keeps them.
            if let Some(claim) = Claim::take(store.layout(), key)? {
                claim.discard();
            }
        }
    }
    Ok(collected)
}

/// Bytes of the objects that collection deletes under every policy: no result needs them, neither as output nor as input, no
/// unfinished work and no running process.
#[must_use]
pub fn unreferenced(inventory: &Inventory, leases: &Leases) -> u64 {
    let keep = kept_objects(inventory, &Roots::of_leases(leases), &[]);
    let gone = inventory.objects.iter().filter(|(digest, _)| !keep.contains(digest));
    gone.map(|(_, placed)| placed.size).sum()
}

/// All objects that something remaining refers to.
fn kept_objects(inventory: &Inventory, roots: &Roots, going: &[Candidate]) -> BTreeSet<Digest> {
    let going: BTreeSet<(Digest, &str)> =
        going.iter().map(|one| (one.record.key, one.record.target.as_str())).collect();
    let goes = |record: &super::Record| going.contains(&(record.key, record.target.as_str()));
    let mut keep: BTreeSet<Digest> = roots.objects.clone();
    keep.extend(inventory.ordered());
    let mut of_results = BTreeSet::new();
    for record in inventory.whole() {
        let named: Vec<Digest> = inventory.outputs(record).into_iter().map(|entry| entry.digest).collect();
        of_results.extend(named.iter().copied());
        if !goes(record) {
            keep.extend(named);
        }
    }
    // Inputs that no result produced came from a source.
    for record in inventory.whole().filter(|record| !goes(record)) {
        let needed = inventory.inputs(record).into_iter().map(|entry| entry.digest);
        keep.extend(needed.filter(|digest| !of_results.contains(digest)));
        let trees = record.recipe.iter().flat_map(|recipe| &recipe.inputs);
        keep.extend(trees.map(|given| given.tree.object.digest));
    }
    // Items without a result belong to unfinished work.
    for segment in inventory.segments.iter().filter(|segment| roots.keeps_items(segment)) {
        let named = segment.found.records.iter().flat_map(|item| item.tree.entries.values()).map(|entry| entry.digest);
        keep.extend(named.filter(|digest| roots.uses_items(segment) || !of_results.contains(digest)));
    }
    keep
}

/// Checkpoints that no process uses and that were not touched for a long time.
fn old_checkpoints(store: &Store, policy: Policy, now: u64) -> Result<Vec<Digest>, StoreError> {
    let Some(age) = policy.younger_than else { return Ok(Vec::new()) };
    let old = files(&store.layout().all_partial())?.into_iter().filter_map(|folder| {
        let key = folder.file_name().to_str()?.parse().ok()?;
        let untouched = disk::modified(&folder.metadata().ok()?).saturating_add(age) < now;
        (untouched && !claim::held(store.layout(), &key)).then_some(key)
    });
    Ok(old.collect())
}

/// Deletes records first, so that no record ever refers to a deleted object.
fn sweep(
    store: &Store,
    inventory: &Inventory,
    gc_lock: &GcLock,
    records: &[std::path::PathBuf],
    objects: &[Digest],
) -> Result<(), StoreError> {
    for path in records {
        remove(path)?;
    }
    for digest in objects {
        remove(&store.objects.place(digest))?;
    }
    let gone: BTreeSet<&Digest> = objects.iter().collect();
    for segment in inventory.segments.iter().filter(|segment| !gc_lock.uses(Use::Items(segment.stage))) {
        let whole = |item: &&items::ItemRecord| item.tree.entries.values().all(|entry| !gone.contains(&entry.digest));
        let left: Vec<items::ItemRecord> = segment.found.records.iter().filter(whole).cloned().collect();
        if left.len() < segment.found.records.len() {
            items::replace(&segment.path, &left)?;
        }
    }
    // They refer to trees that may be deleted; the sources are listed again.
    for look in files(&store.layout().all_snapshots())? {
        remove(&look.path())?;
    }
    for damaged in files(&store.layout().objects().join("quarantine"))? {
        remove(&damaged.path())?;
    }
    Ok(())
}

fn remove(path: &std::path::Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::disk("delete", path)(error)),
        _ => Ok(()),
    }
}
