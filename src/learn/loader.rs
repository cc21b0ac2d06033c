//! Patches as batches for a network: from mapped shards to normalised pixels, ahead of the step that needs them. Knows no network.
//!
//! Each patch is a function of its draw and the epoch alone, so the bytes of a batch are the same whatever the threads.

use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::augment::geometry::{self, Tables};
use super::augment::{Change, Recipe};
use super::kernels::vectorised;
use super::sampler::Draw;
use super::views::{Stored, Views};
use crate::base::{Streams, threads};
use crate::data::patches::{Label, PatchRow, PatchSet, Shard};
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

    /// What each byte becomes.
    #[must_use]
    pub fn tables(&self) -> Tables {
        let mut tables = geometry::shares();
        for ((table, mean), std) in tables.iter_mut().zip(self.mean).zip(self.std) {
            for value in table.iter_mut() {
                *value = (*value - mean) / std;
            }
        }
        tables
    }

    /// Normalises R, G, B, R, G, B, … in 0..1.
    pub(super) fn apply(&self, pixels: &mut [f32]) {
        normalise(&std::array::from_fn(|at| self.mean[at % 3]), &std::array::from_fn(|at| self.std[at % 3]), pixels);
    }
}

/// Floats of 16 pixels.
const STRIP: usize = 48;

vectorised! {
    fn normalise(mean: &[f32; STRIP], std: &[f32; STRIP], pixels: &mut [f32]) {
        for strip in pixels.chunks_mut(STRIP) {
            for ((value, mean), std) in strip.iter_mut().zip(mean).zip(std) {
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

/// Who makes pixels of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The loader's threads.
    Loader,
    /// The card that computes.
    Card,
}

/// Patches of one step, for a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Fed {
    /// Their pixels.
    Made(Batch),
    /// Themselves, and the labels that they will have (N x C).
    Stored(Views, Vec<Label>),
}

/// Patches of one step with their pixels.
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

    /// What batches that a card makes have in common, changed by the recipe or plain.
    #[must_use]
    pub fn stored(&self, recipe: Option<&Recipe>) -> Stored {
        Stored::new(self.set.info.size as usize, self.set.info.margin as usize, recipe)
    }

    /// The patches as they are, for a network.
    #[must_use]
    pub fn fed(&self, maker: Maker, draws: &[Draw]) -> Fed {
        match maker {
            Maker::Loader => Fed::Made(self.plain(draws)),
            Maker::Card => self.views(draws, self.stored(None), |_| Change::none()),
        }
    }

    /// The patches as the recipe changes them in this epoch, for a network.
    #[must_use]
    pub fn fed_augmented(&self, maker: Maker, draws: &[Draw], streams: &Streams, epoch: u64) -> Fed {
        match (maker, &self.recipe) {
            (Maker::Loader, _) => Fed::Made(self.augmented(draws, streams, epoch)),
            (Maker::Card, None) => self.fed(maker, draws),
            (Maker::Card, Some(recipe)) => self.views(draws, self.stored(Some(recipe)), |draw| {
                recipe.draw(&mut streams.stream("augment", epoch, &draw.id(&self.set)))
            }),
        }
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
        let tables = self.normal.tables();
        let mut pixels = vec![0.0; draws.len() * size * size * 3];
        let mut labels = vec![Label::Unknown; draws.len() * classes];
        let places = pixels.par_chunks_exact_mut(size * size * 3).zip(labels.par_chunks_exact_mut(classes));
        draws.par_iter().zip(places).for_each(|(draw, (pixels, labels))| {
            let row = draw.row(&self.set);
            // A part that has rows has its shard: `open` saw to it.
            let Some(shard) = &self.shards[draw.part as usize] else { return };
            let change = change(draw);
            change.apply(shard.pixels(row.index), info, &tables, pixels);
            if !change.keeps_the_values() {
                self.normal.apply(pixels);
            }
            self.relabel(row, shard, &change, labels);
        });
        Batch { count: draws.len(), size, pixels, labels }
    }

    fn views(&self, draws: &[Draw], stored: Stored, change: impl Fn(&Draw) -> Change + Sync) -> Fed {
        let (length, classes) = (stored.side * stored.side * 3, self.set.info.classes.len());
        let mut bytes = vec![0; draws.len() * length];
        let mut labels = vec![Label::Unknown; draws.len() * classes];
        let places = bytes.par_chunks_exact_mut(length).zip(labels.par_chunks_exact_mut(classes));
        let made = draws.par_iter().zip(places).map(|(draw, (bytes, labels))| {
            let (row, change) = (draw.row(&self.set), change(draw));
            if let Some(shard) = &self.shards[draw.part as usize] {
                bytes.copy_from_slice(shard.pixels(row.index));
                self.relabel(row, shard, &change, labels);
            }
            change
        });
        let changes = made.collect();
        Fed::Stored(Views { stored, bytes, changes, normal: self.normal }, labels)
    }

    /// The labels of a patch after a change.
    fn relabel(&self, row: &PatchRow, shard: &Shard, change: &Change, labels: &mut [Label]) {
        for (class, (label, was)) in labels.iter_mut().zip(&row.labels).enumerate() {
            *label = change.label(*was, shard.mask(row.index, class), &self.set.info);
        }
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
        let begun = threads::spawn(scope, move || {
            for at in 0..count {
                // The receiver is gone where `take` failed.
                if sender.send(make(at)).is_err() {
                    break;
                }
            }
        });
        if begun.is_err() {
            // The system gives no more threads: this one makes them between two uses.
            return (0..count).try_for_each(|at| take(at, make(at)));
        }
        receiver.into_iter().enumerate().try_for_each(|(at, made)| take(at, made))
    })
}
