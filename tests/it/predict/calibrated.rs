//! Calibrated classifiers through the binary: every stage applies the calibration, and nobody else notices.

use macula::data::table::Columns;
use macula::learn::calibration::LogOddsLine;
use serde_json::Value;

use super::{bytes, json, same_as_patches};
use crate::space::Space;

/// Enough photographs for positives and negatives of most classes on each side.
const PIPELINE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 16; size 256; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 32 }
    filter-black visible { from patches; share 0.6 }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        epochs 2
        batch 32
        optimizer adamw lr=2e-3
    }
    eval scores { model classifier; data folds.test }
}
";

/// The pipeline with `more` stages.
fn with(more: &str) -> String {
    format!("{}{more}}}\n", PIPELINE.trim_end().trim_end_matches('}'))
}

/// A calibrated classifier, and what is done with it.
const CALIBRATED: &str = "    calibrate honest { model classifier; data folds.valid }
    predict valid-scores { model classifier; data folds.valid }
    calibrate given { model classifier; predictions valid-scores; data folds.valid }
    calibrate cooler { model honest; data folds.valid; method temperature }
    eval calibrated { model honest; data folds.test; calibration #true }
    eval twice { model cooler; data folds.test }
    heat-map honest-maps { model honest; from eyes; only folds.test; stride 32; black share=0.6 }
    report page { of honest calibrated }
";

fn column(space: &Space, stage: &str, name: &str) -> Vec<f64> {
    let table = Columns::from_parquet(&bytes(space, &format!("results/small/{stage}/predictions.parquet")));
    table.expect("a table").reals(name).expect("scores").iter().map(|score| score.expect("a score")).collect()
}

fn line(space: &Space, stage: &str, class: usize) -> LogOddsLine {
    let model = json(space, &format!("results/small/{stage}/model.json"));
    serde_json::from_value(model["calibration"]["lines"][class].clone()).expect("a line")
}

#[test]
fn all_stages_apply_a_calibration() {
    let space = Space::with(&with(CALIBRATED));
    space.macula("run pipeline.kdl").code(0);
    assert_eq!(json(&space, "results/small/classifier/model.json")["calibration"], Value::Null);
    // EX is the third class.
    let own = line(&space, "honest", 2);
    assert!(own.slope > 0.0 && own != LogOddsLine::IDENTITY, "{own:?}");
    assert_eq!(own, line(&space, "given", 2), "the same scores");
    let (before, after) = (column(&space, "scores", "score.EX"), column(&space, "calibrated", "score.EX"));
    assert!(before.len() > 10);
    for (before, after) in before.iter().zip(&after) {
        assert!((own.apply(*before) - after).abs() < 1e-12, "{before} {after}");
    }
    let again = line(&space, "cooler", 2);
    for (before, after) in before.iter().zip(column(&space, "twice", "score.EX")) {
        assert!((again.apply(*before) - after).abs() < 1e-9, "{before} {after}");
    }
    same_as_patches(&space, "small", "calibrated", "honest-maps");

    // Ranking metrics stay, and calibration is reported where it was asked for.
    let (plain, checked) =
        (json(&space, "results/small/scores/scores.json"), json(&space, "results/small/calibrated/scores.json"));
    assert_eq!(plain["ranking"], checked["ranking"]);
    assert_eq!(plain["calibration"], Value::Null);
    let brier = checked["calibration"][2]["brier"].as_f64().expect("a Brier score");
    assert!((0.0..0.5).contains(&brier), "{brier}");
    let bins = Columns::from_parquet(&bytes(&space, "results/small/calibrated/reliability.parquet")).expect("a table");
    assert!(bins.rows() > 4 && !space.path("results/small/scores/reliability.parquet").exists());
    space.macula("show pipeline.kdl calibrated --all").code(0).says(&["calibration", "ECE", "uncertainty"]);
    let page = String::from_utf8(bytes(&space, "results/small/page/report.html")).expect("text");
    assert!(page.contains("Reliability of EX") && page.contains("observed frequency"));

    // A new photograph is scored with the calibration.
    let maps = json(&space, "results/small/honest-maps/maps.json");
    let name = maps["photographs"][0]["photograph"].as_str().expect("a name").to_owned();
    let photographs = space.files("results/small/eyes");
    let photograph = photographs.iter().find(|file| file.starts_with(&format!("{name}/photograph."))).expect("there");
    let file = format!("new/{name}.png");
    space.write(&file, bytes(&space, &format!("results/small/eyes/{photograph}")));
    space.macula(&format!("predict pipeline.kdl honest {file} --stride 32 --out looked")).code(0);
    let of = |folder: &str| {
        let scores = super::scores(&space, &format!("{folder}/{name}/scores.safetensors"));
        scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(of("looked"), of("results/small/honest-maps"));
}

#[test]
fn a_prior_shift_is_that_of_the_sampler_and_mistakes_are_refused() {
    let more = "    rebalance even { from folds.train; lesions undersample }
    calibrate prior { model classifier; data folds.valid; trained folds.train; method prior; sampler balanced; take EX 3 }
    eval shifted { model prior; data folds.test }
";
    let sampled = "epochs 2\n        sampler balanced\n        take EX 3";
    let space = Space::with(&with(more).replace("epochs 2", sampled));
    space.macula("run pipeline.kdl scores shifted").code(0);
    // EX, the third class, is rarer in nature than in an epoch that takes it three times.
    let own = line(&space, "prior", 2);
    assert!(own.slope == 1.0 && own.intercept < -0.2, "{own:?}");
    let (before, after) = (column(&space, "scores", "score.EX"), column(&space, "shifted", "score.EX"));
    assert!(!before.is_empty() && before.iter().zip(&after).all(|(before, after)| after < before));
    let changed = |from: &str, to: &str, code: i32, says: &[&str]| {
        space.edit("pipeline.kdl", from, to);
        space.macula("run pipeline.kdl shifted").code(code).says(says);
        space.edit("pipeline.kdl", to, from);
    };
    changed("trained folds.train; method", "method", 2, &["missing-port", "need the patches that they drew from"]);
    changed("trained folds.train; method", "trained even; method", 1, &["other-training-data"]);
    changed("eval shifted { model", "eval shifted { tta dihedral; model", 2, &["calibration-tta", "`tta none`"]);
    let again = "calibrate again { model prior; data folds.valid; method prior }\n    eval shifted { model again;";
    changed("eval shifted { model prior;", again, 1, &["calibrated already"]);
    space.edit("pipeline.kdl", "method prior; sampler balanced", "method platt; sampler balanced");
    space.macula("check pipeline.kdl").code(2).says(&["not-of-method", "only to `method prior`"]);
}
