//! From the command line to a checked pipeline and its project.

use std::path::{Path, PathBuf};

use clap::Args;

use super::check::{say, wrong};
use super::{Exit, Failure};
use crate::base::Sources;
use crate::lang;
use crate::lang::spec::{Contents, Pipeline, Points};
use crate::run::{Project, World};
use crate::store::Store;

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
    /// Its file, as given.
    pub file: String,
    /// The project's folder.
    pub folder: PathBuf,
    /// Its store.
    pub store: Store,
}

impl Loaded {
    /// As the runner takes it, with the built-in stages.
    #[must_use]
    pub fn project(&self) -> Project<'_> {
        Project {
            pipeline: &self.pipeline,
            sources: &self.sources,
            file: self.file.clone(),
            folder: self.folder.clone(),
            implementations: crate::stages::registry(),
            store: &self.store,
        }
    }
}

/// Reads and checks the pipeline and opens its store; warnings and errors are printed.
///
/// # Errors
/// A [`Failure`] where the file can't be run or the store can't be opened.
pub fn load(world: &World, arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    let (pipeline, sources) = pipeline(world, arguments)?;
    let folder = world.project(&arguments.file);
    let store = Store::open(&world.store(&folder))?;
    Ok(Loaded { pipeline, sources, file: arguments.file.display().to_string(), folder, store })
}

/// Reads and checks the pipeline alone; warnings and errors are printed.
///
/// # Errors
/// A [`Failure`] where the file can't be run.
pub fn pipeline(world: &World, arguments: &PipelineArguments) -> Result<(Pipeline, Sources), Failure> {
    let mut sources = Sources::default();
    let PipelineArguments { file, pipeline, set } = arguments;
    let (Contents { pipelines, .. }, diags) = lang::load(file, set, Points::OneByOne, &mut sources)
        .map_err(|error| Failure::user(format!("`{}` can't be read: {error}", file.display())))?;
    say(world, &diags, &sources);
    if wrong(&diags) {
        return Err(Failure::said(Exit::User));
    }
    Ok((choose(pipelines, file, pipeline.as_deref())?, sources))
}

fn choose(mut pipelines: Vec<Pipeline>, file: &Path, name: Option<&str>) -> Result<Pipeline, Failure> {
    let names: Vec<String> = pipelines.iter().map(|pipeline| format!("`{}`", pipeline.name)).collect();
    let Some(name) = name else {
        return match pipelines.len() {
            0 => Err(Failure::user(format!("`{}` holds no pipeline", file.display()))),
            1 => Ok(pipelines.remove(0)),
            _ => Err(Failure::user(format!("`{}` holds several pipelines: {}", file.display(), names.join(", ")))
                .hint("say which with `--pipeline NAME`")),
        };
    };
    pipelines.into_iter().find(|pipeline| pipeline.name == name).ok_or_else(|| {
        Failure::user(format!("`{}` holds no pipeline `{name}`", file.display()))
            .hint(format!("there is {}", names.join(", ")))
    })
}
