//! Splitting a patch set into training, validation and test sets: which photographs stay together, and where they go.
//!
//! The unit is the patient, or the photograph if its patient is unknown. Identical photographs form one unit, whatever their names and
//! patients, or the same pixels could end up in two splits.

use std::collections::BTreeMap;

use super::patches::{Label, Part, PatchSet};
use super::photographs::Official;
use super::stratify::{GroupCounts, stratify};
use crate::base::Streams;
use crate::stage::StageError;

/// Names of the splits, in the order of all arrays of three in this module.
pub const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// Unit of random splitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitUnit {
    /// The patient, or the photograph if its patient is unknown.
    Patient,
    /// The photograph.
    Photograph,
}

/// Photographs that stay together: indices of the set's parts, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitGroup {
    /// Its identity (a patient's name or a photograph's digest).
    pub identity: Vec<u8>,
    /// Its photographs.
    pub parts: Vec<usize>,
}

/// Units of a set, in the order of their first photographs.
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
        // The smallest of its names, so that the order of photographs does not matter.
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

/// Assigns each photograph in `parts` to a split by stratification (see [`super::stratify`]).
#[must_use]
pub fn drawn(
    set: &PatchSet,
    unit: SplitUnit,
    parts: &[usize],
    fractions: &[f64],
    streams: &Streams,
) -> Vec<(usize, usize)> {
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
    let splits = stratify(&groups, fractions, streams);
    units.iter().zip(splits).flat_map(|(unit, split)| unit.parts.iter().map(move |at| (*at, split))).collect()
}

/// Splits for cross-validation: fold `fold` (from 0) of `folds` folds of similar composition is the test set, and `train` and `valid`
/// divide the others by their fractions. Every photograph is in the test set of exactly one fold.
///
/// # Errors
/// `shares` if `train` and `valid` are both 0.
pub fn folded(
    set: &PatchSet,
    unit: SplitUnit,
    (fold, folds): (usize, usize),
    fractions: [f64; 3],
    streams: &Streams,
) -> Result<Vec<usize>, StageError> {
    let fractions = of_other_folds(fractions)?;
    let all: Vec<usize> = (0..set.parts.len()).collect();
    let mut splits = vec![2; all.len()];
    let of_fold = drawn(set, unit, &all, &vec![1.0 / folds as f64; folds], streams);
    let rest: Vec<usize> = of_fold.iter().filter(|(_, own)| *own != fold).map(|(at, _)| *at).collect();
    for (at, split) in drawn(set, unit, &rest, &fractions, streams) {
        splits[at] = split;
    }
    Ok(splits)
}

/// Splits by the data set's official split. Without an official validation set, the official training set is divided between `train`
/// and `valid`; without an official test set, among all three.
///
/// # Errors
/// `official-side` if a photograph has none; `shares` if the set to be divided has no fractions.
pub fn official(
    set: &PatchSet,
    unit: SplitUnit,
    fractions: [f64; 3],
    streams: &Streams,
) -> Result<Vec<usize>, StageError> {
    let mut splits = Vec::with_capacity(set.parts.len());
    for part in &set.parts {
        let split = part.official.ok_or_else(|| {
            StageError::input("official-side", format!("photograph `{}` is not in the official split", part.photograph))
                .hint("use `by patient`, or list the photographs of each split with `by names`")
                .field("by")
        })?;
        splits.push(match split {
            Official::Train => 0,
            Official::Valid => 1,
            Official::Test => 2,
        });
    }
    let has = |split: usize| splits.contains(&split);
    let mut open = fractions;
    for split in [1, 2] {
        if has(split) {
            open[split] = 0.0;
        }
    }
    let sum: f64 = open.iter().sum();
    if sum <= 0.0 {
        return Err(StageError::input(
            "shares",
            "`train` and `valid` are both 0, so the official training set is assigned to neither",
        )
        .hint("set `train` above 0")
        .field("train"));
    }
    let training: Vec<usize> = (0..splits.len()).filter(|at| splits[*at] == 0).collect();
    for (at, split) in drawn(set, unit, &training, &open.map(|fraction| fraction / sum), streams) {
        splits[at] = split;
    }
    Ok(splits)
}

/// Splits by the sets of another split of the same photographs, in the order of [`SPLITS`]. A photograph is recognised by its name and
/// patient; those of `sets` that `set` does not have are ignored.
///
/// # Errors
/// `unknown-photograph` if a photograph is in none of the sets, or there belongs to another patient.
pub fn alike(set: &PatchSet, sets: &[PatchSet]) -> Result<Vec<usize>, StageError> {
    let mut sides: BTreeMap<&str, (usize, Option<&str>)> = BTreeMap::new();
    for (split, other) in sets.iter().enumerate() {
        for part in &other.parts {
            sides.insert(&part.photograph, (split, part.patient.as_deref()));
        }
    }
    let unknown = |part: &&Part| !sides.contains_key(part.photograph.as_str());
    let strangers: Vec<&Part> = set.parts.iter().filter(unknown).collect();
    let wrong = |text: String, hint: &str| Err(StageError::input("unknown-photograph", text).hint(hint).field("like"));
    if let Some(first) = strangers.first() {
        let more = match strangers.len() {
            1 => String::new(),
            count => format!(" ({count} photographs in all)"),
        };
        return wrong(
            format!("photograph `{}` is in none of the sets at `like`{more}", first.photograph),
            "split a set with all photographs, and use it at `like`",
        );
    }
    let mut splits = Vec::with_capacity(set.parts.len());
    for part in &set.parts {
        let (split, patient) = sides[part.photograph.as_str()];
        if patient != part.patient.as_deref() {
            let of = |patient: Option<&str>| {
                patient.map_or("an unknown patient".to_owned(), |name| format!("patient `{name}`"))
            };
            return wrong(
                format!(
                    "photograph `{}` is of {} here, and of {} at `like`",
                    part.photograph,
                    of(part.patient.as_deref()),
                    of(patient)
                ),
                "`like` is for patches of the same photographs: read both from the same source",
            );
        }
        splits.push(split);
    }
    Ok(splits)
}

/// Fractions of `train` and `valid` among the folds outside the test set.
///
/// # Errors
/// `shares` if both are 0.
pub fn of_other_folds([train, valid, _]: [f64; 3]) -> Result<[f64; 2], StageError> {
    let sum = train + valid;
    if sum <= 0.0 {
        let text = "`train` and `valid` are both 0, so the other folds are assigned to neither";
        return Err(StageError::input("shares", text).hint("set `train` above 0").field("train"));
    }
    Ok([train / sum, valid / sum])
}

/// Checks that the fractions of a split sum to 1.
///
/// # Errors
/// `shares`, with the three fractions and their sum.
pub fn sum_to_one(fractions: [f64; 3]) -> Result<(), StageError> {
    let sum: f64 = fractions.iter().sum();
    if (sum - 1.0).abs() <= 1e-9 {
        return Ok(());
    }
    let [train, valid, test] = fractions;
    // Rounded to what a person would write.
    let written = |fraction: f64| (fraction * 1e6).round() / 1e6 + 0.0;
    let rest = written(1.0 - train - valid);
    let hint = if rest >= 0.0 {
        format!("write e.g. `test {rest:?}`")
    } else {
        format!("write e.g. `train {:?}`", written(train / sum))
    };
    Err(StageError::input(
        "shares",
        format!("`train` {train:?}, `valid` {valid:?} and `test` {test:?} sum to {:?}, not 1", written(sum)),
    )
    .hint(hint)
    .field(if rest >= 0.0 { "test" } else { "train" }))
}

/// The patches of one split: the set with only the parts of its photographs.
#[must_use]
pub fn subset(set: &PatchSet, splits: &[usize], split: usize) -> PatchSet {
    let parts = set.parts.iter().zip(splits).filter(|(_, at)| **at == split).map(|(part, _)| part.clone()).collect();
    PatchSet { info: set.info.clone(), embeddings: set.embeddings.clone(), parts }
}
