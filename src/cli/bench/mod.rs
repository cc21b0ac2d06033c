//! `macula bench`: benchmarks of this machine. The JSON has the fields of the usual `PyTorch` script.

mod extract;
mod load;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Exit, Failure, amounts};
use crate::base::{Sources, threads};
use crate::engine::gpu::{self, DeviceChoice, DeviceRequest, GpuEngine, OpenedEngine, Opening, SlowConvolution};
use crate::engine::kernels;
use crate::engine::network::{NetworkWork, own_kernels};
use crate::lang::near::near;
use crate::lang::network::NetworkSpec;
use crate::lang::stdlib::MODULES;
use crate::lang::{self, builtin_network};
use crate::learn::trial::{Compared, Trial};
use crate::progress::out;
use crate::progress::table::thousands;
use crate::run::Host;
use crate::stage::StageError;

/// The arguments of `macula bench`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What to measure
    what: What,
    /// Network of the standard library, or of `--file`
    #[arg(long, value_name = "NAME", default_value = "resnet18")]
    network: String,
    /// File that describes the network
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Side of a patch, px
    #[arg(long, value_name = "PX", default_value_t = 128)]
    size: u16,
    /// Patches per step; for `extract`, photographs [default: 32, for `extract` 4]
    #[arg(long, value_name = "N", value_parser = amounts::count)]
    batch: Option<NonZeroUsize>,
    /// Device
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// Number of the GPU, as in `device cuda index=1`
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u8,
    /// What computes on a GPU, as in `device cuda engine=cudnn`; without a self-check
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    engine: BenchEngine,
    /// Precision
    #[arg(long, value_name = "PRECISION", default_value = "f32")]
    precision: BenchPrecision,
    /// Threads [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = amounts::threads)]
    threads: Option<NonZeroUsize>,
    /// Measured steps
    #[arg(long, value_name = "N", default_value = "5")]
    steps: NonZeroUsize,
    /// Warm-up steps, not measured
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: usize,
    /// Augmentation for `load`
    #[arg(long, value_name = "CHANGES", default_value = "all")]
    augment: Augment,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Training steps: forward, focal loss, backward, Adam
    Train,
    /// Forward pass only, with batch norms folded
    Infer,
    /// Patches from a mapped shard, augmented and normalised
    Load,
    /// Synthetic photographs, decoded and cut into patches
    Extract,
    /// Training steps on the device and the processor, and their difference
    Check,
}

/// Device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Device {
    /// The best available one
    Auto,
    /// The processor
    Cpu,
    /// An NVIDIA GPU
    Cuda,
    /// candle on the processor
    Candle,
}

/// Engine on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchEngine {
    /// candle if macula was built with it and the precision is f32, otherwise cuDNN
    Auto,
    /// candle's CUDA kernels
    Candle,
    /// macula's kernels with cuDNN
    Cudnn,
}

/// Precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchPrecision {
    /// Single precision
    F32,
    /// 10-bit products, single-precision sums (GPU only)
    Tf32,
    /// bfloat16, single-precision sums (GPU only)
    Bf16,
}

/// Augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Augment {
    /// None
    None,
    /// Flips
    Flip,
    /// Flips and rotation
    Move,
    /// Flips, rotation and colour jitter
    All,
}

/// Measures and prints the results.
///
/// # Errors
/// A [`Failure`] if the network or the device is missing, or the patches do not fit.
pub fn bench(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let usual = if arguments.what == What::Extract { 4 } else { 32 };
    let asked = BenchSize {
        size: usize::from(arguments.size),
        batch: arguments.batch.map_or(usual, NonZeroUsize::get),
        steps: arguments.steps.get(),
        warmup: arguments.warmup,
    };
    let threads = arguments.threads.map_or(host.processors, NonZeroUsize::get);
    let pool = threads::pool(threads);
    let pool = pool.map_err(|error| Failure::user(format!("cannot start threads: {error}")))?;
    let (mut class, mut compared) = (kernels::target(), None);
    let measured = pool.install(|| match arguments.what {
        What::Train => {
            let mut trial = trial(arguments, asked)?;
            class = trial.target();
            let measured = measure(asked, |_| trial.train().map_err(failure))?;
            Ok(Measured { card_bytes: trial.card_bytes(), ..measured })
        }
        What::Infer => {
            let trial = trial(arguments, asked)?;
            class = trial.target();
            let measured = measure(asked, |_| trial.infer().map_err(failure))?;
            Ok(Measured { card_bytes: trial.card_bytes(), ..measured })
        }
        What::Check => {
            let mut trial = trial(arguments, asked)?;
            class = trial.target();
            let mut processor =
                Trial::new(&network(arguments)?, asked.size, asked.batch, OpenedEngine::Kernels).map_err(failure)?;
            let found = trial.compare(&mut processor, asked.steps).map_err(failure)?;
            compared = Some((found, trial.slow_convolutions()));
            Ok(Measured { ms: f64::NAN, processor_ms: None, card_bytes: None })
        }
        What::Load => load::load(arguments.augment, asked),
        What::Extract => extract::extract(asked),
    })?;
    let text = if let Some((compared, slow)) = compared {
        check_line(&class, &compared, &slow)
    } else if arguments.json {
        json_line(arguments, asked, (threads, &class), &measured)
    } else {
        words(arguments, asked, (threads, &class), &measured)
    };
    out::say(&format!("{text}\n"));
    Ok(Exit::Done)
}

/// Amount of work to measure.
#[derive(Clone, Copy, Debug)]
struct BenchSize {
    size: usize,
    batch: usize,
    steps: usize,
    warmup: usize,
}

/// Measurements.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Median milliseconds per step.
    ms: f64,
    /// Mean processor milliseconds per step, if the system reports them.
    processor_ms: Option<f64>,
    /// Bytes that the network used on a GPU.
    card_bytes: Option<u64>,
}

/// Runs `warmup + steps` steps and measures the last `steps`. `step` gets its number.
fn measure(asked: BenchSize, mut step: impl FnMut(usize) -> Result<(), Failure>) -> Result<Measured, Failure> {
    for at in 0..asked.warmup {
        step(at)?;
    }
    let begun = processor_ms();
    let mut times = Vec::with_capacity(asked.steps);
    for at in 0..asked.steps {
        let start = Instant::now();
        step(asked.warmup + at)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let processor_ms = processor_ms().zip(begun).map(|(end, begun)| (end - begun) / asked.steps as f64);
    times.sort_by(f64::total_cmp);
    // As Python's `statistics.median`.
    let middle = times.len() / 2;
    let ms = if times.len() % 2 == 1 { times[middle] } else { f64::midpoint(times[middle - 1], times[middle]) };
    Ok(Measured { ms, processor_ms, card_bytes: None })
}

/// Processor time of this process in milliseconds, if the system reports it (Linux, in hundredths of a second).
fn processor_ms() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some(10.0 * (fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?))
}

/// Peak memory of this process in MiB, if the system reports it (Linux).
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn trial(arguments: &Arguments, asked: BenchSize) -> Result<Trial, Failure> {
    let choice = match arguments.device {
        Device::Auto => DeviceChoice::Auto,
        Device::Cpu => DeviceChoice::Cpu,
        Device::Cuda => DeviceChoice::Cuda,
        Device::Candle => DeviceChoice::Candle,
    };
    let engine = GpuEngine::from_name(&name(&arguments.engine));
    let request = DeviceRequest { choice, index: usize::from(arguments.index), engine };
    let network = network(arguments)?;
    let opened = gpu::open(request, gpu::Precision::from_name(&name(&arguments.precision))).map_err(failure)?;
    let engine = match opened {
        Opening::Opened(engine, _) => engine,
        // Measuring and comparing is what this command does, so there is no check before it.
        Opening::Candidate(candidate) => {
            own_kernels(&network, NetworkWork::Training).map_err(failure)?;
            OpenedEngine::Gpu(candidate.open().map_err(failure)?)
        }
    };
    Trial::new(&network, asked.size, asked.batch, engine).map_err(failure)
}

/// Converts a stage's error.
fn failure(error: StageError) -> Failure {
    let text = error.to_string();
    match error {
        StageError::Input { hint: Some(hint), .. } => Failure::user(text).hint(hint),
        StageError::Input { hint: None, .. } | StageError::Stopped => Failure::user(text),
        StageError::Store(_) => Failure { exit: Exit::Store, ..Failure::user(text) },
        StageError::Bug(_) => Failure { exit: Exit::Bug, ..Failure::user(text) },
    }
}

fn network(arguments: &Arguments) -> Result<NetworkSpec, Failure> {
    let name = &arguments.network;
    let Some(file) = &arguments.file else {
        return builtin_network(name).ok_or_else(|| {
            let all = MODULES.iter().filter_map(|(module, _)| module.strip_prefix("networks/"));
            // Those that read embeddings need patches that carry them.
            let reads_pixels = |name: &&str| builtin_network(name).is_some_and(|spec| spec.embeddings().is_empty());
            let all: Vec<_> = all.filter(reads_pixels).collect();
            let failure = Failure::user(format!("the standard library has no network `{name}`"));
            match near(name, all.iter().copied()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("it has {}; use `--file FILE` for your own", all.join(", "))),
            }
        });
    };
    let networks = lang::networks(file, &mut Sources::default())
        .map_err(|error| Failure::user(format!("cannot read `{}`: {error}", file.display())))?;
    let found = networks.get(name.as_str()).map(|described| described.spec.clone());
    found.ok_or_else(|| {
        Failure::user(format!("`{}` has no network `{name}`", file.display())).hint("`macula check` lists its contents")
    })
}

/// One line of JSON: the difference between device and processor, digests of the trained weights, and the convolutions that slow kernels
/// computed because the library of the device does not.
fn check_line(class: &str, compared: &Compared, slow: &[SlowConvolution]) -> String {
    let slow: Vec<serde_json::Value> = slow.iter().map(slow_json).collect();
    json!({
        "kernels": class,
        "logits": compared.logits,
        "gradients": compared.gradients,
        "worst": compared.worst,
        "digest": compared.digest.to_string(),
        "resumed": compared.resumed.to_string(),
        "slow": slow,
    })
    .to_string()
}

/// Shape, direction and reason.
fn slow_json(slow: &SlowConvolution) -> serde_json::Value {
    let SlowConvolution { shape, images, direction, reason } = slow;
    json!({
        "images": images,
        "height": shape.height,
        "width": shape.width,
        "channels": shape.channels,
        "out": shape.out,
        "kernel": shape.kernel,
        "stride": shape.stride,
        "padding": shape.padding,
        "dilation": shape.dilation,
        "direction": direction.name(),
        "reason": reason.words(),
    })
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Fields of the `PyTorch` script, without those that only apply to it, followed by ours.
fn json_line(arguments: &Arguments, asked: BenchSize, (threads, class): (usize, &str), measured: &Measured) -> String {
    let round = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
    json!({
        "ms": round(measured.ms, 2),
        "images_per_s": round(asked.batch as f64 / measured.ms * 1e3, 1),
        "macula": env!("CARGO_PKG_VERSION"),
        "device": class.split('-').next(),
        "size": asked.size,
        "batch": asked.batch,
        "steps": asked.steps,
        "warmup": asked.warmup,
        "threads": threads,
        "precision": name(&arguments.precision),
        "infer": arguments.what == What::Infer,
        "what": name(&arguments.what),
        "network": arguments.network,
        "augment": name(&arguments.augment),
        "kernels": class,
        "processor_ms": measured.processor_ms.map(|ms| round(ms, 1)),
        "peak_mib": peak_mib(),
        "gpu_mib": measured.card_bytes.map(|bytes| bytes >> 20),
    })
    .to_string()
}

fn words(arguments: &Arguments, asked: BenchSize, (threads, class): (usize, &str), measured: &Measured) -> String {
    let (what, thing) = match arguments.what {
        What::Train => (format!("training {}", arguments.network), "patches"),
        What::Infer | What::Check => (format!("inference by {}", arguments.network), "patches"),
        What::Load => (format!("loading, changes: {}", name(&arguments.augment)), "patches"),
        What::Extract => (format!("extraction from photographs of {} px", extract::SIDE), "photographs"),
    };
    let per_second = asked.batch as f64 / measured.ms * 1e3;
    let mut text = format!(
        "{what}: {per_second:.1} {thing} per second\n  {} {thing} per step, patches of {} px, {threads} threads, {}: {:.1} ms per step (median of {})",
        asked.batch, asked.size, class, measured.ms, asked.steps,
    );
    if let Some(ms) = measured.processor_ms {
        let _ = write!(text, "\n  {ms:.0} ms of processor time per step");
    }
    if let Some(peak) = peak_mib() {
        let _ = write!(text, "\n  peak memory {} MiB", thousands(peak as i64));
    }
    text
}
