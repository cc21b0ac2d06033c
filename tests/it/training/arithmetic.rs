//! Losses, optimizers and colour against `PyTorch` and torchvision, and against finite differences.

use candle_core::{Device, Var};
use macula::data::patches::Label;
use macula::learn::augment::color::Jitter;
use macula::learn::loss::Loss;
use macula::learn::optimizer::{AdamConstants, Optimizer, ParameterGroup, UpdateRule};

use super::{expected, reals};

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn labels(value: &serde_json::Value) -> Vec<Label> {
    let label = |value: &serde_json::Value| match value.as_str() {
        Some("p") => Label::Present,
        Some("a") => Label::Absent,
        _ => Label::Unknown,
    };
    value.as_array().expect("a list").iter().map(label).collect()
}

#[test]
fn losses_and_their_gradients_match_pytorch() {
    let expected = expected("losses");
    let (logits, labels) = (singles(&reals(&expected["logits"])), labels(&expected["labels"]));
    assert!(labels.contains(&Label::Unknown) && logits.contains(&100.0) && logits.contains(&-100.0));
    for case in expected["cases"].as_array().expect("cases") {
        let loss = Loss {
            gamma: case["gamma"].as_f64().expect("a number"),
            positive: reals(&case["positive"]),
            negative: reals(&case["negative"]),
        };
        let value = case["value"].as_f64().expect("a number");
        assert!((loss.value(&logits, &labels) - value).abs() < 1e-9 * value, "{loss:?}");
        for (ours, theirs) in loss.gradient(&logits, &labels).iter().zip(reals(&case["gradient"])) {
            assert!((f64::from(*ours) - theirs).abs() <= 1e-6 * theirs.abs() + 1e-12, "{ours} {theirs} {loss:?}");
        }
    }
    let bce = expected["bce"].as_f64().expect("a number");
    assert!((Loss::bce(4).value(&logits, &labels) - bce).abs() < 1e-6, "g = 0 and w = 1 is BCE");
}

#[test]
fn the_gradient_of_a_loss_is_its_slope_by_finite_differences() {
    let labels = [Label::Present, Label::Absent, Label::Unknown, Label::Absent, Label::Present, Label::Present];
    let logits = [0.3_f32, -1.2, 4.0, 2.5, -3.0, 6.0];
    let loss = Loss { gamma: 1.7, positive: vec![0.5, 2.0, 1.0], negative: vec![1.5, 0.7, 1.0] };
    let gradient = loss.gradient(&logits, &labels);
    for at in 0..logits.len() {
        let moved = |by: f32| {
            let mut logits = logits;
            logits[at] += by;
            (loss.value(&logits, &labels), f64::from(logits[at]))
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
        let loss = Loss { gamma, ..Loss::bce(2) };
        let (logits, wrong) = ([100.0, -100.0], [Label::Absent, Label::Present]);
        assert!((loss.value(&logits, &wrong) - 100.0).abs() < 1e-9);
        let right = [Label::Present, Label::Absent];
        let all = loss.gradient(&logits, &wrong).into_iter().chain(loss.gradient(&logits, &right));
        assert!(all.chain([loss.value(&logits, &right) as f32]).all(f32::is_finite), "gamma {gamma}");
        assert!(loss.value(&[f32::NAN, 0.0], &right).is_nan());
    }
    assert_eq!(Loss::bce(1).value(&[3.0], &[Label::Unknown]), 0.0);
}

#[test]
fn the_gradient_of_the_loss_flows_through_candles_autograd() {
    let labels = [Label::Present, Label::Absent, Label::Absent, Label::Unknown];
    let loss = Loss { gamma: 2.0, ..Loss::bce(2) };
    let values = [0.5_f32, -0.25, 1.0, 2.0];
    let logits = Var::from_slice(&values, (2, 2), &Device::Cpu).expect("a variable");
    let twice = loss.on_tape(&logits, &labels).and_then(|loss| loss * 2.0).expect("a loss");
    let gradient = twice.backward().expect("a tape");
    let gradient = gradient.get(&logits).expect("a gradient").flatten_all().expect("flat");
    let direct: Vec<f32> = loss.gradient(&values, &labels).iter().map(|value| value * 2.0).collect();
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
