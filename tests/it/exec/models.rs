//! Commands that give patches and classifiers: their outputs are used like those of other stages, and what they were made from is known.

use super::{confines, macula};
use crate::space::Space;

/// A command copies a classifier's weights, as one that trains would write them.
fn space(reads: &str) -> Space {
    let space = Space::with(&format!(
        r#"pipeline p seed=3 {{
    synthetic eyes {{ photographs 6; size 256; photographs-per-patient 1; healthy 0.0 }}
    extract patches {{ from eyes; size 32 }}
    split folds {{ from patches; by patient; train 0.4; valid 0.3; test 0.3 }}
    train classifier {{ data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }}
    files script {{ path "run.sh" }}
    exec training {{
        script script
        model classifier
        patches {reads}
        command sh "inputs/script/run.sh"
        gives "weights.safetensors" safetensors
    }}
    import-model theirs {{ from training; network shallow-cnn; classes MA HE EX SE; size 32 }}
    eval one {{ model classifier; data folds.test }}
    eval two {{ model theirs; data folds.test }}
}}
"#
    ));
    space.write("run.sh", "cp inputs/model/weights.safetensors outputs/weights.safetensors\n");
    space
}

#[test]
fn a_command_gives_a_classifier() {
    if !confines() {
        return;
    }
    let space = space("folds.train folds.valid");
    macula(&space, "run --trust pipeline.kdl").code(0);
    let table =
        |stage: &str| std::fs::read(space.path(&format!("results/p/{stage}/predictions.parquet"))).expect("a table");
    assert!(table("one") == table("two"), "the same predictions");
}

#[test]
fn a_classifier_of_a_command_is_not_evaluated_on_patches_that_the_command_read() {
    if !confines() {
        return;
    }
    let space = space("folds.train folds.test");
    let said = macula(&space, "run --trust pipeline.kdl two");
    said.code(1).says(&["fitted-on"]);
}

#[test]
fn patches_of_a_command_keep_the_mark_of_a_test_set() {
    let text = |from: &str| {
        format!(
            r#"pipeline p seed=3 {{
    synthetic eyes
    extract patches {{ from eyes; size 32 }}
    split folds {{ from patches; by patient; train 0.4; valid 0.3; test 0.3 }}
    files script {{ path "run.sh" }}
    exec made {{ script script; patches {from}; command sh "inputs/script/run.sh"; gives "patches/" any }}
    import-patches theirs {{ from made; size 32 }}
    train classifier {{ data theirs; valid folds.valid; network shallow-cnn }}
    eval scores {{ model classifier; data folds.test }}
}}
"#
        )
    };
    let space = Space::with(&text("folds.test"));
    space.write("run.sh", "");
    space
        .macula("check pipeline.kdl")
        .code(2)
        .says(&["test-in-training", "`train classifier` gets test patches at `data`"]);
    Space::with(&text("folds.train")).macula("check pipeline.kdl").says_not(&["test-in-training"]);
}
