//! Test-time augmentation, and thresholds of predictions, through the binary.

use macula::data::table::Columns;
use serde_json::Value;

use super::{PIPELINE, bytes, json, scores};
use crate::space::Space;

/// The pipeline with all its scores over eight orientations, a prediction without them, and thresholds tuned on predictions.
fn pipeline() -> String {
    let tta =
        |text: String, stage: &str| text.replacen(&format!("{stage} {{"), &format!("{stage} {{ tta dihedral;"), 1);
    let stages = ["threshold-tune cuts", "eval scores", "predict guesses", "heat-map maps"];
    let text = stages.into_iter().fold(PIPELINE.to_owned(), tta);
    let more = "    predict plain { model classifier; data folds.test }
    predict validated { model classifier; data folds.valid; tta dihedral }
    threshold-tune same-cuts { predictions validated; data folds.valid }
";
    format!("{}{more}}}\n", text.trim_end().trim_end_matches('}'))
}

/// Scores of the patches, in the order of the set.
fn of_patches(space: &Space, stage: &str) -> Vec<Option<f64>> {
    let table = bytes(space, &format!("results/small/{stage}/predictions.parquet"));
    Columns::from_parquet(&table).expect("a table").reals("score.EX").expect("scores").to_vec()
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
    let (turned, plain) = (of_patches(&space, "guesses"), of_patches(&space, "plain"));
    assert!(turned.len() > 10 && turned.len() == plain.len() && turned != plain);
    assert_eq!(json(&space, "results/small/cuts/thresholds.json")["tta"], "dihedral");
    // The same thresholds from predictions.
    let classes = |stage: &str| json(&space, &format!("results/small/{stage}/thresholds.json"))["classes"].clone();
    assert_eq!(classes("cuts"), classes("same-cuts"));

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
    space.macula("run pipeline.kdl judged").code(1).says(&["missing-port", "`tta` needs `model`"]);
    space.edit("pipeline.kdl", "threshold-tune cuts { tta dihedral; model classifier;", "threshold-tune cuts {");
    space.macula("run pipeline.kdl cuts").code(1).says(&["missing-port", "`model` or `predictions` is required"]);
}
