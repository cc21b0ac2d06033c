//! Random edits of pipelines, data, results and the store: every run does what its plan says, and produces what it
//! would without a store. `MACULA_EDITS` sets the number of edits.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use macula::lang::spec::{Pipeline, StageSpec};
use macula::lang::value::Value;
use macula::plan::Decision;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::bench::{Bench, Came, With, pipeline, seeded, source, stage, touch, wrap};

/// Edits between two runs of one project.
const IN_A_ROW: usize = 5;

/// The default of `MACULA_EDITS`.
const USUAL: usize = 60;

/// A change that a user, or a disk, may make between two runs.
#[derive(Clone, Debug)]
enum Edit {
    /// Another text; one of few, so that earlier ones recur.
    Text(u8),
    /// A file in the folder, new or changed.
    Item(u8, u8),
    /// A file of the folder is removed.
    Without(u8),
    /// A file of the folder is renamed.
    Moved(u8, u8),
    /// A file is touched.
    Touch,
    Parameter(usize, u8),
    /// The number of items that a stage lists.
    Count(u8),
    Seed(u64),
    Swap(usize, usize),
    Rename(usize, u8),
    /// One more stage, or one less.
    Added(u8),
    Removed,
    /// A linked result is deleted, or replaced by something else.
    Result(u8, Harm),
    /// A file of the store is deleted, truncated, or has a byte flipped.
    Stored(&'static str, u16, Harm),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Deleted,
    Cut,
    Flipped(u16),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![Just(Harm::Deleted), Just(Harm::Cut), any::<u16>().prop_map(Harm::Flipped)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let stored = prop_oneof![
        4 => Just("objects"), 2 => Just("actions"), 2 => Just("items"), 1 => Just("looks"), 1 => Just("files"), 1 => Just("runs")
    ];
    prop_oneof![
        2 => (0..3u8).prop_map(Edit::Text),
        3 => (0..5u8, 0..3u8).prop_map(|(item, text)| Edit::Item(item, text)),
        1 => (0..5u8).prop_map(Edit::Without),
        1 => (0..5u8, 0..5u8).prop_map(|(one, other)| Edit::Moved(one, other)),
        1 => Just(Edit::Touch),
        3 => (0..9usize, 0..3u8).prop_map(|(stage, value)| Edit::Parameter(stage, value)),
        1 => (1..4u8).prop_map(Edit::Count),
        1 => (7..9u64).prop_map(Edit::Seed),
        1 => (0..9usize, 0..9usize).prop_map(|(one, other)| Edit::Swap(one, other)),
        1 => (0..9usize, 0..3u8).prop_map(|(stage, name)| Edit::Rename(stage, name)),
        1 => (0..3u8).prop_map(Edit::Added),
        1 => Just(Edit::Removed),
        1 => (any::<u8>(), harm()).prop_map(|(which, harm)| Edit::Result(which, harm)),
        6 => (stored, any::<u16>(), harm()).prop_map(|(folder, which, harm)| Edit::Stored(folder, which, harm)),
    ]
}

fn start() -> Pipeline {
    pipeline(vec![
        source("in", "file", "in.txt"),
        source("many", "folder", "data"),
        stage("head", "first-line").given("from", &["in"]),
        wrap("one", "head", "0"),
        stage("each", "each").given("from", &["many"]).add("0"),
        stage("list", "numbered").add("0").with("count", Value::Int(2)),
        stage("dice", "draws"),
        stage("all", "join").given("of", &["one", "each", "list", "dice"]),
        stage("sheet", "page").given("of", &["one", "each"]),
    ])
}

fn apply(bench: &Bench, pipeline: &mut Pipeline, edit: &Edit) {
    let item = |number: &u8| format!("data/{number}");
    match edit {
        Edit::Text(text) => bench.write("in.txt", &format!("{}\n{text}", text / 2)),
        Edit::Item(number, text) => bench.write(&item(number), &text.to_string()),
        Edit::Without(number) => _ = fs::remove_file(bench.path(&item(number))),
        Edit::Moved(one, other) => _ = fs::rename(bench.path(&item(one)), bench.path(&item(other))),
        Edit::Touch => touch(&bench.path("in.txt"), 30),
        Edit::Parameter(at, value) => set(pipeline, *at, "add", &Value::Text(value.to_string())),
        Edit::Count(count) => (0..9).for_each(|at| set(pipeline, at, "count", &Value::Int(i64::from(*count)))),
        Edit::Seed(seed) => seeded(pipeline, *seed),
        Edit::Swap(one, other) => pipeline.stages.swap(*one, *other),
        Edit::Rename(at, name) => rename(pipeline, *at, *name),
        Edit::Added(add) if pipeline.stages.len() < 12 => {
            let name = format!("more-{}", "abc".chars().nth(pipeline.stages.len() - 9).unwrap_or('d'));
            let from =
                pipeline.stages.iter().find(|stage| stage.stage_type == "draws").expect("never removed").name.clone();
            let seed = pipeline.seed;
            pipeline.stages.push(StageSpec { seed, ..wrap(&name, &from, &add.to_string()) });
        }
        Edit::Removed if pipeline.stages.len() > 9 => _ = pipeline.stages.pop(),
        Edit::Added(_) | Edit::Removed => {}
        Edit::Result(which, harm) => hurt(&files(bench.path("results")), u16::from(*which), *harm),
        Edit::Stored(folder, which, harm) => hurt(&files(bench.path(".macula/v1").join(folder)), *which, *harm),
    }
}

fn set(pipeline: &mut Pipeline, at: usize, name: &str, value: &Value) {
    if let Some(given) = pipeline.stages[at].params.get_mut(name) {
        given.value = value.clone();
    }
}

fn rename(pipeline: &mut Pipeline, at: usize, name: u8) {
    let old = pipeline.stages[at].name.clone();
    let new = format!("{}{name}", old.trim_end_matches(char::is_numeric));
    let stage = &mut pipeline.stages[at];
    (stage.name, stage.base_name) = (new.clone(), new.clone());
    let references = pipeline.stages.iter_mut().flat_map(|stage| &mut stage.inputs).flat_map(|input| &mut input.from);
    references.filter(|reference| reference.stage == old).for_each(|reference| reference.stage.clone_from(&new));
}

/// All regular files at or below a path, sorted, without quarantined ones.
fn files(path: PathBuf) -> Vec<PathBuf> {
    if path.symlink_metadata().is_ok_and(|facts| facts.is_file()) {
        return vec![path];
    }
    let mut below: Vec<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    below.sort();
    // A folder without a marker is taken for the user's, and left alone.
    below.retain(|path| !path.ends_with("quarantine") && !path.ends_with(".macula"));
    below.into_iter().flat_map(files).collect()
}

/// Damages one of the files: replaced by another file of that name, because disk damage does not reach other hard
/// links.
fn hurt(files: &[PathBuf], which: u16, harm: Harm) {
    let Some(file) = files.get(usize::from(which) % files.len().max(1)) else { return };
    let mut bytes = fs::read(file).expect("readable");
    fs::remove_file(file).expect("deleted");
    match harm {
        Harm::Deleted => return,
        Harm::Cut => bytes.truncate(bytes.len() / 2),
        Harm::Flipped(at) if !bytes.is_empty() => {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= 1;
        }
        Harm::Flipped(_) => {}
    }
    fs::write(file, bytes).expect("written");
}

/// The plan of each stage: the decision, and for a map stage the number of items with a result, of how many.
type Planned = BTreeMap<String, (String, Option<(u64, u64)>)>;

fn planned(bench: &Bench, pipeline: &Pipeline) -> Planned {
    let what = bench.plan(pipeline);
    let items = bench.explain(pipeline, |name, decision, _| match decision {
        Decision::Run(task) => (name, task.items.map(Into::into)),
        _ => (name, None),
    });
    items.into_iter().map(|(name, items)| (name.clone(), (what[&name].clone(), items))).collect()
}

/// Checks that every stage did what was planned. A stage may only be repaired if stored bytes were damaged, since plans
/// assume intact bytes.
fn compared(planned: &Planned, came: &Came, damaged: bool) -> Result<(), TestCaseError> {
    for (stage, (will, items)) in planned {
        let became = came.of(stage);
        let right = match will.as_str() {
            "source" => became == "source",
            "reuse" => became == "reused" || damaged && became == "repaired",
            "run" => became == "computed" || damaged && became == "repaired",
            "unknown" => ["reused", "computed"].contains(&became) || damaged && became == "repaired",
            other => return Err(TestCaseError::fail(format!("`{stage}` was planned to {other}"))),
        };
        prop_assert!(right, "`{}` was planned to {} and became {}", stage, will, became);
        if let (Some((there, all)), "computed") = (items, became) {
            let computed = came.report.record.stages[stage].items.map(Into::into);
            prop_assert_eq!(computed, Some((all - there, *all)), "items of `{}`", stage);
        }
    }
    Ok(())
}

/// The outputs of stages; those of sources are what the test wrote.
fn made(came: &Came) -> BTreeMap<&String, &String> {
    let source = |output: &str| came.of(output.trim_end_matches(".out")) == "source";
    came.texts().iter().filter(|(output, _)| !source(output)).collect()
}

/// Runs until every output is readable: damage that no run reads stays.
fn healed(bench: &Bench, pipeline: &Pipeline, mut came: Came) -> Result<Came, TestCaseError> {
    for _ in 0..pipeline.stages.len() {
        if came.unreadable.is_empty() {
            return Ok(came);
        }
        came = bench.run(pipeline).done();
    }
    Err(TestCaseError::fail(format!("{:?} can't be healed", came.unreadable)))
}

fn edits_in_a_row(edits: &[Edit], listing: Option<(usize, u64)>) -> Result<(), TestCaseError> {
    let mut bench = Bench::new();
    bench.bears_damage = true;
    bench.listing = listing;
    bench.host.environment.insert("MACULA_LOOKS".into(), "0".into());
    bench.write("in.txt", "0\n0");
    bench.write("data/0", "0");
    let mut pipeline = start();
    bench.run(&pipeline).done();
    let mut damaged = false;
    for edit in edits {
        apply(&bench, &mut pipeline, edit);
        damaged |= matches!(edit, Edit::Stored(_, _, Harm::Flipped(_) | Harm::Cut));
        let planned = planned(&bench, &pipeline);
        let came = bench.run(&pipeline);
        prop_assert_eq!(came.report.record.ended.name(), "done", "{:?}", came.report.failed);
        compared(&planned, &came, damaged)?;
        let came = healed(&bench, &pipeline, came)?;
        let again = bench.run(&pipeline);
        prop_assert_eq!(again.computed(), [""; 0], "a second run has nothing to do");
        let fresh = Bench::new();
        for file in files(bench.path("data")).into_iter().chain([bench.path("in.txt")]) {
            let name = file.strip_prefix(bench.path("")).expect("below the project").to_string_lossy().into_owned();
            fresh.write(&name, &fs::read_to_string(&file).expect("readable"));
        }
        let _ = fs::create_dir_all(fresh.path("data"));
        let without = fresh.run(&pipeline).done();
        prop_assert_eq!(made(&without), made(&came));
        for stage in
            pipeline.stages.iter().filter(|stage| !["file", "folder", "each", "numbered"].contains(&&*stage.stage_type))
        {
            let linked = fs::read_to_string(bench.path(&format!("results/bench/{}/text", stage.name))).ok();
            let text = &came.texts()[&format!("{}.out", stage.name)];
            prop_assert_eq!(linked.as_ref(), Some(text), "`results/` shows another `{}`", stage.name);
        }
    }
    Ok(())
}

#[test]
fn plan_says_what_run_does() {
    let wanted = std::env::var("MACULA_EDITS").ok().and_then(|count| count.parse().ok()).unwrap_or(USUAL);
    let config = Config {
        cases: wanted.div_ceil(IN_A_ROW) as u32,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    // Object folders are listed from a thousand objects on, in every second project from one on.
    let listing = prop::option::of(Just((1, 30_000_000)));
    let edits = (prop::collection::vec(edit(), IN_A_ROW), listing);
    TestRunner::new(config)
        .run(&edits, |(edits, listing)| edits_in_a_row(&edits, listing))
        .unwrap_or_else(|error| panic!("{error}"));
}
