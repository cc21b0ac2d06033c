//! Suspicious labels are ranked by scikit-learn's log loss (`tests/expected/suspects.py`), pictured, and warned of if memorised.

use macula::learn::evaluation::{ScoredSet, suspects};
use serde_json::Value;

use super::sets::{numbers, of_one_class};
use crate::space::Space;

#[test]
fn labels_are_ranked_by_the_log_loss_of_scikit_learn() {
    let json: Value = serde_json::from_str(include_str!("../../expected/suspects.json")).expect("JSON");
    for (number, case) in json["cases"].as_array().expect("cases").iter().enumerate() {
        let set = of_one_class(case);
        let found = suspects(&ScoredSet::of_scores(&set, numbers(&case["score"])));
        let expected = ["labelled-absent", "labelled-present"].into_iter().flat_map(|kind| {
            let ranked = case["expected"][kind].as_array().expect(kind).iter().zip(1u64..);
            ranked.map(move |(row, rank)| (kind, rank, numbers(row)))
        });
        let expected: Vec<(&str, u64, Vec<f64>)> = expected.collect();
        assert_eq!(found.len(), expected.len(), "case {number}: known labels only");
        for (suspect, (kind, rank, row)) in found.iter().zip(expected) {
            assert_eq!((suspect.kind.name(), suspect.rank, suspect.row as f64), (kind, rank, row[0]), "case {number}");
            assert!((suspect.loss - row[1]).abs() < 1e-9, "case {number}: {suspect:?}, {row:?}");
        }
    }
}

const PIPELINE: &str = r"pipeline doubted seed=7 {
    synthetic eyes { photographs 12; size 128; photographs-per-patient 2; healthy 0.0; severity 3.0 }
    extract tiles { from eyes; size 32; margin 8 }
    split sides { from tiles; train 0.5; valid 0.25; test 0.25 }
    train classifier { data sides.train; valid sides.valid; network shallow-cnn; epochs 1 }
    predict guesses { model classifier; data sides.test }
    suspects doubtful { predictions guesses; data sides.test; masks eyes; top 3 }
    suspects plain { predictions guesses; data sides.test; top 2 }
    report page { of doubtful }
}
";

#[test]
fn suspects_are_listed_with_pictures_of_their_surroundings() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    let files = space.files("results/doubted/doubtful");
    let pictures = files.iter().filter(|file| file.starts_with("pictures/")).count();
    assert_eq!(pictures, 4 * 2 * 3, "three of each class and label: {files:?}");
    assert!(files.contains(&"sheet.png".to_owned()) && files.contains(&"suspects.parquet".to_owned()));
    let read = |path: &str| std::fs::read(space.path(&format!("results/doubted/{path}"))).expect(path);
    let same = "pictures/1-MA/labelled-present-001.png";
    assert_ne!(read(&format!("doubtful/{same}")), read(&format!("plain/{same}")), "with outlines, or without");
    let said = space.macula("show pipeline.kdl doubtful --all").code(0);
    said.says(&["labelled absent, scored 0.9 or more: MA", "labelled present", "suspects.parquet", "analysis.png"]);
    let page = space.read("results/doubted/page/report.html");
    assert!(page.contains("MA labelled absent, highest scores first"), "{page}");
    assert!(!page.contains("synthetic_0"), "names are numbers");
}

#[test]
fn memorised_labels_are_warned_of_before_anything_runs() {
    let space = Space::with(PIPELINE);
    let said = space.macula("check pipeline.kdl").code(0);
    said.says_not(&["memorised-labels"]);
    space.write("pipeline.kdl", PIPELINE.replace("sides.test", "sides.train"));
    let said = space.macula("check pipeline.kdl");
    said.says(&["memorised-labels", "`suspects doubtful` gets patches that `train classifier` is trained on"]);
    // An evaluation that was meant to be of training patches says so itself.
    let memory = "eval guesses { model classifier; data sides.test; diagnosis #true }";
    let text = PIPELINE.replace("predict guesses { model classifier; data sides.test }", memory);
    space.write("pipeline.kdl", text.replace("sides.test", "sides.train"));
    space
        .macula("run pipeline.kdl plain")
        .code(0)
        .says(&["memorised-labels", "labels that it has memorised look right"]);
    let other = "synthetic others { photographs 12; size 128 }\n    suspects doubtful { predictions guesses; data sides.test; masks others;";
    space.write(
        "pipeline.kdl",
        PIPELINE.replace("suspects doubtful { predictions guesses; data sides.test; masks eyes;", other),
    );
    space.macula("run pipeline.kdl doubtful").code(1).says(&["other-masks"]);
}
