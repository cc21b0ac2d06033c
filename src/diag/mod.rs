//! Diagnostics of a user's files, with spans, codes and hints. Functions return `(T, Vec<Diag>)` and go on.

pub mod catalogue;
mod fix;
mod render;

pub use fix::Fix;
pub use render::{MOST_DRAWN, Style, count, json, render, render_first, shown};

use crate::base::Span;

/// Severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// It can run, but the user should know.
    Warning,
}

/// One diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diag {
    /// Its name in the catalogue (`port-type`, `unknown-name`, …).
    pub code: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// Lower-case, names in backticks, no full stop.
    pub message: String,
    /// Labelled spans, the primary one first.
    pub labels: Vec<LabeledSpan>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A span and its label (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabeledSpan {
    /// The span.
    pub span: Span,
    /// The label; a few words.
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
            labels: vec![LabeledSpan { span, text: String::new() }],
            hint: None,
        }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// Sets the label of the primary span.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Adds another labelled span.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(LabeledSpan { span, text: text.into() });
        self
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
