//! Which patches an epoch holds and in which order. Knows labels, not pixels.
//!
//! Both the choice and the order are by seeded ranks of the patches' own ids, so that one more photograph changes the place of
//! no other patch relative to the rest.

use std::collections::BTreeMap;

use crate::base::Streams;
use crate::data::patches::{Health, Label, PatchRow, PatchSet};
use crate::lang::near::near;
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// One patch as an epoch takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draw {
    /// Its photograph's place in the set.
    pub part: u32,
    /// Its row in that part.
    pub row: u32,
    /// Which of its copies this is, from 0.
    pub copy: u32,
}

impl Draw {
    /// The row that it names.
    #[must_use]
    pub fn row(self, set: &PatchSet) -> &PatchRow {
        &set.parts[self.part as usize].rows[self.row as usize]
    }

    /// The id of the patch and copy, for random streams: the sample id of the patch, then the copy's number.
    #[must_use]
    pub fn id(self, set: &PatchSet) -> [u8; 48] {
        let part = &set.parts[self.part as usize];
        let mut id = [0; 48];
        id[..44].copy_from_slice(&part.sample_id(&part.rows[self.row as usize], set.info.size));
        id[44..].copy_from_slice(&self.copy.to_le_bytes());
        id
    }
}

/// What an epoch holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// The rule.
    pub rule: Rule,
    /// How often patches positive for a class are taken, per class; the largest of a patch's classes holds.
    pub take: Vec<u32>,
}

/// The rule of a sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Each patch once.
    Natural,
    /// Every lesion patch, and healthy ones drawn anew each epoch. Undetermined patches are in neither pool.
    Balanced {
        /// Healthy patches per lesion patch of the set.
        healthy_per_lesion_patch: f64,
    },
}

impl Sampler {
    /// From the parameters of `train`, for data of these classes.
    ///
    /// # Errors
    /// [`StageError::Input`] where `take` names a class that the data lack, or leaves out all.
    pub fn from_params(params: &Params, classes: &[String]) -> Result<Self, StageError> {
        let rule = match params.text("sampler")? {
            "balanced" => Rule::Balanced { healthy_per_lesion_patch: params.real("sampler.healthy-per-lesion-patch")? },
            _ => Rule::Natural,
        };
        let none = BTreeMap::new();
        let mut take = vec![1; classes.len()];
        for (name, times) in params.map("take").unwrap_or(&none) {
            let class = classes.iter().position(|class| class == name).ok_or_else(|| unknown_class(name, classes))?;
            let Value::Int(times) = times else {
                return Err(StageError::Bug(format!("`take {name}` should be a count, is {times:?}")));
            };
            take[class] = u32::try_from(*times).map_err(|_| {
                StageError::input("out-of-range", format!("`take {name} {times}` is not a count")).field("take")
            })?;
        }
        if !take.is_empty() && take.iter().all(|times| *times == 0) {
            let text = "`take` is 0 for every class: an epoch would hold no patch with a lesion";
            return Err(StageError::input("take-nothing", text).hint("take at least one class").field("take"));
        }
        Ok(Self { rule, take })
    }

    /// The draws of one epoch, in order.
    #[must_use]
    pub fn epoch(&self, set: &PatchSet, streams: &Streams, epoch: u64) -> Vec<Draw> {
        let mut draws = match self.rule {
            Rule::Natural => self.copies(set, |_| true),
            Rule::Balanced { healthy_per_lesion_patch } => {
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

    /// How many healthy patches an epoch wants, and how many there are; [`None`] where it takes all.
    #[must_use]
    pub fn healthy(&self, set: &PatchSet) -> Option<(u64, u64)> {
        let Rule::Balanced { healthy_per_lesion_patch } = self.rule else { return None };
        let there = self.copies(set, |row| row.health() == Health::Healthy).len() as u64;
        Some((libm::round(healthy_per_lesion_patch * lesion_patches(set) as f64) as u64, there))
    }

    /// All copies of the rows that `of` accepts, in the order of the set.
    fn copies(&self, set: &PatchSet, of: impl Fn(&PatchRow) -> bool) -> Vec<Draw> {
        let mut draws = Vec::new();
        for (part, rows) in (0..).zip(set.parts.iter().map(|part| &part.rows)) {
            for (row, facts) in (0..).zip(rows).filter(|(_, row)| of(row)) {
                let copies = facts.copies * self.times(facts);
                draws.extend((0..copies).map(|copy| Draw { part, row, copy }));
            }
        }
        draws
    }

    fn times(&self, row: &PatchRow) -> u32 {
        let present = row.labels.iter().zip(&self.take).filter(|(label, _)| **label == Label::Present);
        present.map(|(_, times)| *times).max().unwrap_or(1)
    }
}

/// Lesion patches of a set, with the copies that a resampled set has.
fn lesion_patches(set: &PatchSet) -> u64 {
    let rows = set.parts.iter().flat_map(|part| &part.rows);
    rows.filter(|row| row.health() == Health::Lesion).map(|row| u64::from(row.copies)).sum()
}

/// Orders draws by rank; equal ranks by place.
pub(super) fn by_rank(draws: &mut Vec<Draw>, rank: impl Fn(&Draw) -> u64) {
    let mut ranked: Vec<(u64, Draw)> = draws.iter().map(|draw| (rank(draw), *draw)).collect();
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

/// The draws of an epoch cut into batches. A last batch of one patch joins the one before: a batch norm over one patch may have no
/// variance.
#[must_use]
pub fn batches(draws: &[Draw], batch: usize) -> Vec<&[Draw]> {
    let mut batches: Vec<&[Draw]> = draws.chunks(batch).collect();
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
