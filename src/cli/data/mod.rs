//! `macula data`: the photographs and masks of a pipeline, before anything is trained on them: check.

mod check;
mod json;
mod text;

use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::run::Host;

/// The arguments of `macula data`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Read every photograph and mask, and report everything that is wrong or strange
    Check(check::Arguments),
}

/// Checks the data of a pipeline.
///
/// # Errors
/// A [`Failure`] if nothing can be checked.
pub fn data(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.verb {
        Verb::Check(arguments) => check::check(host, arguments),
    }
}
