//! `macula push`: uploads a pipeline's results to remotes.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::failure::warn_of;
use super::run::listen;
use super::{Exit, Failure, PipelineArguments, load};
use crate::lang::near;
use crate::progress::Transfers;
use crate::progress::out;
use crate::progress::table::{bytes, counted, render};
use crate::run::transfer::{self, Became, Moved};
use crate::run::{Host, remotes};
use crate::stage::{Cell, Table};
use crate::store::Remotes;
use crate::store::remote::TransferMode;

/// The arguments of `macula push`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stages to upload, with everything they need [default: all]
    stages: Vec<String>,
    /// Name of the remote [default: all writable remotes]
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Show what would be uploaded, without uploading anything
    #[arg(long)]
    dry_run: bool,
    /// Upload existing files again, if a remote's files are damaged
    #[arg(long, alias = "anew", conflicts_with = "dry_run")]
    overwrite: bool,
    /// Print the outcome of each result as JSON
    #[arg(long)]
    json: bool,
}

/// Uploads a pipeline's results to remotes.
///
/// # Errors
/// A [`Failure`] if no remote is writable, or one fails; uploaded files stay there and are not uploaded again.
pub fn push(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load_alone(host, &arguments.pipeline)?;
    let remotes = remotes::open(host, &loaded.folder)?;
    if let Some(name) = &arguments.to {
        match remotes.list.iter().find(|remote| remote.name == *name) {
            None => {
                return Err(Failure::user(format!("unknown remote `{name}`")).hint(if remotes.list.is_empty() {
                    DECLARE.to_owned()
                } else {
                    names(&remotes)
                }));
            }
            Some(remote) if !remote.write => {
                return Err(Failure::user(format!("remote `{name}` is read-only")).hint(ASK));
            }
            Some(_) => {}
        }
    }
    let wanted = |name: &str| arguments.to.as_ref().is_none_or(|to| to == name);
    let writable: Vec<_> = remotes.list.iter().filter(|remote| remote.write && wanted(&remote.name)).collect();
    if writable.is_empty() {
        let (text, hint) =
            if remotes.list.is_empty() { ("no remote is declared", DECLARE) } else { ("no remote is writable", ASK) };
        return Err(Failure::user(text).hint(hint));
    }
    let way = match (arguments.dry_run, arguments.overwrite) {
        (true, _) => TransferMode::DryRun,
        (_, true) => TransferMode::Overwrite,
        _ => TransferMode::Missing,
    };
    listen(host);
    let mut all = Vec::new();
    for remote in writable {
        let shown = Transfers::new(arguments.json || out::volume() == out::Volume::Quiet);
        let moved = transfer::push(host, &loaded.project(), &arguments.stages, remote, way, &shown)?;
        drop(shown);
        if moved.is_ok() {
            warn_of(&remote.troubles());
        }
        all.extend(moved.map_err(|fault| {
            let failure = Failure::from(fault);
            match failure.hint {
                Some(_) => failure,
                None => failure.hint("push again; finished files are not uploaded again"),
            }
        })?);
    }
    let (gone, going) = if arguments.dry_run { ("to upload", "would be uploaded") } else { ("uploaded", "uploaded") };
    let text = if arguments.json { as_json(&all) } else { said(&all, gone, going) };
    out::say(&text);
    Ok(Exit::Done)
}

/// The remotes there are, for one that there is not.
fn names(remotes: &Remotes) -> String {
    format!("declared: {}", near::names(remotes.list.iter().map(|remote| remote.name.as_str())))
}

/// How a remote is declared.
const DECLARE: &str =
    "declare one in `project.kdl`, e.g. `remote lab \"/mnt/team/macula\" write=#true`, or set MACULA_REMOTE=LOCATION";

const ASK: &str = "allow it in `project.kdl`: `remote lab \"/mnt/team/macula\" write=#true`";

/// Outcome of each result, as JSON.
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
        text.push_str("not pushed: may contain image data or file names; set `photographs=#true` to allow\n");
    }
    text
}

/// A line for each result and remote.
pub(super) fn table(moved: &[Moved], gone: &str, absent: &str) -> String {
    let row = |one: &Moved| {
        let became = match one.became {
            Became::Moved => gone,
            Became::There => "already there",
            Became::Absent => absent,
            Became::Withheld => "withheld",
            Became::Failed => "failed",
        };
        let size = if one.became == Became::Moved { bytes(one.bytes) } else { String::new() };
        let remote = one.remote.clone().unwrap_or_default();
        [one.stage.clone(), became.to_owned(), size, remote].map(Cell::Text).to_vec()
    };
    let columns = ["stage", "", "size", "remote"].map(str::to_owned).to_vec();
    render(&Table { title: String::new(), columns, rows: moved.iter().map(row).collect() }, out::stdout_width())
}
