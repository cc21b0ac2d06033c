//! `macula why`: explains why a stage runs or is reused: what changed first, with old and new values.

mod chain;

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;

use super::run::accept;
use super::run_id::RunIds;
use super::{Exit, Failure, PipelineArguments, activity, load};
use crate::base::figure::thousands;
use crate::base::{Sources, shown};
use crate::lang::addresses;
use crate::plan::causes::{Cause, Decisions, causes, decisions, waits_for};
use crate::plan::{Decision, Engine, Explanation, Reason, StageId};
use crate::progress::out;
use crate::progress::table::{counted, paragraph};
use crate::progress::text::duration;
use crate::run::{self, Host, Options, status, time};
use crate::store::{ReusedItems, RunRecord, StageOutcome, StageRun};

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
    let stages = &loaded.pipeline.stages;
    let is_one = stages.iter().any(|stage| [&stage.name, &stage.base_name].contains(&&arguments.stage));
    let copies: Vec<String> = stages
        .iter()
        .filter(|stage| !is_one && addresses(&arguments.stage, &stage.base_name))
        .map(|stage| format!("`{}`", stage.name))
        .collect();
    if !copies.is_empty() {
        return Err(Failure::user(format!("`{}` stands for {} stages", arguments.stage, copies.len()))
            .hint(format!("name one: {}", copies.join(", "))));
    }
    let recorded = |run: &String| super::compare::recorded(&loaded.store, run, &loaded.file);
    let since = arguments.since.as_ref().map(recorded).transpose()?.map(Arc::new);
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
        let decisions = decisions(&explained);
        let of_plan = explained.iter().map(|(id, ..)| engine.stage(*id).name.as_str()).collect();
        explained.iter().rev().find(of_name).map(|(id, decision, explanation)| {
            let due = explained.iter().map(|(id, decision, _)| (engine.stage(*id).name.as_str(), *decision));
            activity::note_stages(&loaded, &of_plan, &activity::due_keys(due));
            let causes = causes(engine, &decisions, *id, since.as_ref());
            let (sources, decisions) = (&loaded.sources, &decisions);
            let runs = RunIds::of(&loaded.store);
            let subject = Subject { engine, sources, decisions, causes, id: *id, decision, runs };
            match &since {
                None => subject.text(explanation, None),
                Some(run) => subject.text(&Explanation::since(engine, *id, decision, run), Some(run)),
            }
        })
    })?;
    let text = text.ok_or_else(|| {
        Failure::user(format!("`{}` stands for several stages", arguments.stage))
            .hint("name one of them; `macula plan` lists the stages")
    })?;
    // Lines that are indented go on two columns to the right.
    let broken = |line: &str| {
        let words = line.trim_start();
        let margin = line.len() - words.len();
        let width = out::stdout_width().saturating_sub(margin);
        let lines = paragraph(words, width, 2);
        lines.split_inclusive('\n').map(|line| " ".repeat(margin) + line).collect::<String>()
    };
    let fits = |line: &str| textwrap::core::display_width(line) <= out::stdout_width();
    out::say(&text.lines().map(|line| if fits(line) { format!("{line}\n") } else { broken(line) }).collect::<String>());
    Ok(Exit::Done)
}

/// The stage that is explained.
struct Subject<'a, 'e> {
    engine: &'a Engine<'e>,
    sources: &'a Sources,
    decisions: &'a Decisions<'a>,
    /// What changed first.
    causes: Vec<Cause>,
    id: StageId,
    decision: &'a Decision,
    runs: RunIds,
}

impl Subject<'_, '_> {
    /// A run as `macula runs` calls it.
    fn run<'i>(&self, id: &'i str) -> &'i str {
        if self.runs.lists(id) { self.runs.short(id) } else { id }
    }

    fn names(&self, ids: &[StageId]) -> String {
        let names: Vec<String> = ids.iter().map(|id| format!("`{}`", self.engine.stage(*id).name)).collect();
        names.join(", ")
    }

    /// The explanation; `since` is the run that was asked to be compared with, if one was.
    fn text(&self, explanation: &Explanation, since: Option<&Arc<RunRecord>>) -> String {
        let Self { engine, id, decision, .. } = *self;
        let mut text = self.first(explanation) + "\n";
        // Errors were reported, and cannot be compared; of a run that was named its outcome is reported.
        let wrong = matches!(decision, Decision::Failed(_) | Decision::Blocked(_));
        if !wrong && (since.is_none() || explanation.last.is_some()) {
            text.push_str(&self.changes(explanation));
        }
        if let Decision::Reuse(_, reused) = decision {
            let made = &reused.made;
            let _ = writeln!(
                text,
                "  computed as `{}` of `{}` in run {}, {}, in {}",
                made.stage,
                made.pipeline,
                self.run(&made.run),
                time::shown(made.began),
                duration(made.seconds)
            );
            if let Some(class) = &reused.other_target {
                let _ =
                    writeln!(text, "  on `{class}`, which is not this machine's target; `--exact` recomputes it here");
            }
        }
        if let Decision::Run(task) = decision {
            if let Some(place) = status::resume(engine, task).filter(|_| !engine.store.is_claimed(&task.key)) {
                let _ = writeln!(text, "  the next run resumes {place}");
            }
            if let Some(ReusedItems { reused: there, total: all }) = task.items {
                let there = if there == 0 { "none".to_owned() } else { thousands(there) };
                let _ = writeln!(text, "  {there} of {} can be reused", counted(all, "item", "items"));
            }
        }
        let recorded = engine.store.runs.last_of(&engine.pipeline.name, &engine.stage(id).name);
        if let Some((_, last)) = recorded.filter(|(_, last)| last.last_seconds > 0.0) {
            let items = if let Decision::Run(task) = decision { task.items } else { None };
            if let Decision::Run(_) | Decision::Unknown(_) = decision {
                let _ = writeln!(text, "  {}", cost(&last, items));
            }
        }
        if let Decision::Unknown(until) = decision {
            text.push_str(&self.before(until));
        }
        if let Some(run) = since {
            text.push_str(&self.outcome(run));
        }
        text
    }

    /// How the last run ended for the stage, if it began and did not finish it.
    fn unfinished(&self) -> Option<StageOutcome> {
        status::unfinished(self.engine.store, &self.engine.pipeline.name).remove(&self.engine.stage(self.id).name)
    }

    /// The stages that run before one that waits, and where they resume.
    fn before(&self, until: &[StageId]) -> String {
        const MOST: usize = 3;
        let mut text = String::new();
        for id in until.iter().take(MOST) {
            let Some(Decision::Run(task)) = self.decisions.get(id) else { continue };
            let name = &self.engine.stage(*id).name;
            let claimed = self.engine.store.is_claimed(&task.key);
            let _ = match status::resume(self.engine, task) {
                _ if claimed => writeln!(text, "  `{name}` is running in another process"),
                Some(place) => writeln!(text, "  `{name}` runs first and resumes {place}"),
                None => writeln!(text, "  `{name}` runs first"),
            };
        }
        text
    }

    fn first(&self, explanation: &Explanation) -> String {
        let name = &self.engine.stage(self.id).name;
        match self.decision {
            Decision::Source(_) => format!("`{name}` is a source: it is checked in every run"),
            Decision::Reuse(_, reused) => match &reused.remote_hit {
                None => format!("`{name}` will not run: its result is cached"),
                Some(offer) => format!("`{name}` will not run: remote `{}` has its result", offer.remote()),
            },
            Decision::Run(task) if self.engine.store.is_claimed(&task.key) => {
                format!("`{name}` is running: another process is computing it")
            }
            Decision::Run(_) => {
                let became = self.unfinished();
                let reason = explanation.reason.as_ref().map_or("", |reason| match reason {
                    Reason::New => match became {
                        Some(StageOutcome::Failed) => "it failed in the last run",
                        Some(_) => "it was stopped in the last run",
                        None => "new (no earlier run)",
                    },
                    Reason::Changed(_) => "its inputs or parameters changed",
                    Reason::Removed => "nothing changed, but its result is no longer in the store",
                    Reason::Lost => "its result is damaged or missing",
                    Reason::OtherTarget(_) => {
                        "its result was computed on another kind of processor, and `--exact` was given"
                    }
                });
                format!("`{name}` will run: {reason}")
            }
            Decision::Unknown(_) => {
                let near = waits_for(self.engine, self.id, self.decisions);
                let own = self.causes.iter().any(|cause| cause.chain == [self.id]);
                let then = match explanation.last {
                    None => "; new (no earlier run)",
                    Some(_) if own => ", then runs: its parameters changed",
                    Some(_) if near.len() == 1 => "; it runs again if that result changes",
                    Some(_) => "; it runs again if their results change",
                };
                format!("`{name}` waits for {}{then}", self.names(&near))
            }
            Decision::Failed(error) => format!("`{name}` cannot be checked: {}", shown::line(&error.to_string())),
            Decision::Blocked(by) => format!("`{name}` cannot run: it needs {}", self.names(by)),
        }
    }

    /// What changed first, since which run, and how it reaches the stage.
    fn changes(&self, explanation: &Explanation) -> String {
        let Some((run, _)) = &explanation.last else {
            let finished = if self.unfinished().is_some() { "finished" } else { "had" };
            return format!("  no earlier run of `{}` {finished} this stage\n", self.engine.pipeline.name);
        };
        if self.causes.is_empty()
            || explanation.differences.is_empty() && !matches!(self.decision, Decision::Unknown(_))
        {
            return format!("  nothing changed since run {}\n", self.run(&run.id));
        }
        format!("  since run {}:\n{}", self.run(&run.id), chain::text(self.engine, self.sources, self.id, &self.causes))
    }

    /// Outcome of the stage in the run it is compared with.
    fn outcome(&self, run: &RunRecord) -> String {
        let name = &self.engine.stage(self.id).name;
        match run.stages.get(name) {
            None => format!("  run {} had no stage `{name}`\n", run.id),
            Some(then) if then.manifest.is_none() => {
                format!("  in run {} it was {} before its key was known\n", run.id, then.became)
            }
            Some(then) => format!("  in run {} it was {}\n", run.id, then.became),
        }
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
