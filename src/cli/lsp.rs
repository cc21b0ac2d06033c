//! `macula lsp`: the language server, on stdin and stdout.

use clap::Args;

use super::{Exit, Failure};
use crate::lsp::{self, Ended};
use crate::run::Host;

/// The arguments of `macula lsp`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Talk on stdin and stdout; it always does, but some editors say so
    #[arg(long)]
    stdio: bool,
}

/// Serves an editor until it is done.
///
/// # Errors
/// A [`Failure`] where the editor went away without saying so.
pub fn lsp(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments { stdio: _ } = arguments;
    match lsp::on_stdio(world, crate::stages::registry()) {
        Ended::InOrder => Ok(Exit::Done),
        // The protocol wants exit code 1 here.
        Ended::Abruptly => Err(Failure::said(Exit::StageFailed)),
    }
}
