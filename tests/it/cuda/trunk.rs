//! Networks trained and evaluated through GPU launches, executed on the CPU, against the CPU kernels.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use macula::base::Streams;
use macula::data::patches::Label;
use macula::engine::gpu::{Gpu, Kernel, KernelArguments, Precision};
use macula::engine::network::{Network, canvas};
use macula::engine::optimizer::{AdamConstants, Optimizer, ParameterGroup, UpdateRule};
use macula::lang::builtin_network;
use macula::lang::network::NetworkSpec;
use macula::learn::loss::Loss;
use macula::learn::objective::{Objective, Targets, on_tape};

use super::processor::{Dense, Processor, launched};
use crate::kernels::formula::{described, formula};
use crate::kernels::networks::{EVERY, SHARED, SURROUNDED, TAPPED};

const CLASSES: usize = 4;

/// Layers missing in the networks of the standard library and [`EVERY`].
pub(crate) const OTHERS: &str = r"network others {
    batch-norm first
    conv stem out=10 kernel=5 stride=2 padding=1
    relu6
    residual { body { conv a out=10 kernel=3 padding=1 bias=#false; batch-norm b; relu6; conv c out=10 kernel=1 }; shortcut { } }
    relu
    residual { body { conv d out=10 kernel=1; batch-norm e }; shortcut { conv f out=10 kernel=1; batch-norm g } }
    dropout share=0.25
    parallel join=concat {
        branch a { global-max-pool; tanh }
        branch b { global-avg-pool; gelu }
        branch c { global-avg-pool; sigmoid }
    }
    flatten
    linear hidden out=70
    relu
    linear head
}";

/// Network with a sum without `ReLU`, and a head wide enough for a library convolution.
const PLAIN: &str = r"network plain {
    conv a out=4 kernel=3 padding=1
    residual { body { conv b out=4 kernel=3 padding=1 }; shortcut { } }
    global-avg-pool
    linear head
}";

/// Classes of a test network.
fn classes(spec: &NetworkSpec) -> usize {
    if spec.name == "plain" { 64 } else { CLASSES }
}

const ADAM: UpdateRule = UpdateRule::Adam(AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-8 });

pub(super) fn pixels(images: usize, side: usize) -> Tensor {
    let values = formula("pixels", images * side * side * 3, -2.0, 2.0);
    Tensor::from_vec(values, (images, side, side, 3), &Device::Cpu).unwrap()
}

pub(super) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A network in training.
struct Trained {
    network: Network,
    optimizer: Optimizer,
    frozen: Vec<bool>,
    steps: u64,
}

impl Trained {
    fn new(spec: &NetworkSpec, side: usize, rule: UpdateRule, frozen: &str, gpu: Option<Box<dyn Gpu>>) -> Self {
        let network = Network::new(spec, side, classes(spec), &Streams::new(7, "test")).unwrap();
        let frozen: Vec<bool> = network
            .parameters()
            .iter()
            .map(|parameter| !frozen.is_empty() && parameter.name.starts_with(frozen))
            .collect();
        let groups = network.parameters().iter().zip(&frozen).filter(|(_, frozen)| !**frozen);
        let groups =
            groups.map(|(parameter, _)| ParameterGroup { range: parameter.range.clone(), rate: 1e-3 }).collect();
        let optimizer = Optimizer::new(rule, 1e-4, groups, network.flat().len());
        let network = match gpu {
            Some(gpu) => network.on(gpu),
            None => network,
        };
        Self { network, optimizer, frozen, steps: 0 }
    }

    /// One step; returns the logits and the gradient.
    fn step(&mut self, pixels: &Tensor) -> (Vec<f32>, Vec<f32>) {
        let (images, classes) = (pixels.dims()[0], self.network.classes());
        let labels: Vec<Label> =
            (0..images * classes).map(|at| if at % 3 == 0 { Label::Present } else { Label::Absent }).collect();
        let dropout = Streams::new(7, "test").stream("dropout", self.steps, &[]);
        self.steps += 1;
        let logits = self.network.forward_train(pixels, &self.frozen, dropout).unwrap();
        let loss: Arc<dyn Objective> = Arc::new(Loss::bce(classes));
        let loss = on_tape(&loss, &logits, &Targets::of(&labels)).unwrap();
        self.network.backward(&loss).unwrap();
        self.network.fetch(None).unwrap();
        let gradient = self.network.gradient().to_vec();
        self.network.step(&mut self.optimizer, 1.0).unwrap();
        (floats(&logits), gradient)
    }
}

/// Largest difference, relative to the largest expected value.
pub(super) fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(0.0f32, |scale, value| scale.max(value.abs())).max(1e-20);
    let error = |(found, wanted): (&f32, &f32)| if found.is_nan() { f32::INFINITY } else { (found - wanted).abs() };
    found.iter().zip(wanted).map(error).fold(0.0, f32::max) / scale
}

struct Case<'a> {
    spec: &'a NetworkSpec,
    images: usize,
    side: usize,
    rule: UpdateRule,
    frozen: &'a str,
    /// Tolerance of the logits of the first step; ten times that for gradients, thirty times in bf16, where rounding selects other
    /// maxima and active `ReLUs`.
    bound: f32,
}

fn compare(case: &Case, precision: Precision, dense: Dense) {
    let Some(processor) = Processor::new(precision, dense) else { return };
    let Case { spec, images, side, rule, frozen, bound } = *case;
    let mut card = Trained::new(spec, side, rule, frozen, Some(Box::new(processor)));
    let mut host = Trained::new(spec, side, rule, frozen, None);
    let what = format!("{}, {precision}, {dense:?}", spec.name);
    let side = canvas(spec, side);
    let batch = pixels(images, side);
    let near = |part: &str, found: &[f32], wanted: &[f32], bound: f32| {
        let error = apart(found, wanted);
        println!("{what}: {part} {error:.1e} apart");
        assert!(error <= bound, "{what}: {part} {error:.1e} apart, not {bound:.1e}");
    };
    near(
        "evaluated",
        &floats(&card.network.forward(&batch).unwrap()),
        &floats(&host.network.forward(&batch).unwrap()),
        bound,
    );
    let (found, wanted) = (card.step(&batch), host.step(&batch));
    near("logits", &found.0, &wanted.0, bound);
    let of_gradients = if precision == Precision::Bf16 { 30.0 * bound } else { 10.0 * bound };
    for parameter in host.network.parameters() {
        let of = |all: &[f32]| all[parameter.range.clone()].to_vec();
        let scale = wanted.1.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
        let largest = of(&wanted.1).iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        // The gradient of a bias before a batch norm consists of rounding errors.
        if largest > 1e-4 * scale {
            near(&format!("gradient of {}", parameter.name), &of(&found.1), &of(&wanted.1), of_gradients);
        } else {
            assert!(
                of(&found.1).iter().all(|value| value.abs() <= 1e-3 * scale + bound * scale),
                "{what}: {}",
                parameter.name
            );
        }
    }
    // A batch of another size, with the trained weights.
    card.step(&pixels(images - 1, side));
    host.step(&pixels(images - 1, side));
    card.network.fetch(Some(&mut card.optimizer)).unwrap();
    near("running statistics", card.network.running(), host.network.running(), 10.0 * bound);
    assert_eq!(card.optimizer.steps, 2);
}

#[test]
fn gpu_kernels_match_the_cpu() {
    let nesterov = UpdateRule::Sgd { momentum: 0.9, nesterov: true };
    let every = described(EVERY);
    let others = described(OTHERS);
    let plain = described(PLAIN);
    let tapped = described(TAPPED);
    let surrounded = described(&SURROUNDED.replace("branch from=patch share=#true", "branch again from=patch"));
    let shallow = builtin_network("shallow-cnn").unwrap();
    let light = builtin_network("efficientnet-lite0").unwrap();
    let resnet = builtin_network("resnet18").unwrap();
    let case = |spec, images, side| Case { spec, images, side, rule: ADAM, frozen: "", bound: 2e-5 };
    for dense in [Dense::Own, Dense::Library] {
        compare(&case(&every, 4, 13), Precision::F32, dense);
        compare(&Case { rule: nesterov, ..case(&others, 5, 14) }, Precision::F32, dense);
        compare(&Case { frozen: "s", ..case(&others, 5, 14) }, Precision::F32, dense);
        compare(&case(&plain, 3, 9), Precision::F32, dense);
        compare(&case(&tapped, 4, 14), Precision::F32, dense);
        compare(&case(&surrounded, 4, 12), Precision::F32, dense);
        compare(&case(&shallow, 3, 32), Precision::F32, dense);
        compare(&Case { bound: 3e-2, ..case(&every, 4, 13) }, Precision::Bf16, dense);
        compare(&Case { bound: 3e-2, ..case(&shallow, 3, 32) }, Precision::Bf16, dense);
    }
    // Batch norms over few values.
    compare(&Case { bound: 5e-3, ..case(&light, 6, 48) }, Precision::F32, Dense::Own);
    compare(&Case { bound: 5e-3, ..case(&resnet, 6, 48) }, Precision::F32, Dense::Library);
    super::views::every_kind();
    let launched = launched();
    let never: Vec<_> = Kernel::ALL.iter().filter(|kernel| !launched.contains(kernel)).collect();
    assert!(never.is_empty() || launched.is_empty(), "no test launches {never:?}");
}

/// Steps on the same batch, from a state on the host; returns the state on the host.
fn trained(state: Option<&(Vec<f32>, Vec<f32>, Optimizer)>, steps: usize) -> Option<(Vec<f32>, Vec<f32>, Optimizer)> {
    let spec = described(OTHERS);
    let processor = Processor::new(Precision::Bf16, Dense::Library)?;
    let mut one = Trained::new(&spec, 14, ADAM, "", Some(Box::new(processor)));
    if let Some((flat, running, optimizer)) = state {
        one.network.restore(flat, running).unwrap();
        one.optimizer = optimizer.clone();
        one.steps = optimizer.steps;
    }
    let batch = pixels(5, 14);
    for _ in 0..steps {
        one.step(&batch);
    }
    one.network.fetch(Some(&mut one.optimizer)).unwrap();
    Some((one.network.flat().to_vec(), one.network.running().to_vec(), one.optimizer))
}

#[test]
fn a_fetched_and_restored_state_continues_in_the_same_bytes() {
    let Some(whole) = trained(None, 4) else { return };
    let half = trained(None, 2).unwrap();
    assert!(half != whole);
    assert!(trained(Some(&half), 2).unwrap() == whole);
    assert!(trained(None, 4).unwrap() == whole, "twice the same");
}

#[test]
fn bf16_rounds_to_nearest_ties_to_even() {
    let Some(mut processor) = Processor::new(Precision::Bf16, Dense::Own) else { return };
    let bits = (0..=u32::MAX).step_by(65_521).chain((0..8).map(|at| 0x3f80_0000 + (at << 15)));
    let special = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, f32::from_bits(1)];
    let values: Vec<f32> = bits.map(f32::from_bits).chain(special).collect();
    let from = processor.allocate(4 * values.len() as u64).unwrap();
    let to = processor.allocate(2 * values.len() as u64).unwrap();
    processor.write(from, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let mut arguments = KernelArguments::default();
    arguments.p[..2].copy_from_slice(&[from, to]);
    arguments.n[..3].copy_from_slice(&[values.len() as i32, 1, 1]);
    processor.launch(Kernel::FromFloats, values.len(), &arguments).unwrap();
    let mut rounded = vec![0; 2 * values.len()];
    processor.read(to, &mut rounded).unwrap();
    for (value, two) in values.iter().zip(rounded.as_chunks().0) {
        let (found, wanted) = (half::bf16::from_le_bytes(*two), half::bf16::from_f32(*value));
        assert!(
            found.to_bits() == wanted.to_bits() || (found.is_nan() && value.is_nan()),
            "{value}: {found}, not {wanted}"
        );
    }
}

#[test]
fn shared_tensors_are_evaluated_but_not_trained() {
    let Some(processor) = Processor::new(Precision::F32, Dense::Own) else { return };
    let spec = described(SHARED);
    let mut card = Trained::new(&spec, 18, ADAM, "", Some(Box::new(processor)));
    let host = Trained::new(&spec, 18, ADAM, "", None);
    let batch = pixels(4, 18);
    let logits = |network: &Network| floats(&network.forward(&batch).unwrap());
    assert!(apart(&logits(&card.network), &logits(&host.network)) <= 2e-5);
    let frozen = card.frozen.clone();
    let dropout = Streams::new(7, "test").stream("dropout", 0, &[]);
    let error = card.network.forward_train(&batch, &frozen, dropout).unwrap_err();
    assert!(error.has_code("gpu-shared"), "{error}");
}

#[test]
fn a_batch_that_does_not_fit_is_an_error_that_says_how_much_it_needs() {
    let Some(mut processor) = Processor::new(Precision::F32, Dense::Own) else { return };
    processor.room = 1000;
    let spec = builtin_network("shallow-cnn").unwrap();
    let network = Network::new(&spec, 32, CLASSES, &Streams::new(7, "test")).unwrap().on(Box::new(processor));
    let error = network.forward(&pixels(2, 32)).unwrap_err().to_string();
    assert!(error.contains("a batch of 2 patches of 32 x 32 px needs") && error.contains("GiB"), "{error}");
}
