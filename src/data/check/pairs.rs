//! Photographs of one or several sources that are the same file, or show the same picture although their files differ.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::DataFinding;
use super::photograph::{CheckedClass, CheckedPhotograph, ComparedPart, LesionPresence};
use super::source::CheckedSource;
use crate::base::Digest;
use crate::data::duplicates::{MOST, NearDuplicate, PairMember, PictureDetail, PictureMatch, matches};
use crate::data::orientation::Orientation;
use crate::stage::StageError;

/// How thoroughly photographs were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhotographComparison {
    /// Not at all: the project says so.
    #[default]
    None,
    /// As whole pictures: they are too many to look for parts.
    Whole,
    /// As whole pictures, and by their parts.
    WholeAndParts,
}

impl PhotographComparison {
    /// How so many photographs are compared.
    #[must_use]
    pub const fn of(photographs: usize) -> Self {
        if photographs > MOST { Self::Whole } else { Self::WholeAndParts }
    }

    /// What it needs of each photograph.
    #[must_use]
    pub const fn part(self) -> ComparedPart {
        match self {
            Self::None => ComparedPart::Nothing,
            Self::Whole => ComparedPart::Whole,
            Self::WholeAndParts => ComparedPart::WholeAndParts,
        }
    }
}

/// Two photographs that show the same picture, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedPair {
    /// The pair; its inputs are the positions of sources, from 1.
    pub pair: NearDuplicate,
    /// Position of each member: that of its source, and that in it.
    pub places: [(usize, usize); 2],
    /// Whether both are known to be of the same patient, whom a split by patient keeps together.
    pub same_patient: bool,
}

/// All pairs, and what they mean.
#[derive(Clone, Debug, Default)]
pub struct CheckedPairs {
    /// How photographs were compared.
    pub comparison: PhotographComparison,
    /// The pairs, in the order of their first members.
    pub pairs: Vec<CheckedPair>,
    /// Identical files, and pairs that a split may separate.
    pub findings: Vec<DataFinding>,
}

/// Compares all photographs that were decoded with each other. A file that several sources read is compared once. `step` is called after each
/// photograph that was compared with all others, from several threads.
///
/// # Errors
/// Those of `step`.
pub fn compare(
    sources: &[CheckedSource],
    comparison: PhotographComparison,
    step: impl Fn() -> Result<(), StageError> + Sync,
) -> Result<CheckedPairs, StageError> {
    let places = distinct(sources);
    let of = |(source, at): (usize, usize)| &sources[source].photographs[at];
    let mut found = CheckedPairs { comparison, pairs: Vec::new(), findings: identical(sources, &places) };
    let places: Vec<(usize, usize)> = places.into_iter().filter(|place| of(*place).fingerprint.is_some()).collect();
    let missing = || StageError::Bug("a photograph that was not prepared to be compared".to_owned());
    let read = |at: usize| of(places[at]).fingerprint.clone().ok_or_else(missing);
    let hashes = (0..places.len()).map(|at| Ok(read(at)?.hash(Orientation::UPRIGHT)));
    let hashes = hashes.collect::<Result<Vec<_>, StageError>>()?;
    // Fewer may be distinct than were counted before.
    let detail = |place: &(usize, usize)| Ok(of(*place).detail.clone().unwrap_or_else(PictureDetail::none));
    let details = || places.iter().map(detail).collect();
    for one in matches(&hashes, read, details, step)? {
        let PictureMatch { first, second, orientation, similarity, overlap } = one;
        let places = [places[first], places[second]];
        let [one, other] = places.map(of);
        let member = |place: usize, photograph: &CheckedPhotograph| PairMember {
            name: photograph.name.clone(),
            input: places[place].0 as u32 + 1,
            digest: photograph.digest,
        };
        let members = [member(0, one), member(1, other)];
        let same_patient = places[0].0 == places[1].0 && one.patient.is_some() && one.patient == other.patient;
        let pair =
            CheckedPair { pair: NearDuplicate { members, orientation, similarity, overlap }, places, same_patient };
        // Identical files are reported as such.
        if one.digest != other.digest && !same_patient {
            found.findings.push(finding(sources, &pair));
        }
        found.pairs.push(pair);
    }
    let copied = copied_masks(sources, &found.pairs);
    found.findings.extend(copied);
    Ok(found)
}

/// A warning for each mask with lesion pixels whose file is also that of an earlier photograph that shows another picture.
fn copied_masks(sources: &[CheckedSource], pairs: &[CheckedPair]) -> Vec<DataFinding> {
    let same: BTreeSet<[(usize, usize); 2]> = pairs.iter().map(|pair| pair.places).collect();
    let mut first: BTreeMap<Digest, ((usize, usize), &CheckedPhotograph, &str)> = BTreeMap::new();
    let mut found = Vec::new();
    for place in distinct(sources) {
        let source = &sources[place.0];
        let photograph = &source.photographs[place.1];
        for (class, name) in photograph.classes.iter().zip(&source.classes) {
            let Some(mask) = class.mask.filter(|_| class.presence == LesionPresence::Present) else { continue };
            let (at, other, of) = *first.entry(mask).or_insert((place, photograph, name));
            if at == place || other.digest == photograph.digest || same.contains(&[at, place]) {
                continue;
            }
            let text = format!(
                "the mask of `{name}` of `{}` is the same file as that of `{of}` of `{}`",
                photograph.name, other.name
            );
            let finding = DataFinding::warning("copied-mask", text).hint("find out which photograph it belongs to");
            let finding = finding.of_photograph(&photograph.name, &photograph.file);
            found.push(DataFinding { class: Some(name.clone()), ..finding });
        }
    }
    found
}

/// The photographs of all sources, those of the same file once.
fn distinct(sources: &[CheckedSource]) -> Vec<(usize, usize)> {
    let mut seen: BTreeSet<(&str, Digest)> = BTreeSet::new();
    let all = sources.iter().enumerate().flat_map(|(source, checked)| {
        checked.photographs.iter().enumerate().map(move |(at, photograph)| ((source, at), photograph))
    });
    all.filter(|(_, photograph)| seen.insert((&photograph.file, photograph.digest))).map(|(place, _)| place).collect()
}

/// A warning for each file that has the same bytes as an earlier one: one for all regions of a slide.
fn identical(sources: &[CheckedSource], places: &[(usize, usize)]) -> Vec<DataFinding> {
    let mut last: BTreeMap<Digest, (&CheckedSource, &CheckedPhotograph)> = BTreeMap::new();
    let mut found = Vec::new();
    // Pairs of files that were reported, and with which classes.
    let (mut known, mut known_contrary) = (BTreeSet::new(), BTreeSet::new());
    for (source, at) in places {
        let source = &sources[*source];
        let photograph = &source.photographs[*at];
        let Some(other) = last.insert(photograph.digest, (source, photograph)) else { continue };
        let pair = (&other.1.file, &photograph.file);
        if known.insert(pair) {
            let text = format!("`{}` and `{}` are identical files", other.1.file, photograph.file);
            let finding = DataFinding::warning("same-photograph", text).hint("remove one of them");
            found.push(finding.of_photograph(&photograph.name, &photograph.file));
        }
        let contrary = contrary(other, (source, photograph));
        if !contrary.is_empty() && known_contrary.insert((pair, contrary.clone())) {
            let classes: Vec<String> = contrary.iter().map(|class| format!("`{class}`")).collect();
            let text = format!(
                "`{}` and `{}` are identical files with opposite labels of {}",
                other.1.file,
                photograph.file,
                classes.join(" ")
            );
            let finding =
                DataFinding::warning("opposite-labels", text).hint("find out which is right, and remove the other");
            found.push(finding.of_photograph(&photograph.name, &photograph.file));
        }
    }
    found
}

/// Classes that are present in one photograph and absent in the other.
fn contrary<'s>(
    (one_source, one): (&'s CheckedSource, &CheckedPhotograph),
    (other_source, other): (&CheckedSource, &CheckedPhotograph),
) -> Vec<&'s str> {
    let presence = |name: &str| {
        let at = other_source.classes.iter().position(|class| class == name)?;
        other.classes.get(at).map(|class| class.presence)
    };
    let is_contrary = |(name, class): &(&String, &CheckedClass)| {
        matches!(
            (class.presence, presence(name)),
            (LesionPresence::Present, Some(LesionPresence::Absent))
                | (LesionPresence::Absent, Some(LesionPresence::Present))
        )
    };
    one_source.classes.iter().zip(&one.classes).filter(is_contrary).map(|(name, _)| name.as_str()).collect()
}

/// The warning about a pair.
fn finding(sources: &[CheckedSource], pair: &CheckedPair) -> DataFinding {
    let [one, other] = pair.places.map(|(source, at)| (&sources[source], &sources[source].photographs[at]));
    let words = if pair.places[0].0 == pair.places[1].0 {
        pair.pair.words()
    } else {
        let how = pair.pair.how();
        let how = if how.is_empty() { how } else { format!(" ({how})") };
        format!("`{}` of `{}` and `{}` of `{}`{how}", one.1.name, one.0.stage, other.1.name, other.0.stage)
    };
    let part = if pair.pair.overlap.is_some() { " or a part of it" } else { "" };
    let sides = match (one.1.official, other.1.official) {
        (Some(one), Some(other)) if one != other => {
            format!("; they are in different official sets, {} and {}", one.name(), other.name())
        }
        _ => String::new(),
    };
    let text = format!("{words} show the same picture{part}{sides}");
    let finding = DataFinding::warning("near-duplicate", text).hint("keep both on one side of a split, or remove one");
    finding.of_photograph(&one.1.name, &one.1.file)
}
