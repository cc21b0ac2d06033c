//! `macula doc`: the manual of stages and networks, from the standard library.

mod terminal;

use clap::Args;

use super::compare::terminal_width;
use super::{Exit, Failure};
use crate::lang::manual;
use crate::lang::near::near;
use crate::progress::out;
use crate::run::Host;

/// Lines that are longer are hard to read, however wide a terminal is.
const WIDEST: usize = 120;

/// The arguments of `macula doc`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A stage or a network; the list of all without it
    name: Option<String>,
}

/// Prints the page of a stage or a network, or the list of all: broken at a terminal's width, to a pipe as Markdown.
///
/// # Errors
/// A [`Failure`] where there is none of that name.
pub fn doc(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let text = match &arguments.name {
        None => manual::index(),
        Some(name) => manual::page(name).ok_or_else(|| {
            let hint = near(name, manual::names())
                .map_or("`macula doc` lists what there is".to_owned(), |near| format!("did you mean `{near}`?"));
            Failure::user(format!("there is no stage or network `{name}`")).hint(hint)
        })?,
    };
    let page = arguments.name.is_some() && out::stdout_is_terminal();
    let text = if page { terminal::terminal(&text, terminal_width().min(WIDEST)) } else { text };
    out::say(&text);
    Ok(Exit::Done)
}
