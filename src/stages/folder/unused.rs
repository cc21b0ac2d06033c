//! Unused files next to masks and photographs. A file that was probably meant as a mask would make its photograph look free of the
//! lesion, so all are reported.

use std::collections::{HashMap, HashSet};

use super::FolderPhotograph;
use super::classes::ClassPattern;
use crate::base::figure::counted;
use crate::data::name_normalisation::{folded, normalised, words};
use crate::data::pattern::Pattern;
use crate::data::pattern_matches::PatternMatch;
use crate::data::source_tree::{is_photograph, stem};
use crate::data::unused_files::{FileCategory, UnusedReport, remedy, within, words_of};
use crate::stage::{StageError, Warning};

/// The source's files after masks were assigned to photographs.
pub(super) struct FolderContents<'a> {
    pub(super) listed: &'a [String],
    pub(super) photographs: &'a Pattern<'a>,
    pub(super) classes: &'a [ClassPattern<'a>],
    pub(super) eyes: &'a [FolderPhotograph<'a>],
    /// Files with a role.
    pub(super) used: &'a HashSet<&'a str>,
    /// Masks without a photograph.
    pub(super) unmatched: &'a HashSet<&'a str>,
}

/// Location of a class's masks.
struct MaskLocation<'a> {
    class: &'a ClassPattern<'a>,
    /// Pattern of the folders of its files; [`None`] without a star.
    folders: Option<Pattern<'a>>,
    /// A folder that holds only masks, with a trailing `/`.
    only_masks: Option<String>,
}

impl<'a> MaskLocation<'a> {
    fn new(class: &'a ClassPattern<'a>, eyes: &[FolderPhotograph<'_>]) -> Self {
        let fixed = normalised(class.pattern.fixed_folder());
        let prefix = format!("{fixed}/");
        let apart = !fixed.is_empty() && !eyes.iter().any(|eye| normalised(eye.file).starts_with(&prefix));
        Self { class, folders: Pattern::new(class.pattern.folder()), only_masks: apart.then_some(prefix) }
    }

    /// Whether a file is in a folder of the class's masks.
    fn holds(&self, file: &str) -> bool {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = match &self.folders {
            Some(folders) => folders.captures(folder).is_some(),
            None => normalised(folder) == normalised(self.class.pattern.folder()),
        };
        beside || self.only_masks.as_ref().is_some_and(|prefix| normalised(file).starts_with(prefix))
    }

    /// Texts that the stars of its folders match in a file's path.
    fn stars(&self, file: &str) -> Option<Vec<String>> {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some(self.folders.as_ref()?.captures(folder)?.iter().map(|star| normalised(star)).collect())
    }
}

/// Names that a mask of each photograph would have.
struct ExpectedNames {
    /// Photographs by the words of the mask's whole name.
    whole: HashMap<Vec<String>, Vec<usize>>,
    /// Photographs by the words of their own part, if the pattern has further words.
    bare: HashMap<Vec<String>, Vec<usize>>,
    longest: usize,
    /// Number of stars in the file name.
    stars: usize,
}

impl ExpectedNames {
    fn new(class: &ClassPattern<'_>, eyes: &[FolderPhotograph<'_>]) -> Self {
        let file = class.pattern.file();
        let pieces: Vec<&str> = file.split('*').collect();
        let stars = pieces.len() - 1;
        let ends_open = pieces.last().is_some_and(|piece| piece.is_empty());
        let mut expected = Self { whole: HashMap::new(), bare: HashMap::new(), longest: 0, stars };
        // Apart from the stars and the extension.
        let has_words = !words(&format!("{} {}", pieces[..stars].join(" "), stem(pieces[stars]))).is_empty();
        for (at, eye) in eyes.iter().enumerate() {
            let own = &eye.stars[eye.stars.len().saturating_sub(stars.max(1))..];
            let mut name = String::new();
            for (k, piece) in pieces.iter().enumerate() {
                name.push_str(piece);
                if k < stars {
                    // If a mask's name has more stars than the photograph's path, the first ones may be anything.
                    let missing = stars - own.len().min(stars);
                    name.push_str(if k < missing { "" } else { &own[k - missing] });
                }
            }
            let name = if ends_open || stars == 0 { name.as_str() } else { stem(&name) };
            let whole = words(name);
            expected.longest = expected.longest.max(whole.len());
            expected.whole.entry(whole).or_default().push(at);
            if has_words && let Some(last) = own.last() {
                expected.bare.entry(words(last)).or_default().push(at);
            }
        }
        expected
    }

    /// Photograph that a file was probably meant for, the one with the longest name found in the file's, and that name's number of words.
    fn of(&self, file: &str, place: &MaskLocation<'_>, eyes: &[FolderPhotograph<'_>]) -> Option<(usize, usize)> {
        let all = words_of(file);
        let folders = place.stars(file);
        let agrees = |at: &&usize| {
            let keys = &eyes[**at].keys;
            let before = &keys[..keys.len().saturating_sub(self.stars)];
            folders.as_ref().is_none_or(|folders| folders.len() != before.len() || folders == before)
        };
        for length in (1..=self.longest.min(all.len())).rev() {
            let found = all.windows(length).filter_map(|window| self.whole.get(window)).flatten().find(agrees);
            if let Some(at) = found {
                return Some((*at, length));
            }
        }
        // Only the photograph's name and numbers, without other words.
        let numbers = all.iter().rev().take_while(|word| word.starts_with(|c: char| c.is_ascii_digit())).count();
        (0..=numbers).find_map(|cut| {
            let own = &all[..all.len() - cut];
            Some((*self.bare.get(own)?.iter().find(agrees)?, own.len()))
        })
    }
}

/// Reports every file without a role in a folder of masks or photographs.
///
/// # Errors
/// `unused-file` for one that was probably meant as the mask of a photograph without one, if that means that the lesion is absent.
pub(super) fn account(found: &FolderContents<'_>, absent: &str) -> Result<UnusedReport, StageError> {
    let mut report = UnusedReport::default();
    let unused: Vec<&str> = found.listed.iter().map(String::as_str).filter(|file| !found.used.contains(file)).collect();
    if unused.is_empty() {
        return Ok(report);
    }
    let places: Vec<MaskLocation<'_>> =
        found.classes.iter().map(|class| MaskLocation::new(class, found.eyes)).collect();
    let mut expected: Vec<Option<ExpectedNames>> = places.iter().map(|_| None).collect();
    let mut lost: Vec<(&str, String)> = Vec::new();
    let mut copies: Vec<(&str, String)> = Vec::new();
    let mut photographs: Vec<&str> = Vec::new();
    let listed: HashSet<&str> = found.listed.iter().map(String::as_str).collect();
    for file in unused {
        let mut category = FileCategory::of(file);
        if category == FileCategory::Pointer && file.strip_suffix(".dvc").is_some_and(|kept| listed.contains(kept)) {
            category = FileCategory::Ancillary;
        }
        let holding: Vec<usize> = (0..places.len()).filter(|&k| places[k].holds(file)).collect();
        if holding.is_empty() {
            if category != FileCategory::Ancillary && would_fit(found.photographs, file) {
                photographs.push(file);
                report.count(category, file);
            }
            continue;
        }
        if !found.unmatched.contains(file) {
            report.count(category, file);
        }
        if category == FileCategory::Ancillary {
            continue;
        }
        let mut meant: Option<(usize, usize, usize)> = None;
        for &k in &holding {
            let expected = expected[k].get_or_insert_with(|| ExpectedNames::new(places[k].class, found.eyes));
            if let Some((at, length)) = expected.of(file, &places[k], found.eyes)
                && meant.is_none_or(|(.., longest)| length > longest)
            {
                meant = Some((k, at, length));
            }
        }
        // The name of a download may be meaningless, and any photograph's mask may be meant.
        let unnamed = || {
            let lacks = |&k: &usize| {
                let at = found.eyes.iter().position(|eye| !eye.masks.contains_key(places[k].class.name))?;
                Some((k, at, 0))
            };
            matches!(category, FileCategory::Unfinished | FileCategory::Pointer)
                .then(|| holding.iter().find_map(lacks))?
        };
        let Some((k, at, _)) = meant.or_else(unnamed) else { continue };
        let (eye, class) = (&found.eyes[at], places[k].class);
        match eye.masks.get(class.name) {
            None if absent == "absent" => {
                let text = format!(
                    "`{file}` is unused, and `{}` has no mask of `{}`, so the lesion would count as absent",
                    eye.file, class.name
                );
                let hint = remedy(file, class.pattern.text());
                return Err(StageError::input("unused-file", text).hint(hint).field(class.field()));
            }
            None => lost.push((file, format!("`{}` has no mask of `{}`", eye.file, class.name))),
            Some(own) => copies.push((file, format!("`{}` has `{own}`", eye.file))),
        }
    }
    let mut warn = |files: &[(&str, String)], what: &str| {
        if let [(first, text), ..] = files {
            let count = counted(files.len() as u64, "unused file", "unused files");
            let text = format!("{count} {what} (first: `{first}`): {text}");
            report.warnings.push(Warning { code: "unused-file".to_owned(), text });
        }
    };
    warn(&lost, "may be meant as masks");
    warn(&copies, "may be copies of masks");
    if let Some(first) = photographs.first() {
        let count = counted(photographs.len() as u64, "file", "files");
        let text = format!(
            "{count} next to photographs in an unsupported format (first: `{first}`); use JPEG, PNG, TIFF or DICOM"
        );
        report.warnings.push(Warning { code: "unused-file".to_owned(), text });
    }
    Ok(report)
}

/// Whether a file would match the photographs' pattern except for its format.
fn would_fit(pattern: &Pattern<'_>, file: &str) -> bool {
    if is_photograph(file) {
        return false;
    }
    if pattern.captures(file).is_some() {
        return true;
    }
    // `photographs/*.jpg` and `photographs/a.jpg.part` or `photographs/a.bmp`.
    let ending = folded(pattern.file().rsplit('*').next().unwrap_or_default());
    let Some((before, _)) = file.rsplit_once('.') else { return false };
    pattern.captures(before).is_some() || pattern.captures(&format!("{before}{ending}")).is_some()
}

/// Describes the nearest photograph of a mask without one.
pub(super) fn nearly(mask: &PatternMatch<'_>, eyes: &[FolderPhotograph<'_>], near: Option<usize>) -> Option<String> {
    if let Some(at) = near {
        let eye = &eyes[at];
        return Some(format!(
            "mask `{}` is `{}`, but photograph `{}` is `{}`; all `*` must match",
            mask.file,
            mask.stars.join("/"),
            eye.file,
            eye.stars.join("/")
        ));
    }
    let own = words_of(mask.stars.last()?);
    let eye = eyes.iter().find(|eye| {
        let other = eye.stars.last().map(|star| words(star)).unwrap_or_default();
        within(&other, &own) || within(&own, &other)
    })?;
    Some(format!("`{}` nearly matches `{}`", mask.file, eye.file))
}
