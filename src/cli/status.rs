//! `macula status`: lists the jobs of a cluster that compute stages of a project.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, load, open_store};
use crate::progress::out;
use crate::progress::table::{Grid, GridColumn, counted};
use crate::run::Host;
use crate::run::slurm::client::SlurmClient;
use crate::run::slurm::overview::{OrderedStage, ordered};
use crate::stage::Cell;
use crate::store::AttemptOutcome;

/// The arguments of `macula status`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The pipeline's file [default: all pipelines of the project]
    #[arg(value_parser = super::file::parser())]
    file: Option<PathBuf>,
    /// Name of the pipeline, if the file has several
    #[arg(long, value_name = "NAME", requires = "file")]
    pipeline: Option<String>,
    /// Use a sweep of the file, with all its points
    #[arg(long, value_name = "NAME", requires = "file", conflicts_with = "pipeline")]
    sweep: Option<String>,
    /// Print each job as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Lists jobs that wait or run, and stages whose last job failed.
///
/// # Errors
/// A [`Failure`] if the pipeline cannot be read, or the queue does not answer.
pub fn status(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let (store, name) = match &arguments.file {
        Some(file) => {
            let arguments = load::PipelineArguments {
                file: file.clone(),
                pipeline: arguments.pipeline.clone(),
                sweep: arguments.sweep.clone(),
                set: Vec::new(),
            };
            let loaded = load::load_alone(host, &arguments)?;
            (loaded.store, Some(loaded.pipeline.name))
        }
        None => (open_store::open(host, &host.project_here())?, None),
    };
    let queue = client(host)?.queue().map_err(|error| no_answer(&error))?;
    let mut stages = ordered(&store, name.as_deref(), &queue);
    stages.retain(|stage| stage.queued.is_some() || !stage.is_recorded && stage.attempt.is_some());
    let text = if arguments.json {
        stages.iter().map(|stage| as_json(stage).to_string() + "\n").collect()
    } else if stages.is_empty() {
        "no jobs; `macula plan FILE` shows what would run\n".to_owned()
    } else {
        table(&stages)
    };
    out::say(&text);
    Ok(Exit::Done)
}

/// Slurm's programs.
pub(super) fn client(host: &Host) -> Result<SlurmClient, Failure> {
    SlurmClient::new(host).map_err(|error| Failure {
        code: Some("no-slurm"),
        ..Failure::user(format!("cannot ask the queue: {error}"))
            .hint("run it where you submit jobs; `macula plan FILE` shows what would run here")
    })
}

/// The failure of a queue that does not answer.
pub(super) fn no_answer(error: &dyn std::fmt::Display) -> Failure {
    Failure { exit: Exit::Store, ..Failure::user(format!("Slurm does not answer: {error}")) }
}

/// The state of a stage's job in a word or two.
fn state(stage: &OrderedStage) -> String {
    match (&stage.queued, stage.attempt.as_ref().map(|attempt| &attempt.outcome)) {
        (Some(job), _) if job.reason.is_empty() => job.state.word().to_owned(),
        (Some(job), _) => format!("{} ({})", job.state.word(), job.reason),
        (None, Some(AttemptOutcome::Failed { .. })) => "failed".to_owned(),
        (None, Some(AttemptOutcome::Stopped { .. })) => "stopped".to_owned(),
        (None, _) => "ended".to_owned(),
    }
}

fn job(stage: &OrderedStage) -> &str {
    let queued = stage.queued.as_ref().map(|job| job.id.as_str());
    queued.or_else(|| stage.attempt.as_ref().map(|attempt| attempt.job.as_str())).unwrap_or_default()
}

/// How far a running attempt is: `3/10 epochs`.
fn progress(stage: &OrderedStage) -> String {
    let Some(steps) = &stage.steps else { return String::new() };
    match steps.total {
        0 => format!("{} {}", steps.done, steps.unit),
        total => format!("{}/{total} {}", steps.done, steps.unit),
    }
}

fn table(stages: &[OrderedStage]) -> String {
    let columns = ["stage", "job", "state", "on", "CPUs", "memory", "limit", "used", "progress"];
    let priorities = [0, 0, 0, 1, 4, 3, 2, 1, 1];
    let columns = columns.iter().zip(priorities).map(|(head, priority)| GridColumn::new(*head).priority(priority));
    let rows = stages.iter().map(|stage| {
        let of = |get: fn(&crate::run::slurm::client::QueuedJob) -> &String| {
            stage.queued.as_ref().map_or_else(String::new, |job| get(job).clone())
        };
        let cells = [
            stage.order.stage.clone(),
            job(stage).to_owned(),
            state(stage),
            of(|job| &job.nodes),
            of(|job| &job.processors),
            of(|job| &job.memory),
            of(|job| &job.limit),
            of(|job| &job.elapsed),
            progress(stage),
        ];
        cells.into_iter().map(|cell| if cell.is_empty() { Cell::Null(()) } else { Cell::Text(cell) }).collect()
    });
    let (grid, _) = Grid::new(columns).rows(rows).fit(out::stdout_width());
    format!("{}\n{grid}", counted(stages.len() as u64, "job", "jobs"))
}

fn as_json(stage: &OrderedStage) -> serde_json::Value {
    let queued = stage.queued.as_ref();
    json!({
        "pipeline": stage.order.pipeline,
        "stage": stage.order.stage,
        "run": stage.order.run,
        "key": stage.order.key,
        "job": job(stage),
        "state": queued.map_or("ended", |job| job.state.word()),
        "reason": queued.map(|job| &job.reason),
        "node": queued.map(|job| &job.nodes),
        "processors": queued.map(|job| &job.processors),
        "memory": queued.map(|job| &job.memory),
        "limit": queued.map(|job| &job.limit),
        "elapsed": queued.map(|job| &job.elapsed),
        "progress": stage.steps,
        "last_attempt": stage.attempt,
    })
}
