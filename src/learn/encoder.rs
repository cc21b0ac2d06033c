//! Encoder: a network up to a tap that describes photographs by vectors. Knows no stage.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::last_used::LastUsed;
use super::placement::place;
use crate::base::figure::counted;
use crate::base::{Digest, Hasher};
use crate::data::decode::Photograph;
use crate::data::embeddings::{EmbeddingsInfo, StoredAs};
use crate::data::patches::Shard;
use crate::data::resize::resized;
use crate::engine::gpu::{DeviceRequest, Precision};
use crate::engine::network::{JoinedPixels, Missing, Network, NetworkWork, Weights};
use crate::engine::normalise::Normalisation;
use crate::lang::network::{Layer, Linear, NetworkSpec};
use crate::stage::{Progress, StageError};
use crate::store::{Entry, Objects};

/// Sides of the resized photographs are multiples of this, px: the stride of the usual networks.
const MULTIPLE: usize = 32;

/// Patches per forward pass, which no value depends on.
const TOGETHER: usize = 64;

/// What a photograph is described by.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderSettings {
    /// Network up to a tap.
    pub network: NetworkSpec,
    /// What it sees.
    pub view: EncoderView,
    /// Normalisation of its pixels.
    pub normal: Normalisation,
    /// How values are stored.
    pub store: StoredAs,
    /// What computes.
    pub device: DeviceRequest,
    /// Classes of a whole classifier, whose logits are the values; empty for a network that ends at a tap.
    pub classes: Vec<String>,
}

/// What an encoder sees of a photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderView {
    /// All of it, with this longest side, px.
    Whole(usize),
    /// Its patches of this side, px, each by itself.
    Patches(usize),
}

impl EncoderSettings {
    /// Error about a whole classifier whose weights are not those of a trained model, so that its classes are unknown.
    #[must_use]
    pub fn no_classes(network: &NetworkSpec) -> StageError {
        let text =
            format!("network `{}` is a whole classifier, but `init` is not a trained model with classes", network.name);
        let hint = format!("end at a tap: `network {} to=features`", network.name);
        StageError::input("no-tap", text).hint(hint).field("network")
    }

    /// The network with the number of its outputs.
    fn complete(&self) -> Result<NetworkSpec, StageError> {
        let mut network = self.network.clone();
        if let Some(Layer::Linear(Linear { out: out @ None, .. })) = network.layers.last_mut() {
            if self.classes.is_empty() {
                return Err(Self::no_classes(&self.network));
            }
            *out = Some(self.classes.len());
        }
        Ok(network)
    }

    /// Digest of everything but the photograph that values depend on, with weights of that digest.
    fn digest(&self, weights: &Digest) -> Digest {
        let Normalisation { mean, std } = self.normal;
        let (domain, side) = match self.view {
            EncoderView::Whole(side) => ("macula encoder 1", side),
            EncoderView::Patches(size) => ("macula encoder of patches 1", size),
        };
        let mut digest = Hasher::new(domain);
        digest.digest(&self.network.digest()).digest(weights).int(side as u64);
        mean.iter().chain(&std).for_each(|value| {
            digest.int(u64::from(value.to_bits()));
        });
        digest.finish()
    }
}

/// Patches of a photograph, and the grid that they are left of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchCells {
    /// Side of a patch, px.
    pub size: usize,
    /// Margin that is stored around it, px.
    pub margin: usize,
    /// Rows of the grid.
    pub rows: usize,
    /// Columns of the grid.
    pub columns: usize,
    /// Patches that are left, by their place in the grid, row by row, which is also that in the shard.
    pub left: Vec<u32>,
}

/// Encoder with its weights.
pub struct Encoder {
    settings: EncoderSettings,
    network: Network,
    digest: Digest,
}

/// Encoder that was requested last, by its weights and settings.
static HELD: LastUsed<(Digest, EncoderSettings), Encoder> = LastUsed::new();

impl Encoder {
    /// Encoder with the weights in `entry`, which are called `name` in messages. The last one is cached: a map stage requests the same one for every
    /// photograph, from several threads.
    ///
    /// # Errors
    /// Errors of the store; [`StageError::Input`] if the file lacks tensors before the tap.
    pub fn held(
        settings: &EncoderSettings,
        name: &str,
        entry: &Entry,
        objects: &Objects,
        progress: &dyn Progress,
    ) -> Result<Arc<Self>, StageError> {
        HELD.get((entry.digest, settings.clone()), settings.device, || {
            Self::open(settings, name, entry, objects, progress)
        })
    }

    /// Frees the encoder that was requested last, and its memory on a GPU, for the stages that follow.
    pub fn release() {
        HELD.release();
    }

    fn open(
        settings: &EncoderSettings,
        name: &str,
        entry: &Entry,
        objects: &Objects,
        progress: &dyn Progress,
    ) -> Result<Self, StageError> {
        let spec = settings.complete()?;
        let weights = Weights::parse(name, &objects.read(entry)?)?;
        let side = match settings.view {
            EncoderView::Whole(side) => side.next_multiple_of(MULTIPLE),
            EncoderView::Patches(size) => size,
        };
        let mut network = Network::encoder(&spec, side)?;
        network.load(&weights, Missing::Error).map_err(lacking)?;
        let say = &mut |text: &str| progress.line(text);
        let network = place(network, settings.device, Precision::F32, NetworkWork::Evaluation, say)?;
        // A first image folds the batch norms now, not while other threads wait for it.
        network.features(&JoinedPixels::of_image(vec![0.0; side * side * 3], side, side)?)?;
        let digest = settings.digest(&entry.digest);
        Ok(Self { settings: settings.clone(), network, digest })
    }

    /// Target recorded for its results.
    #[must_use]
    pub fn target(&self) -> String {
        self.network.target()
    }

    /// Shape and values of a photograph, rows x columns x channels.
    ///
    /// # Errors
    /// [`StageError::Input`] if a value is not finite; as [`Network::features`].
    pub fn encode(&self, name: &str, photograph: &Photograph) -> Result<(EmbeddingsInfo, Vec<f32>), StageError> {
        let EncoderSettings { view, normal, .. } = &self.settings;
        let EncoderView::Whole(side) = *view else {
            return Err(StageError::Bug("an encoder of patches gets a whole photograph".to_owned()));
        };
        let (pixels, [height, width]) = framed(photograph, side, normal);
        let values = self.values(name, &JoinedPixels::of_image(pixels, height, width)?)?;
        let shape = self.network.output_shape(height, width)?;
        Ok((self.described(shape, &format!("photographs of {side} px")), values))
    }

    /// Shape and values of a photograph as the grid of the vectors of its patches, rows x columns x channels. Patches that are not left
    /// are zeros.
    ///
    /// # Errors
    /// `patch-grid` if a patch gives more than one vector; as [`Encoder::encode`].
    pub fn encode_patches(
        &self,
        name: &str,
        shard: &Shard,
        cells: &PatchCells,
    ) -> Result<(EmbeddingsInfo, Vec<f32>), StageError> {
        let PatchCells { size, margin, rows, columns, .. } = *cells;
        let [height, width, channels] = self.network.output_shape(size, size)?;
        if height * width != 1 {
            let text = format!(
                "network `{}` gives {height} x {width} vectors of {channels} values for each patch of {size} px, not one",
                self.settings.network.name
            );
            let hint = "end at a tap behind a global pooling, such as `to=features`";
            return Err(StageError::input("patch-grid", text).hint(hint).field("network"));
        }
        let mut values = vec![0.0; rows * columns * channels];
        let tables = self.settings.normal.tables();
        for batch in cells.left.chunks(TOGETHER) {
            let mut pixels = Vec::with_capacity(batch.len() * size * size * 3);
            for patch in batch {
                let stored = shard.pixels(*patch);
                for row in margin..margin + size {
                    let inside = &stored[(row * shard.side() + margin) * 3..][..size * 3];
                    let normal = inside.iter().zip(tables.iter().cycle());
                    pixels.extend(normal.map(|(value, table)| table[usize::from(*value)]));
                }
            }
            let vectors = self.values(name, &JoinedPixels::new(pixels, batch.len(), size, Vec::new())?)?;
            for (patch, vector) in batch.iter().zip(vectors.chunks_exact(channels)) {
                values[*patch as usize * channels..][..channels].copy_from_slice(vector);
            }
        }
        Ok((self.described([rows, columns, channels], &format!("patches of {size} px")), values))
    }

    /// Output of the network, whose values are all finite.
    fn values(&self, name: &str, batch: &JoinedPixels) -> Result<Vec<f32>, StageError> {
        let values = self.network.features(batch)?;
        if values.iter().any(|value| !value.is_finite()) {
            let text = format!("the encoder outputs NaN or infinity for photograph `{name}`: its weights are damaged");
            return Err(StageError::input("nan-output", text).field("init"));
        }
        Ok(values)
    }

    fn described(&self, shape: [usize; 3], of: &str) -> EmbeddingsInfo {
        let EncoderSettings { network, store, classes, .. } = &self.settings;
        let [rows, columns, channels] = shape.map(|side| side as u32);
        let logits = if classes.is_empty() { "" } else { "logits of " };
        let description = format!("{logits}`{}`, {of}", network.name);
        let (store, encoder, classes) = (*store, self.digest, classes.clone());
        EmbeddingsInfo { rows, columns, channels, store, encoder, description, classes }
    }
}

/// Error about weights without all tensors before the tap, with a hint that fits an encoder.
#[must_use]
pub fn lacking(error: StageError) -> StageError {
    let StageError::Input { hint: Some(hint), .. } = &error else { return error };
    if !error.has_code("weights-missing") || !hint.contains("missing initialise") {
        return error.field("init");
    }
    error.hint("end at an earlier tap (`to=layer3`), or use weights of the whole network").field("init")
}

/// Refuses embeddings of different shapes, which one network cannot read.
///
/// # Errors
/// `grids-differ`, with `hint`.
pub fn alike(infos: &[(String, EmbeddingsInfo)], hint: &str) -> Result<(), StageError> {
    let Some((first, info)) = infos.first() else { return Ok(()) };
    let others: Vec<&(String, EmbeddingsInfo)> = infos.iter().filter(|(_, other)| other != info).collect();
    let Some((name, other)) = others.first() else { return Ok(()) };
    let text = format!(
        "photographs of different shapes give different grids: `{first}` has {}, but `{name}` has {} ({} differ)",
        info.shape(),
        other.shape(),
        counted(others.len() as u64, "photograph", "photographs")
    );
    Err(StageError::input("grids-differ", text).hint(hint).field("from"))
}

/// Normalised pixels of a photograph whose longest side becomes `side`, filled with black at the right and at the bottom up to a multiple of
/// 32 px, and their height and width.
fn framed(photograph: &Photograph, side: usize, normal: &Normalisation) -> (Vec<f32>, [usize; 2]) {
    let small = resized(photograph, side);
    let (rows, columns) = (small.height.next_multiple_of(MULTIPLE), small.width.next_multiple_of(MULTIPLE));
    let tables = normal.tables();
    let mut pixels = Vec::with_capacity(rows * columns * 3);
    for row in 0..rows {
        let inside = if row < small.height { small.row(row) } else { &[] };
        for column in 0..columns {
            let color = inside.get(column * 3..column * 3 + 3).unwrap_or(&[0; 3]);
            pixels.extend(color.iter().zip(&tables).map(|(value, table)| table[usize::from(*value)]));
        }
    }
    (pixels, [rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_resized_and_filled_with_black() {
        let normal = Normalisation { mean: [0.0; 3], std: [1.0; 3] };
        let white = Photograph { width: 120, height: 80, rgb: vec![255; 120 * 80 * 3] };
        let (pixels, [rows, columns]) = framed(&white, 60, &normal);
        assert_eq!([rows, columns, pixels.len()], [64, 64, 64 * 64 * 3]);
        for (at, color) in pixels.chunks_exact(3).enumerate() {
            let inside = at / 64 < 40 && at % 64 < 60;
            assert_eq!(color, if inside { [1.0; 3] } else { [0.0; 3] }, "{at}");
        }
    }
}
