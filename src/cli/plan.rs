//! `macula plan`: shows what a run would do.

mod lines;
mod totals;

use std::collections::BTreeSet;

use clap::Args;

use self::lines::Planned;
use super::run::accept;
use super::{Exit, Failure, PipelineArguments, activity, compare, load, namesake, paths};
use crate::base::shown;
use crate::plan::{Decision, Engine, Explanation, StageId, upgrades};
use crate::progress::out;
use crate::progress::table::{counted, paragraph, thousands};
use crate::run::{self, Host, Options, record};
use crate::stage::StageError;

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
    let loaded = load::load_points(host, &arguments.pipeline)?;
    let options = Options {
        accept: accept(arguments.exact),
        targets: arguments.stages.clone(),
        ..Options::usual(host.processors)
    };
    activity::note_runs(&loaded);
    paths::note_project(host, &arguments.pipeline.file);
    if let Some(failure) = namesake::find(host, &loaded) {
        out::note(&format!("note: `macula run` will refuse this: {}\n", shown::line(&failure.text)));
    }
    let project = loaded.project();
    let (text, failures) = run::plan(host, &project, &options, |engine, explained| {
        let text = if arguments.json {
            format!("{:#}\n", record::plan(engine, &explained))
        } else {
            let name = &engine.pipeline.name;
            match &loaded.sweep {
                Some(swept) if arguments.stages.is_empty() => {
                    let load::Swept { sweep, before, shared, .. } = swept;
                    let merged = format!(
                        "{}: {} instead of {}, {} shared by several points",
                        compare::headline(sweep),
                        counted(explained.len() as u64, "stage", "stages"),
                        thousands(*before as i64),
                        thousands(*shared as i64),
                    );
                    let planned = Planned::new(engine, &explained);
                    text(&planned, &[merged, planned.counts()], &planned.table(out::stdout_width()))
                }
                _ => {
                    let planned = Planned::new(engine, &explained);
                    let stages = counted(explained.len() as u64, "stage", "stages");
                    let counts = format!("{name}: {stages}: {}", planned.counts());
                    text(&planned, &[counts], &planned.lines(out::stdout_width(), out::stdout_colours()))
                }
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

/// The whole plan: counts, notes on upgrades, warnings, the stages, the time.
fn text(planned: &Planned, counts: &[String], stages: &str) -> String {
    let width = out::stdout_width();
    let (engine, explained) = (planned.engine, planned.explained);
    let upgrades = upgrades(engine, explained).into_iter().map(|upgrade| upgrade.words());
    let first: String =
        counts.iter().cloned().chain(upgrades).map(|line| paragraph(&shown::line(&line), width, 2)).collect();
    let time = planned.time().map(|line| paragraph(&line, width, 2)).unwrap_or_default();
    first + &foreseen(engine, explained) + stages + &time
}

/// What stages foresee, each text once: the points of a sweep may say the same.
fn foreseen(engine: &Engine, explained: &[(StageId, &Decision, Explanation)]) -> String {
    let mut told = BTreeSet::new();
    let mut text = String::new();
    for (id, warning) in engine.foreseen(explained.iter().map(|(id, decision, _)| (*id, *decision))) {
        if told.insert(warning.text.clone()) {
            let words = format!("`{}`: {}", engine.stage(id).name, shown::line(&warning.text));
            text.push_str(&out::stdout_message(&format!("warning[{}]: {words}\n", warning.code)));
        }
    }
    text
}
