//! Input of a network: pixels, or stored patches. Computes nothing.

use candle_core::{CpuStorage, Device, Storage, Tensor};

use super::candle;
use super::joined::JoinedPixels;
use crate::engine::views::{Stored, Views};
use crate::stage::StageError;

/// Batch for a network.
#[derive(Clone, Copy, Debug)]
pub enum NetworkInput<'a> {
    /// Normalised pixels, N x H x W x 3, f32.
    Pixels(&'a Tensor),
    /// Normalised pixels with the embeddings of their patches.
    Joined(&'a JoinedPixels),
    /// Stored patches, transformed into pixels by the GPU, or here if there is none.
    Stored(&'a Views),
}

impl<'a> From<&'a Tensor> for NetworkInput<'a> {
    fn from(pixels: &'a Tensor) -> Self {
        Self::Pixels(pixels)
    }
}

impl<'a> From<&'a Views> for NetworkInput<'a> {
    fn from(views: &'a Views) -> Self {
        Self::Stored(views)
    }
}

impl<'a> From<&'a JoinedPixels> for NetworkInput<'a> {
    fn from(batch: &'a JoinedPixels) -> Self {
        Self::Joined(batch)
    }
}

/// Form in which a batch arrives at the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrival {
    /// Normalised floats.
    Pixels,
    /// Stored patches.
    Stored(Stored),
}

impl NetworkInput<'_> {
    /// Dimensions N, H, W.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is not such a batch.
    pub(super) fn dims(&self) -> Result<(usize, usize, usize), StageError> {
        let (count, height, width, channels) = match self {
            Self::Pixels(pixels) => pixels.dims4().map_err(candle)?,
            Self::Joined(batch) => batch.pixels.dims4().map_err(candle)?,
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

    /// Embeddings of the patches, in the order of their names.
    pub(super) fn joined(&self) -> &[Vec<f32>] {
        match self {
            Self::Joined(batch) => &batch.joined,
            Self::Pixels(_) | Self::Stored(_) => &[],
        }
    }

    /// Calls `work` with the floats of the normalised pixels.
    pub(super) fn with_floats<R>(&self, work: impl FnOnce(&[f32]) -> R) -> Result<R, StageError> {
        match self {
            Self::Pixels(pixels) => with_floats(pixels, work),
            Self::Joined(batch) => with_floats(&batch.pixels, work),
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

/// Pixels, N x `side` x `side` x 3, as a candle tensor.
///
/// # Errors
/// [`StageError::Bug`] if the number of pixels does not match.
pub fn tensor(pixels: Vec<f32>, count: usize, side: usize) -> Result<Tensor, StageError> {
    Tensor::from_vec(pixels, (count, side, side, 3), &Device::Cpu).map_err(candle)
}
