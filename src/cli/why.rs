//! `macula why`: says why a stage runs or is reused.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::run::World;

/// The arguments of `macula why`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage
    stage: String,
}

/// says why a stage runs or is reused.
///
/// # Errors
/// A [`Failure`] with its exit code.
pub fn why(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let _loaded = load::load(world, &arguments.pipeline)?;
    Ok(Exit::Done)
}
