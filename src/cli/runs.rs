//! `macula runs`: lists the runs of a pipeline, newest first.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, activity, load};
use crate::progress::out;
use crate::progress::table::render;
use crate::progress::text::duration;
use crate::run::{Host, status, time};
use crate::stage::{Cell, Table};
use crate::store::{RunRecord, StageOutcome, Store};

/// The arguments of `macula runs`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Number of runs
    #[arg(long, short = 'n', default_value_t = 20)]
    number: usize,
    /// Print the records as JSON Lines
    #[arg(long)]
    json: bool,
}

/// Lists the runs of a pipeline.
///
/// # Errors
/// A [`Failure`] if the pipeline cannot be read.
pub fn runs(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    activity::note_runs(&loaded);
    let runs = loaded.store.runs.newest_first(Some(&loaded.pipeline.name)).take(arguments.number);
    let text = if arguments.json {
        runs.filter_map(|run| serde_json::to_string(&run).ok()).map(|line| line + "\n").collect()
    } else {
        let rows: Vec<Vec<Cell>> = runs.map(|run| row(&loaded.store, &run)).collect();
        if rows.is_empty() {
            format!("`{}` has not been run yet\n", loaded.pipeline.name)
        } else {
            let columns = ["run", "began", "took", "ended", "computed", "reused"].map(str::to_owned).to_vec();
            render(&Table { title: String::new(), columns, rows }, out::stdout_width())
        }
    };
    out::say(&text);
    Ok(Exit::Done)
}

fn row(store: &Store, run: &RunRecord) -> Vec<Cell> {
    let count = |matches: fn(StageOutcome) -> bool| {
        Cell::Int(run.stages.values().filter(|stage| matches(stage.became)).count() as i64)
    };
    let (ended, took) = if run.has_ended() {
        (run.ended.name(), Cell::Text(duration(run.seconds)))
    } else if status::of_run(store, run).is_some() {
        ("running", Cell::Null(()))
    } else {
        ("killed", Cell::Null(()))
    };
    vec![
        Cell::Text(run.id.clone()),
        Cell::Text(time::shown(run.began)),
        took,
        Cell::Text(ended.to_owned()),
        count(StageOutcome::is_computed),
        count(|outcome| outcome == StageOutcome::Reused),
    ]
}
