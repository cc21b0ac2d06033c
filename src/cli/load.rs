//! From the command line to a checked pipeline and its project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::failure::warn_of;
use super::failure::{say, wrong};
use super::file::{self, unread};
use super::{Exit, Failure, open_store, paths};
use crate::base::Sources;
use crate::diag::{Diag, Severity};
use crate::lang;
use crate::lang::near;
use crate::lang::spec::{Contents, Pipeline, Points, Sweep};
use crate::plan::{self, Merged};
use crate::run::{Host, Project, remotes};
use crate::store::{Remotes, Store};

/// The pipeline, and settings from the command line.
#[derive(Clone, Debug, Args)]
pub struct PipelineArguments {
    /// The KDL file; `base` means `base.kdl` if only that exists
    #[arg(value_parser = file::parser())]
    pub file: PathBuf,
    /// Name of the pipeline, if the file has several
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Use a sweep of the file, with all its points
    #[arg(long, value_name = "NAME", conflicts_with = "pipeline")]
    pub sweep: Option<String>,
    /// Set a parameter, checked like the file: `--set patches.size=64`
    #[arg(long, value_name = "STAGE.PARAM=VALUE")]
    pub set: Vec<String>,
}

/// A checked pipeline, its source texts, and its project folder.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline; for a sweep, all points merged.
    pub pipeline: Pipeline,
    /// The sweep, if there is one.
    pub sweep: Option<Swept>,
    /// The texts that its spans point into.
    pub sources: Sources,
    /// Its file, as given.
    pub file: String,
    /// The project's folder.
    pub folder: PathBuf,
    /// Its store.
    pub store: Store,
    #[expect(dead_code, reason = "reports problems of remotes when it is dropped")]
    told: RemoteWarnings,
}

/// Reports problems of remotes once, however a command ends; the command continued without them.
#[derive(Debug, Default)]
struct RemoteWarnings(Arc<Remotes>);

impl Drop for RemoteWarnings {
    fn drop(&mut self) {
        warn_of(&self.0.troubles());
    }
}

/// A sweep, and the locations of its points' stages in the merged pipeline.
#[derive(Debug)]
pub struct Swept {
    /// The sweep.
    pub sweep: Sweep,
    /// For each point, the names of its stages in the merged pipeline.
    pub places: Vec<BTreeMap<String, String>>,
    /// Number of stages over all points before merging.
    pub before: usize,
    /// Number of merged stages that serve several points.
    pub shared: usize,
}

impl Loaded {
    /// The project for the runner, with the built-in stages.
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

/// Reads and checks the pipeline, and opens its store and remotes; prints warnings and errors.
///
/// # Errors
/// A [`Failure`] if the file cannot be run, the store cannot be opened, or a remote is invalid.
pub fn load(host: &Host, arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    with_remotes(host, load_local(host, arguments, LoadPurpose::Other)?)
}

/// As [`load`], for a command that runs or compares the points of a sweep: also prints warnings about the choice of the best one.
///
/// # Errors
/// As [`load`].
pub fn load_points(host: &Host, arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    with_remotes(host, load_local(host, arguments, LoadPurpose::Points)?)
}

fn with_remotes(host: &Host, loaded: Loaded) -> Result<Loaded, Failure> {
    let remotes = remotes::open(host, &loaded.folder)?;
    let store = loaded.store.with_remotes(remotes);
    Ok(Loaded { told: RemoteWarnings(Arc::clone(&store.remotes)), store, ..loaded })
}

/// Like [`load`], without remotes.
///
/// # Errors
/// A [`Failure`] if the file cannot be run or the store cannot be opened.
pub fn load_alone(host: &Host, arguments: &PipelineArguments) -> Result<Loaded, Failure> {
    load_local(host, arguments, LoadPurpose::Other)
}

/// What a file is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPurpose {
    /// To run or compare the points of a sweep.
    Points,
    /// For anything else.
    Other,
}

fn load_local(host: &Host, arguments: &PipelineArguments, purpose: LoadPurpose) -> Result<Loaded, Failure> {
    let (pipeline, sweep, sources) = chosen(arguments, purpose)?;
    let folder = host.project(&arguments.file);
    let root = host.store(&folder);
    paths::note_old_store(host, &arguments.file, &folder, &root);
    let store = open_store::open(host, &folder)?;
    let file = arguments.file.display().to_string();
    Ok(Loaded { pipeline, sweep, sources, file, folder, store, told: RemoteWarnings::default() })
}

/// Warning about a sweep that is ranked by a metric on the test set.
const CHOSEN_ON_TEST: &str = "chosen-on-test";

/// Warning about a GPU that this macula cannot use.
const NO_GPU: &str = "no-gpu";

/// Reads and checks only the pipeline, or the sweep with all its points; prints warnings and errors.
///
/// # Errors
/// A [`Failure`] if the file cannot be run.
pub fn chosen(
    arguments: &PipelineArguments,
    purpose: LoadPurpose,
) -> Result<(Pipeline, Option<Swept>, Sources), Failure> {
    let (mut contents, mut diags, mut sources) = read(arguments, Points::OneByOne)?;
    // There may be many points, so only those of the requested sweep are made.
    let alone = contents.pipelines.is_empty() && contents.sweeps.len() == 1 && arguments.pipeline.is_none();
    let swept = arguments.sweep.is_some() || alone;
    if swept {
        let points = arguments.sweep.as_deref().map_or(Points::All, Points::Of);
        (contents, diags, sources) = read(arguments, points)?;
    }
    // About a choice that is not made now.
    diags.retain(|diag| swept && purpose == LoadPurpose::Points || diag.code != CHOSEN_ON_TEST);
    // A stage that would run without one fails in the plan; the results of others are as good as any.
    diags.retain(|diag| diag.severity == Severity::Error || diag.code != NO_GPU);
    say(&diags, &sources);
    if wrong(&diags) {
        return Err(Failure::said(Exit::User));
    }
    if !swept {
        return Ok((choose(contents, &arguments.file, arguments.pipeline.as_deref())?, None, sources));
    }
    let sweep = choose_sweep(contents, &arguments.file, arguments.sweep.as_deref())?;
    let Merged { pipeline, stage_names: places, before, shared } = plan::merge(&sweep, crate::stages::registry());
    Ok((pipeline, Some(Swept { sweep, places, before, shared }), sources))
}

/// Reads and checks a file; prints nothing.
///
/// # Errors
/// A [`Failure`] if the file cannot be read.
pub(super) fn read(arguments: &PipelineArguments, points: Points) -> Result<(Contents, Vec<Diag>, Sources), Failure> {
    let mut sources = Sources::default();
    let PipelineArguments { file, set, .. } = arguments;
    let (contents, mut diags) = lang::load(file, set, points, &mut sources).map_err(|error| unread(file, &error))?;
    plan::validate_params(&contents, crate::stages::registry(), &mut diags);
    Ok((contents, diags, sources))
}

/// As [`read`], for the text of stdin; its imports are resolved relative to the working folder.
pub(super) fn read_text(text: &str, set: &[String], points: Points) -> (Contents, Vec<Diag>, Sources) {
    let (mut sources, name) = (Sources::default(), file::named(Path::new(file::STDIN)));
    let path = Some(PathBuf::from(&name));
    let (contents, mut diags) = lang::load_text(&name, path, text, set, points, &mut sources);
    plan::validate_params(&contents, crate::stages::registry(), &mut diags);
    (contents, diags, sources)
}

fn choose(contents: Contents, file: &Path, name: Option<&str>) -> Result<Pipeline, Failure> {
    let Contents { mut pipelines, sweeps } = contents;
    let file = file.display();
    let names = near::names(pipelines.iter().map(|pipeline| pipeline.name.as_str()));
    let Some(name) = name else {
        return match pipelines.len() {
            0 if sweeps.is_empty() => Err(Failure::user(format!("`{file}` has no pipeline"))),
            0 => Err(Failure::user(format!("`{file}` has several sweeps: {}", names_of(&sweeps)))
                .hint("choose one with `--sweep NAME`")),
            1 => Ok(pipelines.remove(0)),
            _ => Err(Failure::user(format!("`{file}` has several pipelines: {names}"))
                .hint("choose one with `--pipeline NAME`")),
        };
    };
    pipelines.into_iter().find(|pipeline| pipeline.name == name).ok_or_else(|| {
        let found = Failure::user(format!("`{file}` has no pipeline `{name}`"));
        if sweeps.iter().any(|sweep| sweep.name == name) {
            return found.hint(format!("it is a sweep: `--sweep {name}`"));
        }
        found.hint(if names.is_empty() { "it has only sweeps".to_owned() } else { format!("it has {names}") })
    })
}

fn choose_sweep(contents: Contents, file: &Path, name: Option<&str>) -> Result<Sweep, Failure> {
    let names = names_of(&contents.sweeps);
    let wanted = |sweep: &Sweep| name.is_none_or(|name| name == sweep.name);
    contents.sweeps.into_iter().find(wanted).ok_or_else(|| {
        let found = Failure::user(format!("`{}` has no sweep `{}`", file.display(), name.unwrap_or_default()));
        let none = "write `sweep NAME { over stage.param 1 2 4 }` next to its pipeline";
        found.hint(if names.is_empty() { none.to_owned() } else { format!("it has {names}") })
    })
}

fn names_of(sweeps: &[Sweep]) -> String {
    near::names(sweeps.iter().map(|sweep| sweep.name.as_str()))
}
