//! `macula doc`.

use clap::Args;

use super::{Exit, Failure};
use crate::run::World;

/// The arguments of `macula doc`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What to describe
    name: String,
}

/// Describes a stage or explains a code.
///
/// # Errors
/// A [`Failure`] where there is none of that name.
pub fn doc(_world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::user(format!("nothing is known of `{}`", arguments.name)))
}
