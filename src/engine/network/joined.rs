//! Inputs of a network besides the pixels: what `join` gave to the patches. Computes nothing.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::candle;
use crate::stage::StageError;

/// Shape of each embedding by its name: rows, columns, channels. A vector has one row and one column.
pub type JoinedShapes = BTreeMap<String, [usize; 3]>;

/// Batch of pixels with the embeddings that belong to its patches.
#[derive(Clone, Debug)]
pub struct JoinedPixels {
    /// Normalised pixels, N x H x W x 3, f32.
    pub(super) pixels: Tensor,
    /// Embeddings, each N x rows x columns x channels, in the order of their names.
    pub(super) joined: Vec<Vec<f32>>,
}

impl JoinedPixels {
    /// Batch of `count` patches, or canvases, of `side` px. `joined` has one entry per input of the network, in the order of their names.
    ///
    /// # Errors
    /// [`StageError::Bug`] if the number of pixels does not match.
    pub fn new(pixels: Vec<f32>, count: usize, side: usize, joined: Vec<Vec<f32>>) -> Result<Self, StageError> {
        let pixels = Tensor::from_vec(pixels, (count, side, side, 3), &Device::Cpu).map_err(candle)?;
        Ok(Self { pixels, joined })
    }
}

impl JoinedPixels {
    /// Batch of one image.
    ///
    /// # Errors
    /// [`StageError::Bug`] if the number of pixels does not match.
    pub fn of_image(pixels: Vec<f32>, height: usize, width: usize) -> Result<Self, StageError> {
        let pixels = Tensor::from_vec(pixels, (1, height, width, 3), &Device::Cpu).map_err(candle)?;
        Ok(Self { pixels, joined: Vec::new() })
    }
}
