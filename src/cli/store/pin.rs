//! `macula store pin` and `unpin`: runs whose results `gc` keeps.

use clap::Args;

use super::super::run_id::RunIds;
use super::super::{Exit, Failure};
use super::{open, print};
use crate::run::Host;
use crate::store::Store;

/// The arguments of `macula store pin` and `unpin`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The run: an id from `macula runs`, or the beginning of it
    run: String,
}

pub(super) fn pin(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = open(host)?;
    let run = find(&arguments.run, &RunIds::of(&store), &store, "run")?;
    store.pin(&run)?;
    print(&format!("pinned run {run}: `gc` will keep its results\n"));
    Ok(Exit::Done)
}

pub(super) fn unpin(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = open(host)?;
    let run = find(&arguments.run, &RunIds::new(store.pins()), &store, "pinned run")?;
    store.unpin(&run)?;
    print(&format!("unpinned run {run}\n"));
    Ok(Exit::Done)
}

fn find(wanted: &str, ids: &RunIds, store: &Store, noun: &str) -> Result<String, Failure> {
    let none = || {
        let hint = "`macula runs FILE` lists the runs of a pipeline";
        Failure::user(format!("unknown {noun} `{wanted}`")).hint(hint)
    };
    ids.one(wanted, store)?.map(str::to_owned).ok_or_else(none)
}
