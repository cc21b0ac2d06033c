//! `macula plan`: shows what a run would do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::Args;

use super::load::Swept;
use super::run::accept;
use super::{Exit, Failure, PipelineArguments, activity, compare, load};
use crate::base::shown;
use crate::plan::{Decision, Engine, Explanation, StageId, upgrades};
use crate::progress::out;
use crate::progress::table::{bytes, counted, render, thousands};
use crate::progress::text::duration;
use crate::run::resources::ResourceRequest;
use crate::run::status::resume;
use crate::run::{self, Host, Options, record};
use crate::stage::{Cell, StageError, Table};

/// The arguments of `macula plan`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stages to plan, with everything they need [default: all]
    stages: Vec<String>,
    /// Do not use results computed on another kind of processor
    #[arg(long)]
    exact: bool,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

/// Shows what a run would do.
///
/// # Errors
/// A [`Failure`] if no plan can be made.
pub fn plan(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let options = Options {
        accept: accept(arguments.exact),
        targets: arguments.stages.clone(),
        ..Options::usual(host.processors)
    };
    activity::note_runs(&loaded);
    let project = loaded.project();
    let (text, failures) = run::plan(host, &project, &options, |engine, explained| {
        let text = if arguments.json {
            format!("{:#}\n", record::plan(engine, &explained))
        } else {
            match &loaded.sweep {
                Some(swept) if arguments.stages.is_empty() => of_sweep(engine, &explained, swept),
                _ => shown(engine, &explained),
            }
        };
        let failures = explained.into_iter().filter_map(|(id, decision, _)| match decision {
            Decision::Failed(error) => Some(failure(engine, id, error)),
            _ => None,
        });
        (text, failures.collect::<Vec<_>>())
    })?;
    out::say(&text);
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(Exit::Done) };
    for failure in failures {
        failure.print();
    }
    Err(first)
}

fn failure(engine: &Engine, id: StageId, error: &StageError) -> Failure {
    let text = format!("`{}`: {error}", engine.stage(id).name);
    match error {
        StageError::Input { code, hint, .. } => {
            Failure { exit: Exit::StageFailed, code: Some(code), text, hint: hint.clone() }
        }
        StageError::Store(error) => Failure { exit: Exit::Store, code: None, text, hint: error.hint() },
        StageError::Stopped => Failure { exit: Exit::Interrupted, code: None, text, hint: None },
        StageError::Bug(_) => Failure { exit: Exit::Bug, code: None, text, hint: None },
    }
}

fn shown(engine: &Engine, explained: &[(StageId, &Decision, Explanation)]) -> String {
    let widest = explained.iter().map(|(id, ..)| engine.stage(*id).name.chars().count()).max().unwrap_or(0);
    let count = |matches: fn(&Decision) -> bool| explained.iter().filter(|(_, decision, _)| matches(decision)).count();
    let failing = count(|decision| matches!(decision, Decision::Failed(_) | Decision::Blocked(_)));
    let failing = if failing == 0 { String::new() } else { format!(", {failing} cannot run") };
    let mut text = format!(
        "{}: {}: {} will run, {} reused, {} not known yet{failing}\n",
        engine.pipeline.name,
        counted(explained.len() as u64, "stage", "stages"),
        count(|decision| matches!(decision, Decision::Run(_))),
        count(|decision| matches!(decision, Decision::Reuse(..))),
        count(|decision| matches!(decision, Decision::Unknown(_))),
    );
    for upgrade in upgrades(engine, explained) {
        let _ = writeln!(text, "{}", upgrade.words());
    }
    text.push_str(&foreseen(engine, explained));
    for (id, decision, explanation) in explained {
        let (will, words) = words(engine, *id, decision, explanation);
        let line = format!("  {:<widest$}  {will:<8}  {}", engine.stage(*id).name, shown::line(&words));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What stages foresee, each text once: the points of a sweep may say the same.
fn foreseen(engine: &Engine, explained: &[(StageId, &Decision, Explanation)]) -> String {
    let mut told = BTreeSet::new();
    let mut text = String::new();
    for (id, warning) in engine.foreseen(explained.iter().map(|(id, decision, _)| (*id, *decision))) {
        if told.insert(warning.text.clone()) {
            let _ = writeln!(
                text,
                "warning[{}]: `{}`: {}",
                warning.code,
                engine.stage(id).name,
                shown::line(&warning.text)
            );
        }
    }
    text
}

/// A sweep has too many stages for a line each: a line for each stage of its pipeline.
fn of_sweep(engine: &Engine, explained: &[(StageId, &Decision, Explanation)], swept: &Swept) -> String {
    let Swept { sweep, before, shared, .. } = swept;
    let mut text = format!(
        "{}: {} instead of {}, {} shared by several points\n",
        compare::headline(sweep),
        counted(explained.len() as u64, "stage", "stages"),
        thousands(*before as i64),
        thousands(*shared as i64),
    );
    for upgrade in upgrades(engine, explained) {
        let _ = writeln!(text, "{}", upgrade.words());
    }
    text.push_str(&foreseen(engine, explained));
    let mut kinds: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<&str, [i64; 5]> = BTreeMap::new();
    for (id, decision, _) in explained {
        let own = engine.stage(*id).base_name.as_str();
        if !counts.contains_key(own) {
            kinds.push(own);
        }
        let counts = counts.entry(own).or_default();
        counts[0] += 1;
        let column = match decision {
            Decision::Run(_) => 1,
            Decision::Reuse(..) => 2,
            Decision::Unknown(_) => 3,
            Decision::Failed(_) | Decision::Blocked(_) => 4,
            Decision::Source(_) => continue,
        };
        counts[column] += 1;
    }
    let total = counts.values().fold([0; 5], |sum, own| std::array::from_fn(|at| sum[at] + own[at]));
    let rows = kinds.iter().map(|own| (*own, counts[own])).chain([("all", total)]);
    let row = |(own, counts): (&str, [i64; 5])| {
        let cell = |count: i64| if count == 0 { Cell::Null(()) } else { Cell::Int(count) };
        std::iter::once(Cell::Text(own.to_owned())).chain(counts.map(cell)).collect()
    };
    let columns = ["stage", "stages", "will run", "reused", "not known yet", "cannot run"].map(str::to_owned).to_vec();
    text.push_str(&render(
        &Table { title: String::new(), columns, rows: rows.map(row).collect() },
        out::stdout_width(),
    ));
    text
}

/// Memory needs below this appear only in JSON.
const WORTH_SAYING: u64 = 256 << 20;

/// What a stage will do, and a few words about it.
fn words(engine: &Engine, id: StageId, decision: &Decision, explanation: &Explanation) -> (&'static str, String) {
    let names = |ids: &[StageId]| {
        let names: Vec<String> = ids.iter().map(|id| format!("`{}`", engine.stage(*id).name)).collect();
        names.join(", ")
    };
    match decision {
        Decision::Source(known) => ("source", known.summary.headline.clone()),
        Decision::Reuse(known, reused) => {
            let class = reused.other_target.as_ref().map(|class| format!(" (computed on `{class}`)"));
            let from = reused
                .remote_hit
                .as_ref()
                .map(|offer| format!(" (from remote `{}`, {})", offer.remote(), bytes(offer.bytes())));
            ("reused", known.summary.headline.clone() + &class.unwrap_or_default() + &from.unwrap_or_default())
        }
        Decision::Run(task) => {
            let mut words = explanation.reason.as_ref().map(crate::plan::Reason::short).unwrap_or_default();
            if let Some(items) = task.items.filter(|items| items.reused > 0) {
                let _ = write!(words, "; {} of {} reused", items.reused, counted(items.total, "item", "items"));
            }
            if engine.store.is_claimed(&task.key) {
                words.push_str("; another process is computing it");
            } else if let Some(place) = resume(engine, task) {
                let _ = write!(words, "; resumes {place}");
            }
            let need = ResourceRequest::of(engine, id);
            if let Some(memory) = need.memory.filter(|memory| *memory >= WORTH_SAYING) {
                let _ = write!(words, "; needs {}", bytes(memory));
            }
            if let Some(device) = need.device {
                let _ = write!(words, "; on `{device}`");
            }
            if let Some((_, last)) = explanation.last.as_ref().filter(|(_, last)| last.last_seconds >= 1.0) {
                let _ = write!(words, "; took {} last time", duration(last.last_seconds));
            }
            ("will run", words)
        }
        Decision::Unknown(until) => ("unknown", format!("until {} ends", names(until))),
        Decision::Failed(error) => ("fails", error.to_string()),
        Decision::Blocked(by) => ("cannot run", format!("needs {}", names(by))),
    }
}
