//! `macula std`: lists, prints and exports the source of the standard library.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::base::disk;
use crate::lang::manual::first_sentence;
use crate::lang::near::near;
use crate::lang::stdlib::MODULES;
use crate::progress::out;
use crate::progress::table::entry;
use crate::run::Host;

/// The arguments of `macula std`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List its modules
    List,
    /// Print a module: `std:templates/cross-validation`, or `cross-validation`
    Show {
        /// The module
        name: String,
    },
    /// Write all modules as files into a folder that contains none of them yet
    Export {
        /// The folder
        folder: PathBuf,
    },
}

/// Lists, prints or writes the standard library.
///
/// # Errors
/// A [`Failure`] if the module is unknown, or a file cannot be written.
pub fn library(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let text = match &arguments.verb {
        Verb::List => list(),
        Verb::Show { name } => shown(name)?.to_owned(),
        Verb::Export { folder } => export(&host.folder.join(folder))?,
    };
    out::data(&text);
    Ok(Exit::Done)
}

fn list() -> String {
    let longest = MODULES.iter().map(|(name, _)| "std:".len() + name.len()).max().unwrap_or(0);
    let line = |(name, text): &(&str, &str)| {
        // Every module begins with one thing, and that with its `doc`.
        let doc = text.lines().find_map(|line| line.trim().strip_prefix("doc \"")).unwrap_or_default();
        entry(&format!("std:{name}"), longest + 2, first_sentence(doc.trim_end_matches('"')), out::stdout_width())
    };
    MODULES.iter().map(line).collect::<Vec<_>>().concat()
}

fn shown(name: &str) -> Result<&'static str, Failure> {
    let wanted = name.strip_prefix("std:").unwrap_or(name);
    let is = |module: &str| module == wanted || module.rsplit('/').next() == Some(wanted);
    MODULES.iter().find(|(module, _)| is(module)).map(|(_, text)| *text).ok_or_else(|| {
        let names = MODULES.iter().map(|(module, _)| module.rsplit('/').next().unwrap_or(module));
        let hint = near(wanted, names)
            .map_or("`macula std list` lists all modules".to_owned(), |near| format!("did you mean `{near}`?"));
        Failure::user(format!("unknown module `{name}`")).hint(hint)
    })
}

fn export(folder: &std::path::Path) -> Result<String, Failure> {
    let places: Vec<(PathBuf, &str)> =
        MODULES.iter().map(|(name, text)| (folder.join(format!("{name}.kdl")), *text)).collect();
    if let Some((there, _)) = places.iter().find(|(path, _)| path.exists()) {
        return Err(Failure::user(format!("`{}` already exists", there.display()))
            .hint("export into another folder; nothing was overwritten"));
    }
    for (path, text) in &places {
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            disk::write_lightly(path, text.as_bytes())
        };
        write().map_err(|error| Failure::unwritten(&path.display(), &error))?;
    }
    Ok(format!("{} modules in {}\n", places.len(), folder.display()))
}
