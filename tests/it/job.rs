//! The main job end to end through the binary: what a run makes, what a second one leaves alone, what a change costs.

mod bad_input;
mod before;
mod paired;
mod pool;
mod replicates;
mod slurm;
mod sources;
mod sweeps;
mod weights;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::space::Space;

/// From synthetic photographs to a balanced training set: all but training, in a second or two.
const PREPARED: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 4; size 192; photographs-per-patient 1 }
    extract patches { from eyes; size 48 }
    filter-black visible { from patches }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
}
";

/// The whole job, as small as it goes.
const WHOLE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    filter-black visible { from patches }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    augment views { from folds.train; flip horizontal=0.5 }
    train classifier {
        data views
        valid folds.valid
        network shallow-cnn
        loss bce
        epochs 1
        batch 32
    }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
}
";

/// What became of each stage in the last run.
fn became(space: &Space) -> BTreeMap<String, String> {
    let record = last_run(space);
    let stages = record["stages"].as_object().expect("a run has stages");
    stages.iter().map(|(name, stage)| (name.clone(), stage["became"].as_str().unwrap_or("").to_owned())).collect()
}

fn last_run(space: &Space) -> Value {
    let said = space.macula("runs pipeline.kdl --json -n 1").code(0);
    serde_json::from_str(&said.raw).unwrap_or_else(|error| panic!("{error}: {}", said.raw))
}

/// The stages of the last run that were computed.
fn computed(space: &Space) -> Vec<String> {
    became(space)
        .into_iter()
        .filter(|(_, became)| became != "reused" && became != "source")
        .map(|(name, _)| name)
        .collect()
}

/// Runs the pipeline and says what was computed.
#[track_caller]
fn run(space: &Space) -> Vec<String> {
    space.macula("run pipeline.kdl").code(0);
    computed(space)
}

#[test]
fn a_new_pipeline_is_right_formatted_and_runs() {
    let space = Space::new();
    space.macula("new first").code(0).says(&["wrote first.kdl and project.kdl", "macula run first.kdl"]);
    let said = space.macula("check first.kdl").code(0);
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
    space.macula("fmt --check first.kdl").code(0);
    let small =
        "--set photographs.photographs=8 --set photographs.size=192 --set patches.size=48 --set classifier.epochs=1";
    space.macula(&format!("run first.kdl {small}")).code(0).says(&["report.html"]);
    let text = space.read("first.kdl");
    assert!(text.contains("pipeline first seed=5") && !text.contains("NAME") && !text.contains("FILE"), "{text}");
    space.macula("new first.kdl").code(2).says(&["already exists"]);
    assert_eq!(space.read("first.kdl"), text);
    // The project has a file already, whether written before or above.
    space.macula("new second").code(0).says(&["wrote second.kdl;"]);
    std::fs::create_dir(space.path("more")).expect("a folder");
    space.macula("new more/third").code(0).says(&["wrote more/third.kdl;"]);
    assert!(!space.path("more/project.kdl").exists());
    space.macula("new project").code(2).says(&["is the file of a project"]);
    space.macula("new 2nd").code(2).says(&["is not a valid pipeline name"]);
}

#[test]
fn nothing_is_computed_again_whatever_the_spelling() {
    let space = Space::with(PREPARED);
    assert_eq!(run(&space), ["eyes", "folds", "patches", "visible"]);
    assert_eq!(run(&space), [""; 0], "a second run");

    // Touched.
    space.write("pipeline.kdl", PREPARED);
    assert_eq!(run(&space), [""; 0], "a touched file");
    // Reformatted, with a comment and a default written out.
    let reformatted =
        PREPARED.replace("    ", "  ").replace("size 48 }", "size 48 // as ever\n  margin 0\n  label min-pixels=1\n }");
    space.write("pipeline.kdl", reformatted);
    assert_eq!(run(&space), [""; 0], "a reformatted file");
    // Reordered.
    let mut lines: Vec<&str> = PREPARED.lines().collect();
    lines[1..5].reverse();
    space.write("pipeline.kdl", lines.join("\n") + "\n");
    assert_eq!(run(&space), [""; 0], "a reordered file");
    // Renamed.
    space.write(
        "pipeline.kdl",
        PREPARED.replace("visible", "bright").replace("patches {", "tiles {").replace("from patches", "from tiles"),
    );
    assert_eq!(run(&space), [""; 0], "renamed stages");
    space.macula("why pipeline.kdl tiles").code(0).says(&["`tiles` will not run: its result is cached"]);
}

#[test]
fn a_changed_parameter_computes_what_depends_on_it_and_why_says_so() {
    let space = Space::with(PREPARED);
    run(&space);
    space.edit("pipeline.kdl", "train 0.5; valid 0.25; test 0.25", "train 0.5; valid 0.5; test 0.0");
    let said = space.macula("why pipeline.kdl folds").code(0);
    said.says(&["`folds` will run: its inputs or parameters changed", "0.25 -> 0.5", "pipeline.kdl:5"]);
    assert_eq!(run(&space), ["folds"]);
    // Back again: the old result is still there.
    space.write("pipeline.kdl", PREPARED);
    assert_eq!(run(&space), [""; 0]);
}

#[test]
fn a_changed_loss_trains_again_and_extracts_nothing() {
    let space = Space::with(WHOLE);
    assert_eq!(run(&space).len(), 8);
    assert_eq!(run(&space), [""; 0]);
    space.edit("pipeline.kdl", "loss bce", "loss focal gamma=2.0");
    space.macula("why pipeline.kdl classifier").code(0).says(&["bce -> focal", "pipeline.kdl:11"]);
    space.macula("why pipeline.kdl patches").code(0).says(&["`patches` will not run"]);
    let computed = run(&space);
    assert!(computed.contains(&"classifier".to_owned()), "{computed:?}");
    assert!(computed.iter().all(|stage| ["classifier", "cuts", "scores"].contains(&stage.as_str())), "{computed:?}");
}

/// A project whose photographs are files: those of a made set, and a `folder` stage that finds them.
pub(crate) fn with_photographs(photographs: u32) -> Space {
    let space = Space::new();
    let made = format!(
        "pipeline made seed=3 {{ synthetic eyes {{ photographs {photographs}; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }} }}\n"
    );
    space.write("made.kdl", made);
    space.macula("run made.kdl").code(0);
    space.macula("get made.kdl eyes data").code(0);
    space.write(
        "pipeline.kdl",
        r#"pipeline small seed=7 {
    folder eyes {
        root "data"
        photographs "*/photograph.png"
        masks MA "*/mask.MA.png" HE "*/mask.HE.png" EX "*/mask.EX.png" SE "*/mask.SE.png"
        absent-mask absent
    }
    extract patches { from eyes; size 48 }
    filter-black visible { from patches }
}
"#,
    );
    space
}

#[test]
fn one_photograph_more_cuts_one() {
    let space = with_photographs(4);
    let photograph = space.files("data").iter().filter_map(|file| Some(file.split_once('/')?.0.to_owned())).max();
    let (from, aside) = (space.path("data").join(photograph.expect("photographs were written")), space.path("aside"));
    std::fs::rename(&from, &aside).expect("a folder can be moved");
    run(&space);
    assert_eq!(last_run(&space)["stages"]["patches"]["items"], serde_json::json!([3, 3]));
    std::fs::rename(&aside, &from).expect("a folder can be moved");
    space.macula("plan pipeline.kdl").code(0).says(&["3 of 4"]);
    assert_eq!(run(&space), ["patches", "visible"]);
    assert_eq!(last_run(&space)["stages"]["patches"]["items"], serde_json::json!([1, 4]));
}

#[test]
fn a_flipped_byte_is_found_and_healed() {
    let space = Space::with(PREPARED);
    run(&space);
    let shards = |space: &Space| -> Vec<String> {
        let files = space.files("results/small/patches");
        files.into_iter().filter(|file| file.starts_with("shards/")).collect()
    };
    let shard = space.path("results/small/patches").join(&shards(&space)[0]).canonicalize().expect("a shard is linked");
    let mut bytes = std::fs::read(&shard).expect("a shard can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut rights = std::fs::metadata(&shard).expect("it is there").permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test's own folder")]
    rights.set_readonly(false);
    std::fs::set_permissions(&shard, rights).expect("its rights can be set");
    std::fs::write(&shard, &bytes).expect("it can be written");
    space.macula("get pipeline.kdl patches copy").code(3).says(&["damaged"]);
}

#[test]
fn two_runs_and_other_threads_give_the_same_digests() {
    let digests = |threads: u32| -> BTreeMap<String, Value> {
        let space = Space::with(WHOLE);
        space.macula(&format!("run pipeline.kdl --threads {threads}")).code(0);
        let record = last_run(&space);
        let stages = record["stages"].as_object().expect("a run has stages").clone();
        stages.into_iter().map(|(name, stage)| (name, stage["outputs"].clone())).collect()
    };
    let one = digests(1);
    assert_eq!(one.len(), 8);
    assert_eq!(one, digests(2));
}

#[test]
fn a_trained_model_is_the_same_bytes_as_ever_on_each_path() {
    // Another digest means another model for everyone: then the version of `train` (or of what is before it) must rise.
    let golden = [("portable", "96d5ebe07e0433fb"), ("avx2", "4898d68b1b018d77"), ("avx512", "0756f7c9beebb7b9")];
    for (path, digest) in golden {
        let space = Space::with(WHOLE);
        let with = |arguments: &[&str]| {
            let mut command = space.command(arguments);
            command.env("MACULA_KERNELS", path);
            space.finish(command)
        };
        let said = with(&["run", "pipeline.kdl"]);
        if said.code == Some(2) && said.stderr.contains("this processor does not support the kernels") {
            println!("not tested: this processor lacks {path}");
            continue;
        }
        said.code(0);
        let shown = with(&["show", "pipeline.kdl", "classifier", "--json"]).code(0);
        let shown: Value = serde_json::from_str(&shown.raw).expect("JSON");
        let model = shown["outputs"]["out"]["digest"].as_str().expect("a digest");
        assert_eq!(&model[..16], digest, "{path}");
    }
}
