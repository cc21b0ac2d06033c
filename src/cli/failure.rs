//! Exit codes and error messages of commands.

use std::fmt::{self, Write as _};
use std::process::ExitCode;

use crate::base::{Sources, shown};
use crate::diag::{self, Diag, Severity};
use crate::progress::{Colours, out};
use crate::run::PlanError;
use crate::run::remotes::NoRemote;
use crate::stage::StageError;
use crate::store::StoreError;
use crate::store::remote::{Fault, Trouble};

/// Exit status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A stage failed.
    StageFailed,
    /// A comparison found differences.
    Differs,
    /// A problem in the user's file or flags.
    User,
    /// A problem with the store or the disk.
    Store,
    /// A bug in macula.
    Bug,
    /// Interrupted; run again to continue.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::StageFailed | Self::Differs => 1,
            Self::User => 2,
            Self::Store => 3,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }

    /// The status with the larger code.
    #[must_use]
    pub const fn graver(self, other: Self) -> Self {
        if other.code() > self.code() { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Error of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// Its code in the catalogue, if it has one.
    pub code: Option<&'static str>,
    /// Lower-case, names in backticks, no full stop. Empty if everything was reported already (diagnostics).
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of the user's file or flags.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self { exit: Exit::User, code: None, text: text.into(), hint: None }
    }

    /// Error of a file or folder that cannot be written.
    #[must_use]
    pub fn unwritten(what: &dyn fmt::Display, error: &std::io::Error) -> Self {
        let text = error.to_string();
        let own = text.split(" at path \"").next().unwrap_or(&text);
        Self { exit: Exit::Store, code: None, text: format!("cannot write `{what}`: {own}"), hint: None }
    }

    /// Error of lost output.
    #[must_use]
    pub fn unsaid(error: &std::io::Error) -> Self {
        Self {
            exit: Exit::Store,
            code: None,
            text: format!("cannot write to stdout: {error}"),
            hint: Some("the output is incomplete; free some space, or write elsewhere".to_owned()),
        }
    }

    /// Error that was reported already.
    #[must_use]
    pub fn said(exit: Exit) -> Self {
        Self { exit, code: None, text: String::new(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it on stderr.
    pub fn print(&self) {
        if self.text.is_empty() {
            return;
        }
        let (red, plain) =
            if out::stderr_colours() == Colours::Ansi { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
        let code = self.code.map(|code| format!("[{code}]")).unwrap_or_default();
        let mut text = format!("error{code}: {}\n", continued(&self.text));
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "  hint: {}", continued(hint));
        }
        let head = format!("error{code}");
        let text = out::message(&text);
        out::talk(&format!("{red}{head}{plain}{}", text.strip_prefix(&head).unwrap_or_default()));
    }
}

/// Escapes a text that may contain foreign names, and indents all lines except the first.
fn continued(text: &str) -> String {
    shown::lines(text).replace('\n', "\n    ")
}

/// Prints a warning on stderr.
pub(super) fn warn(code: &str, text: &str) {
    out::talk(&out::message(&format!("warning[{code}]: {}\n", shown::line(text))));
}

/// Reports problems of remotes on stderr; the command continued without them.
pub fn warn_of(troubles: &[Trouble]) {
    for Trouble { text, hint, .. } in troubles {
        let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        out::talk(&out::message(&format!("warning[remote]: {}\n", shown::line(&format!("{text}{hint}")))));
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { exit: Exit::Store, code: None, hint: error.hint(), text: error.to_string() }
    }
}

impl From<NoRemote> for Failure {
    fn from(NoRemote { text, hint }: NoRemote) -> Self {
        Self { exit: Exit::User, code: None, text, hint }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error.into(),
            Fault::Stopped => StageError::Stopped.into(),
            other => Self { exit: Exit::Store, code: None, hint: other.hint(), text: other.to_string() },
        }
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Input { code, text, hint, .. } => {
                Self { exit: Exit::StageFailed, code: Some(code), text, hint }
            }
            StageError::Store(error) => error.into(),
            StageError::Stopped => Self {
                exit: Exit::Interrupted,
                code: None,
                text: "stopped".into(),
                hint: Some("run again to continue".into()),
            },
            StageError::Bug(_) => Self { exit: Exit::Bug, code: None, text: error.to_string(), hint: None },
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Pipeline(diags) => {
                let texts: Vec<&str> = diags.iter().map(|diag| diag.message.as_str()).collect();
                Self { code: diags.first().map(|diag| diag.code), ..Self::user(texts.join("; ")) }
            }
            PlanError::NoStage { ref near, ref known, .. } => {
                let failure = Self::user(error.to_string());
                let names: Vec<String> = known.iter().take(STAGES).map(|name| format!("`{name}`")).collect();
                let more = if known.len() > STAGES { ", …" } else { "" };
                match near {
                    Some(near) => failure.hint(format!("did you mean `{near}`?")),
                    None if names.is_empty() => failure,
                    None => failure.hint(format!("its stages are {}{more}", names.join(", "))),
                }
            }
            PlanError::Stage(error) => error.into(),
        }
    }
}

/// Maximum number of stages listed when one is unknown.
const STAGES: usize = 16;

/// Maximum width of diagnostics on a terminal.
const WIDEST: usize = 110;

/// Width of diagnostics in a pipe or a file: no message is so long, so that each stays on a line and `grep` finds it.
const UNBROKEN: usize = 10_000;

/// Prints diagnostics on stderr.
pub(super) fn say(diags: &[Diag], sources: &Sources) {
    say_first(diag::MOST_DRAWN, diags, sources);
}

/// Prints the first `most` diagnostics on stderr, and the number of all.
pub(super) fn say_first(most: usize, diags: &[Diag], sources: &Sources) {
    let style = if out::stderr_colours() == Colours::Ansi { diag::Style::Colour } else { diag::Style::Plain };
    let width = if out::stderr_is_terminal() { out::stderr_width().min(WIDEST) } else { UNBROKEN };
    out::talk(&diag::render_first(most, diags, sources, style, width));
}

/// Whether there is an error among diagnostics.
pub(super) fn wrong(diags: &[Diag]) -> bool {
    diags.iter().any(|diag| diag.severity == Severity::Error)
}
