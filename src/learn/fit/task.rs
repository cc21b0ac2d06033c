//! Inputs of a fit: settings, network, data, and services of the runner. Computes nothing.

use std::path::{Path, PathBuf};

use super::settings::FitSettings;
use crate::base::{Digest, Streams};
use crate::engine::network::Weights;
use crate::lang::network::NetworkSpec;
use crate::learn::loader::OpenPatchSet;
use crate::learn::model::ModelInfo;
use crate::stage::{Progress, Stop};

/// Weights that a fit starts from.
#[derive(Clone, Debug)]
pub struct InitialWeights {
    /// Tensors.
    pub weights: Weights,
    /// The model whose weights they are, if macula trained it.
    pub model: Option<ModelInfo>,
}

/// Inputs of a fit.
pub struct FitTask<'a> {
    /// Settings.
    pub settings: &'a FitSettings,
    /// Network to fit.
    pub network: &'a NetworkSpec,
    /// Training patches.
    pub data: &'a OpenPatchSet,
    /// Validation patches, which select the epoch.
    pub valid: &'a OpenPatchSet,
    /// Initial weights.
    pub init: Option<&'a InitialWeights>,
    /// Random streams.
    pub streams: &'a Streams,
    /// Folder for checkpoints.
    pub partial: &'a Path,
    /// Shorter and longer trainings, to continue from and for.
    pub family: Family,
    /// Receiver of progress.
    pub progress: &'a dyn Progress,
    /// Raised when the user asks to stop.
    pub stop: &'a Stop,
}

/// Trainings that differ only in the number of epochs and in their data.
#[derive(Clone, Debug)]
pub struct Family {
    /// Folder of the family.
    pub folder: PathBuf,
    /// Digest of training and validation patches and initial weights.
    pub data: Digest,
}

impl Family {
    /// Folder of the trainings on the same data.
    pub(super) fn own(&self) -> PathBuf {
        self.folder.join(self.data.to_string())
    }
}
