//! `macula store pin` and `unpin`: runs whose results `gc` leaves alone.

use clap::Args;

use super::super::{Exit, Failure};
use super::{open, print};
use crate::run::Host;
use crate::store::Store;

/// The arguments of `macula store pin` and `unpin`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The run's id, as `macula runs` prints it, or its beginning
    run: String,
}

pub(super) fn pin(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = open(world)?;
    let run = find(&arguments.run, store.runs.ids().into_iter(), "run")?;
    store.pin(&run)?;
    print(&format!("`gc` leaves run {run} alone\n"));
    Ok(Exit::Done)
}

pub(super) fn unpin(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store: Store = open(world)?;
    let run = find(&arguments.run, store.pins().into_iter(), "pin")?;
    store.unpin(&run)?;
    print(&format!("run {run} is pinned no longer\n"));
    Ok(Exit::Done)
}

fn find(wanted: &str, ids: impl Iterator<Item = String>, noun: &str) -> Result<String, Failure> {
    let mut found: Vec<String> = ids.filter(|id| id.starts_with(wanted)).collect();
    match found.len() {
        0 => Err(Failure::user(format!("there is no {noun} `{wanted}`"))),
        1 => Ok(found.remove(0)),
        _ => {
            Err(Failure::user(format!("`{wanted}` is the beginning of {} {noun}s", found.len()))
                .hint("write more of it"))
        }
    }
}
