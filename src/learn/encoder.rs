//! Encoder: a network up to a tap that describes photographs by vectors. Knows no stage.

use std::sync::{Arc, Mutex};

use super::gpu::{self, DeviceChoice, Precision};
use super::network::{JoinedPixels, Missing, Network, Weights};
use super::normalise::Normalisation;
use crate::base::figure::counted;
use crate::base::{Digest, Hasher, sync};
use crate::data::decode::Photograph;
use crate::data::embeddings::{EmbeddingsInfo, StoredAs};
use crate::data::resize::resized;
use crate::lang::network::{Layer, Linear, NetworkSpec};
use crate::stage::StageError;
use crate::store::{Entry, Objects};

/// Sides of the resized photographs are multiples of this, px: the stride of the usual networks.
const MULTIPLE: usize = 32;

/// What a photograph is described by.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderSettings {
    /// Network up to a tap.
    pub network: NetworkSpec,
    /// Longest side of a resized photograph, px.
    pub side: usize,
    /// Normalisation of its pixels.
    pub normal: Normalisation,
    /// How values are stored.
    pub store: StoredAs,
    /// What computes.
    pub device: DeviceChoice,
}

impl EncoderSettings {
    /// Refuses a whole classifier, whose last layer depends on the classes.
    ///
    /// # Errors
    /// `no-tap`.
    pub fn check(network: &NetworkSpec) -> Result<(), StageError> {
        if let Some(Layer::Linear(Linear { out: None, .. })) = network.layers.last() {
            let text = format!("network `{}` is a whole classifier; an encoder ends at a tap", network.name);
            let hint = format!("write e.g. `network {} to=features`", network.name);
            return Err(StageError::input("no-tap", text).hint(hint).field("network"));
        }
        Ok(())
    }

    /// Digest of everything but the photograph that values depend on, with weights of that digest.
    fn digest(&self, weights: &Digest) -> Digest {
        let Normalisation { mean, std } = self.normal;
        let mut digest = Hasher::new("macula encoder 1");
        digest.digest(&self.network.digest()).digest(weights).int(self.side as u64);
        mean.iter().chain(&std).for_each(|value| {
            digest.int(u64::from(value.to_bits()));
        });
        digest.finish()
    }
}

/// Encoder with its weights.
pub struct Encoder {
    settings: EncoderSettings,
    network: Network,
    digest: Digest,
}

/// Encoder that was requested last, with the digest of its weights.
static HELD: Mutex<Option<(Digest, Arc<Encoder>)>> = Mutex::new(None);

impl Encoder {
    /// Encoder with the weights in `entry`. The last one is cached: a map stage requests the same one for every
    /// photograph, from several threads.
    ///
    /// # Errors
    /// Errors of the store; [`StageError::Input`] if the file lacks tensors before the tap.
    pub fn held(settings: &EncoderSettings, entry: &Entry, objects: &Objects) -> Result<Arc<Self>, StageError> {
        let lock = || sync::lock(&HELD);
        let same =
            |(weights, encoder): &&(Digest, Arc<Self>)| *weights == entry.digest && encoder.settings == *settings;
        if let Some((_, encoder)) = lock().as_ref().filter(same) {
            return Ok(Arc::clone(encoder));
        }
        // Not under the lock: a thread that waits for others in here may be given another photograph and would deadlock.
        let encoder = Arc::new(Self::open(settings, entry, objects)?);
        *lock() = Some((entry.digest, Arc::clone(&encoder)));
        Ok(encoder)
    }

    fn open(settings: &EncoderSettings, entry: &Entry, objects: &Objects) -> Result<Self, StageError> {
        EncoderSettings::check(&settings.network)?;
        let weights = Weights::parse("the weights", &objects.read(entry)?)?;
        let mut network = Network::encoder(&settings.network, settings.side.next_multiple_of(MULTIPLE))?;
        network.load(&weights, Missing::Error).map_err(lacking)?;
        let opened = gpu::open(settings.device, Precision::F32)?;
        let network = network.on_engine(opened.engine)?;
        // A first image folds the batch norms now, not while other threads wait for it.
        let side = MULTIPLE.max(network.size());
        network.features(&JoinedPixels::of_image(vec![0.0; side * side * 3], side, side)?)?;
        let digest = settings.digest(&entry.digest);
        Ok(Self { settings: settings.clone(), network, digest })
    }

    /// Shape and values of a photograph, rows x columns x channels.
    ///
    /// # Errors
    /// [`StageError::Input`] if a value is not finite; as [`Network::features`].
    pub fn encode(&self, name: &str, photograph: &Photograph) -> Result<(EmbeddingsInfo, Vec<f32>), StageError> {
        let EncoderSettings { side, normal, store, network, .. } = &self.settings;
        let (pixels, [height, width]) = framed(photograph, *side, normal);
        let batch = JoinedPixels::of_image(pixels, height, width)?;
        let values = self.network.features(&batch)?;
        if values.iter().any(|value| !value.is_finite()) {
            let text = format!("the encoder outputs NaN or infinity for photograph `{name}`: its weights are damaged");
            return Err(StageError::input("nan-output", text).field("init"));
        }
        let [rows, columns, channels] = self.network.output_shape(height, width)?.map(|side| side as u32);
        let description = format!("`{}`, photographs of {side} px", network.name);
        Ok((EmbeddingsInfo { rows, columns, channels, store: *store, encoder: self.digest, description }, values))
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
/// `grids-differ`.
pub fn alike(infos: &[(String, EmbeddingsInfo)]) -> Result<(), StageError> {
    let Some((first, info)) = infos.first() else { return Ok(()) };
    let others: Vec<&(String, EmbeddingsInfo)> = infos.iter().filter(|(_, other)| other != info).collect();
    let Some((name, other)) = others.first() else { return Ok(()) };
    let text = format!(
        "photographs of different shapes give different grids: `{first}` has {}, but `{name}` has {} ({} differ)",
        info.shape(),
        other.shape(),
        counted(others.len() as u64, "photograph", "photographs")
    );
    let hint = "use a tap behind a global pooling, which gives one vector, or `preprocess { crop field-of-view }`";
    Err(StageError::input("grids-differ", text).hint(hint).field("network"))
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
