//! `macula fmt`: lays pipeline files out anew, comments and spelling kept.

use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::check::say;
use super::{Exit, Failure};
use crate::base::{Sources, disk, regular, shown};
use crate::diag::{self, Diag};
use crate::progress::out;
use crate::run::Host;
use crate::syntax::{self, Unformatted};

/// The arguments of `macula fmt`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// KDL files to write in place; `-`, or none: from stdin to stdout
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; list the files that would change, and exit with 1 where there are any
    #[arg(long)]
    check: bool,
    /// Print what was done as JSON, with what is wrong
    #[arg(long)]
    json: bool,
}

/// What became of a file.
enum Outcome {
    /// It was laid out so already.
    Unchanged,
    /// It was laid out anew.
    Formatted,
    /// It would be, without `--check`.
    WouldChange,
    /// It has mistakes of form and stays as it is.
    Faulty(Vec<Diag>),
    /// It stays as it is for another reason.
    Failed(Failure),
}

impl Outcome {
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

/// Formats files in place, each whole or not at all, or stdin to stdout. The gravest of what happened fixes the exit code.
///
/// # Errors
/// None: what is wrong with files is reported, and the others are done.
pub fn fmt(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let stdin = [PathBuf::from("-")];
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
            Outcome::Unchanged => {}
            Outcome::Formatted if path == Path::new("-") => {} // the text itself was printed
            Outcome::Formatted => out::say(&format!("formatted {}\n", shown::line(&name))),
            Outcome::WouldChange => {
                would += 1;
                out::say(&format!("{}\n", shown::line(&name)));
            }
            Outcome::Faulty(diags) => say(diags, &sources),
            Outcome::Failed(failure) => failure.print(),
        }
        exit = exit.graver(outcome.exit());
    }
    if arguments.json {
        out::say(&format!("{:#}\n", Value::Array(told)));
    } else if would > 0 {
        let noun = if would == 1 { "file" } else { "files" };
        out::talk(&format!("{would} {noun} would change: `macula fmt` without `--check` writes them\n"));
    }
    Ok(exit)
}

fn named(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() }
}

fn as_json(name: &str, outcome: &Outcome, sources: &Sources) -> Value {
    let diagnostics = match outcome {
        Outcome::Faulty(diags) => diag::json(diags, sources),
        _ => json!([]),
    };
    let reason = if let Outcome::Failed(failure) = outcome { Some(&failure.text) } else { None };
    json!({"file": name, "outcome": outcome.name(), "reason": reason, "diagnostics": diagnostics})
}

fn format(path: &Path, arguments: &Arguments, sources: &mut Sources) -> Outcome {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => {
            let failure = Failure::user(format!("`{}` can't be read: {error}", named(path)));
            let folder = path.is_dir();
            return Outcome::Failed(if folder {
                failure.hint("name the files in it: `FOLDER/*.kdl`")
            } else {
                failure
            });
        }
    };
    let file = sources.add(named(path), None, text.as_str());
    let formatted = match syntax::format(file, &text) {
        Ok(formatted) => formatted,
        Err(Unformatted::Faulty(diags)) => return Outcome::Faulty(diags),
        Err(Unformatted::Defect) => {
            let text = format!("formatting `{}` would change more than its layout, so it stays as it is", named(path));
            let hint = Some("this is a defect of macula: please report it with the file".to_owned());
            return Outcome::Failed(Failure { exit: Exit::Bug, code: None, text, hint });
        }
    };
    let stdin = path == Path::new("-");
    if arguments.check {
        return if formatted == text { Outcome::Unchanged } else { Outcome::WouldChange };
    }
    let written = if stdin && !arguments.json {
        out::data(&formatted);
        Ok(())
    } else if stdin || formatted == text {
        Ok(())
    } else {
        disk::rewrite(path, formatted.as_bytes()).map_err(|error| Failure {
            exit: Exit::Store,
            ..Failure::user(format!("`{}` can't be written: {error}", path.display()))
        })
    };
    match written {
        Err(failure) => Outcome::Failed(failure),
        Ok(()) if formatted == text => Outcome::Unchanged,
        Ok(()) => Outcome::Formatted,
    }
}

/// Reads a text. Of one that is much too large enough is read to say so.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let limit = 64 << 20;
    if path == Path::new("-") {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            out::talk("reading from the terminal; Ctrl-D ends it\n");
        }
        stdin.lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        regular::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() > syntax::LARGEST {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let right = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = right.split(|&byte| byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}
