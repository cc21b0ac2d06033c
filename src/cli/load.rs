//! From the command line to a checked pipeline and its project.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::base::Sources;
use crate::lang::spec::Pipeline;
use crate::run::World;

/// Which pipeline, and what is set from the command line.
#[derive(Clone, Debug, Args)]
pub struct PipelineArguments {
    /// The KDL file
    pub file: PathBuf,
    /// Which pipeline, where the file holds several
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Sets a parameter, checked like the file: `--set patches.size=64`
    #[arg(long, value_name = "STAGE.PARAM=VALUE")]
    pub set: Vec<String>,
}

/// A checked pipeline, the texts it came from, and its project's folder.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The texts that its spans point into.
    pub sources: Sources,
    /// The project's folder.
    pub project: PathBuf,
    /// Where its store lies.
    pub store: PathBuf,
}

/// Reads and checks the pipeline; warnings and errors are printed.
///
/// # Errors
/// A [`Failure`] of which all was said, where the file can't be run.
pub fn load(_world: &World, _arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    Err(Failure::user("the language has not landed yet"))
}
