//! Leakage by content: photographs and patients that a model has seen, although no path of the graph says so.

use crate::space::{Said, Space};

/// Networks, the photographs of a training, some of them again from another stage, and others of the same names.
const HEAD: &str = r#"network tiny { conv conv out=2 kernel=2 bias=#false; global-avg-pool; tap features; linear fc }
network late { input whole; parallel join=concat { branch { tiny to=features }; branch from=whole { linear seen out=2 } }; linear fc }
pipeline p seed=7 {
    synthetic eyes { photographs 12; size 128; photographs-per-patient 1; healthy 0.0 }
    synthetic fewer { photographs 11; size 128; photographs-per-patient 1; healthy 0.0 }
    synthetic news { photographs 12; size 144; photographs-per-patient 1; healthy 0.0 }
    extract patches { from eyes; size 32 }
    extract again { from fewer; size 32 }
    extract fresh { from news; size 32 }
    split folds { from patches; by names; names valid "synthetic_00007..synthetic_00009"; names test "synthetic_00010..synthetic_00012" }
    split other { from fresh; by names; names valid "synthetic_00007..synthetic_00009"; names test "synthetic_00010..synthetic_00012" }
    train fit { data folds.train; valid folds.valid; network tiny; epochs 1 }
"#;

fn space(stages: &str) -> Space {
    Space::with(&format!("{HEAD}{stages}\n}}\n"))
}

fn run(space: &Space) -> Said {
    space.macula("run pipeline.kdl --keep-going")
}

#[test]
fn photographs_of_another_source_are_known_by_their_content() {
    let space = space(
        "    preprocess half { from fewer; shrink 2 }
    extract small { from half; size 32 }
    split parts { from again; by names; names valid \"synthetic_00001\"; names test \"synthetic_00010..synthetic_00011\" }
    eval all { model fit; data again }
    eval clean { model fit; data parts.test }
    eval new { model fit; data fresh }
    train halves { data small; valid folds.valid; network tiny; epochs 1 }
    threshold-tune cuts { model fit; data parts.valid }
    eval with-cuts { model fit; thresholds cuts; data folds.test }",
    );
    let said = run(&space).code(1).says(&[
        "6 of 11 photographs of `again` were used for training, in `folds.train`: `synthetic_00001`",
        "and 1 more (pipeline.kdl:16)",
        "`diagnosis #true` evaluates these on purpose",
        // Preprocessing changes the pixels, not the photograph.
        "3 of 3 photographs of `folds.valid` were used for training, in `small`",
        "1 of 1 photograph of `parts.valid` was used for training, in `folds.train`: `synthetic_00001`",
    ]);
    assert_eq!(said.stdout.matches("error[fitted-on]").count() + said.stderr.matches("error[fitted-on]").count(), 3);
    assert!(space.path("results/p/clean/scores.json").exists() && space.path("results/p/new/scores.json").exists());
    assert!(!space.path("results/p/all").exists() && !space.path("results/p/cuts").exists());
    space.macula("plan pipeline.kdl").code(1).says(&["error[fitted-on]: `all`: 6 of 11 photographs"]);
}

#[test]
fn what_chose_an_epoch_or_thresholds_is_warned_of_but_tuning_is_not() {
    let space = space(
        "    split parts { from again; by names; names valid \"synthetic_00001\"; names test \"synthetic_00009..synthetic_00011\" }
    threshold-tune cuts { model fit; data folds.valid }
    eval scores { model fit; thresholds cuts; data folds.test }
    eval twice { model fit; data parts.test }",
    );
    let text =
        "1 of 3 photographs of `parts.test` chose the epoch or the thresholds, in `folds.valid`: `synthetic_00009`";
    // A cached result is warned of like a new one.
    for _ in 0..2 {
        let said = run(&space).code(0).says(&["twice", "warning[chosen-by]", text]);
        assert_eq!(said.stdout.matches("chosen-by").count() + said.stderr.matches("chosen-by").count(), 1);
    }
    space.macula("plan pipeline.kdl").code(0).says(&["warning[chosen-by]: `twice`: 1 of 3"]);
    space.macula("show pipeline.kdl twice --all").code(0).says(&["warning[chosen-by]"]);
}

#[test]
fn detections_are_checked_like_the_maps_that_they_are_of() {
    let space = space(
        "    split parts { from again; by names; names valid \"synthetic_00001\"; names test \"synthetic_00009..synthetic_00011\" }
    lesions found { from eyes }
    heat-map all { model fit; from eyes; stride 32 }
    heat-map some { model fit; from eyes; only parts.test; stride 32 }
    heat-map clean { model fit; from eyes; only folds.test; stride 32 }
    froc wrong { maps all; lesions found }
    froc doubtful { maps some; lesions found }
    froc right { maps clean; lesions found }",
    );
    let said = run(&space).code(1).says(&[
        "6 of 12 photographs of `eyes` were used for training, in `folds.train`",
        "connect the test set to `only` of `all`, so that only its photographs are mapped",
    ]);
    assert_eq!(said.stdout.matches("error[fitted-on]").count() + said.stderr.matches("error[fitted-on]").count(), 1);
    assert!(space.path("results/p/right/froc.json").exists() && !space.path("results/p/wrong").exists());
    let text =
        "1 of 3 photographs of `parts.test` chose the epoch or the thresholds, in `folds.valid`: `synthetic_00009`";
    space.macula("show pipeline.kdl doubtful --all").code(0).says(&["warning[chosen-by]", text]);
    space.macula("show pipeline.kdl right --all").code(0).says_not(&["warning[chosen-by]"]);
}

#[test]
fn predictions_of_seen_photographs_are_marked_and_made() {
    let space = space(
        "    predict guesses { model fit; data again }
    predict unseen { model fit; data folds.test }
    predict chosen { model fit; data folds.valid }",
    );
    let said = run(&space).code(0).says(&[
        "guesses",
        "warning[seen-photographs]: 6 of 11 photographs of `again` were used for training, in `folds.train`",
        "3 of 11 photographs of `again` chose the epoch or the thresholds, in `folds.valid`",
        "such scores say nothing about new photographs",
    ]);
    said.says_not(&["`folds.test` were", "of `folds.valid` "]);
    assert!(space.path("results/p/guesses/predictions.parquet").exists());
    space.macula("show pipeline.kdl guesses").code(0).says(&["seen-photographs"]);
}

#[test]
fn initial_models_averages_and_encoders_have_seen_too() {
    let space = space(
        "    train second { data other.train; valid other.valid; init fit; network tiny; epochs 1 }
    train third { data other.train; valid other.valid; network tiny; epochs 1 }
    predict one { model second; data again }
    predict two { model third; data again }
    average mean { of one two; data again }
    encode described { from news; init fit; network tiny to=features; side 64 }
    join fitted { patches other.train; embeddings described; as whole }
    join chosen { patches other.valid; embeddings described; as whole }
    encode shown { from fewer; init fit; network tiny to=features; side 64 }
    join tested { patches again; embeddings shown; as whole }
    train reading { data fitted; valid chosen; network late; epochs 1 }
    eval by-init { model second; data again }
    eval by-mean { predictions mean; data again }
    eval by-encoder { model reading; data tested }
    eval by-none { model third; data again }",
    );
    let said = run(&space).code(1);
    let text = said.stdout.clone() + &said.stderr;
    for stage in ["by-init", "by-mean", "by-encoder"] {
        assert!(!space.path(&format!("results/p/{stage}")).exists(), "{stage}: {text}");
    }
    assert_eq!(text.matches("error[fitted-on]: 6 of 11 photographs").count(), 3, "{text}");
    // Photographs of other sizes are others, and the patients of another data set are not those of the same names.
    assert!(space.path("results/p/by-none/scores.json").exists(), "{text}");
}

#[test]
fn patients_are_compared_within_a_data_set() {
    let made = space("");
    made.macula("run pipeline.kdl eyes news").code(0);
    let pipeline = HEAD.split_once("    synthetic").expect("a source").0;
    let space = Space::with(&format!(
        "{pipeline}    folder first {{ root \"data\"; photographs \"a/*/*\"; masks MA \"ma/*/*\"; patient \"a/*/\"; absent-mask absent }}
    folder second {{ root \"data\"; photographs \"b/*/*\"; masks MA \"mb/*/*\"; patient \"b/*/\"; absent-mask absent }}
    folder elsewhere {{ root \"other\"; photographs \"b/*/*\"; masks MA \"mb/*/*\"; patient \"b/*/\"; absent-mask absent }}
    extract patches {{ from first; size 32 }}
    extract visits {{ from second; size 32 }}
    extract strangers {{ from elsewhere; size 32 }}
    split folds {{ from patches; by patient; train 0.5; valid 0.25; test 0.25 }}
    train fit {{ data folds.train; valid folds.valid; network tiny; epochs 1 }}
    eval later {{ model fit; data visits }}
    eval external {{ model fit; data strangers }}
}}
"
    ));
    let copy = |from: &str, at: usize, to: &str, masks: &str| {
        for (file, folder) in [("photograph.png", to), ("mask.MA.png", masks)] {
            let bytes = std::fs::read(made.path(&format!("results/p/{from}/synthetic_{at:05}/{file}")));
            if let Ok(bytes) = bytes {
                space.write(&format!("{folder}/p{at}/{to}.png").replace("/data", "").replace("/other", ""), bytes);
            }
        }
    };
    // Other photographs of the same patients; and others whose patients only have the same names.
    for at in 1..=8 {
        copy("eyes", at, "data/a", "data/ma");
        copy("news", at, "data/b", "data/mb");
        copy("news", at, "other/b", "other/mb");
    }
    run(&space).code(1).says(&[
        "error[fitted-on]: other photographs of 4 patients of `visits` were used for training, in `folds.train`",
    ]);
    assert!(space.path("results/p/external/scores.json").exists());
}

#[test]
fn weights_that_another_pipeline_trained_are_known_also_if_the_evaluation_is_cached() {
    let first = space("");
    first.macula("run pipeline.kdl fit").code(0);
    let weights = std::fs::read(first.path("results/p/fit/weights.safetensors")).expect("weights");
    let second = HEAD
        .replace("pipeline p ", "pipeline q ")
        .replace("    train fit", "    weights start { file \"start.safetensors\" }\n    train old");
    let space = Space::with(&format!(
        "{second}    train fit {{ data other.train; valid other.valid; init start; network tiny; epochs 1 }}
    eval scores {{ model fit; data again }}\n}}\n"
    ));
    space.write("start.safetensors", weights);
    // Nothing is known of weights from elsewhere.
    space.macula("run pipeline.kdl scores").code(0).says_not(&["fitted-on"]);
    // The store now has the training that made them.
    space.write("first.kdl", first.read("pipeline.kdl"));
    space.macula("run first.kdl fit").code(0);
    space.macula("run pipeline.kdl scores").code(1).says(&[
        "error[fitted-on]: 6 of 11 photographs of `again` were used for training, in `folds.train` of pipeline `p`",
    ]);
    space.macula("plan pipeline.kdl scores").code(1).says(&["error[fitted-on]"]);
    space.macula("show pipeline.kdl scores").code(1).says(&["fitted-on"]);
}

#[test]
fn weights_that_another_pipeline_pretrained_are_known_by_their_file() {
    let encoder = "    pretrain encoder { data folds.train; valid folds.valid; network tiny to=features; sampler per-class each=2; choose last; epochs 1 }";
    let first = space(encoder);
    first.macula("run pipeline.kdl encoder").code(0);
    let weights = std::fs::read(first.path("results/p/encoder/weights.safetensors")).expect("weights");
    let second = HEAD.replace("pipeline p ", "pipeline q ").replace("    train fit", "    train old");
    let space = Space::with(&format!(
        "{second}    weights start {{ file \"start.safetensors\" }}
    train fit {{ data other.train; valid other.valid; init start; network tiny; missing initialise; epochs 1 }}
    eval scores {{ model fit; data again }}\n}}\n"
    ));
    space.write("start.safetensors", weights);
    space.macula("run pipeline.kdl scores").code(0).says_not(&["fitted-on"]);
    space.write("first.kdl", first.read("pipeline.kdl"));
    space.macula("run first.kdl encoder").code(0);
    space.macula("run pipeline.kdl scores").code(1).says(&[
        "error[fitted-on]: 6 of 11 photographs of `again` were used for training, in `folds.train` of pipeline `p`",
    ]);
}

#[test]
fn a_diagnosis_is_marked_everywhere_and_never_ranked() {
    let space = space(
        "    eval memory { model fit; data folds.train; diagnosis #true }
    eval also { model fit; data again; diagnosis #true }
    eval scores { model fit; data folds.test }
    report page { of memory scores }",
    );
    let said = run(&space).code(0);
    said.says(&["diagnosis, not an evaluation: mean AP", "warning[diagnosis]"]);
    let scores: serde_json::Value = serde_json::from_str(&space.read("results/p/memory/scores.json")).expect("JSON");
    assert_eq!(scores["diagnosis"], true);
    for table in ["predictions.parquet", "curves.parquet"] {
        let bytes = std::fs::read(space.path(&format!("results/p/memory/{table}"))).expect(table);
        assert!(macula::data::table::Columns::from_parquet(&bytes).expect(table).get("diagnosis").is_some(), "{table}");
    }
    assert!(space.path("results/p/memory/DIAGNOSIS.txt").exists());
    assert!(!space.read("results/p/scores/scores.json").contains("diagnosis"));
    assert!(!space.path("results/p/scores/DIAGNOSIS.txt").exists());
    space.macula("show pipeline.kdl memory").code(0).says(&["a diagnosis, not an evaluation"]);
    assert!(space.read("results/p/page/report.html").contains("a diagnosis, not an evaluation"));
    let shown = space.macula("show pipeline.kdl memory --json").code(0);
    let shown: serde_json::Value = serde_json::from_str(&shown.raw).expect("JSON");
    assert!(shown["summary"]["figures"].is_null(), "no metric to rank by");

    // Neither compared, nor pooled, nor ranked.
    space.macula("compare --paired pipeline.kdl memory scores").code(2).says(&["`p` has no evaluation `memory`"]);
    space.edit("pipeline.kdl", "    report page { of memory scores }", "    spread both { of memory scores }");
    space.macula("run pipeline.kdl").code(1).says(&["error[diagnosis]", "`memory` is a diagnosis"]);
    let sweep = "}\nsweep rates {\n    over fit.optimizer.lr 1e-3 1e-2\n    rank by=memory.mean-average-precision\n}";
    space.edit("pipeline.kdl", "    spread both { of memory scores }\n}", sweep);
    space.macula("check pipeline.kdl").code(2).says(&["`memory` is a diagnosis, which is not ranked"]);
}
