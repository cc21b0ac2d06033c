//! One epoch of training against `PyTorch`'s, step by step (`tests/expected/epoch.py` describes the training).

use std::sync::Arc;

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::data::patches::Label;
use macula::engine::network::Network;
use macula::engine::optimizer::{AdamConstants, Optimizer, UpdateRule, groups};
use macula::learn::loss::Loss;
use macula::learn::objective::{Objective, Targets, on_tape};

use super::made::small;
use super::{expected, reals};

const SIDE: usize = 16;

fn pixels(patches: std::ops::Range<usize>) -> Tensor {
    let mut values = Vec::new();
    for n in patches.clone() {
        let slant = if n % 3 == 0 { 0.6 } else { 0.2 };
        for at in 0..SIDE * SIDE * 3 {
            let (row, column, channel) = (at / 3 / SIDE, at / 3 % SIDE, at % 3);
            let phase = 0.9 * n as f64 * (channel + 1) as f64 + 0.35 * row as f64 + slant * column as f64;
            values.push(libm::sin(phase) as f32);
        }
    }
    Tensor::from_vec(values, (patches.len(), SIDE, SIDE, 3), &Device::Cpu).expect("a tensor")
}

fn labels(patches: std::ops::Range<usize>) -> Vec<Label> {
    let label = |present: bool| if present { Label::Present } else { Label::Absent };
    let second = |n: usize| if n % 7 == 3 { Label::Unknown } else { label(n % 2 == 1) };
    patches.flat_map(|n| [label(n % 3 == 0), second(n)]).collect()
}

#[test]
fn an_epoch_matches_the_loss_curve_and_the_logits_of_pytorch() {
    let expected = expected("epoch");
    let mut network = Network::new(&small(), SIDE, 2, &Streams::new(0, "train")).expect("a network");
    for (t, name) in ["conv1.weight", "a.weight", "b.weight", "s.weight", "fc.weight", "fc.bias"].iter().enumerate() {
        let parameter = network.parameters().iter().find(|parameter| parameter.name == *name).expect("a parameter");
        let fan: usize = if parameter.shape.len() > 1 { parameter.shape[1..].iter().product() } else { 16 };
        let reach = libm::sqrt(3.0 / fan as f64);
        let value = |i: usize| (reach * libm::sin(0.7 * i as f64 + t as f64)) as f32;
        let values: Vec<f32> = (0..parameter.shape.iter().product()).map(value).collect();
        network.set(name, &values).expect("set");
    }
    let ranges = network.parameters().iter().map(|parameter| (parameter.name.as_str(), parameter.range.clone()));
    let (groups, _) = groups(ranges, 3e-3, &[("fc".to_owned(), 1e-2)], &[], &std::collections::BTreeSet::new());
    let rule = UpdateRule::AdamW(AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
    let mut optimizer = Optimizer::new(rule, 1e-2, groups, network.flat().len());
    let loss: Arc<dyn Objective> = Arc::new(Loss::focal(2.0, 2));
    let frozen = vec![false; network.parameters().len()];
    for (step, theirs) in reals(&expected["losses"]).into_iter().enumerate() {
        let patches = step * 8..step * 8 + 8;
        let dropout = Streams::new(0, "train").stream("dropout", 1, &[]);
        let logits = network.forward_train(&pixels(patches.clone()), &frozen, dropout).expect("forward");
        let value = on_tape(&loss, &logits, &Targets::of(&labels(patches))).expect("a loss");
        network.backward(&value).expect("backward");
        network.update(|values, gradient| optimizer.step(values, gradient, 1.0));
        let ours = f64::from(value.to_scalar::<f32>().expect("a number"));
        assert!((ours - theirs).abs() < 1e-3 * theirs, "step {step}: {ours} here, {theirs} there");
    }
    let ours = network.forward(&pixels(0..4)).and_then(|logits| {
        logits.flatten_all().and_then(|logits| logits.to_vec1::<f32>()).map_err(|error| panic!("{error}"))
    });
    for (ours, theirs) in ours.expect("logits").into_iter().zip(reals(&expected["logits"])) {
        assert!((f64::from(ours) - theirs).abs() < 2e-3, "{ours} here, {theirs} there");
    }
}
