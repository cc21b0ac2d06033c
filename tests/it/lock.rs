//! Lock files: the same on every machine, without names of photographs; differences are reported with their cause.

use crate::space::{Said, Space};

const PIPELINE: &str = r#"pipeline p seed=3 {
    synthetic fundus { photographs 4; size 256; photographs-per-patient 1 }
    files notes { path "notes" }
    extract patches {
        from fundus
        size 64
    }
    split folds { from patches; by image; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    eval scores { model classifier; data folds.test }
}
"#;

/// A project that was run and locked.
fn locked() -> Space {
    let space = Space::with(PIPELINE);
    space.write("notes/Ada_Lovelace.txt", "one");
    space.write("notes/b.txt", "two");
    space.macula("lock pipeline.kdl").code(1).says(&["`fundus` has no result to lock"]);
    space.macula("run pipeline.kdl").code(0);
    assert_eq!(space.macula("lock pipeline.kdl").code(0).stdout, "wrote p.lock.kdl: 6 stages\n");
    space
}

fn again(space: &Space) -> Said {
    space.macula("run --locked pipeline.kdl")
}

#[test]
fn a_lock_is_laid_out_names_nothing_private_and_holds() {
    let space = locked();
    let text = space.read("p.lock.kdl");
    space.macula("fmt --check p.lock.kdl").code(0);
    for private in ["Ada_Lovelace", "b.txt", &space.path("").display().to_string(), "notes\""] {
        assert!(!text.contains(private), "{private}:\n{text}");
    }
    for said in
        ["macula \"0.1.0\"", "class=path-exact", "param size \"64\"", "figure mean-average-precision", "files 2"]
    {
        assert!(text.contains(said), "{said}:\n{text}");
    }
    again(&space).code(0).says(&["6 stages: 6 bit for bit, 0 within tolerance, 0 not matching"]);
    space.macula("lock pipeline.kdl").code(0);
    assert_eq!(space.read("p.lock.kdl"), text);
    // In another store, with other threads: the same text.
    std::fs::remove_dir_all(space.path(".macula")).expect("removed");
    space.macula("run --threads 1 --locked pipeline.kdl").code(0);
    space.macula("lock --check pipeline.kdl").code(0);
}

#[test]
fn what_changed_is_reported_with_its_ground() {
    let space = locked();
    space.edit("pipeline.kdl", "size 64", "size 32");
    space.write("notes/b.txt", "three");
    space.write("notes/c.txt", "new");
    std::fs::remove_file(space.path("notes/Ada_Lovelace.txt")).expect("removed");
    again(&space).code(1).says(&[
        "`size` 64 -> 32 (pipeline.kdl:6)",
        "data changed: `b.txt`",
        "data added: `c.txt`",
        "1 locked file is missing",
        "caused by `patches` at input `from`",
        "caused by `classifier` at input `model`",
        "6 stages: 1 bit for bit, 0 within tolerance, 5 not matching",
    ]);
    space.macula("lock --check pipeline.kdl").code(1);
}

#[test]
fn stages_that_came_or_went_are_reported() {
    let space = locked();
    space.edit("pipeline.kdl", "    eval scores { model classifier; data folds.test }\n", "");
    space.edit("pipeline.kdl", "files notes", "files words");
    again(&space).code(1).says(&[
        "NEW: not in the lock file",
        "REMOVED: no longer in the pipeline",
        "4 bit for bit",
        "3 not matching",
    ]);
    // In a partial run, other stages do not count as removed.
    space.macula("run --locked pipeline.kdl classifier").code(0).says(&["4 stages: 4 bit for bit"]);
}

#[test]
fn another_kernel_path_comes_within_the_tolerance() {
    let space = Space::with(PIPELINE);
    space.write("notes/b.txt", "two");
    space.macula("run pipeline.kdl").code(0);
    space.macula("lock pipeline.kdl").code(0);
    let text = space.read("p.lock.kdl");
    let mut portable = space.command(&["run", "--locked", "--exact", "--json", "pipeline.kdl"]);
    portable.env("MACULA_KERNELS", "portable");
    let said = space.finish(portable).code(0);
    let last: serde_json::Value = serde_json::from_str(said.raw.lines().last().expect("a line")).expect("JSON");
    let verdict = |name: &str| {
        let stages = last["stages"].as_array().expect("stages");
        stages.iter().find(|stage| stage["stage"] == name).expect("the stage")["verdict"].clone()
    };
    assert_eq!((&last["event"], &last["as_locked"]), (&"locked".into(), &true.into()));
    assert_eq!(verdict("patches"), "bit-for-bit");
    if !text.contains("cpu-portable") {
        assert_eq!(verdict("classifier"), "within-tolerance", "{last:#}");
        assert_eq!(verdict("scores"), "within-tolerance", "{last:#}");
    }
}

/// Every stage that a network computes.
const NETWORKS: &str = "pipeline n seed=3 {
    synthetic eyes { photographs 4; size 256; photographs-per-patient 1 }
    extract patches { from eyes; size 64 }
    split folds { from patches; by image; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
    predict guesses { model classifier; data folds.test }
    heat-map maps { model classifier; thresholds cuts; from eyes; only folds.test; stride 64 }
}
";

/// The stages of [`NETWORKS`] that a network computes.
const COMPUTED: [&str; 5] = ["classifier", "cuts", "scores", "guesses", "maps"];

#[test]
fn a_pipeline_computed_by_candle_is_approximate_and_within_the_tolerance_of_the_kernels() {
    let space = Space::with(NETWORKS);
    let sets: Vec<String> = COMPUTED.iter().map(|stage| format!("--set {stage}.device=candle")).collect();
    let sets = sets.join(" ");
    space.macula(&format!("run pipeline.kdl {sets}")).code(0);
    space.macula(&format!("lock pipeline.kdl {sets}")).code(0);
    let text = space.read("n.lock.kdl");
    assert_eq!(text.matches("class=approximate on=candle-cpu").count(), 5, "{text}");
    assert_eq!(text.matches("class=path-exact").count(), 0, "{text}");
    // Devices are not part of keys: the kernels take these results.
    space.macula("run --locked pipeline.kdl").code(0).says(&["8 stages: 8 bit for bit"]);
    let kernels = space.macula("run --locked --exact --json pipeline.kdl").code(0);
    let last: serde_json::Value = serde_json::from_str(kernels.raw.lines().last().expect("a line")).expect("JSON");
    for judged in last["stages"].as_array().expect("stages") {
        let name = judged["stage"].as_str().expect("a name");
        // Thresholds may be the same after all.
        let verdict = judged["verdict"].as_str().expect("a verdict");
        assert!(verdict == "bit-for-bit" || COMPUTED.contains(&name), "{last:#}");
        assert!(
            verdict == "within-tolerance" || !["classifier", "scores", "guesses", "maps"].contains(&name),
            "{last:#}"
        );
    }
    // Other bytes on the same target are no broken promise, as long as the metrics are near.
    space.macula(&format!("run --exact pipeline.kdl {sets}")).code(0);
    let output = format!("output out \"{}\"", "0".repeat(64));
    tamper_in(&space, "n.lock.kdl", "classifier", "output out", &output);
    let again = || space.macula(&format!("run --locked --exact pipeline.kdl {sets}"));
    again().code(0).says(&["`candle-cpu` does not promise the same bytes: metrics may differ by 0.05"]);
    tamper_in(&space, "n.lock.kdl", "classifier", "figure micro-f1", "figure micro-f1 7.5");
    again().code(1).says(&["`micro-f1` differs by "]);
    space.macula(&format!("rebuild pipeline.kdl classifier {sets}")).code(0).says(&["approximate", "same bytes"]);
}

#[test]
fn maps_continued_on_another_device_have_the_class_of_the_weakest() {
    let space = Space::with(NETWORKS);
    space.macula("run pipeline.kdl maps --set maps.device=candle").code(0);
    space.macula("run pipeline.kdl").code(0);
    // One photograph's map is there, by candle.
    space.write("pipeline.kdl", NETWORKS.replace(" only folds.test;", ""));
    space.macula("run pipeline.kdl").code(0);
    space.macula("lock pipeline.kdl").code(0);
    let text = space.read("n.lock.kdl");
    let class = |stage: &str| {
        let rest = &text[text.find(&format!("    stage {stage} {{")).expect("the stage")..];
        let line = rest.lines().find(|line| line.contains("implementation")).expect("its implementation");
        line[line.find("class=").expect("its class")..].to_owned()
    };
    assert!(class("scores").starts_with("class=path-exact on=cpu-"), "{}", class("scores"));
    assert!(
        class("maps").starts_with("class=approximate on=\"candle-cpu+cpu-")
            || class("maps").starts_with("class=approximate on=candle-cpu+cpu-"),
        "{}",
        class("maps")
    );
    // `--exact` takes no map of another device.
    space.macula("run --exact pipeline.kdl").code(0);
    space.macula("lock pipeline.kdl").code(0);
    assert!(!space.read("n.lock.kdl").contains("class=approximate"));
}

/// Without a GPU, with any features.
#[test]
fn every_stage_that_a_network_computes_takes_a_gpu_if_there_is_one() {
    let space = Space::with(NETWORKS);
    space.macula("run pipeline.kdl").code(0);
    space.macula("lock pipeline.kdl").code(0);
    for stage in COMPUTED {
        // Keys do not change, so nothing runs again.
        for device in ["auto", "cuda"] {
            space.macula(&format!("run --locked pipeline.kdl --set {stage}.device={device}")).code(0);
        }
    }
    for stage in ["cuts", "scores", "guesses", "maps"] {
        let fresh = Space::with(&NETWORKS.replace("only folds.test; ", ""));
        let set = |device: &str| {
            format!("run pipeline.kdl {stage} --set classifier.device=cpu --set {stage}.device={device}")
        };
        fresh.macula(&set("cuda")).code(1).says(&["no-gpu"]);
        fresh.macula(&set("auto")).code(0);
    }
}

/// Replaces the first line of a stage in the lock file that starts with `line`.
fn tamper(space: &Space, stage: &str, line: &str, to: &str) {
    tamper_in(space, "p.lock.kdl", stage, line, to);
}

fn tamper_in(space: &Space, file: &str, stage: &str, line: &str, to: &str) {
    let text = space.read(file);
    let at = text.find(&format!("    stage {stage} {{")).expect("the stage");
    let at = at + text[at..].find(line).expect("the line");
    let end = at + text[at..].find('\n').expect("it ends");
    space.write(file, format!("{}{to}{}", &text[..at], &text[end..]));
}

#[test]
fn the_class_decides_what_counts_as_locked() {
    let space = locked();
    let output = format!("output out \"{}\"", "0".repeat(64));
    let path = "implementation train version=2 class=path-exact on=";
    // Different bytes on the same target: a broken guarantee.
    tamper(&space, "classifier", "output out", &output);
    again(&space).code(1).says(&["a `path-exact` stage must produce the same bytes"]);
    // On another target, with the same metrics.
    tamper(&space, "classifier", path, &format!("{path}cpu-other"));
    again(&space).code(0).says(&["5 bit for bit, 1 within tolerance"]);
    // With metrics out of tolerance.
    tamper(&space, "classifier", "figure micro-f1", "figure micro-f1 7.5");
    again(&space).code(1).says(&["`micro-f1` differs by 6."]);
    // A bit-exact stage has only one target.
    tamper(&space, "patches", "output out", &output);
    again(&space).code(1).says(&["a `bit-exact` stage must produce the same bytes"]);
    // A different version explains the difference, but does not excuse it.
    tamper(&space, "patches", "implementation", "implementation extract version=0 class=bit-exact on=any");
    again(&space).code(1).says(&["version changed: extract 0 -> extract 1"]);
}

#[test]
fn a_lock_that_is_missing_or_broken_is_reported_before_anything_runs() {
    let space = Space::with(PIPELINE);
    space.macula("run --locked pipeline.kdl").code(2).says(&["no lock file `p.lock.kdl`"]);
    space.write("p.lock.kdl", "lock p {\n    form 9\n}\n");
    space.macula("run --locked pipeline.kdl").code(2).says(&["lock format 9 is newer than this macula supports (1)"]);
    assert!(!space.path("results").exists());
}
