//! Slices agree with scikit-learn's metrics on the same patches (`tests/expected/slices.py`), and through the binary.

use macula::base::Streams;
use macula::learn::evaluation::{ScoredSet, SliceCuts, SliceValues, SlicedSet, Slices};
use serde_json::Value;

use super::sets::{numbers, of_one_class};
use crate::space::Space;

/// The slices of a case.
fn sliced(case: &Value) -> Slices {
    let set = of_one_class(case);
    let scores = numbers(&case["score"]);
    let threshold = case["threshold"].as_f64().expect("a threshold");
    let set = SlicedSet {
        decided: scores.iter().map(|score| *score >= threshold).collect(),
        fold: numbers(&case["fold"]).into_iter().map(|fold| fold as u32).collect(),
        judged: ScoredSet::of_scores(&set, scores),
    };
    let pixels = SliceValues::Numbers(numbers(&case["pixels"]).into_iter().map(Some).collect());
    let cuts = SliceCuts::Quantiles(case["strata"].as_u64().expect("a count") as usize);
    set.slices("lesion-pixels", &|_| pixels.clone(), &cuts, true, &Streams::new(7, "slice"))
}

#[test]
fn slices_agree_with_scikit_learn() {
    let json: Value = serde_json::from_str(include_str!("../../expected/slices.json")).expect("JSON");
    let cases = json["cases"].as_array().expect("cases");
    assert!(cases.len() >= 5, "the expected values are there");
    let mut with_interval = 0;
    for (number, case) in cases.iter().enumerate() {
        let found = sliced(case);
        let expected = case["expected"].as_array().expect("strata");
        let strata = &found.classes[0].strata;
        let limits: Vec<f64> = strata.iter().filter_map(|stratum| stratum.from).collect();
        let same = limits.iter().zip(numbers(&case["limits"])).all(|(one, other)| (one - other).abs() < 1e-9);
        assert!(same && strata.len() == expected.len(), "case {number}: {limits:?} and {}", case["limits"]);
        for (stratum, expected) in strata.iter().zip(expected) {
            let metrics = &stratum.metrics;
            let counts = [metrics.positives, metrics.photographs, metrics.groups];
            let counts_expected = ["positives", "photographs", "groups"].map(|name| expected[name].as_u64().unwrap());
            assert_eq!(counts, counts_expected, "case {number}, {}", stratum.name);
            let estimates = [metrics.recall, metrics.precision, metrics.average_precision, metrics.auroc];
            for ((found, value), at) in estimates.iter().zip(numbers(&expected["values"])).zip(0..) {
                let own = found.value.expect("a value");
                assert!((own - value).abs() < 1e-9, "case {number}, {}, metric {at}: {own}, {value}", stratum.name);
                assert_eq!(found.interval.is_some(), metrics.groups >= 10, "case {number}, {}", stratum.name);
                let Some(interval) = found.interval.filter(|_| !expected["intervals"].is_null()) else { continue };
                let ends = |name: &str| numbers(&expected["intervals"][name][at]);
                // Both are of random resamples: the script has the standard deviation of such ends.
                for ((end, mean), deviation) in
                    [interval.low, interval.high].iter().zip(ends("mean")).zip(ends("deviation"))
                {
                    let apart = (end - mean).abs();
                    let near = 4.0 * deviation + 1e-3;
                    assert!(apart < near, "case {number}, {}, metric {at}: {end} and {mean}", stratum.name);
                }
                with_interval += 1;
            }
        }
    }
    assert!(with_interval >= 8, "intervals were compared");
}

const PIPELINE: &str = r#"pipeline sliced seed=7 {
    synthetic eyes { photographs 24; size 128; photographs-per-patient 2; healthy 0.0; severity 3.0 }
    extract tiles { from eyes; size 32 }
    one-fold a1 { patches tiles; fold 1; folds 2; network shallow-cnn; epochs 1 }
    one-fold a2 { patches tiles; fold 2; folds 2; network shallow-cnn; epochs 1 }
    pool all { of a1 a2; data tiles }
    files facts { path "facts.csv" }
    slice by-size { predictions all; data tiles; limits 10 40 }
    slice whole { predictions all; data tiles; quantiles 1 }
    slice by-photograph { predictions all; data tiles; by photograph }
    slice by-camera { predictions all; data tiles; table facts; by column name=camera }
    report page { of by-size by-photograph by-camera }
}
"#;

#[test]
fn slices_of_a_pool_are_ranked_within_folds_and_shown() {
    let space = Space::with(PIPELINE);
    let camera = |at: u32| if at.is_multiple_of(3) { "new" } else { "old" };
    let rows: Vec<String> = (1..=22).map(|at| format!("synthetic_{at:05},{}", camera(at))).collect();
    space.write("facts.csv", format!("photograph,camera\n{}\n", rows.join("\n")));
    space.macula("run pipeline.kdl").code(0);
    let shown = |stage: &str| -> Value {
        let said = space.macula(&format!("show pipeline.kdl {stage} --no-pictures --json")).code(0);
        serde_json::from_str(&said.raw).expect("JSON")
    };
    // One stratum of all positives has the metrics of the pool.
    let (pool, whole) = (shown("all"), shown("whole"));
    for (own, pooled) in [("lowest-recall.EX", "recall.EX"), ("lowest-average-precision.MA", "average-precision.MA")] {
        let value = |of: &Value, name: &str| of["summary"]["figures"][name].as_f64().expect(name);
        assert!((value(&whole, own) - value(&pool, pooled)).abs() < 1e-12, "{own}: {whole:#}");
    }
    let said = space.macula("show pipeline.kdl by-size --all --no-pictures").code(0);
    said.says(&[
        "recall by lesion-pixels",
        "below 10",
        "10 to 40",
        "40 and more",
        "against all negatives, ranked within folds",
    ]);
    // Photographs without a row in the table are a stratum of their own.
    let without = "2 of 24 photographs have no row in the table, such as `synthetic_00023`";
    let said = space.macula("show pipeline.kdl by-camera --all --no-pictures").code(0);
    said.says(&["camera", "new", "old", "unknown", "photograph-table", without]);
    let page = space.read("results/sliced/page/report.html");
    assert!(page.contains("Analyses") && page.contains("photograph 1") && !page.contains("synthetic_00001"), "{page}");
}

#[test]
fn slices_that_cannot_be_made_are_refused_before_anything_runs() {
    let space = Space::with(PIPELINE);
    let refused = |old: &str, new: &str, says: &[&str]| {
        space.write("pipeline.kdl", PIPELINE.replace(old, new));
        space.macula("check pipeline.kdl").code(2).says(says);
    };
    refused("table facts; by column name=camera", "by column name=camera", &["`by column` needs `table`"]);
    refused("; by column name=camera", "; by brightness", &["`table` is not used with `by brightness`"]);
    refused("limits 10 40", "limits 40 10", &["slice-limits", "`limits` must ascend"]);
    refused("; by photograph", "; by photograph; limits 10", &["slice-limits", "`photograph` is text"]);
    refused("limits 10 40", "limits 10 40; quantiles 3", &["quantiles"]);
    // The table is read before anything is trained.
    space.write("pipeline.kdl", PIPELINE);
    space.write("facts.csv", "photograph,age\nsynthetic_00001,40\n");
    space.macula("plan pipeline.kdl").says(&["photograph-table", "column `camera` is missing"]);
    space.macula("run pipeline.kdl by-camera").says(&["photograph-table", "its columns are `photograph`, `age`"]);
    assert!(space.files("results").is_empty(), "nothing ran");
}
