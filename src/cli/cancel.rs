//! `macula cancel`: cancels the jobs of a pipeline.

use clap::Args;

use super::status::{client, no_answer};
use super::{Exit, Failure, PipelineArguments, load};
use crate::progress::out;
use crate::progress::table::counted;
use crate::run::Host;
use crate::run::slurm::overview::ordered;

/// The arguments of `macula cancel`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stages whose jobs are cancelled [default: all]
    stages: Vec<String>,
}

/// Cancels jobs that wait or run. What they had finished is kept.
///
/// # Errors
/// A [`Failure`] if the queue does not answer.
pub fn cancel(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load_alone(host, &arguments.pipeline)?;
    let client = client(host)?;
    let queue = client.queue().map_err(|error| no_answer(&error))?;
    let stages = ordered(&loaded.store, Some(&loaded.pipeline.name), &queue);
    let wanted = &arguments.stages;
    let unknown = wanted.iter().find(|name| !stages.iter().any(|stage| stage.is_named(name)));
    if let Some(name) = unknown {
        let failure = Failure::user(format!("no job was submitted for a stage `{name}`"));
        return Err(failure.hint("`macula status` lists the jobs"));
    }
    let own = stages.iter().filter(|stage| wanted.is_empty() || wanted.iter().any(|name| stage.is_named(name)));
    let jobs: Vec<String> = own.filter_map(|stage| Some(stage.queued.as_ref()?.id.clone())).collect();
    if !jobs.is_empty() {
        client.cancel(&jobs).map_err(|error| no_answer(&error))?;
    }
    out::say(&format!("cancelled {}\n", counted(jobs.len() as u64, "job", "jobs")));
    Ok(Exit::Done)
}
