//! `macula lsp`: the language server, on stdin and stdout.

use clap::Args;

use super::{Exit, Failure};
use crate::lsp::{self, SessionEnd};
use crate::run::Host;

/// The arguments of `macula lsp`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Use stdin and stdout (always the case; some editors pass this)
    #[arg(long)]
    stdio: bool,
}

/// Serves an editor until it is done.
///
/// # Errors
/// A [`Failure`] if the editor disconnected without a shutdown.
pub fn lsp(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments { stdio: _ } = arguments;
    match lsp::on_stdio(host, crate::stages::registry()) {
        SessionEnd::InOrder => Ok(Exit::Done),
        // The protocol requires exit code 1 here.
        SessionEnd::Abruptly => Err(Failure::said(Exit::StageFailed)),
    }
}
