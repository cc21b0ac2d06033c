//! Replicates of a stage through the binary: other random numbers, whatever the seed.

use std::fs;

use crate::space::Space;

const MEMBERS: &str = r"pipeline members seed=7 {
    synthetic eyes { photographs 8; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract tiles { from eyes; size 32 }
    split folds { from tiles; train 0.5; valid 0.25; test 0.25 }
    split others { from tiles; train 0.5; valid 0.25; test 0.25; replicate 1 }
    train one { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    train again { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    train two { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; replicate 1 }
    predict of-one { model one; data folds.test }
    predict of-again { model again; data folds.test }
    predict of-two { model two; data folds.test }
    average both { of of-one of-two; data folds.test }
    average twice { of of-one of-again; data folds.test }
    export kept { from others.train }
}
";

#[test]
fn a_replicate_draws_what_neither_its_stage_nor_another_seed_draws() {
    let space = Space::with(MEMBERS);
    let run = space.macula("run pipeline.kdl").code(0);
    assert!(run.stderr.contains("`average twice` gets predictions of `one` and `again`, which are the same training"));
    let told = run.stdout;
    let of_average = told.lines().filter(|line| line.contains("same-predictions")).collect::<Vec<_>>();
    assert!(of_average.len() == 1 && of_average[0].contains("twice"), "{told}");
    let weights = |stage: &str| {
        fs::read(space.path(&format!("results/members/{stage}/weights.safetensors"))).expect("the weights of a model")
    };
    let (one, two) = (weights("one"), weights("two"));
    assert!(one == weights("again"), "trainings that differ in their names only are one");
    assert!(one != two, "a replicate initialises other weights");
    let set = |name: &str| space.files(&format!("results/members/{name}/train/parts"));
    assert_eq!((set("folds").len(), set("others").len()), (4, 4));
    assert!(set("folds") != set("others"), "a replicate of a split divides otherwise");

    // Under the next seed, the first member is not the second one of this seed.
    space.macula("run pipeline.kdl one --set seed=8").code(0);
    assert!(weights("one") != two && weights("one") != one);
    // A number that is not written is 0, and costs nothing.
    space.edit(
        "pipeline.kdl",
        "network shallow-cnn; epochs 1; replicate 1",
        "network shallow-cnn; epochs 1; replicate 0",
    );
    space.macula("run pipeline.kdl two").code(0).says(&["reused"]);
    assert!(weights("two") == one);
}
