//! Selection of the device that a stage asks for. Knows no network.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::Device;

use super::{DeviceChoice, DeviceRequest, Gpu, GpuEngine, Precision};
use crate::base::sync;
use crate::engine::kernels;
use crate::stage::{StageError, combined_target, is_combined};

/// Answer to a [`DeviceRequest`].
pub enum Opening {
    /// What computes, and a message for the user.
    Opened(OpenedEngine, Option<String>),
    /// macula's kernels on a GPU, to be used only after they agree with another engine.
    Candidate(KernelCandidate),
}

/// What computes on an opened device.
pub enum OpenedEngine {
    /// The CPU kernels.
    Kernels,
    /// A GPU.
    Gpu(Box<dyn Gpu>),
    /// candle.
    Candle(Device),
}

/// macula's kernels on a GPU that was found but not opened.
pub struct KernelCandidate {
    card: Box<FoundDevice>,
    precision: Precision,
    /// Name of the GPU, version of cuDNN, and precision.
    pub description: String,
    /// The same GPU in candle, if macula was built with candle's CUDA kernels.
    pub candle: Option<Device>,
}

impl KernelCandidate {
    /// Opens the GPU for computation.
    ///
    /// # Errors
    /// Errors of the driver, of the compiler or of cuDNN.
    pub fn open(&self) -> Result<Box<dyn Gpu>, StageError> {
        self.card.open(self.precision)
    }
}

/// Target of results that candle computes on the CPU. Its matrix products choose their blocks by the sizes of the caches.
pub const CANDLE_CPU: &str = "candle-cpu";

/// Target of results that candle computes on an NVIDIA GPU.
pub const CANDLE_CUDA: &str = "candle-cuda";

/// Target of work that began on one target and was resumed on others.
#[must_use]
pub fn resumed<'a>(targets: impl IntoIterator<Item = &'a String>) -> String {
    combined_target(targets.into_iter().map(String::as_str))
}

/// Whether the bytes of a target's results may differ between machines (candle) or runs (parts of it on different targets).
#[must_use]
pub fn is_approximate(target: &str) -> bool {
    is_combined(target) || target.starts_with("candle-")
}

/// Opens the device for a request.
///
/// # Errors
/// [`StageError::Input`] if a GPU is requested and none works, or the CPU does not support the precision.
pub fn open(request: DeviceRequest, precision: Precision) -> Result<Opening, StageError> {
    let choice = request.choice;
    let why = match chosen(request, precision) {
        None => None,
        Some(Ok(ChosenGpu::Kernels(card))) => {
            let candle = candle_gpu(request.index).and_then(Result::ok);
            let description = card.description(precision);
            return Ok(Opening::Candidate(KernelCandidate { card, precision, description, candle }));
        }
        Some(Ok(ChosenGpu::Candle(device))) => {
            return Ok(candle(device, on_candle(request.index)));
        }
        Some(Err((why, hint))) if choice == DeviceChoice::Cuda => {
            return Err(StageError::input("no-gpu", why).hint(hint).field("device"));
        }
        Some(Err((why, _))) => Some(why),
    };
    if precision != Precision::F32 {
        return Err(needs_gpu(precision, choice, why.as_deref()));
    }
    if choice == DeviceChoice::Candle {
        return Ok(candle(Device::Cpu, "computing in candle on the CPU".to_owned()));
    }
    // Without the features no GPU is expected, so nothing is reported.
    let expected = cfg!(any(feature = "cuda", feature = "candle-cuda"));
    let message = why.filter(|_| expected).map(|why| format!("computing on the CPU: {why}"));
    Ok(Opening::Opened(OpenedEngine::Kernels, message))
}

/// Error about a precision that only a GPU has; `why` none can be used, if one was looked for.
fn needs_gpu(precision: Precision, choice: DeviceChoice, why: Option<&str>) -> StageError {
    let text = match why {
        Some(why) => format!("`precision {precision}` needs a GPU: {why}"),
        None if choice == DeviceChoice::Candle => {
            format!("`precision {precision}` needs a GPU, but `device candle` is set")
        }
        None => format!("`precision {precision}` needs a GPU, but `device cpu` is set"),
    };
    StageError::input("no-gpu", text).hint("set `precision f32`").field("precision")
}

/// Error that [`open`] gives for a request in this build of macula on every machine; [`None`] if it depends on the machine.
#[must_use]
pub fn not_built_for(request: DeviceRequest, precision: Precision) -> Option<StageError> {
    GpuBuild::THIS.refusal(request, precision)
}

fn candle(device: Device, message: String) -> Opening {
    Opening::Opened(OpenedEngine::Candle(device), Some(message))
}

/// Message about candle on a GPU.
fn on_candle(index: usize) -> String {
    let number = if index > 0 { format!(" {index}") } else { String::new() };
    format!("computing in candle on GPU{number}, with CUDA")
}

/// Target of results for a request, as far as it is known before a network is checked on the GPU.
#[must_use]
pub fn target(request: DeviceRequest, precision: Precision) -> String {
    match chosen(request, precision) {
        Some(Ok(ChosenGpu::Kernels(card))) => card.target(precision),
        Some(Ok(ChosenGpu::Candle(_))) => CANDLE_CUDA.to_owned(),
        _ if request.choice == DeviceChoice::Candle => CANDLE_CPU.to_owned(),
        _ => kernels::target(),
    }
}

/// Reason why a GPU cannot be used, and a hint.
type GpuRefusal = (String, String);

/// What computes on a GPU.
enum ChosenGpu {
    /// The schedule of launches, with cuDNN.
    Kernels(Box<FoundDevice>),
    Candle(Device),
}

/// GPU for a request. [`None`] for a choice that needs none, so that nothing is looked for.
fn chosen(request: DeviceRequest, precision: Precision) -> Option<Result<ChosenGpu, GpuRefusal>> {
    if !request.may_be_gpu() {
        return None;
    }
    Some(GpuBuild::THIS.engine(request.engine, precision).and_then(|engine| {
        match (engine, candle_gpu(request.index)) {
            (ChosenEngine::Candle, Some(found)) => found.map(ChosenGpu::Candle),
            _ => found(precision, request.index).map(|card| ChosenGpu::Kernels(Box::new(card))),
        }
    }))
}

/// GPU engines that macula was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GpuBuild {
    candle: bool,
    cudnn: bool,
}

/// Engine that a request and the build amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChosenEngine {
    Candle,
    Cudnn,
}

impl GpuBuild {
    const THIS: Self = Self { candle: cfg!(feature = "candle-cuda"), cudnn: cfg!(feature = "cuda") };

    /// As [`not_built_for`], for any build.
    fn refusal(self, request: DeviceRequest, precision: Precision) -> Option<StageError> {
        let refused = || self.engine(request.engine, precision).err();
        match request.choice {
            DeviceChoice::Cuda => {
                refused().map(|(why, hint)| StageError::input("no-gpu", why).hint(hint).field("device"))
            }
            _ if precision == Precision::F32 => None,
            DeviceChoice::Auto => refused().map(|(why, _)| needs_gpu(precision, request.choice, Some(&why))),
            DeviceChoice::Cpu | DeviceChoice::Candle => Some(needs_gpu(precision, request.choice, None)),
        }
    }

    fn engine(self, wanted: GpuEngine, precision: Precision) -> Result<ChosenEngine, GpuRefusal> {
        let refused = |why: &str, hint: &str| Err((why.to_owned(), hint.to_owned()));
        let f32 = precision == Precision::F32;
        match wanted {
            _ if !self.candle && !self.cudnn => refused(
                "this macula was built without CUDA support",
                "build it with `cargo build --release --features cuda`, or set `device cpu`",
            ),
            GpuEngine::Candle if !self.candle => refused(
                "this macula was built without candle's CUDA kernels",
                "build it with `--features candle-cuda`, or leave out `engine`",
            ),
            GpuEngine::Cudnn if !self.cudnn => refused(
                "this macula was built without its own CUDA kernels",
                "build it with `--features candle-cuda,cuda`, or leave out `engine`",
            ),
            GpuEngine::Candle if !f32 => {
                refused("candle computes on a GPU in f32 only", "set `precision f32`, or leave out `engine`")
            }
            GpuEngine::Auto if !f32 && !self.cudnn => refused(
                "candle computes on a GPU in f32 only",
                "build macula with `--features candle-cuda,cuda`, or set `precision f32`",
            ),
            GpuEngine::Candle => Ok(ChosenEngine::Candle),
            GpuEngine::Auto if self.candle && f32 => Ok(ChosenEngine::Candle),
            GpuEngine::Cudnn | GpuEngine::Auto => Ok(ChosenEngine::Cudnn),
        }
    }
}

/// What was found by a key, searched once per process.
type Searched<K, T> = Mutex<BTreeMap<K, Result<T, GpuRefusal>>>;

/// candle's GPU, or why there is none and a hint; [`None`] if macula was built without candle's CUDA kernels.
fn candle_gpu(index: usize) -> Option<Result<Device, GpuRefusal>> {
    static FOUND: Searched<usize, Device> = Mutex::new(BTreeMap::new());
    let open = || {
        let hint = if index > 0 {
            "`device cuda index=N` counts the GPUs that `nvidia-smi -L` lists from 0, or those in CUDA_VISIBLE_DEVICES if it is set"
        } else {
            "check that `nvidia-smi` lists a GPU, or set `device cpu`"
        };
        let why = |error: candle_core::Error| {
            let text = error.to_string();
            format!("candle cannot use GPU {index}: {}", text.lines().next().unwrap_or_default())
        };
        // A stream of its own: candle's default is one per thread, and several threads score photographs.
        Device::new_cuda_with_stream(index).map_err(|error| (why(error), hint.to_owned()))
    };
    cfg!(feature = "candle-cuda").then(|| sync::lock(&FOUND).entry(index).or_insert_with(open).clone())
}

/// GPU that supports a precision, or why there is none and a hint.
#[cfg(feature = "cuda")]
fn found(precision: Precision, index: usize) -> Result<FoundDevice, GpuRefusal> {
    static FOUND: Searched<(Precision, usize), FoundDevice> = Mutex::new(BTreeMap::new());
    let find = || super::cuda::find(precision, index).map(FoundDevice).map_err(|refused| (refused.why, refused.hint));
    sync::lock(&FOUND).entry((precision, index)).or_insert_with(find).clone()
}

#[cfg(feature = "cuda")]
#[derive(Clone)]
struct FoundDevice(super::cuda::CudaDevice);

#[cfg(feature = "cuda")]
impl FoundDevice {
    fn target(&self, precision: Precision) -> String {
        self.0.target(precision)
    }

    fn description(&self, precision: Precision) -> String {
        let (a, b, c) = self.0.cudnn_version;
        format!("{} with cuDNN {a}.{b}.{c}, in {precision}", self.0.name)
    }

    fn open(&self, precision: Precision) -> Result<Box<dyn Gpu>, StageError> {
        Ok(Box::new(self.0.open(precision)?))
    }
}

/// Without the feature no engine is chosen that needs it.
#[cfg(not(feature = "cuda"))]
fn found(_: Precision, _: usize) -> Result<FoundDevice, GpuRefusal> {
    Err(("this macula was built without its own CUDA kernels".to_owned(), "set `device cpu`".to_owned()))
}

#[cfg(not(feature = "cuda"))]
enum FoundDevice {}

#[cfg(not(feature = "cuda"))]
impl FoundDevice {
    fn target(&self, _: Precision) -> String {
        match *self {}
    }

    fn description(&self, _: Precision) -> String {
        match *self {}
    }

    fn open(&self, _: Precision) -> Result<Box<dyn Gpu>, StageError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_four_builds_has_its_engine() {
        use ChosenEngine::{Candle, Cudnn};
        let build = |candle, cudnn| GpuBuild { candle, cudnn };
        let engine = |build: GpuBuild, wanted, precision| build.engine(wanted, precision).map_err(|(why, _)| why);
        let (f32, bf16) = (Precision::F32, Precision::Bf16);
        let (auto, candle, cudnn) = (GpuEngine::Auto, GpuEngine::Candle, GpuEngine::Cudnn);
        for wanted in [auto, candle, cudnn] {
            assert!(engine(build(false, false), wanted, f32).unwrap_err().ends_with("without CUDA support"));
        }
        let only_candle = [(auto, f32), (candle, f32)].map(|(wanted, of)| engine(build(true, false), wanted, of));
        assert_eq!(only_candle, [Ok(Candle), Ok(Candle)]);
        for (wanted, of, why) in
            [(auto, bf16, "in f32 only"), (candle, bf16, "in f32 only"), (cudnn, f32, "without its own CUDA kernels")]
        {
            assert!(engine(build(true, false), wanted, of).unwrap_err().ends_with(why), "{wanted:?}");
        }
        let only_cudnn =
            [(auto, f32), (auto, bf16), (cudnn, f32)].map(|(wanted, of)| engine(build(false, true), wanted, of));
        assert_eq!(only_cudnn, [Ok(Cudnn), Ok(Cudnn), Ok(Cudnn)]);
        assert!(engine(build(false, true), candle, f32).unwrap_err().ends_with("without candle's CUDA kernels"));
        let both = [(auto, f32), (auto, bf16), (candle, f32), (cudnn, f32), (cudnn, bf16)];
        let both = both.map(|(wanted, of)| engine(build(true, true), wanted, of));
        assert_eq!(both, [Ok(Candle), Ok(Cudnn), Ok(Candle), Ok(Cudnn), Ok(Cudnn)]);
        assert!(engine(build(true, true), candle, bf16).unwrap_err().ends_with("in f32 only"));
    }

    #[test]
    fn what_a_build_never_computes_is_known_before_a_device_is_opened() {
        use DeviceChoice::{Auto, Candle, Cpu, Cuda};
        let (cpu, cuda) = (GpuBuild { candle: false, cudnn: false }, GpuBuild { candle: false, cudnn: true });
        let refused = |build: GpuBuild, choice: DeviceChoice, precision| build.refusal(choice.into(), precision);
        let (f32, bf16) = (Precision::F32, Precision::Bf16);
        let why = |found: Option<StageError>| found.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(why(refused(cpu, Cuda, f32)), "this macula was built without CUDA support");
        assert!(
            why(refused(cpu, Auto, bf16)).starts_with("`precision bf16` needs a GPU: this macula was built without")
        );
        for build in [cpu, cuda] {
            assert_eq!(why(refused(build, Cpu, bf16)), "`precision bf16` needs a GPU, but `device cpu` is set");
            for choice in [Auto, Cpu, Candle] {
                assert!(refused(build, choice, f32).is_none(), "{choice:?}");
            }
        }
        for precision in [f32, bf16] {
            assert!(refused(cuda, Cuda, precision).is_none() && refused(cuda, Auto, precision).is_none());
        }
    }

    #[test]
    fn a_choice_that_needs_no_gpu_looks_for_none() {
        for choice in [DeviceChoice::Cpu, DeviceChoice::Candle] {
            assert!(chosen(choice.into(), Precision::F32).is_none());
        }
    }
}
