//! `macula pull`: downloads a pipeline's results from remotes, so that a later run needs none.

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
    /// Stages to download, with everything they need [default: all]
    stages: Vec<String>,
    /// Do not use results computed on another kind of processor
    #[arg(long)]
    exact: bool,
    /// Show what would be downloaded, without downloading anything
    #[arg(long)]
    dry_run: bool,
    /// Print the outcome of each result as JSON
    #[arg(long)]
    json: bool,
}

/// Downloads a pipeline's results from remotes.
///
/// # Errors
/// A [`Failure`] if no remote is declared, or the store cannot be written. A failing remote is an [`Exit`].
pub fn pull(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    if loaded.store.remotes.list.is_empty() {
        return Err(Failure::user("no remote is declared").hint(
            "declare one in `project.kdl`, e.g. `remote lab \"/mnt/team/macula\"`, or set MACULA_REMOTE=LOCATION",
        ));
    }
    listen(host);
    let way = if arguments.dry_run { TransferMode::DryRun } else { TransferMode::Missing };
    let shown = Transfers::new(arguments.json || out::volume() == out::Volume::Quiet);
    let accept = accept(arguments.exact);
    let moved = transfer::pull(host, &loaded.project(), &arguments.stages, accept, way, &shown)?;
    drop(shown);
    let troubles = loaded.store.remotes.troubles();
    warn_of(&troubles);
    let text = if arguments.json { as_json(&moved) } else { said(&moved, way) };
    out::say(&text);
    if host.interrupted() {
        return Err(StageError::Stopped.into());
    }
    let failed = !troubles.is_empty() || moved.iter().any(|one| one.became == Became::Failed);
    Ok(if failed { Exit::Store } else { Exit::Done })
}

fn said(moved: &[Moved], way: TransferMode) -> String {
    let (gone, coming) =
        if way == TransferMode::DryRun { ("to download", "would be downloaded") } else { ("downloaded", "downloaded") };
    let come = moved.iter().filter(|one| one.became == Became::Moved);
    let size = bytes(come.clone().map(|one| one.bytes).sum());
    let results = counted(come.count() as u64, "result", "results");
    table(moved, gone, "on no remote, or not known yet") + &format!("{results} {coming}: {size}\n")
}
