//! `macula new`: a starter pipeline that runs as it is.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure};
use crate::lang;
use crate::progress::out;
use crate::run::Host;

/// The arguments of `macula new`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// File to write, with or without `.kdl`; the pipeline is named after it
    name: PathBuf,
}

/// Template of the file, with placeholders for names.
const TEXT: &str = include_str!("new.kdl");

/// Writes a pipeline file, but does not overwrite one.
///
/// # Errors
/// A [`Failure`] if the name is invalid, or the file exists or cannot be written.
pub fn new(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut file = arguments.name.clone();
    if file.extension().is_none_or(|extension| extension != "kdl") {
        file.as_mut_os_string().push(".kdl");
    }
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if !lang::is_name(name) {
        return Err(Failure::user(format!("`{name}` is not a valid pipeline name")).hint(lang::NAME_RULE));
    }
    let shown = file.display().to_string();
    let text = TEXT.replace("FILE", &shown).replace("NAME", name);
    let path = host.folder.join(&file);
    let written = OpenOptions::new().write(true).create_new(true).open(&path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return Failure::user(format!("`{shown}` already exists"))
                .hint("choose another name; nothing was overwritten");
        }
        Failure::unwritten(&shown, &error)
    })?;
    out::say(&format!("wrote {shown}; run it with `macula run {shown}`\n"));
    Ok(Exit::Done)
}
