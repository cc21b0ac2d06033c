//! Looking at what was made: `show`, `get`, `graph`.

use serde_json::Value;

use crate::space::Space;

const PIPELINE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 4; size 192; photographs-per-patient 1; healthy 0.25; severity 2.0 }
    extract patches { from eyes; size 48; masks #true }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
}
";

fn made() -> Space {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    space
}

#[test]
fn show_prints_counts_files_and_a_picture() {
    let space = made();
    let said = space.macula("show pipeline.kdl patches").code(0);
    assert!(said.stdout.starts_with("patches, extract, computed in run "), "{}", said.stdout);
    let said = said.says(&[
        "healthy",
        "MA",
        "patches, 9 files, ",
        " in results/small/patches/",
        "image: results/small/patches/pictures/patches.png",
    ]);
    assert_eq!(said.stderr, "");
    space.macula("show pipeline.kdl patches --all").code(0).says(&["patches, 9 files, ", "digest", "and 1 more"]);
    let picture = image::open(space.path("results/small/patches/pictures/patches.png")).expect("a PNG that opens");
    assert!(picture.width() > 300 && picture.height() > 300);
    space.macula("show pipeline.kdl eyes --pictures looked").code(0).says(&["image: looked/photographs.png"]);
    assert!(image::open(space.path("looked/photographs.png")).expect("a PNG that opens").width() > 300);
}

#[test]
fn images_shown_before_results_are_linked_stay_next_to_them() {
    let space = made();
    std::fs::remove_dir_all(space.path("results")).expect("removed");
    space.macula("show pipeline.kdl patches").code(0);
    let ran = space.macula("run pipeline.kdl").code(0).says_not(&["results-links"]);
    ran.says(&["nothing to compute: "]);
    for file in ["pictures/patches.png", "set.json", "README.txt"] {
        assert!(space.path(&format!("results/small/patches/{file}")).is_file(), "{file}");
    }
    // With a file of the user's in it, a folder is the user's.
    std::fs::remove_dir_all(space.path("results")).expect("removed");
    space.write("results/small/patches/notes.txt", "mine");
    space.macula("run pipeline.kdl").code(0).says(&["results-links"]);
    assert_eq!(space.read("results/small/patches/notes.txt"), "mine");
}

#[test]
fn a_result_with_a_missing_object_is_not_called_new() {
    let space = made();
    let said = space.macula("show pipeline.kdl patches --json --no-pictures").code(0);
    let shown: Value = serde_json::from_str(&said.raw).expect("JSON");
    let digest = shown["outputs"]["out"]["files"][0]["digest"].as_str().expect("a digest");
    let object = space.files(".macula/v1/objects").into_iter().find(|file| file.replace('/', "").ends_with(digest));
    std::fs::remove_file(space.path(&format!(".macula/v1/objects/{}", object.expect("an object")))).expect("removed");
    space
        .macula("show pipeline.kdl patches")
        .code(2)
        .says(&["`patches` has a damaged or incomplete result", "macula run pipeline.kdl patches"]);
}

#[test]
fn show_of_one_output_shows_it_alone() {
    let space = made();
    space.macula("show pipeline.kdl folds --no-pictures").code(0).says(&[
        "train: patches",
        "valid: patches",
        "test: patches",
    ]);
    let said = space.macula("show pipeline.kdl folds.valid --no-pictures").code(0);
    // Its own folder and its own rows.
    said.says(&["valid: patches", " in results/small/folds/valid/"]).says_not(&["train: patches", "image: "]);
    for flags in ["", " --all"] {
        let said = space.macula(&format!("show pipeline.kdl folds.valid --no-pictures{flags}")).code(0);
        let begins = |name: &str| said.raw.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!([begins("train "), begins("test "), begins("valid ")], [0, 0, 2], "{}", said.raw);
    }
}

#[test]
fn show_in_json_has_every_file() {
    let space = made();
    let said = space.macula("show pipeline.kdl patches --json").code(0);
    let shown: Value = serde_json::from_str(&said.raw).expect("JSON");
    assert_eq!(shown["kind"], "extract");
    let files = shown["outputs"]["out"]["files"].as_array().expect("files");
    assert_eq!(files.len(), 9);
    assert!(files.iter().all(|file| file["digest"].as_str().is_some_and(|digest| digest.len() == 64)));
    assert_eq!(shown["pictures"], serde_json::json!(["results/small/patches/pictures/patches.png"]));
}

#[test]
fn show_after_a_change_shows_the_last_run_and_says_so() {
    let space = made();
    space.edit("pipeline.kdl", "size 48", "size 32");
    let said = space.macula("show pipeline.kdl patches --no-pictures").code(0);
    assert!(said.stderr.starts_with("note: the pipeline has changed; this is the result of run "), "{}", said.stderr);
    assert!(said.stderr.contains("macula why pipeline.kdl patches"));
}

#[test]
fn the_standard_library_can_be_listed_printed_and_written_out() {
    let space = crate::space::Space::new();
    space.macula("std list").code(0).says(&["std:templates/cross-validation", "Cross-validation over"]);
    let shown = space.macula("std show cross-validation").code(0);
    assert_eq!(shown.raw, space.macula("std show std:templates/cross-validation").code(0).raw);
    space.macula("std show cross-validatoin").code(2).says(&["did you mean `cross-validation`?"]);
    space.macula("std export copy").code(0);
    assert_eq!(space.read("copy/templates/cross-validation.kdl"), shown.raw);
    space.macula("std export copy").code(2).says(&["already exists"]);
    // What is written out is what a user would write, but for what only the library may say.
    space.write("own.kdl", shown.raw.replace("stage cross-validation", "stage five-folds").split("\n    example").next().expect("a text").to_owned() + "\n}\npipeline p seed=1 {\n    synthetic fundus\n    extract tiles { from fundus; size 64 }\n    five-folds folds { patches tiles; network shallow-cnn }\n}\n");
    space.macula("check own.kdl").code(0).says(&["29 stages: fundus, tiles, folds (27)"]);
}

#[test]
fn show_of_a_network_has_its_layers() {
    let space = Space::with(PIPELINE);
    let said = space.macula("show pipeline.kdl resnet18").code(0);
    // torchvision's ResNet18 has 11,689,512 parameters with 1000 classes: 512 x 996 weights and 996 biases fewer with 4.
    said.says(&["resnet18 on 3 x 48 x 48, 4 classes: 11,178,564 parameters", "layer4.1.conv2", "2,359,296"]);
    let shown: Value =
        serde_json::from_str(&space.macula("show pipeline.kdl resnet18 --json").code(0).raw).expect("JSON");
    assert_eq!(shown["parameters"], 11_178_564);
    assert_eq!(shown["layers"].as_array().map(Vec::len), Some(71), "JSON folds nothing");
    let said = space.macula("show pipeline.kdl resnet50 --size 224 --classes 1000").code(0);
    said.says(&[
        "resnet50 on 3 x 224 x 224, 1,000 classes: 25,557,032 parameters, 4,089,184,256 multiply-adds per patch",
        "3 times: layer2.1 … layer2.3  512 x 28 x 28",
    ]);
}

#[test]
fn a_network_is_shown_that_no_pipeline_uses() {
    let text = "network tiny { param width default=8; conv c out=$width kernel=3; global-avg-pool; linear fc }\n";
    let space = Space::with(&format!("{text}{PIPELINE}"));
    space
        .macula("show pipeline.kdl tiny")
        .code(0)
        .says(&["tiny on 3 x 48 x 48, 4 classes: 260 parameters", "8 x 46 x 46"]);
    space.write("networks.kdl", text);
    space.macula("show networks.kdl tiny --size 32").code(0).says(&["tiny on 3 x 32 x 32", "8 x 30 x 30"]);
    space.macula("check networks.kdl").code(0);
    space
        .macula("show networks.kdl tiny --size 2")
        .code(2)
        .says(&["`conv c` has a window of 3 px, but gets 3 x 2 x 2"]);
}

#[test]
fn a_network_is_shown_as_its_stage_uses_it() {
    let space = Space::with(
        "network tiny { param width default=8; conv c out=$width kernel=3; global-avg-pool; linear fc }
        pipeline a seed=1 {
            synthetic eyes
            extract patches { from eyes; size 48 }
            split folds { from patches }
            train model { data folds.train; valid folds.valid; network tiny width=16 }
            eval scores { model model; data folds.test }
        }",
    );
    space.macula("show pipeline.kdl tiny").code(0).says(&["16 x 46 x 46"]);
}

#[test]
fn get_writes_complete_files_and_refuses_a_folder_that_is_not_empty() {
    let space = made();
    space.macula("get pipeline.kdl patches out").code(0).says(&["9 files, "]);
    let files = space.files("out");
    assert_eq!(files.len(), 9);
    assert!(files.contains(&"set.json".to_owned()));
    space.macula("get pipeline.kdl patches out").code(2).says(&["`out` is not empty", "--force"]);
    space.write("out/set.json", "changed");
    space.macula("get pipeline.kdl patches out --force").code(0);
    assert!(space.read("out/set.json").contains("classes"));
    space.macula("get pipeline.kdl folds sides").code(0);
    assert!(space.path("sides/valid/set.json").is_file());
    space.macula("get pipeline.kdl folds.valid side --link").code(0);
    assert!(space.path("side/set.json").is_file());
    space.macula("get pipeline.kdl patches out/set.json").code(2).says(&["is a file"]);
}

#[test]
fn graph_draws_in_four_languages() {
    let space = Space::with(PIPELINE);
    let said = space.macula("graph pipeline.kdl").code(0);
    assert_eq!(
        said.stdout,
        "small, 3 stages\n\n\
         ●  eyes     synthetic  → photographs\n\
         ●  patches  extract    eyes → patches\n\
         ●  folds    split      patches → patches\n",
    );
    assert!(!space.path(".macula").exists(), "a drawing makes no store");
    for (format, words) in [("mermaid", "flowchart TD"), ("dot", "digraph \"small\""), ("svg", "<svg xmlns=")] {
        space.macula(&format!("graph pipeline.kdl --format {format}")).code(0).says(&[words, "patches"]);
    }
    let said = space.macula("graph pipeline.kdl --states").code(0);
    said.says(&["eyes     synthetic  will run", "patches  extract    unknown", "folds    split      unknown"]);
    space.macula("run pipeline.kdl patches").code(0);
    space
        .macula("graph pipeline.kdl --states")
        .code(0)
        .says(&["patches  extract    cached", "folds    split      will run"]);
}

#[test]
fn copies_of_a_repeat_are_run_shown_and_explained_by_name() {
    let space = Space::with(
        "pipeline p seed=1 {
    synthetic eyes { photographs 6; size 128 }
    extract tiles { from eyes; size 32 }
    repeat 2 fold {
        split sides { from tiles; folds 2; fold $fold; valid 0.2 }
        relabel strict { from sides.train; min-pixels 4 }
    }
}
",
    );
    space.macula("run pipeline.kdl fold.2.strict").code(0).says(&["4 computed"]);
    space.macula("run pipeline.kdl fold.sides.train").code(0).says(&["1 computed", "3 reused"]);
    space.macula("run pipeline.kdl fold").code(0).says(&["1 computed"]);
    for wrong in ["fold.nope", "fold.3.strict", "fold.sides.nope", "tiles.nope", "fold.2.strict.nope"] {
        space.macula(&format!("run pipeline.kdl {wrong}")).code(2).says(&[wrong]);
    }
    space.macula("show pipeline.kdl fold.strict").code(2).says(&["stands for 2 stages", "fold.1.strict"]);
    space.macula("why pipeline.kdl fold.strict").code(2).says(&["stands for 2 stages", "fold.2.strict"]);
    space.macula("why pipeline.kdl fold.2.strict").code(0).says(&["fold.2.strict"]);
}
