//! Everything that was found in the photographs of a pipeline: its findings in order, and the verdict. Knows no file.

use super::finding::{DataFinding, FindingLevel};
use super::pairs::CheckedPairs;
use super::source::CheckedSource;
use crate::base::figure::counted;

/// Everything that was found in the photographs of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct DataCheck {
    /// The pipeline.
    pub pipeline: String,
    /// Its sources of photographs.
    pub sources: Vec<CheckedSource>,
    /// Photographs that show the same picture.
    pub pairs: CheckedPairs,
}

/// Where a finding belongs: the stage, unless it is about photographs of several.
pub type FindingPlace<'a> = Option<&'a str>;

impl DataCheck {
    /// All findings with their stages, errors first, otherwise in the order of sources and photographs.
    #[must_use]
    pub fn findings(&self) -> Vec<(FindingPlace<'_>, &DataFinding)> {
        let mut all: Vec<(FindingPlace<'_>, &DataFinding)> = Vec::new();
        for source in &self.sources {
            all.extend(source.all_findings().map(|finding| (Some(source.stage.as_str()), finding)));
        }
        all.extend(self.pairs.findings.iter().map(|finding| (None, finding)));
        all.sort_by_key(|(_, finding)| finding.level);
        all
    }

    /// Number of findings of a level.
    #[must_use]
    pub fn count(&self, level: FindingLevel) -> u64 {
        self.findings().iter().filter(|(_, finding)| finding.level == level).count() as u64
    }

    /// Number of photographs.
    #[must_use]
    pub fn photographs(&self) -> u64 {
        self.sources.iter().map(|source| source.photographs.len() as u64).sum()
    }

    /// Everything in one line: `3 errors, 5 warnings in 54 photographs`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let errors = counted(self.count(FindingLevel::Error), "error", "errors");
        let warnings = counted(self.count(FindingLevel::Warning), "warning", "warnings");
        let photographs = counted(self.photographs(), "photograph", "photographs");
        format!("{errors}, {warnings} in {photographs}")
    }
}
