//! `macula store`: maintenance of the store: verify, repair, stats, gc, pin, unpin.

mod gc;
mod pin;
mod repair;
mod stats;
mod verify;

use std::path::Path;

pub(super) use gc::size;

use clap::{Args, Subcommand};

use super::{Exit, Failure, open_store};
use crate::progress::out;
use crate::run::Host;
use crate::store::Store;

/// The arguments of `macula store`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Read everything and report damaged data, with the stage and run that produced it
    Verify(verify::Arguments),
    /// Recompute damaged or missing results from their records
    Repair(repair::Arguments),
    /// Show what the store contains
    Stats(stats::Arguments),
    /// Remove results that are no longer wanted; without flags, only unreferenced data
    Gc(gc::Arguments),
    /// Make `gc` keep the results of a run
    Pin(pin::Arguments),
    /// Remove a pin
    Unpin(pin::Arguments),
}

/// Maintains the store of the current folder's project, or the one named by `MACULA_STORE`.
///
/// # Errors
/// A [`Failure`] if the store cannot be read or written.
pub fn store(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.verb {
        Verb::Verify(arguments) => verify::verify(host, arguments),
        Verb::Repair(arguments) => repair::repair(host, arguments),
        Verb::Stats(arguments) => stats::stats(host, arguments),
        Verb::Gc(arguments) => gc::gc(host, arguments),
        Verb::Pin(arguments) => pin::pin(host, arguments),
        Verb::Unpin(arguments) => pin::unpin(host, arguments),
    }
}

/// The store, opened read-only.
fn look(host: &Host) -> Result<Store, Failure> {
    let root = host.store(&host.project_here());
    Store::open_read_only(&root).ok_or_else(|| nowhere(&root))
}

/// The store, opened for writing. A missing one is not created.
fn open(host: &Host) -> Result<Store, Failure> {
    let root = host.store(&host.project_here());
    if !root.is_dir() {
        return Err(nowhere(&root));
    }
    open_store::open(host, &host.project_here())
}

fn nowhere(root: &Path) -> Failure {
    Failure::user(format!("no store at `{}`", root.display()))
        .hint("change to the project folder, or set MACULA_STORE=FOLDER")
}

/// Prints on stdout.
fn print(text: &str) {
    out::say(text);
}
