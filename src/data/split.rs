//! Dividing a patch set into training, validation and test sides: what stays together, and who goes where.
//!
//! The unit is the patient, or the photograph where patients are unknown. Photographs with the same bytes are one unit,
//! whatever their names and patients, or the same pixels could stand on two sides.

use std::collections::BTreeMap;

use super::patches::{Label, PatchSet};
use super::photographs::Official;
use super::stratify::{GroupCounts, stratify};
use crate::base::Streams;
use crate::stage::StageError;

/// The sides, in the order of all arrays of three in this module.
pub const SIDES: [&str; 3] = ["train", "valid", "test"];

/// What stays together where sides are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitUnit {
    /// The patient; a photograph where its patient is unknown.
    Patient,
    /// The photograph.
    Photograph,
}

/// Photographs that stay together: places in the set's parts, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitGroup {
    /// What it is known by (a patient's name, a photograph's digest).
    pub identity: Vec<u8>,
    /// Its photographs.
    pub parts: Vec<usize>,
}

/// The units of a set, in the order of their first photographs.
#[must_use]
pub fn units(set: &PatchSet, unit: SplitUnit) -> Vec<SplitGroup> {
    // Each photograph points to an earlier one of its unit, or to itself.
    let mut leader: Vec<usize> = (0..set.parts.len()).collect();
    let mut first: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for (at, part) in set.parts.iter().enumerate() {
        let by_patient = part.patient.as_ref().filter(|_| unit == SplitUnit::Patient);
        let names = [Some(photograph_identity(part.digest.bytes())), by_patient.map(|name| patient_identity(name))];
        for name in names.into_iter().flatten() {
            let other = *first.entry(name).or_insert(at);
            let (a, b) = (find(&leader, at), find(&leader, other));
            leader[a.max(b)] = a.min(b);
        }
    }
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..set.parts.len() {
        parts.entry(find(&leader, at)).or_default().push(at);
    }
    let identity = |parts: &[usize]| {
        // The least of all names that it goes by, so that the order of photographs does not matter.
        let names = parts.iter().map(|at| {
            let part = &set.parts[*at];
            let patient = part.patient.as_ref().filter(|_| unit == SplitUnit::Patient);
            patient.map_or_else(|| photograph_identity(part.digest.bytes()), |name| patient_identity(name))
        });
        names.min().unwrap_or_default()
    };
    parts.into_values().map(|parts| SplitGroup { identity: identity(&parts), parts }).collect()
}

fn find(leader: &[usize], mut at: usize) -> usize {
    while leader[at] != at {
        at = leader[at];
    }
    at
}

fn patient_identity(name: &str) -> Vec<u8> {
    [b"patient ".as_slice(), name.as_bytes()].concat()
}

fn photograph_identity(digest: &[u8; 32]) -> Vec<u8> {
    [b"photograph ".as_slice(), digest.as_slice()].concat()
}

/// The side of each photograph, drawn by stratification (see [`super::stratify`]) among `parts`.
#[must_use]
pub fn drawn(set: &PatchSet, unit: SplitUnit, parts: &[usize], shares: &[f64], streams: &Streams) -> Vec<(usize, usize)> {
    let mut units = units(set, unit);
    for unit in &mut units {
        unit.parts.retain(|at| parts.contains(at));
    }
    units.retain(|unit| !unit.parts.is_empty());
    let groups: Vec<GroupCounts> = units
        .iter()
        .map(|unit| {
            let rows = || unit.parts.iter().flat_map(|at| &set.parts[*at].rows);
            let positives = |class: usize| rows().filter(move |row| row.labels[class] == Label::Present);
            GroupCounts {
                identity: unit.identity.clone(),
                positives: (0..set.info.classes.len())
                    .map(|class| positives(class).map(|row| u64::from(row.copies)).sum())
                    .collect(),
                patches: rows().map(|row| u64::from(row.copies)).sum(),
            }
        })
        .collect();
    let sides = stratify(&groups, shares, streams);
    units.iter().zip(sides).flat_map(|(unit, side)| unit.parts.iter().map(move |at| (*at, side))).collect()
}

/// The side of each photograph for cross-validation: fold `fold` (from 0) of `folds` of like composition is the test side, and
/// `train` and `valid` share the others by their shares. Every photograph is on the test side of exactly one fold.
///
/// # Errors
/// `shares` where `train` and `valid` are both 0.
pub fn folded(
    set: &PatchSet,
    unit: SplitUnit,
    (fold, folds): (usize, usize),
    shares: [f64; 3],
    streams: &Streams,
) -> Result<Vec<usize>, StageError> {
    let shares = of_other_folds(shares)?;
    let all: Vec<usize> = (0..set.parts.len()).collect();
    let mut sides = vec![2; all.len()];
    let of_fold = drawn(set, unit, &all, &vec![1.0 / folds as f64; folds], streams);
    let rest: Vec<usize> = of_fold.iter().filter(|(_, own)| *own != fold).map(|(at, _)| *at).collect();
    for (at, side) in drawn(set, unit, &rest, &shares, streams) {
        sides[at] = side;
    }
    Ok(sides)
}

/// The side of each photograph by the data set's own split. Where it has no validation side, the official training side is
/// shared out between `train` and `valid`; where it has no test side, between all three.
///
/// # Errors
/// `official-side` where a photograph has none; `shares` where what must be shared out has no shares.
pub fn official(set: &PatchSet, unit: SplitUnit, shares: [f64; 3], streams: &Streams) -> Result<Vec<usize>, StageError> {
    let mut sides = Vec::with_capacity(set.parts.len());
    for part in &set.parts {
        let side = part.official.ok_or_else(|| {
            StageError::input("official-side", format!("photograph `{}` has no official side", part.photograph))
                .hint("write `by patient`, or name the photographs of each side with `by names`")
                .field("by")
        })?;
        sides.push(match side {
            Official::Train => 0,
            Official::Valid => 1,
            Official::Test => 2,
        });
    }
    let has = |side: usize| sides.contains(&side);
    let mut open = shares;
    for side in [1, 2] {
        if has(side) {
            open[side] = 0.0;
        }
    }
    let sum: f64 = open.iter().sum();
    if sum <= 0.0 {
        return Err(StageError::input(
            "shares",
            "`train` and `valid` are both 0, so the official training side goes nowhere",
        )
        .hint("give `train` a share")
        .field("train"));
    }
    let training: Vec<usize> = (0..sides.len()).filter(|at| sides[*at] == 0).collect();
    for (at, side) in drawn(set, unit, &training, &open.map(|share| share / sum), streams) {
        sides[at] = side;
    }
    Ok(sides)
}

/// The shares of `train` and `valid` among the folds that are not for the test.
///
/// # Errors
/// `shares` where both are 0.
pub fn of_other_folds([train, valid, _]: [f64; 3]) -> Result<[f64; 2], StageError> {
    let sum = train + valid;
    if sum <= 0.0 {
        let text = "`train` and `valid` are both 0, so all folds but one go nowhere";
        return Err(StageError::input("shares", text).hint("give `train` a share").field("train"));
    }
    Ok([train / sum, valid / sum])
}

/// Checks that shares to be drawn by sum to 1.
///
/// # Errors
/// `shares`, with the three fields and what they sum to.
pub fn sum_to_one(shares: [f64; 3]) -> Result<(), StageError> {
    let sum: f64 = shares.iter().sum();
    if (sum - 1.0).abs() <= 1e-9 {
        return Ok(());
    }
    let [train, valid, test] = shares;
    // Rounded to what a person would have written.
    let written = |share: f64| (share * 1e6).round() / 1e6 + 0.0;
    let rest = written(1.0 - train - valid);
    let hint = if rest >= 0.0 {
        format!("for example `test {rest:?}`")
    } else {
        format!("for example `train {:?}`", written(train / sum))
    };
    Err(StageError::input(
        "shares",
        format!("`train` {train:?}, `valid` {valid:?} and `test` {test:?} sum to {:?}, not to 1", written(sum)),
    )
    .hint(hint)
    .field(if rest >= 0.0 { "test" } else { "train" }))
}

/// The patches of one side: the set with the parts of that side's photographs alone.
#[must_use]
pub fn side_of(set: &PatchSet, sides: &[usize], side: usize) -> PatchSet {
    let parts = set.parts.iter().zip(sides).filter(|(_, at)| **at == side).map(|(part, _)| part.clone()).collect();
    PatchSet { info: set.info.clone(), parts }
}
