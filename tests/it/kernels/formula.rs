//! Numbers that Rust and Python compute alike (`tests/expected/resnet18.py`), and networks filled with them.

use std::collections::BTreeMap;

use macula::base::Sources;
use macula::engine::network::Weights;
use macula::lang::describe::describe;
use macula::lang::network::{BatchNorm, Conv, Layer, Linear, MaxPool, NetworkSpec};
use macula::syntax;

/// Multiplicative hash of the index, seeded with the CRC-32 of the name, scaled to low..high.
pub(crate) fn formula(name: &str, count: usize, low: f64, high: f64) -> Vec<f32> {
    let start = crc32(name.as_bytes());
    (0..count as u32)
        .map(|index| {
            let mut bits = index.wrapping_mul(2_654_435_761).wrapping_add(start);
            bits = (bits ^ (bits >> 15)).wrapping_mul(2_246_822_519);
            bits ^= bits >> 13;
            (low + (high - low) * (f64::from(bits) / 4_294_967_296.0)) as f32
        })
        .collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// Bounds of the values of a tensor.
pub(crate) fn bounds(name: &str, shape: &[usize]) -> (f64, f64) {
    if name.ends_with("running_mean") {
        (-0.2, 0.2)
    } else if name.ends_with("running_var") {
        (0.5, 1.5)
    } else if shape.len() > 1 {
        let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        (-bound, bound)
    } else if name.ends_with("weight") {
        (0.6, 1.4)
    } else {
        (-0.2, 0.2)
    }
}

/// Weights from the formula, with the shapes of `like`.
pub(crate) fn weights(like: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Weights {
    let tensor = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
        let (low, high) = bounds(name, shape);
        (name.clone(), (shape.clone(), formula(name, values.len(), low, high)))
    };
    Weights { file: "formula".to_owned(), tensors: like.iter().map(tensor).collect(), ..Weights::default() }
}

/// Network described by a text.
pub(crate) fn described(text: &str) -> NetworkSpec {
    let file = Sources::default().add("network.kdl", None, text);
    let (document, diags) = syntax::parse(file, text);
    assert_eq!(diags, []);
    let (described, diags) = describe(&document.nodes[0], &macula::lang::library_networks());
    assert_eq!(diags, []);
    described.expect("it is right").spec
}

/// A network with two auxiliary outputs of these weights.
pub(crate) fn deep(weights: Option<[f64; 2]>) -> NetworkSpec {
    let outputs = weights.map_or(String::new(), |[one, two]| {
        format!(
            "auxiliary early from=early weight={one} {{ conv c out=6 kernel=1; relu; global-avg-pool; linear fc }}
             auxiliary late from=late weight={two} {{ linear fc }}"
        )
    });
    described(&format!(
        "network deep {{
            conv a out=8 kernel=3 padding=1; batch-norm n; relu; max-pool kernel=2; tap early
            conv b out=8 kernel=3 padding=1; batch-norm m; relu; global-avg-pool; tap late
            linear fc
            {outputs}
        }}"
    ))
}

fn conv(name: &str, out: usize, kernel: usize, stride: usize) -> Layer {
    let padding = kernel / 2;
    Layer::Conv(Conv {
        name: name.to_owned(),
        out,
        kernel,
        stride,
        padding,
        dilation: 1,
        groups: 1,
        bias: false,
        expects: None,
    })
}

fn norm(name: &str) -> Layer {
    Layer::BatchNorm(BatchNorm { name: name.to_owned(), eps: 1e-5, momentum: 0.1 })
}

/// torchvision's `ResNet18` with stages of `widths` channels.
pub(crate) fn resnet18(widths: [usize; 4]) -> NetworkSpec {
    let mut layers = vec![conv("conv1", widths[0], 7, 2), norm("bn1"), Layer::Relu];
    layers.push(Layer::MaxPool(MaxPool { kernel: 3, stride: 2, padding: 1 }));
    for (stage, width) in (1..).zip(widths) {
        for block in 0..2 {
            let name = |part: &str| format!("layer{stage}.{block}.{part}");
            let stride = if block == 0 && stage > 1 { 2 } else { 1 };
            let body = vec![
                conv(&name("conv1"), width, 3, stride),
                norm(&name("bn1")),
                Layer::Relu,
                conv(&name("conv2"), width, 3, 1),
                norm(&name("bn2")),
            ];
            let shortcut = if stride == 2 {
                vec![conv(&name("downsample.0"), width, 1, 2), norm(&name("downsample.1"))]
            } else {
                Vec::new()
            };
            layers.extend([Layer::Residual { body, shortcut }, Layer::Relu]);
        }
    }
    layers.extend([
        Layer::GlobalAvgPool,
        Layer::Linear(Linear { name: "fc".to_owned(), out: None, bias: true, expects: None }),
    ]);
    NetworkSpec::new("resnet18".to_owned(), layers)
}
