//! Classifiers that see their whole photograph through an encoder: keys, controls, and what is refused.

use std::collections::BTreeMap;

use macula::data::table::Columns;

use super::{bytes, json, same_as_maps, same_as_patches};
use crate::space::Space;

const PIPELINE: &str = r"network late {
    input whole
    parallel join=concat {
        branch { shallow-cnn to=features }
        branch from=whole { linear seen out=8; relu; dropout share=0.1 }
    }
    linear fc
}
network looking {
    input grid
    parallel join=concat {
        branch { shallow-cnn to=features }
        branch from=grid { conv look out=4 kernel=3 padding=1; relu; global-avg-pool }
    }
    linear fc
}

pipeline whole seed=7 {
    synthetic eyes { photographs 8; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    filter-black visible { from patches; share 0.6 }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    train first { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; batch 32 }
    encode vectors { from eyes; init first; network shallow-cnn to=features; side 96 }
    encode grids { from eyes; init first; network shallow-cnn to=map; side 96; store f16 }
    join fitted { patches folds.train; embeddings vectors; as whole }
    join fitted-both { patches fitted; embeddings grids; as grid }
    join chosen { patches folds.valid; embeddings vectors; as whole }
    join chosen-both { patches chosen; embeddings grids; as grid }
    join tested { patches folds.test; embeddings vectors; as whole }
    join tested-both { patches tested; embeddings grids; as grid }
    augment views { from fitted-both; flip horizontal=0.5; mixup alpha=0.2 }
    train classifier { data views; valid chosen-both; network late; loss bce; epochs 1; batch 32 }
    train gridded { data views; valid chosen-both; network looking; loss bce; epochs 1; batch 32 }
    train plain { data views; valid chosen-both; network shallow-cnn; loss bce; epochs 1; batch 32 }
    threshold-tune cuts { model classifier; data chosen-both }
    eval scores { model classifier; thresholds cuts; data tested-both }
    predict guesses { model classifier; data tested-both; tta dihedral }
    eval of-grids { model gridded; data tested-both }
    eval of-patches { model plain; data tested-both }
}
";

fn scores(space: &Space, stage: &str) -> Vec<Option<f64>> {
    let table = Columns::from_parquet(&bytes(space, &format!("results/whole/{stage}/predictions.parquet")));
    table.expect("a table").reals("score.EX").expect("scores").to_vec()
}

/// How each stage ended in a run.
fn ended(space: &Space) -> BTreeMap<String, String> {
    let said = space.macula("run pipeline.kdl --json").code(0);
    let events = said.raw.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an event"));
    let ended = events.filter(|event| event["event"] == "stage-ended");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    ended.map(|event| (text(&event["stage"]), text(&event["became"]))).collect()
}

#[test]
fn a_network_reads_embeddings_of_the_photograph_and_keys_hold_only_what_it_reads() {
    let space = Space::with(PIPELINE);
    space.macula("check pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0);
    let model = json(&space, "results/whole/classifier/model.json");
    assert_eq!(model["embeddings"][0]["name"], "whole");
    assert_eq!(model["embeddings"][0]["info"]["rows"], 1);
    let grid = json(&space, "results/whole/gridded/model.json");
    assert_eq!(
        (&grid["embeddings"][0]["info"]["rows"], &grid["embeddings"][0]["info"]["store"]),
        (&6.into(), &"f16".into())
    );
    assert_eq!(json(&space, "results/whole/plain/model.json")["embeddings"], serde_json::Value::Null);
    let (late, plain) = (scores(&space, "scores"), scores(&space, "of-patches"));
    assert!(late.len() > 10 && late != plain && scores(&space, "of-grids") != plain);

    // A network that reads no embeddings does not depend on them.
    space.edit("pipeline.kdl", "to=features; side 96", "to=features; side 128");
    let stages = ended(&space);
    for name in ["vectors", "classifier", "cuts", "scores", "guesses"] {
        assert_eq!(stages[name], "computed", "{name}");
    }
    for name in ["grids", "plain", "gridded", "of-patches", "of-grids"] {
        assert_eq!(stages[name], "reused", "{name}");
    }
    assert_ne!(scores(&space, "scores"), late);
    space.edit("pipeline.kdl", "to=features; side 128", "to=features; side 96");
    space.macula("run pipeline.kdl").code(0);
    assert_eq!(scores(&space, "scores"), late);

    // The controls: another patient's, and nothing.
    space.edit("pipeline.kdl", "join tested { patches folds.test;", "join tested { control zero; patches folds.test;");
    space.macula("run pipeline.kdl scores").code(0);
    assert_ne!(scores(&space, "scores"), late);
    space.edit("pipeline.kdl", "control zero", "control other");
    space.macula("run pipeline.kdl scores").code(0);
    assert_ne!(scores(&space, "scores"), late);
}

#[test]
fn missing_and_other_embeddings_are_refused() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl classifier").code(0);
    // Not joined, or under another name.
    space.edit(
        "pipeline.kdl",
        "data views; valid chosen-both; network late",
        "data folds.train; valid chosen-both; network late",
    );
    let said = space.macula("check pipeline.kdl").code(2);
    said.says(&[
        "missing-input",
        "network `late` has an input `whole`",
        "`join NAME { patches …; embeddings …; as whole }`",
    ]);
    space.edit(
        "pipeline.kdl",
        "data folds.train; valid chosen-both; network late",
        "data views; valid chosen-both; network late",
    );
    space.edit(
        "pipeline.kdl",
        "patches folds.train; embeddings vectors; as whole",
        "patches folds.train; embeddings vectors; as whale",
    );
    space.macula("check pipeline.kdl").code(2).says(&[
        "missing-input",
        "`late` has an input `whole`",
        "only `whale`",
        "did you mean `whole`? or `input whale`",
    ]);
    space.edit("pipeline.kdl", "as whale", "as whole");

    // Another encoder.
    let other = "    encode others { from eyes; init first; network shallow-cnn to=features; side 64 }
    join mixed { patches folds.test; embeddings others; as whole }
    eval wrong { model classifier; data mixed }
    encode whole { from eyes; init first; network shallow-cnn to=feature }
}
";
    let text = space.read("pipeline.kdl").trim_end().trim_end_matches('}').to_owned();
    space.write("pipeline.kdl", text + other);
    space.macula("check pipeline.kdl").code(2).says(&["has no tap `feature`", "did you mean `features`?"]);
    space.edit("pipeline.kdl", "to=feature }", "to=features }");
    let said = space.macula("run pipeline.kdl wrong").code(2);
    said.says(&["other-embeddings", "`eval wrong` gets `whole` by `encode others`, but `train classifier` is trained"]);
}

const MAPS: &str = "    heat-map maps { model classifier; thresholds cuts; from eyes; embeddings vectors; only folds.test; stride 48; black share=0.6 }
    heat-map mapped { model gridded; from eyes; embeddings vectors grids; as whole grid; only tested; stride 48; black share=0.6 }
}
";

fn with_maps() -> Space {
    let space = Space::with(PIPELINE);
    append(&space, MAPS);
    space
}

/// Puts stages, and the end of the pipeline, at its end.
fn append(space: &Space, stages: &str) {
    let text = space.read("pipeline.kdl").trim_end().trim_end_matches('}').to_owned();
    space.write("pipeline.kdl", text + stages);
}

#[test]
fn maps_and_new_photographs_have_the_scores_of_the_patches() {
    let space = with_maps();
    space.macula("check pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0);
    for (eval, maps, model) in [("scores", "maps", "classifier"), ("of-grids", "mapped", "gridded")] {
        let photographs = same_as_patches(&space, "whole", eval, maps);
        // A photograph by itself, encoded with the weights of `first`, which is a stage of its own.
        let said = same_as_maps(&space, "whole", "eyes", model, maps, &photographs);
        said.says(&["with embeddings `"]);
    }
    let name = json(&space, "results/whole/maps/maps.json")["photographs"][0]["photograph"].clone();
    let file = format!("new/{}.png", name.as_str().expect("a name"));
    let said = space.macula(&format!("predict pipeline.kdl gridded {file} --json")).code(0);
    let found: serde_json::Value = serde_json::from_str(&said.raw).expect("JSON");
    assert_eq!(found["embeddings"][0]["input"], "grid");
    assert_eq!(found["embeddings"][0]["stage"], "grids");
    assert!(found["note"].is_null() && found["embeddings"][1].is_null());

    // Maps depend on nothing that the model does not read; one more photograph is one more map.
    let stages = |edit: [&str; 2]| {
        space.edit("pipeline.kdl", edit[0], edit[1]);
        let stages = ended(&space);
        space.edit("pipeline.kdl", edit[1], edit[0]);
        [stages["maps"].clone(), stages["mapped"].clone()]
    };
    assert_eq!(stages(["to=map; side 96", "to=map; side 128"]), ["reused", "computed"]);
    assert_eq!(stages(["to=features; side 96", "to=features; side 128"]), ["computed", "reused"]);
    space.edit("pipeline.kdl", "embeddings vectors; only folds.test; ", "embeddings vectors; ");
    let mapped = json(&space, "results/whole/maps/maps.json")["photographs"].as_array().expect("photographs").len();
    let said = space.macula("run pipeline.kdl maps").code(0);
    said.says(&[&format!("({} of 8 items computed)", 8 - mapped)]);
}

#[test]
fn controls_are_mapped_and_said() {
    let space = with_maps();
    let both = |space: &Space, control: &str| {
        let text = space.read("pipeline.kdl").replace("; as whole }", &format!("; as whole; control {control} }}"));
        space.write("pipeline.kdl", text);
    };
    both(&space, "zero");
    space.macula("run pipeline.kdl maps scores").code(0);
    let photographs = same_as_patches(&space, "whole", "scores", "maps");
    same_as_maps(&space, "whole", "eyes", "classifier", "maps", &photographs);
    space.write("pipeline.kdl", space.read("pipeline.kdl").replace("control zero", "control other"));
    let said = space.macula("run pipeline.kdl maps").code(0);
    said.says(&["control-embeddings", "trained with embeddings of other patients as `whole`"]);
    let file = format!("new/{}.png", photographs[0]);
    space
        .macula(&format!("predict pipeline.kdl classifier {file}"))
        .code(0)
        .says(&["note: the model was trained with"]);
}

#[test]
fn maps_without_the_embeddings_of_the_model_are_refused() {
    let space = with_maps();
    let check = |edit: [&str; 2], says: &[&str]| {
        space.edit("pipeline.kdl", edit[0], edit[1]);
        space.macula("check pipeline.kdl").code(2).says(says);
        space.edit("pipeline.kdl", edit[1], edit[0]);
    };
    check(
        ["from eyes; embeddings vectors; only", "from eyes; only"],
        &["missing-input", "has an input `whole`, but `heat-map maps` gets no embeddings", "embeddings STAGE }`"],
    );
    check(
        ["from eyes; embeddings vectors grids; as whole grid; only tested", "from eyes; only tested"],
        &["network `looking` of `gridded` has an input `grid`", "embeddings STAGE }`"],
    );
    check(
        ["vectors grids; as whole grid;", "vectors grids;"],
        &["input-name", "gets embeddings of 2 stages", "one name for each stage after `as`"],
    );
    check(
        ["grids; as whole grid;", "grids; as grid;"],
        &["input-name", "`as` has 1 name, but `embeddings` has 2 stages"],
    );
    check(["grids; as whole grid;", "grids; as whole gird;"], &["missing-input", "write `as grid` instead of `gird`"]);
    check(["grids; as whole grid;", "grids; as grid grid;"], &["input-name", "`as` has the name `grid` twice"]);
    // Patches that are scored without them.
    check(
        [
            "eval scores { model classifier; thresholds cuts; data tested-both }",
            "eval scores { model classifier; thresholds cuts; data folds.test }",
        ],
        &["missing-input", "the patches of `folds` have no embeddings under that name", "as whole }`"],
    );

    append(
        &space,
        "    encode tiny { from eyes; init first; network shallow-cnn to=features; side 64 }
    weights strange { file \"plain.safetensors\" }
    encode others { from eyes; init strange; network shallow-cnn to=features; side 96 }
    heat-map wrong { model classifier; from eyes; embeddings others }
    synthetic few { photographs 5; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    encode of-few { from few; init first; network shallow-cnn to=features; side 96 }
    heat-map fewer { model classifier; from eyes; embeddings of-few }
}
",
    );
    // The settings tell encoders apart before anything runs, files of weights only when they are read.
    space.edit("pipeline.kdl", "from eyes; embeddings vectors; only", "from eyes; embeddings tiny; only");
    space.macula("check pipeline.kdl").code(2).says(&[
        "error[other-embeddings]",
        "`heat-map maps` gets `whole` by `encode tiny`, but `train classifier` is trained with `encode vectors`",
    ]);
    space.edit("pipeline.kdl", "from eyes; embeddings tiny; only", "from eyes; embeddings vectors; only");
    space.macula("run pipeline.kdl plain").code(0);
    space.write("plain.safetensors", bytes(&space, "results/whole/plain/weights.safetensors"));
    space.macula("check pipeline.kdl").code(0).says(&["warning[other-embeddings]", "gets `whole` by `encode others`"]);
    space.macula("run pipeline.kdl wrong").code(1).says(&[
        "other-embeddings",
        "these photographs have embeddings by",
        "with other weights",
    ]);
    space.macula("run pipeline.kdl fewer").code(1).says(&["missing-embedding", "3 photographs without an embedding"]);
}

#[test]
fn what_cannot_be_encoded_again_is_not_scored() {
    let space = Space::with(PIPELINE);
    let twins = "synthetic twins { photographs 8; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }";
    space.edit("pipeline.kdl", "encode vectors { from eyes;", &format!("{twins}\n    encode vectors {{ from twins;"));
    space.macula("run pipeline.kdl classifier eyes").code(0);
    let photograph = space.files("results/whole/eyes").into_iter().find(|file| file.contains("/photograph."));
    let file = format!("results/whole/eyes/{}", photograph.expect("a photograph"));
    let said = space.macula(&format!("predict pipeline.kdl classifier {file}")).code(2);
    said.says(&["`vectors` encodes photographs of `twins`", "cut from those of `eyes`"]);
    // A network that does not read them can be used.
    space.macula("run pipeline.kdl plain").code(0);
    space.macula(&format!("predict pipeline.kdl plain {file}")).code(0).says_not(&["with embeddings"]);
}
