//! Losses, optimizers and colour against `PyTorch` and torchvision, and against finite differences.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Var};
use macula::data::patches::Label;
use macula::data::table::Columns;
use macula::engine::augment::color::Jitter;
use macula::engine::optimizer::{AdamConstants, Optimizer, ParameterGroup, UpdateRule};
use macula::learn::fit::metrics::{EpochMetrics, SetMetrics, metrics, table, words};
use macula::learn::fit::settings::SelectBy;
use macula::learn::loss::Loss;
use macula::learn::objective::{Objective, Targets, on_tape};

use super::{expected, reals};

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn targets(value: &serde_json::Value) -> Targets {
    let label = |value: &serde_json::Value| match value.as_str() {
        Some("p") => Some(1.0),
        Some("a") => Some(0.0),
        _ => None,
    };
    value.as_array().expect("a list").iter().map(label).collect()
}

#[test]
fn losses_and_their_gradients_match_pytorch() {
    let expected = expected("losses");
    let (logits, targets) = (singles(&reals(&expected["logits"])), targets(&expected["labels"]));
    assert!(targets.iter().any(|target| target.is_none()) && logits.contains(&100.0) && logits.contains(&-100.0));
    for case in expected["cases"].as_array().expect("cases") {
        let loss = Loss {
            gamma: [case["gamma"].as_f64().expect("a number"); 2],
            positive: reals(&case["positive"]),
            negative: reals(&case["negative"]),
            ..Loss::bce(4)
        };
        let value = case["value"].as_f64().expect("a number");
        assert!((loss.value(&logits, &targets) - value).abs() < 1e-9 * value, "{loss:?}");
        for (ours, theirs) in loss.gradient(&logits, &targets).iter().zip(reals(&case["gradient"])) {
            assert!((f64::from(*ours) - theirs).abs() <= 1e-6 * theirs.abs() + 1e-12, "{ours} {theirs} {loss:?}");
        }
    }
    let bce = expected["bce"].as_f64().expect("a number");
    assert!((Loss::bce(4).value(&logits, &targets) - bce).abs() < 1e-6, "g = 0 and w = 1 is BCE");
}

/// Compares a loss and its gradient with those of a case.
fn matches(loss: &Loss, logits: &[f32], targets: &Targets, case: &serde_json::Value) {
    let value = case["value"].as_f64().expect("a number");
    let ours = loss.value(logits, targets);
    assert!((ours - value).abs() < 1e-9 * value, "{ours} {value} {loss:?}");
    for (ours, theirs) in loss.gradient(logits, targets).iter().zip(reals(&case["gradient"])) {
        assert!((f64::from(*ours) - theirs).abs() <= 1e-6 * theirs.abs() + 1e-12, "{ours} {theirs} {loss:?}");
    }
}

#[test]
fn the_asymmetric_loss_and_its_gradient_match_pytorch() {
    let expected = expected("losses");
    let (logits, targets) = (singles(&reals(&expected["logits"])), targets(&expected["labels"]));
    for case in expected["asymmetric"].as_array().expect("cases") {
        let gamma = reals(&case["gamma"]);
        let shift = case["shift"].as_f64().expect("a number");
        matches(&Loss { gamma: [gamma[0], gamma[1]], shift, ..Loss::bce(4) }, &logits, &targets, case);
    }
    let asymmetric = Loss { gamma: [0.0, 4.0], shift: 0.05, ..Loss::bce(1) };
    let absent = Targets::of(&[Label::Absent]);
    assert_eq!(asymmetric.gradient(&[-3.0], &absent), [0.0], "an easy negative does not count");
    assert!(asymmetric.gradient(&[-2.0], &absent)[0] > 0.0);
    assert!(asymmetric.value(&[f32::NAN], &absent).is_nan());
    assert!((asymmetric.value(&[100.0], &absent) + libm::log(0.05) * libm::pow(0.95, 4.0)).abs() < 1e-9);
}

#[test]
fn targets_between_the_labels_and_label_smoothing_match_pytorch() {
    let expected = expected("losses");
    let (logits, hard) = (singles(&reals(&expected["logits"])), targets(&expected["labels"]));
    let soft = hard.iter().zip(reals(&expected["soft"])).map(|(hard, soft)| hard.map(|_| soft as f32)).collect();
    assert!(Targets::labels(&soft).contains(&Label::Unknown) && soft != hard);
    for case in expected["softened"].as_array().expect("cases") {
        let number = |name: &str| case[name].as_f64().expect("a number");
        let loss = Loss { smoothing: number("smoothing"), ..Loss::focal(number("gamma"), 4) };
        matches(&loss, &logits, if case["soft"] == true { &soft } else { &hard }, case);
    }
}

#[test]
fn a_target_between_the_labels_is_neither_and_unknown_ones_stay_unknown() {
    let targets: Targets = [Some(0.0), Some(0.25), None, Some(1.0)].into_iter().collect();
    assert_eq!(targets.labels(), [Label::Absent, Label::Unknown, Label::Unknown, Label::Present]);
    assert_eq!(Targets::of(&[Label::Present, Label::Unknown]).iter().collect::<Vec<_>>(), [Some(1.0), None]);
    assert_eq!(Loss::bce(4).gradient(&[1.0; 4], &targets)[2], 0.0);
}

/// An objective that compares the patches of a batch: it has no value on a set, but a metric of its own.
struct Contrast;

impl Objective for Contrast {
    fn outputs(&self) -> usize {
        2
    }

    fn value(&self, outputs: &[f32], _: &Targets) -> f64 {
        f64::from(outputs[0] - outputs[2])
    }

    fn gradient(&self, outputs: &[f32], _: &Targets) -> Vec<f32> {
        vec![0.0; outputs.len()]
    }

    fn of_set(&self, _: &[f32], _: &Targets) -> Option<f64> {
        None
    }

    fn metrics(&self, outputs: &[f32], _: &Targets) -> BTreeMap<String, f64> {
        BTreeMap::from([("nearest-distance".to_owned(), f64::from(outputs[0]))])
    }
}

#[test]
fn an_objective_without_a_value_on_a_set_reports_metrics_of_its_own() {
    let targets = Targets::of(&[Label::Present, Label::Absent, Label::Absent, Label::Present]);
    let set = SetMetrics::of(&Contrast, &[2.0, -1.0, -3.0, 1.0], &targets);
    assert_eq!((set.loss, set.chosen_by(SelectBy::Loss, 1)), (None, None));
    assert_eq!(set.chosen_by(SelectBy::AveragePrecision, 1), Some(1.0));
    let classes = ["A", "B"].map(str::to_owned);
    let epoch = EpochMetrics { epoch: 1, rate: 0.1, training: set.clone(), subset: None, valid: set };
    let shown = metrics(&epoch, 2, &classes, SelectBy::AveragePrecision, true);
    assert_eq!(shown.values["valid.loss"], None);
    assert_eq!(shown.values["valid.nearest-distance"], Some(2.0));
    assert_eq!(words((1, 2), (1, 3), 0.5, Some(&epoch)), "epoch 1/2, batch 1/3, loss 0.500; validation: F1 1.000");
    let stored = Columns::from_parquet(&table(&[epoch], &classes).expect("a table")).expect("a table");
    assert_eq!(stored.reals("loss").expect("a column"), [None, None]);
    assert_eq!(stored.reals("nearest_distance").expect("a column"), [Some(2.0), Some(2.0)]);
}

#[test]
fn the_gradient_of_a_loss_is_its_slope_by_finite_differences() {
    let labels = [Label::Present, Label::Absent, Label::Unknown, Label::Absent, Label::Present, Label::Present];
    let targets = Targets::of(&labels);
    let logits = [0.3_f32, -1.2, 4.0, 2.5, -3.0, 6.0];
    let loss = Loss { positive: vec![0.5, 2.0, 1.0], negative: vec![1.5, 0.7, 1.0], ..Loss::focal(1.7, 3) };
    let gradient = loss.gradient(&logits, &targets);
    for at in 0..logits.len() {
        let moved = |by: f32| {
            let mut logits = logits;
            logits[at] += by;
            (loss.value(&logits, &targets), f64::from(logits[at]))
        };
        let ((high, right), (low, left)) = (moved(0.01), moved(-0.01));
        let slope = (high - low) / (right - left);
        assert!((slope - f64::from(gradient[at])).abs() < 2e-5, "{at}: {slope} {}", gradient[at]);
    }
    assert_eq!(gradient[2], 0.0, "an unknown label moves nothing");
}

#[test]
fn a_loss_is_finite_for_logits_of_a_hundred_and_nan_comes_through() {
    for gamma in [0.0, 0.5, 2.0] {
        let loss = Loss::focal(gamma, 2);
        let (logits, wrong) = ([100.0, -100.0], Targets::of(&[Label::Absent, Label::Present]));
        assert!((loss.value(&logits, &wrong) - 100.0).abs() < 1e-9);
        let right = Targets::of(&[Label::Present, Label::Absent]);
        let all = loss.gradient(&logits, &wrong).into_iter().chain(loss.gradient(&logits, &right));
        assert!(all.chain([loss.value(&logits, &right) as f32]).all(f32::is_finite), "gamma {gamma}");
        assert!(loss.value(&[f32::NAN, 0.0], &right).is_nan());
    }
    assert_eq!(Loss::bce(1).value(&[3.0], &Targets::of(&[Label::Unknown])), 0.0);
}

#[test]
fn the_gradient_of_the_loss_flows_through_candles_autograd() {
    let targets = Targets::of(&[Label::Present, Label::Absent, Label::Absent, Label::Unknown]);
    let loss: Arc<dyn Objective> = Arc::new(Loss::focal(2.0, 2));
    let values = [0.5_f32, -0.25, 1.0, 2.0];
    let logits = Var::from_slice(&values, (2, 2), &Device::Cpu).expect("a variable");
    let twice = on_tape(&loss, &logits, &targets).and_then(|loss| loss * 2.0).expect("a loss");
    let gradient = twice.backward().expect("a tape");
    let gradient = gradient.get(&logits).expect("a gradient").flatten_all().expect("flat");
    let direct: Vec<f32> = loss.gradient(&values, &targets).iter().map(|value| value * 2.0).collect();
    assert_eq!(gradient.to_vec1::<f32>().expect("values"), direct);
}

#[test]
fn ten_steps_of_each_optimizer_match_pytorch() {
    let expected = expected("optimizers");
    let start = singles(&reals(&expected["start"]));
    let moments = AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let other = AdamConstants { beta1: 0.8, beta2: 0.95, eps: 1e-6 };
    let sgd = |momentum, nesterov| UpdateRule::Sgd { momentum, nesterov };
    for (name, rule, decay, factors) in [
        ("adam", UpdateRule::Adam(moments), 1e-2, "flat"),
        ("adam_plain", UpdateRule::Adam(other), 0.0, "falling"),
        ("adamw", UpdateRule::AdamW(moments), 1e-2, "falling"),
        ("sgd", sgd(0.0, false), 1e-3, "flat"),
        ("momentum", sgd(0.9, false), 1e-3, "falling"),
        ("nesterov", sgd(0.9, true), 0.0, "flat"),
    ] {
        let groups = vec![ParameterGroup { range: 0..5, rate: 1e-2 }, ParameterGroup { range: 5..10, rate: 3e-3 }];
        let mut optimizer = Optimizer::new(rule, decay, groups, 10);
        let mut values = start.clone();
        for (t, factor) in (1..).zip(reals(&expected["factors"][factors])) {
            let wave = |i: usize| libm::sin((3 * i + t) as f64) as f32;
            let gradient: Vec<f32> = (0..10).map(|i| wave(i) + 0.2 * values[i]).collect();
            optimizer.step(&mut values, &gradient, factor);
        }
        for (ours, theirs) in values.iter().zip(reals(&expected["cases"][name])) {
            assert!((f64::from(*ours) - theirs).abs() <= 1e-6 * theirs.abs(), "{name}: {ours} {theirs}");
        }
    }
}

#[test]
fn parameters_in_no_group_do_not_change() {
    let rule = UpdateRule::AdamW(AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
    let mut optimizer = Optimizer::new(rule, 0.5, vec![ParameterGroup { range: 1..2, rate: 0.1 }], 3);
    let mut values = [1.0, 1.0, 1.0];
    optimizer.step(&mut values, &[1.0; 3], 1.0);
    assert_eq!([values[0], values[2]], [1.0, 1.0]);
    assert!(values[1] < 0.9);
}

#[test]
fn colour_jitter_matches_torchvision() {
    let pixels: Vec<f32> =
        (0..16).flat_map(|i| (0..3).map(move |c| ((37 * i + 91 * c + 11 * i * c) % 256) as f32 / 255.0)).collect();
    for case in expected("color")["cases"].as_array().expect("cases") {
        let factors = singles(&reals(&case["factors"]));
        let jitter = Jitter { brightness: factors[0], contrast: factors[1], saturation: factors[2], hue: factors[3] };
        let mut ours = pixels.clone();
        jitter.apply(&mut ours);
        assert_ne!(ours, pixels);
        for (ours, theirs) in ours.iter().zip(reals(&case["pixels"])) {
            assert!((f64::from(*ours) - theirs).abs() < 1e-5, "{jitter:?}: {ours} {theirs}");
        }
    }
}
