//! `macula doc`: the manual of stages and networks, from the standard library.

use std::io::Write;

use clap::Args;

use super::{Exit, Failure};
use crate::lang::manual;
use crate::lang::near::near;
use crate::run::World;

/// The arguments of `macula doc`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A stage or a network; the list of all without it
    name: Option<String>,
}

/// Prints the page of a stage or a network, or the list of all.
///
/// # Errors
/// A [`Failure`] where there is none of that name.
pub fn doc(_world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let text = match &arguments.name {
        None => manual::index(),
        Some(name) => manual::page(name).ok_or_else(|| {
            let hint = near(name, manual::names())
                .map_or("`macula doc` lists what there is".to_owned(), |near| format!("did you mean `{near}`?"));
            Failure::user(format!("there is no stage or network `{name}`")).hint(hint)
        })?,
    };
    // A closed stdout is no reason to fail.
    let _ = write!(std::io::stdout().lock(), "{text}");
    Ok(Exit::Done)
}
