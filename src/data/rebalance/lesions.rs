//! Number of copies of each lesion patch in the rebalanced set.

use super::LesionSampling;
use crate::base::Streams;
use crate::data::counts::PatchCounts;
use crate::data::patches::{Health, Label, PatchRow, PatchSet};

/// Copies for each part and row; 0 for dropped patches and for every patch without a lesion.
pub(super) fn copies(set: &PatchSet, lesions: LesionSampling, streams: &Streams) -> Vec<Vec<u32>> {
    let before = PatchCounts::of(set).positives;
    match lesions {
        LesionSampling::Keep => {
            let kept = |row: &PatchRow| if row.health() == Health::Lesion { row.copies } else { 0 };
            set.parts.iter().map(|part| part.rows.iter().map(kept).collect()).collect()
        }
        LesionSampling::Undersample => limited(set, &before, super::target(lesions, &before).unwrap_or(0), streams),
        LesionSampling::Cap(at) => limited(set, &before, at, streams),
        LesionSampling::Oversample { at_most } => {
            repeated(set, &before, super::target(lesions, &before).unwrap_or(0), at_most, streams)
        }
    }
}

/// Classes by ascending count, ties in class order; classes without a positive are omitted.
fn ascending(before: &[u64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..before.len()).filter(|class| before[*class] > 0).collect();
    classes.sort_by_key(|class| (before[*class], *class));
    classes
}

/// Rows that satisfy `holds`, as (part, row), ordered by a seeded hash of the patch's id.
fn shuffled(set: &PatchSet, streams: &Streams, holds: impl Fn(&PatchRow) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, part) in set.parts.iter().enumerate() {
        for (row, facts) in part.rows.iter().enumerate().filter(|(_, facts)| holds(facts)) {
            let id = part.sample_id(facts, set.info.size);
            found.push((streams.rank("lesions", 0, &id), id, (at, row)));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, _, place)| place).collect()
}

/// Goes through the classes from the rarest and takes patches without any rarer class until the class reaches `limit`. Patches taken
/// for rarer classes count.
fn limited(set: &PatchSet, before: &[u64], limit: u64, streams: &Streams) -> Vec<Vec<u32>> {
    let mut copies: Vec<Vec<u32>> = set.parts.iter().map(|part| vec![0; part.rows.len()]).collect();
    let mut running = vec![0_u64; before.len()];
    let classes = ascending(before);
    for (step, &class) in classes.iter().enumerate() {
        let candidates = shuffled(set, streams, |row| {
            row.labels[class] == Label::Present
                && classes[..step].iter().all(|rarer| row.labels[*rarer] != Label::Present)
        });
        for (at, row) in candidates {
            if running[class] >= limit {
                break;
            }
            let facts = &set.parts[at].rows[row];
            copies[at][row] = facts.copies;
            count(&mut running, facts, u64::from(facts.copies));
        }
    }
    copies
}

/// Goes through the classes from the rarest and gives each of its patches one more copy, round after round, until the class reaches
/// `goal` or each patch has `at_most` copies.
fn repeated(set: &PatchSet, before: &[u64], goal: u64, at_most: u32, streams: &Streams) -> Vec<Vec<u32>> {
    let mut copies = copies(set, LesionSampling::Keep, streams);
    let mut running = before.to_vec();
    for class in ascending(before) {
        let mut candidates = shuffled(set, streams, |row| row.labels[class] == Label::Present);
        while running[class] < goal && !candidates.is_empty() {
            candidates.retain(|&(at, row)| copies[at][row] < at_most);
            for &(at, row) in &candidates {
                if running[class] >= goal {
                    break;
                }
                copies[at][row] += 1;
                count(&mut running, &set.parts[at].rows[row], 1);
            }
        }
    }
    copies
}

fn count(running: &mut [u64], row: &PatchRow, copies: u64) {
    for (running, label) in running.iter_mut().zip(&row.labels) {
        if *label == Label::Present {
            *running += copies;
        }
    }
}
