//! `macula doc`: the manual of stages and networks, from the standard library.

mod terminal;

use clap::Args;

use super::{Exit, Failure};
use crate::lang::{lookup, manual};
use crate::progress::out;
use crate::run::Host;

/// Lines that are longer are hard to read, however wide a terminal is.
const WIDEST: usize = 120;

/// The arguments of `macula doc`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A stage, a network, a parameter, or a word of another tool; without it, the list of all pages
    name: Option<String>,
}

/// Prints the page of a stage or a network, the places where a word has a meaning, or the list of all pages: broken at a terminal's
/// width, to a pipe as Markdown.
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
    let page = arguments.name.is_some() && out::stdout_is_terminal();
    let text = if page { terminal::terminal(&text, out::stdout_width().min(WIDEST)) } else { text };
    out::say(&text);
    Ok(Exit::Done)
}
