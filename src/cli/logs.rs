//! `macula logs`: prints the log of the job of a stage.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::lang::near::near;
use crate::progress::out;
use crate::run::Host;
use crate::run::slurm::overview::ordered;

/// The arguments of `macula logs`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage
    stage: String,
}

/// Prints the log of the last job of a stage.
///
/// # Errors
/// A [`Failure`] if the stage was never submitted, or its job has not written anything yet.
pub fn logs(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load_alone(host, &arguments.pipeline)?;
    let stages = ordered(&loaded.store, Some(&loaded.pipeline.name), &[]);
    let name = &arguments.stage;
    let own: Vec<_> = stages.iter().filter(|stage| stage.is_named(name)).collect();
    if own.is_empty() {
        let failure = Failure::user(format!("no job was submitted for a stage `{name}`"));
        let known = stages.iter().map(|stage| stage.order.stage.as_str());
        return Err(match near(name, known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("`macula status` lists the jobs"),
        });
    }
    let mut text = String::new();
    for stage in &own {
        let Some(path) = stage.log(&loaded.store) else { continue };
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::user(format!("cannot read `{}`: {error}", path.display())))?;
        if own.len() > 1 {
            text.extend([stage.order.stage.as_str(), ":\n"]);
        }
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    if text.is_empty() {
        return Err(Failure::user(format!("the job of `{name}` has not written anything yet")));
    }
    out::say(&text);
    Ok(Exit::Done)
}
