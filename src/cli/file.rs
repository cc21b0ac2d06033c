//! The pipeline's file as it is named on the command line: `base` for `base.kdl`, and what is said if there is none.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

use super::Failure;
use crate::lang::near::near;
use crate::lang::project;

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

/// Failure to read a pipeline's file.
pub(super) fn unread(file: &Path, error: &Error) -> Failure {
    let failure = Failure::user(format!("cannot read `{}`: {error}", file.display()));
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
