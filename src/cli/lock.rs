//! `macula lock`: records the current results in a lock file. Also the report of `macula run --locked`.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, Loaded, PipelineArguments, load};
use crate::base::figure::counted;
use crate::base::{Digest, disk, regular, shown};
use crate::plan::{Decision, StageResults};
use crate::progress::out;
use crate::progress::table::paragraph;
use crate::run::lockfile::{self, Judged, Lockfile, Verdict, Why};
use crate::run::{self, Host, Options, Report};

/// The arguments of `macula lock`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Write nothing; exit with 1 if the lock file is out of date
    #[arg(long)]
    check: bool,
}

/// Writes `PIPELINE.lock.kdl` next to the pipeline's file.
///
/// # Errors
/// A [`Failure`] if a result is missing, or the lock file cannot be written.
pub fn lock(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let project = loaded.project();
    let options = Options::usual(host.processors);
    let known = run::plan(host, &project, &options, |_, decided| {
        let mut known = StageResults::new();
        for (id, decision, _) in decided {
            match decision {
                Decision::Source(result) | Decision::Reuse(result, _) => {
                    _ = known.insert(id, std::sync::Arc::clone(result));
                }
                Decision::Failed(error) => return Err(Failure::user(error.to_string())),
                Decision::Run(_) | Decision::Unknown(_) | Decision::Blocked(_) => {
                    let name = &loaded.pipeline.stages[id.0].name;
                    let text = format!("`{name}` has no result to lock");
                    let hint = format!("run `macula run {}` first, with the same `--set`", loaded.file);
                    return Err(Failure { exit: Exit::StageFailed, ..Failure::user(text).hint(hint) });
                }
            }
        }
        Ok(known)
    })??;
    let text = lockfile::write(&Lockfile::of(&project, &known)).map_err(|error| Failure::user(error.text))?;
    let (path, shown) = place(host, &loaded);
    let there = std::fs::read_to_string(&path).ok();
    let same = there.as_deref() == Some(text.as_str());
    let said = match (arguments.check, same) {
        (_, true) => format!("{shown} is up to date\n"),
        (true, false) => format!("{shown} is out of date; run `macula lock {}` to update it\n", loaded.file),
        (false, false) => {
            disk::sweep(path.parent().unwrap_or(Path::new(".")));
            disk::write_whole(&path, text.as_bytes()).map_err(|error| Failure::unwritten(&shown, &error))?;
            format!("wrote {shown}: {}\n", counted(known.len() as u64, "stage", "stages"))
        }
    };
    out::say(&paragraph(said.trim_end(), out::stdout_width(), 2));
    Ok(if arguments.check && !same { Exit::Differs } else { Exit::Done })
}

/// Path of a pipeline's lock file, and its display form.
fn place(host: &Host, loaded: &Loaded) -> (PathBuf, String) {
    let shown = Path::new(&loaded.file).with_file_name(format!("{}.lock.kdl", loaded.pipeline.name));
    (host.folder.join(&shown), shown.display().to_string())
}

/// The lock file of a pipeline with these results, in a sentence: its digest, and whether it is up to date.
pub(super) fn described(host: &Host, loaded: &Loaded, known: &StageResults) -> String {
    let complete = known.len() == loaded.pipeline.stages.len();
    let now = || lockfile::write(&Lockfile::of(&loaded.project(), known)).ok();
    let now = if complete { now() } else { None };
    let path = place(host, loaded).0;
    let Ok(text) = regular::read_to_string(&path) else {
        return now.map_or_else(String::new, |now| {
            format!("No lock file yet; that of these results has the digest `{}`.", Digest::of(now.as_bytes()))
        });
    };
    let state = match now {
        Some(now) if now == text => "has these results",
        Some(_) => "has other results than this page",
        None => "cannot be compared, since not all stages have a result",
    };
    // Without the folders of somebody's machine.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("Lock file `{name}` {state}; digest `{}`.", Digest::of(text.as_bytes()))
}

/// The lock file of a pipeline.
///
/// # Errors
/// A [`Failure`] if it is missing or cannot be read.
pub(super) fn of_pipeline(host: &Host, loaded: &Loaded) -> Result<Lockfile, Failure> {
    let (path, shown) = place(host, loaded);
    let text = regular::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::user(format!("no lock file `{shown}`"))
            .hint(format!("run the pipeline, then `macula lock {}`", loaded.file)),
        _ => Failure::user(format!("cannot read `{shown}`: {error}")),
    })?;
    lockfile::read(&text).map_err(|error| {
        Failure::user(format!("`{shown}`, {error}"))
            .hint("run `macula lock` to write it again from the current results")
    })
}

/// Output format of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Table,
    /// One line of JSON, after those of the run.
    Json,
}

/// Reports how a run compares with its lock file.
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

/// Maximum number of reasons shown per stage.
const MOST_SHOWN: usize = 5;

/// The comparison for people.
pub(super) fn told(locked: &Lockfile, now: &Lockfile, judged: &[Judged]) -> String {
    let mut text = String::from("\ncompared with the lock file:\n");
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
        let _ = writeln!(text, "the lock file was written by macula {}, this is {}", locked.macula, now.macula);
    }
    let count = |verdict: Verdict| judged.iter().filter(|stage| stage.verdict == verdict).count();
    let not = judged.iter().filter(|stage| !stage.verdict.as_locked()).count();
    let _ = writeln!(
        text,
        "{}: {} bit for bit, {} within tolerance, {not} not matching",
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
        Verdict::New => "NEW: not in the lock file".to_owned(),
        Verdict::Gone => "REMOVED: no longer in the pipeline".to_owned(),
        Verdict::Missing => "MISSING: no result".to_owned(),
    }
}
