//! Leakage check of a split: no patient, photograph or identical patch may occur in two splits.
//!
//! Equal pixels have equal means, deviations and histograms, which are in the table; pixels are only read and compared if those agree.
//! Nearly constant patches (deviation of each channel below one grey level: the background) are exempt.

use std::collections::BTreeMap;

use super::patches::{Part, PatchRow, PatchSet, Shard};
use super::split::SPLITS;
use crate::base::{Digest, Hasher};
use crate::stage::StageError;
use crate::store::Objects;

/// Rejects a split in which a patient, photograph or patch occurs in two of the sets.
///
/// # Errors
/// `leak`, naming both occurrences; store errors if pixels had to be read.
pub fn refuse(set: &PatchSet, splits: &[usize], objects: &Objects) -> Result<(), StageError> {
    patients(set, splits)?;
    photographs(set, splits)?;
    patches(set, splits, objects)
}

fn patients(set: &PatchSet, splits: &[usize]) -> Result<(), StageError> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        let Some(patient) = &part.patient else { continue };
        let first = *seen.entry(patient).or_insert(at);
        if splits[first] != splits[at] {
            let text = format!(
                "patient `{patient}` is in two splits: {} and {}",
                place(&set.parts[first], splits[first]),
                place(part, splits[at])
            );
            return Err(leak(text, "use `by patient`, or put all photographs of a patient in one split"));
        }
    }
    Ok(())
}

fn photographs(set: &PatchSet, splits: &[usize]) -> Result<(), StageError> {
    let mut seen: BTreeMap<Digest, usize> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        let first = *seen.entry(part.digest).or_insert(at);
        if splits[first] != splits[at] {
            let text = format!(
                "the same photograph is in two splits: {} and {} are identical files",
                place(&set.parts[first], splits[first]),
                place(part, splits[at])
            );
            return Err(leak(text, "remove one of them, or put both in one split"));
        }
    }
    Ok(())
}

fn patches(set: &PatchSet, splits: &[usize], objects: &Objects) -> Result<(), StageError> {
    let mut alike: BTreeMap<Digest, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        for (row, facts) in part.rows.iter().enumerate().filter(|(_, row)| !as_good_as_constant(row)) {
            alike.entry(facts_of(facts)).or_default().push((at, row));
        }
    }
    alike.retain(|_, places| places.iter().any(|(part, _)| splits[*part] != splits[places[0].0]));
    let mut shards: BTreeMap<usize, Shard> = BTreeMap::new();
    for places in alike.values() {
        let mut seen: BTreeMap<Digest, (usize, usize)> = BTreeMap::new();
        for &(at, row) in places {
            if let std::collections::btree_map::Entry::Vacant(none) = shards.entry(at) {
                none.insert(Shard::open(&set.parts[at], &set.info, objects)?);
            }
            let facts = &set.parts[at].rows[row];
            let pixels = inner(shards[&at].pixels(facts.index), set.info.size, set.info.margin);
            let first = *seen.entry(Digest::of(&pixels)).or_insert((at, row));
            if splits[first.0] != splits[at] {
                let spot = |(at, row): (usize, usize)| {
                    let (part, row) = (&set.parts[at], &set.parts[at].rows[row]);
                    format!("x {} y {} of {}", row.x, row.y, place(part, splits[at]))
                };
                let text = format!("the same patch is in two splits: {} and {}", spot(first), spot((at, row)));
                let hint = "the two photographs share pixels: remove one of them, or put both in one split";
                return Err(leak(text, hint));
            }
        }
    }
    Ok(())
}

fn as_good_as_constant(row: &PatchRow) -> bool {
    row.deviation.iter().all(|deviation| *deviation < 1.0)
}

fn facts_of(row: &PatchRow) -> Digest {
    let mut hasher = Hasher::new("macula patch facts 1");
    row.mean.iter().chain(&row.deviation).for_each(|figure| _ = hasher.real(f64::from(*figure)));
    row.histogram.iter().for_each(|count| _ = hasher.int(u64::from(*count)));
    hasher.finish()
}

/// Pixels of a patch without its margin: u8, size x size x 3.
#[must_use]
pub fn inner(pixels: &[u8], size: u32, margin: u32) -> Vec<u8> {
    let (size, margin) = (size as usize, margin as usize);
    let line = 3 * (size + 2 * margin);
    pixels
        .chunks_exact(line)
        .skip(margin)
        .take(size)
        .flat_map(|row| &row[3 * margin..3 * (margin + size)])
        .copied()
        .collect()
}

fn place(part: &Part, split: usize) -> String {
    format!("`{}` in `{}`", part.photograph, SPLITS[split])
}

fn leak(text: String, hint: &str) -> StageError {
    StageError::input("leak", text).hint(hint).field("by")
}
