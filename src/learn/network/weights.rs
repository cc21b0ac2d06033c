//! Files of weights: safetensors and torch's `.pth`, as named f32 tensors. They know no network.

use std::collections::BTreeMap;

use crate::stage::StageError;

/// The tensors of a file, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// The file's name, for texts.
    pub file: String,
    /// Shape and values (in torch's order) by name. Tensors of whole numbers are left out.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

/// What to do where weights lack tensors of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error that lists them.
    Error,
    /// They keep their initial values.
    Initialise,
}

/// What a load did. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors taken from the file.
    pub loaded: Vec<String>,
    /// Tensors that the file lacks, left at their initial values.
    pub missing: Vec<String>,
    /// Tensors of the file that the network has no place for.
    pub unexpected: Vec<String>,
    /// Tensors of the last linear layer that stay new because the file's have other classes.
    pub replaced: Vec<String>,
    /// Batch norms that the file has folded into the convolution before them; they want [`super::Network::calibrate`].
    pub folded: Vec<String>,
}

impl Weights {
    /// Reads a file's bytes: a zip is torch's `.pth` (1.6 or newer), anything else safetensors. `file` is its name, for texts.
    ///
    /// # Errors
    /// [`StageError::Input`] where it is neither, or a tensor holds a value that is not finite.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let _ = (file, bytes);
        Err(super::not_yet())
    }
}
