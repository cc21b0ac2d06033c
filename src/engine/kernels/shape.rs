//! Shapes that all kernels share: tiles and panels of a matrix product, the shape of a convolution, and what is fused onto a product
//! before it is written. Computes nothing.

/// Maximum number of rows of a tile.
pub(super) const ROWS: usize = 12;
/// Columns of a tile and of a packed panel.
pub(super) const COLUMNS: usize = 32;

/// Number of panels of 32 columns that hold `columns` columns.
pub(super) fn panels(columns: usize) -> usize {
    columns.div_ceil(COLUMNS)
}

/// Shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConvShape {
    /// Height of the input, px.
    pub height: usize,
    /// Width of the input, px.
    pub width: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output.
    pub out: usize,
    /// Side of the kernel, px.
    pub kernel: usize,
    /// Stride, px.
    pub stride: usize,
    /// Zero padding on each side, px.
    pub padding: usize,
    /// Steps between the taps of the kernel, px; 1 is an ordinary convolution.
    pub dilation: usize,
    /// Groups.
    pub groups: usize,
}

impl ConvShape {
    /// A linear layer from `channels` to `out` features.
    #[must_use]
    pub fn linear(channels: usize, out: usize) -> Self {
        Self { height: 1, width: 1, channels, out, kernel: 1, stride: 1, padding: 0, dilation: 1, groups: 1 }
    }

    /// Height and width of the output, px.
    #[must_use]
    pub fn outputs(&self) -> (usize, usize) {
        let out = |side: usize| (side + 2 * self.padding - self.reach()) / self.stride + 1;
        (out(self.height), out(self.width))
    }

    /// Pixels from the first tap of the kernel to the last, inclusive.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    /// Number of weights of the kernel.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.kernel * self.kernel * self.channels / self.groups * self.out
    }
}

/// Initial value of a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// 0: the target is overwritten.
    #[default]
    Fresh,
    /// Content of the target.
    Add,
}

/// Rectifier fused onto a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rectify {
    /// None.
    #[default]
    No,
    /// max(x, 0).
    Yes,
    /// min(max(x, 0), 6).
    Six,
}

/// Bounds that an element is clamped to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Bounds {
    /// `x` clamped to the bounds. NaN stays NaN.
    #[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
    #[inline(always)]
    pub(super) fn hold(self, x: f32) -> f32 {
        let x = if x < self.low { self.low } else { x };
        if x > self.high { self.high } else { x }
    }

    /// `gradient` if `x` lies between the bounds, otherwise 0: the backward pass of a rectifier.
    #[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
    #[inline(always)]
    pub(super) fn pass(self, x: f32, gradient: f32) -> f32 {
        if x > self.low && x < self.high { gradient } else { 0.0 }
    }
}

impl Rectify {
    /// Bounds of its results.
    pub(super) fn bounds(self) -> Bounds {
        match self {
            Self::No => Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY },
            Self::Yes => Bounds { low: 0.0, high: f32::INFINITY },
            Self::Six => Bounds { low: 0.0, high: 6.0 },
        }
    }
}

/// Epilogue of a convolution.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Bias per output channel.
    pub bias: Option<&'a [f32]>,
    /// Residual of the shape of the output.
    pub extra: Option<&'a [f32]>,
    /// Rectifier.
    pub rectify: Rectify,
}
