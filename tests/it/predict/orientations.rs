//! Test-time augmentation and means of predictions, through the binary.

use std::collections::BTreeMap;

use macula::data::table::Columns;
use serde_json::Value;

use super::{PIPELINE, bytes, json, scores};
use crate::space::Space;

/// The pipeline with all its scores over eight orientations, and a prediction without them, the mean of both, and thresholds of that.
fn pipeline() -> String {
    let tta =
        |text: String, stage: &str| text.replacen(&format!("{stage} {{"), &format!("{stage} {{ tta dihedral;"), 1);
    let stages = ["threshold-tune cuts", "eval scores", "predict guesses", "heat-map maps"];
    let text = stages.into_iter().fold(PIPELINE.to_owned(), tta);
    let more = "    predict plain { model classifier; data folds.test }
    average both { of guesses plain; data folds.test }
    predict valid-plain { model classifier; data folds.valid }
    predict valid-turned { model classifier; data folds.valid; tta dihedral }
    average valid-both { of valid-plain valid-turned; data folds.valid }
    threshold-tune both-cuts { predictions valid-both; data folds.valid }
    eval of-both { predictions both; thresholds both-cuts; data folds.test }
";
    format!("{}{more}}}\n", text.trim_end().trim_end_matches('}'))
}

/// Score of each patch.
fn by_patch(space: &Space, stage: &str) -> BTreeMap<String, f64> {
    let table = bytes(space, &format!("results/small/{stage}/predictions.parquet"));
    let table = Columns::from_parquet(&table).expect("a table");
    let names = table.texts("photograph").expect("names").iter().cloned();
    let places = table.counts("x").expect("x").iter().copied().zip(table.counts("y").expect("y").iter().copied());
    let score = table.reals("score.EX").expect("scores").iter().map(|score| score.expect("a score"));
    names.zip(places).zip(score).map(|((name, (x, y)), score)| (format!("{name:?} at {x:?}, {y:?}"), score)).collect()
}

#[test]
fn orientations_change_all_scores_alike_and_thresholds_belong_to_them() {
    let space = Space::with(&pipeline());
    let said = space.macula("run pipeline.kdl").code(0);
    assert!(!said.stdout.contains("tta-differs"), "{}", said.stdout);
    for file in ["scores.json", "predictions.parquet"] {
        let of = |stage: &str| bytes(&space, &format!("results/small/{stage}/{file}"));
        assert!(of("scores") == of("judged"), "{file}");
    }
    let (turned, plain, both) = (by_patch(&space, "guesses"), by_patch(&space, "plain"), by_patch(&space, "both"));
    assert!(turned.len() > 10 && turned.iter().any(|(patch, score)| *score != plain[patch]));
    for (patch, mean) in &both {
        assert!((mean - f64::midpoint(turned[patch], plain[patch])).abs() < 1e-12, "{patch:?}");
    }
    assert_eq!(json(&space, "results/small/cuts/thresholds.json")["tta"], "dihedral");
    assert_eq!(json(&space, "results/small/both-cuts/thresholds.json")["tta"], Value::Null);

    // A new photograph is scored as the thresholds were tuned.
    let name = json(&space, "results/small/maps/maps.json")["photographs"][0]["photograph"].clone();
    let name = name.as_str().expect("a name");
    let photographs = space.files("results/small/eyes");
    let photograph = photographs.iter().find(|file| file.starts_with(&format!("{name}/photograph."))).expect("there");
    let file = format!("new/{name}.png");
    space.write(&file, bytes(&space, &format!("results/small/eyes/{photograph}")));
    let verb = format!("predict pipeline.kdl classifier {file} --stride 48");
    space.macula(&format!("{verb} --out looked")).code(0).says(&["scores are means over 8 orientations"]);
    let of = |folder: &str| {
        let scores = scores(&space, &format!("{folder}/{name}/scores.safetensors"));
        scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(of("looked"), of("results/small/maps"));
    let found: Value = serde_json::from_str(&space.macula(&format!("{verb} --json")).code(0).raw).expect("JSON");
    assert_eq!(found["tta"], "dihedral");

    // Scores with other orientations than those of the thresholds.
    space.edit("pipeline.kdl", "eval scores { tta dihedral;", "eval scores {");
    space.macula("run pipeline.kdl scores").code(0).says(&["tta-differs", "tuned with `tta dihedral`"]);
    space.edit("pipeline.kdl", "eval judged {", "eval judged { tta dihedral;");
    space.macula("run pipeline.kdl judged").code(2).says(&["missing-port", "`tta` needs `model`"]);
    space.edit("pipeline.kdl", "eval judged { tta dihedral;", "eval judged {");
    space.edit("pipeline.kdl", "of guesses plain;", "of guesses;");
    space.macula("run pipeline.kdl both").code(2).says(&["one-prediction", "connect several"]);
    space.edit("pipeline.kdl", "of guesses;", "of guesses plain;");
    space.edit("pipeline.kdl", "threshold-tune cuts { tta dihedral; model classifier;", "threshold-tune cuts {");
    space.macula("run pipeline.kdl cuts").code(2).says(&["missing-port", "`model` or `predictions` is required"]);
}
