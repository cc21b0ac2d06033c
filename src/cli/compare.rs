//! `macula compare`: compares points of a sweep, or runs.

mod page;
mod paired;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::load::Swept;
pub(super) use super::run_id::recorded;
use super::run_id::{RunIds, recorded_or_file};
use super::{Exit, Failure, Loaded, PipelineArguments, file, load, main_metric, open_store, page_file};
use crate::base::shown;
use crate::lang::spec::{Pipeline, Points, Rank, StageSpec, Sweep};
use crate::lang::{ranking, signatures};
use crate::learn::metrics::paired::DRAWS;
use crate::plan::{Decision, StageId};
use crate::progress::out;
use crate::progress::table::{Grid, counted, paragraph};
use crate::report::comparison::{Comparison, DEVIATION, Experiment, ExperimentState, Repeats};
use crate::report::paired::PairedComparison;
use crate::run::{self, Host, Options};
use crate::store::{Kind, Manifest, RunOutcome, RunRecord, StageOutcome};

/// The arguments of `macula compare`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Pipeline files, or ids of runs from `macula runs` (or the beginning of one); with `--paired` also evaluations of a
    /// file (`FILE scores other`) or points of its sweep (`lr=1e-4`)
    #[arg(required = true)]
    what: Vec<String>,
    /// Name of the pipeline, if a file has several
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Compare the points of a sweep of the file
    #[arg(long, value_name = "NAME", conflicts_with = "pipeline")]
    sweep: Option<String>,
    /// Set a parameter as in the run, for a file or its sweep: `--set data=FOLDER`
    #[arg(long, value_name = "STAGE.PARAM=VALUE")]
    set: Vec<String>,
    /// Rank by this metric, such as `scores.mean-average-precision` [default: the sweep's `rank by=`]
    #[arg(long, value_name = "STAGE.METRIC")]
    by: Option<String>,
    /// Number of last complete runs of each pipeline [default: 10; with several pipelines the last run of each]
    #[arg(long, short = 'n', value_name = "N")]
    number: Option<usize>,
    /// Show each repeat instead of mean and standard deviation
    #[arg(long)]
    each: bool,
    /// Show all lines instead of the first twenty
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    pairs: PairedArguments,
    /// Print all metrics as CSV or JSON
    #[arg(long, value_name = "FORMAT")]
    format: Option<ComparisonFormat>,
    /// Write the comparison to an HTML file: mean and spread, differences with intervals, all metrics
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "json"])]
    html: Option<PathBuf>,
    /// Same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How evaluations are compared pairwise.
#[derive(Clone, Debug, Args)]
struct PairedArguments {
    /// Compare evaluations of the same patches: differences with confidence intervals
    #[arg(long, conflicts_with = "number")]
    paired: bool,
    /// With `--paired`: number of bootstrap draws, and of permutations
    #[arg(long, value_name = "N", default_value_t = DRAWS, value_parser = clap::value_parser!(u64).range(200..=100_000), requires = "paired")]
    draws: u64,
}

/// Output format of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ComparisonFormat {
    /// Aligned table.
    Table,
    /// One line per group.
    Csv,
    /// Everything.
    Json,
}

impl Arguments {
    fn format(&self) -> ComparisonFormat {
        if self.json { ComparisonFormat::Json } else { self.format.unwrap_or(ComparisonFormat::Table) }
    }
}

/// Maximum number of lines without `--all`.
const LINES: usize = 20;

/// What is put side by side.
#[derive(Default)]
struct ComparedRows {
    rows: Vec<Experiment>,
    /// What comes first among what differs.
    columns: Vec<String>,
    /// What columns are called.
    names: BTreeMap<String, String>,
    by: Option<Rank>,
    title: String,
    /// Names of rows as they are shown: with short ids of runs.
    short: BTreeMap<String, String>,
    /// The sweep whose points all rows are, in order.
    swept: Option<Loaded>,
}

/// Compares runs and points.
///
/// # Errors
/// A [`Failure`] if the run, file or metric is unknown.
pub fn compare(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.pairs.paired {
        return paired::compare(host, arguments);
    }
    let mut all = ComparedRows::default();
    let alone = arguments.what.len() == 1;
    for what in &arguments.what {
        if let Some(path) = file::meant(host, what) {
            pipeline(host, arguments, path, alone, &mut all)?;
        } else {
            let store = open_store::open(host, &host.project_here())?;
            let run = recorded_or_file(&store, what).map_err(|failure| unpaired(host, arguments, what, failure))?;
            let row = of_run(&run)?;
            all.short.insert(row.name.clone(), RunIds::of(&store).short(&row.name).to_owned());
            all.rows.push(row);
        }
    }
    if all.rows.is_empty() {
        return Err(Failure::user("nothing to compare yet").hint("run `macula run` first"));
    }
    if let Some(by) = &arguments.by {
        all.by = Some(main_metric::named(all.rows.iter().map(|row| &row.figures), by)?);
    }
    let by = all.by.take().or_else(|| main_metric::usual(&all.rows.iter().map(|row| &row.figures)));
    let repeats = if arguments.each { Repeats::Apart } else { Repeats::Together };
    if let Some(path) = &arguments.html {
        let html = page::of_rows(host, arguments, all, by, repeats)?;
        page_file::write(host, &host.folder.join(path), false, &html)?;
        return Ok(Exit::Done);
    }
    if arguments.format() == ComparisonFormat::Table {
        for row in &mut all.rows {
            row.name = all.short.remove(&row.name).unwrap_or_else(|| std::mem::take(&mut row.name));
        }
    }
    let lines = if arguments.all || arguments.format() != ComparisonFormat::Table { usize::MAX } else { LINES };
    let mut comparison = Comparison::new(all.rows, &all.columns, by, repeats);
    if let Some(loaded) = &all.swept {
        comparison = paired::ranked(host, loaded, comparison, lines)?;
    }
    match arguments.format() {
        ComparisonFormat::Csv => {
            for note in comparison.notes() {
                out::note(&format!("note: {}\n", shown::line(&note)));
            }
            out::data(&comparison.csv());
        }
        ComparisonFormat::Json => out::say(&format!("{:#}\n", comparison.json())),
        ComparisonFormat::Table => {
            out::say(&shown(&comparison, &all.title, &all.names, lines));
        }
    }
    Ok(Exit::Done)
}

/// Failure of a word that does not name a run: with a file next to it, an evaluation or a point may have been meant, which
/// `--paired` compares.
fn unpaired(host: &Host, arguments: &Arguments, word: &str, failure: Failure) -> Failure {
    let Some(file) = arguments.what.iter().find_map(|other| file::meant(host, other)) else { return failure };
    let (pipeline, sweep, set) = (arguments.pipeline.clone(), arguments.sweep.clone(), arguments.set.clone());
    let pipeline = PipelineArguments { file, pipeline, sweep, set };
    let Ok((contents, ..)) = load::read(&pipeline, Points::OneByOne) else { return failure };
    let of_sweeps = contents.sweeps.iter().map(|sweep| &sweep.base);
    let mut pipelines = contents.pipelines.iter().chain(of_sweeps);
    let is_stage = |pipeline: &Pipeline| {
        pipeline.outlet(word).is_some() || pipeline.stages.iter().any(|stage| stage.base_name == word)
    };
    let what = if pipelines.any(is_stage) {
        "a stage"
    } else if word.contains('=') && !contents.sweeps.is_empty() {
        "a point"
    } else {
        return failure;
    };
    Failure::user(format!("`{word}` is {what} of `{}`, not a run", pipeline.file.display())).hint(format!(
        "`--paired` compares evaluations of the same patches: `macula compare {} --paired`",
        arguments.what.join(" ")
    ))
}

/// Prints the best points at the end of a sweep's run.
///
/// # Errors
/// A [`Failure`] if the points cannot be compared.
pub(super) fn after_run(host: &Host, loaded: &Loaded) -> Result<(), Failure> {
    const BEST: usize = 10;
    let Some(swept) = &loaded.sweep else { return Ok(()) };
    let mut all = ComparedRows::default();
    points(host, loaded, swept, true, &mut all)?;
    if all.rows.iter().all(|row| row.figures.is_empty() && !matches!(row.state, ExperimentState::Failed(_))) {
        return Ok(()); // stages that give figures are not there, or were not wanted
    }
    let by = all.by.take().or_else(|| main_metric::usual(&all.rows.iter().map(|row| &row.figures)));
    let comparison = Comparison::new(all.rows, &all.columns, by, Repeats::Together);
    let comparison = paired::ranked(host, loaded, comparison, BEST)?;
    let text = shown(&comparison, &all.title, &all.names, BEST);
    out::say(&format!("\n{text}"));
    Ok(())
}

/// A sweep's points compared, for a page.
pub(super) struct SweptComparison {
    /// Mean and spread of each group.
    pub(super) comparison: Comparison,
    /// Short description of the sweep.
    pub(super) title: String,
    /// Display names of settings.
    pub(super) names: BTreeMap<String, String>,
    /// Differences, if all points were evaluated on the same patches.
    pub(super) paired: Option<PairedComparison>,
    /// Why there are none.
    pub(super) unpaired: Option<String>,
}

/// Compares the points of a sweep, as far as they have results.
///
/// # Errors
/// A [`Failure`] if none has a result, or the points cannot be compared.
pub(super) fn of_sweep(host: &Host, loaded: &Loaded, swept: &Swept) -> Result<SweptComparison, Failure> {
    let mut all = ComparedRows::default();
    points(host, loaded, swept, true, &mut all)?;
    if all.rows.iter().all(|row| row.figures.is_empty()) {
        return Err(Failure::user(format!("no point of `{}` has a result yet", swept.sweep.name))
            .hint(format!("run `macula run {} --sweep {}`", loaded.file, swept.sweep.name)));
    }
    let by = all.by.take().or_else(|| main_metric::usual(&all.rows.iter().map(|row| &row.figures)));
    page::of_points(host, loaded, all, by, Repeats::Together)
}

fn shown(comparison: &Comparison, title: &str, names: &BTreeMap<String, String>, lines: usize) -> String {
    let width = out::stdout_width();
    let name = |column: &str| names.get(column).cloned().unwrap_or_else(|| column.to_owned());
    let mut text = title.to_owned();
    if let Some(by) = &comparison.by {
        let better = match by.better {
            crate::lang::signature::Better::Higher => "higher",
            crate::lang::signature::Better::Lower => "lower",
        };
        let joint = if text.is_empty() { "" } else { ", " };
        _ = write!(text, "{joint}ranked by {}.{} ({better} is better)", by.stage, by.metric);
    }
    let mut text = paragraph(&text, width, 2);
    let (table, importance) = comparison.table(lines, &name);
    let (fitting, mut left_out) = Grid::from(&table).priorities(&importance).fit(width);
    text.push_str(&fitting);
    let more = comparison.groups.len().saturating_sub(lines);
    if more > 0 {
        _ = writeln!(text, "and {more} more: `macula compare --all`, or `--format csv`");
    }
    left_out.retain(|head| head != DEVIATION);
    let hidden = (!left_out.is_empty())
        .then(|| format!("too wide to show: {}; `--format csv` has all columns", left_out.join(", ")));
    for note in comparison.notes().into_iter().chain(hidden) {
        text.push_str(&paragraph(&format!("note: {note}"), width, 2));
    }
    text
}

fn pipeline(
    host: &Host,
    arguments: &Arguments,
    file: PathBuf,
    alone: bool,
    all: &mut ComparedRows,
) -> Result<(), Failure> {
    let name = file.display().to_string();
    let pipeline = PipelineArguments {
        file,
        pipeline: arguments.pipeline.clone(),
        sweep: arguments.sweep.clone(),
        set: arguments.set.clone(),
    };
    let loaded = load::load_points(host, &pipeline)?;
    if let Some(swept) = &loaded.sweep {
        points(host, &loaded, swept, alone, all)?;
        all.swept = alone.then_some(loaded);
        return Ok(());
    }
    let recorded: Vec<RunRecord> =
        loaded.store.runs.newest_first(Some(&loaded.pipeline.name)).take(LOOKED_AT).collect();
    if recorded.is_empty() {
        return Err(Failure::user(format!("`{}` has not been run yet", loaded.pipeline.name))
            .hint(format!("run `macula run {name}`")));
    }
    let Whole { runs, again, partial } = whole(&recorded, arguments.number.unwrap_or(if alone { 10 } else { 1 }));
    if alone {
        all.title = format!("{}: {}", loaded.pipeline.name, counted(runs.len() as u64, "run", "runs"));
        let left_out = [(again, "that computed nothing new"), (partial, "that did not complete")];
        let left_out = left_out.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = left_out.map(|(count, why)| format!("{count} {why}")).collect();
        if !words.is_empty() {
            _ = write!(all.title, " (left out: {})", words.join(", "));
        }
    }
    let on_test = on_test(&loaded.pipeline);
    let ids = RunIds::of(&loaded.store);
    for run in runs.iter().rev() {
        let mut row = Experiment { on_test: on_test.clone(), ..of_run(run)? };
        let mut short = ids.short(&run.id).to_owned();
        if !alone {
            row.name = format!("{} {}", loaded.pipeline.name, row.name);
            short = format!("{} {short}", loaded.pipeline.name);
        }
        all.short.insert(row.name.clone(), short);
        all.rows.push(row);
    }
    Ok(())
}

/// Stages of a pipeline with metrics of test patches.
fn on_test(pipeline: &Pipeline) -> BTreeSet<String> {
    let seen = |stage: &&StageSpec| ranking::sees_test(pipeline, &stage.base_name);
    ranking::stages(pipeline).filter(seen).map(|stage| stage.base_name.clone()).collect()
}

/// Number of a pipeline's last runs examined.
const LOOKED_AT: usize = 200;

/// Runs that can be compared.
struct Whole<'a> {
    /// Newest first.
    runs: Vec<&'a RunRecord>,
    /// Number of fully cached runs left out.
    again: usize,
    /// Number of failed, stopped and partial runs left out.
    partial: usize,
}

/// The last complete runs, or else the last ones. A fully cached run is not a repeat of the run that computed its results.
fn whole(recorded: &[RunRecord], number: usize) -> Whole<'_> {
    let stages = |run: &RunRecord| run.stages.keys().cloned().collect::<BTreeSet<String>>();
    let done: Vec<(&RunRecord, BTreeSet<String>)> =
        recorded.iter().filter(|run| run.ended == RunOutcome::Done).map(|run| (run, stages(run))).collect();
    let is_part = |own: &BTreeSet<String>| done.iter().any(|(_, other)| own != other && own.is_subset(other));
    let mut found = Whole { runs: Vec::new(), again: 0, partial: recorded.len() - done.len() };
    let mut met = BTreeSet::new();
    for (run, own) in &done {
        let keys: Vec<_> = run.stages.iter().map(|(name, stage)| (name, stage.key, &stage.outputs)).collect();
        if is_part(own) {
            found.partial += 1;
        } else if !met.insert(keys) {
            found.again += 1;
        } else if found.runs.len() < number {
            found.runs.push(run);
        }
    }
    if found.runs.is_empty() {
        let runs: Vec<&RunRecord> = recorded.iter().take(number).collect();
        return Whole { partial: recorded.len() - runs.len(), runs, again: 0 };
    }
    found
}

/// The current points of a sweep: looks up results, computes nothing.
fn points(host: &Host, loaded: &Loaded, swept: &Swept, alone: bool, all: &mut ComparedRows) -> Result<(), Failure> {
    let Swept { sweep, places, .. } = swept;
    let failed: Vec<String> = loaded
        .store
        .runs
        .newest_first(Some(&sweep.name))
        .next()
        .into_iter()
        .flat_map(|run| run.stages)
        .filter(|(_, stage)| stage.became == StageOutcome::Failed)
        .map(|(name, _)| name)
        .collect();
    let options = Options::usual(host.processors);
    let facts = run::plan(host, &loaded.project(), &options, |engine, explained| {
        let fact = |(id, decision, _): &(StageId, &Decision, _)| {
            let known = match decision {
                Decision::Source(known) | Decision::Reuse(known, _) => Some(known),
                _ => None,
            };
            let stage = engine.stage(*id);
            let facts =
                known.map(|known| (known.summary.metrics.clone(), measured_on(&stage.stage_type, &known.manifest)));
            (stage.name.clone(), facts)
        };
        explained.iter().map(fact).collect::<BTreeMap<_, _>>()
    })?;
    for (number, (point, names)) in sweep.points.iter().zip(places).enumerate() {
        let on_test = on_test(&point.pipeline);
        let mut row = Experiment { name: format!("point {}", number + 1), on_test, ..Experiment::default() };
        let mut whole = true;
        for (own, name) in names {
            match facts.get(name).and_then(Option::as_ref) {
                Some((figures, _)) if figures.is_empty() => {}
                Some((figures, measured_on)) => {
                    row.figures.insert(own.clone(), figures.clone());
                    row.measured_on.insert(own.clone(), measured_on.clone());
                }
                None => whole = false,
            }
        }
        let broken = names.iter().find(|(_, name)| failed.contains(name)).map(|(own, _)| own.clone());
        row.state = match broken {
            _ if whole => ExperimentState::Done,
            Some(stage) => ExperimentState::Failed(stage),
            None => ExperimentState::Open,
        };
        if alone {
            for (axis, at) in sweep.axes.iter().zip(&point.at) {
                if axis.repeats {
                    axis.values[*at].clone_into(&mut row.seed);
                } else {
                    row.settings.insert(axis.path.clone(), axis.values[*at].clone());
                }
            }
        } else {
            row.name = format!("{} {}", sweep.name, row.name);
            for stage in &point.pipeline.stages {
                let settings = stage
                    .params
                    .iter()
                    .map(|(name, param)| (format!("{}.{name}", stage.base_name), param.value.to_string()));
                row.settings.extend(settings);
            }
        }
        if row.seed.is_empty() {
            row.seed = point.pipeline.seed.to_string();
        }
        all.rows.push(row);
    }
    if alone {
        let varied = || sweep.axes.iter().filter(|axis| !axis.repeats);
        all.columns = varied().map(|axis| axis.path.clone()).collect();
        all.names = varied().map(|axis| (axis.path.clone(), axis.name.clone())).collect();
        all.title = headline(sweep);
    }
    all.by = all.by.take().or_else(|| sweep.rank.clone());
    Ok(())
}

/// Short description of a sweep: name, number of points, pipeline.
pub(super) fn headline(sweep: &Sweep) -> String {
    format!("{}: {} of `{}`", sweep.name, counted(sweep.points.len() as u64, "point", "points"), sweep.base.name)
}

/// A run, from its record.
fn of_run(run: &RunRecord) -> Result<Experiment, Failure> {
    if run.stages.keys().any(|stage| stage.contains('@')) {
        return Err(Failure::user(format!("run `{}` belongs to a sweep", run.id))
            .hint(format!("compare its points: `macula compare {} --sweep {}`", run.file, run.pipeline)));
    }
    let mut row = Experiment { name: run.id.clone(), ..Experiment::default() };
    let mut seeds: Vec<&str> = Vec::new();
    for (stage, facts) in &run.stages {
        for field in facts.manifest.iter().flat_map(|manifest| &manifest.fields) {
            let name = match field.kind {
                Kind::Parameter => format!("{stage}.{}", field.path),
                Kind::Implementation if field.path == "version" => format!("{stage} version"),
                Kind::Files => format!("{stage} data"),
                Kind::Seed if !seeds.contains(&field.shown.as_str()) => {
                    seeds.push(&field.shown);
                    continue;
                }
                _ => continue,
            };
            row.settings.insert(name, field.shown.clone());
        }
        if !facts.metrics.is_empty() {
            row.figures.insert(stage.clone(), facts.metrics.clone());
            let manifest = facts.manifest.as_ref();
            row.measured_on.extend(manifest.map(|manifest| (stage.clone(), measured_on(&facts.kind, manifest))));
        }
    }
    row.settings.insert("macula".to_owned(), run.macula.clone());
    if let Some(kernels) = run.machine.get("kernels") {
        row.settings.insert("kernels".to_owned(), kernels.clone());
    }
    row.seed = seeds.join(" ");
    let failed =
        run.stages.iter().find(|(_, stage)| stage.became == StageOutcome::Failed).map(|(name, _)| name.clone());
    row.state = match (run.ended, failed) {
        (RunOutcome::Done, _) => ExperimentState::Done,
        (_, Some(stage)) => ExperimentState::Failed(stage),
        _ => ExperimentState::Open,
    };
    Ok(row)
}

/// Patches and labels behind a stage's metrics: inputs of ports that only accept patches (a training's `valid`, an evaluation's
/// `data`).
fn measured_on(kind: &str, manifest: &Manifest) -> String {
    let signature = signatures().iter().find(|signature| signature.name == kind);
    let ports =
        || signature.into_iter().flat_map(|signature| &signature.inputs).filter(|port| port.types == ["patches"]);
    let given = manifest.of(Kind::Input).filter(|field| ports().any(|port| port.name == field.path));
    given.map(|field| field.content.short()).collect::<Vec<_>>().join(" ")
}
