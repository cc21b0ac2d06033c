//! Trained classifier as an artifact: description, weights, and predictions on patches.
//!
//! Its tree holds `model.json` ([`ModelInfo`]), `weights.safetensors` (of the selected epoch), `last.safetensors` (of the last epoch),
//! both with torchvision's tensor names, and `epochs.parquet`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::loader::{OpenPatchSet, PixelBatch, ahead, margin_of};
use super::metrics::ScoreFunction;
use super::objective::Targets;
use super::placement::place;
use super::tta::Tta;
use crate::base::Streams;
use crate::data::embeddings::{EmbeddingsInfo, JoinedEmbeddings};
use crate::data::patches::PatchSet;
use crate::data::provenance::Provenance;
use crate::engine::gpu::{DeviceRequest, Precision};
pub(super) use crate::engine::network::bug;
use crate::engine::network::{
    self, JoinedPixels, JoinedShapes, Missing, Network, NetworkInput, NetworkWork, Weights, not_joined,
};
use crate::engine::normalise::Normalisation;
use crate::lang::network::{InputKind, NetworkSpec};
use crate::stage::{Params, Progress, StageError, Stop, Warning};
use crate::store::{Objects, Tree};

/// File of a model with its description.
pub const DESCRIPTION: &str = "model.json";

/// File of a model with the weights of the selected epoch.
pub const WEIGHTS: &str = "weights.safetensors";

/// `model.json`: description of a trained classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Network.
    pub network: NetworkSpec,
    /// Inputs of the network besides the patch; none in models of earlier versions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub inputs: BTreeSet<InputKind>,
    /// Embeddings that the network reads, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<JoinedEmbeddings>,
    /// Lesion classes in the order of the logits.
    pub classes: Vec<String>,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of a pixel of the training patches, in native pixels.
    pub scale: u32,
    /// Context margin of the training patches, px.
    pub margin: u32,
    /// Normalisation of RGB in 0..1.
    pub normalisation: Normalisation,
    /// Label counts of the training data, per class.
    pub labels: Vec<LabelCounts>,
    /// Selected epoch, whose weights are in `weights.safetensors`, from 1.
    pub chosen_epoch: u64,
    /// Number of epochs run.
    pub epochs: u64,
    /// Target that it was trained on.
    pub kernel_path: String,
    /// How its logits become scores.
    #[serde(default, skip_serializing_if = "ScoreFunction::is_sigmoid")]
    pub activation: ScoreFunction,
    /// Calibration of its scores; none in models that were not calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What it was trained on; only in copies outside the store that were asked to have it (`macula get --with-provenance`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

impl ModelInfo {
    /// Sides of the pixels that the network takes and of the patch in their middle, px.
    #[must_use]
    pub fn sides(&self) -> [usize; 2] {
        let size = self.size as usize;
        [network::canvas(&self.network, size), size]
    }

    /// Refuses scores with another test-time augmentation than those that the model was calibrated for.
    ///
    /// # Errors
    /// `calibration-tta`.
    pub fn calibrated_for(&self, tta: Tta) -> Result<(), StageError> {
        self.calibration.as_ref().map_or(Ok(()), |calibration| calibration.fits(tta))
    }

    /// Warning if the resolution differs from that of the training patches.
    #[must_use]
    pub fn scale_warning(&self, scale: u32, what: &str) -> Option<Warning> {
        other_scale("the model was", self.scale, scale, what)
    }
}

/// Warning if the resolution `theirs` of some training differs from that of `what`. `were` begins the sentence: `the model was`.
#[must_use]
pub fn other_scale(were: &str, theirs: u32, scale: u32, what: &str) -> Option<Warning> {
    (scale != theirs).then(|| {
        let text = format!(
            "{were} trained on pixels of {theirs} x {theirs} original pixels, but those of the {what} are {scale} x {scale}: lesions appear at a different size than in training",
        );
        Warning { code: "other-scale".to_owned(), text }
    })
}

/// Label counts of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCounts {
    /// Patches with the lesion.
    pub present: u64,
    /// Patches without the lesion.
    pub absent: u64,
    /// Patches with an unknown label.
    pub unknown: u64,
}

/// Trained classifier.
pub struct Classifier {
    /// Description.
    pub info: ModelInfo,
    network: Network,
}

impl Classifier {
    /// Reads the model in `tree`, with the weights of the selected epoch.
    ///
    /// # Errors
    /// Errors of the store, or a tree that is not a model.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let read = |name: &str| {
            objects.read_in(tree, name)?.ok_or_else(|| StageError::Bug(format!("a model without `{name}`")))
        };
        let info = Self::info(tree, objects)?;
        let weights = Weights::parse(WEIGHTS, &read(WEIGHTS)?)?;
        let classes = info.classes.len();
        let (size, streams) = (info.size as usize, Streams::new(0, "train"));
        let mut network = Network::joined(&info.network, size, &shapes(&info.embeddings), classes, &streams)?;
        network.load(&weights, Missing::Error)?;
        Ok(Self { info, network })
    }

    /// The same classifier on the device that a stage asks for.
    ///
    /// # Errors
    /// As [`place`].
    pub fn on(self, device: DeviceRequest, progress: &dyn Progress) -> Result<Self, StageError> {
        let say = &mut |text: &str| progress.line(text);
        Ok(Self { network: place(self.network, device, Precision::F32, NetworkWork::Evaluation, say)?, ..self })
    }

    /// Target recorded for its results.
    #[must_use]
    pub fn target(&self) -> String {
        self.network.target()
    }

    /// Logits (N x C) of normalised pixels.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn logits(&self, batch: &PixelBatch) -> Result<Vec<f32>, StageError> {
        logits(&self.network, &on_tape(batch)?)
    }

    /// Scores (N x C, row-major) of normalised pixels, calibrated if the model is.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn scores(&self, batch: &PixelBatch, tta: Tta) -> Result<Vec<f64>, StageError> {
        let (activation, classes) = (self.info.activation, self.info.classes.len());
        let mut scores = tta.scores(batch, |batch| Ok(activation.scores(&self.logits(batch)?, classes)))?;
        if let Some(calibration) = &self.info.calibration {
            calibration.apply(&mut scores);
        }
        Ok(scores)
    }

    /// Runs a first batch of black patches, which folds the batch norms.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn warm_up(&self) -> Result<(), StageError> {
        let [size, _] = self.info.sides();
        let joined = self.info.embeddings.iter().map(|joined| vec![0.0; joined.info.len()]).collect();
        let pixels = vec![0.0; size * size * 3];
        self.logits(&PixelBatch { count: 1, size, pixels, joined, targets: Targets::default() }).map(drop)
    }

    /// Reads the description of the model in `tree`, without its weights.
    ///
    /// # Errors
    /// As [`Classifier::read`].
    pub fn info(tree: &Tree, objects: &Objects) -> Result<ModelInfo, StageError> {
        let missing = || StageError::Bug("a model without `model.json`".to_owned());
        let bytes = objects.read_in(tree, DESCRIPTION)?.ok_or_else(missing)?;
        serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(format!("`model.json` does not parse: {error}")))
    }

    /// Checks that the patches of a set match those it was trained on.
    ///
    /// # Errors
    /// [`StageError::Input`] if classes or size differ, the margin is smaller than the network needs, or embeddings are missing or come
    /// from another encoder.
    pub fn accepts(&self, PatchSet { info: set, embeddings, .. }: &PatchSet) -> Result<(), StageError> {
        for ours in &self.info.embeddings {
            let Some(theirs) = embeddings.iter().find(|joined| joined.name == ours.name) else {
                return Err(not_joined(&self.info.network, &ours.name));
            };
            same_encoder(ours, &theirs.info, "these patches").map_err(|error| error.field("data"))?;
        }
        if set.classes != self.info.classes {
            let (ours, theirs) = (self.info.classes.join(" "), set.classes.join(" "));
            let text = format!("the model was trained on classes `{ours}`, but the patches have `{theirs}`");
            return Err(StageError::input("other-classes", text).field("data"));
        }
        if !self.info.activation.is_sigmoid() && set.labels.is_multi_label() {
            let text = "the model chooses one class, but these patches may have several or none";
            let hint = "use photographs with one class each: `manifest` with `class`";
            return Err(StageError::input("not-exclusive", text).hint(hint).field("data"));
        }
        if set.size != self.info.size {
            let text =
                format!("the model was trained on patches of {} px, but these are {} px", self.info.size, set.size);
            let hint = format!("extract patches with `size {}`", self.info.size);
            return Err(StageError::input("other-size", text).hint(hint).field("data"));
        }
        margin_of(&self.info.network, set).map(|_| ())
    }
}

/// Refuses embeddings of another encoder, or of another shape, than those that a network was trained with. `whose` says what has them:
/// `these patches`.
///
/// # Errors
/// `other-embeddings`, `grids-differ`.
pub fn same_encoder(ours: &JoinedEmbeddings, theirs: &EmbeddingsInfo, whose: &str) -> Result<(), StageError> {
    let name = &ours.name;
    if ours.info.encoder != theirs.encoder {
        let (ours, theirs) = (&ours.info.description, &theirs.description);
        let other = if ours == theirs { " with other weights or another `normalise`" } else { "" };
        let text = format!(
            "input `{name}` was trained with embeddings by {ours}, but {whose} have embeddings by {theirs}{other}"
        );
        let hint = "use embeddings of the same `encode` stage, or train again";
        return Err(StageError::input("other-embeddings", text).hint(hint));
    }
    let shape = |info: &EmbeddingsInfo| [info.rows, info.columns, info.channels];
    if shape(&ours.info) != shape(theirs) {
        let (ours, theirs) = (ours.info.shape(), theirs.shape());
        let text = format!("input `{name}` was trained with {ours}, but the embeddings of {whose} have {theirs}");
        let hint = "use photographs of the same shape, or a tap behind a global pooling, which gives one vector";
        return Err(StageError::input("grids-differ", text).hint(hint));
    }
    Ok(())
}

/// Shapes of embeddings, by name.
#[must_use]
pub fn shapes(embeddings: &[JoinedEmbeddings]) -> JoinedShapes {
    let shape = |info: &EmbeddingsInfo| [info.rows, info.columns, info.channels].map(|side| side as usize);
    embeddings.iter().map(|joined| (joined.name.clone(), shape(&joined.info))).collect()
}

/// How patches are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scoring {
    /// Patches per forward pass, which no score depends on.
    pub batch: usize,
    /// Test-time augmentation.
    pub tta: Tta,
}

impl Scoring {
    /// From the parameters of a stage that scores patches.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        Ok(Self { batch: params.count("batch")?, tta: Tta::from_params(params) })
    }
}

/// Scores (N x C, row-major) of all patches of a set in its order, each once regardless of copies.
///
/// # Errors
/// [`StageError::Input`] if the set or `tta` does not match the model, [`StageError::Stopped`], or errors of the store.
pub fn predict(
    model: &Classifier,
    set: &PatchSet,
    objects: &Objects,
    scoring: Scoring,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<f64>, StageError> {
    model.accepts(set)?;
    model.info.calibrated_for(scoring.tta)?;
    let samples = OpenPatchSet::open(set.clone(), None, model.info.normalisation, objects)?;
    let samples = samples.for_network(&model.info.network, objects)?;
    let draws = samples.all();
    let mut all = Vec::with_capacity(draws.len() * model.info.classes.len());
    let pieces: Vec<_> = draws.chunks(scoring.batch).collect();
    ahead(
        pieces.len(),
        |at| samples.plain(pieces[at]),
        |_, batch| {
            stop.check()?;
            all.extend(model.scores(&batch, scoring.tta)?);
            progress.step((all.len() / model.info.classes.len()) as u64, draws.len() as u64, "patches");
            Ok(())
        },
    )
    .map(|()| all)
}

/// Logits (N x C) of a batch in evaluation mode.
pub(super) fn logits<'a>(network: &Network, input: impl Into<NetworkInput<'a>>) -> Result<Vec<f32>, StageError> {
    network.forward(input)?.flatten_all().and_then(|logits| logits.to_vec1()).map_err(bug)
}

/// Batch as input of a network.
pub(super) fn on_tape(batch: &PixelBatch) -> Result<JoinedPixels, StageError> {
    JoinedPixels::new(batch.pixels.clone(), batch.count, batch.size, batch.joined.clone())
}
