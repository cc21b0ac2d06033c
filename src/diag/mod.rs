//! What macula says of a user's files: diagnostics with spans, codes and hints. Functions return `(T, Vec<Diag>)` and go on.

pub mod catalogue;
mod fix;
mod render;

pub use fix::Fix;
pub use render::{Style, count, json, render, shown};

use crate::base::Span;

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline can't be run.
    Error,
    /// It can, but the user should know.
    Warning,
}

/// One thing said of a user's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diag {
    /// Its name in the catalogue (`port-type`, `unknown-name`, …).
    pub code: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// Lower-case, names in backticks, no full stop.
    pub message: String,
    /// Places, the primary one first.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A place and what is to be seen there (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words.
    pub text: String,
}

impl Diag {
    /// An error at `span`.
    #[must_use]
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: vec![Label { span, text: String::new() }],
            hint: None,
        }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// Words at the primary place.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// One more place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
