//! Shapes between layers, and what a layer's shape rule finds. Knows no layer.

use std::fmt;

/// The shape of one sample between layers, without N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorShape {
    /// C x H x W.
    Map {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Features.
    Vector {
        /// How many.
        features: usize,
    },
}

impl fmt::Display for TensorShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map { channels, height, width } => write!(f, "{channels} x {height} x {width}"),
            Self::Vector { features } => write!(f, "{features}"),
        }
    }
}

impl TensorShape {
    /// Total number of entries.
    #[must_use]
    pub fn entries(self) -> u64 {
        match self {
            Self::Map { channels, height, width } => product(&[channels, height, width]),
            Self::Vector { features } => features as u64,
        }
    }
}

/// A shape, and whether it is the same for patches of any size.
#[derive(Clone, Copy)]
pub(in crate::lang) struct Flow {
    pub(in crate::lang) shape: TensorShape,
    pub(in crate::lang) fixed: bool,
}

impl Flow {
    /// The same shape for patches of any size.
    pub(in crate::lang) fn fixed(shape: TensorShape) -> Self {
        Self { shape, fixed: true }
    }

    /// Another shape, which depends on the size of the patches if this one does.
    pub(in crate::lang) fn to(self, shape: TensorShape) -> Self {
        Self { shape, ..self }
    }
}

/// What layers that share tensors must have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::lang) struct SharedTensors {
    /// Shape of the weight; empty if it is unknown.
    pub(in crate::lang) weight: Vec<usize>,
    /// Whether there is a bias.
    pub(in crate::lang) bias: bool,
    /// Numbers that a layer has besides its tensors, by the names of its properties.
    pub(in crate::lang) settings: Vec<(&'static str, f64)>,
}

impl fmt::Display for SharedTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self.weight.iter().map(ToString::to_string).collect();
        write!(f, "{}", sides.join(" x "))?;
        if self.settings.is_empty() {
            return f.write_str(if self.bias { " with bias" } else { " without bias" });
        }
        let text = |(name, value): &(&str, f64)| match value {
            value if value.fract() == 0.0 => format!("{name}={value}"),
            value => format!("{name}={value:?}"),
        };
        let settings: Vec<String> = self.settings.iter().map(text).collect();
        write!(f, " with {}", settings.join(" "))
    }
}

/// What a shape rule finds in one layer.
pub(in crate::lang) struct Findings {
    /// The layer as written, with its tensor prefix.
    pub(in crate::lang) title: String,
    /// Number of logits of the network.
    pub(in crate::lang) classes: usize,
    /// Trained parameters.
    pub(in crate::lang) parameters: u64,
    /// Multiply-adds per sample.
    pub(in crate::lang) multiply_adds: u64,
    /// What layers that share tensors must have in common.
    pub(in crate::lang) tensors: SharedTensors,
    /// Messages and hints.
    pub(in crate::lang) misfits: Vec<(String, String)>,
}

impl Findings {
    /// Notes that the layer does not fit its input.
    pub(super) fn misfit(&mut self, message: String, hint: impl Into<String>) {
        self.misfits.push((message, hint.into()));
    }

    /// Channels, rows and columns of an input that must have them.
    pub(super) fn map(&mut self, shape: TensorShape) -> Option<(usize, usize, usize)> {
        match shape {
            TensorShape::Map { channels, height, width } => Some((channels, height, width)),
            TensorShape::Vector { features } => {
                let message = format!("{} expects channels x height x width, but gets {features} features", self.title);
                self.misfit(message, "put it before `flatten`, `linear` and global pooling");
                None
            }
        }
    }

    /// Output rows and columns for a window with the given reach, stride and padding.
    pub(super) fn windowed(
        &mut self,
        shape: TensorShape,
        (reach, stride, padding): (usize, usize, usize),
    ) -> Option<(usize, usize)> {
        let TensorShape::Map { height, width, .. } = shape else { return None };
        if height.min(width) + 2 * padding < reach {
            let padded = if padding > 0 { format!(" with {padding} px of padding") } else { String::new() };
            let message = format!("{} has a window of {reach} px, but gets {shape}{padded}", self.title);
            self.misfit(message, "use larger patches, or less pooling before it");
            return None;
        }
        let along = |side: usize| (side + 2 * padding - reach) / stride + 1;
        Some((along(height), along(width)))
    }
}

/// Product, at most `u64::MAX`.
pub(in crate::lang) fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |all: u64, &factor| all.saturating_mul(factor as u64))
}
