//! Inputs of a fit: settings, network, data, and services of the runner. Computes nothing.

use std::path::{Path, PathBuf};

use super::settings::FitSettings;
use crate::base::{Digest, Streams};
use crate::engine::network::Weights;
use crate::engine::normalise::Normalisation;
use crate::lang::network::NetworkSpec;
use crate::learn::loader::OpenPatchSet;
use crate::learn::model::{ModelInfo, other_scale};
use crate::stage::{Progress, Stop, Warning};

/// Weights that a fit starts from.
#[derive(Clone, Debug)]
pub struct InitialWeights {
    /// Tensors.
    pub weights: Weights,
    /// What they were trained on, if macula trained them.
    pub trained: Option<TrainedOn>,
}

/// What weights were trained on.
#[derive(Clone, Debug)]
pub struct TrainedOn {
    /// What the weights are, in messages: `the initial model`.
    pub what: &'static str,
    /// Side of a pixel, in native pixels.
    pub scale: u32,
    /// Normalisation of RGB in 0..1.
    pub normalisation: Normalisation,
    /// Classes of the layer that gives logits; [`None`] without one.
    pub classes: Option<Vec<String>>,
}

impl TrainedOn {
    /// Warning if the normalisation differs from `normal`.
    #[must_use]
    pub fn other_normalisation(&self, normal: &Normalisation) -> Option<Warning> {
        (self.normalisation != *normal).then(|| {
            let text = format!(
                "{} trained with another `normalise`: pixels are scaled differently than in that training",
                self.were()
            );
            Warning { code: "other-normalisation".to_owned(), text }
        })
    }

    /// Warning if the resolution differs from that of the training patches.
    #[must_use]
    pub fn other_scale(&self, scale: u32) -> Option<Warning> {
        other_scale(&self.were(), self.scale, scale, "training patches")
    }

    /// `the initial weights were`
    fn were(&self) -> String {
        format!("{} {}", self.what, if self.classes.is_some() { "was" } else { "were" })
    }

    /// Of a model.
    #[must_use]
    pub fn model(model: ModelInfo) -> Self {
        let ModelInfo { scale, normalisation, classes, .. } = model;
        Self { what: "the initial model", scale, normalisation, classes: Some(classes) }
    }
}

/// Inputs of a fit.
#[derive(Clone)]
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
