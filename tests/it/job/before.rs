//! Mistakes that are reported before anything runs, and errors that are reported once.

use crate::space::Space;

const DEVICES: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 4; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; device cpu }
    threshold-tune cuts { model classifier; data folds.valid }
    predict guesses { model classifier; data folds.test }
    eval scores { model classifier; thresholds cuts; data folds.test }
    eval taken { predictions guesses; data folds.test }
    heat-map maps { model classifier; from eyes; only folds.test }
    encode vectors { from eyes; init classifier; network shallow-cnn to=features; side 64 }
    join tested { patches folds.test; embeddings vectors; as whole }
    predict others { model classifier; data tested }
}
";

const WIDE: &str = r"network tiny {
    param width default=4
    conv conv out=$width kernel=3
    relu
    tap early
    global-avg-pool
    tap features
    linear fc
}

pipeline small seed=7 {
    synthetic eyes { photographs 6; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; train 0.5; valid 0.25; test 0.25 }
    train first { data folds.train; valid folds.valid; network tiny; epochs 1 }
    encode vectors { from eyes; init first; network tiny width=8 to=features; side 64 }
    join tested { patches folds.test; embeddings vectors; as whole }
    predict guesses { model first; data tested }
}
";

#[test]
fn weights_that_fit_no_photograph_are_reported_once_with_their_stage() {
    let space = Space::with(WIDE);
    let said = space
        .macula("run pipeline.kdl")
        .code(1)
        .says(&["weights-shape", "`first` does not match network `tiny to=features`"]);
    let all = said.stdout.clone() + &said.stderr;
    assert_eq!(all.matches("does not match network").count(), 1, "{all}");
}

#[test]
fn evaluations_compared_as_if_they_were_runs_get_a_hint() {
    let space = Space::with(DEVICES);
    space.macula("run pipeline.kdl scores taken").code(0);
    space.macula("compare pipeline.kdl scores taken").code(2).says(&[
        "`scores` is a stage of `pipeline.kdl`, not a run",
        "`macula compare pipeline.kdl scores taken --paired`",
    ]);
    space.macula("compare pipeline.kdl scoers").code(2).says(&["no run and no file `scoers`"]);
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_its_line() {
    let space = Space::with(DEVICES);
    let refused = |setting: &str, code: i32, says: &[&str]| {
        space.write("project.kdl", format!("// Settings.\n{setting}\n"));
        space.macula("plan pipeline.kdl").code(code).says(says).says(&["project.kdl:2"]);
    };
    refused(
        "store \"pipeline.kdl\"",
        3,
        &["store-folder", "the store cannot be opened", "a folder in which macula may write"],
    );
    refused("store \"/sys/macula-store\"", 3, &["store-folder", "cannot create `/sys/macula-store"]);
    refused(
        "store \"s3://bucket/store\"",
        2,
        &["wrong-kind", "a store is a folder of this machine", "`remote \"s3://bucket/store\"`"],
    );
    refused("store \"~/macula\"", 2, &["wrong-kind", "`~` is not expanded here", "write the whole path"]);
    refused("remote \"~/macula\"", 2, &["wrong-kind", "`~` is not expanded"]);
    refused("package lesions { path \"~/lesions\" }", 2, &["wrong-kind", "`~` is not expanded here"]);
    assert!(!space.path("~").exists() && !space.path("s3:").exists());
    // The environment replaces it, and names no line.
    space.write("project.kdl", "// Settings.\nstore \"pipeline.kdl\"\n");
    let mut command = space.command(&["plan", "pipeline.kdl"]);
    command.env("MACULA_STORE", "/sys/macula-store");
    space.finish(command).code(3).says(&["cannot create `/sys/macula-store"]).says_not(&["project.kdl:2"]);
}
