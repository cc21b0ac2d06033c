//! `macula lock`: writes down what a pipeline came to. And what `macula run --locked` says.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, Loaded, PipelineArguments, load};
use crate::base::figure::counted;
use crate::base::{disk, regular, shown};
use crate::plan::{AllKnown, Decision};
use crate::progress::out;
use crate::run::lockfile::{self, Judged, Lockfile, Verdict, Why};
use crate::run::{self, Host, Options, Report};

/// The arguments of `macula lock`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Change nothing: exit code 1 where the lock is not what would be written
    #[arg(long)]
    check: bool,
}

/// Writes `PIPELINE.lock.kdl` beside the pipeline's file.
///
/// # Errors
/// A [`Failure`] where a result is not there yet, or the lock can't be written.
pub fn lock(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(world, &arguments.pipeline)?;
    let project = loaded.project();
    let options = Options::usual(world.processors);
    let known = run::plan(world, &project, &options, |_, decided| {
        let mut known = AllKnown::new();
        for (id, decision, _) in decided {
            match decision {
                Decision::Source(result) | Decision::Reuse(result, _) => {
                    _ = known.insert(id, std::sync::Arc::clone(result));
                }
                Decision::Failed(error) => return Err(Failure::user(error.to_string())),
                Decision::Run(_) | Decision::Unknown(_) | Decision::Blocked(_) => {
                    let name = &loaded.pipeline.stages[id.0].name;
                    let text = format!("`{name}` is not computed yet, so there is nothing to lock");
                    let hint = format!("`macula run {}` first, with the same `--set`", loaded.file);
                    return Err(Failure { exit: Exit::StageFailed, ..Failure::user(text).hint(hint) });
                }
            }
        }
        Ok(known)
    })??;
    let text = lockfile::write(&Lockfile::of(&project, &known)).map_err(|error| Failure::user(error.text))?;
    let (path, shown) = place(world, &loaded);
    let there = std::fs::read_to_string(&path).ok();
    let same = there.as_deref() == Some(text.as_str());
    let said = match (arguments.check, same) {
        (_, true) => format!("{shown} holds what the pipeline came to\n"),
        (true, false) => format!("{shown} is not what the pipeline came to; `macula lock {}` writes it\n", loaded.file),
        (false, false) => {
            disk::sweep(path.parent().unwrap_or(Path::new(".")));
            disk::write_whole(&path, text.as_bytes()).map_err(|error| Failure::unwritten(&shown, &error))?;
            format!("wrote {shown}: {}\n", counted(known.len() as u64, "stage", "stages"))
        }
    };
    out::say(&said);
    Ok(if arguments.check && !same { Exit::Differs } else { Exit::Done })
}

/// Where a pipeline's lock lies, and as it is shown.
fn place(world: &Host, loaded: &Loaded) -> (PathBuf, String) {
    let shown = Path::new(&loaded.file).with_file_name(format!("{}.lock.kdl", loaded.pipeline.name));
    (world.folder.join(&shown), shown.display().to_string())
}

/// The lock of a pipeline.
///
/// # Errors
/// A [`Failure`] where there is none, or it can't be read.
pub(super) fn of_pipeline(world: &Host, loaded: &Loaded) -> Result<Lockfile, Failure> {
    let (path, shown) = place(world, loaded);
    let text = regular::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::user(format!("there is no `{shown}`"))
            .hint(format!("`macula lock {}` writes it, once the pipeline was run", loaded.file)),
        _ => Failure::user(format!("`{shown}` can't be read: {error}")),
    })?;
    lockfile::read(&text).map_err(|error| {
        Failure::user(format!("`{shown}`, {error}")).hint("`macula lock` writes it anew, where its results are there")
    })
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Table,
    /// One line of JSON, after those of the run.
    Json,
}

/// Says how a run came out beside its lock.
pub(super) fn compared(loaded: &Loaded, locked: &Lockfile, report: &Report, form: Form) -> Exit {
    let project = loaded.project();
    let now = Lockfile::of(&project, &report.known);
    let wanted: Vec<&str> = report.record.stages.keys().map(String::as_str).collect();
    let judged = lockfile::judge(locked, &now, &project, &wanted);
    let as_locked = judged.iter().all(|stage| stage.verdict.as_locked());
    let text = match form {
        Form::Json => {
            let versions = json!({"locked": locked.macula, "now": now.macula});
            let line = json!({"event": "locked", "as_locked": as_locked, "macula": versions, "stages": judged});
            format!("{line}\n")
        }
        Form::Table => told(locked, &now, &judged),
    };
    out::say(&text);
    if as_locked { Exit::Done } else { Exit::Differs }
}

/// Grounds that are shown of one stage.
const MOST_SHOWN: usize = 5;

fn told(locked: &Lockfile, now: &Lockfile, judged: &[Judged]) -> String {
    let mut text = String::from("\nbeside the lock:\n");
    let widest = judged.iter().map(|stage| stage.stage.chars().count()).max().unwrap_or(0);
    for stage in judged {
        let _ = writeln!(text, "  {:<widest$}  {:<10}  {}", stage.stage, stage.determinism, words(stage));
        for Why { text: why, at, .. } in stage.why.iter().take(MOST_SHOWN) {
            let at = at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
            let why = shown::line(&format!("{why}{at}")).into_owned();
            let _ = writeln!(text, "  {:<widest$}  {:<10}    {why}", "", "");
        }
        if stage.why.len() > MOST_SHOWN {
            let _ = writeln!(text, "  {:<widest$}  {:<10}    and {} more", "", "", stage.why.len() - MOST_SHOWN);
        }
    }
    if locked.macula != now.macula {
        let _ = writeln!(text, "macula {} wrote the lock, this is {}", locked.macula, now.macula);
    }
    let count = |verdict: Verdict| judged.iter().filter(|stage| stage.verdict == verdict).count();
    let not = judged.iter().filter(|stage| !stage.verdict.as_locked()).count();
    let _ = writeln!(
        text,
        "{}: {} bit for bit, {} within tolerance, {not} not as locked",
        counted(judged.len() as u64, "stage", "stages"),
        count(Verdict::BitForBit),
        count(Verdict::WithinTolerance),
    );
    text
}

fn words(stage: &Judged) -> String {
    match stage.verdict {
        Verdict::BitForBit => "bit for bit".to_owned(),
        Verdict::WithinTolerance => {
            let bound = stage.bound.unwrap_or_default();
            let farthest =
                stage.farthest.as_ref().map(|(name, by)| format!(" (`{name}` by {by:.4}, {bound:.3} allowed)"));
            format!("within tolerance{}", farthest.unwrap_or_default())
        }
        Verdict::Differs => "DIFFERS".to_owned(),
        Verdict::New => "NEW: the lock has no such stage".to_owned(),
        Verdict::Gone => "GONE: the pipeline has no such stage any more".to_owned(),
        Verdict::Missing => "MISSING: it has no result".to_owned(),
    }
}
