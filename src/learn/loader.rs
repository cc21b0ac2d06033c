//! Patches as batches for a network: from mapped shards to normalised pixels, ahead of the step that needs them. Knows no network.
//!
//! Each patch is a function of its draw and the epoch alone, so the bytes of a batch are the same whatever the threads.

use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::augment::{Change, Recipe};
use super::sampler::Draw;
use crate::base::Streams;
use crate::data::patches::{Label, PatchSet, Shard};
use crate::stage::{Params, StageError};
use crate::store::Objects;

/// What is taken from RGB in 0..1, and by what the rest is divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of R, G, B.
    pub mean: [f32; 3],
    /// Standard deviation of R, G, B.
    pub std: [f32; 3],
}

impl Normalisation {
    /// From the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Input`] where there are not three of each, or a standard deviation is not positive.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        let three = |name: &'static str| -> Result<[f32; 3], StageError> {
            let values: Vec<f32> = params
                .list(name)
                .iter()
                .filter_map(|value| match value {
                    crate::lang::value::Value::Real(value) => Some(*value as f32),
                    crate::lang::value::Value::Int(value) => Some(*value as f32),
                    _ => None,
                })
                .collect();
            values.as_slice().try_into().map_err(|_| {
                let text = format!("`{name}` has {} values, and R, G and B need three", values.len());
                StageError::input("out-of-range", text).field(name)
            })
        };
        let (mean, std) = (three("normalise.mean")?, three("normalise.std")?);
        if std.iter().any(|value| *value <= 0.0) {
            let text = "a standard deviation of `normalise.std` is not positive";
            return Err(StageError::input("out-of-range", text).field("normalise.std"));
        }
        Ok(Self { mean, std })
    }

    /// What each byte of red, green and blue becomes, by [`Normalisation::apply`]'s own arithmetic.
    #[must_use]
    pub fn of_bytes(&self) -> [[f32; 256]; 3] {
        let value =
            |channel: usize| std::array::from_fn(|byte| (byte as f32 / 255.0 - self.mean[channel]) / self.std[channel]);
        [value(0), value(1), value(2)]
    }

    fn apply(&self, pixels: &mut [f32]) {
        for pixel in pixels.chunks_exact_mut(3) {
            for ((value, mean), std) in pixel.iter_mut().zip(self.mean).zip(self.std) {
                *value = (*value - mean) / std;
            }
        }
    }
}

/// A patch set with its shards open.
pub struct Samples {
    /// The rows.
    pub set: PatchSet,
    /// The random changes, where there are any.
    pub recipe: Option<Recipe>,
    /// What the network expects.
    pub normal: Normalisation,
    shards: Vec<Option<Shard>>,
}

/// Patches of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// Side of a patch, px.
    pub size: usize,
    /// Normalised, N x H x W x 3.
    pub pixels: Vec<f32>,
    /// N x C.
    pub labels: Vec<Label>,
}

impl Samples {
    /// Opens the shards of a set; parts without rows have none.
    ///
    /// # Errors
    /// The store's, where a shard is missing or damaged.
    pub fn open(
        set: PatchSet,
        recipe: Option<Recipe>,
        normal: Normalisation,
        objects: &Objects,
    ) -> Result<Self, StageError> {
        let open = |part: &crate::data::patches::Part| {
            (!part.rows.is_empty()).then(|| Shard::open(part, &set.info, objects)).transpose()
        };
        let shards = set.parts.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { set, recipe, normal, shards })
    }

    /// All patches in the order of the set, each once whatever its copies.
    #[must_use]
    pub fn all(&self) -> Vec<Draw> {
        let rows = |(part, rows): (u32, u32)| (0..rows).map(move |row| Draw { part, row, copy: 0 });
        let parts = self.set.parts.iter().map(|part| part.rows.len() as u32);
        (0..).zip(parts).flat_map(rows).collect()
    }

    /// The patches as they are.
    #[must_use]
    pub fn plain(&self, draws: &[Draw]) -> Batch {
        self.batch(draws, |_| Change::none())
    }

    /// The patches as the recipe changes them in this epoch.
    #[must_use]
    pub fn augmented(&self, draws: &[Draw], streams: &Streams, epoch: u64) -> Batch {
        match &self.recipe {
            None => self.plain(draws),
            Some(recipe) => {
                self.batch(draws, |draw| recipe.draw(&mut streams.stream("augment", epoch, &draw.id(&self.set))))
            }
        }
    }

    fn batch(&self, draws: &[Draw], change: impl Fn(&Draw) -> Change + Sync) -> Batch {
        let info = &self.set.info;
        let (size, classes) = (info.size as usize, info.classes.len());
        let mut pixels = vec![0.0; draws.len() * size * size * 3];
        let mut labels = vec![Label::Unknown; draws.len() * classes];
        let places = pixels.par_chunks_exact_mut(size * size * 3).zip(labels.par_chunks_exact_mut(classes));
        draws.par_iter().zip(places).for_each(|(draw, (pixels, labels))| {
            let row = draw.row(&self.set);
            // A part that has rows has its shard: `open` saw to it.
            let Some(shard) = &self.shards[draw.part as usize] else { return };
            let change = change(draw);
            pixels.copy_from_slice(&change.pixels(shard.pixels(row.index), info));
            self.normal.apply(pixels);
            for (class, (label, was)) in labels.iter_mut().zip(&row.labels).enumerate() {
                *label = change.label(*was, shard.mask(row.index, class), info);
            }
        });
        Batch { count: draws.len(), size, pixels, labels }
    }
}

/// Makes `count` things, each on another thread while the one before it is used, and uses them in order. At most three exist at a
/// time: one in use, one waiting, one in the making. Ends early where `take` fails.
///
/// # Errors
/// What `take` returns.
pub fn ahead<T: Send, E>(
    count: usize,
    make: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        let make = &make;
        scope.spawn(move || {
            for at in 0..count {
                // The receiver is gone where `take` failed.
                if sender.send(make(at)).is_err() {
                    break;
                }
            }
        });
        receiver.into_iter().enumerate().try_for_each(|(at, made)| take(at, made))
    })
}
