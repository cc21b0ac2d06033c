//! `macula man`: manual pages in roff, one for macula and one for each command.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use super::{Exit, Failure, command};
use crate::base::disk;
use crate::lang::near::near;
use crate::progress::out;
use crate::run::Host;

/// The arguments of `macula man`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A command [default: the page of macula itself]
    command: Option<String>,
    /// Write all pages into this folder: `macula.1`, `macula-run.1` and so on
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Prints one page, or writes all of them.
///
/// # Errors
/// A [`Failure`] if the command is unknown, or the folder cannot be written.
pub fn man(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let all = pages();
    if let Some(folder) = &arguments.out {
        let folder = host.folder.join(folder);
        let write = || {
            fs::create_dir_all(&folder)?;
            all.iter().try_for_each(|(name, text)| disk::write_lightly(&folder.join(format!("{name}.1")), text))
        };
        write().map_err(|error| Failure::unwritten(&folder.display(), &error))?;
        out::say(&format!("{} pages in {}\n", all.len(), folder.display()));
        return Ok(Exit::Done);
    }
    let wanted = arguments.command.as_ref().map_or("macula".to_owned(), |command| format!("macula-{command}"));
    let Some((_, text)) = all.iter().find(|(name, _)| *name == wanted) else {
        let asked = arguments.command.as_deref().unwrap_or_default();
        let names = all.iter().filter_map(|(name, _)| name.strip_prefix("macula-"));
        let hint = near(asked, names)
            .map_or("`macula --help` lists the commands".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Failure::user(format!("unknown command `{asked}`")).hint(hint));
    };
    out::data(&String::from_utf8_lossy(text));
    Ok(Exit::Done)
}

/// Every page by its name, without `.1`.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut macula = command();
    macula.build();
    page(macula, &mut all);
    all
}

fn page(command: Command, all: &mut Vec<(String, Vec<u8>)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let within: Vec<Command> =
        command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help").cloned().collect();
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = Man::new(command).manual("macula").render(&mut text);
    all.push((name, text));
    for one in within {
        page(one, all);
    }
}
