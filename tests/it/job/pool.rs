//! `pool` through the binary: pooled, compared, refused.

use macula::data::table::{Column, Columns};
use serde_json::Value;

use super::paired::{json, metric};
use crate::space::Space;

const POOLED: &str = r"pipeline pooled seed=7 {
    synthetic eyes { photographs 24; size 128; photographs-per-patient 2; healthy 0.0; severity 3.0 }
    extract tiles { from eyes; size 32 }
    one-fold a1 { patches tiles; fold 1; folds 2; network shallow-cnn; epochs 1 }
    one-fold a2 { patches tiles; fold 2; folds 2; network shallow-cnn; epochs 1 }
    one-fold b1 { patches tiles; fold 1; folds 2; network shallow-cnn; epochs 2 }
    one-fold b2 { patches tiles; fold 2; folds 2; network shallow-cnn; epochs 2 }
    pool first { of a1 a2; data tiles; calibration #true }
    pool second { of b1 b2; data tiles }
    spread table { of a1 a2 }
    threshold-tune cuts { predictions first; data tiles; maximize cost false-negative=5.0 }
    report page { of first }
}
";

#[test]
fn folds_are_pooled_and_pools_are_compared() {
    let space = Space::with(POOLED);
    space.macula("run pipeline.kdl").code(0);
    let shown = |stage: &str| json(&space.macula(&format!("show pipeline.kdl {stage} --no-pictures --json")).code(0));
    let (pool, spread) = (shown("first"), shown("table"));
    // Means over folds are those of the two evaluations, and decisions are pooled.
    for name in ["mean-average-precision", "average-precision.MA", "auroc.EX"] {
        let (pool, spread) = (
            pool["summary"]["figures"][name].as_f64().expect(name),
            spread["summary"]["figures"][name].as_f64().expect(name),
        );
        assert!((pool - spread).abs() < 1e-12, "{name}: {pool} and {spread}");
    }
    space
        .macula("show pipeline.kdl first --no-pictures")
        .code(0)
        .says(&["2 folds: mean AP", "384 patches of 24 photographs"]);
    let cuts = space.macula("show pipeline.kdl cuts").code(0);
    cuts.says(&["for the lowest cost per patch on 384 patches"]);
    let compared = space.macula("compare pipeline.kdl first second --paired").code(0);
    compared.says(&["384 patches of 24 photographs (12 patients)", "computed in each fold and averaged"]);
    let compared = json(&space.macula("compare pipeline.kdl first second --paired --json").code(0));
    let ap = metric(&compared, 0, "mean-average-precision");
    assert!(
        (ap["first"].as_f64().expect("a value")
            - pool["summary"]["figures"]["mean-average-precision"].as_f64().expect("a value"))
        .abs()
            < 1e-12
    );
    let f1 = metric(&compared, 0, "micro-f1");
    assert!(
        (f1["first"].as_f64().expect("a value") - pool["summary"]["figures"]["micro-f1"].as_f64().expect("a value"))
            .abs()
            < 1e-12
    );

    // Calibration is over the patches of both folds, with the scores that each fold's model gave them.
    let scores: Value =
        serde_json::from_slice(&std::fs::read(space.path("results/pooled/first/scores.json")).expect("scores"))
            .expect("JSON");
    let table =
        Columns::from_parquet(&std::fs::read(space.path("results/pooled/first/predictions.parquet")).expect("a table"))
            .expect("Parquet");
    let (score, label) = (table.reals("score.MA").expect("scores"), table.bools("label.MA").expect("labels"));
    let squares = score
        .iter()
        .zip(label)
        .map(|(score, label)| (score.expect("a score") - f64::from(u8::from(label.expect("a label")))).powi(2));
    let brier = squares.sum::<f64>() / score.len() as f64;
    assert!((scores["calibration"][0]["brier"].as_f64().expect("a value") - brier).abs() < 1e-12, "{brier}");
    assert!(space.path("results/pooled/first/reliability.parquet").exists());
    assert!(!space.path("results/pooled/second/reliability.parquet").exists());

    // The same scores and folds as CSV, from another program, are ranked within folds as well.
    let cells = |name: &str, row: usize| match table.get(name).expect(name) {
        Column::Text(cells) => cells[row].clone().expect("a name"),
        Column::Count(cells) => cells[row].expect("a number").to_string(),
        Column::Real(cells) => cells[row].expect("a score").to_string(),
        _ => panic!("{name}"),
    };
    let names = ["photograph", "x", "y", "fold", "score.MA", "score.HE", "score.EX", "score.SE"];
    let rows = (0..table.rows()).map(|row| names.map(|name| cells(name, row)).join(",") + "\n");
    let csv = names.join(",") + "\n" + &rows.collect::<String>();
    space.write("given/predictions.csv", csv.as_bytes());
    let more = "files given { path \"given\" }
    slice of-csv { predictions given; data tiles; by x }
    slice of-pool { predictions first; data tiles; by x }
    spread table";
    space.edit("pipeline.kdl", "spread table", more);
    space.macula("run pipeline.kdl of-csv of-pool").code(0);
    let ranked = ["of-csv", "of-pool"].map(|stage| {
        let bytes = std::fs::read(space.path(&format!("results/pooled/{stage}/slices.parquet"))).expect("slices");
        let found = Columns::from_parquet(&bytes).expect("Parquet");
        ["average_precision", "auroc"].map(|name| found.reals(name).expect(name).to_vec())
    });
    assert!(ranked[0][0].len() > 4 && ranked[0] == ranked[1], "{ranked:?}");
    space.write("given/predictions.csv", csv.replace(",1,0.", ",A,0.").into_bytes());
    space.macula("run pipeline.kdl of-csv").code(1).says(&["column `fold` must have whole numbers"]);
    space.edit("pipeline.kdl", more, "spread table");

    let halves = "split halves { from tiles }\n    pool first { of a1 a2; data halves.train }";
    space.edit("pipeline.kdl", "pool first { of a1 a2; data tiles; calibration #true }", halves);
    space.macula("run pipeline.kdl first").code(1).says(&["not-once", "patches that are not in `data`"]);
    // Both are of the first fold.
    space.edit("pipeline.kdl", halves, "pool first { of a1 b1; data tiles }");
    space.macula("run pipeline.kdl first").code(2).says(&["not-once", "`pool first` gets fold 1 twice"]);
    space.edit("pipeline.kdl", "pool first { of a1 b1;", "pool first { of a1;");
    space.macula("run pipeline.kdl first").code(2).says(&["one-evaluation"]);
}

/// Two trainings each on two folds by patient, one evaluated on a part of its fold, and on two folds by photograph.
const MANUAL: &str = r"pipeline manual seed=7 {
    synthetic eyes { photographs 16; size 128; photographs-per-patient 2; healthy 0.0; severity 3.0 }
    extract tiles { from eyes; size 64 }
    split s1 { from tiles; folds 2; fold 1; train 0.8; valid 0.2 }
    split s2 { from tiles; folds 2; fold 2; train 0.8; valid 0.2 }
    train m1 { data s1.train; valid s1.valid; network shallow-cnn; epochs 1 }
    train m2 { data s2.train; valid s2.valid; network shallow-cnn; epochs 1 }
    eval e1 { model m1; data s1.test }
    eval e2 { model m2; data s2.test }
    split p1 { from tiles; by image; folds 2; fold 1; train 0.8; valid 0.2 }
    split p2 { from tiles; by image; folds 2; fold 2; train 0.8; valid 0.2 }
    train n1 { data p1.train; valid p1.valid; network shallow-cnn; epochs 1 }
    train n2 { data p2.train; valid p2.valid; network shallow-cnn; epochs 1 }
    eval f1 { model n1; data p1.test }
    eval f2 { model n2; data p2.test }
    pool leaking { of f1 f2; data tiles }
    relabel large { from s2.test; min-pixels 40; less drop }
    eval e3 { model m2; data large }
    pool missing { of e1 e3; data tiles }
}
";

#[test]
fn patches_without_a_fold_and_patients_in_two_are_refused() {
    let space = Space::with(MANUAL);
    let refused = |stage: &str, says: &[&str]| {
        space.macula(&format!("run pipeline.kdl {stage}")).code(1).says(says);
    };
    refused("missing", &["not-once", "patches of `data` are not scored"]);
    // Folds by photograph divide patients, which no split does.
    refused("leaking", &["leak", "is in two splits"]);
    // Of the patches that were split, it is known before anything runs.
    let thirds = MANUAL.replace("tiles; folds 2", "tiles; folds 3").replace("of e1 e3", "of e1 e2");
    space.write("pipeline.kdl", thirds);
    let said = space.macula("check pipeline.kdl").code(2);
    said.says(&["not-once", "`pool missing` gets 2 of 3 folds: the patches of fold 3 have no score"]);
}
