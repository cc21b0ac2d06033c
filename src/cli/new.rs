//! `macula new`: a starter pipeline that runs as it is, and the file that makes its folder a project.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure};
use crate::lang::{self, project};
use crate::progress::out;
use crate::run::Host;
use crate::run::host::ProjectMark;

/// The arguments of `macula new`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// File to write, with or without `.kdl`; the pipeline is named after it
    name: PathBuf,
}

/// Template of the file, with placeholders for names.
const TEXT: &str = include_str!("new.kdl");

/// The `project.kdl` next to the first pipeline of a project.
const PROJECT: &str = "\
// This folder is the project of all pipelines in it and below: their paths start here, and `results/` and the store `.macula/` are
// written here. This file may be empty, or say for example:
//
//     store \"/data/macula\"
//     remote lab \"/mnt/team/macula\" write=#true
";

/// Writes a pipeline file, and `project.kdl` next to it unless it belongs to a project already. Overwrites nothing.
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
    if file.file_name().is_some_and(|name| name == project::FILE) {
        let found = Failure::user(format!("`{}` is the file of a project, not of a pipeline", project::FILE));
        return Err(found.hint("choose another name; `project.kdl` is written next to the first pipeline"));
    }
    let shown = file.display().to_string();
    write(host, &file, &TEXT.replace("FILE", &shown).replace("NAME", name))?;
    // A store above is a project that has no file yet.
    let (folder, mark) = host.find_project(&file);
    let marked = mark == ProjectMark::File || folder != host.folder_of(&file);
    let beside = file.with_file_name(project::FILE);
    let also = if marked {
        String::new()
    } else {
        write(host, &beside, PROJECT)?;
        format!(" and {}", beside.display())
    };
    out::say(&format!("wrote {shown}{also}; run it with `macula run {shown}`\n"));
    Ok(Exit::Done)
}

/// Writes a file that does not exist yet.
fn write(host: &Host, file: &Path, text: &str) -> Result<(), Failure> {
    let shown = file.display();
    let written = OpenOptions::new().write(true).create_new(true).open(host.folder.join(file));
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return Failure::user(format!("`{shown}` already exists"))
                .hint("choose another name; nothing was overwritten");
        }
        match file.parent() {
            Some(folder) if error.kind() == ErrorKind::NotFound && !host.folder.join(folder).exists() => {
                let folder = folder.display();
                Failure::user(format!("folder `{folder}` does not exist"))
                    .hint(format!("`mkdir -p {folder}` creates it"))
            }
            _ => Failure::unwritten(&shown, &error),
        }
    })
}
