//! `macula runs`: lists the runs of a pipeline.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::run::World;

/// The arguments of `macula runs`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// lists the runs of a pipeline.
///
/// # Errors
/// A [`Failure`] with its exit code.
pub fn runs(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let _loaded = load::load(world, &arguments.pipeline)?;
    Ok(Exit::Done)
}
