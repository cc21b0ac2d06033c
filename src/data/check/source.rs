//! Everything that was found in the photographs of one source. Knows no file.

use std::collections::BTreeMap;

use super::finding::DataFinding;
use super::photograph::{CheckedClass, CheckedPhotograph, LesionPresence};
use crate::base::figure::counted;
use crate::data::image_issues;
use crate::stage::Table;

/// The photographs of one output of a stage.
#[derive(Clone, Debug, Default)]
pub struct CheckedSource {
    /// The stage, with its port if it has several outputs.
    pub stage: String,
    /// What the stage is an instance of.
    pub stage_type: String,
    /// What the stage said about its photographs in one line; empty if it failed.
    pub headline: String,
    /// Lesion classes in label order.
    pub classes: Vec<String>,
    /// The photographs, in the set's order.
    pub photographs: Vec<CheckedPhotograph>,
    /// Findings about the source and not about one of its photographs, and blank masks.
    pub findings: Vec<DataFinding>,
    /// Further tables of the stage, such as that of unused files.
    pub tables: Vec<Table>,
}

/// Patients of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatientCounts {
    /// Patients.
    pub patients: u64,
    /// Fewest photographs of a patient; 0 without patients.
    pub fewest: u64,
    /// Most photographs of a patient.
    pub most: u64,
    /// Photographs whose patient is unknown.
    pub unknown: u64,
}

impl CheckedSource {
    /// Adds what only all photographs together show.
    #[must_use]
    pub fn whole(mut self) -> Self {
        for k in 0..self.classes.len() {
            let finding = self.blank_masks(k);
            self.findings.extend(finding);
        }
        let named = |photograph: &'_ CheckedPhotograph| Some((photograph.name.clone(), photograph.profile.clone()?));
        let profiles: Vec<(String, String)> = self.photographs.iter().filter_map(named).collect();
        let profiles: Vec<(&str, &str)> = profiles.iter().map(|(name, of)| (name.as_str(), of.as_str())).collect();
        let warning = image_issues::profile_warning(&profiles, self.photographs.len());
        self.findings.extend(warning.map(DataFinding::of_warning));
        self
    }

    /// Colour profiles other than sRGB, with the number of photographs that have each.
    #[must_use]
    pub fn profiles(&self) -> BTreeMap<&str, u64> {
        let mut profiles: BTreeMap<&str, u64> = BTreeMap::new();
        for profile in self.photographs.iter().filter_map(|photograph| photograph.profile.as_deref()) {
            *profiles.entry(profile).or_default() += 1;
        }
        profiles
    }

    /// The photographs' states of class `k`.
    pub fn class(&self, k: usize) -> impl Iterator<Item = &CheckedClass> {
        self.photographs.iter().filter_map(move |photograph| photograph.classes.get(k))
    }

    /// Number of photographs whose mask of class `k` has no lesion pixel.
    #[must_use]
    pub fn blank(&self, k: usize) -> u64 {
        self.class(k).filter(|class| is_blank(class)).count() as u64
    }

    /// A warning about blank masks: if every mask of the class is blank, or if the source leaves out the masks of other absent lesions, so that
    /// a blank one may be an export that failed.
    fn blank_masks(&self, k: usize) -> Option<DataFinding> {
        let blank = self.blank(k);
        let masks = self.class(k).filter(|class| class.mask.is_some()).count() as u64;
        let lacks = |class: &&CheckedClass| class.mask.is_none() && class.presence == LesionPresence::Absent;
        let without = (0..self.classes.len()).map(|k| self.class(k).filter(lacks).count() as u64).sum();
        if blank == 0 || blank < masks && without == 0 {
            return None;
        }
        let class = &self.classes[k];
        let is_blank = |photograph: &&CheckedPhotograph| photograph.classes.get(k).is_some_and(is_blank);
        let first = self.photographs.iter().find(is_blank).map_or("", |first| first.name.as_str());
        let all = counted(blank, "mask", "masks");
        let text = if blank == masks {
            format!("no mask of `{class}` has a lesion pixel ({all}, first: `{first}`): the class is absent everywhere")
        } else {
            let others = counted(without, "other absent lesion has", "other absent lesions have");
            format!("{all} of `{class}` without a lesion pixel (first: `{first}`), while {others} no mask file")
        };
        let hint = "if the lesion is absent, nothing needs to be done; otherwise export the masks again";
        Some(DataFinding { class: Some(class.clone()), ..DataFinding::warning("blank-mask", text).hint(hint) })
    }

    /// Its patients.
    #[must_use]
    pub fn patients(&self) -> PatientCounts {
        let mut patients: BTreeMap<&str, u64> = BTreeMap::new();
        let mut unknown = 0;
        for photograph in &self.photographs {
            match &photograph.patient {
                Some(patient) => *patients.entry(patient).or_default() += 1,
                None => unknown += 1,
            }
        }
        PatientCounts {
            patients: patients.len() as u64,
            fewest: patients.values().min().copied().unwrap_or(0),
            most: patients.values().max().copied().unwrap_or(0),
            unknown,
        }
    }

    /// Its findings, those about the source first.
    pub fn all_findings(&self) -> impl Iterator<Item = &DataFinding> {
        self.findings.iter().chain(self.photographs.iter().flat_map(|photograph| &photograph.findings))
    }
}

fn is_blank(class: &CheckedClass) -> bool {
    class.mask.is_some() && class.presence == LesionPresence::Absent
}
