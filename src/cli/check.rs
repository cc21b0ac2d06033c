//! `macula check`: says all that is wrong with a pipeline.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::run::World;

/// The arguments of `macula check`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// says all that is wrong with a pipeline.
///
/// # Errors
/// A [`Failure`] with its exit code.
pub fn check(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let _loaded = load::load(world, &arguments.pipeline)?;
    Ok(Exit::Done)
}
