//! Device and precision, as a pipeline or a flag names them. Knows no driver.

use std::fmt;

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
