//! Device and precision, as a pipeline or a flag names them. Knows no driver.

use std::collections::BTreeMap;
use std::fmt;

use crate::lang::value::Value;

/// Device to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if one works, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// candle on the CPU, in place of the kernels.
    Candle,
}

impl DeviceChoice {
    /// Device of that name; `auto` for anything else.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda,
            "candle" => Self::Candle,
            _ => Self::Auto,
        }
    }
}

/// What computes on an NVIDIA GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GpuEngine {
    /// candle if macula was built with it and it knows the precision, otherwise cuDNN.
    #[default]
    Auto,
    /// candle's CUDA kernels.
    Candle,
    /// macula's kernels, with convolutions by cuDNN.
    Cudnn,
}

impl GpuEngine {
    /// Engine of that name; `auto` for anything else.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "candle" => Self::Candle,
            "cudnn" => Self::Cudnn,
            _ => Self::Auto,
        }
    }
}

/// Device that a stage asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Device.
    pub choice: DeviceChoice,
    /// Number of the GPU among those that the driver lists, from 0.
    pub index: usize,
    /// What computes on a GPU.
    pub engine: GpuEngine,
}

impl From<DeviceChoice> for DeviceRequest {
    fn from(choice: DeviceChoice) -> Self {
        Self { choice, ..Self::default() }
    }
}

impl DeviceRequest {
    /// Whether a GPU is looked for.
    #[must_use]
    pub fn may_be_gpu(self) -> bool {
        matches!(self.choice, DeviceChoice::Auto | DeviceChoice::Cuda)
    }

    /// From the parameter `device` of a stage; `absent` for recipes of stages that did not have it yet.
    #[must_use]
    pub fn from_values(values: &BTreeMap<String, Value>, absent: DeviceChoice) -> Self {
        let text = |name: &str| match values.get(name) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let index = match values.get("device.index") {
            Some(Value::Int(index)) => usize::try_from(*index).unwrap_or_default(),
            _ => 0,
        };
        Self {
            choice: text("device").map_or(absent, DeviceChoice::from_name),
            index,
            engine: text("device.engine").map_or(GpuEngine::Auto, GpuEngine::from_name),
        }
    }
}

/// Numeric precision. Parameters, their gradients, statistics and the optimizer are f32 in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Images and kernels stored as f32; convolutions multiply 10 bits of the fraction and add in f32.
    Tf32,
    /// Images, their gradients and the kernels given to convolutions stored as bfloat16; all sums in f32.
    Bf16,
}

impl Precision {
    /// Precision of that name; `f32` for anything else.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "tf32" => Self::Tf32,
            "bf16" => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// Name of the precision.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Size of a stored value, bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::Tf32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Number of channels after padding, so that a convolution reads 16 bytes at a time.
    #[must_use]
    pub const fn padded(self, channels: usize) -> usize {
        channels.next_multiple_of(16 / self.bytes())
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
