//! `macula pull`: brings a pipeline's results from remotes, so that a run later needs none.

use clap::Args;

use super::failure::warn_of;
use super::push::{as_json, table};
use super::run::{accept, listen};
use super::{Exit, Failure, PipelineArguments, load};
use crate::progress::Transfers;
use crate::progress::out;
use crate::progress::table::{bytes, counted};
use crate::run::Host;
use crate::run::transfer::{self, Became, Moved};
use crate::stage::StageError;
use crate::store::remote::TransferMode;

/// The arguments of `macula pull`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stages that are wanted, with what they need; all where none is named
    stages: Vec<String>,
    /// Do not take results that were computed on another kind of processor
    #[arg(long)]
    exact: bool,
    /// Only say what would come
    #[arg(long)]
    dry_run: bool,
    /// Print what became of each result as JSON
    #[arg(long)]
    json: bool,
}

/// Brings a pipeline's results from remotes.
///
/// # Errors
/// A [`Failure`] where no remote is named, or the store can't be written. A remote that fails is an [`Exit`].
pub fn pull(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(world, &arguments.pipeline)?;
    if loaded.store.remotes.list.is_empty() {
        return Err(
            Failure::user("no remote is named").hint("name one in `project.kdl`: `remote \"/mnt/team/macula\"`")
        );
    }
    listen(world);
    let way = if arguments.dry_run { TransferMode::DryRun } else { TransferMode::Missing };
    let shown = Transfers::new(arguments.json || out::volume() == out::Volume::Quiet);
    let accept = accept(arguments.exact);
    let moved = transfer::pull(world, &loaded.project(), &arguments.stages, accept, way, &shown)?;
    drop(shown);
    let troubles = loaded.store.remotes.troubles();
    warn_of(&troubles);
    let text = if arguments.json { as_json(&moved) } else { said(&moved, way) };
    out::say(&text);
    if world.interrupted() {
        return Err(StageError::Stopped.into());
    }
    let failed = !troubles.is_empty() || moved.iter().any(|one| one.became == Became::Failed);
    Ok(if failed { Exit::Store } else { Exit::Done })
}

fn said(moved: &[Moved], way: TransferMode) -> String {
    let (gone, coming) = if way == TransferMode::DryRun { ("would come", "would come") } else { ("came", "came") };
    let come = moved.iter().filter(|one| one.became == Became::Moved);
    let size = bytes(come.clone().map(|one| one.bytes).sum());
    let results = counted(come.count() as u64, "result", "results");
    table(moved, gone, "no remote has it, or it is not known yet") + &format!("{results} {coming}: {size}\n")
}
