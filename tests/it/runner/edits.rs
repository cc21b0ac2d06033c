//! Over random edits: what the plan says is what the run does, and what a run makes is what it would make without a store.

use std::fs;

use macula::lang::spec::{Pipeline, StageSpec};
use macula::lang::value::Value;
use proptest::prelude::*;

use super::bench::{Bench, With, pipeline, seeded, source, stage, touch, wrap};

/// A change that a user may make between two runs.
#[derive(Clone, Debug)]
enum Edit {
    Text(u8),
    Item(u8, u8),
    Parameter(usize, u8),
    Seed(u64),
    Touch,
    Swap(usize, usize),
    Rename(usize, u8),
    Delete(u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (0..3u8).prop_map(Edit::Text),
        (0..5u8, 0..3u8).prop_map(|(item, text)| Edit::Item(item, text)),
        (0..7usize, 0..3u8).prop_map(|(stage, value)| Edit::Parameter(stage, value)),
        (7..9u64).prop_map(Edit::Seed),
        Just(Edit::Touch),
        (0..7usize, 0..7usize).prop_map(|(one, other)| Edit::Swap(one, other)),
        (0..7usize, 0..3u8).prop_map(|(stage, name)| Edit::Rename(stage, name)),
        any::<u8>().prop_map(Edit::Delete),
    ]
}

fn start() -> Pipeline {
    pipeline(vec![
        source("in", "file", "in.txt"),
        source("many", "folder", "data"),
        stage("head", "first-line").given("from", &["in"]),
        wrap("one", "head", "0"),
        stage("each", "each").given("from", &["many"]).add("0"),
        stage("dice", "draws"),
        stage("all", "join").given("of", &["one", "each", "dice"]),
    ])
}

fn apply(bench: &Bench, pipeline: &mut Pipeline, edit: &Edit) {
    match edit {
        Edit::Text(text) => bench.write("in.txt", &format!("{}\n{text}", text / 2)),
        Edit::Item(item, text) => bench.write(&format!("data/{item}"), &text.to_string()),
        Edit::Parameter(at, value) => {
            let stage: &mut StageSpec = &mut pipeline.stages[*at];
            if stage.params.contains_key("add") {
                stage.params.insert("add".into(), Value::Text(value.to_string()));
            }
        }
        Edit::Seed(seed) => seeded(pipeline, *seed),
        Edit::Touch => touch(&bench.path("in.txt"), 30),
        Edit::Swap(one, other) => pipeline.stages.swap(*one, *other),
        Edit::Rename(at, name) => {
            let old = pipeline.stages[*at].name.clone();
            let new = format!("{}{name}", old.trim_end_matches(char::is_numeric));
            pipeline.stages[*at].name.clone_from(&new);
            let references =
                pipeline.stages.iter_mut().flat_map(|stage| &mut stage.inputs).flat_map(|input| &mut input.from);
            references
                .filter(|reference| reference.stage == old)
                .for_each(|reference| reference.stage.clone_from(&new));
        }
        Edit::Delete(which) => {
            let objects = bench.path(".macula/v1/objects");
            let folders = fs::read_dir(objects).into_iter().flatten().flatten().map(|folder| folder.path());
            let folders = folders.filter(|folder| folder.file_name().is_some_and(|name| name.len() == 2));
            let mut files: Vec<_> = folders
                .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
                .map(|file| file.path())
                .collect();
            files.sort();
            if let Some(file) = files.get(usize::from(*which) % files.len().max(1)) {
                fs::remove_file(file).expect("deleted");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn plan_says_what_run_does(edits in prop::collection::vec(prop::collection::vec(edit(), 1..3), 1..4)) {
        let bench = Bench::new();
        bench.write("in.txt", "0\n0");
        bench.write("data/0", "0");
        let mut pipeline = start();
        bench.run(&pipeline).done();
        for together in edits {
            for edit in &together {
                apply(&bench, &mut pipeline, edit);
            }
            let planned = bench.plan(&pipeline);
            let came = bench.run(&pipeline).done();
            for (stage, will) in &planned {
                let became = came.of(stage);
                let right = match will.as_str() {
                    "source" => became == "source",
                    "reuse" => became == "reused",
                    "run" => became == "computed",
                    _ => ["reused", "computed"].contains(&became),
                };
                prop_assert!(right, "`{}` was planned to {} and became {}", stage, will, became);
            }
            let fresh = Bench::new();
            for file in ["in.txt", "data/0", "data/1", "data/2", "data/3", "data/4"] {
                if let Ok(text) = fs::read_to_string(bench.path(file)) {
                    fresh.write(file, &text);
                }
            }
            let without = fresh.run(&pipeline).done();
            prop_assert_eq!(without.texts(), came.texts());
        }
    }
}
