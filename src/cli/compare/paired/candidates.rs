//! The evaluations that a paired comparison is asked for: of runs, points of a sweep, or stages of a pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::super::{Arguments, of_run};
use crate::base::Digest;
use crate::cli::load::Swept;
use crate::cli::run_id::recorded_or_file;
use crate::cli::{Failure, Loaded, PipelineArguments, file, load, open_store};
use crate::data::table::Columns;
use crate::engine::kernels;
use crate::lang::spec::{Pipeline, StageSpec, Sweep};
use crate::lang::{near, signatures};
use crate::learn::evaluation::Scores;
use crate::plan::Decision;
use crate::progress::out;
use crate::progress::table::counted;
use crate::report::comparison::{Comparison, Repeats};
use crate::report::paired::EvaluationTable;
use crate::run::looks::{self, TestLooks};
use crate::run::{self, Host, Options};
use crate::store::{Accept, Objects, RunRecord, Store, StoreError, Tree};

/// What is compared, by name, with the evaluations of its repeats.
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) evaluations: Vec<EvaluationTable>,
    /// Metric of `rank by=` of its sweep.
    pub(super) rank: Option<String>,
    /// Digests of its evaluations' trees.
    pub(super) results: Vec<Digest>,
    /// Numbers of its points in the sweep; none if it is not of a sweep.
    pub(super) points: Vec<usize>,
    /// How often its test set has been evaluated so far, as far as recorded.
    pub(super) looks: u64,
}

/// How the points of a sweep are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointChoice<'a> {
    /// Whether repeats stand apart.
    pub(super) each: bool,
    /// `STAGE.METRIC`, whose stage chooses among several evaluations.
    pub(super) by: Option<&'a str>,
}

/// All that the arguments name, in their order.
///
/// # Errors
/// A [`Failure`] if a run, file, point or evaluation is unknown or has no result.
pub(super) fn find(host: &Host, arguments: &Arguments) -> Result<Vec<Contender>, Failure> {
    // `scores` is a stage even if there is a `scores.kdl`.
    let is_file = |loaded: &Loaded, word: &str| {
        file::is_named(host, word) || !knows(&loaded.pipeline, word) && file::meant(host, word).is_some()
    };
    let mut found = Vec::new();
    let mut runs = Vec::new();
    let mut words = arguments.what.iter().peekable();
    while let Some(word) = words.next() {
        let Some(path) = file::meant(host, word) else {
            runs.push(word.clone());
            continue;
        };
        let loaded = loaded(host, arguments, path)?;
        let mut chosen = Vec::new();
        while let Some(next) = words.peek().filter(|next| !is_file(&loaded, next) && belongs(&loaded, next)) {
            chosen.push((*next).clone());
            words.next();
        }
        let alone = arguments.what.len() == chosen.len() + 1;
        found.extend(match &loaded.sweep {
            Some(swept) => points(host, arguments, &loaded, swept, &chosen)?,
            None => stages(host, arguments, &loaded, &chosen, alone)?,
        });
    }
    if !runs.is_empty() {
        found.extend(of_runs(host, arguments, &runs)?);
    }
    Ok(found)
}

fn loaded(host: &Host, arguments: &Arguments, file: PathBuf) -> Result<Loaded, Failure> {
    let pipeline = PipelineArguments {
        file,
        pipeline: arguments.pipeline.clone(),
        sweep: arguments.sweep.clone(),
        set: arguments.set.clone(),
    };
    load::load_points(host, &pipeline)
}

/// Whether a word after a file names something in it: a point of its sweep, a stage, or anything that is not a run.
fn belongs(loaded: &Loaded, word: &str) -> bool {
    let known = knows(&loaded.pipeline, word);
    let is_run = || loaded.store.runs.ids().iter().any(|run| run.starts_with(word) || run.ends_with(word));
    loaded.sweep.is_some() || known || !is_run()
}

/// Whether a word names a stage or an output.
fn knows(pipeline: &Pipeline, word: &str) -> bool {
    pipeline.outlet(word).is_some() || pipeline.stages.iter().any(|stage| stage.base_name == word)
}

/// Names of the stages of a pipeline that evaluate.
fn evaluating(pipeline: &Pipeline) -> Vec<String> {
    let signature = |kind: &str| signatures().iter().find(|signature| signature.name == kind);
    let evaluates = |stage: &&StageSpec| {
        let is_diagnosis = signature(&stage.stage_type).is_some_and(|own| stage.diagnosis(own).is_some());
        stage.outputs.iter().any(|output| output.ty == "scores") && !is_diagnosis
    };
    pipeline.stages.iter().filter(evaluates).map(|stage| stage.base_name.clone()).collect()
}

/// The only evaluation among several, or the one whose metric `--by` or `rank by=` names.
fn one_of(names: &[String], by: Option<&str>, sweep: Option<&Sweep>, of: &str) -> Result<String, Failure> {
    let named =
        |by: &str| names.iter().find(|name| by.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')));
    let ranked =
        || sweep.and_then(|sweep| sweep.rank.as_ref()).and_then(|rank| names.iter().find(|name| **name == rank.stage));
    match (by.and_then(named).or_else(ranked), names) {
        (Some(name), _) | (None, [name]) => Ok(name.clone()),
        (None, []) => Err(Failure::user(format!("{of} has no evaluation")).hint("add a stage `eval` or `pool`")),
        (None, [first, ..]) => Err(Failure::user(format!("{of} has several evaluations: {}", quoted(names)))
            .hint(format!("choose one by its metric: `--by {first}.{}`, or name those to compare", super::USUAL))),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Evaluations of one pipeline: those named, or all of them if the file is the only argument.
fn stages(
    host: &Host,
    arguments: &Arguments,
    loaded: &Loaded,
    chosen: &[String],
    alone: bool,
) -> Result<Vec<Contender>, Failure> {
    let pipeline = &loaded.pipeline;
    let names = evaluating(pipeline);
    let wanted: Vec<(String, String)> = if chosen.is_empty() && alone {
        names.into_iter().map(|name| (name.clone(), name)).collect()
    } else if chosen.is_empty() {
        vec![(pipeline.name.clone(), one_of(&names, arguments.by.as_deref(), None, &format!("`{}`", pipeline.name))?)]
    } else {
        let stage = |word: &String| {
            let stage = pipeline.outlet(word).map_or(word, |reference| &reference.stage);
            if names.contains(stage) {
                return Ok((word.clone(), stage.clone()));
            }
            let hint = near::near(word, names.iter().map(String::as_str)).map_or_else(
                || "name a stage of type `eval` or `pool`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            Err(Failure::user(format!("`{}` has no evaluation `{word}`", pipeline.name)).hint(hint))
        };
        chosen.iter().map(stage).collect::<Result<_, _>>()?
    };
    let trees = results(host, loaded)?;
    let contender = |(name, stage): (String, String)| {
        let missing = || {
            Failure::user(format!("`{name}` has no result yet"))
                .hint(format!("run `macula run {} {stage}`", loaded.file))
        };
        let tree = trees.get(&stage).ok_or_else(missing)?;
        let evaluation = table(format!("`{name}`"), tree, &loaded.store.objects)?;
        let looks = looks(&loaded.folder, [tree]);
        let results = vec![tree.digest()];
        Ok(Contender { name, evaluations: vec![evaluation], rank: None, results, points: Vec::new(), looks })
    };
    wanted.into_iter().map(contender).collect()
}

/// Trees of all evaluations of a pipeline that have results, by the names of their stages.
fn results(host: &Host, loaded: &Loaded) -> Result<BTreeMap<String, Tree>, Failure> {
    let options = Options::usual(host.processors);
    let trees = run::plan(host, &loaded.project(), &options, |engine, explained| {
        let mut trees = BTreeMap::new();
        for (id, decision, _) in explained {
            let (stage, Decision::Reuse(known, _)) = (engine.stage(id), decision) else { continue };
            let port = stage.outputs.iter().find(|output| output.ty == "scores");
            if let Some(made) = port.and_then(|output| known.outputs.get(&output.port)) {
                trees.insert(stage.name.clone(), made.tree(&engine.store.objects)?.clone());
            }
        }
        Ok::<_, StoreError>(trees)
    })?;
    Ok(trees?)
}

/// Points of a sweep, repeats together: those named, or all that have results; of each, the evaluations that are named, or its only one.
fn points(
    host: &Host,
    arguments: &Arguments,
    loaded: &Loaded,
    swept: &Swept,
    chosen: &[String],
) -> Result<Vec<Contender>, Failure> {
    let sweep = &swept.sweep;
    let pipeline = swept.sweep.points.first().map_or(&loaded.pipeline, |point| &point.pipeline);
    let names = evaluating(pipeline);
    let outlet = |word: &str| pipeline.outlet(word).map_or_else(|| word.to_owned(), |of| of.stage.clone());
    let (stages, chosen): (Vec<String>, Vec<String>) =
        chosen.iter().cloned().partition(|word| names.contains(&outlet(word)));
    let chosen = &chosen;
    let trees = results(host, loaded)?;
    let EvaluatedPoints { found, open } = if stages.is_empty() {
        let choice = PointChoice { each: arguments.each, by: arguments.by.as_deref() };
        of_points(choice, loaded, swept, &trees, chosen)?
    } else {
        let mut all = EvaluatedPoints { found: Vec::new(), open: Vec::new() };
        for word in &stages {
            let by = format!("{}.{}", outlet(word), super::USUAL);
            let choice = PointChoice { each: arguments.each, by: Some(&by) };
            let of_stage = of_points(choice, loaded, swept, &trees, chosen)?;
            let first = of_stage.found.first().map(|one| &one.results);
            // What no point changes is compared once.
            if of_stage.open.is_empty() && of_stage.found.iter().all(|one| Some(&one.results) == first) {
                all.found.extend(of_stage.found.into_iter().take(1).map(|one| Contender { name: word.clone(), ..one }));
                continue;
            }
            let title = |point: &str| if point.is_empty() { word.clone() } else { format!("{word} at {point}") };
            all.open.extend(of_stage.open.iter().map(|point| title(point)));
            all.found.extend(of_stage.found.into_iter().map(|one| Contender { name: title(&one.name), ..one }));
        }
        all
    };
    if !open.is_empty() {
        let mut run = format!("`macula run {} --sweep {}", loaded.file, sweep.name);
        for stage in &stages {
            let _ = write!(run, " {stage}");
        }
        for set in &arguments.set {
            let _ = write!(run, " --set {set}");
        }
        run.push('`');
        if !chosen.is_empty() || found.len() < 2 {
            return Err(Failure::user(format!(
                "{} without results: {}",
                counted(open.len() as u64, "point", "points"),
                quoted(&open)
            ))
            .hint(format!("run {run}; a run with `--set` is compared with the same `--set`")));
        }
        let count = counted(open.len() as u64, "point", "points");
        out::note(&format!("note: {count} left out, without all results ({run})\n"));
    }
    Ok(found)
}

/// Points with evaluations, and the names of those without.
pub(super) struct EvaluatedPoints {
    pub(super) found: Vec<Contender>,
    pub(super) open: Vec<String>,
}

/// The evaluations of points, repeats together unless they stand apart: of those named, or of all.
pub(super) fn evaluated(
    host: &Host,
    choice: PointChoice,
    loaded: &Loaded,
    swept: &Swept,
    chosen: &[String],
) -> Result<EvaluatedPoints, Failure> {
    of_points(choice, loaded, swept, &results(host, loaded)?, chosen)
}

/// As [`evaluated`], with the trees of evaluations at hand.
fn of_points(
    choice: PointChoice,
    loaded: &Loaded,
    swept: &Swept,
    trees: &BTreeMap<String, Tree>,
    chosen: &[String],
) -> Result<EvaluatedPoints, Failure> {
    let sweep = &swept.sweep;
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for (number, point) in sweep.points.iter().enumerate() {
        let varied = sweep.axes.iter().zip(&point.at).filter(|(axis, _)| choice.each || !axis.repeats);
        let own: Vec<usize> = varied.map(|(_, at)| *at).collect();
        match groups.iter_mut().find(|(at, _)| *at == own) {
            Some((_, points)) => points.push(number),
            None => groups.push((own, vec![number])),
        }
    }
    let by_axes = |at: &[usize], shown: &dyn Fn(usize) -> bool| {
        let axes = sweep.axes.iter().enumerate().filter(|(_, axis)| choice.each || !axis.repeats);
        let axes = axes.filter(|(number, _)| shown(*number));
        axes.map(|(number, axis)| format!("{}={}", axis.name, axis.values[at[number]])).collect::<Vec<_>>().join(",")
    };
    let words = |points: &[usize]| by_axes(&sweep.points[points[0]].at, &|_| true);
    let wanted: Vec<&(Vec<usize>, Vec<usize>)> = if chosen.is_empty() {
        groups.iter().collect()
    } else {
        chosen.iter().map(|word| point(sweep, &groups, word, &words)).collect::<Result<_, _>>()?
    };
    let mut found = Vec::new();
    let mut places = Vec::new();
    let mut open = Vec::new();
    for (_, points) in wanted {
        let name = words(points);
        let mut evaluations = Vec::new();
        let mut of_points = Vec::new();
        for &number in points {
            let names = evaluating(&sweep.points[number].pipeline);
            let of = if name.is_empty() { format!("sweep `{}`", sweep.name) } else { format!("`{name}`") };
            let stage = one_of(&names, choice.by, Some(sweep), &of)?;
            let merged = swept.places[number].get(&stage);
            if let Some(tree) = merged.and_then(|merged| trees.get(merged)) {
                let title = format!("point {} ({})", number + 1, sweep.words(&sweep.points[number]));
                evaluations.push(table(title, tree, &loaded.store.objects)?);
                of_points.push(tree);
            }
        }
        if evaluations.len() < points.len() {
            open.push(name);
        } else {
            let rank = sweep.rank.as_ref().map(|rank| rank.metric.clone());
            let results: Vec<Digest> = of_points.iter().map(|tree| tree.digest()).collect();
            // Repeats that do not change the result say nothing about seeds.
            if results.iter().all(|result| *result == results[0]) {
                evaluations.truncate(1);
            }
            let looks = looks(&loaded.folder, of_points);
            found.push(Contender { name, evaluations, rank, results, points: points.clone(), looks });
            places.push(&sweep.points[points[0]].at);
        }
    }
    // Points are called by the axes in which they differ.
    let differs = |axis: usize| places.iter().any(|other| other[axis] != places[0][axis]);
    for (contender, at) in found.iter_mut().zip(&places) {
        let name = by_axes(at, &differs);
        if !name.is_empty() {
            contender.name = name;
        }
    }
    Ok(EvaluatedPoints { found, open })
}

/// The group of points that a word such as `lr=1e-4` or `lr=1e-4,epochs=20` means.
fn point<'g>(
    sweep: &Sweep,
    groups: &'g [(Vec<usize>, Vec<usize>)],
    word: &str,
    words: &dyn Fn(&[usize]) -> String,
) -> Result<&'g (Vec<usize>, Vec<usize>), Failure> {
    let known = || {
        let all: Vec<String> = groups.iter().take(6).map(|(_, points)| format!("`{}`", words(points))).collect();
        format!("its points are {}{}", all.join(", "), if groups.len() > 6 { ", …" } else { "" })
    };
    let wanted: Vec<(&str, &str)> = word.split(',').filter_map(|part| part.split_once('=')).collect();
    let fits = |points: &[usize]| {
        let at = &sweep.points[points[0]].at;
        wanted.iter().all(|(name, value)| {
            let axes = sweep.axes.iter().zip(at);
            axes.into_iter().any(|(axis, at)| (axis.name == *name || axis.path == *name) && axis.values[*at] == *value)
        })
    };
    let meant: Vec<_> = groups.iter().filter(|(_, points)| !wanted.is_empty() && fits(points)).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::user(format!("sweep `{}` has no point `{word}`", sweep.name)).hint(known())),
        several => Err(Failure::user(format!("`{word}` matches {} points", several.len())).hint(known())),
    }
}

/// Runs, those that differ only in their seeds together.
fn of_runs(host: &Host, arguments: &Arguments, ids: &[String]) -> Result<Vec<Contender>, Failure> {
    let folder = host.project(Path::new("run"));
    let store = open_store::open(host, &folder)?;
    let runs: Vec<RunRecord> = ids.iter().map(|id| recorded_or_file(&store, id)).collect::<Result<_, _>>()?;
    let rows = runs.iter().map(of_run).collect::<Result<Vec<_>, _>>()?;
    let repeats = if arguments.each { Repeats::Apart } else { Repeats::Together };
    let mut groups = Comparison::new(rows.clone(), &[], None, repeats).groups;
    if groups.len() == 1 {
        groups = Comparison::new(rows, &[], None, Repeats::Apart).groups;
    }
    let contender = |group: &crate::report::comparison::RepeatGroup| {
        let (first, more) = (&runs[group.rows[0]], group.rows.len() - 1);
        let name = if more == 0 { first.id.clone() } else { format!("{} and {more} more", first.id) };
        let read = group.rows.iter().map(|at| of_run_record(&store, arguments, &runs[*at]));
        let (evaluations, trees): (Vec<_>, Vec<_>) = read.collect::<Result<Vec<_>, Failure>>()?.into_iter().unzip();
        let looks = looks(&folder, &trees);
        let results = trees.iter().map(Tree::digest).collect();
        Ok(Contender { name, evaluations, rank: None, results, points: Vec::new(), looks })
    };
    groups.iter().map(contender).collect()
}

fn of_run_record(store: &Store, arguments: &Arguments, run: &RunRecord) -> Result<(EvaluationTable, Tree), Failure> {
    let port = |kind: &str| {
        let signature = signatures().iter().find(|signature| signature.name == kind)?;
        signature.outputs.iter().find(|output| output.ty == "scores").map(|output| output.name.clone())
    };
    let names: BTreeSet<String> =
        run.stages.iter().filter(|(_, stage)| port(&stage.kind).is_some()).map(|(name, _)| name.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let name = one_of(&names, arguments.by.as_deref(), None, &format!("run `{}`", run.id))?;
    let stage = &run.stages[&name];
    let gone = || {
        Failure::user(format!("the result of `{name}` in run `{}` is no longer in the store", run.id))
            .hint("run the pipeline again")
    };
    let (port, key): (String, Digest) = port(&stage.kind).zip(stage.key).ok_or_else(gone)?;
    let found = store.find(&key, &kernels::target(), Accept::AnyTarget)?.map_err(|_| gone())?;
    let made =
        found.outputs.get(&port).filter(|made| stage.outputs.get(&port) == Some(&made.digest())).ok_or_else(gone)?;
    let tree = made.tree(&store.objects)?;
    Ok((table(format!("run `{}`", run.id), tree, &store.objects)?, tree.clone()))
}

/// How often the test sets of evaluations have been evaluated so far: that of the most.
fn looks<'t>(folder: &Path, trees: impl IntoIterator<Item = &'t Tree>) -> u64 {
    let known = TestLooks::read(folder).unwrap_or_default();
    let of = |tree| known.position(&looks::predictions(looks::METRICS, tree)?);
    trees.into_iter().filter_map(of).map(|position| position.of).max().unwrap_or(0)
}

/// Reads an evaluation.
fn table(name: String, tree: &Tree, objects: &Objects) -> Result<EvaluationTable, Failure> {
    let wrong = |text: String| Failure::user(format!("the evaluation of {name} cannot be read: {text}"));
    let read = |file: &str| objects.read_in(tree, file)?.ok_or_else(|| wrong(format!("`{file}` is missing")));
    let scores: Scores = serde_json::from_slice(&read("scores.json")?).map_err(|error| wrong(error.to_string()))?;
    if scores.diagnosis {
        return Err(Failure::user(format!("{name} is a diagnosis, which is not compared"))
            .hint("compare evaluations of patches that the models have not seen"));
    }
    let table = Columns::from_parquet(&read("predictions.parquet")?).map_err(|error| wrong(error.to_string()))?;
    Ok(EvaluationTable::new(name, &scores, table))
}
