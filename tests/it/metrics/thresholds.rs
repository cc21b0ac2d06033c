//! Tuned thresholds are those that `tests/expected/thresholds.py` finds by trying all of them with scikit-learn.

use macula::learn::metrics::cut_points;
use macula::learn::thresholds::{Criterion, tune};
use serde_json::Value;

#[test]
fn thresholds_are_those_of_trying_all_with_scikit_learn() {
    let json: Value = serde_json::from_str(include_str!("../../expected/thresholds.json")).unwrap();
    let cases = json["cases"].as_array().unwrap();
    let criteria = [
        ("f1", Criterion::F1),
        ("f-beta 2", Criterion::FBeta { beta: 2.0 }),
        ("f-beta 0.5", Criterion::FBeta { beta: 0.5 }),
        ("precision at recall 0.8", Criterion::Precision { recall: 0.8 }),
        ("recall at precision 0.6", Criterion::Recall { precision: 0.6 }),
        ("cost 5 1", Criterion::Cost { false_negative: 5.0, false_positive: 1.0 }),
        ("cost 1 4", Criterion::Cost { false_negative: 1.0, false_positive: 4.0 }),
    ];
    let (mut met, mut never) = (0, 0);
    for (number, case) in cases.iter().enumerate() {
        let scores = case["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap());
        let labels = case["labels"].as_array().unwrap().iter().map(|label| label == 1);
        let cuts = cut_points(scores.zip(labels));
        for (name, criterion) in criteria {
            let (found, expected) = (tune(&cuts, criterion).unwrap(), &case["best"][name]);
            assert_eq!(found.met, !expected.is_null(), "{name} in case {number}");
            if !found.met {
                continue;
            }
            met += 1;
            never += u32::from(found.threshold > cuts[0].score);
            for (what, value) in [("figure", found.figure), ("low", found.low), ("high", found.high)] {
                let expected = expected[what].as_f64().unwrap();
                assert!((value - expected).abs() < 1e-9, "{what} of {name} in case {number}: {value}, not {expected}");
            }
        }
    }
    assert!(met > 25 && never > 0, "{met} {never}");
}
