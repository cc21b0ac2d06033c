//! Metrics agree with scikit-learn's to 1e-9; the values come from `tests/expected/metrics.py`.

use macula::data::patches::Label;
use macula::learn::metrics::{LabelledScores, Mean, ZeroDivision, at, baselines, mean_average_precision, ranking};
use serde_json::Value;

struct Case {
    name: String,
    json: Value,
    scored: LabelledScores,
    thresholds: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let json: Value = serde_json::from_str(include_str!("../../expected/metrics.json")).unwrap();
    let cases = json["cases"].as_array().unwrap().clone();
    assert!(cases.len() >= 30, "the expected values are there");
    cases.into_iter().enumerate().map(|(i, json)| case(format!("case {i}"), json)).collect()
}

fn case(name: String, json: Value) -> Case {
    let flat = |key: &str| json[key].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().clone());
    let scores: Vec<f64> = flat("scores").map(|score| score.as_f64().unwrap()).collect();
    let label = |value: Value| match value.as_u64() {
        Some(0) => Label::Absent,
        Some(_) => Label::Present,
        None => Label::Unknown,
    };
    let labels: Vec<Label> = flat("labels").map(label).collect();
    let thresholds: Vec<f64> = json["thresholds"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
    Case { name, scored: LabelledScores::new(thresholds.len(), scores, labels), thresholds, json }
}

#[track_caller]
fn same(what: &str, got: Option<f64>, expected: &Value) {
    match (got, expected.as_f64()) {
        (Some(got), Some(expected)) if (got - expected).abs() < 1e-9 => {}
        (None, None) => {}
        (got, expected) => panic!("{what}: {got:?}, scikit-learn has {expected:?}"),
    }
}

#[track_caller]
fn same_mean(what: &str, got: Mean, expected: &Value) {
    same(what, got.value, &expected["value"]);
    assert_eq!(got.classes as u64, expected["classes"].as_u64().unwrap(), "{what}: classes in the mean");
}

#[test]
fn average_precision_and_auroc_agree_with_scikit_learn() {
    for Case { name, json, scored, .. } in cases() {
        let rankings = ranking(&scored);
        for (k, class) in rankings.iter().enumerate() {
            same(&format!("{name}, AP of {k}"), class.average_precision, &json["ranking"][k]["average_precision"]);
            same(&format!("{name}, AUROC of {k}"), class.auroc, &json["ranking"][k]["auroc"]);
        }
        same_mean(&format!("{name}, mAP"), mean_average_precision(&rankings), &json["mean_average_precision"]);
    }
}

#[test]
fn metrics_at_thresholds_agree_with_scikit_learn() {
    let zeros = [("undefined", ZeroDivision::Undefined), ("zero", ZeroDivision::Zero), ("one", ZeroDivision::One)];
    for Case { name, json, scored, thresholds } in cases() {
        for (zero_name, zero) in zeros {
            let figures = at(&scored, &thresholds, zero);
            let expected = &json["figures"][zero_name];
            let pairs = figures.classes.iter().enumerate().map(|(k, class)| (class, &expected["classes"][k]));
            for (class, expected) in pairs.chain([(&figures.micro, &expected["micro"])]) {
                let what = |figure: &str| format!("{name}, {zero_name}, {figure}");
                same(&what("precision"), class.precision, &expected["precision"]);
                same(&what("recall"), class.recall, &expected["recall"]);
                same(&what("F1"), class.f1, &expected["f1"]);
                let silent = zero == ZeroDivision::Undefined && class.counts.positives() == 0;
                if !silent {
                    same(&what("F2"), class.counts.f_beta(2.0, zero), &expected["f2"]);
                }
            }
            same_mean(
                &format!("{name}, {zero_name}, macro precision"),
                figures.macro_precision,
                &expected["macro_precision"],
            );
            same_mean(&format!("{name}, {zero_name}, macro recall"), figures.macro_recall, &expected["macro_recall"]);
            same_mean(&format!("{name}, {zero_name}, macro F1"), figures.macro_f1, &expected["macro_f1"]);
            same(&format!("{name}, Hamming"), figures.hamming_loss, &json["hamming_loss"]);
            same(&format!("{name}, subset"), figures.subset_accuracy, &json["subset_accuracy"]);
        }
    }
}

#[test]
fn confusion_counts_agree_with_scikit_learn() {
    for Case { name, json, scored, thresholds } in cases() {
        for (k, class) in at(&scored, &thresholds, ZeroDivision::Undefined).classes.iter().enumerate() {
            let c = class.counts;
            let got = [c.true_negatives, c.false_positives, c.false_negatives, c.true_positives];
            let expected: Vec<u64> =
                json["confusion"][k].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
            assert_eq!(got.as_slice(), expected, "{name}, class {k}");
        }
    }
}

#[test]
fn trivial_baselines_agree_with_scikit_learn() {
    for Case { name, json, scored, .. } in cases() {
        let all = baselines(&scored);
        for (k, class) in all.classes.iter().enumerate() {
            same(&format!("{name}, prevalence"), class.prevalence, &json["baselines"][k]["prevalence"]);
            same(&format!("{name}, always yes"), class.always_yes_f1, &json["baselines"][k]["always_yes_f1"]);
        }
        let healthy = &json["always_healthy_subset_accuracy"];
        same(&format!("{name}, always healthy"), all.always_healthy_subset_accuracy, healthy);
    }
}
