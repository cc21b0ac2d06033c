//! `fgadr`: the lesion masks of FGADR in the folders of its release.

use std::collections::BTreeMap;

use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::data::release::{FolderRole, REACH, Release, ReleasePlace, ReleaseRules, WrongRoot, no_photographs};
use crate::data::source_tree::{SourcePhotograph, gather, is_picture};
use crate::lang::value::Value;
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Work};

/// The implementation of `fgadr`.
pub const FGADR: Implementation = Implementation {
    name: "fgadr",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(|params, _| classes(params).map(|_| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

/// Classes of which each photograph has a mask.
const COMPLETE: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Classes and the folders of their masks, in label order. `Hemohedge_Masks` is the release's spelling.
const FOLDERS: [(&str, &[&str]); 6] = [
    ("MA", &["Microaneurysms_Masks"]),
    ("HE", &["Hemohedge_Masks", "Hemorrhage_Masks"]),
    ("EX", &["HardExudate_Masks"]),
    ("SE", &["SoftExudate_Masks"]),
    ("IRMA", &["IRMA_Masks"]),
    ("NV", &["Neovascularization_Masks"]),
];

/// The folder of photographs, which the release is known by.
const PHOTOGRAPHS: &str = "Original_Images";

/// The only part of the release.
const PART: &str = "Seg-set";

const RULES: ReleaseRules = ReleaseRules {
    name: "FGADR",
    masks: "FGADR has masks of MA, HE, EX and SE for each photograph, black if the lesion is absent",
    folder: |_, class| {
        FOLDERS.iter().find(|(own, _)| *own == class).map_or(String::new(), |(_, folders)| folders[0].to_owned())
    },
    ending: |_| ".png",
};

/// The classes asked for, in label order.
fn classes(params: &Params) -> Result<Vec<&'static str>, StageError> {
    let known: Vec<&str> = FOLDERS.iter().map(|(class, _)| *class).collect();
    let mut named = Vec::new();
    for value in params.list("classes") {
        let Value::Text(name) = value else {
            return Err(StageError::Bug("a class of `fgadr` is not a text".to_owned()));
        };
        if !known.contains(&name.as_str()) {
            let text = format!("FGADR has no class `{name}`");
            let hint = format!("the classes are {}", known.join(", "));
            return Err(StageError::input("unknown-class", text).hint(hint).field("classes"));
        }
        named.push(name.as_str());
    }
    if named.is_empty() {
        let hint = "write e.g. `classes MA HE EX SE`";
        return Err(StageError::input("no-classes", "`classes` has no lesion class").hint(hint).field("classes"));
    }
    Ok(known.into_iter().filter(|class| named.contains(class)).collect())
}

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let written = params.text("root")?;
    let root = files.resolve(written);
    let classes = classes(params)?;
    let is_complete = |class: &&&str| COMPLETE.contains(*class);
    let required: Vec<&'static str> = classes.iter().filter(is_complete).copied().collect();
    let rare = classes.iter().filter(|class| !is_complete(class)).copied();
    let are_absent = params.text("absent-mask")? == "absent";
    let absent: Vec<&'static str> = rare.filter(|_| are_absent).collect();
    let listed = files.list(&root)?;
    let place = |file| place(file, &classes, FolderRole::Photographs { required: &required, absent: &absent });
    let release = Release::read(&RULES, &listed, &[PART], place)?;
    if release.photographs.is_empty() {
        let inside = listed.iter().any(|file| !file.contains('/') && is_picture(file));
        return Err(no_photographs(&WrongRoot {
            name: RULES.name,
            written,
            folder: &root,
            listed: &listed,
            expected: "`root` is the folder that holds `Original_Images` and `Microaneurysms_Masks`, or one above it",
            marks: |folder| folder.eq_ignore_ascii_case(PHOTOGRAPHS),
            inside: inside.then_some("this folder holds images itself: name the one above"),
        }));
    }
    let unused = release.account(&classes.iter().map(|class| (PART, *class)).collect::<Vec<_>>())?;
    let scoped: Vec<(&str, &str)> = release.photographs.values().map(|photograph| (PART, photograph.file)).collect();
    let without = |class: &&'static str| {
        if absent.contains(class) { WithoutMask::Absent } else { WithoutMask::Unknown }
    };
    let facts = PhotographFacts {
        mask_from: PhotographFacts::stored_mask_from(params.count_or_none("mask-from")?),
        ..PhotographFacts::released(classes.iter().map(without).collect())
    };
    let names = release.names(&scoped)?;
    let found = release.photographs.values().zip(names).map(|(photograph, name)| SourcePhotograph {
        file: photograph.file.to_owned(),
        masks: photograph.mask_files(),
        // One photograph per patient.
        drawn: BTreeMap::new(),
        region: None,
        facts: PhotographFacts { patient: Some(name.clone()), ..facts.clone() },
        name,
    });
    let mut found: Vec<SourcePhotograph> = found.collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let mut outcome = gather(&found, &classes, files, &root, unused.warnings.clone())?;
    outcome.summary.tables.extend(unused.table());
    Ok(outcome)
}

/// Place of a file, by the first folder of photographs or masks in its path.
fn place<'f, 'c>(file: &'f str, classes: &[&'static str], photographs: FolderRole<'c>) -> Option<ReleasePlace<'f, 'c>> {
    let mut folders: Vec<&str> = file.split('/').collect();
    folders.pop();
    let class = |folder: &str| {
        let named = |names: &&[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(folder));
        FOLDERS.iter().find(|(_, names)| named(names)).map(|(class, _)| *class)
    };
    let (at, role) = folders.iter().enumerate().take(REACH + 1).find_map(|(at, folder)| {
        if folder.eq_ignore_ascii_case(PHOTOGRAPHS) {
            return Some((at, photographs));
        }
        let class = class(folder)?;
        Some((at, FolderRole::Masks { class: Some(class), suffix: "" }))
    })?;
    if let FolderRole::Masks { class: Some(class), .. } = role
        && !classes.contains(&class)
    {
        return None;
    }
    Some(ReleasePlace { part: PART, patient: None, role, exact: folders.len() == at + 1 })
}
