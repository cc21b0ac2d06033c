//! Selection of the device that a pipeline asks for. Knows no network.

use candle_core::Device;

use super::{DeviceChoice, Gpu, Precision};
use crate::learn::kernels;
use crate::stage::StageError;

/// Device to compute on.
pub struct OpenedDevice {
    /// What computes.
    pub engine: OpenedEngine,
    /// Message for the user.
    pub message: Option<String>,
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

/// Target of results that candle computes on the CPU. Its matrix products choose their blocks by the sizes of the caches.
pub const CANDLE_CPU: &str = "candle-cpu";

/// Target of results that candle computes on an NVIDIA GPU.
pub const CANDLE_CUDA: &str = "candle-cuda";

/// Between the targets of a training that was resumed on another one.
const RESUMED: &str = "+";

/// Target of work that began on one target and was resumed on others.
#[must_use]
pub fn resumed<'a>(targets: impl IntoIterator<Item = &'a String>) -> String {
    let targets: Vec<&str> = targets.into_iter().map(String::as_str).collect();
    targets.join(RESUMED)
}

/// Whether the bytes of a target's results may differ between machines (candle) or runs (resumed on another target).
#[must_use]
pub fn is_approximate(target: &str) -> bool {
    target.contains(RESUMED) || target.starts_with("candle-")
}

/// Opens the device for a choice.
///
/// # Errors
/// [`StageError::Input`] if a GPU is requested and none works, or the CPU does not support the precision.
pub fn open(choice: DeviceChoice, precision: Precision) -> Result<OpenedDevice, StageError> {
    let why = match chosen(choice, precision) {
        None => None,
        Some(Ok(ChosenGpu::Kernels(card))) => return card.opened(precision),
        Some(Ok(ChosenGpu::Candle(device))) => {
            return Ok(candle(device, "computing in candle on a GPU, with CUDA"));
        }
        Some(Err((why, hint))) if choice == DeviceChoice::Cuda => {
            return Err(StageError::input("no-gpu", why).hint(hint).field("device"));
        }
        Some(Err((why, _))) => Some(why),
    };
    if precision != Precision::F32 {
        let text = match why {
            Some(why) => format!("`precision {precision}` needs a GPU: {why}"),
            None if choice == DeviceChoice::Candle => {
                format!("`precision {precision}` needs a GPU, but `device candle` is set")
            }
            None => format!("`precision {precision}` needs a GPU, but `device cpu` is set"),
        };
        return Err(StageError::input("no-gpu", text).hint("set `precision f32`").field("precision"));
    }
    if choice == DeviceChoice::Candle {
        return Ok(candle(Device::Cpu, "computing in candle on the CPU"));
    }
    // Without the features no GPU is expected, so nothing is reported.
    let expected = cfg!(any(feature = "cuda", feature = "candle-cuda"));
    let message = why.filter(|_| expected).map(|why| format!("computing on the CPU: {why}"));
    Ok(OpenedDevice { engine: OpenedEngine::Kernels, message })
}

fn candle(device: Device, message: &str) -> OpenedDevice {
    OpenedDevice { engine: OpenedEngine::Candle(device), message: Some(message.to_owned()) }
}

/// Target recorded for results computed with a choice.
#[must_use]
pub fn target(choice: DeviceChoice, precision: Precision) -> String {
    match chosen(choice, precision) {
        Some(Ok(ChosenGpu::Kernels(card))) => card.target(precision),
        Some(Ok(ChosenGpu::Candle(_))) => CANDLE_CUDA.to_owned(),
        _ if choice == DeviceChoice::Candle => CANDLE_CPU.to_owned(),
        _ => kernels::target(),
    }
}

/// What computes on a GPU.
enum ChosenGpu {
    /// The schedule of launches, with cuDNN.
    Kernels(Box<FoundDevice>),
    Candle(Device),
}

/// GPU for a precision: candle's if it is compiled in and knows the precision, otherwise that of the launches; or why there is none, and a hint.
/// [`None`] for a choice that needs none, so that nothing is looked for.
fn chosen(choice: DeviceChoice, precision: Precision) -> Option<Result<ChosenGpu, (String, String)>> {
    matches!(choice, DeviceChoice::Auto | DeviceChoice::Cuda).then(|| match candle_gpu(precision) {
        Some(found) => found.map(ChosenGpu::Candle),
        None => found(precision).map(|card| ChosenGpu::Kernels(Box::new(card))),
    })
}

/// candle's GPU, or why there is none and a hint; [`None`] if candle does not know the precision. Opened once per process.
#[cfg(feature = "candle-cuda")]
fn candle_gpu(precision: Precision) -> Option<Result<Device, (String, String)>> {
    use std::sync::OnceLock;
    static FOUND: OnceLock<Result<Device, (String, String)>> = OnceLock::new();
    let open = || {
        let hint = "check that `nvidia-smi` lists a GPU, or set `device cpu`";
        let why = |error: candle_core::Error| {
            format!("candle finds no GPU: {}", error.to_string().lines().next().unwrap_or_default())
        };
        Device::new_cuda(0).map_err(|error| (why(error), hint.to_owned()))
    };
    (precision == Precision::F32).then(|| FOUND.get_or_init(open).clone())
}

#[cfg(not(feature = "candle-cuda"))]
fn candle_gpu(_: Precision) -> Option<Result<Device, (String, String)>> {
    None
}

/// GPU that supports a precision, or why there is none and a hint. Searched once per process.
#[cfg(feature = "cuda")]
fn found(precision: Precision) -> Result<FoundDevice, (String, String)> {
    use std::sync::OnceLock;
    static FOUND: [OnceLock<Result<FoundDevice, (String, String)>>; 3] = [const { OnceLock::new() }; 3];
    let find = || super::cuda::find(precision).map(FoundDevice).map_err(|refused| (refused.why, refused.hint));
    FOUND[precision as usize].get_or_init(find).clone()
}

#[cfg(feature = "cuda")]
#[derive(Clone)]
struct FoundDevice(super::cuda::CudaDevice);

#[cfg(feature = "cuda")]
impl FoundDevice {
    fn target(&self, precision: Precision) -> String {
        self.0.target(precision)
    }

    fn opened(&self, precision: Precision) -> Result<OpenedDevice, StageError> {
        let (a, b, c) = self.0.cudnn_version;
        let message = format!("computing on {} with cuDNN {a}.{b}.{c}, in {precision}", self.0.name);
        Ok(OpenedDevice { engine: OpenedEngine::Gpu(Box::new(self.0.open(precision)?)), message: Some(message) })
    }
}

/// Reason why there is no GPU without the feature.
#[cfg(not(feature = "cuda"))]
fn found(_: Precision) -> Result<FoundDevice, (String, String)> {
    let (why, hint) = if cfg!(feature = "candle-cuda") {
        (
            "candle computes on a GPU in f32 only",
            "build macula with `--features candle-cuda,cuda`, or set `precision f32`",
        )
    } else {
        (
            "this macula was built without CUDA support",
            "build it with `cargo build --release --features cuda`, or set `device cpu`",
        )
    };
    Err((why.to_owned(), hint.to_owned()))
}

#[cfg(not(feature = "cuda"))]
enum FoundDevice {}

#[cfg(not(feature = "cuda"))]
impl FoundDevice {
    fn target(&self, _: Precision) -> String {
        match *self {}
    }

    fn opened(&self, _: Precision) -> Result<OpenedDevice, StageError> {
        match *self {}
    }
}
