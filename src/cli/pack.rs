//! `macula pack`: a pipeline with its results as one file.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::run::listen;
use super::run_id::RunIds;
use super::{Exit, Failure, Loaded, PipelineArguments, load};
use crate::base::disk;
use crate::progress::Transfers;
use crate::progress::out;
use crate::progress::table::{bytes, counted, paragraph};
use crate::run::Host;
use crate::run::pack::{self, PackError, PackOptions, WrittenPack};
use crate::stage::StageError;

/// The arguments of `macula pack`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Pack only if the results are still those of this run
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Include the photographs, and results that show or name them
    #[arg(long)]
    data: bool,
    /// Include results that name photographs or patients, and allow names of users, machines and folders in all files
    #[arg(long)]
    names: bool,
    /// The file to write [default: PIPELINE.macula.zip]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what is inside as JSON
    #[arg(long)]
    json: bool,
}

/// End of the names of packs.
pub(super) const ENDING: &str = ".macula.zip";

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        match error {
            PackError::User { text, hint } if hint.is_empty() => Self::user(text),
            PackError::User { text, hint } => Self::user(text).hint(hint),
            PackError::NoResult { .. } => Self { exit: Exit::StageFailed, ..Self::user(error.to_string()) },
            PackError::Refused(text) => Self::user(format!("the pack is refused: {text}"))
                .hint("nothing of it was unpacked; ask for the file again"),
            PackError::Plan(error) => error.into(),
            PackError::Stage(error) => error.into(),
            PackError::Io { .. } => Self { exit: Exit::Store, ..Self::user(error.to_string()) },
            PackError::Stopped => StageError::Stopped.into(),
        }
    }
}

/// Writes a pack.
///
/// # Errors
/// A [`Failure`] if a result is missing, something must not be inside, or the file cannot be written.
pub fn pack(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let shown = arguments.output.clone().unwrap_or_else(|| format!("{}{ENDING}", loaded.pipeline.name).into());
    let path = host.folder.join(&shown);
    if path.symlink_metadata().is_ok() {
        let hint = "delete it, or name another file with `--output`";
        return Err(Failure::user(format!("`{}` exists", shown.display())).hint(hint));
    }
    let options = PackOptions {
        file: arguments.pipeline.file.clone(),
        pipeline: arguments.pipeline.pipeline.clone(),
        sweep: loaded.sweep.as_ref().map(|swept| swept.sweep.name.clone()),
        set: arguments.pipeline.set.clone(),
        run: run_of(&loaded, arguments.run.as_deref())?,
        photographs: arguments.data,
        names: arguments.names,
    };
    listen(host);
    let folder = path.parent().unwrap_or(Path::new("."));
    let unwritten = |error: &std::io::Error| Failure::unwritten(&shown.display(), error);
    let file = tempfile::Builder::new()
        .prefix(".pack-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| unwritten(&error))?;
    let copy = file.reopen().map_err(|error| unwritten(&error))?;
    let transfers = Transfers::new(arguments.json || out::volume() == out::Volume::Quiet);
    let on_progress = |done: u64, all: u64| {
        transfers.copied("packed", done, all);
        !host.interrupted()
    };
    let packed = pack::pack(host, &loaded.project(), &options, copy, &on_progress).map_err(|error| {
        let no_result = matches!(error, PackError::NoResult { .. });
        let failure = Failure::from(error);
        if no_result {
            failure.hint(format!("run `macula run {}` first, with the same `--set`", loaded.file))
        } else {
            failure
        }
    })?;
    drop(transfers);
    file.as_file().sync_all().map_err(|error| unwritten(&error))?;
    disk::share(file.as_file(), file.path());
    file.persist_noclobber(&path).map_err(|error| unwritten(&error.error))?;
    out::say(&if arguments.json { as_json(&shown, &packed) } else { said(&shown, &packed) });
    Ok(Exit::Done)
}

/// The full id of a run.
fn run_of(loaded: &Loaded, typed: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(typed) = typed else { return Ok(None) };
    let ids = RunIds::of(&loaded.store);
    match ids.one(typed, &loaded.store)? {
        Some(id) => Ok(Some(id.to_owned())),
        None => Err(Failure::user(format!("no run `{typed}`")).hint("`macula runs` lists them")),
    }
}

fn as_json(file: &Path, packed: &WrittenPack) -> String {
    let contents = &packed.contents;
    let results: Vec<&str> = contents.results.iter().map(|result| result.stage.as_str()).collect();
    let value = json!({
        "file": file, "bytes": packed.bytes, "files": contents.files.len() + 1, "results": results,
        "withheld": contents.withheld, "photographs": contents.photographs, "names": contents.names, "data": contents.data,
    });
    format!("{value:#}\n")
}

fn said(file: &Path, packed: &WrittenPack) -> String {
    let contents = &packed.contents;
    let files = counted(contents.files.len() as u64 + 1, "file", "files");
    let width = out::stdout_width();
    let mut text = format!("wrote {}: {}, {files}\n", file.display(), bytes(packed.bytes));
    let mut line = |words: String| {
        let _ = writeln!(text, "{}", paragraph(&words, width, 4).trim_end());
    };
    let names = |stages: Vec<&str>| stages.join(", ");
    let packed_results: Vec<&str> = contents.results.iter().map(|result| result.stage.as_str()).collect();
    if packed_results.is_empty() {
        line("  no results".to_owned());
    } else {
        let count = counted(packed_results.len() as u64, "result", "results");
        line(format!("  {count}: {}", names(packed_results)));
    }
    if !contents.withheld.is_empty() {
        let withheld: Vec<&str> = contents.withheld.iter().map(|one| one.stage.as_str()).collect();
        let flags = if contents.names { "`--data` includes" } else { "`--data` or `--names` include" };
        line(format!(
            "  {} withheld, which may show or name photographs ({flags} them): {}",
            withheld.len(),
            names(withheld)
        ));
    }
    for (stage, paths) in &contents.data {
        let paths: Vec<String> = paths.iter().map(|path| format!("`{}/{path}`", contents.pipeline.project)).collect();
        line(format!("  the files of `{stage}` are not inside; whoever unpacks puts them at {}", paths.join(", ")));
    }
    if packed.data > 0 {
        line(format!("  {} that its sources read", counted(packed.data as u64, "file", "files")));
    }
    text
}
