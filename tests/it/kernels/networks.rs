//! Networks of the standard library, and one with all other layer types, against `PyTorch` on the same weights and pixels.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::engine::network::{Missing, Network, Weights};
use macula::lang::builtin_network;
use macula::lang::network::{Layer, NetworkSpec};

use super::formula::{bounds, described, formula};

#[derive(serde::Deserialize)]
struct Expected {
    images: usize,
    side: usize,
    /// `layer1.0.conv1.weight 64 64 3 3`, as torchvision names and shapes them.
    tensors: Vec<String>,
    evaluated: Vec<f64>,
    trained: Vec<f64>,
    gradients: BTreeMap<String, [f64; 3]>,
}

/// Same network as `Every` of tests/expected/networks.py.
pub(crate) const EVERY: &str = r"network every {
    conv stem out=16 kernel=3 padding=2 dilation=2
    batch-norm norm
    gelu
    parallel join=concat {
        branch a { conv one out=8 kernel=1; silu }
        branch b { conv one out=8 kernel=1 bias=#false; relu; conv two out=12 kernel=3 padding=1 groups=4 }
        branch { }
    }
    parallel join=sum {
        branch left { conv conv out=20 kernel=3 stride=2 padding=1; max-pool kernel=3 stride=1 padding=1 }
        branch { avg-pool kernel=3 stride=2 padding=1; conv right.conv out=20 kernel=1 }
    }
    relu
    conv deep out=20 kernel=3 padding=1 groups=20 bias=#false
    silu
    adaptive-avg-pool side=3
    flatten
    linear hidden out=24 in=180
    batch-norm bn
    gelu
    linear head
}";

/// A tap on a batch norm and on a convolution, which are not fused with what follows them; half of the patch; the patch again.
pub(crate) const TAPPED: &str = r"network tapped {
    input half
    conv stem out=6 kernel=3 stride=2 padding=1
    tap raw
    batch-norm norm
    tap normed
    relu
    residual { body { conv a out=6 kernel=3 padding=1 bias=#false; batch-norm b; tap inside; parallel join=sum { branch { }; branch from=inside { silu } } }; shortcut { } }
    residual { body { conv c out=6 kernel=1; batch-norm d }; shortcut { tap short; parallel join=sum { branch { relu }; branch from=short { } } } }
    parallel join=concat {
        branch { }
        branch from=raw { }
        branch from=normed { conv e out=4 kernel=1 }
        branch from=half { conv f out=4 kernel=3 padding=1 }
        branch from=patch { conv g out=4 kernel=2 stride=2 }
    }
    global-avg-pool
    linear head
}";

/// Two branches with the same tensors: convolutions with and without bias, a batch norm, a linear layer; and a third one.
pub(crate) const SHARED: &str = r"network shared {
    input half
    block trunk {
        conv stem out=6 kernel=3 stride=2 padding=1
        batch-norm norm
        relu
        residual { body { conv a out=6 kernel=3 padding=1 bias=#false; batch-norm b }; shortcut { } }
        relu
        conv deep out=8 kernel=3 padding=1 groups=2
        global-avg-pool
        linear hidden out=5
    }
    parallel join=concat {
        branch { trunk }
        branch from=half share=#true { trunk }
        branch from=patch share=#true { avg-pool kernel=3; trunk; linear own out=3 }
    }
    linear head
}";

/// The patch in its surroundings, those, and half of the patch.
pub(crate) const SURROUNDED: &str = r"network surrounded {
    input wide
    input half
    conv stem out=6 kernel=3 stride=2 padding=1
    batch-norm norm
    relu
    parallel join=concat {
        branch { }
        branch from=wide { conv a out=4 kernel=3 stride=2 padding=1; batch-norm b; relu }
        branch from=half { conv c out=4 kernel=3 padding=1 }
        branch from=patch share=#true { conv stem out=6 kernel=3 stride=2 padding=1 }
    }
    global-avg-pool
    linear head
}";

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_str(include_str!("../../expected/networks.json")).unwrap()
}

/// Weights from the formula with torchvision's names and shapes.
fn state(tensors: &[String]) -> Weights {
    let tensor = |line: &String| {
        let mut words = line.split(' ');
        let name = words.next().unwrap().to_owned();
        let shape: Vec<usize> = words.map(|word| word.parse().unwrap()).collect();
        let (low, high) = bounds(&name, &shape);
        let values = formula(&name, shape.iter().product(), low, high);
        (name, (shape, values))
    };
    Weights { file: "torch".to_owned(), tensors: tensors.iter().map(tensor).collect(), ..Weights::default() }
}

/// Differences are relative to the largest value of the same tensor.
fn assert_close(what: &str, found: &[f64], wanted: &[f64], bound: f64) {
    let scale = wanted.iter().fold(0.0f64, |scale, value| scale.max(value.abs()));
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (value, expected) in found.iter().zip(wanted) {
        let error = (value - expected).abs() / scale;
        assert!(error <= bound, "{what}: {value} where torch has {expected}: {error:.1e} of {scale}");
    }
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// Tolerated differences of training from `PyTorch` in f64, relative to the largest value: logits and gradients.
pub(crate) type Bounds = (f64, f64);

/// Compares the kernels.
fn compare(name: &str, spec: &NetworkSpec, training: Option<Bounds>) {
    compare_on(name, spec, training, |network| network);
}

/// Loads the state of `PyTorch`, compares logits, and training if there are bounds for it, on the engine that `engine` chooses.
pub(crate) fn compare_on(
    name: &str,
    spec: &NetworkSpec,
    training: Option<Bounds>,
    engine: impl Fn(Network) -> Network,
) {
    let expected = &expected()[name];
    let streams = Streams::new(1, "test");
    let (n, side) = (expected.images, expected.side);
    let mut network = engine(Network::new(spec, side, 4, &streams).unwrap());
    let report = network.load(&state(&expected.tensors), Missing::Error).unwrap();
    assert_eq!(report.loaded.len(), expected.tensors.len(), "{name}: every tensor of torch's has its place");
    assert!(report.unexpected.is_empty() && report.replaced.is_empty() && report.folded.is_empty(), "{report:?}");

    let pixels = formula("pixels", n * side * side * 3, -2.0, 2.0);
    let pixels = Tensor::from_vec(pixels, (n, side, side, 3), &Device::Cpu).unwrap();
    assert_close(name, &wide(&network.forward(&pixels).unwrap()), &expected.evaluated, 1e-4);
    let Some((of_logits, of_gradients)) = training else { return };
    let frozen = vec![false; network.parameters().len()];
    let logits = network.forward_train(&pixels, &frozen, streams.stream("dropout", 0, &[])).unwrap();
    assert_close(&format!("{name}, training"), &wide(&logits), &expected.trained, of_logits);
    let factors = Tensor::from_vec(formula("logits", n * 4, -1.0, 1.0), (n, 4), &Device::Cpu).unwrap();
    network.backward(&(logits * factors).unwrap().sum_all().unwrap()).unwrap();
    // Gradients in PyTorch's order, as if they were the parameters.
    let (gradient, running) = (network.gradient().to_vec(), network.running().to_vec());
    network.restore(&gradient, &running).unwrap();
    let found = network.tensors();
    // The gradient of a bias before a batch norm consists of rounding errors.
    let largest = expected.gradients.values().fold(0.0f64, |largest, values| largest.max(values[0]));
    for (tensor, wanted) in expected.gradients.iter().filter(|(_, wanted)| wanted[0] > 1e-9 * largest) {
        let values: Vec<f64> = found[tensor].1.iter().copied().map(f64::from).collect();
        let other = formula("other", values.len(), -1.0, 1.0);
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let product = values.iter().zip(other).map(|(value, other)| value * f64::from(other)).sum();
        assert_close(&format!("{name}: {tensor}"), &[norm, product, values[0]], wanted, of_gradients);
    }
}

#[test]
fn shallow_cnn_matches_pytorch() {
    // Its dropout masks differ from PyTorch's, so training is compared without dropout.
    let spec = builtin_network("shallow-cnn").unwrap();
    compare("shallow-cnn", &spec, None);
    let layers = spec.layers.into_iter().filter(|layer| !format!("{layer:?}").starts_with("Dropout")).collect();
    compare("shallow-cnn", &NetworkSpec::new(spec.name, layers), Some((1e-4, 2e-4)));
}

#[test]
fn resnet18_of_the_standard_library_matches_torchvision() {
    compare("resnet18", &builtin_network("resnet18").unwrap(), None);
}

#[test]
fn resnet34_of_the_standard_library_matches_torchvision() {
    // As for ResNet50: batch norms over few values.
    compare("resnet34", &builtin_network("resnet34").unwrap(), Some((5e-4, 4e-2)));
}

#[test]
fn resnet50_of_the_standard_library_matches_torchvision() {
    // 53 batch norms over as few as 8 values each: PyTorch's own f32 gradients differ from f64 by 3.4e-2 here, its logits by 1e-4.
    compare("resnet50", &builtin_network("resnet50").unwrap(), Some((5e-4, 4e-2)));
}

#[test]
fn efficientnet_lite0_of_the_standard_library_matches_timm() {
    compare("efficientnet-lite0", &builtin_network("efficientnet-lite0").unwrap(), Some((1e-4, 1e-3)));
}

/// Network of the standard library without stochastic depth: its masks differ from `PyTorch`'s.
fn always_whole(name: &str) -> NetworkSpec {
    let mut spec = builtin_network(name).unwrap();
    for layer in &mut spec.layers {
        if let Layer::Residual { body, .. } = layer {
            body.retain(|layer| !matches!(layer, Layer::StochasticDepth(_)));
        }
    }
    spec
}

#[test]
fn swin_t_of_the_standard_library_matches_torchvision() {
    compare("swin-t", &always_whole("swin-t"), Some((1e-4, 1e-4)));
}

#[test]
fn vit_s16_of_the_standard_library_matches_timm() {
    compare("vit-s16", &builtin_network("vit-s16").unwrap(), Some((1e-4, 1e-4)));
}

#[test]
fn convnext_t_of_the_standard_library_matches_torchvision() {
    compare("convnext-t", &always_whole("convnext-t"), Some((1e-4, 1e-4)));
}

#[test]
fn every_other_layer_type_matches_pytorch() {
    compare("every", &described(EVERY), Some((1e-4, 2e-4)));
}
