//! `macula runs`: lists the runs of a pipeline, the newest first.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::progress::out;
use crate::progress::table::render;
use crate::progress::text::duration;
use crate::run::{World, time};
use crate::stage::{Cell, Table};
use crate::store::RunRecord;

/// The arguments of `macula runs`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    number: usize,
    /// Print the records as JSON Lines
    #[arg(long)]
    json: bool,
}

/// Lists the runs of a pipeline.
///
/// # Errors
/// A [`Failure`] where the pipeline can't be read.
pub fn runs(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(world, &arguments.pipeline)?;
    let runs = loaded.store.runs.newest_first(Some(&loaded.pipeline.name)).take(arguments.number);
    let text = if arguments.json {
        runs.filter_map(|run| serde_json::to_string(&run).ok()).map(|line| line + "\n").collect()
    } else {
        let rows: Vec<Vec<Cell>> = runs.map(|run| row(&run)).collect();
        if rows.is_empty() {
            format!("`{}` was not run yet\n", loaded.pipeline.name)
        } else {
            let columns = ["run", "began", "took", "ended", "computed", "reused"].map(str::to_owned).to_vec();
            render(&Table { title: String::new(), columns, rows })
        }
    };
    out::say(&text);
    Ok(Exit::Done)
}

fn row(run: &RunRecord) -> Vec<Cell> {
    let count = |kinds: &[&str]| {
        let matching = run.stages.values().filter(|stage| kinds.contains(&stage.became.as_str()));
        Cell::Int(matching.count() as i64)
    };
    // One that was killed never said how it ended, and neither did one that runs.
    let (ended, took) = if run.has_ended() {
        (run.ended.as_str(), Cell::Text(duration(run.seconds)))
    } else {
        ("not ended", Cell::Null(()))
    };
    vec![
        Cell::Text(run.id.clone()),
        Cell::Text(time::shown(run.began)),
        took,
        Cell::Text(ended.to_owned()),
        count(&["computed", "repaired"]),
        count(&["reused"]),
    ]
}
