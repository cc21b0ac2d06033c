//! `ResNet18` against `PyTorch`, on weights and pixels from the formula: logits, gradients, running statistics.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::engine::network::{Missing, Network};

use super::formula::{formula, resnet18, weights};

#[derive(serde::Deserialize)]
struct Expected {
    evaluated: Vec<f64>,
    trained: Vec<f64>,
    gradients: BTreeMap<String, [f64; 3]>,
    running: BTreeMap<String, [f64; 2]>,
}

/// Differences are relative to the largest value of the same tensor.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    let scale = expected.iter().fold(0.0f64, |scale, value| scale.max(value.abs()));
    for (found, wanted) in found.iter().zip(expected) {
        assert!((found - wanted).abs() <= 1e-4 * scale, "{what}: {found} where torch has {wanted}, of {expected:?}");
    }
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

#[test]
fn resnet18_matches_pytorch() {
    let expected: Expected = serde_json::from_str(include_str!("../../expected/resnet18.json")).unwrap();
    let streams = Streams::new(1, "test");
    let mut network = Network::new(&resnet18([64, 128, 256, 512]), 64, 4, &streams).unwrap();
    let report = network.load(&weights(&network.tensors()), Missing::Error).unwrap();
    assert_eq!(report.loaded.len(), 102, "62 parameters and 40 running statistics");

    // For `tests/checks/torch_loads.py`.
    if let Some(path) = std::env::var_os("MACULA_SAVE_RESNET18") {
        std::fs::write(path, network.save().unwrap()).unwrap();
    }

    let (n, side) = (3, 64);
    let pixels =
        Tensor::from_vec(formula("pixels", n * side * side * 3, -2.0, 2.0), (n, side, side, 3), &Device::Cpu).unwrap();
    let factors = Tensor::from_vec(formula("logits", n * 4, -1.0, 1.0), (n, 4), &Device::Cpu).unwrap();
    assert_close("evaluation", &wide(&network.forward(&pixels).unwrap()), &expected.evaluated);

    let frozen = vec![false; network.parameters().len()];
    let logits = network.forward_train(&pixels, &frozen, streams.stream("dropout", 0, &[])).unwrap();
    assert_close("training", &wide(&logits), &expected.trained);
    let tensors = network.tensors();
    for (name, wanted) in &expected.running {
        let values: Vec<f64> = tensors[name].1.iter().copied().map(f64::from).collect();
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        assert_close(name, &[norm, values[0]], wanted);
    }

    network.backward(&(logits * factors).unwrap().sum_all().unwrap()).unwrap();
    // Gradients in PyTorch's order, as if they were the parameters.
    let gradient = network.gradient().to_vec();
    let running = network.running().to_vec();
    network.restore(&gradient, &running).unwrap();
    let gradients = network.tensors();
    assert_eq!(expected.gradients.len(), network.parameters().len());
    for (name, wanted) in &expected.gradients {
        let values: Vec<f64> = gradients[name].1.iter().copied().map(f64::from).collect();
        let other = formula("other", values.len(), -1.0, 1.0);
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let product = values.iter().zip(other).map(|(value, other)| value * f64::from(other)).sum();
        assert_close(name, &[norm, product, values[0]], wanted);
    }
}
