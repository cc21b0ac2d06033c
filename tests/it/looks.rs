//! Looks at test sets: each evaluation of a test set is recorded in the project, once, and its number is shown next to the metrics.

use serde_json::Value;

use crate::space::{Said, Space};

const FILE: &str = "test-looks.jsonl";

fn space(stages: &str) -> Space {
    let space = Space::with(&format!(
        r#"network tiny {{ conv conv out=2 kernel=2 bias=#false; global-avg-pool; linear fc }}
pipeline p seed=7 {{
    synthetic eyes {{ photographs 12; size 128; photographs-per-patient 1; healthy 0.0 }}
    extract patches {{ from eyes; size 32 }}
    split folds {{ from patches; by names; names valid "synthetic_00007..synthetic_00009"; names test "synthetic_00010..synthetic_00012" }}
{stages}
}}
"#
    ));
    space.write("project.kdl", "");
    space
}

const TRAINED: &str = "    train fit { data folds.train; valid folds.valid; network tiny; epochs 1 }
    eval scores { model fit; data folds.test }";

fn run(space: &Space, arguments: &str) -> Said {
    space.macula(&format!("run pipeline.kdl {arguments}")).code(0)
}

fn looks(space: &Space) -> Vec<Value> {
    space.read(FILE).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn each_evaluation_of_a_test_set_is_one_look() {
    let space = space(TRAINED);
    run(&space, "").says_not(&["look"]);
    let first = looks(&space);
    assert_eq!(first.len(), 1);
    assert_eq!([&first[0]["pipeline"], &first[0]["stage"]], ["p", "scores"]);
    assert_eq!(first[0]["photographs"], 3);
    assert!(first[0]["metrics"].as_str().is_some_and(|words| words.contains("mean AP 0.")), "{first:?}");
    assert!(!space.read(FILE).contains("synthetic_"), "photographs are not named");
    run(&space, "").says_not(&["look"]);
    // Other metrics of the same predictions are no other look, and neither are other patches of the same photographs another test set.
    run(&space, "--set scores.within-photograph=#true").says_not(&["look"]);
    run(&space, "--set fit.epochs=2").says(&["second look at the test set of `scores` (3 photographs)", FILE]);
    run(&space, "--set patches.size=16").says(&["third look at the test set of `scores` (3 photographs)"]);
    assert_eq!(looks(&space).len(), 3);
    run(&space, "").says(&["3 looks at the test set of `scores` (3 photographs) so far"]);
    space.macula("show pipeline.kdl scores").code(0).says(&["first of 3 looks at this test set (3 photographs)"]);
    let shown = space.macula("show pipeline.kdl scores --json --set fit.epochs=2").code(0);
    let shown: Value = serde_json::from_str(&shown.raw).expect("JSON");
    assert_eq!(shown["test-look"], serde_json::json!({ "look": 2, "of": 3, "photographs": 3 }));
    let events = run(&space, "--json").raw;
    let event = events.lines().find(|line| line.contains("\"looked\"")).expect("an event");
    let event: Value = serde_json::from_str(event).expect("JSON");
    assert_eq!([&event["looks"], &event["new"], &event["test_sets"]], [3, 0, 1]);
}

#[test]
fn photographs_that_chose_the_epoch_and_diagnoses_are_no_looks() {
    let space = space(
        "    train fit { data folds.train; valid folds.valid; network tiny; epochs 1 }
    eval tuning { model fit; data folds.valid }
    eval memory { model fit; data folds.train; diagnosis #true }",
    );
    run(&space, "");
    assert!(!space.path(FILE).exists());
    run(&space, "--set fit.epochs=2").says_not(&["look"]);
}

#[test]
fn cross_validation_looks_once_at_each_photograph() {
    let space = space(
        "    cross-validation folded { patches patches; network tiny; epochs 1 }
    pool scores { of folded.fold-1 folded.fold-2 folded.fold-3 folded.fold-4 folded.fold-5; data patches }",
    );
    run(&space, "").says_not(&["look"]);
    assert_eq!(looks(&space).len(), 6, "five folds, and all photographs");
    run(&space, "--set folded.epochs=2").says(&["second look at each of the 6 test sets of"]);
    space.macula("show pipeline.kdl scores").code(0).says(&["first of 2 looks at this test set (12 photographs)"]);
}

#[test]
fn a_sweep_takes_a_look_for_each_point() {
    let space = space(TRAINED);
    let text =
        space.read("pipeline.kdl") + "sweep lengths { over fit.epochs 1 2 3; rank by=scores.mean-average-precision }\n";
    space.write("pipeline.kdl", text);
    run(&space, "--sweep lengths")
        .says(&["3 looks at the test set of `scores` (3 photographs) so far, 3 of them in this run"]);
    // A point is the pipeline with its settings.
    run(&space, "").says(&["3 looks at the test set of `scores` (3 photographs) so far"]);
    assert_eq!(looks(&space).len(), 3);
}

#[test]
fn the_record_can_be_turned_off_and_its_failure_fails_no_run() {
    let space = space(TRAINED);
    space.write("project.kdl", "test-looks #false\n");
    run(&space, "");
    assert!(!space.path(FILE).exists());
    space.write("project.kdl", "test-looks #true; test-looks #false\n");
    space.macula("check pipeline.kdl").code(2).says(&["`test-looks` is set twice"]);
    space.write("project.kdl", "");
    std::fs::create_dir(space.path(FILE)).expect("a folder");
    run(&space, "").says(&["warning[test-looks]: cannot record this look at a test set in `test-looks.jsonl`"]);
    space.macula("show pipeline.kdl scores").code(0).says_not(&["look"]);
}
