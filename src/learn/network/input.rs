//! What a network is given: pixels, or patches as they are stored. Computes nothing.

use candle_core::{CpuStorage, Device, Storage, Tensor};

use super::candle;
use crate::learn::views::{Stored, Views};
use crate::stage::StageError;

/// A batch for a network.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Normalised pixels, N x H x W x 3, f32.
    Pixels(&'a Tensor),
    /// Patches as they are stored: a card makes the pixels; without one they are made here.
    Stored(&'a Views),
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(pixels: &'a Tensor) -> Self {
        Self::Pixels(pixels)
    }
}

impl<'a> From<&'a Views> for Input<'a> {
    fn from(views: &'a Views) -> Self {
        Self::Stored(views)
    }
}

/// How the pixels of a batch arrive at a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrival {
    /// As normalised floats.
    Pixels,
    /// As they are stored.
    Stored(Stored),
}

impl Input<'_> {
    /// N, H, W.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is no such batch.
    pub(super) fn dims(&self) -> Result<(usize, usize, usize), StageError> {
        let (count, height, width, channels) = match self {
            Self::Pixels(pixels) => pixels.dims4().map_err(candle)?,
            Self::Stored(views) => {
                let Stored { side, size, .. } = views.stored;
                let count = views.changes.len();
                if views.bytes.len() != count * side * side * 3 {
                    let bytes = views.bytes.len();
                    return Err(StageError::Bug(format!("{bytes} bytes for {count} patches of {side} x {side} x 3")));
                }
                (count, size, size, 3)
            }
        };
        if channels != 3 || count == 0 {
            return Err(StageError::Bug(format!(
                "pixels of shape {count} x {height} x {width} x {channels}, not N x H x W x 3"
            )));
        }
        Ok((count, height, width))
    }

    /// Calls `work` with the floats of the normalised pixels.
    pub(super) fn with_floats<R>(&self, work: impl FnOnce(&[f32]) -> R) -> Result<R, StageError> {
        match self {
            Self::Pixels(pixels) => with_floats(pixels, work),
            Self::Stored(views) => Ok(work(&views.pixels())),
        }
    }
}

/// Calls `work` with the floats of a tensor.
pub(super) fn with_floats<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> R) -> Result<R, StageError> {
    let tensor = tensor.contiguous().map_err(candle)?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(floats)), Some((from, to))) => Ok(work(&floats[from..to])),
        _ => Err(StageError::Bug(format!(
            "a tensor of {:?} on {:?}, not f32 on the CPU",
            tensor.dtype(),
            tensor.device()
        ))),
    }
}

/// Pixels of N x `side` x `side` x 3 as candle takes them.
///
/// # Errors
/// [`StageError::Bug`] where there are not as many.
pub fn tensor(pixels: Vec<f32>, count: usize, side: usize) -> Result<Tensor, StageError> {
    Tensor::from_vec(pixels, (count, side, side, 3), &Device::Cpu).map_err(candle)
}
