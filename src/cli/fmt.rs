//! `macula fmt`: formats pipeline files, keeping comments and spelling.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::failure::say;
use super::file::{self, STDIN, named, read, unread};
use super::{Exit, Failure};
use crate::base::{Sources, disk, shown};
use crate::diag::{self, Diag};
use crate::progress::out;
use crate::run::Host;
use crate::syntax::{self, Unformatted};

/// The arguments of `macula fmt`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// KDL files to format in place; `base` means `base.kdl` if only that exists; `-` or none: stdin to stdout
    #[arg(value_name = "FILE", value_parser = file::parser())]
    files: Vec<PathBuf>,
    /// Write nothing; list the files that would change, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
    /// Print the outcome of each file as JSON, with its problems
    #[arg(long)]
    json: bool,
}

/// Outcome of a file.
enum FormatOutcome {
    /// Already formatted.
    Unchanged,
    /// Formatted.
    Formatted,
    /// Would be formatted without `--check`.
    WouldChange,
    /// Not changed, because of syntax errors.
    Faulty(Vec<Diag>),
    /// Not changed for another reason.
    Failed(Failure),
}

impl FormatOutcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Formatted => "formatted",
            Self::WouldChange => "would-change",
            Self::Faulty(_) => "faulty",
            Self::Failed(_) => "failed",
        }
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Unchanged | Self::Formatted => Exit::Done,
            Self::WouldChange => Exit::Differs,
            Self::Faulty(_) => Exit::User,
            Self::Failed(failure) => failure.exit,
        }
    }
}

/// Formats files in place, each completely or not at all, or stdin to stdout. The most severe outcome determines the exit code.
///
/// # Errors
/// None: problems are reported, and the other files are formatted.
pub fn fmt(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let stdin = [PathBuf::from(STDIN)];
    let files = if arguments.files.is_empty() { &stdin[..] } else { &arguments.files };
    let mut sources = Sources::default();
    let mut exit = Exit::Done;
    let mut told = Vec::new();
    let mut would = 0;
    for path in files {
        let outcome = format(path, arguments, &mut sources);
        let name = named(path);
        match &outcome {
            _ if arguments.json => told.push(as_json(&name, &outcome, &sources)),
            FormatOutcome::Unchanged => {}
            FormatOutcome::Formatted if path == Path::new(STDIN) => {} // the text itself was printed
            FormatOutcome::Formatted => out::say(&format!("formatted {}\n", shown::line(&name))),
            FormatOutcome::WouldChange => {
                would += 1;
                out::say(&format!("{}\n", shown::line(&name)));
            }
            FormatOutcome::Faulty(diags) => say(diags, &sources),
            FormatOutcome::Failed(failure) => failure.print(),
        }
        exit = exit.graver(outcome.exit());
    }
    if arguments.json {
        out::say(&format!("{:#}\n", Value::Array(told)));
    } else if would > 0 {
        let noun = if would == 1 { "file" } else { "files" };
        out::talk(&format!("{would} {noun} would change; run `macula fmt` without `--check` to write them\n"));
    }
    Ok(exit)
}

fn as_json(name: &str, outcome: &FormatOutcome, sources: &Sources) -> Value {
    let diagnostics = match outcome {
        FormatOutcome::Faulty(diags) => diag::json(diags, sources),
        _ => json!([]),
    };
    let reason = if let FormatOutcome::Failed(failure) = outcome { Some(&failure.text) } else { None };
    json!({"file": name, "outcome": outcome.name(), "reason": reason, "diagnostics": diagnostics})
}

fn format(path: &Path, arguments: &Arguments, sources: &mut Sources) -> FormatOutcome {
    let text = match read(path) {
        Ok(text) => text,
        Err(_) if path.is_dir() => {
            let failure = Failure::user(format!("cannot read `{}`: it is a folder", named(path)));
            return FormatOutcome::Failed(failure.hint("name the files in it: `FOLDER/*.kdl`"));
        }
        Err(error) => return FormatOutcome::Failed(unread(path, &error)),
    };
    let file = sources.add(named(path), None, text.as_str());
    let formatted = match syntax::format(file, &text) {
        Ok(formatted) => formatted,
        Err(Unformatted::Faulty(diags)) => return FormatOutcome::Faulty(diags),
        Err(Unformatted::Defect) => {
            let text = format!("formatting `{}` would change more than its layout; left unchanged", named(path));
            let hint = Some("this is a bug in macula: please report it with the file".to_owned());
            return FormatOutcome::Failed(Failure { exit: Exit::Bug, code: None, text, hint });
        }
    };
    let stdin = path == Path::new(STDIN);
    if arguments.check {
        return if formatted == text { FormatOutcome::Unchanged } else { FormatOutcome::WouldChange };
    }
    let written = if stdin && !arguments.json {
        out::data(&formatted);
        Ok(())
    } else if stdin || formatted == text {
        Ok(())
    } else {
        disk::rewrite(path, formatted.as_bytes()).map_err(|error| Failure {
            exit: Exit::Store,
            ..Failure::user(format!("cannot write `{}`: {error}", path.display()))
        })
    };
    match written {
        Err(failure) => FormatOutcome::Failed(failure),
        Ok(()) if formatted == text => FormatOutcome::Unchanged,
        Ok(()) => FormatOutcome::Formatted,
    }
}
