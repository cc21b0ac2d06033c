//! Findings: what is wrong or strange about a source, a photograph or a mask. Knows neither pixels nor files.

use serde::Serialize;

use crate::stage::{StageError, Warning};

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingLevel {
    /// A run fails on it.
    Error,
    /// A run continues, perhaps with wrong labels.
    Warning,
}

impl FindingLevel {
    /// Its name: `error` or `warning`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something wrong or strange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataFinding {
    /// How serious it is.
    pub level: FindingLevel,
    /// Its code in the catalogue.
    pub code: String,
    /// The photograph's name; [`None`] for a finding about a source.
    pub photograph: Option<String>,
    /// The lesion class of the mask; [`None`] for a finding about a photograph.
    pub class: Option<String>,
    /// Path of the file.
    pub file: Option<String>,
    /// Lower-case, names in backticks, no full stop.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl DataFinding {
    /// The finding for an error of the data.
    ///
    /// # Errors
    /// [`StageError::Stopped`] and [`StageError::Bug`], which are not findings.
    pub fn of_error(error: StageError) -> Result<Self, StageError> {
        let (code, text, hint) = match error {
            StageError::Input { code, text, hint, .. } => (code, text, hint),
            StageError::Store(error) => ("unreadable-file", error.to_string(), error.hint()),
            other => return Err(other),
        };
        Ok(Self { hint, ..Self::new(FindingLevel::Error, code, text) })
    }

    /// The finding for a warning.
    #[must_use]
    pub fn of_warning(warning: Warning) -> Self {
        Self::new(FindingLevel::Warning, &warning.code, warning.text)
    }

    /// A warning with a code.
    #[must_use]
    pub fn warning(code: &str, text: impl Into<String>) -> Self {
        Self::new(FindingLevel::Warning, code, text.into())
    }

    fn new(level: FindingLevel, code: &str, text: String) -> Self {
        Self { level, code: code.to_owned(), photograph: None, class: None, file: None, text, hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds the photograph, by name and path.
    #[must_use]
    pub fn of_photograph(self, name: &str, file: &str) -> Self {
        Self { photograph: Some(name.to_owned()), file: Some(file.to_owned()), ..self }
    }

    /// Adds the mask, by class and path.
    #[must_use]
    pub fn of_mask(self, class: &str, file: &str) -> Self {
        Self { class: Some(class.to_owned()), file: Some(file.to_owned()), ..self }
    }
}
