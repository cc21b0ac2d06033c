//! `macula store`: looks after the store: verify, repair, stats, gc, pin, unpin.

mod gc;
mod pin;
mod repair;
mod stats;
mod verify;

use std::path::Path;

pub(super) use gc::size;

use clap::{Args, Subcommand};

use super::{Exit, Failure};
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
    /// Read everything and say what is damaged, and which stage and run made it
    Verify(verify::Arguments),
    /// Compute what is damaged or missing again, from what its record says
    Repair(repair::Arguments),
    /// Say what the store holds
    Stats(stats::Arguments),
    /// Remove results that are not wanted any more; without flags, only what no result names
    Gc(gc::Arguments),
    /// Let `gc` leave alone what a run used
    Pin(pin::Arguments),
    /// Take a pin back
    Unpin(pin::Arguments),
}

/// Looks after the store of the project of the current folder, or the one that `MACULA_STORE` names.
///
/// # Errors
/// A [`Failure`] where the store can't be read or written.
pub fn store(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.verb {
        Verb::Verify(arguments) => verify::verify(world, arguments),
        Verb::Repair(arguments) => repair::repair(world, arguments),
        Verb::Stats(arguments) => stats::stats(world, arguments),
        Verb::Gc(arguments) => gc::gc(world, arguments),
        Verb::Pin(arguments) => pin::pin(world, arguments),
        Verb::Unpin(arguments) => pin::unpin(world, arguments),
    }
}

/// The store, to be looked at alone.
fn look(world: &Host) -> Result<Store, Failure> {
    let root = world.store(&world.project(Path::new("pipeline")));
    Store::open_read_only(&root).ok_or_else(|| nowhere(&root))
}

/// The store, to be changed. One that is not there is not made.
fn open(world: &Host) -> Result<Store, Failure> {
    let root = world.store(&world.project(Path::new("pipeline")));
    if !root.is_dir() {
        return Err(nowhere(&root));
    }
    Ok(Store::open(&root)?)
}

fn nowhere(root: &Path) -> Failure {
    Failure::user(format!("there is no store at `{}`", root.display()))
        .hint("go to the project's folder, or name the store with MACULA_STORE=FOLDER")
}

/// Prints on stdout.
fn print(text: &str) {
    out::say(text);
}
