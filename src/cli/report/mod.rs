//! `macula report`: one HTML file about a pipeline, a run or a sweep, with the facts of the run around the content of its report.

mod facts;
mod params;
mod planned;
mod recorded;
mod selection;
mod sweep;

use std::path::{Path, PathBuf};

use clap::Args;

use super::run_id::recorded_or_file;
use super::{Exit, Failure, PipelineArguments, file, load, open_store, page_file};
use crate::base::figure::counted;
use crate::lang::spec::Output;
use crate::plan::drawings::{Drawing, DrawnReference, DrawnStage, StageStatus};
use crate::report::gather::gather;
use crate::report::names::NameReplacements;
use crate::report::page::{PageOptions, page_around};
use crate::report::run::{ParamFacts, RunFacts};
use crate::run::{Host, results};
use crate::stage::Summary;
use crate::store::{Objects, Tree};

/// The arguments of `macula report`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A pipeline file, or the id of a run from `macula runs` (or the beginning of one)
    what: String,
    /// Name of the pipeline, if the file has several
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Report on a sweep of the file: mean and spread of its points, differences, learning curves
    #[arg(long, value_name = "NAME", conflicts_with_all = ["pipeline", "names"])]
    sweep: Option<String>,
    /// Set a parameter as in the run: `--set data=FOLDER`
    #[arg(long, value_name = "STAGE.PARAM=VALUE")]
    set: Vec<String>,
    /// File to write [default: results/PIPELINE/report.html; of a run, report-ID.html]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show the names of photographs and patients instead of running numbers
    #[arg(long)]
    names: bool,
    /// Example patches without errors per class; 0 shows no patches
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(0..=16))]
    examples: u8,
}

/// A stage on the page, from a plan or from the record of a run.
pub(super) struct ReportedStage {
    pub(super) name: String,
    pub(super) base_name: String,
    pub(super) kind: String,
    /// Its output ports, with those trees that are in the store.
    pub(super) outputs: Vec<(Output, Option<Tree>)>,
    /// Input port, stage and output port that it is connected to, in order.
    pub(super) inputs: Vec<(String, String, String)>,
    pub(super) summary: Option<Summary>,
    pub(super) state: String,
    pub(super) mark: Option<StageStatus>,
    /// Time to compute its result, seconds.
    pub(super) seconds: Option<f64>,
    /// The run that computed it.
    pub(super) run: String,
    pub(super) version: String,
    /// Digests of its outputs, by port.
    pub(super) digests: Vec<(String, String)>,
    /// Parameters that differ from their defaults.
    pub(super) params: Vec<ParamFacts>,
}

impl ReportedStage {
    /// Tree of an output port.
    fn tree(&self, port: &str) -> Option<&Tree> {
        self.outputs.iter().find(|(output, _)| output.port == port)?.1.as_ref()
    }
}

/// Writes the page.
///
/// # Errors
/// A [`Failure`] if the pipeline or run is unknown or has no result, or the file cannot be written.
pub fn report(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(path) = file::meant(host, &arguments.what) else { return of_run(host, arguments) };
    let pipeline = PipelineArguments {
        file: path,
        pipeline: arguments.pipeline.clone(),
        sweep: arguments.sweep.clone(),
        set: arguments.set.clone(),
    };
    let loaded = load::load_points(host, &pipeline)?;
    let default = results::folder(&loaded.folder, loaded_name(&loaded)).join("report.html");
    let html = if loaded.sweep.is_some() {
        sweep::html(host, &loaded, arguments)?
    } else {
        let (stages, facts) = planned::read(host, &loaded, arguments)?;
        page(&stages, facts, &loaded.store.objects, arguments)?
    };
    write(host, arguments, &default, &html)
}

fn loaded_name(loaded: &super::Loaded) -> &str {
    loaded.sweep.as_ref().map_or(&loaded.pipeline.name, |swept| &swept.sweep.name)
}

fn of_run(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let folder = host.project_here();
    let store = open_store::open(host, &folder)?;
    let record = recorded_or_file(&store, &arguments.what)?;
    if record.stages.keys().any(|stage| stage.contains('@')) {
        return Err(Failure::user(format!("run `{}` belongs to a sweep", record.id))
            .hint(format!("report on its points: `macula report {} --sweep {}`", record.file, record.pipeline)));
    }
    let (stages, facts, id) = recorded::read(&store, &record)?;
    let html = page(&stages, facts, &store.objects, arguments)?;
    let default = results::folder(&folder, &record.pipeline).join(format!("report-{id}.html"));
    write(host, arguments, &default, &html)
}

/// The page of a pipeline or run.
fn page(
    stages: &[ReportedStage],
    facts: RunFacts,
    objects: &Objects,
    arguments: &Arguments,
) -> Result<String, Failure> {
    let chosen = selection::choose(stages, objects)?;
    let (items, names) = gather(&chosen.given, &chosen.pictured, objects)?;
    let names = if arguments.names { NameReplacements::shown() } else { names };
    let items: Vec<_> = items.into_iter().map(|item| item.redacted(&names)).collect();
    let facts = facts::redacted(facts, &names);
    let options = PageOptions {
        title: chosen.title.unwrap_or_else(|| facts.pipeline.clone()),
        examples: usize::from(arguments.examples),
        curves: chosen.curves,
        facts: Some(facts),
    };
    Ok(page_around(options, &items, &names))
}

fn write(host: &Host, arguments: &Arguments, default: &Path, html: &str) -> Result<Exit, Failure> {
    let path = arguments.output.as_ref().map_or_else(|| default.to_owned(), |path| host.folder.join(path));
    page_file::write(host, &path, arguments.output.is_none(), html)?;
    Ok(Exit::Done)
}

/// Drawing of stages with their states.
fn drawing<'s>(name: &str, stages: impl IntoIterator<Item = &'s ReportedStage>) -> Drawing {
    let stages: Vec<&ReportedStage> = stages.into_iter().collect();
    let place = |name: &str| stages.iter().position(|stage| stage.name == name);
    let mut edges = Vec::new();
    for (to, stage) in stages.iter().enumerate() {
        for (input, from, output) in &stage.inputs {
            let Some(from) = place(from) else { continue };
            let ty = stages[from].outputs.iter().find(|(own, _)| own.port == *output);
            edges.push(DrawnReference {
                from,
                output: output.clone(),
                ty: ty.map(|(own, _)| own.ty.clone()).unwrap_or_default(),
                to,
                input: input.clone(),
            });
        }
    }
    let node = |stage: &&ReportedStage| DrawnStage {
        name: stage.name.clone(),
        kind: stage.kind.clone(),
        outputs: stage.outputs.iter().map(|(output, _)| output.clone()).collect(),
        mark: stage.mark,
    };
    Drawing { name: name.to_owned(), nodes: stages.iter().map(node).collect(), edges }
}

/// Stages in an order in which each follows those that it needs, otherwise as given.
fn needs_first(mut stages: Vec<ReportedStage>) -> Vec<ReportedStage> {
    let mut done: Vec<ReportedStage> = Vec::with_capacity(stages.len());
    while !stages.is_empty() {
        let is_ready = |stage: &ReportedStage| {
            stage.inputs.iter().all(|(_, from, _)| !stages.iter().any(|other| other.name == *from))
        };
        let at = stages.iter().position(is_ready).unwrap_or(0);
        done.push(stages.remove(at));
    }
    done
}

/// `3 of 12 stages have no result`, for the notes of a page.
fn missing(stages: &[ReportedStage]) -> Option<String> {
    // The page itself is that of a report.
    let shown = || stages.iter().filter(|stage| stage.kind != "report");
    let open = shown().filter(|stage| stage.outputs.iter().all(|(_, tree)| tree.is_none())).count();
    (open > 0).then(|| {
        let all = counted(shown().count() as u64, "stage", "stages");
        format!(
            "{open} of {all} {} no result in the store; the page shows the others",
            if open == 1 { "has" } else { "have" }
        )
    })
}
