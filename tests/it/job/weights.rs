//! Files of weights end to end: what is said of them before anything runs and while it does, and what is refused.

use crate::space::Space;

const TINY: &str = r#"network tiny { conv conv out=2 kernel=2 bias=#false; global-avg-pool; linear fc }
pipeline small seed=7 {
    synthetic eyes { photographs 4; size 128; photographs-per-patient 1; healthy 0.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; train 0.5; valid 0.25; test 0.25 }
    weights start { file "start.pth" }
    train fit { data folds.train; valid folds.valid; init start; network tiny; epochs 1; choose last; device cpu; missing initialise }
}
"#;

fn with(file: &str) -> Space {
    let space = Space::with(TINY);
    put(&space, file);
    space
}

fn put(space: &Space, file: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pth");
    space.write("start.pth", std::fs::read(folder.join(file)).expect(file));
}

#[test]
fn what_a_network_takes_of_a_checkpoint_is_said_in_the_run() {
    let space = with("prefix-lightning.pth");
    // Without a temporary folder: nothing is copied.
    let mut run = space.command(&["run", "pipeline.kdl"]);
    run.env("TMPDIR", space.path("nowhere"));
    let said = space.finish(run).code(0);
    let said = said.says(&[
        "`state_dict` of",
        "1 tensor loaded, 1 initialised, 1 initialised for other classes, 1 unused",
        "prefix `model.` removed",
        "weights-names",
    ]);
    assert_eq!(said.stdout.matches("weights-names").count(), 1, "once, before anything runs\n{}", said.stdout);
    space.macula("run pipeline.kdl").code(0).says_not(&["tensor loaded"]);
}

#[test]
fn what_will_not_fit_is_said_before_anything_runs() {
    let space = with("prefix-lightning.pth");
    let plan = space.macula("plan pipeline.kdl").code(0);
    plan.says(&["3 tensors of `state_dict`", "warning[weights-names]", "`fc.weight`", "`metric.weight`"]);
    space.edit("pipeline.kdl", "; missing initialise", "; freeze conv fc");
    space.macula("plan pipeline.kdl").code(1).says(&["lacks tensors of network `tiny`: `fc.weight`"]);
    let run = space.macula("run pipeline.kdl").code(1);
    run.says(&["weights-missing", "`fc.weight`", "pipeline.kdl:7"]).says_not(&["patches of"]);
    space.edit("pipeline.kdl", "; freeze conv fc", "; missing initialise; freeze conv fc");
    space.macula("plan pipeline.kdl").code(0).says(&["warning[nothing-to-learn]", "`freeze` covers the whole network"]);
}

#[test]
fn refusals_name_the_reason_and_hold_no_frames_of_rust() {
    let cases = [
        ("not-torchscript.pth", "a TorchScript module"),
        ("not-module.pth", "a whole pickled module (`__main__.Net`)"),
        ("not-legacy.pth", "torch before 1.6"),
        ("not-float8.pth", "`float8_e4m3fn`"),
        ("not-one-float8.pth", "`float8_e5m2`"),
    ];
    let space = with(cases[0].0);
    for (file, why) in cases {
        put(&space, file);
        let mut run = space.command(&["run", "pipeline.kdl"]);
        run.env("RUST_BACKTRACE", "1");
        space.finish(run).code(1).says(&["start.pth", why]).says_not(&["backtrace", "candle", ".rs:", "0: "]);
    }
}
