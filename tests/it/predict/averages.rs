//! Means of several classifiers' scores over photographs: in maps, and for new photographs.

use macula::data::table::Columns;
use serde_json::Value;

use super::{PIPELINE, bytes, json, scores};
use crate::space::Space;

/// The pipeline with a second training, an average of both, and maps by both.
fn pipeline() -> String {
    let text = PIPELINE.trim_end().trim_end_matches('}');
    let from = text.find("    train classifier {").expect("a training");
    let until = from + text[from..].find("\n    }\n").expect("its end") + 7;
    let second = text[from..until].replacen("train classifier {", "train second {\n        replicate 1", 1);
    let more = "    predict valid-one { model classifier; data folds.valid }
    predict valid-two { model second; data folds.valid }
    predict one { model classifier; data folds.test }
    predict two { model second; data folds.test }
    average chosen { of valid-one valid-two; data folds.valid }
    average both { of one two; data folds.test }
    threshold-tune both-cuts { predictions chosen; data folds.valid }
    heat-map maps-one { model classifier; from half; only folds.test; stride 48; black share=0.6 }
    heat-map maps-two { model second; from half; only folds.test; stride 48; black share=0.6 }
    heat-map maps-both { model classifier second; thresholds both-cuts; from half; only folds.test; stride 48; black share=0.6 }
";
    format!("{text}{second}{more}}}\n")
}

/// Scores of a photograph's patches by class `EX`.
fn of_patches(space: &Space, stage: &str, name: &str) -> Vec<f64> {
    let table = bytes(space, &format!("results/small/{stage}/{name}/patches.parquet"));
    let table = Columns::from_parquet(&table).expect("a table");
    table.reals("score.EX").expect("scores").iter().map(|score| score.expect("a score")).collect()
}

#[test]
fn maps_and_new_photographs_get_the_mean_of_several_models() {
    let space = Space::with(&pipeline());
    space.macula("run pipeline.kdl maps-one maps-two maps-both both").code(0);
    let maps = json(&space, "results/small/maps-both/maps.json");
    let name = maps["photographs"][0]["photograph"].as_str().expect("a name").to_owned();
    let [one, two, both] = ["maps-one", "maps-two", "maps-both"].map(|stage| of_patches(&space, stage, &name));
    assert!(one.len() > 4 && one != two);
    for ((one, two), both) in one.iter().zip(&two).zip(&both) {
        assert!((both - f64::midpoint(*one, *two)).abs() < 1e-12);
    }
    assert_eq!(maps["thresholds"].as_array().map(Vec::len), Some(4), "{maps}");

    // The same photograph as a new one.
    let photographs = space.files("results/small/eyes");
    let photograph = photographs.iter().find(|file| file.starts_with(&format!("{name}/photograph."))).expect("there");
    let file = format!("new/{name}.png");
    space.write(&file, bytes(&space, &format!("results/small/eyes/{photograph}")));
    let verb = format!("predict pipeline.kdl both {file} --stride 48");
    let said = space.macula(&format!("{verb} --out looked")).code(0);
    said.says(&["`both` of pipeline.kdl", "mean scores of `classifier`, `second`", "thresholds of `both-cuts`"]);
    let of = |folder: &str| {
        let scores = scores(&space, &format!("{folder}/{name}/scores.safetensors"));
        scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(of("looked"), of("results/small/maps-both"));
    let found: Value = serde_json::from_str(&space.macula(&format!("{verb} --json")).code(0).raw).expect("JSON");
    assert_eq!(found["members"], serde_json::json!(["classifier", "second"]));
    assert_eq!(found["thresholds"]["stage"], "both-cuts");
    // Photographs that either of them was trained on are named.
    let fitted = photographs.iter().filter_map(|file| file.strip_suffix("/photograph.png"));
    let fitted = fitted.filter(|other| *other != name);
    for other in fitted.clone() {
        space.write(&format!("new/{other}.png"), bytes(&space, &format!("results/small/eyes/{other}/photograph.png")));
    }
    let all: Vec<String> = fitted.map(|other| format!("new/{other}.png")).collect();
    space.macula(&format!("predict pipeline.kdl both {}", all.join(" "))).code(0).says(&["`both` was trained on 3 of"]);
}

#[test]
fn models_that_cannot_be_averaged_are_refused() {
    let space = Space::with(&pipeline().replace(
        "    predict valid-one",
        "    extract smaller { from half; size 32 }
    split sides { from smaller; like folds }
    train small { data sides.train; valid sides.valid; network shallow-cnn; epochs 1; batch 16 }
    heat-map wrong { model classifier small; from half; only folds.test }
    predict valid-one",
    ));
    space.macula("run pipeline.kdl wrong").code(1).says(&["models-differ", "patches of 48 px", "patches of 32 px"]);
    space.macula("run pipeline.kdl both").code(0);
    space.edit("pipeline.kdl", "average both { of one two;", "average both { of one chosen;");
    let eye = bytes(&space, "results/small/eyes/set.json");
    space.write("new/eye.png", eye);
    space.macula("predict pipeline.kdl both new/eye.png").code(2).says(&["cannot be repeated", "`average chosen`"]);
    space.edit("pipeline.kdl", "average both { of one chosen;", "average both { of one two;");
    space.edit("pipeline.kdl", "predict two { model second;", "predict two { model second; tta dihedral;");
    space.macula("predict pipeline.kdl both new/eye.png").code(2).says(&["different `tta`"]);
}
