//! `macula push`: sends a pipeline's results to remotes.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::failure::warn_of;
use super::run::listen;
use super::{Exit, Failure, PipelineArguments, load};
use crate::progress::Transfers;
use crate::progress::out;
use crate::progress::table::{bytes, counted, render};
use crate::run::transfer::{self, Became, Moved};
use crate::run::{Host, remotes};
use crate::stage::{Cell, Table};
use crate::store::remote::TransferMode;

/// The arguments of `macula push`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stages that are wanted, with what they need; all where none is named
    stages: Vec<String>,
    /// The remote, by its name; all that may be written to where none is named
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Write again what is there already, where files of a remote are damaged
    #[arg(long, conflicts_with = "dry_run")]
    anew: bool,
    /// Print what became of each result as JSON
    #[arg(long)]
    json: bool,
}

/// Sends a pipeline's results to remotes.
///
/// # Errors
/// A [`Failure`] where nothing may be written, or a remote fails: what went stays there, and is not sent again.
pub fn push(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load_alone(world, &arguments.pipeline)?;
    let remotes = remotes::open(world, &loaded.folder)?;
    if let Some(name) = &arguments.to {
        match remotes.list.iter().find(|remote| remote.name == *name) {
            None => {
                return Err(Failure::user(format!("there is no remote `{name}`"))
                    .hint("`project.kdl` says which there are, or MACULA_REMOTE"));
            }
            Some(remote) if !remote.write => {
                return Err(Failure::user(format!("remote `{name}` is only read")).hint(ASK));
            }
            Some(_) => {}
        }
    }
    let wanted = |name: &str| arguments.to.as_ref().is_none_or(|to| to == name);
    let writable: Vec<_> = remotes.list.iter().filter(|remote| remote.write && wanted(&remote.name)).collect();
    if writable.is_empty() {
        let text = if remotes.list.is_empty() { "no remote is named" } else { "no remote may be written to" };
        return Err(Failure::user(text).hint(ASK));
    }
    let way = match (arguments.dry_run, arguments.anew) {
        (true, _) => TransferMode::DryRun,
        (_, true) => TransferMode::Overwrite,
        _ => TransferMode::Missing,
    };
    listen(world);
    let mut all = Vec::new();
    for remote in writable {
        let shown = Transfers::new(arguments.json || out::volume() == out::Volume::Quiet);
        let moved = transfer::push(world, &loaded.project(), &arguments.stages, remote, way, &shown)?;
        drop(shown);
        if moved.is_ok() {
            warn_of(&remote.troubles());
        }
        all.extend(moved.map_err(|fault| {
            let failure = Failure::from(fault);
            match failure.hint {
                Some(_) => failure,
                None => failure.hint("push again: what has arrived is not sent again"),
            }
        })?);
    }
    let (gone, going) = if arguments.dry_run { ("would go", "would be sent") } else { ("sent", "sent") };
    let text = if arguments.json { as_json(&all) } else { said(&all, gone, going) };
    out::say(&text);
    Ok(Exit::Done)
}

const ASK: &str = "say so in `project.kdl`: `remote lab \"/mnt/team/macula\" write=#true`";

/// What became of each result, as JSON.
pub(super) fn as_json(moved: &[Moved]) -> String {
    let one = |one: &Moved| {
        let became = match one.became {
            Became::Moved => "moved",
            Became::There => "there",
            Became::Absent => "absent",
            Became::Withheld => "withheld",
            Became::Failed => "failed",
        };
        json!({"stage": one.stage, "remote": one.remote, "became": became, "files": one.files, "bytes": one.bytes})
    };
    format!("{:#}\n", Value::Array(moved.iter().map(one).collect()))
}

fn said(moved: &[Moved], gone: &str, going: &str) -> String {
    let mut text = table(moved, gone, "not computed");
    let sum = |of: fn(&Moved) -> u64| moved.iter().map(of).sum::<u64>();
    let results = moved.iter().filter(|one| one.became == Became::Moved).count() as u64;
    let results = counted(results, "result", "results");
    let files = counted(sum(|one| one.files as u64), "file", "files");
    let _ = writeln!(text, "{results} {going}: {files}, {}", bytes(sum(|one| one.bytes)));
    if moved.iter().any(|one| one.became == Became::Withheld) {
        text.push_str(
            "withheld: they may hold pieces or names of photographs; `photographs=#true` lets a remote have them\n",
        );
    }
    text
}

/// A line for each result and remote.
pub(super) fn table(moved: &[Moved], gone: &str, absent: &str) -> String {
    let row = |one: &Moved| {
        let became = match one.became {
            Became::Moved => gone,
            Became::There => "there already",
            Became::Absent => absent,
            Became::Withheld => "withheld",
            Became::Failed => "did not arrive",
        };
        let size = if one.became == Became::Moved { bytes(one.bytes) } else { String::new() };
        let remote = one.remote.clone().unwrap_or_default();
        [one.stage.clone(), became.to_owned(), size, remote].map(Cell::Text).to_vec()
    };
    let columns = ["stage", "", "size", "remote"].map(str::to_owned).to_vec();
    render(&Table { title: String::new(), columns, rows: moved.iter().map(row).collect() }, out::stdout_width())
}
