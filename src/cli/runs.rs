//! `macula runs`: lists the runs of a pipeline, newest first.

use std::fmt::Write as _;

use clap::Args;

use super::main_metric::{self, StageMetrics};
use super::run_changes::{changes, fitted, planned, run_before};
use super::run_id::RunIds;
use super::{Exit, Failure, Loaded, PipelineArguments, activity, load};
use crate::base::shown;
use crate::lang::spec::Rank;
use crate::progress::activity::working_on;
use crate::progress::out;
use crate::progress::table::{Align, Grid, GridColumn, counted, paragraph};
use crate::progress::text::duration;
use crate::run::{Host, status, time};
use crate::stage::Cell;
use crate::store::{RunOutcome, RunRecord};

/// The arguments of `macula runs`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Number of runs to list
    #[arg(long, short = 'n', default_value_t = 20)]
    number: usize,
    /// List this metric, such as `scores.micro-f1` [default: mean average precision]
    #[arg(long, value_name = "STAGE.METRIC", conflicts_with = "json")]
    by: Option<String>,
    /// Print the records as JSON Lines, with times in UTC
    #[arg(long)]
    json: bool,
}

/// Earlier runs that are examined for one to compare the last listed run with.
const LOOKED_AT: usize = 20;

/// Columns for what changed; with fewer it stands on lines of its own.
const NARROWEST: usize = 24;

/// Lines for what a run changed.
const LINES: usize = 3;

/// Lines for what a running one is doing and has changed.
const RUNNING_LINES: usize = 4;

/// Lists the runs of a pipeline.
///
/// # Errors
/// A [`Failure`] if the pipeline cannot be read.
pub fn runs(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let name = &loaded.pipeline.name;
    let runs = loaded.store.runs.newest_first(Some(name));
    let text = if arguments.json {
        activity::note_runs(&loaded);
        let runs = runs.take(arguments.number);
        runs.filter_map(|run| serde_json::to_string(&run).ok()).map(|line| line + "\n").collect()
    } else {
        let mut runs = runs;
        let mut listed: Vec<RunRecord> = runs.by_ref().take(arguments.number.max(1)).collect();
        // The last one is compared with the run before it; a killed run does not say what it had.
        listed.extend(runs.take(LOOKED_AT).find(|run| !run.stages.is_empty()));
        let runs = listed;
        if runs.is_empty() {
            format!("`{name}` has not been run yet\n")
        } else {
            let listed = &runs[..arguments.number.max(1).min(runs.len())];
            let metric = main_metric(listed, arguments.by.as_deref())?;
            table(&loaded, &runs, listed, metric.as_ref()) + &continuing(host, &loaded, &runs)
        }
    };
    out::say(&text);
    Ok(Exit::Done)
}

/// The table of `listed`, the first of `runs`, its title, and how many runs it leaves out.
fn table(loaded: &Loaded, runs: &[RunRecord], listed: &[RunRecord], metric: Option<&Rank>) -> String {
    let ids = RunIds::of(&loaded.store);
    let head = metric.map(|metric| if metric.metric == main_metric::USUAL { "mean AP" } else { &metric.metric });
    let all = loaded.store.runs.ids_of(&loaded.pipeline.name).len();
    let mut title = format!("{}: {}", loaded.pipeline.name, counted(all as u64, "run", "runs"));
    if let (Some(Rank { stage, metric, .. }), Some(head)) = (metric, head) {
        let _ = write!(title, "; {head} is {stage}.{metric}");
    }
    let width = out::stdout_width();
    let mut text = paragraph(&shown::line(&title), width, 2);
    let mut columns = vec![
        GridColumn::new("run"),
        GridColumn::new("started"),
        GridColumn::new("took").align(Align::Right).priority(2),
        GridColumn::new("ended"),
    ];
    if let Some(head) = head {
        columns.push(GridColumn::new(head).align(Align::Right).priority(1));
    }
    let rows: Vec<Row> = listed.iter().enumerate().map(|(at, run)| row(loaded, run, &runs[at + 1..])).collect();
    let cells = listed.iter().zip(&rows).map(|(run, row)| {
        let mut cells = vec![
            Cell::Text(ids.short(&run.id).to_owned()),
            Cell::Text(time::minute(run.began)),
            if run.has_ended() { Cell::Text(duration(run.seconds)) } else { Cell::Null(()) },
            Cell::Text(row.ended.to_owned()),
        ];
        if let Some(Rank { stage, metric, .. }) = metric {
            let value = run.stages.get(stage).and_then(|stage| stage.metrics.get(metric));
            cells.push(value.map_or(Cell::Null(()), |value| Cell::Real(*value)));
        }
        cells
    });
    let (grid, _) = Grid::new(columns).rows(cells).fit(width);
    let lines: Vec<&str> = grid.lines().collect();
    let heads = lines.len() - rows.len();
    let used = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0) + 2;
    let beside = width >= used + NARROWEST;
    for (at, line) in lines.iter().enumerate() {
        let words = match at.checked_sub(heads) {
            None if at + 1 == heads && beside => vec!["changed".to_owned()],
            None => Vec::new(),
            Some(row) => {
                let lines = if rows[row].ended == "running" { RUNNING_LINES } else { LINES };
                fitted(&rows[row].changed, if beside { width - used } else { width - 4 }, lines)
            }
        };
        let mut words = words.iter();
        let first = if beside { words.next().map_or("", String::as_str) } else { "" };
        let _ = writeln!(text, "{}", format!("{line:<used$}{first}").trim_end());
        let margin = if beside { used } else { 4 };
        words.for_each(|more| _ = writeln!(text, "{}{more}", " ".repeat(margin)));
    }
    let more = all.saturating_sub(listed.len());
    if more > 0 {
        let _ = writeln!(text, "and {more} more: `macula runs {} -n {all}`", loaded.file);
    }
    text
}

/// How a run ended, and what it changed or is doing.
struct Row {
    ended: &'static str,
    changed: Vec<String>,
}

/// A row; `earlier` are the runs before it, the newest first.
fn row(loaded: &Loaded, run: &RunRecord, earlier: &[RunRecord]) -> Row {
    let live = status::of_run(&loaded.store, run);
    let before = run_before(run, earlier);
    let complete = run.has_ended() && run.stages.values().all(|stage| stage.manifest.is_some());
    let planned = if complete { Vec::new() } else { planned(&loaded.store.runs.folder(&run.id)) };
    let doing = live.iter().flat_map(|live| &live.stages).flat_map(working_on);
    let words = doing.chain(changes(run, before.as_ref(), &planned));
    let ended = match &live {
        Some(_) => "running",
        None if run.has_ended() => run.ended.name(),
        None => "killed",
    };
    Row { ended, changed: words.map(|words| shown::line(&words).into()).collect() }
}

/// Where the next run continues, if the last one was interrupted or failed.
fn continuing(host: &Host, loaded: &Loaded, runs: &[RunRecord]) -> String {
    let Some(last) = runs.first() else { return String::new() };
    if last.ended == RunOutcome::Done || status::of_run(&loaded.store, last).is_some() {
        return String::new();
    }
    let places = activity::resumed(host, loaded);
    let words = match places.as_slice() {
        [] => return String::new(),
        [(stage, place)] => format!("`macula run {}` resumes `{stage}` {place}", loaded.file),
        [(stage, place), rest @ ..] => {
            let more = counted(rest.len() as u64, "other stage", "other stages");
            format!("`macula run {}` resumes `{stage}` {place}, and {more}", loaded.file)
        }
    };
    paragraph(&shown::line(&words), out::stdout_width(), 2)
}

/// The metric that is listed: the one of `--by`, or else that which most runs have, of an evaluation rather than a training.
fn main_metric(runs: &[RunRecord], by: Option<&str>) -> Result<Option<Rank>, Failure> {
    let metrics = |run: &RunRecord| -> StageMetrics {
        let own = run.stages.iter().filter(|(name, stage)| !stage.metrics.is_empty() && !name.contains('@'));
        own.map(|(name, stage)| (name.clone(), stage.metrics.clone())).collect()
    };
    let all: Vec<_> = runs.iter().map(metrics).collect();
    if let Some(by) = by {
        return main_metric::named(all.iter(), by).map(Some);
    }
    Ok(main_metric::usual(&all.iter()).filter(|Rank { stage, metric, .. }| {
        all.iter().any(|run| run.get(stage).is_some_and(|own| own.contains_key(metric)))
    }))
}
