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

/// What a network computes, each with the beginning of its line above.
const COMPUTED: [(&str, &str); 6] = [
    ("classifier", "device cpu"),
    ("cuts", "cuts { model classifier;"),
    ("guesses", "guesses { model classifier;"),
    ("scores", "scores { model classifier;"),
    ("maps", "maps { model classifier;"),
    ("vectors", "vectors { from eyes;"),
];

#[test]
fn a_gpu_that_macula_was_not_built_for_is_missed_before_anything_runs() {
    if cfg!(any(feature = "cuda", feature = "candle-cuda")) {
        return;
    }
    for (stage, line) in COMPUTED {
        let space = Space::with(DEVICES);
        let on = if stage == "classifier" { "device cuda".to_owned() } else { format!("{line} device cuda;") };
        space.edit("pipeline.kdl", line, &on);
        let said = space.macula("check pipeline.kdl").code(0);
        said.says(&["warning[no-gpu]", "this macula was built without CUDA support", "set `device cpu`"]);
        let said = space.macula("plan pipeline.kdl").code(1);
        said.says(&["no-gpu", &format!("`{stage}`: this macula was built without CUDA support")]);
        space.macula("run pipeline.kdl").code(1).says(&["no-gpu"]);
        assert!(!space.path("results/small/patches").exists(), "{stage}: nothing was computed");
    }
    // Predictions are taken without computing a network.
    let space = Space::with(DEVICES);
    space.edit("pipeline.kdl", "taken { predictions guesses;", "taken { device cuda; predictions guesses;");
    space.macula("check pipeline.kdl").code(0).says_not(&["no-gpu"]);
    space.macula("plan pipeline.kdl").code(0);
}

#[test]
fn results_of_a_gpu_are_used_by_a_build_without() {
    let space = Space::with(DEVICES);
    space.macula("run pipeline.kdl guesses").code(0);
    space.edit("pipeline.kdl", "guesses { model classifier;", "guesses { device cuda; model classifier;");
    // `device` is not part of the key.
    space.macula("run pipeline.kdl guesses").code(0).says(&["nothing to compute"]).says_not(&["no-gpu"]);
    space.macula("show pipeline.kdl guesses").code(0).says_not(&["no-gpu"]);
}

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
