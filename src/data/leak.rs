//! What may not stand on two sides of a split: a patient, a photograph, a patch with the same pixels.
//!
//! Equal pixels have equal means, deviations and histograms, which are in the table: only where those agree are pixels read
//! and compared. Patches as good as constant (each channel's deviation under one level: the surround) are equal by nature.

use std::collections::BTreeMap;

use super::patches::{Part, PatchSet, PatchRow, Shard};
use super::split::SPLITS;
use crate::base::{Digest, Hasher};
use crate::stage::StageError;
use crate::store::Objects;

/// Refuses a split on whose sides the same patient, photograph or patch stands.
///
/// # Errors
/// `leak`, naming both places; store errors where pixels had to be read.
pub fn refuse(set: &PatchSet, sides: &[usize], objects: &Objects) -> Result<(), StageError> {
    patients(set, sides)?;
    photographs(set, sides)?;
    patches(set, sides, objects)
}

fn patients(set: &PatchSet, sides: &[usize]) -> Result<(), StageError> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        let Some(patient) = &part.patient else { continue };
        let first = *seen.entry(patient).or_insert(at);
        if sides[first] != sides[at] {
            let text = format!(
                "patient `{patient}` is on two sides: {} and {}",
                place(&set.parts[first], sides[first]),
                place(part, sides[at])
            );
            return Err(leak(text, "write `by patient`, or put all photographs of a patient on one side"));
        }
    }
    Ok(())
}

fn photographs(set: &PatchSet, sides: &[usize]) -> Result<(), StageError> {
    let mut seen: BTreeMap<Digest, usize> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        let first = *seen.entry(part.digest).or_insert(at);
        if sides[first] != sides[at] {
            let text = format!(
                "the same photograph is on two sides: {} and {} have the same bytes",
                place(&set.parts[first], sides[first]),
                place(part, sides[at])
            );
            return Err(leak(text, "remove one of them, or put both on one side"));
        }
    }
    Ok(())
}

fn patches(set: &PatchSet, sides: &[usize], objects: &Objects) -> Result<(), StageError> {
    let mut alike: BTreeMap<Digest, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        for (row, facts) in part.rows.iter().enumerate().filter(|(_, row)| !as_good_as_constant(row)) {
            alike.entry(facts_of(facts)).or_default().push((at, row));
        }
    }
    alike.retain(|_, places| places.iter().any(|(part, _)| sides[*part] != sides[places[0].0]));
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
            if sides[first.0] != sides[at] {
                let spot = |(at, row): (usize, usize)| {
                    let (part, row) = (&set.parts[at], &set.parts[at].rows[row]);
                    format!("x {} y {} of {}", row.x, row.y, place(part, sides[at]))
                };
                let text = format!("the same patch is on two sides: {} and {}", spot(first), spot((at, row)));
                let hint = "the two photographs show the same eye: remove one of them, or put both on one side";
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

/// The pixels of a patch without the margin around it: u8, size x size x 3.
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

fn place(part: &Part, side: usize) -> String {
    format!("`{}` in `{}`", part.photograph, SPLITS[side])
}

fn leak(text: String, hint: &str) -> StageError {
    StageError::input("leak", text).hint(hint).field("by")
}
