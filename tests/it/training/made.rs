//! Synthetic patches, parameters with their defaults, and a context of stages, for tests of training.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use macula::base::{Digest, Streams};
use macula::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, ShardBytes};
use macula::data::photographs::LabelScheme;
use macula::lang::network::{BatchNorm, Conv, Layer, Linear, MaxPool, NetworkSpec};
use macula::lang::value::Value;
use macula::stage::{Ctx, Inputs, Metrics, Named, Outcome, Params, Progress, StageError, Stop, Warning, Work};
use macula::store::{Objects, Tree};

pub(super) const SIZE: u32 = 16;

/// Appearance and number of the synthetic patches.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) photographs: u32,
    pub(super) patches: u32,
    pub(super) margin: u32,
    /// Number of the first photograph: another number gives other patches.
    pub(super) first: u32,
}

impl Made {
    pub(super) fn small() -> Self {
        Self { photographs: 3, patches: 14, margin: 0, first: 0 }
    }

    /// Two classes: a bright square (`A`, a third of the patches) and a red tinge (`B`, a quarter), on noise.
    pub(super) fn set(&self, objects: &Objects) -> PatchSet {
        let info = SetInfo {
            classes: vec!["A".to_owned(), "B".to_owned()],
            size: SIZE,
            margin: self.margin,
            masks: self.margin > 0,
            scale: 1,
            resampled: false,
            min_pixels: 1,
            min_fraction: 0.0,
            labels: LabelScheme::MultiLabel,
        };
        let parts = (self.first..self.first + self.photographs).map(|number| self.part(number, &info, objects));
        PatchSet { parts: parts.collect(), embeddings: Vec::new(), info }
    }

    fn part(&self, number: u32, info: &SetInfo, objects: &Objects) -> Part {
        let side = (info.size + 2 * info.margin) as usize;
        let mut shard = ShardBytes::new(self.patches as usize, info);
        let (pixels, masks) = shard.parts();
        let mut rows = Vec::new();
        for index in 0..self.patches {
            let (a, b) = ((index + number).is_multiple_of(3), (index * 7 + number).is_multiple_of(4));
            let patch = &mut pixels[index as usize * side * side * 3..][..side * side * 3];
            for (at, value) in patch.iter_mut().enumerate() {
                let noise = (at as u32 + 1).wrapping_mul(2_654_435_761).wrapping_add((number * 100 + index) * 40_503);
                let (x, y) = (at / 3 % side, at / 3 / side);
                let bright = a && (x * 2 > side) && (y * 2 > side);
                let red = b && at % 3 == 0;
                *value = 60 + (noise >> 26) as u8 + if bright { 90 } else { 0 } + if red { 40 } else { 0 };
            }
            if let Some(mask) = masks.chunks_exact_mut((side * side).div_ceil(8)).nth(index as usize * 2).filter(|_| a)
            {
                let centre = side * side / 2 + side / 2;
                mask[centre / 8] |= 0x80 >> (centre % 8);
            }
            let label = |present: bool| if present { Label::Present } else { Label::Absent };
            rows.push(PatchRow {
                x: index * info.size,
                y: 0,
                index,
                copies: 1,
                labels: vec![label(a), label(b)],
                mask_pixels: vec![u32::from(a), u32::from(b)],
                mask_distance: vec![0.0, 0.0],
                mean: [0.0; 3],
                deviation: [0.0; 3],
                histogram: Arc::new([0; 256]),
            });
        }
        Part {
            photograph: format!("made_{number:02}"),
            digest: Digest::of(&number.to_le_bytes()),
            patient: None,
            official: None,
            shard: objects.put(&shard.finish()).expect("stored"),
            embeddings: BTreeMap::new(),
            rows,
        }
    }
}

/// Parameters of `train`: the signature's defaults, a small network, and `changed` ones.
pub(super) fn params(changed: &[(&str, Value)]) -> Params {
    let text = |text: &str| Value::Text(text.to_owned());
    let reals = |values: [f64; 3]| Value::List(values.map(Value::Real).to_vec());
    let mut all: BTreeMap<String, Value> = [
        ("network", Value::Network(Box::new(small()))),
        ("loss", text("bce")),
        ("loss.class-weights", text("none")),
        ("loss.positive-weights", text("none")),
        ("loss.positive", Value::Real(1.0)),
        ("loss.negative", Value::Real(1.0)),
        ("optimizer", text("adamw")),
        ("optimizer.beta1", Value::Real(0.9)),
        ("optimizer.beta2", Value::Real(0.999)),
        ("optimizer.eps", Value::Real(1e-8)),
        ("optimizer.lr", Value::Real(1e-2)),
        ("optimizer.weight-decay", Value::Real(0.0)),
        ("schedule", text("constant")),
        ("schedule.warmup", Value::Real(0.0)),
        ("epochs", Value::Int(3)),
        ("batch", Value::Int(8)),
        ("device", text("auto")),
        ("precision", text("f32")),
        ("memory", text("error")),
        ("sampler", text("natural")),
        ("missing", text("error")),
        ("start.zero-gamma", Value::Bool(false)),
        ("start.prior-bias", Value::Bool(false)),
        ("start.calibration", Value::Int(16)),
        ("normalise.mean", reals([0.485, 0.456, 0.406])),
        ("normalise.std", reals([0.229, 0.224, 0.225])),
        ("choose", text("average-precision")),
        ("subset", Value::Int(10)),
        ("checkpoint", Value::Int(5)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    all.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Params(all)
}

/// Parameters of `augment`: the preset's jitter, flips, and the given geometric transforms.
pub(super) fn recipe(degrees: f64, shift: f64) -> Params {
    let real = [
        ("flip.horizontal", 0.5),
        ("flip.vertical", 0.5),
        ("flip.transpose", 0.5),
        ("rotate.degrees", degrees),
        ("shift.px", shift),
        ("color-jitter.brightness", 0.2),
        ("color-jitter.contrast", 0.2),
        ("color-jitter.saturation", 0.2),
        ("color-jitter.hue", 0.02),
        ("blur.probability", 0.3),
        ("blur.sigma", 1.0),
    ];
    let mut all: BTreeMap<_, _> = real.map(|(name, value)| (name.to_owned(), Value::Real(value))).into();
    all.insert("fill".to_owned(), Value::Text("reflect".to_owned()));
    Params(all)
}

/// Progress of a stage: counts batches, keeps lines and warnings, and interrupts after a number of batches.
#[derive(Default)]
pub(super) struct Watcher {
    pub(super) stop: Stop,
    pub(super) stop_after: Option<u64>,
    pub(super) batches: AtomicU64,
    pub(super) lines: std::sync::Mutex<Vec<String>>,
    pub(super) metrics: std::sync::Mutex<Vec<Metrics>>,
}

impl Progress for Watcher {
    fn step(&self, _: u64, _: u64, _: &str) {
        let done = self.batches.fetch_add(1, Ordering::SeqCst) + 1;
        if self.stop_after == Some(done) {
            self.stop.raise();
        }
    }

    fn line(&self, text: &str) {
        self.lines.lock().expect("no panic").push(text.to_owned());
    }

    fn metrics(&self, metrics: &Metrics) {
        self.metrics.lock().expect("no panic").push(metrics.clone());
    }

    fn warn(&self, warning: &Warning) {
        self.lines.lock().expect("no panic").push(warning.text.clone());
    }
}

/// Runs a stage on trees.
pub(super) fn run(
    stage: &str,
    params: &Params,
    inputs: &[(&str, &Tree)],
    seed: u64,
    (objects, partial): (&Objects, &Path),
    watcher: &Watcher,
) -> Result<Outcome, StageError> {
    let named =
        |tree: &Tree| vec![Named { stage: String::new(), name: String::new(), tree: tree.clone(), summary: None }];
    let inputs = Inputs(inputs.iter().map(|(port, tree)| ((*port).to_owned(), named(tree))).collect());
    let implementation = macula::stages::find(stage).expect("registered");
    let Work::Whole(work) = implementation.work else { panic!("`{stage}` is no whole stage") };
    work(&Ctx {
        params,
        inputs: &inputs,
        streams: Streams::new(seed, stage),
        objects,
        partial,
        progress: watcher,
        stop: &watcher.stop,
    })
}

fn conv(name: &str, out: usize, kernel: usize, stride: usize) -> Layer {
    Layer::Conv(Conv {
        name: name.to_owned(),
        out,
        kernel,
        stride,
        padding: kernel / 2,
        dilation: 1,
        groups: 1,
        bias: false,
        expects: None,
    })
}

fn norm(name: &str) -> Layer {
    Layer::BatchNorm(BatchNorm { name: name.to_owned(), eps: 1e-5, momentum: 0.1 })
}

pub(super) fn small() -> NetworkSpec {
    let body = vec![conv("a", 8, 3, 1), norm("na"), Layer::Relu, conv("b", 16, 3, 2), norm("nb")];
    let layers = vec![
        conv("conv1", 8, 3, 1),
        norm("bn1"),
        Layer::Relu,
        Layer::MaxPool(MaxPool { kernel: 3, stride: 2, padding: 1 }),
        Layer::Residual { body, shortcut: vec![conv("s", 16, 1, 2), norm("ns")] },
        Layer::Relu,
        Layer::GlobalAvgPool,
        Layer::Linear(Linear { name: "fc".to_owned(), out: None, bias: true, expects: None }),
    ];
    NetworkSpec::new("small".to_owned(), layers)
}
