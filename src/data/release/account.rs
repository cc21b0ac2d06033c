//! Account of a release: masks that are missing, and files that are not used. Knows no data set.

use std::collections::{BTreeMap, BTreeSet};

use super::{LeftOver, Release, ReleaseKey, ReleasePhotograph};
use crate::base::figure::counted;
use crate::data::source_tree::{extension, stem};
use crate::data::unused_files::{FileCategory, UnusedReport, remedy, unused_in, within};
use crate::stage::{StageError, Warning};

impl Release<'_, '_> {
    /// Files that are not used, with warnings. `wanted` are the parts and classes of which there must be masks.
    ///
    /// # Errors
    /// If a wanted class has no masks, a photograph lacks a required one, or an unused file was probably meant as the mask of a
    /// photograph that would otherwise count as free of the lesion.
    pub fn account(&self, wanted: &[(&'static str, &'static str)]) -> Result<UnusedReport, StageError> {
        if let Some((part, class)) = wanted.iter().find(|wanted| !self.with_masks.contains_key(wanted)) {
            return Err(self.class_without_masks(part, class));
        }
        let left = || self.stray.iter().chain(&self.unmatched).filter(|file| file.mask);
        let lost = left()
            .filter(|file| file.category != FileCategory::Ancillary)
            .find_map(|file| Some((file, self.meant(file)?)));
        if let Some((file, (photograph, class))) = lost {
            return Err(self.misnamed(file, photograph, class));
        }
        self.complete()?;
        let mut report = UnusedReport::default();
        for file in &self.stray {
            report.count(file.category, file.file);
        }
        let reason = format!("not named or stored as in {}", self.rules.name);
        let warn = |masks: bool, of: &str| {
            let files = self.stray.iter().filter(|file| file.mask == masks && file.category != FileCategory::Ancillary);
            unused_in(&files.map(|file| file.file).collect::<Vec<_>>(), of, &reason)
        };
        report.warnings = self.masks_without_photograph();
        report.warnings.extend([warn(false, "photographs"), warn(true, "masks")].into_iter().flatten());
        Ok(report)
    }

    /// A photograph that lacks a mask of a class which a file was probably meant as.
    fn meant(&self, file: &LeftOver<'_>) -> Option<(&ReleasePhotograph<'_, '_>, &'static str)> {
        let own = |(key, _): &(&ReleaseKey, &ReleasePhotograph<'_, '_>)| {
            key.part == file.part && file.patient.as_ref().is_none_or(|patient| *patient == key.patient)
        };
        let named = |photograph: &ReleasePhotograph<'_, '_>| within(&photograph.words, &file.words);
        // The name of an unfinished download may be arbitrary.
        let any = file.category == FileCategory::Unfinished
            && !self.photographs.iter().filter(own).any(|(_, photograph)| named(photograph));
        self.photographs.iter().filter(own).map(|(_, photograph)| photograph).find_map(|photograph| {
            let mut classes = photograph.required.iter().chain(photograph.absent);
            let lacks = |class: &&&'static str| {
                file.class.is_none_or(|own| own == **class) && !photograph.masks.contains_key(**class)
            };
            if !(any || named(photograph)) {
                return None;
            }
            classes.find(lacks).map(|class| (photograph, *class))
        })
    }

    fn misnamed(&self, file: &LeftOver<'_>, photograph: &ReleasePhotograph<'_, '_>, class: &str) -> StageError {
        let follows = if photograph.absent.contains(&class) { ", so the lesion would count as absent" } else { "" };
        let text = format!("`{}` is unused, and `{}` has no mask of {class}{follows}", file.file, photograph.file);
        let fits = format!("{}{}", stem(photograph.file), (self.rules.ending)(file.part));
        let hint = if matches!(extension(file.file).as_str(), "jpg" | "jpeg") {
            format!("JPEG blurs the edges of masks; replace it by `{fits}` as released")
        } else {
            remedy(file.file, &fits)
        };
        StageError::input("unused-file", text).hint(hint).field("root")
    }

    fn class_without_masks(&self, part: &'static str, class: &'static str) -> StageError {
        let folder = (self.rules.folder)(part, class);
        let stray = self.stray.iter().filter(|file| file.mask && file.part == part && file.class == Some(class));
        let first = stray.filter(|file| file.category != FileCategory::Ancillary).map(|file| file.file).next();
        let text = match first {
            Some(first) => {
                format!("no mask of {class} in `{folder}` is named as in {}; found `{first}`", self.rules.name)
            }
            None => format!("no masks of {class}: `{folder}` is missing or empty"),
        };
        let found = match self.next_to(part) {
            (_, folders) if folders.is_empty() => String::new(),
            (above, folders) => {
                let folders: Vec<String> = folders.iter().map(|folder| format!("`{folder}`")).collect();
                let above = if above.is_empty() { String::new() } else { format!(" in `{above}`") };
                format!("found the folders {}{above}; ", folders.join(", "))
            }
        };
        let masks = self.rules.masks;
        let hint = format!("{found}{masks}; check that the download is complete");
        StageError::input("no-mask-fits", text).hint(hint).field("root")
    }

    /// Folders among which that of a class should be, as far as other files of the part show: those next to the masks of another
    /// class, or next to the photographs.
    fn next_to(&self, part: &str) -> (String, BTreeSet<&str>) {
        let of_masks = self.with_masks.iter().find(|((own, _), _)| *own == part).map(|(_, file)| *file);
        let of_photographs =
            || self.photographs.iter().find(|(key, _)| key.part == part).map(|(_, photograph)| photograph.file);
        let Some(file) = of_masks.or_else(of_photographs) else { return (String::new(), BTreeSet::new()) };
        let patient = self.photographs.iter().any(|(key, photograph)| key.part == part && photograph.patient.is_some());
        let mut folders: Vec<&str> = file.split('/').collect();
        folders.truncate(folders.len().saturating_sub(if patient { 3 } else { 2 }));
        let above = folders.join("/");
        let start = if above.is_empty() { String::new() } else { format!("{above}/") };
        let next = self.listed.iter().filter_map(|file| Some(file.strip_prefix(&start)?.split_once('/')?.0));
        (above, next.collect())
    }

    /// Checks that every photograph has the masks it must have.
    fn complete(&self) -> Result<(), StageError> {
        let mut missing = self.photographs.iter().flat_map(|(key, photograph)| {
            let lacks = |class: &&&'static str| !photograph.masks.contains_key(**class);
            photograph.required.iter().filter(lacks).map(move |class| (key, photograph, *class))
        });
        let Some((key, photograph, class)) = missing.next() else { return Ok(()) };
        let more = missing.count() as u64;
        let mut text = format!("`{}` has no mask of {class}", photograph.file);
        if more > 0 {
            text = format!("{text}, and {} missing", counted(more, "more mask is", "more masks are"));
        }
        let expected = format!(
            "{}/{}{}{}",
            (self.rules.folder)(key.part, class),
            photograph.patient.map_or(String::new(), |patient| format!("{patient}/")),
            stem(photograph.file),
            (self.rules.ending)(key.part)
        );
        let masks = self.rules.masks;
        let hint = format!("{masks}; check that the download is complete: `{expected}` is missing");
        Err(StageError::input("photograph-without-mask", text).hint(hint).field("root"))
    }

    fn masks_without_photograph(&self) -> Vec<Warning> {
        let mut by_class: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for mask in &self.unmatched {
            by_class.entry((mask.part, mask.class.unwrap_or_default())).or_default().push(mask.file);
        }
        let warn = |((_, class), files): (&(&str, &str), &Vec<&str>)| {
            let count = counted(files.len() as u64, "mask", "masks");
            let text = format!("{count} of `{class}` without a photograph (first: `{}`)", files[0]);
            Warning { code: "unmatched-mask".to_owned(), text }
        };
        by_class.iter().map(warn).collect()
    }
}
