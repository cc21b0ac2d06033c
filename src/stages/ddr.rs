//! `ddr`: the lesion masks of DDR in the folders of its release.

use std::collections::BTreeMap;

use crate::data::photographs::{Official, PhotographFacts, WithoutMask};
use crate::data::release::{FolderRole, REACH, Release, ReleasePlace, ReleaseRules, WrongRoot, no_photographs};
use crate::data::source_tree::{SourcePhotograph, gather, is_picture};
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Work};

/// The implementation of `ddr`.
pub const DDR: Implementation = Implementation {
    name: "ddr",
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

const SETS: [Official; 3] = [Official::Train, Official::Valid, Official::Test];

/// The folder that the release is known by.
const MARK: &str = "lesion_segmentation";

/// Folder of photographs in a set.
const IMAGES: &str = "image";

/// Folders of masks in a set: `valid` has the second, the other sets the first.
const LABELS: [&str; 2] = ["label", "segmentation label"];

const RULES: ReleaseRules = ReleaseRules {
    name: "DDR",
    masks: "DDR has four masks for each photograph, black if the lesion is absent",
    folder: |part, class| format!("{part}/{}/{class}", LABELS[usize::from(part == Official::Valid.name())]),
    ending: |_| ".tif",
};

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let written = params.text("root")?;
    let root = files.resolve(written);
    let wanted: Vec<Official> = match Official::named(params.text("split")?) {
        Some(set) => vec![set],
        None => SETS.to_vec(),
    };
    let parts: Vec<&'static str> = wanted.iter().map(|set| set.name()).collect();
    let listed = files.list(&root)?;
    let there = |set: &&Official| listed.iter().any(|file| is_photograph(file, **set));
    let Some(first) = SETS.iter().find(there) else {
        let inside = listed.iter().any(|file| {
            let top = file.split('/').next().unwrap_or_default().to_ascii_lowercase();
            top == IMAGES || LABELS.contains(&top.as_str())
        });
        return Err(no_photographs(&WrongRoot {
            name: RULES.name,
            written,
            folder: &root,
            listed: &listed,
            expected: "`root` is the folder that holds `lesion_segmentation`, with `train/image` and `train/label`",
            marks: |folder| folder.eq_ignore_ascii_case(MARK),
            inside: inside.then_some("this is one set of the split: name the folder two levels above"),
        }));
    };
    if let Some(set) = wanted.iter().find(|set| !there(set)) {
        let text = format!("no DDR photographs of the official set `{}` in `{}`", set.name(), root.display());
        let hint = format!(
            "`{}/image` is missing or empty; check that the download is complete, or read one set with `split {}`",
            set.name(),
            first.name()
        );
        return Err(StageError::input("no-photographs", text).hint(hint).field("root"));
    }
    let release = Release::read(&RULES, &listed, &parts, place)?;
    let classes: Vec<_> = parts.iter().flat_map(|part| CLASSES.map(|class| (*part, class))).collect();
    let unused = release.account(&classes)?;
    let scoped: Vec<(&str, &str)> =
        release.photographs.iter().map(|(key, photograph)| (key.part, photograph.file)).collect();
    let names = release.names(&scoped)?;
    let found = release.photographs.iter().zip(names).map(|((key, photograph), name)| SourcePhotograph {
        name,
        file: photograph.file.to_owned(),
        masks: photograph.mask_files(),
        drawn: BTreeMap::new(),
        region: None,
        facts: PhotographFacts {
            official: Official::named(key.part),
            mask_from: PhotographFacts::stored_mask_from(Some(1)),
            // Never used: every photograph has all masks.
            ..PhotographFacts::released(vec![WithoutMask::Unknown; CLASSES.len()])
        },
    });
    let mut found: Vec<SourcePhotograph> = found.collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let mut outcome = gather(&found, &CLASSES, files, &root, unused.warnings.clone())?;
    outcome.summary.tables.extend(unused.table());
    Ok(outcome)
}

fn is_photograph(file: &str, set: Official) -> bool {
    let here = |place: &ReleasePlace<'_, '_>| {
        place.exact && place.part == set.name() && matches!(place.role, FolderRole::Photographs { .. })
    };
    is_picture(file) && place(file).as_ref().is_some_and(here)
}

/// Place of a file, by `train/image/` or `train/label/MA/` in its path, at the root or in `lesion_segmentation`.
fn place(file: &str) -> Option<ReleasePlace<'_, 'static>> {
    let lower = file.to_ascii_lowercase();
    let mut folders: Vec<&str> = lower.split('/').collect();
    folders.pop();
    let start = match folders.iter().position(|folder| *folder == MARK) {
        Some(at) if at <= REACH => at + 1,
        Some(_) => return None,
        None => 0,
    };
    let [set, content, rest @ ..] = &folders[start..] else { return None };
    let part = SETS.into_iter().map(Official::name).find(|part| part == set)?;
    let (role, exact) = if *content == IMAGES {
        (FolderRole::Photographs { required: &CLASSES, absent: &[] }, rest.is_empty())
    } else if LABELS.contains(content) {
        let class = CLASSES.into_iter().find(|class| rest.first().is_some_and(|own| own.eq_ignore_ascii_case(class)));
        (FolderRole::Masks { class, suffix: "" }, rest.len() == 1)
    } else {
        return None;
    };
    Some(ReleasePlace { part, patient: None, role, exact })
}
