//! `folder`: photographs and masks in folders of any layout, found by patterns.
//!
//! Every file has at most one role. Files are identified by the texts that the stars of a pattern match, ignoring case and Unicode
//! normalisation. Errors: two files for one photograph or mask, a pattern that matches nothing, a file with two roles, and a file that
//! was probably meant as a mask if its absence would mean that the lesion is absent. Other files next to masks are counted by reason.
//! Masks without a photograph are a warning; photographs without any mask are an error under `absent-mask error`, and a warning if
//! their lesions are then unknown.

mod classes;
mod pairs;
mod unused;

use std::collections::{BTreeMap, HashMap, HashSet};

use classes::{ClassPattern, classes};
use pairs::without_masks;

use crate::base::figure::{counted, noun};
use crate::data::name_normalisation::normalised;
use crate::data::patients;
use crate::data::pattern::Pattern;
use crate::data::pattern_matches::{PatternMatch, PhotographIndex, fitting, names};
use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::data::slides::{self, RegionSettings, is_slide};
use crate::data::source_tree::{SourcePhotograph, gather, is_photograph, is_unnamed_dicom};
use crate::data::unused_files::FileCategory;
use crate::lang::value::Value;
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Warning, Work};

/// The implementation of `folder`.
pub const FOLDER: Implementation = Implementation {
    name: "folder",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(|params, _| check(params).map(|()| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

fn check(params: &Params) -> Result<(), StageError> {
    Pattern::of_param("photographs", params.text("photographs")?)?;
    classes(params)?;
    patients::pattern(params)?;
    RegionSettings::of(params)?;
    Ok(())
}

/// A photograph with its masks.
struct FolderPhotograph<'a> {
    name: String,
    file: &'a str,
    /// Texts matched by the stars of the photographs' pattern.
    stars: Vec<String>,
    /// Normalised texts of the stars.
    keys: Vec<String>,
    /// Mask files by class.
    masks: BTreeMap<String, String>,
}

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let root = files.resolve(params.text("root")?);
    let listed = files.list(&root)?;
    let regions = RegionSettings::of(params)?;
    let classes = classes(params)?;
    let absent = params.text("absent-mask")?;
    let mask_from = PhotographFacts::stored_mask_from(params.count_or_none("mask-from")?);

    let pattern = Pattern::of_param("photographs", params.text("photographs")?)?;
    let is_unnamed = |file: &str| pattern.captures(file).is_some() && is_unnamed_dicom(&root, file);
    let may_be = |file: &&str| match regions {
        Some(_) => is_slide(file),
        None => is_photograph(file) || is_unnamed(file),
    };
    let pictures: Vec<&str> = listed.iter().map(String::as_str).filter(may_be).collect();
    let mut fits = fitting(&pattern, &pictures, "duplicate-photograph", "photographs")?;
    let masks = |class: &ClassPattern<'_>| fitting(&class.pattern, &pictures, "duplicate-mask", &class.field());
    let masks: Vec<Vec<PatternMatch<'_>>> = classes.iter().map(masks).collect::<Result<_, _>>()?;
    let taken = without_masks(&mut fits, &pattern, &classes, &masks)?;
    if fits.is_empty() {
        let of_masks: HashSet<&str> = masks.iter().flatten().map(|fit| fit.file).collect();
        return Err(no_photographs(&root.display().to_string(), &pattern, &listed, &pictures, &of_masks));
    }
    let index = PhotographIndex::new(&fits);
    let mut eyes: Vec<FolderPhotograph<'_>> = names(&fits)?
        .into_iter()
        .zip(fits)
        .map(|(name, fit)| FolderPhotograph {
            name,
            file: fit.file,
            keys: fit.keys(),
            stars: fit.stars,
            masks: BTreeMap::new(),
        })
        .collect();
    let (mut used, mut unmatched) = (pair(&mut eyes, &classes, &masks, &index)?, HashSet::new());
    used.extend(eyes.iter().map(|eye| eye.file));
    let bare = masks.iter().all(Vec::is_empty);
    let mut warnings = Vec::new();
    for (class, own) in classes.iter().zip(&masks) {
        let left: Vec<&PatternMatch<'_>> = own.iter().filter(|fit| !used.contains(fit.file)).collect();
        let found = eyes.iter().any(|eye| eye.masks.contains_key(class.name));
        // Only a few: each is compared with all photographs.
        let nearly = || left.iter().take(5).find_map(|fit| unused::nearly(fit, &eyes, index.near(fit)));
        let beside = (!found).then(|| beside(&listed, &used, class)).flatten();
        // Photographs without any masks are legitimate input for `predict`.
        let unannotated = bare && absent == "unknown" && beside.is_none();
        let folder = class.pattern.fixed_folder();
        if !found && !unannotated && !holds_files(&listed, folder) {
            let path = format!("{}/{folder}", params.text("root")?.trim_end_matches('/'));
            let text = format!("`{path}` does not exist or is empty; it should hold the masks of `{}`", class.name);
            let hint = format!("its pattern is `{}`; patterns start from `root`", class.pattern.text());
            return Err(StageError::input("no-mask-fits", text).hint(hint).field(class.field()));
        }
        if !found && !unannotated {
            let text =
                format!("no mask of `{}` matches a photograph; its pattern is `{}`", class.name, class.pattern.text());
            let hint = nearly().unwrap_or_else(|| match beside {
                Some(file) => format!("found `{file}`; `*` must match the same text as in `photographs`"),
                None => "`*` must match the same text as in `photographs`".to_owned(),
            });
            return Err(StageError::input("no-mask-fits", text).hint(hint).field(class.field()));
        }
        if let Some(first) = left.first() {
            let count = counted(left.len() as u64, "mask", "masks");
            let mut text = format!("{count} of `{}` without a photograph (first: `{}`)", class.name, first.file);
            if let Some(nearly) = nearly() {
                text = format!("{text}; {nearly}");
            }
            warnings.push(Warning { code: "unmatched-mask".to_owned(), text });
        }
        unmatched.extend(left.iter().map(|fit| fit.file));
    }
    let known = unused::FolderContents {
        listed: &listed,
        photographs: &pattern,
        classes: &classes,
        eyes: &eyes,
        used: &used,
        unmatched: &unmatched,
    };
    let unused = unused::account(&known, absent)?;
    if absent == "error"
        && let Some((eye, class)) =
            eyes.iter().find_map(|eye| Some((eye, classes.iter().find(|class| !eye.masks.contains_key(class.name))?)))
    {
        let text = format!("`{}` has no mask of `{}`", eye.file, class.name);
        let hint = match unused.warnings.first() {
            Some(warning) => warning.text.clone(),
            None => "set `absent-mask absent` or `absent-mask unknown` to define what a missing mask means".to_owned(),
        };
        return Err(StageError::input("photograph-without-mask", text).hint(hint).field("absent-mask"));
    }
    warnings.extend(unused.warnings.iter().cloned());
    let patients = patients::of_files(params, eyes.iter().map(|eye| eye.file), &mut warnings)?;
    let without_mask = if absent == "absent" { WithoutMask::Absent } else { WithoutMask::Unknown };
    let without: Vec<&str> = eyes.iter().filter(|eye| eye.masks.is_empty()).map(|eye| eye.file).collect();
    if let (Some(first), WithoutMask::Unknown) = (without.first(), without_mask) {
        let count = counted(without.len() as u64, "photograph", "photographs");
        let text = format!("{count} without any mask (first: `{first}`): their lesions are unknown");
        warnings.push(Warning { code: "photograph-without-mask".to_owned(), text });
    }
    let values: Vec<_> = classes.iter().map(|class| class.value).collect();
    let values = if values.iter().any(Option::is_some) { values } else { Vec::new() };
    let found = eyes.into_iter().zip(patients).map(|(eye, patient)| SourcePhotograph {
        name: eye.name,
        file: eye.file.to_owned(),
        masks: eye.masks,
        drawn: BTreeMap::new(),
        region: None,
        facts: PhotographFacts {
            patient,
            mask_from,
            mask_values: values.clone(),
            ..PhotographFacts::released(vec![without_mask; classes.len()])
        },
    });
    let mut found: Vec<SourcePhotograph> = found.collect();
    found = slides::cut(found, regions.as_ref(), &root, files)?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = classes.iter().map(|class| class.name).collect();
    let mut outcome = gather(&found, &names, files, &root, warnings)?;
    outcome.summary.tables.extend(unused.table());
    let mut say = |text: String| outcome.summary.headline = format!("{}; {text}", outcome.summary.headline);
    if !taken.is_empty() {
        say(format!(
            "{} matching `photographs` used as {}",
            counted(taken.len() as u64, "file", "files"),
            noun(taken.len() as u64, "a mask", "masks")
        ));
    }
    let passed = listed.len() - pictures.len();
    if passed > 0 {
        say(format!("{} ignored", counted(passed as u64, "non-image file", "non-image files")));
    }
    Ok(outcome)
}

/// Whether a folder of the root, or the root itself (empty), has a file somewhere below it.
fn holds_files(listed: &[String], folder: &str) -> bool {
    let wanted = normalised(folder);
    let is_below = |file: &&String| {
        let mut above = file.match_indices('/').map(|(at, _)| &file[..at]);
        folder.is_empty() || above.any(|above| normalised(above) == wanted)
    };
    listed.iter().any(|file| is_below(&file))
}

/// Folders that the patterns of photographs and masks name without a star, relative to the root, each with its parameter.
#[must_use]
pub fn named_folders(params: &Params) -> Vec<(String, String)> {
    let photographs = params.text("photographs").ok().map(|text| ("photographs".to_owned(), text));
    let masks = params.map("masks").into_iter().flatten();
    let masks = masks.filter_map(|(class, text)| match text {
        Value::Text(text) => Some((format!("masks.{class}"), text.as_str())),
        _ => None,
    });
    let folder = |(field, text)| Some((field, Pattern::new(text)?.fixed_folder().to_owned()));
    photographs.into_iter().chain(masks).filter_map(folder).filter(|(_, folder)| !folder.is_empty()).collect()
}

fn no_photographs(
    root: &str,
    pattern: &Pattern<'_>,
    listed: &[String],
    pictures: &[&str],
    of_masks: &HashSet<&str>,
) -> StageError {
    let text = format!("no photograph in `{root}` matches `{}`", pattern.text());
    if let Some(hint) = slides::unread_hint(listed, |file| pattern.names(file).is_some()) {
        return StageError::input("no-photographs", text).hint(hint).field("photographs");
    }
    let hint = match pictures.iter().find(|file| !of_masks.contains(*file)) {
        Some(first) => format!("found `{first}`; `*` stands for the photograph's name"),
        None if !pictures.is_empty() => {
            "every image in it matches a pattern of `masks`; the photographs may be elsewhere".to_owned()
        }
        None => "the folder contains no JPEG, PNG, TIFF or DICOM".to_owned(),
    };
    StageError::input("no-photographs", text).hint(hint).field("photographs")
}

/// Assigns masks to photographs; returns the files that are masks of one.
fn pair<'f>(
    eyes: &mut [FolderPhotograph<'_>],
    classes: &[ClassPattern<'_>],
    masks: &[Vec<PatternMatch<'f>>],
    index: &PhotographIndex,
) -> Result<HashSet<&'f str>, StageError> {
    // A mask with a value per class is the mask of several.
    let mut roles: HashMap<&str, &ClassPattern<'_>> = HashMap::new();
    for (class, own) in classes.iter().zip(masks) {
        for fit in own {
            let fitting = index.of(fit);
            let Some((&at, others)) = fitting.split_first() else { continue };
            if let [other, ..] = others {
                let text =
                    format!("`{}` could be the mask of `{}` or `{}`", fit.file, eyes[at].file, eyes[*other].file);
                let hint =
                    format!("add a `*` to pattern `{}` for the part that distinguishes them", class.pattern.text());
                return Err(StageError::input("ambiguous-mask", text).hint(hint).field(class.field()));
            }
            if let Some(other) = roles.insert(fit.file, class)
                && (other.value.is_none() || class.value.is_none())
            {
                let text = format!("`{}` is the mask of two classes, `{}` and `{}`", fit.file, other.name, class.name);
                let hint = "each class needs its own mask files, and patterns that distinguish them, or its value in `mask-values`";
                return Err(StageError::input("two-roles", text).hint(hint).field(class.field()));
            }
            if let Some(other) = eyes[at].masks.insert(class.name.to_owned(), fit.file.to_owned()) {
                let text = format!("`{other}` and `{}` are both masks of `{}` for one class", fit.file, eyes[at].file);
                let hint = "remove one of them, or use a more specific pattern";
                return Err(StageError::input("duplicate-mask", text).hint(hint).field(class.field()));
            }
        }
    }
    Ok(roles.into_keys().collect())
}

/// A file that may be a mask, in a folder of the class's masks.
fn beside<'f>(listed: &'f [String], used: &HashSet<&str>, class: &ClassPattern<'_>) -> Option<&'f str> {
    let folders = Pattern::new(class.pattern.folder());
    let holds = |file: &str| {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        match &folders {
            Some(folders) => folders.captures(folder).is_some(),
            None => normalised(folder) == normalised(class.pattern.folder()),
        }
    };
    let may_be = |file: &&str| !used.contains(file) && FileCategory::of(file) != FileCategory::Ancillary && holds(file);
    listed.iter().map(String::as_str).find(may_be)
}
