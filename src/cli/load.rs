//! From the command line to a checked pipeline and its project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::check::{say, wrong};
use super::failure::warn_of;
use super::file::{self, unread};
use super::{Exit, Failure};
use crate::base::Sources;
use crate::diag::Diag;
use crate::lang;
use crate::lang::near;
use crate::lang::spec::{Contents, Pipeline, Points, Sweep};
use crate::plan::{self, Merged};
use crate::run::{Host, Project, remotes};
use crate::store::{Remotes, Store};

/// Which pipeline, and what is set from the command line.
#[derive(Clone, Debug, Args)]
pub struct PipelineArguments {
    /// The KDL file; `base` means `base.kdl` if only that exists
    #[arg(value_parser = file::parser())]
    pub file: PathBuf,
    /// Which pipeline, where the file holds several
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Take a sweep of the file: all its points
    #[arg(long, value_name = "NAME", conflicts_with = "pipeline")]
    pub sweep: Option<String>,
    /// Sets a parameter, checked like the file: `--set patches.size=64`
    #[arg(long, value_name = "STAGE.PARAM=VALUE")]
    pub set: Vec<String>,
}

/// A checked pipeline, the texts it came from, and its project's folder.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline; of a sweep, all its points in one.
    pub pipeline: Pipeline,
    /// The sweep, where it is one.
    pub sweep: Option<Swept>,
    /// The texts that its spans point into.
    pub sources: Sources,
    /// Its file, as given.
    pub file: String,
    /// The project's folder.
    pub folder: PathBuf,
    /// Its store.
    pub store: Store,
    #[expect(
        dead_code,
        reason = "when it is dropped it tells what is wrong with the remotes that the store reads through"
    )]
    told: Told,
}

/// Tells what is wrong with remotes, once, however a command ends: what was asked for went on without them.
#[derive(Debug, Default)]
struct Told(Arc<Remotes>);

impl Drop for Told {
    fn drop(&mut self) {
        warn_of(&self.0.troubles());
    }
}

/// A sweep and where its points' stages are in its pipeline.
#[derive(Debug)]
pub struct Swept {
    /// The sweep.
    pub sweep: Sweep,
    /// For each point, the names in the pipeline of its stages.
    pub places: Vec<BTreeMap<String, String>>,
    /// The stages that all points have together, counted in each.
    pub before: usize,
    /// The stages that several points have.
    pub shared: usize,
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

/// Reads and checks the pipeline and opens its store and the remotes that it reads through; warnings and errors are printed.
///
/// # Errors
/// A [`Failure`] where the file can't be run, the store can't be opened, or a remote is none.
pub fn load(world: &Host, arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    let loaded = load_alone(world, arguments)?;
    let remotes = remotes::open(world, &loaded.folder)?;
    let store = loaded.store.with_remotes(remotes);
    Ok(Loaded { told: Told(Arc::clone(&store.remotes)), store, ..loaded })
}

/// As [`load`], without remotes.
///
/// # Errors
/// A [`Failure`] where the file can't be run or the store can't be opened.
pub fn load_alone(world: &Host, arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    let (pipeline, sweep, sources) = chosen(arguments)?;
    let folder = world.project(&arguments.file);
    let store = Store::open(&world.store(&folder))?;
    let file = arguments.file.display().to_string();
    Ok(Loaded { pipeline, sweep, sources, file, folder, store, told: Told::default() })
}

/// Reads and checks the pipeline alone, or the sweep with all its points; warnings and errors are printed.
///
/// # Errors
/// A [`Failure`] where the file can't be run.
pub fn chosen(arguments: &PipelineArguments) -> Result<(Pipeline, Option<Swept>, Sources), Failure> {
    let (mut contents, mut diags, mut sources) = read(arguments, Points::OneByOne)?;
    // Points are many: they are made for the sweep that is asked for alone.
    let alone = contents.pipelines.is_empty() && contents.sweeps.len() == 1 && arguments.pipeline.is_none();
    let swept = arguments.sweep.is_some() || alone;
    if swept {
        let points = arguments.sweep.as_deref().map_or(Points::All, Points::Of);
        (contents, diags, sources) = read(arguments, points)?;
    }
    say(&diags, &sources);
    if wrong(&diags) {
        return Err(Failure::said(Exit::User));
    }
    if !swept {
        return Ok((choose(contents, &arguments.file, arguments.pipeline.as_deref())?, None, sources));
    }
    let sweep = choose_sweep(contents, &arguments.file, arguments.sweep.as_deref())?;
    let Merged { pipeline, places, before, shared } = plan::merge(&sweep, crate::stages::registry());
    Ok((pipeline, Some(Swept { sweep, places, before, shared }), sources))
}

/// Reads a file and checks all that it holds; what is wrong is not printed.
///
/// # Errors
/// A [`Failure`] where the file can't be read.
pub(super) fn read(arguments: &PipelineArguments, points: Points) -> Result<(Contents, Vec<Diag>, Sources), Failure> {
    let mut sources = Sources::default();
    let PipelineArguments { file, set, .. } = arguments;
    let (contents, mut diags) = lang::load(file, set, points, &mut sources).map_err(|error| unread(file, &error))?;
    plan::settle(&contents, crate::stages::registry(), &mut diags);
    Ok((contents, diags, sources))
}

fn choose(contents: Contents, file: &Path, name: Option<&str>) -> Result<Pipeline, Failure> {
    let Contents { mut pipelines, sweeps } = contents;
    let file = file.display();
    let names = near::names(pipelines.iter().map(|pipeline| pipeline.name.as_str()));
    let Some(name) = name else {
        return match pipelines.len() {
            0 if sweeps.is_empty() => Err(Failure::user(format!("`{file}` holds no pipeline"))),
            0 => Err(Failure::user(format!("`{file}` holds several sweeps: {}", names_of(&sweeps)))
                .hint("say which with `--sweep NAME`")),
            1 => Ok(pipelines.remove(0)),
            _ => Err(Failure::user(format!("`{file}` holds several pipelines: {names}"))
                .hint("say which with `--pipeline NAME`")),
        };
    };
    pipelines.into_iter().find(|pipeline| pipeline.name == name).ok_or_else(|| {
        let found = Failure::user(format!("`{file}` holds no pipeline `{name}`"));
        if sweeps.iter().any(|sweep| sweep.name == name) {
            return found.hint(format!("it is a sweep: `--sweep {name}`"));
        }
        found.hint(if names.is_empty() { "it holds sweeps alone".to_owned() } else { format!("there is {names}") })
    })
}

fn choose_sweep(contents: Contents, file: &Path, name: Option<&str>) -> Result<Sweep, Failure> {
    let names = names_of(&contents.sweeps);
    let wanted = |sweep: &Sweep| name.is_none_or(|name| name == sweep.name);
    contents.sweeps.into_iter().find(wanted).ok_or_else(|| {
        let found = Failure::user(format!("`{}` holds no sweep `{}`", file.display(), name.unwrap_or_default()));
        let none = "write `sweep NAME { over stage.param 1 2 4 }` beside its pipeline";
        found.hint(if names.is_empty() { none.to_owned() } else { format!("there is {names}") })
    })
}

fn names_of(sweeps: &[Sweep]) -> String {
    near::names(sweeps.iter().map(|sweep| sweep.name.as_str()))
}
