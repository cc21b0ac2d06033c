//! Networks with every layer type: gradients against finite differences, and the same bytes on any number of threads.

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::engine::network::Network;
use macula::lang::network::{AvgPool, BatchNorm, Conv, Dropout, Layer, Linear, MaxPool, NetworkSpec};

use super::formula::{described, formula, resnet18};

fn conv(name: &str, out: usize, kernel: usize, stride: usize, groups: usize) -> Layer {
    Layer::Conv(Conv {
        name: name.to_owned(),
        out,
        kernel,
        stride,
        padding: kernel / 2,
        dilation: 1,
        groups,
        bias: true,
        expects: None,
    })
}

fn norm(name: &str) -> Layer {
    Layer::BatchNorm(BatchNorm { name: name.to_owned(), eps: 1e-5, momentum: 0.1 })
}

/// Every layer type, nested residual blocks that end in a batch norm or not, and a value that a `ReLU` must not overwrite.
fn every_layer() -> NetworkSpec {
    let inner = Layer::Residual { body: vec![conv("in", 8, 3, 1, 4)], shortcut: vec![] };
    let outer = Layer::Residual {
        body: vec![Layer::Relu, inner, conv("out", 12, 3, 2, 1), norm("bn2")],
        shortcut: vec![Layer::AvgPool(AvgPool { kernel: 2, stride: 2, padding: 0 }), conv("short", 12, 1, 1, 1)],
    };
    let layers = vec![
        conv("first", 8, 3, 1, 1),
        norm("bn1"),
        outer,
        Layer::Relu,
        Layer::MaxPool(MaxPool { kernel: 3, stride: 2, padding: 1 }),
        Layer::Dropout(Dropout { share: 0.25 }),
        Layer::Flatten,
        Layer::Linear(Linear { name: "hidden".to_owned(), out: Some(10), bias: true, expects: None }),
        Layer::Relu,
        Layer::Linear(Linear { name: "head".to_owned(), out: None, bias: false, expects: None }),
    ];
    NetworkSpec::new("every-layer".to_owned(), layers)
}

/// Layer types missing in [`every_layer`]: smooth activations, merging branches, the other pools.
const WIDE: &str = r"network wide {
    conv stem out=6 kernel=3 padding=1
    batch-norm bn1
    silu
    parallel join=concat {
        branch { global-avg-pool }
        branch a { conv conv out=4 kernel=3 dilation=2 padding=2; gelu; relu6; global-max-pool }
        branch b {
            residual { body { }; shortcut { conv short out=6 kernel=1; silu } }
            parallel join=sum { branch { }; branch { conv sum out=6 kernel=3 padding=1 groups=6 }; branch { relu } }
            avg-pool kernel=3 stride=2 padding=1
            adaptive-avg-pool side=3
            flatten
        }
    }
    batch-norm bn2
    dropout share=0.25
    linear hidden out=8
    gelu
    linear head
}";

fn pixels(n: usize, side: usize) -> Tensor {
    Tensor::from_vec(formula("pixels", n * side * side * 3, -1.0, 1.0), (n, side, side, 3), &Device::Cpu).unwrap()
}

/// Weighted sum of the logits in training mode; on request, gradients are left in the network.
fn loss(network: &mut Network, frozen: &[bool], gradient: Gradient) -> f64 {
    let streams = Streams::new(3, "test");
    let logits = network.forward_train(&pixels(4, 8), frozen, streams.stream("dropout", 0, &[])).unwrap();
    let factors = Tensor::from_vec(formula("factors", 4 * 3, -1.0, 1.0), (4, 3), &Device::Cpu).unwrap();
    let sum = (logits.clone() * &factors).unwrap().sum_all().unwrap();
    if matches!(gradient, Gradient::Wanted) {
        network.backward(&sum).unwrap();
    }
    let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let factors = factors.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    logits.iter().zip(factors).map(|(logit, factor)| f64::from(*logit) * f64::from(factor)).sum()
}

#[derive(Clone, Copy)]
enum Gradient {
    Wanted,
    Unwanted,
}

#[test]
fn gradients_through_every_layer_type_match_finite_differences() {
    for spec in [every_layer(), described(WIDE)] {
        gradients_are_finite_differences(&spec);
    }
}

fn gradients_are_finite_differences(spec: &NetworkSpec) {
    let mut network = Network::new(spec, 8, 3, &Streams::new(5, "test")).unwrap();
    let frozen = vec![false; network.parameters().len()];
    loss(&mut network, &frozen, Gradient::Wanted);
    let gradient = network.gradient().to_vec();
    let flat = network.flat().to_vec();
    for parameter in network.parameters().to_vec() {
        // Along the gradient itself, where a difference in f32 is largest relative to rounding errors.
        let range = parameter.range;
        let length = gradient[range.clone()].iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let mut along = |by: f64| {
            network.update(|values, _| {
                values.copy_from_slice(&flat);
                for (value, g) in values[range.clone()].iter_mut().zip(&gradient[range.clone()]) {
                    *value += (by * f64::from(*g) / length) as f32;
                }
            });
            loss(&mut network, &frozen, Gradient::Unwanted)
        };
        if length < 1e-5 {
            // A bias before a batch norm has no effect.
            assert!(
                ["first.bias", "out.bias", "stem.bias", "b.sum.bias"].contains(&parameter.name.as_str()),
                "`{}` has no gradient",
                parameter.name
            );
            continue;
        }
        let by = 1e-3;
        let slope = (along(by) - along(-by)) / (2.0 * by);
        assert!(
            (slope - length).abs() < 0.02 * length + 1e-4,
            "`{}`: slope {slope}, gradient {length}",
            parameter.name
        );
    }
}

#[test]
fn frozen_parameters_have_no_gradient_and_the_others_keep_theirs() {
    let mut network = Network::new(&every_layer(), 8, 3, &Streams::new(5, "test")).unwrap();
    let none = vec![false; network.parameters().len()];
    let names: Vec<String> = network.parameters().iter().map(|parameter| parameter.name.clone()).collect();
    // A frozen batch norm changes everything after it, so only layers without a batch norm before them are compared.
    let frozen: Vec<bool> = names.iter().map(|name| name.starts_with("first") || name.starts_with("short")).collect();
    loss(&mut network, &none, Gradient::Wanted);
    let all = network.gradient().to_vec();
    loss(&mut network, &frozen, Gradient::Wanted);
    for (parameter, frozen) in network.parameters().iter().zip(&frozen) {
        let range = parameter.range.clone();
        let wanted = if *frozen { vec![0.0; range.len()] } else { all[range.clone()].to_vec() };
        assert_eq!(network.gradient()[range], wanted, "`{}`", parameter.name);
    }
    let running = network.running().to_vec();
    let frozen: Vec<bool> = names.iter().map(|name| name.starts_with("bn1")).collect();
    loss(&mut network, &frozen, Gradient::Unwanted);
    assert_eq!(network.running()[..16], running[..16], "a frozen batch norm leaves its running statistics");
    assert_ne!(network.running()[16..], running[16..], "the other one moves them");
}

#[test]
fn one_two_three_and_seven_threads_give_the_same_bytes() {
    // The last has Winograd convolutions, and so many tiles that the gradient of a kernel is summed in several chunks.
    for (spec, side) in [(resnet18([16, 24, 40, 72]), 48), (described(WIDE), 48), (resnet18([32, 48, 64, 32]), 96)] {
        threads_change_no_byte(&spec, side);
    }
}

fn threads_change_no_byte(spec: &NetworkSpec, side: usize) {
    let results: Vec<_> = [1, 2, 3, 7]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let streams = Streams::new(5, "test");
                let mut network = Network::new(spec, side, 4, &streams).unwrap();
                let frozen = vec![false; network.parameters().len()];
                let logits =
                    network.forward_train(&pixels(5, side), &frozen, streams.stream("dropout", 0, &[])).unwrap();
                network.backward(&logits.sqr().unwrap().sum_all().unwrap()).unwrap();
                let evaluated = network.forward(&pixels(5, side)).unwrap();
                let floats = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                (floats(&logits), floats(&evaluated), network.gradient().to_vec(), network.running().to_vec())
            })
        })
        .collect();
    assert!(results[0].2.iter().all(|g| g.is_finite()) && results[0].2.iter().any(|g| *g != 0.0));
    for result in &results[1..] {
        assert!(*result == results[0], "threads changed a byte");
    }
}

#[test]
fn evaluation_is_the_training_network_with_its_running_statistics() {
    // A batch norm with frozen parameters uses the running statistics in training, too.
    let mut network = Network::new(&resnet18([8, 16, 24, 32]), 32, 4, &Streams::new(5, "test")).unwrap();
    let frozen = vec![true; network.parameters().len()];
    let dropout = Streams::new(5, "test").stream("dropout", 0, &[]);
    let trained = network.forward_train(&pixels(2, 32), &frozen, dropout).unwrap();
    let evaluated = network.forward(&pixels(2, 32)).unwrap();
    let pairs = trained.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (trained, evaluated) in pairs.iter().zip(evaluated.flatten_all().unwrap().to_vec1::<f32>().unwrap()) {
        assert!((trained - evaluated).abs() < 1e-4 * trained.abs().max(1.0), "{trained} and {evaluated}");
    }
}

#[test]
fn patches_that_do_not_fit_are_refused_with_the_layer() {
    let streams = Streams::new(5, "test");
    let error = |spec: &NetworkSpec, size| Network::new(spec, size, 3, &streams).err().unwrap().to_string();
    let layers = vec![
        Layer::AvgPool(AvgPool { kernel: 9, stride: 9, padding: 0 }),
        Layer::Linear(Linear { name: "fc".to_owned(), out: None, bias: true, expects: None }),
    ];
    let tiny = NetworkSpec::new("tiny".to_owned(), layers);
    assert_eq!(error(&tiny, 8), "a window of 9 px does not fit 8 px with 0 px of padding");
    assert_eq!(error(&tiny, 18), "`fc` receives 2 x 2 pixels of 3 channels");
    let network = Network::new(&every_layer(), 8, 3, &streams).unwrap();
    let error = network.forward(&pixels(1, 16)).err().unwrap().to_string();
    assert_eq!(
        error,
        "patches of 16 x 16 px give `hidden.weight` 192 input features, but it was built for another number"
    );
}
