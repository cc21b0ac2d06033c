//! Which results are deleted: of the candidates, those that free the most bytes per second of recomputation.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::PathBuf;

use super::super::inventory::{Inventory, Placed};
use super::super::{Kind, Record};
use super::Policy;
use super::roots::Roots;
use crate::base::Digest;

/// A result that may be deleted.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) record: &'a Record,
    pub(super) path: PathBuf,
}

/// All results that may be deleted.
pub(super) fn candidates<'a>(inventory: &'a Inventory, roots: &Roots, policy: Policy) -> Vec<Candidate<'a>> {
    if !policy.takes_results() {
        return Vec::new();
    }
    let listed = inventory.records.iter().filter_map(|listed| Some((listed.record.as_ref()?, &listed.path)));
    listed
        .filter(|(record, _)| !roots.keys.contains(&record.key))
        .map(|(record, path)| Candidate { record, path: path.clone() })
        .collect()
}

/// Chooses the results to delete: all candidates, or, given a limit on the remaining bytes, as few as reach it, in the
/// order of bytes freed per second of recomputation. Bytes that several results share count in equal parts for each;
/// recomputing a result includes those of its inputs that were chosen before.
pub(super) fn choose<'a>(
    inventory: &Inventory,
    candidates: Vec<Candidate<'a>>,
    roots: &Roots,
    max_size: Option<u64>,
) -> Vec<Candidate<'a>> {
    let Some(max_size) = max_size else { return candidates };
    let mut tally = Tally::new(inventory, &candidates, roots);
    let mut queue: BinaryHeap<Rated> = (0..candidates.len()).map(|at| tally.rate(at)).collect();
    let mut order = Vec::new();
    while tally.bytes > max_size {
        let Some(top) = queue.pop() else { break };
        let now = tally.rate(top.at);
        // Earlier choices may have made it more expensive.
        if queue.peek().is_some_and(|next| now < *next) {
            queue.push(now);
            continue;
        }
        tally.drop(top.at);
        order.push(top.at);
    }
    // Results that free nothing, because other results still use all of their objects, are kept as well.
    let mut going = Vec::new();
    for at in order.into_iter().rev() {
        if tally.restore(at) > 0 && tally.bytes > max_size {
            tally.drop(at);
            going.push(at);
        }
    }
    going.reverse();
    let mut candidates: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
    going.into_iter().filter_map(|at| candidates[at].take()).collect()
}

/// A candidate and its rate: bytes freed per second of recomputation.
#[derive(PartialEq)]
struct Rated {
    rate: f64,
    used: u64,
    at: usize,
}

impl Eq for Rated {}

impl Ord for Rated {
    /// The larger rate first, then the least recently used, then the oldest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rate.total_cmp(&other.rate).then(other.used.cmp(&self.used)).then(other.at.cmp(&self.at))
    }
}

impl PartialOrd for Rated {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Which results use which objects, and which results were chosen so far.
struct Tally<'a> {
    placed: &'a BTreeMap<Digest, Placed>,
    /// The objects of each candidate.
    objects: Vec<Vec<Digest>>,
    /// How many of the remaining results use an object.
    named: BTreeMap<Digest, u32>,
    /// The recomputation time of each candidate, and the candidates that its inputs came from.
    seconds: Vec<f64>,
    made_from: Vec<Vec<usize>>,
    used: Vec<u64>,
    gone: Vec<bool>,
    /// Bytes of the objects that are still in use.
    bytes: u64,
}

impl<'a> Tally<'a> {
    fn new(inventory: &'a Inventory, candidates: &[Candidate], roots: &Roots) -> Self {
        let mut named: BTreeMap<Digest, u32> = BTreeMap::new();
        let of = |record: &Record| -> Vec<Digest> {
            let outputs = inventory.outputs(record).into_iter().map(|entry| entry.digest);
            outputs.filter(|digest| inventory.objects.contains_key(digest)).collect()
        };
        for digest in inventory.whole().flat_map(&of).chain(roots.objects.iter().copied()) {
            *named.entry(digest).or_default() += 1;
        }
        let mut makers: BTreeMap<Digest, usize> = BTreeMap::new();
        for (at, one) in candidates.iter().enumerate() {
            for stored in one.record.outputs.values() {
                makers.entry(stored.tree).or_insert(at);
            }
        }
        let made_from = |one: &Candidate| -> Vec<usize> {
            one.record.manifest.of(Kind::Input).filter_map(|input| makers.get(&input.content).copied()).collect()
        };
        let bytes = named.keys().filter_map(|digest| Some(inventory.objects.get(digest)?.size)).sum();
        Self {
            placed: &inventory.objects,
            objects: candidates.iter().map(|one| of(one.record)).collect(),
            named,
            seconds: candidates.iter().map(|one| one.record.made.seconds_to_recompute()).collect(),
            made_from: candidates.iter().map(made_from).collect(),
            used: candidates.iter().map(|one| roots.used_at(&one.record.key).max(one.record.made.began)).collect(),
            gone: vec![false; candidates.len()],
            bytes,
        }
    }

    fn rate(&self, at: usize) -> Rated {
        let share = |digest: &Digest| {
            let size = self.placed.get(digest).map_or(0, |placed| placed.size);
            size as f64 / f64::from(self.named.get(digest).copied().unwrap_or(1).max(1))
        };
        let bytes: f64 = self.objects[at].iter().map(share).sum();
        Rated { rate: bytes / self.cost(at).max(1e-3), used: self.used[at], at }
    }

    /// Seconds to recompute a candidate together with its deleted inputs.
    fn cost(&self, at: usize) -> f64 {
        let mut seen = BTreeSet::from([at]);
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            open.extend(self.made_from[at].iter().copied().filter(|from| self.gone[*from] && seen.insert(*from)));
        }
        seen.into_iter().map(|at| self.seconds[at]).sum()
    }

    fn drop(&mut self, at: usize) {
        self.gone[at] = true;
        for digest in &self.objects[at] {
            let Some(count) = self.named.get_mut(digest) else { continue };
            *count -= 1;
            if *count == 0 {
                self.bytes -= self.placed.get(digest).map_or(0, |placed| placed.size);
            }
        }
    }

    /// Puts a candidate back and returns the bytes that only it uses.
    fn restore(&mut self, at: usize) -> u64 {
        self.gone[at] = false;
        let mut kept = 0;
        for digest in &self.objects[at] {
            let Some(count) = self.named.get_mut(digest) else { continue };
            *count += 1;
            if *count == 1 {
                kept += self.placed.get(digest).map_or(0, |placed| placed.size);
            }
        }
        self.bytes += kept;
        kept
    }
}
