//! The pipeline's file as it is named on the command line: `base` for `base.kdl`, and what is said if there is none.

use std::fs;
use std::io::{self, Error, ErrorKind, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

use super::Failure;
use crate::base::regular;
use crate::lang::project;
use crate::lang::{self, near::near};
use crate::progress::out;
use crate::run::Host;
use crate::syntax;

/// Stdin as the name of a file.
pub(super) const STDIN: &str = "-";

/// A file's name in messages.
pub(super) fn named(path: &Path) -> String {
    if path == Path::new(STDIN) { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// Reads a file or stdin, only as far as needed to see that it is too large.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let limit = 64 << 20;
    if path == Path::new(STDIN) {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            out::talk("reading from the terminal; press Ctrl-D to finish\n");
        }
        stdin.lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        regular::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() > syntax::LARGEST {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    lang::decoded(bytes).map_err(|text| Error::new(ErrorKind::InvalidData, text))
}

/// Reads a file's name from the command line.
pub(super) fn parser() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(found)
}

/// The file itself, or the file with `.kdl` if only that exists (`new base` writes `base.kdl`).
pub(super) fn found(file: PathBuf) -> PathBuf {
    if file.exists() && !file.is_dir() {
        return file;
    }
    let mut longer = file.clone();
    longer.as_mut_os_string().push(".kdl");
    if longer.is_file() { longer } else { file }
}

/// The file that a word of the command line names if it may also be the id of a run; [`None`] if it is not a file.
pub(super) fn meant(host: &Host, word: &str) -> Option<PathBuf> {
    if is_named(host, word) {
        return Some(PathBuf::from(word));
    }
    let longer = PathBuf::from(format!("{word}.kdl"));
    host.folder.join(&longer).is_file().then_some(longer)
}

/// Whether a word is the name of a file, with its extension.
pub(super) fn is_named(host: &Host, word: &str) -> bool {
    let path = host.folder.join(word);
    path.extension().is_some_and(|ending| ending == "kdl") || path.is_file()
}

/// Failure to read a pipeline's file.
pub(super) fn unread(file: &Path, error: &Error) -> Failure {
    let either = match file.extension() {
        None if error.kind() == ErrorKind::NotFound => format!(" or `{}.kdl`", file.display()),
        _ => String::new(),
    };
    let failure = Failure::user(format!("cannot read `{}`{either}: {error}", named(file)));
    if file.is_dir() {
        return failure.hint("name one of its files");
    }
    if error.kind() != ErrorKind::NotFound {
        return failure;
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let stems: Vec<String> = names.filter_map(|name| stem(&name).map(str::to_owned)).collect();
    let wanted = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    match near(wanted, stems.iter().map(String::as_str)) {
        Some(stem) => failure.hint(format!("did you mean `{}`?", file.with_file_name(format!("{stem}.kdl")).display())),
        None if stems.is_empty() => failure.hint("`macula new NAME` writes a pipeline to begin with"),
        None => failure,
    }
}

/// The name without its ending of a file that may hold pipelines.
fn stem(name: &str) -> Option<&str> {
    if name == project::FILE || name.ends_with(".lock.kdl") { None } else { name.strip_suffix(".kdl") }
}
