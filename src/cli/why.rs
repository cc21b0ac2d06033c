//! `macula why`: explains why a stage runs or is reused, with old and new values.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;

use super::run::accept;
use super::{Exit, Failure, PipelineArguments, activity, load};
use crate::base::{Sources, shown};
use crate::plan::{Decision, Engine, Explanation, Reason, StageId};
use crate::progress::out;
use crate::progress::table::counted;
use crate::progress::text::duration;
use crate::run::{self, Host, Options, status, time};
use crate::store::{Difference, Kind, ReusedItems, RunRecord, StageRun};

/// The arguments of `macula why`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage
    stage: String,
    /// Compare with this run instead of the last one (an id from `macula runs`, or the beginning of it)
    #[arg(long, value_name = "RUN")]
    since: Option<String>,
    /// Do not use results computed on another kind of processor
    #[arg(long)]
    exact: bool,
}

/// Explains why a stage runs or is reused.
///
/// # Errors
/// A [`Failure`] if the stage is unknown, or no plan can be made.
pub fn why(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    activity::note_stage(&loaded, &arguments.stage);
    let since =
        arguments.since.as_ref().map(|run| super::compare::recorded(&loaded.store, run)).transpose()?.map(Arc::new);
    let options = Options {
        accept: accept(arguments.exact),
        targets: vec![arguments.stage.clone()],
        ..Options::usual(host.processors)
    };
    let text = run::plan(host, &loaded.project(), &options, |engine, explained| {
        // The wanted stage is the only one of the plan that nothing else in it needs.
        let of_name = |(id, ..): &&(StageId, &Decision, Explanation)| {
            let name = &engine.stage(*id).name;
            *name == arguments.stage
                || engine.stage(*id).base_name == arguments.stage
                || arguments.stage.starts_with(&format!("{name}."))
        };
        explained.iter().rev().find(of_name).map(|(id, decision, explanation)| match &since {
            None => told(engine, &loaded.sources, *id, decision, explanation, None),
            Some(run) => {
                let explanation = Explanation::since(engine, *id, decision, run);
                let then = beside(engine, *id, run);
                told(engine, &loaded.sources, *id, decision, &explanation, Some(run)) + &then
            }
        })
    })?;
    out::say(&text.unwrap_or_default());
    Ok(Exit::Done)
}

/// `since` is the run that was asked to be compared with, where one was.
fn told(
    engine: &Engine,
    sources: &Sources,
    id: StageId,
    decision: &Decision,
    explanation: &Explanation,
    since: Option<&RunRecord>,
) -> String {
    let name = &engine.stage(id).name;
    let names = |ids: &[StageId]| {
        let names: Vec<String> = ids.iter().map(|id| format!("`{}`", engine.stage(*id).name)).collect();
        names.join(", ")
    };
    let mut text = match decision {
        Decision::Source(_) => format!("`{name}` is a source: it is checked in every run\n"),
        Decision::Reuse(_, reused) => match &reused.remote_hit {
            None => format!("`{name}` will not run: its result is cached\n"),
            Some(offer) => format!("`{name}` will not run: remote `{}` has its result\n", offer.remote()),
        },
        Decision::Run(_) => {
            let reason = explanation.reason.as_ref().map_or("", |reason| match reason {
                Reason::New => "new (no earlier run)",
                Reason::Changed(_) => "its inputs or parameters changed",
                Reason::Unfinished => "nothing changed, but it did not finish",
                Reason::Lost => "its result is damaged or missing",
                Reason::OtherTarget(_) => {
                    "its result was computed on another kind of processor, and `--exact` was given"
                }
            });
            format!("`{name}` will run: {reason}\n")
        }
        Decision::Unknown(until) => format!("`{name}` depends on the results of {}\n", names(until)),
        Decision::Failed(error) => format!("`{name}` cannot be checked: {}\n", shown::line(&error.to_string())),
        Decision::Blocked(by) => format!("`{name}` cannot run: it needs {}\n", names(by)),
    };
    if let Decision::Unknown(until) = decision {
        let _ = writeln!(text, "  run `macula why` for {} first", names(until));
        return text;
    }
    // What is wrong was said, and can't be compared; of a run that was named it is said what it had.
    let wrong = matches!(decision, Decision::Failed(_) | Decision::Blocked(_));
    if !wrong && (since.is_none() || explanation.last.is_some()) {
        differences(&mut text, engine, sources, id, explanation);
    }
    if let Decision::Reuse(_, reused) = decision {
        let made = &reused.made;
        let _ = writeln!(
            text,
            "  computed as `{}` of `{}` in run {}, {}, in {}",
            made.stage,
            made.pipeline,
            made.run,
            time::shown(made.began),
            duration(made.seconds)
        );
        if let Some(class) = &reused.other_target {
            let _ = writeln!(text, "  on `{class}`, which is not this machine's target; `--exact` recomputes it here");
        }
    }
    if let Decision::Run(task) = decision {
        if let Some(place) = status::resume(engine, task).filter(|_| !engine.store.is_claimed(&task.key)) {
            let _ = writeln!(text, "  the next run resumes {place}");
        }
        if let Some(ReusedItems { reused: there, total: all }) = task.items {
            let _ = writeln!(text, "  {there} of {} reused", counted(all, "item is", "items are"));
        }
        let recorded = engine.store.runs.last_of(&engine.pipeline.name, name);
        if let Some((_, last)) = recorded.filter(|(_, last)| last.last_seconds > 0.0) {
            let _ = writeln!(text, "  {}", cost(&last, task.items));
        }
    }
    text
}

/// Outcome of a stage in the run it is compared with.
fn beside(engine: &Engine, id: StageId, run: &RunRecord) -> String {
    let name = &engine.stage(id).name;
    match run.stages.get(name) {
        None => format!("  run {} had no stage `{name}`\n", run.id),
        Some(then) if then.manifest.is_none() => {
            format!("  in run {} it was {} before its key was known\n", run.id, then.became)
        }
        Some(then) => format!("  in run {} it was {}\n", run.id, then.became),
    }
}

/// Estimated cost from recorded times; for a map stage, of its missing items.
fn cost(last: &StageRun, items: Option<ReusedItems>) -> String {
    match items {
        Some(ReusedItems { reused: there, total: all }) if all > 0 && last.full_seconds > 0.0 => {
            let open = all.saturating_sub(there);
            let then = last.items.map_or(all, |then| then.total).max(1);
            let about = duration(last.full_seconds * open as f64 / then as f64);
            format!("about {about} for {}: {then} take {}", counted(open, "item", "items"), duration(last.full_seconds))
        }
        _ => format!("it took {} last time", duration(last.last_seconds)),
    }
}

fn differences(text: &mut String, engine: &Engine, sources: &Sources, id: StageId, explanation: &Explanation) {
    let Some((run, _)) = &explanation.last else {
        let _ = writeln!(text, "  no earlier run of `{}` had this stage", engine.pipeline.name);
        return;
    };
    if explanation.differences.is_empty() {
        let _ = writeln!(text, "  nothing changed since run {}", run.id);
        return;
    }
    let _ = writeln!(text, "  since run {}:", run.id);
    let lines: Vec<(String, String, String)> =
        explanation.differences.iter().map(|difference| line(engine, sources, id, difference)).collect();
    let widths = [
        lines.iter().map(|line| line.0.chars().count()).max().unwrap_or(0),
        lines.iter().map(|line| line.1.chars().count()).max().unwrap_or(0),
    ];
    for (path, change, at) in lines {
        let line = format!("    {path:<0$}  {change:<1$}  {at}", widths[0], widths[1]);
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// The fact, old and new value, and where it stands.
fn line(engine: &Engine, sources: &Sources, id: StageId, difference: &Difference) -> (String, String, String) {
    let stage = engine.stage(id);
    let Difference { path, kind, old, new } = difference;
    let change = match (old, new) {
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (None, Some(new)) => format!("{new} (new)"),
        (old, None) => format!("{} (gone)", old.as_deref().unwrap_or_default()),
    };
    let port = path.split('[').next().unwrap_or(path);
    let span = match kind {
        Kind::Parameter => stage.params.get(path).and_then(|param| param.span),
        Kind::Seed => Some(engine.pipeline.span),
        _ => stage.inputs.iter().find(|input| input.port == port).map(|input| input.span),
    };
    let default = *kind == Kind::Parameter && new.is_some();
    let at = span.map(|span| sources.cite(span)).or_else(|| default.then(|| "default".to_owned()));
    let of = match kind {
        Kind::Implementation if path == "version" => "implementation's version".to_owned(),
        Kind::Summary => format!("{path}'s summary"),
        Kind::Name => format!("{path}'s name"),
        _ => path.clone(),
    };
    let [of, change, at] = [of, change, at.unwrap_or_default()].map(|text| shown::line(&text).into_owned());
    (of, change, at)
}
