//! A trained classifier as an artifact: what it was made from, its weights, and its predictions on patches.
//!
//! Its tree: `model.json` ([`ModelInfo`]), `weights.safetensors` (of the chosen epoch), `last.safetensors` (of the last one), both
//! with torchvision's names, and `epochs.parquet`.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::loader::{Batch, Normalisation, Samples, ahead};
use super::network::{Input, Missing, Network, Weights};
use crate::base::Streams;
use crate::data::patches::{PatchSet, SetInfo};
use crate::lang::network::NetworkSpec;
use crate::stage::{Progress, StageError, Stop, Warning};
use crate::store::{Objects, Tree};

/// `model.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The network.
    pub network: NetworkSpec,
    /// Lesion classes in the order of the logits.
    pub classes: Vec<String>,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of one pixel of the training patches in native pixels.
    pub scale: u32,
    /// Context that the training patches had around them, px.
    pub margin: u32,
    /// What is done to RGB in 0..1 before the network.
    pub normalisation: Normalisation,
    /// Labels of the training data, per class.
    pub labels: Vec<LabelCounts>,
    /// The epoch whose weights are in `weights.safetensors`, from 1.
    pub chosen_epoch: u64,
    /// Epochs run.
    pub epochs: u64,
    /// The kernels that trained it.
    pub kernel_path: String,
}

impl ModelInfo {
    /// A warning where pixels stand for another length of the eye than those of the training patches.
    #[must_use]
    pub fn scale_warning(&self, scale: u32, what: &str) -> Option<Warning> {
        (scale != self.scale).then(|| {
            let text = format!(
                "the model was fitted to pixels of {} x {} native ones, those of the {what} are {scale} x {scale}: lesions have another size than it knows",
                self.scale, self.scale
            );
            Warning { code: "other-scale".to_owned(), text }
        })
    }
}

/// Labels of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCounts {
    /// Patches with the lesion.
    pub present: u64,
    /// Patches without.
    pub absent: u64,
    /// Patches where it is not known.
    pub unknown: u64,
}

/// A trained classifier.
pub struct Model {
    /// What it was made from.
    pub info: ModelInfo,
    network: Network,
}

impl Model {
    /// Reads the model that `tree` holds, with the weights of the chosen epoch.
    ///
    /// # Errors
    /// A store error, or a tree that is not a model.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let read = |name: &str| {
            objects.read_in(tree, name)?.ok_or_else(|| StageError::Bug(format!("a model without `{name}`")))
        };
        let info = Self::info(tree, objects)?;
        let weights = Weights::parse("weights.safetensors", &read("weights.safetensors")?)?;
        let classes = info.classes.len();
        let mut network = Network::new(&info.network, info.size as usize, classes, &Streams::new(0, "train"))?;
        network.load(&weights, Missing::Error)?;
        Ok(Self { info, network })
    }

    /// Logits (N x C) of normalised pixels.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn logits(&self, batch: &Batch) -> Result<Vec<f32>, StageError> {
        logits(&self.network, &on_tape(batch)?)
    }

    /// Reads what the model of `tree` was made from, without its weights.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn info(tree: &Tree, objects: &Objects) -> Result<ModelInfo, StageError> {
        let missing = || StageError::Bug("a model without `model.json`".to_owned());
        let bytes = objects.read_in(tree, "model.json")?.ok_or_else(missing)?;
        serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`model.json` does not parse: {error}")))
    }

    /// Whether the patches of a set are such as it was trained on.
    ///
    /// # Errors
    /// [`StageError::Input`] saying what differs: the classes or the size.
    pub fn accepts(&self, set: &SetInfo) -> Result<(), StageError> {
        if set.classes != self.info.classes {
            let (ours, theirs) = (self.info.classes.join(" "), set.classes.join(" "));
            let text = format!("the model was trained on the classes `{ours}`, the patches have `{theirs}`");
            return Err(StageError::input("other-classes", text).field("data"));
        }
        if set.size != self.info.size {
            let text = format!("the model was trained on patches of {} px, these have {} px", self.info.size, set.size);
            let hint = format!("extract patches with `size {}`", self.info.size);
            return Err(StageError::input("other-size", text).hint(hint).field("data"));
        }
        Ok(())
    }
}

/// Logits (N x C, row-major) of all patches of a set in its order, each once whatever its copies.
///
/// # Errors
/// [`StageError::Input`] where the set is of another kind than the model's, [`StageError::Stopped`], or the store's.
pub fn predict(
    model: &Model,
    set: &PatchSet,
    objects: &Objects,
    batch: usize,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<f32>, StageError> {
    model.accepts(&set.info)?;
    let samples = Samples::open(set.clone(), None, model.info.normalisation, objects)?;
    let draws = samples.all();
    let mut all = Vec::with_capacity(draws.len() * model.info.classes.len());
    let pieces: Vec<_> = draws.chunks(batch).collect();
    ahead(
        pieces.len(),
        |at| samples.plain(pieces[at]),
        |_, batch| {
            stop.check()?;
            all.extend(model.logits(&batch)?);
            progress.step((all.len() / model.info.classes.len()) as u64, draws.len() as u64, "patches");
            Ok(())
        },
    )
    .map(|()| all)
}

/// Logits (N x C) of a batch in evaluation mode.
pub(super) fn logits<'a>(network: &Network, input: impl Into<Input<'a>>) -> Result<Vec<f32>, StageError> {
    network.forward(input)?.flatten_all().and_then(|logits| logits.to_vec1()).map_err(bug)
}

/// A batch as candle takes it: N x H x W x 3.
pub(super) fn on_tape(batch: &Batch) -> Result<Tensor, StageError> {
    let shape = (batch.count, batch.size, batch.size, 3);
    Tensor::from_slice(&batch.pixels, shape, &Device::Cpu).map_err(bug)
}

/// What candle refuses is a defect: shapes were checked before.
pub(super) fn bug(error: impl std::fmt::Display) -> StageError {
    StageError::Bug(super::network::first_line(&error))
}
