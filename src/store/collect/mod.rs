//! Collection: what may go, what it frees, what it would cost to compute again, and taking it away. Knows no stage.
//!
//! A *result* (a record and the objects that it names) goes whole or not at all. Objects go when nothing that stays names
//! them. While collection works it holds the gate (`super::lease`), so no process can begin to rely on what goes.

mod choice;
mod roots;

use std::collections::BTreeSet;

use choice::Candidate;
use roots::Roots;

use super::inventory::{Inventory, files, nanoseconds};
use super::verify::Maker;
use super::{Claim, GcLock, Store, StoreError, Use, claim, items, verify};
use crate::base::Digest;

/// What is kept. Without any of it only what no result names goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What the last so many runs of each pipeline used.
    pub keep_runs: Option<usize>,
    /// What was used within so many nanoseconds.
    pub younger_than: Option<u64>,
    /// Of the rest, as much as fits with all else into so many bytes of objects.
    pub max_size: Option<u64>,
}

impl Policy {
    /// Whether results may go at all.
    fn takes_results(self) -> bool {
        self != Self::default()
    }
}

/// Whether it is only said or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only said.
    DryRun,
    /// Done.
    Sweep,
}

/// A result that goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// Where it came from.
    pub maker: Maker,
    /// Its key.
    pub key: Digest,
    /// When a run last used it: nanoseconds since 1970.
    pub used: u64,
    /// Bytes of the objects that go with it; what several results share is counted with the last of them.
    pub bytes: u64,
    /// How long computing it again takes, seconds.
    pub seconds: f64,
}

/// What goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Results, in the order in which they were chosen.
    pub results: Vec<Gone>,
    /// Objects that go, those that nothing named too.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes among them that stay on the disk while `results/` or a copy by `get --link` still names them.
    pub linked: u64,
    /// Bytes of objects before.
    pub before: u64,
    /// Bytes among `bytes` that no result named.
    pub unnamed: u64,
    /// How long computing all results again would take, one after the other, seconds.
    pub seconds: f64,
    /// Processes that use the store meanwhile.
    pub living: usize,
    /// Checkpoints of unfinished work that go.
    pub checkpoints: usize,
    /// Runs whose records go.
    pub runs: usize,
    /// Bytes of those records, which are no objects.
    pub run_bytes: u64,
}

/// Collects. `now` is nanoseconds since 1970.
///
/// # Errors
/// [`StoreError::Disk`]; what was taken away until then was not needed by what is left.
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
        living: gc_lock.living,
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
    collected.unnamed = collected.bytes - collected.results.iter().map(|gone| gone.bytes).sum::<u64>();
    if mode == Mode::Sweep {
        let paths: Vec<_> = going.iter().map(|one| one.path.clone()).collect();
        let gone: Vec<Digest> = gone.into_iter().map(|(digest, ..)| digest).collect();
        sweep(store, &inventory, &gc_lock, &paths, &gone)?;
        store.runs.sweep();
        roots.old_runs.iter().for_each(|id| store.runs.remove(id));
        for key in &checkpoints {
            // Who begins with the key just now waits, or keeps them.
            if let Some(claim) = Claim::take(store.layout(), key)? {
                claim.discard();
            }
        }
    }
    Ok(collected)
}

/// All objects that something names that stays.
fn kept_objects(inventory: &Inventory, roots: &Roots, going: &[Candidate]) -> BTreeSet<Digest> {
    let going: BTreeSet<(Digest, &str)> =
        going.iter().map(|one| (one.record.key, one.record.target.as_str())).collect();
    let goes = |record: &super::Record| going.contains(&(record.key, record.target.as_str()));
    let mut keep: BTreeSet<Digest> = roots.objects.clone();
    let mut of_results = BTreeSet::new();
    for record in inventory.whole() {
        let named: Vec<Digest> = inventory.outputs(record).into_iter().map(|entry| entry.digest).collect();
        of_results.extend(named.iter().copied());
        if !goes(record) {
            keep.extend(named);
        }
    }
    // What no result made and a recipe needs was made by a source.
    for record in inventory.whole().filter(|record| !goes(record)) {
        let needed = inventory.inputs(record).into_iter().map(|entry| entry.digest);
        keep.extend(needed.filter(|digest| !of_results.contains(digest)));
        let trees = record.recipe.iter().flat_map(|recipe| &recipe.inputs);
        keep.extend(trees.map(|given| given.tree.object.digest));
    }
    // Items without a result are work that is not finished.
    for segment in inventory.segments.iter().filter(|segment| roots.keeps_items(segment)) {
        let named = segment.found.records.iter().flat_map(|item| item.tree.entries.values()).map(|entry| entry.digest);
        keep.extend(named.filter(|digest| roots.uses_items(segment) || !of_results.contains(digest)));
    }
    keep
}

/// Checkpoints that nobody goes on from and nobody touched for long.
fn old_checkpoints(store: &Store, policy: Policy, now: u64) -> Result<Vec<Digest>, StoreError> {
    let Some(age) = policy.younger_than else { return Ok(Vec::new()) };
    let old = files(&store.layout().all_partial())?.into_iter().filter_map(|folder| {
        let key = folder.file_name().to_str()?.parse().ok()?;
        let untouched = nanoseconds(&folder.metadata().ok()?).saturating_add(age) < now;
        (untouched && !claim::held(store.layout(), &key)).then_some(key)
    });
    Ok(old.collect())
}

/// Takes away records first, so that none ever names what is gone.
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
    // They name trees that nothing else may name; a source looks again.
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
