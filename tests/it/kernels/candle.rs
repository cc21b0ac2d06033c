//! Networks computed by candle in f64, which say what every operation means: the kernels in f32 and `PyTorch` against them.

use std::sync::mpsc::channel;
use std::time::Duration;

use candle_core::{DType, Device, Tensor, Var};
use macula::base::{Streams, threads};
use macula::engine::network::{Missing, Network, Weights};
use macula::engine::optimizer::{AdamConstants, Optimizer, ParameterGroup, UpdateRule};
use macula::lang::builtin_network;
use macula::lang::network::NetworkSpec;

use super::formula::{bounds, described, formula};
use super::networks::{self, EVERY};
use crate::cuda::trunk::OTHERS;

/// Windows, parts and strides that the other networks lack, over images of unequal sides.
const UNEQUAL: &str = r"network unequal {
    conv stem out=6 kernel=3 stride=2 padding=1
    relu6
    max-pool kernel=3 stride=2 padding=1
    conv deep out=6 kernel=5 stride=2 padding=2 groups=6
    batch-norm norm
    residual { body { conv wide out=6 kernel=3 padding=2 dilation=2 groups=2; avg-pool kernel=3 stride=1 padding=1 }; shortcut { } }
    relu
    max-pool kernel=2 stride=1
    adaptive-avg-pool side=2
    flatten
    linear head
}";

/// Layers without kernels first, within branches, one after another and last. Its activations are smooth: a value that rounding moves over the
/// bound of a rectifier changes a gradient by its share of the sum.
pub(crate) const MIXED: &str = r"network mixed {
    l2-norm
    conv stem out=8 kernel=3 padding=1
    batch-norm bn
    silu
    l2-norm
    l2-norm
    residual { body { conv a out=8 kernel=3 padding=1; l2-norm; gelu }; shortcut { } }
    max-pool kernel=2 stride=2
    parallel join=concat {
        branch one { conv c out=6 kernel=3 padding=1; gelu; l2-norm }
        branch { }
    }
    dropout share=0.2
    global-avg-pool
    l2-norm
    linear head
}";

/// Layers of transformers, over a map whose sides are no multiple of a window: windows that move, that cover the map, and none.
pub(crate) const TOKENS: &str = r"network tokens {
    conv stem out=12 kernel=3 stride=2 padding=1
    layer-norm first
    tap early
    residual { body { layer-norm norm1; self-attention attn heads=3 window=4 shift=2; stochastic-depth share=0.3 } }
    residual { body { layer-norm norm2 eps=1e-3; project mlp.0 out=24; gelu; project mlp.3 out=12 bias=#false; channel-scale gamma } }
    space-to-depth
    project reduction out=10 bias=#false
    tanh
    self-attention wide heads=2 window=7 shift=3 bias=none
    sigmoid
    space-to-depth side=3
    self-attention all heads=5 names=vit
    residual { body { cross-attention look to=early heads=9 }; shortcut { } }
    cross-attention wide-look to=patch heads=4 width=20
    parallel join=concat {
        branch { global-avg-pool }
        branch a from=early { attention-pool pool hidden=6 }
        branch b from=early { attention-pool pool hidden=4 gated=#false }
        branch c from=early {
            max-pool kernel=4 stride=4
            class-token cls_token
            position-table pos_embed
            residual { body { layer-norm norm; self-attention attn heads=4 } }
            first-token
        }
    }
    layer-norm vector
    project hidden out=9
    tanh
    linear head
}";

/// Bounds for networks of few layers; seen on a processor with AVX-512: 1.1e-6 and 7.6e-6.
const FEW_LAYERS: (f32, f32) = (3e-6, 2e-5);

/// What a pass gives: logits in evaluation and in training, gradients of all parameters, running statistics.
struct Passed {
    evaluated: Vec<f32>,
    trained: Vec<f32>,
    gradient: Vec<f32>,
    running: Vec<f32>,
}

pub(super) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|all| all.to_vec1()).expect("floats")
}

pub(super) fn pixels(images: usize, height: usize, width: usize) -> Tensor {
    let values = formula("pixels", images * height * width * 3, -2.0, 2.0);
    Tensor::from_vec(values, (images, height, width, 3), &Device::Cpu).expect("the count fits")
}

/// Weighted sum of the logits.
pub(super) fn loss(logits: &Tensor) -> Tensor {
    let shape = logits.dims2().expect("N x C");
    let factors = Tensor::from_vec(formula("logits", shape.0 * shape.1, -1.0, 1.0), shape, &Device::Cpu);
    (logits * factors.expect("the count fits")).and_then(|product| product.sum_all()).expect("a sum")
}

/// Network whose parameters and running statistics are those of the formula.
pub(super) fn network(spec: &NetworkSpec, side: usize) -> Network {
    let mut network = Network::new(spec, side, 4, &Streams::new(7, "test")).expect("it fits");
    let tensor = |(name, (shape, _)): (String, (Vec<usize>, Vec<f32>))| {
        let (low, high) = bounds(&name, &shape);
        let values = formula(&name, shape.iter().product(), low, high);
        (name, (shape, values))
    };
    let tensors = network.tensors().into_iter().map(tensor).collect();
    let weights = Weights { file: "formula".to_owned(), tensors, ..Weights::default() };
    network.load(&weights, Missing::Error).expect("all tensors");
    network
}

fn passed(mut network: Network, pixels: &Tensor, frozen: &[bool]) -> Passed {
    let evaluated = floats(&network.forward(pixels).expect("a forward pass"));
    let dropout = Streams::new(7, "test").stream("dropout", 0, &[]);
    let logits = network.forward_train(pixels, frozen, dropout).expect("a forward pass");
    network.backward(&loss(&logits)).expect("a backward pass");
    let (gradient, running) = (network.gradient().to_vec(), network.running().to_vec());
    Passed { evaluated, trained: floats(&logits), gradient, running }
}

/// Largest difference, relative to the largest expected value.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1e-20f32, |scale, value| scale.max(value.abs()));
    let error = |(found, wanted): (&f32, &f32)| if found.is_nan() { f32::INFINITY } else { (found - wanted).abs() };
    found.iter().zip(wanted).map(error).fold(0.0, f32::max) / scale
}

/// Compares the kernels with candle. Logits and running statistics differ by at most the first bound, relative to the largest value, and each
/// gradient by at most the second, relative to the largest value of its tensor.
pub(super) fn compare(
    spec: &NetworkSpec,
    batch: &Tensor,
    side: usize,
    frozen: &str,
    (bound, of_gradients): (f32, f32),
) {
    let kernels = network(spec, side);
    let parameters = kernels.parameters().to_vec();
    let frozen: Vec<bool> =
        parameters.iter().map(|parameter| !frozen.is_empty() && parameter.name.starts_with(frozen)).collect();
    let found = passed(kernels, batch, &frozen);
    let wanted = passed(network(spec, side).on_candle(Device::Cpu, DType::F64), batch, &frozen);
    let near = |part: &str, found: &[f32], wanted: &[f32], bound: f32| {
        let error = apart(found, wanted);
        println!("{}: {part} {error:.1e} apart", spec.name);
        assert!(error <= bound, "{}: {part} {error:.1e} apart, not {bound:.1e}", spec.name);
    };
    near("evaluated", &found.evaluated, &wanted.evaluated, bound);
    near("trained", &found.trained, &wanted.trained, bound);
    near("running statistics", &found.running, &wanted.running, bound);
    let largest = wanted.gradient.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (parameter, frozen) in parameters.iter().zip(&frozen) {
        let of = |all: &[f32]| all[parameter.range.clone()].to_vec();
        let (found, wanted) = (of(&found.gradient), of(&wanted.gradient));
        if *frozen {
            assert!(found.iter().chain(&wanted).all(|value| *value == 0.0), "{} is frozen", parameter.name);
        } else if wanted.iter().any(|value| value.abs() > 1e-6 * largest) {
            near(&parameter.name, &found, &wanted, of_gradients);
        } else {
            // The gradient of a bias before a batch norm is 0, and in f32 rounding errors.
            assert!(found.iter().all(|value| value.abs() <= bound * largest), "{}", parameter.name);
        }
    }
}

#[test]
fn every_operation_of_the_kernels_means_what_candle_computes() {
    for (text, side) in [(EVERY, 13), (OTHERS, 14), (UNEQUAL, 23), (MIXED, 12)] {
        let spec = described(text);
        compare(&spec, &pixels(5, side, side), side, "", FEW_LAYERS);
        compare(&spec, &pixels(5, side, side), side, "s", FEW_LAYERS);
    }
    // 23 x 30 px: windows leave over another number of rows than of columns.
    compare(&described(UNEQUAL), &pixels(4, 23, 30), 23, "", FEW_LAYERS);
    compare(&described(TOKENS), &pixels(4, 23, 30), 23, "", FEW_LAYERS);
}

#[test]
fn whole_networks_of_the_kernels_mean_what_candle_computes() {
    let resnet = builtin_network("resnet18").expect("it is described");
    let light = builtin_network("efficientnet-lite0").expect("it is described");
    // Seen: 2.4e-6 and 8.8e-6.
    compare(&resnet, &pixels(4, 64, 64), 64, "", (1e-5, 2e-5));
    // Seen: 9.6e-6 and 4.8e-3. Rounding moves values over the bounds of `relu6`, whose gradients then differ.
    compare(&light, &pixels(4, 64, 64), 64, "", (2e-5, 1e-2));
}

#[test]
fn candle_matches_pytorch() {
    let on_candle = |network: Network| network.on_candle(Device::Cpu, DType::F64);
    // The logits are handed out in f32.
    networks::compare_on("every", &described(EVERY), Some((2e-6, 2e-6)), on_candle);
    let light = builtin_network("efficientnet-lite0").expect("it is described");
    networks::compare_on("efficientnet-lite0", &light, Some((2e-6, 2e-6)), on_candle);
    networks::compare_on("resnet18", &builtin_network("resnet18").expect("it is described"), None, on_candle);
}

/// Logits and gradient of the pixels of a network of one pooling layer.
fn pooled(layer: &str, values: Vec<f32>, side: usize) -> (Vec<f32>, Vec<f32>) {
    let spec = described(&format!("network pool {{ {layer}; global-avg-pool; linear head }}"));
    let pixels = Tensor::from_vec(values, (1, side, side, 3), &Device::Cpu).expect("the count fits");
    let pixels = Var::from_tensor(&pixels).expect("a variable");
    let mut network = network(&spec, side).on_candle(Device::Cpu, DType::F32);
    let frozen = vec![false; network.parameters().len()];
    let logits = network.forward_train(pixels.as_tensor(), &frozen, Streams::new(1, "x").stream("d", 0, &[]));
    let logits = logits.expect("a forward pass");
    let gradients = network.backward(&logits.sum_all().expect("a sum")).expect("a backward pass");
    (floats(&logits), floats(gradients.get(&pixels).expect("the input is on the tape")))
}

#[test]
fn the_first_of_equal_maxima_in_reading_order_gets_the_gradient() {
    for layer in ["max-pool kernel=2 stride=2", "max-pool kernel=3 stride=2 padding=1"] {
        let (_, gradient) = pooled(layer, vec![1.0; 4 * 4 * 3], 4);
        let hit: Vec<usize> = (0..16).filter(|pixel| gradient[pixel * 3] != 0.0).collect();
        let wanted: &[usize] = if layer.contains("padding") { &[0, 1, 4, 5] } else { &[0, 2, 8, 10] };
        assert_eq!(hit, wanted, "{layer}");
    }
    let spec = "network pool { global-max-pool; linear head }";
    let mut network = network(&described(spec), 3).on_candle(Device::Cpu, DType::F32);
    let mut values = vec![0.0f32; 27];
    // The maximum of the first channel is at pixels 2 and 5.
    (values[6], values[15]) = (3.0, 3.0);
    let pixels = Tensor::from_vec(values, (1, 3, 3, 3), &Device::Cpu).and_then(|pixels| Var::from_tensor(&pixels));
    let pixels = pixels.expect("a variable");
    let dropout = Streams::new(1, "x").stream("d", 0, &[]);
    let logits = network.forward_train(pixels.as_tensor(), &[false; 2], dropout).expect("a forward pass");
    let gradients = network.backward(&logits.sum_all().expect("a sum")).expect("a backward pass");
    let gradient = floats(gradients.get(&pixels).expect("the input is on the tape"));
    let hit: Vec<usize> = (0..9).filter(|pixel| gradient[pixel * 3] != 0.0).collect();
    assert_eq!(hit, [2]);
}

#[test]
fn nan_stays_nan_in_maxima_and_rectifiers() {
    let mut values = vec![1.0; 4 * 4 * 3];
    values[3] = f32::NAN;
    for layer in ["max-pool kernel=2 stride=2", "relu", "relu6"] {
        let (logits, _) = pooled(layer, values.clone(), 4);
        assert!(logits.iter().all(|logit| logit.is_nan()), "{layer}: {logits:?}");
    }
}

/// A thread of a pool that waits for the pool takes over other work: here another pass of the same network, as heat maps of several
/// photographs do.
#[test]
fn threads_of_a_pool_share_a_network_without_waiting_for_themselves() {
    let spec = builtin_network("resnet18").expect("it is described");
    let network = network(&spec, 64).on_candle(Device::Cpu, DType::F32);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let pool = threads::pool(2).expect("a pool");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| pool.install(|| network.forward(&pixels(4, 64, 64)).expect("a forward pass")));
            }
        });
        sender.send(())
    });
    receiver.recv_timeout(Duration::from_mins(5)).expect("no thread waits for itself");
}

#[test]
fn a_parameter_that_gets_no_gradient_is_an_error() {
    let spec = builtin_network("shallow-cnn").expect("it is described");
    let mut network = network(&spec, 32).on_candle(Device::Cpu, DType::F32);
    let frozen = vec![false; network.parameters().len()];
    let dropout = || Streams::new(1, "x").stream("d", 0, &[]);
    let logits = network.forward_train(&pixels(2, 32, 32), &frozen, dropout()).expect("a forward pass");
    let cut = loss(&logits.detach());
    let text = network.backward(&cut).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("is not frozen, but no gradient reaches it"), "{text}");
    // A frozen one needs none.
    let logits =
        network.forward_train(&pixels(2, 32, 32), &vec![true; frozen.len()], dropout()).expect("a forward pass");
    network.backward(&loss(&logits.detach())).expect("a backward pass");
    assert!(network.gradient().iter().all(|value| *value == 0.0));
}

#[test]
fn training_in_candle_goes_the_way_of_the_kernels() {
    for text in [EVERY, MIXED] {
        trained_alike(&described(text));
    }
}

fn trained_alike(spec: &NetworkSpec) {
    let trained = |mut network: Network| {
        let frozen = vec![false; network.parameters().len()];
        let all = ParameterGroup { range: 0..network.flat().len(), rate: 1e-3 };
        let rule = UpdateRule::Adam(AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-3 });
        let mut optimizer = Optimizer::new(rule, 1e-4, vec![all], network.flat().len());
        let batch = pixels(5, 13, 13);
        for step in 0..3 {
            let dropout = Streams::new(7, "test").stream("dropout", step, &[]);
            let logits = network.forward_train(&batch, &frozen, dropout).expect("a forward pass");
            network.backward(&loss(&logits)).expect("a backward pass");
            network.step(&mut optimizer, 1.0).expect("a step");
        }
        network.fetch(Some(&mut optimizer)).expect("the host is the newest");
        (network.flat().to_vec(), network.running().to_vec(), floats(&network.forward(&batch).expect("a pass")))
    };
    let (host, candle) = (trained(network(spec, 13)), trained(network(spec, 13).on_candle(Device::Cpu, DType::F32)));
    for (part, found, wanted, bound) in [
        ("parameters", &candle.0, &host.0, 1e-4),
        ("running statistics", &candle.1, &host.1, 1e-4),
        ("logits", &candle.2, &host.2, 1e-3),
    ] {
        println!("{}, three steps: {part} {:.1e} apart", spec.name, apart(found, wanted));
        assert!(apart(found, wanted) < bound, "{part} {:.1e} apart", apart(found, wanted));
    }
}

#[test]
fn a_layer_norm_is_that_of_its_formula_over_the_channels_of_each_pixel() {
    let spec = described("network norm { layer-norm ln eps=1e-2; flatten; linear head }");
    let network = network(&spec, 2);
    let tensors = network.tensors();
    let values = |name: &str| tensors[name].1.iter().copied().map(f64::from).collect::<Vec<_>>();
    let (weight, bias) = (values("ln.weight"), values("ln.bias"));
    let (matrix, shift) = (values("head.weight"), values("head.bias"));
    let batch = pixels(3, 2, 2);
    let logits = floats(&network.forward(&batch).expect("a forward pass"));
    for (image, logits) in floats(&batch).chunks_exact(12).zip(logits.chunks_exact(4)) {
        // Features of torch's `flatten`: channels, then pixels.
        let mut features = [0.0; 12];
        for (pixel, x) in image.chunks_exact(3).enumerate() {
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / 3.0;
            let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / 3.0;
            for (channel, x) in x.iter().enumerate() {
                let normal = (f64::from(*x) - mean) / (variance + 1e-2).sqrt();
                features[channel * 4 + pixel] = normal * weight[channel] + bias[channel];
            }
        }
        for ((row, shift), logit) in matrix.chunks_exact(12).zip(&shift).zip(logits) {
            let expected = row.iter().zip(features).map(|(weight, feature)| weight * feature).sum::<f64>() + shift;
            assert!((f64::from(*logit) - expected).abs() < 2e-6 * expected.abs().max(1.0), "{logit}, not {expected}");
        }
    }
}
