//! Sampler: the batches of an epoch. Knows labels, not pixels.
//!
//! Both selection and order use seeded ranks of patch ids, so that adding a photograph does not change the relative order of other
//! patches.

use std::collections::BTreeMap;

use crate::base::Streams;
use crate::data::patches::{Health, Label, PatchRow, PatchSet};
use crate::lang::near::near;
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// Patch drawn in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchDraw {
    /// Index of its photograph in the set.
    pub part: u32,
    /// Row in that part.
    pub row: u32,
    /// Number of the copy, from 0.
    pub copy: u32,
}

impl PatchDraw {
    /// Row of the patch.
    #[must_use]
    pub fn row(self, set: &PatchSet) -> &PatchRow {
        &set.parts[self.part as usize].rows[self.row as usize]
    }

    /// Id of patch and copy, for random streams: the sample id of the patch, then the number of the copy.
    #[must_use]
    pub fn id(self, set: &PatchSet) -> [u8; 48] {
        let part = &set.parts[self.part as usize];
        let mut id = [0; 48];
        id[..44].copy_from_slice(&part.sample_id(&part.rows[self.row as usize], set.info.size));
        id[44..].copy_from_slice(&self.copy.to_le_bytes());
        id
    }
}

/// Batch of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its draws, part by part.
    pub draws: Vec<PatchDraw>,
    /// Number of draws in each part. A loss over labels takes one part; an objective that compares patches may take several, such as two
    /// views of the same patches.
    pub parts: Vec<usize>,
}

impl Batch {
    /// Batch of one part.
    #[must_use]
    pub fn whole(draws: Vec<PatchDraw>) -> Self {
        Self { parts: vec![draws.len()], draws }
    }

    /// Partner of each draw within its part, for mixing: the next one by rank, and the first one for the last.
    #[must_use]
    pub fn partners(&self, rank: impl Fn(&PatchDraw) -> u64) -> Vec<usize> {
        let mut partners = vec![0; self.draws.len()];
        let mut start = 0;
        for length in &self.parts {
            let mut order: Vec<usize> = (start..start + length).collect();
            order.sort_by_cached_key(|&at| (rank(&self.draws[at]), at));
            for (at, next) in order.iter().zip(order.iter().cycle().skip(1)) {
                partners[*at] = *next;
            }
            start += length;
        }
        partners
    }
}

/// Sampler of the patches of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// Sampling rule.
    pub rule: SamplingRule,
    /// Repetitions of patches that are positive for a class, per class; the largest among the classes of a patch applies.
    pub take: Vec<u32>,
}

/// Sampling rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SamplingRule {
    /// Each patch once.
    Natural,
    /// Every lesion patch, and healthy ones drawn again each epoch. Undetermined patches are in neither pool.
    Balanced {
        /// Healthy patches per lesion patch of the set.
        healthy_per_lesion_patch: f64,
    },
}

impl Sampler {
    /// From the parameters of `train`, for data of these classes.
    ///
    /// # Errors
    /// [`StageError::Input`] if `take` names an unknown class or excludes all classes.
    pub fn from_params(params: &Params, classes: &[String]) -> Result<Self, StageError> {
        let rule = match params.text("sampler")? {
            "balanced" => {
                SamplingRule::Balanced { healthy_per_lesion_patch: params.real("sampler.healthy-per-lesion-patch")? }
            }
            _ => SamplingRule::Natural,
        };
        let none = BTreeMap::new();
        let mut take = vec![1; classes.len()];
        for (name, times) in params.map("take").unwrap_or(&none) {
            let class = classes.iter().position(|class| class == name).ok_or_else(|| unknown_class(name, classes))?;
            let Value::Int(times) = times else {
                return Err(StageError::Bug(format!("`take {name}` should be a count, is {times:?}")));
            };
            take[class] = u32::try_from(*times).map_err(|_| {
                StageError::input("out-of-range", format!("`take {name} {times}` must be a count, 0 or more"))
                    .field("take")
            })?;
        }
        if !take.is_empty() && take.iter().all(|times| *times == 0) {
            let text = "`take` is 0 for every class: an epoch would have no patches with lesions";
            return Err(StageError::input("take-nothing", text)
                .hint("set `take` above 0 for at least one class")
                .field("take"));
        }
        Ok(Self { rule, take })
    }

    /// Batches of one epoch, in order, of `size` patches each.
    #[must_use]
    pub fn batches(&self, set: &PatchSet, streams: &Streams, epoch: u64, size: usize) -> Vec<Batch> {
        let draws = self.epoch(set, streams, epoch);
        cut(&draws, size).into_iter().map(|draws| Batch::whole(draws.to_vec())).collect()
    }

    /// Draws of one epoch, in order.
    #[must_use]
    pub fn epoch(&self, set: &PatchSet, streams: &Streams, epoch: u64) -> Vec<PatchDraw> {
        let mut draws = match self.rule {
            SamplingRule::Natural => self.copies(set, |_| true),
            SamplingRule::Balanced { healthy_per_lesion_patch } => {
                let wanted = libm::round(healthy_per_lesion_patch * lesion_patches(set) as f64) as usize;
                let mut healthy = self.copies(set, |row| row.health() == Health::Healthy);
                by_rank(&mut healthy, |draw| streams.rank("healthy", epoch, &draw.id(set)));
                healthy.truncate(wanted);
                healthy.extend(self.copies(set, |row| row.health() == Health::Lesion));
                healthy
            }
        };
        by_rank(&mut draws, |draw| streams.rank("order", epoch, &draw.id(set)));
        draws
    }

    /// Number of healthy patches wanted per epoch, and number available; [`None`] if all are used.
    #[must_use]
    pub fn healthy(&self, set: &PatchSet) -> Option<(u64, u64)> {
        let SamplingRule::Balanced { healthy_per_lesion_patch } = self.rule else { return None };
        let there = self.copies(set, |row| row.health() == Health::Healthy).len() as u64;
        Some((libm::round(healthy_per_lesion_patch * lesion_patches(set) as f64) as u64, there))
    }

    /// All copies of the rows that `of` accepts, in the order of the set.
    fn copies(&self, set: &PatchSet, of: impl Fn(&PatchRow) -> bool) -> Vec<PatchDraw> {
        let mut draws = Vec::new();
        for (part, rows) in (0..).zip(set.parts.iter().map(|part| &part.rows)) {
            for (row, facts) in (0..).zip(rows).filter(|(_, row)| of(row)) {
                let copies = facts.copies * self.times(facts);
                draws.extend((0..copies).map(|copy| PatchDraw { part, row, copy }));
            }
        }
        draws
    }

    fn times(&self, row: &PatchRow) -> u32 {
        let present = row.labels.iter().zip(&self.take).filter(|(label, _)| **label == Label::Present);
        present.map(|(_, times)| *times).max().unwrap_or(1)
    }
}

/// Number of lesion patches of a set, including copies.
fn lesion_patches(set: &PatchSet) -> u64 {
    let rows = set.parts.iter().flat_map(|part| &part.rows);
    rows.filter(|row| row.health() == Health::Lesion).map(|row| u64::from(row.copies)).sum()
}

/// Sorts draws by rank; ties by position in the set.
pub(super) fn by_rank(draws: &mut Vec<PatchDraw>, rank: impl Fn(&PatchDraw) -> u64) {
    let mut ranked: Vec<(u64, PatchDraw)> = draws.iter().map(|draw| (rank(draw), *draw)).collect();
    ranked.sort_unstable();
    draws.clear();
    draws.extend(ranked.into_iter().map(|(_, draw)| draw));
}

fn unknown_class(name: &str, classes: &[String]) -> StageError {
    let error = StageError::input("unknown-class", format!("the data have no class `{name}`")).field("take");
    let all = classes.join(", ");
    match near(name, classes.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`? the classes are {all}")),
        None => error.hint(format!("the classes are {all}")),
    }
}

/// Splits the draws of an epoch into batches. A last batch of one patch is merged into the previous one, since the variance of a batch norm
/// over one patch may be 0.
fn cut(draws: &[PatchDraw], batch: usize) -> Vec<&[PatchDraw]> {
    let mut batches: Vec<&[PatchDraw]> = draws.chunks(batch).collect();
    if batch > 1
        && let [.., before, [_]] = batches.as_slice()
    {
        let start = draws.len() - 1 - before.len();
        batches.pop();
        batches.pop();
        batches.push(&draws[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_is_the_partner_of_one_other_of_its_part() {
        let draws: Vec<PatchDraw> = (0..7).map(|row| PatchDraw { part: 0, row, copy: 0 }).collect();
        let partners = Batch { draws, parts: vec![4, 1, 2] }.partners(|draw| u64::from(draw.row * 5 % 7));
        assert_eq!(partners, [3, 0, 1, 2, 4, 6, 5]);
    }

    #[test]
    fn a_last_batch_of_one_patch_joins_the_one_before() {
        let draws: Vec<PatchDraw> = (0..9).map(|row| PatchDraw { part: 0, row, copy: 0 }).collect();
        let sizes =
            |count: usize, batch| cut(&draws[..count], batch).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(9, 4), [4, 5]);
        assert_eq!(sizes(8, 3), [3, 3, 2]);
        assert_eq!(sizes(1, 4), [1]);
        assert_eq!(sizes(3, 1), [1, 1, 1]);
        assert_eq!(cut(&draws, 4).concat(), draws);
    }
}
