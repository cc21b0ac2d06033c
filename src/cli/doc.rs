//! `macula doc`: the manual of stages and networks, from the standard library.

mod terminal;

pub(super) use terminal::code;

use clap::Args;

use super::{Exit, Failure};
use crate::lang::{lookup, manual};
use crate::progress::out;
use crate::progress::table::entry;
use crate::run::Host;

/// Lines that are longer are hard to read, however wide a terminal is.
const WIDEST: usize = 120;

/// The arguments of `macula doc`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A stage, a network, a parameter, or a word of another tool; without it, the list of all pages
    name: Option<String>,
    /// Print the page as Markdown
    #[arg(long)]
    markdown: bool,
}

/// Prints the page of a stage or a network, the places where a word has a meaning, or the list of all pages.
///
/// # Errors
/// A [`Failure`] if nothing has that name.
pub fn doc(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let text = match &arguments.name {
        None => manual::index(),
        Some(name) => manual::page(name).or_else(|| lookup::page(name)).ok_or_else(|| {
            let hint = lookup::nearest(name)
                .map_or("`macula doc` lists all pages".to_owned(), |near| format!("did you mean `{near}`?"));
            Failure::user(format!("unknown stage, network or parameter `{name}`")).hint(hint)
        })?,
    };
    let width = out::stdout_width().min(WIDEST);
    out::say(&match (&arguments.name, arguments.markdown) {
        (_, true) => text,
        (Some(_), false) => terminal::terminal(&text, width),
        (None, false) => list(&text, width),
    });
    Ok(Exit::Done)
}

/// The list of all pages, its descriptions broken in their column.
fn list(text: &str, width: usize) -> String {
    let line = |line: &str| match line.trim_start().split_once("  ") {
        Some((name, words)) if line.starts_with("  ") => {
            let words = words.trim_start();
            entry(&format!("  {name}"), line.len() - words.len(), words, width)
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}
