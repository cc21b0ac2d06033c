//! Rebalancing of lesion and healthy patches in a training set. Knows labels, but no pixels.
//!
//! Every choice is by a seeded rank of the patch's id (photograph's digest, x, y, size): the order of photographs does not matter, and a
//! patch keeps its rank when others are added or removed.

mod check;
mod lesions;

use super::patches::{Health, PatchSet};
use crate::base::Streams;

pub use check::{NO_HEALTHY_CLASS, check, target};

/// Sampling of lesion patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LesionSampling {
    /// Keep all.
    Keep,
    /// Reduce each class to the number of positives of the rarest class.
    Undersample,
    /// At most this many positives per class.
    Cap(u64),
    /// Repeat patches of rarer classes, each at most `at_most` times, up to the most frequent class.
    Oversample {
        /// Maximum number of copies of a patch.
        at_most: u32,
    },
}

/// Handling of patches with an unknown class and none present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undetermined {
    /// Drop them.
    Drop,
    /// Keep them.
    Keep,
}

/// Parameters of rebalancing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RebalanceSpec {
    /// Sampling of lesion patches.
    pub lesions: LesionSampling,
    /// Healthy patches per lesion patch kept; all if [`None`].
    pub healthy_per_lesion_patch: Option<f64>,
    /// Handling of undetermined patches.
    pub undetermined: Undetermined,
}

/// The rebalanced set: the same photographs, with fewer or repeated rows in their original order, and `resampled` set.
#[must_use]
pub fn rebalance(set: &PatchSet, recipe: &RebalanceSpec, streams: &Streams) -> PatchSet {
    let mut copies = lesions::copies(set, recipe.lesions, streams);
    let kept: u64 = copies.iter().flatten().map(|copies| u64::from(*copies)).sum();
    let healthy = healthy_wanted(recipe, kept).map(|wanted| draw_healthy(set, wanted, streams));
    let mut out = set.clone();
    out.info.resampled = true;
    for (at, part) in out.parts.iter_mut().enumerate() {
        for (row, facts) in part.rows.iter().enumerate() {
            match facts.health() {
                Health::Lesion => {}
                Health::Healthy => {
                    let stays = healthy.as_ref().is_none_or(|drawn| drawn[at][row]);
                    copies[at][row] = if stays { facts.copies } else { 0 };
                }
                Health::Undetermined if recipe.undetermined == Undetermined::Keep => copies[at][row] = facts.copies,
                Health::Undetermined => copies[at][row] = 0,
            }
        }
        part.rows.iter_mut().zip(&copies[at]).for_each(|(row, copies)| row.copies = *copies);
        part.rows.retain(|row| row.copies > 0);
    }
    out
}

/// Number of healthy patches requested for `lesion_patches`; [`None`] for all.
#[must_use]
pub fn healthy_wanted(recipe: &RebalanceSpec, lesion_patches: u64) -> Option<u64> {
    recipe.healthy_per_lesion_patch.map(|ratio| (ratio * lesion_patches as f64).round() as u64)
}

/// Draws `wanted` healthy rows without replacement, in proportion to each photograph's number of them: the integer part of its quota,
/// and the rest by largest remainder (Hamilton), ties by seeded rank of the photograph.
fn draw_healthy(set: &PatchSet, wanted: u64, streams: &Streams) -> Vec<Vec<bool>> {
    let healthy: Vec<Vec<usize>> = set
        .parts
        .iter()
        .map(|part| (0..part.rows.len()).filter(|row| part.rows[*row].health() == Health::Healthy).collect())
        .collect();
    let all: u64 = healthy.iter().map(|rows| rows.len() as u64).sum();
    let wanted = wanted.min(all);
    let exact = |rows: &Vec<usize>| u128::from(wanted) * rows.len() as u128;
    let mut quota: Vec<u64> =
        healthy.iter().map(|rows| exact(rows).checked_div(all.into()).unwrap_or(0) as u64).collect();
    let mut by_remainder: Vec<usize> = (0..set.parts.len()).filter(|at| !healthy[*at].is_empty()).collect();
    by_remainder.sort_by_key(|at| {
        let rest = exact(&healthy[*at]) % u128::from(all);
        (std::cmp::Reverse(rest), streams.rank("healthy photograph", 0, set.parts[*at].digest.bytes()), *at)
    });
    let missing = wanted - quota.iter().sum::<u64>();
    by_remainder.iter().take(missing as usize).for_each(|at| quota[*at] += 1);

    let mut drawn: Vec<Vec<bool>> = set.parts.iter().map(|part| vec![false; part.rows.len()]).collect();
    for (at, mut rows) in healthy.into_iter().enumerate() {
        let part = &set.parts[at];
        rows.sort_by_key(|row| (streams.rank("healthy", 0, &part.sample_id(&part.rows[*row], set.info.size)), *row));
        rows.iter().take(quota[at] as usize).for_each(|row| drawn[at][*row] = true);
    }
    drawn
}
