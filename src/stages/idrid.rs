//! `idrid`: part A of `IDRiD` in its official tree.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::gathering::{Found, extension, gather, is_picture, stem};
use crate::data::photographs::{Official, PhotographFacts, WithoutMask};
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Warning, Work};

/// The implementation of `idrid`.
pub const IDRID: Implementation = Implementation {
    name: "idrid",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    work: Work::Source(source),
};

const CLASSES: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// What the folders of masks are called, but for their number and in small letters.
const FOLDERS: [(&str, &str); 4] =
    [("MA", "microaneurysms"), ("HE", "haemorrhages"), ("EX", "hard exudates"), ("SE", "soft exudates")];

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let root = files.resolve(params.text("root")?);
    let wanted = match params.text("split")? {
        "train" => Some(Official::Train),
        "test" => Some(Official::Test),
        _ => None,
    };
    let listed = files.list(&root)?;
    let mut photographs: BTreeMap<String, (Official, &str)> = BTreeMap::new();
    let mut masks: BTreeMap<(String, &str), &str> = BTreeMap::new();
    for file in &listed {
        match Place::of(file) {
            Some((side, Place::Photograph(name))) if wanted.is_none_or(|wanted| wanted == side) => {
                if let Some((_, other)) = photographs.insert(name.clone(), (side, file)) {
                    return Err(twice("duplicate-photograph", other, file, &name));
                }
            }
            Some((side, Place::Mask(name, class))) if wanted.is_none_or(|wanted| wanted == side) => {
                if let Some(other) = masks.insert((name.clone(), class), file) {
                    return Err(twice("duplicate-mask", other, file, &name));
                }
            }
            _ => {}
        }
    }
    if photographs.is_empty() {
        let text = format!("no photograph of IDRiD lies in `{}`", root.display());
        let hint = "`root` is the folder that holds `A. Segmentation` with `1. Original Images` and `2. All Segmentation Groundtruths`";
        return Err(StageError::input("no-photographs", text).hint(hint).field("root"));
    }
    all_classes(&listed)?;
    let mut found = Vec::new();
    for (name, (side, file)) in &photographs {
        let of_class =
            |class: &&'static str| Some(((*class).to_owned(), masks.remove(&(name.clone(), *class))?.to_owned()));
        let own: BTreeMap<String, String> = CLASSES.iter().filter_map(of_class).collect();
        if own.is_empty() {
            let text = format!("`{file}` has no mask of any lesion");
            let hint = "a missing mask file means that the lesion is absent, but no photograph of IDRiD lacks all four: is the download complete?";
            return Err(StageError::input("photograph-without-mask", text).hint(hint).field("root"));
        }
        found.push(Found {
            name: name.clone(),
            file: (*file).to_owned(),
            masks: own,
            facts: PhotographFacts {
                patient: None,
                official: Some(*side),
                without_mask: vec![WithoutMask::Absent; CLASSES.len()],
                scale: 1,
                mask_from: 1,
                counted: false,
            },
        });
    }
    let left = |file: &&str| Warning {
        code: "unmatched-mask".to_owned(),
        text: format!("`{file}` is the mask of a photograph that is not there"),
    };
    let warnings = masks.values().map(left).collect();
    gather(&found, &CLASSES, files, &root, warnings)
}

/// An error where there is no mask of a class at all: a folder that lacks would count as a lesion that nobody has.
fn all_classes(listed: &[String]) -> Result<(), StageError> {
    // On either side: some are rare.
    let there: BTreeSet<&str> = listed
        .iter()
        .filter_map(|file| match Place::of(file) {
            Some((_, Place::Mask(_, class))) => Some(class),
            _ => None,
        })
        .collect();
    let missing = |class: &&&str| !there.contains(**class);
    let Some(class) = CLASSES.iter().find(missing) else { return Ok(()) };
    let other = listed.iter().find(|file| {
        let lower = file.to_ascii_lowercase();
        is_picture(file)
            && !matches!(Place::of(file), Some((_, Place::Mask(..) | Place::Photograph(_))))
            && FOLDERS.iter().any(|(of, folder)| of == class && lower.contains(folder))
    });
    let text = match other {
        Some(other) => format!("no mask of {class} is named as IDRiD names them: there is `{other}`"),
        None => format!("there is no mask of {class} at all: the whole folder is missing"),
    };
    let hint = format!(
        "a missing mask means that the lesion is absent, so {class} would be absent everywhere: names end in `_{class}.tif`; for a tree of \
         other names, or of fewer classes, there is `folder`"
    );
    Err(StageError::input("no-mask-fits", text).hint(hint).field("root"))
}

/// What a file of the tree is.
enum Place {
    /// A photograph of that name.
    Photograph(String),
    /// A mask: its photograph's name and the lesion class.
    Mask(String, &'static str),
}

impl Place {
    /// What a file is, by its path; case does not count. [`None`] for everything else that lies there.
    fn of(file: &str) -> Option<(Official, Self)> {
        let lower = file.to_ascii_lowercase();
        let mut folders: Vec<&str> = lower.split('/').collect();
        folders.pop();
        // Parts B and C of the data set have folders of the same names.
        if let Some(part) = folders.iter().position(|folder| folder.starts_with("a. segmentation")) {
            folders.drain(..=part);
        }
        let [top, side, rest @ ..] = folders.as_slice() else { return None };
        let side = if side.contains("train") {
            Official::Train
        } else if side.contains("test") {
            Official::Test
        } else {
            return None;
        };
        let (number, class) = numbered(stem(&lower))?;
        let name = format!("IDRiD_{number:02}");
        if top.contains("original images") && class.is_empty() && rest.is_empty() && is_picture(file) {
            return Some((side, Self::Photograph(name)));
        }
        let class = CLASSES.into_iter().find(|known| known.eq_ignore_ascii_case(class))?;
        let mask = top.contains("groundtruth") && matches!(extension(file).as_str(), "tif" | "tiff" | "png");
        mask.then_some((side, Self::Mask(name, class)))
    }
}

/// `idrid_07_ma` is 7 and `ma`; `idrid_07` is 7 and nothing.
fn numbered(stem: &str) -> Option<(u32, &str)> {
    let rest = stem.strip_prefix("idrid_")?;
    let (number, class) = rest.split_once('_').unwrap_or((rest, ""));
    Some((number.parse().ok()?, class))
}

fn twice(code: &'static str, one: &str, other: &str, name: &str) -> StageError {
    StageError::input(code, format!("`{one}` and `{other}` are both `{name}`")).hint("remove one of them").field("root")
}
