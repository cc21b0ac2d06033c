//! `macula graph`: draws the pipeline.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::run::World;

/// The arguments of `macula graph`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// draws the pipeline.
///
/// # Errors
/// A [`Failure`] with its exit code.
pub fn graph(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let _loaded = load::load(world, &arguments.pipeline)?;
    Ok(Exit::Done)
}
