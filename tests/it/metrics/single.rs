//! Patches with exactly one class: values by scikit-learn and `PyTorch` (`tests/expected/single.py`).

use macula::base::Streams;
use macula::data::patches::Label;
use macula::learn::cross_entropy::CrossEntropy;
use macula::learn::metrics::{LabelledScores, ScoreFunction, single_label};
use macula::learn::objective::{Objective, Targets};
use serde_json::Value;

use super::sets::numbers;

fn cases() -> Vec<Value> {
    let json: Value = serde_json::from_str(include_str!("../../expected/single.json")).expect("JSON");
    json["cases"].as_array().expect("cases").clone()
}

/// Labels of a case: one class of each row is present.
fn labels(case: &Value) -> Vec<Label> {
    let classes = case["classes"].as_u64().expect("a count") as usize;
    let of_row = |truth: f64| {
        (0..classes).map(move |class| if class == truth as usize { Label::Present } else { Label::Absent })
    };
    numbers(&case["truth"]).into_iter().flat_map(of_row).collect()
}

fn logits(case: &Value) -> Vec<f32> {
    numbers(&case["logits"]).into_iter().map(|logit| logit as f32).collect()
}

#[test]
fn the_choice_of_one_class_is_measured_as_by_scikit_learn() {
    for (number, case) in cases().iter().enumerate() {
        let classes = case["classes"].as_u64().expect("a count") as usize;
        let scored = LabelledScores::from_logits(classes, &logits(case), labels(case), ScoreFunction::Softmax);
        let groups: Vec<u32> = (0..scored.rows() as u32).collect();
        let found = single_label(&scored, &groups, true, &Streams::new(7, "eval"));
        let expected: Vec<Vec<u64>> = serde_json::from_value(case["confusion"].clone()).expect("a matrix");
        assert_eq!(found.confusion, expected, "case {number}");
        let values = [
            (found.accuracy, found.accuracy_interval, "accuracy"),
            (found.balanced_accuracy, found.balanced_accuracy_interval, "balanced_accuracy"),
            (found.quadratic_kappa, found.quadratic_kappa_interval, "quadratic_kappa"),
        ];
        for (value, interval, name) in values {
            let (own, expected) = (value.expect(name), case[name].as_f64().expect(name));
            assert!((own - expected).abs() < 1e-12, "case {number}, {name}: {own}, {expected}");
            let interval = interval.expect("more than ten groups");
            assert!(interval.low < own && own < interval.high, "case {number}, {name}: {own} in {interval:?}");
        }
        let nominal = single_label(&scored, &groups, false, &Streams::new(7, "eval"));
        assert_eq!((nominal.quadratic_kappa, nominal.accuracy), (None, found.accuracy), "case {number}");
    }
}

#[test]
fn the_loss_over_exclusive_classes_is_that_of_pytorch() {
    for (number, case) in cases().iter().enumerate() {
        let loss = CrossEntropy {
            smoothing: case["smoothing"].as_f64().expect("a share"),
            weights: numbers(&case["weights"]),
        };
        let (outputs, targets) = (logits(case), Targets::of(&labels(case)));
        let (own, expected) = (loss.value(&outputs, &targets), case["loss"].as_f64().expect("a loss"));
        assert!((own - expected).abs() < 1e-12, "case {number}: {own}, {expected}");
        for (own, expected) in loss.gradient(&outputs, &targets).into_iter().zip(numbers(&case["gradient"])) {
            assert!((f64::from(own) - expected).abs() < 1e-8, "case {number}: {own}, {expected}");
        }
    }
}
