//! Files of a published data set, sorted by the folders of its release: photographs, the masks of each, and files left over. Knows no
//! data set; a source says what each folder holds.

mod account;
mod root;

use std::collections::{BTreeMap, BTreeSet};

pub use root::{REACH, WrongRoot, no_photographs};

use super::name_normalisation::{normalised, words};
use super::source_tree::{clash, duplicate, extension, free_name, is_picture, stem};
use super::unused_files::{FileCategory, is_fetched, words_of};
use crate::stage::StageError;

/// Rules of a data set's release, for messages.
pub struct ReleaseRules {
    /// Name of the data set.
    pub name: &'static str,
    /// Sentence on which masks exist.
    pub masks: &'static str,
    /// Folder of a class's masks in a part of the release.
    pub folder: fn(part: &str, class: &str) -> String,
    /// End of a mask's file name after the photograph's name, in a part of the release.
    pub ending: fn(part: &str) -> &'static str,
}

/// Content of a folder of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderRole<'c> {
    /// Photographs.
    Photographs {
        /// Classes of which each has a mask.
        required: &'c [&'static str],
        /// Classes that are absent in those without a mask.
        absent: &'c [&'static str],
    },
    /// Masks.
    Masks {
        /// Their class, if the folder is that of one class.
        class: Option<&'static str>,
        /// End of their names, without extension, after the photograph's name.
        suffix: &'static str,
    },
}

/// Place of a file in a release, as its folders say.
#[derive(Clone, Copy, Debug)]
pub struct ReleasePlace<'f, 'c> {
    /// Part of the release that has photographs and masks of its own: a set of the official split, a half.
    pub part: &'static str,
    /// Patient that a folder is named after.
    pub patient: Option<&'f str>,
    /// What the folder holds.
    pub role: FolderRole<'c>,
    /// Whether the release has files right here, rather than in a folder above or below.
    pub exact: bool,
}

/// Identity of a photograph in a release; patient and name are normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseKey {
    /// Part of the release.
    pub part: &'static str,
    /// Patient; empty if unknown.
    pub patient: String,
    /// File name without extension.
    pub stem: String,
}

/// A photograph of a release with its masks.
#[derive(Clone, Debug)]
pub struct ReleasePhotograph<'f, 'c> {
    /// Its file, relative to the source's folder.
    pub file: &'f str,
    /// Its patient as spelled in the path.
    pub patient: Option<&'f str>,
    /// Mask file by class.
    pub masks: BTreeMap<&'static str, &'f str>,
    /// Classes of which it must have a mask.
    pub required: &'c [&'static str],
    /// Classes that are absent if it has no mask.
    pub absent: &'c [&'static str],
    /// Words of its name.
    words: Vec<String>,
}

/// A file in a folder of photographs or masks that is neither, or a mask without a photograph.
struct LeftOver<'f> {
    file: &'f str,
    category: FileCategory,
    part: &'static str,
    /// Patient, normalised; [`None`] if no folder names one.
    patient: Option<String>,
    /// Whether it is in a folder of masks.
    mask: bool,
    class: Option<&'static str>,
    words: Vec<String>,
}

/// A release as found on disk.
pub struct Release<'f, 'c> {
    /// Photographs of the parts asked for.
    pub photographs: BTreeMap<ReleaseKey, ReleasePhotograph<'f, 'c>>,
    rules: &'c ReleaseRules,
    /// Every file below the source's folder.
    listed: &'f [String],
    /// Files that are not used in any role.
    stray: Vec<LeftOver<'f>>,
    /// Masks without a photograph.
    unmatched: Vec<LeftOver<'f>>,
    /// Parts and classes that have a mask, with one of them.
    with_masks: BTreeMap<(&'static str, &'static str), &'f str>,
    /// Names that occur in several parts or patients, normalised.
    repeated: BTreeSet<String>,
}

impl<'f, 'c> Release<'f, 'c> {
    /// Sorts all listed files. Only files of `parts` are used; names of photographs take all parts into account, so that they do not
    /// depend on the parts asked for.
    ///
    /// # Errors
    /// If two files are the same photograph or the same mask.
    pub fn read(
        rules: &'c ReleaseRules,
        listed: &'f [String],
        parts: &[&str],
        place: impl Fn(&'f str) -> Option<ReleasePlace<'f, 'c>>,
    ) -> Result<Self, StageError> {
        let mut photographs: BTreeMap<ReleaseKey, ReleasePhotograph<'f, 'c>> = BTreeMap::new();
        let mut masks: BTreeMap<(ReleaseKey, &'static str), &'f str> = BTreeMap::new();
        let mut scopes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut stray = Vec::new();
        for file in listed.iter().map(String::as_str) {
            let Some(place) = place(file) else { continue };
            let name = normalised(stem(file));
            let patient = place.patient.map(normalised);
            let key = |stem: &str| ReleaseKey {
                part: place.part,
                patient: patient.clone().unwrap_or_default(),
                stem: stem.to_owned(),
            };
            match place.role {
                FolderRole::Photographs { required, absent } if place.exact && is_picture(file) => {
                    let scope = patient.clone().unwrap_or_else(|| place.part.to_owned());
                    scopes.entry(name.clone()).or_default().insert(scope);
                    if !parts.contains(&place.part) {
                        continue;
                    }
                    let photograph = ReleasePhotograph {
                        file,
                        patient: place.patient,
                        masks: BTreeMap::new(),
                        required,
                        absent,
                        words: words(stem(file)),
                    };
                    if let Some(other) = photographs.insert(key(&name), photograph) {
                        return Err(duplicate("duplicate-photograph", other.file, file, stem(file)));
                    }
                }
                FolderRole::Masks { class: Some(class), suffix }
                    if place.exact && is_mask(file) && name.ends_with(&normalised(suffix)) =>
                {
                    if !parts.contains(&place.part) {
                        continue;
                    }
                    let name = name.strip_suffix(&normalised(suffix)).unwrap_or(&name);
                    if let Some(other) = masks.insert((key(name), class), file) {
                        let of = format!("{class} of {}", stem(file));
                        return Err(duplicate("duplicate-mask", other, file, &of));
                    }
                }
                _ if !parts.contains(&place.part) => {}
                role => {
                    let class = if let FolderRole::Masks { class, .. } = role { class } else { None };
                    let mask = matches!(role, FolderRole::Masks { .. });
                    stray.push(LeftOver::new(file, (place.part, patient), mask, class, listed));
                }
            }
        }
        let (mut unmatched, mut with_masks) = (Vec::new(), BTreeMap::new());
        for ((key, class), file) in masks {
            with_masks.entry((key.part, class)).or_insert(file);
            if let Some(photograph) = photographs.get_mut(&key) {
                photograph.masks.insert(class, file);
            } else {
                let patient = Some(key.patient).filter(|patient| !patient.is_empty());
                unmatched.push(LeftOver::new(file, (key.part, patient), true, Some(class), listed));
            }
        }
        let repeated = scopes.into_iter().filter(|(_, scopes)| scopes.len() > 1).map(|(name, _)| name).collect();
        Ok(Self { photographs, rules, listed, stray, unmatched, with_masks, repeated })
    }

    /// Names of photographs by their files: the file's name without extension, after `scope` (a part, a patient) if it occurs in several.
    ///
    /// # Errors
    /// If two names are the same nevertheless.
    pub fn names(&self, files: &[(&str, &str)]) -> Result<Vec<String>, StageError> {
        let name = |(scope, file): &(&str, &str)| {
            let own = stem(file);
            let repeated = self.repeated.contains(&normalised(own));
            free_name(if repeated { format!("{scope}_{own}") } else { own.to_owned() }, file)
        };
        let names: Vec<String> = files.iter().map(name).collect();
        match clash(&names) {
            None => Ok(names),
            Some((one, other)) => Err(duplicate("duplicate-photograph", files[one].1, files[other].1, &names[other])),
        }
    }
}

impl ReleasePhotograph<'_, '_> {
    /// Its masks, as a source passes them on.
    #[must_use]
    pub fn mask_files(&self) -> BTreeMap<String, String> {
        self.masks.iter().map(|(class, file)| ((*class).to_owned(), (*file).to_owned())).collect()
    }
}

impl<'f> LeftOver<'f> {
    fn new(
        file: &'f str,
        (part, patient): (&'static str, Option<String>),
        mask: bool,
        class: Option<&'static str>,
        listed: &[String],
    ) -> Self {
        let category = match FileCategory::of(file) {
            FileCategory::Pointer if is_fetched(file, listed) => FileCategory::Ancillary,
            category => category,
        };
        Self { file, category, part, patient, mask, class, words: words_of(file) }
    }
}

/// Whether the extension is that of a supported mask format.
fn is_mask(file: &str) -> bool {
    matches!(extension(file).as_str(), "png" | "tif" | "tiff")
}
