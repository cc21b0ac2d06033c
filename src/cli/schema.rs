//! `macula schema`: all signatures for other programs.

use clap::Args;

use super::{Exit, Failure};
use crate::lang::schema;
use crate::progress::out;
use crate::run::Host;

/// The arguments of `macula schema`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Arguments {
    /// Print as JSON (the only format)
    #[arg(long)]
    json: bool,
}

/// Prints every stage, network, layer and code as JSON.
///
/// # Errors
/// None.
pub fn schema(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments { json: _ } = arguments;
    out::say(&format!("{:#}\n", schema::schema()));
    Ok(Exit::Done)
}
