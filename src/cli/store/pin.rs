//! `macula store pin` and `unpin`: runs whose results `gc` keeps.

use clap::Args;

use super::super::{Exit, Failure};
use super::{open, print};
use crate::run::Host;
use crate::store::Store;

/// The arguments of `macula store pin` and `unpin`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Id of the run as printed by `macula runs`, or the beginning of it
    run: String,
}

pub(super) fn pin(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = open(host)?;
    let run = find(&arguments.run, store.runs.ids().into_iter(), "run")?;
    store.pin(&run)?;
    print(&format!("pinned run {run}: `gc` will keep its results\n"));
    Ok(Exit::Done)
}

pub(super) fn unpin(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store: Store = open(host)?;
    let run = find(&arguments.run, store.pins().into_iter(), "pin")?;
    store.unpin(&run)?;
    print(&format!("unpinned run {run}\n"));
    Ok(Exit::Done)
}

fn find(wanted: &str, ids: impl Iterator<Item = String>, noun: &str) -> Result<String, Failure> {
    let mut found: Vec<String> = ids.filter(|id| id.starts_with(wanted)).collect();
    match found.len() {
        0 => Err(Failure::user(format!("unknown {noun} `{wanted}`"))),
        1 => Ok(found.remove(0)),
        _ => Err(Failure::user(format!("`{wanted}` matches {} {noun}s", found.len())).hint("type more of the id")),
    }
}
