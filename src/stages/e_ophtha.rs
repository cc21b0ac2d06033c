//! `e-ophtha`: both halves of e-ophtha in the folders of its release. A photograph in both is one photograph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::figure::counted;
use crate::data::name_normalisation::normalised;
use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::data::release::{
    FolderRole, REACH, Release, ReleaseKey, ReleasePhotograph, ReleasePlace, ReleaseRules, WrongRoot, no_photographs,
};
use crate::data::source_tree::{SourcePhotograph, gather};
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Warning, Work};
use crate::store::Entry;

/// The implementation of `e-ophtha`.
pub const E_OPHTHA: Implementation = Implementation {
    name: "e-ophtha",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

const CLASSES: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// The halves, each named after the only class that is annotated in it.
const HALVES: [&str; 2] = ["MA", "EX"];

const RULES: ReleaseRules = ReleaseRules {
    name: "e-ophtha",
    masks: "every photograph in `MA` or `EX` has a mask in `Annotation_MA` or `Annotation_EX`",
    folder: |half, _| format!("e_optha_{half}/Annotation_{half}"),
    ending: |half| if half == "EX" { "_EX.png" } else { ".png" },
};

/// A photograph with its files in one half or both.
struct EOphthaPhotograph<'p> {
    key: &'p ReleaseKey,
    /// The photograph in each half, that of `MA` first.
    halves: Vec<(&'static str, &'p ReleasePhotograph<'p, 'static>)>,
}

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let written = params.text("root")?;
    let root = files.resolve(written);
    let part = params.text("part")?;
    let wanted: Vec<&'static str> =
        HALVES.into_iter().filter(|half| part == "both" || half.eq_ignore_ascii_case(part)).collect();
    let listed = files.list(&root)?;
    let release = Release::read(&RULES, &listed, &wanted, place)?;
    let there: Vec<&'static str> =
        wanted.into_iter().filter(|half| release.photographs.keys().any(|key| key.part == *half)).collect();
    if there.is_empty() {
        let starts = |folder: &str| {
            let start =
                |file: &String| file.split_once('/').is_some_and(|(first, _)| first.eq_ignore_ascii_case(folder));
            listed.iter().any(start)
        };
        let inside = HALVES.iter().any(|half| starts(half) || starts(&format!("Annotation_{half}")));
        let halves = if part == "both" {
            "`e_optha_MA`, `e_optha_EX` or both".to_owned()
        } else {
            format!("`e_optha_{}`", part.to_uppercase())
        };
        return Err(no_photographs(&WrongRoot {
            name: RULES.name,
            written,
            folder: &root,
            listed: &listed,
            expected: &format!("`root` is the folder that holds {halves}"),
            marks: |folder| half_of(folder).is_some(),
            inside: inside.then_some("this is one half itself: name the folder above"),
        }));
    }
    let classes: Vec<_> = there.iter().map(|half| (*half, *half)).collect();
    let unused = release.account(&classes)?;
    let mut warnings = unused.warnings.clone();
    let (photographs, patients) = merge(&release.photographs, files, &root, &mut warnings)?;
    let healthy = with_masks_of_healthy(&photographs);
    warnings.extend(healthy);

    let scoped: Vec<(&str, &str)> = photographs
        .iter()
        .map(|photograph| (photograph.halves[0].1.patient.unwrap_or_default(), photograph.halves[0].1.file))
        .collect();
    let names = release.names(&scoped)?;
    let mut found = Vec::new();
    for (photograph, name) in photographs.iter().zip(names) {
        let known = |class: &&str| photograph.halves.iter().any(|(half, _)| half == class);
        let without = |class: &&str| if known(class) { WithoutMask::Absent } else { WithoutMask::Unknown };
        found.push(SourcePhotograph {
            name,
            file: photograph.halves[0].1.file.to_owned(),
            masks: photograph.halves.iter().flat_map(|(_, own)| own.mask_files()).collect(),
            drawn: BTreeMap::new(),
            region: None,
            facts: PhotographFacts {
                patient: patients.get(&photograph.key.patient).cloned(),
                ..PhotographFacts::released(CLASSES.iter().map(without).collect())
            },
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let mut outcome = gather(&found, &CLASSES, files, &root, warnings)?;
    outcome.summary.tables.extend(unused.table());
    let both = photographs.iter().filter(|photograph| photograph.halves.len() > 1).count();
    if both > 0 {
        outcome.summary.headline = format!("{}; {both} in both halves", outcome.summary.headline);
    }
    Ok(outcome)
}

/// Photographs of both halves: those with the same patient and name, or with identical files, are one. Also returns each patient's
/// name, by its normalised name; patients who share a photograph are one.
fn merge<'p>(
    all: &'p BTreeMap<ReleaseKey, ReleasePhotograph<'p, 'static>>,
    files: &dyn Files,
    root: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<(Vec<EOphthaPhotograph<'p>>, BTreeMap<String, String>), StageError> {
    let mut patients: BTreeMap<String, String> = BTreeMap::new();
    for (key, photograph) in all {
        patients.entry(key.patient.clone()).or_insert_with(|| photograph.patient.unwrap_or_default().to_owned());
    }
    let of = |half: &'static str| all.iter().filter(move |(key, _)| key.part == half);
    let one = |(key, photograph): (&'p ReleaseKey, &'p ReleasePhotograph<'p, 'static>)| EOphthaPhotograph {
        key,
        halves: vec![(key.part, photograph)],
    };
    let mut merged: Vec<EOphthaPhotograph<'p>> = of(HALVES[0]).map(one).collect();
    let first = merged.len();
    if first == 0 || of(HALVES[1]).next().is_none() {
        merged.extend(of(HALVES[1]).map(one));
        return Ok((merged, patients));
    }
    let paths: Vec<PathBuf> = all.values().map(|photograph| root.join(photograph.file)).collect();
    let entries: BTreeMap<&str, Entry> =
        all.values().map(|photograph| photograph.file).zip(files.entries(&paths)?).collect();
    let entry = |photograph: &ReleasePhotograph<'_, '_>| entries.get(photograph.file).copied();
    let by_name: BTreeMap<(&str, &str), usize> =
        merged.iter().enumerate().map(|(at, own)| ((own.key.patient.as_str(), own.key.stem.as_str()), at)).collect();
    let mut differing = Vec::new();
    let mut left = Vec::new();
    for (key, photograph) in of(HALVES[1]) {
        let Some(&at) = by_name.get(&(key.patient.as_str(), key.stem.as_str())) else {
            left.push((key, photograph));
            continue;
        };
        if entry(photograph) != entry(merged[at].halves[0].1) {
            differing.push((
                merged[at].halves[0].1.file,
                photograph.file,
                "have the same patient and name, but not the same content",
            ));
        }
        merged[at].halves.push((key.part, photograph));
    }
    let mut by_content: BTreeMap<Entry, usize> = BTreeMap::new();
    for (at, own) in merged.iter().enumerate().filter(|(_, own)| own.halves.len() == 1) {
        // Failed downloads are identical, too.
        if let Some(entry) = entry(own.halves[0].1).filter(|entry| entry.size > 0) {
            by_content.entry(entry).or_insert(at);
        }
    }
    let mut same_patient = Vec::new();
    for (key, photograph) in left {
        let Some(at) = entry(photograph).and_then(|entry| by_content.remove(&entry)) else {
            merged.push(one((key, photograph)));
            continue;
        };
        differing.push((
            merged[at].halves[0].1.file,
            photograph.file,
            "have the same content, but not the same patient and name",
        ));
        same_patient.push((merged[at].key.patient.clone(), key.patient.clone()));
        merged[at].halves.push((key.part, photograph));
    }
    if let Some((one, other, how)) = differing.first() {
        let count = counted(differing.len() as u64, "photograph is", "photographs are");
        let text = format!(
            "{count} in both halves under different names or with different content (first: `{one}` and `{other}` {how}); each counts as one \
             photograph, with the first file"
        );
        warnings.push(Warning { code: "merged-photograph".to_owned(), text });
    }
    unite(&mut patients, &same_patient);
    Ok((merged, patients))
}

/// Gives patients who are one the same name, the alphabetically first.
fn unite(patients: &mut BTreeMap<String, String>, same: &[(String, String)]) {
    for (one, other) in same {
        let pair: BTreeSet<String> =
            [one, other].into_iter().filter_map(|patient| patients.get(patient).cloned()).collect();
        let Some(name) = pair.first().cloned() else { continue };
        for own in patients.values_mut().filter(|own| pair.contains(*own)) {
            own.clone_from(&name);
        }
    }
}

/// Warning about photographs in a `healthy` folder that have a mask in the same half.
fn with_masks_of_healthy(photographs: &[EOphthaPhotograph<'_>]) -> Option<Warning> {
    let all = photographs.iter().flat_map(|photograph| &photograph.halves).map(|(_, own)| own);
    let healthy: Vec<&str> =
        all.filter(|own| own.required.is_empty() && !own.masks.is_empty()).map(|own| own.file).collect();
    let first = healthy.first()?;
    let count = counted(healthy.len() as u64, "photograph", "photographs");
    let text = format!("{count} in a folder of healthy photographs with a mask (first: `{first}`): the mask counts");
    Some(Warning { code: "healthy-with-mask".to_owned(), text })
}

/// The half that a folder holds. The release spells `optha`.
fn half_of(folder: &str) -> Option<&'static str> {
    let name: String = normalised(folder).chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    let end = name.strip_prefix("eoptha").or_else(|| name.strip_prefix("eophtha"))?;
    HALVES.into_iter().find(|half| end.eq_ignore_ascii_case(half))
}

/// Place of a file, by `e_optha_MA/MA/PATIENT/`, `e_optha_MA/healthy/PATIENT/` or `e_optha_MA/Annotation_MA/PATIENT/` in its path.
fn place(file: &str) -> Option<ReleasePlace<'_, 'static>> {
    const REQUIRED: [[&str; 1]; 2] = [["MA"], ["EX"]];
    let mut folders: Vec<&str> = file.split('/').collect();
    folders.pop();
    let at = folders.iter().take(REACH + 1).position(|folder| half_of(folder).is_some())?;
    let half = half_of(folders[at])?;
    // An archive that is unpacked into a folder of its own name.
    let inner = folders[at..].iter().take_while(|folder| half_of(folder) == Some(half)).count();
    let [content, rest @ ..] = &folders[at + inner..] else { return None };
    let classes = &REQUIRED[usize::from(half == HALVES[1])];
    let role = if content.eq_ignore_ascii_case(half) {
        FolderRole::Photographs { required: classes, absent: &[] }
    } else if content.eq_ignore_ascii_case("healthy") {
        FolderRole::Photographs { required: &[], absent: classes }
    } else if content.eq_ignore_ascii_case(&format!("annotation_{half}")) {
        FolderRole::Masks { class: Some(half), suffix: if half == HALVES[1] { "_EX" } else { "" } }
    } else {
        return None;
    };
    Some(ReleasePlace { part: half, patient: rest.first().copied(), role, exact: rest.len() == 1 })
}
