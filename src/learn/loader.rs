//! Data loader: from memory-mapped shards to normalised, augmented batches, prefetched ahead of the step that needs them. Knows no
//! network.
//!
//! Each patch is a function of its draw and the epoch only, so the bytes of a batch are the same for any number of threads.

use std::sync::mpsc::sync_channel;

use rayon::prelude::*;

use super::objective::{Targets, of_label};
use super::sampler::{Batch, PatchDraw};
use crate::base::{Streams, threads};
use crate::data::embeddings::{EmbeddingValues, EmbeddingsInfo};
use crate::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, Shard};
use crate::engine::augment::mixing::Mixture;
use crate::engine::augment::{Augmentation, Transform};
use crate::engine::network::not_joined;
use crate::engine::normalise::Normalisation;
use crate::engine::views::{PixelsMadeBy, Stored, Views};
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;
use crate::store::Objects;

/// Patch set with its shards open.
pub struct OpenPatchSet {
    /// Rows of the set.
    pub set: PatchSet,
    /// Augmentation, if any.
    pub recipe: Option<Augmentation>,
    /// Normalisation that the network expects.
    pub normal: Normalisation,
    /// Whether patches are made with their surroundings: a canvas of twice their side.
    around: bool,
    shards: Vec<Option<Shard>>,
    joined: Vec<OpenEmbeddings>,
}

/// Embeddings that a network reads.
struct OpenEmbeddings {
    info: EmbeddingsInfo,
    /// Those of each part; [`None`] for a part without rows.
    parts: Vec<Option<EmbeddingValues>>,
}

impl OpenEmbeddings {
    /// Opens those that the patches of `set` have for an input of `network`.
    fn open(network: &NetworkSpec, name: &str, set: &PatchSet, objects: &Objects) -> Result<Self, StageError> {
        let found = set.embeddings.iter().find(|joined| joined.name == name);
        let info = found.ok_or_else(|| not_joined(network, name))?.info.clone();
        let open = |part: &Part| {
            let entry = part.embeddings.get(name).filter(|_| !part.rows.is_empty());
            entry.map(|entry| EmbeddingValues::open(entry, &part.photograph, &info, objects)).transpose()
        };
        let parts = set.parts.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { info, parts })
    }

    /// Values of these patches, one after another.
    fn of(&self, draws: &[PatchDraw]) -> Vec<f32> {
        let mut values = vec![0.0; draws.len() * self.info.len()];
        for (draw, own) in draws.iter().zip(values.chunks_exact_mut(self.info.len().max(1))) {
            // A part with rows has embeddings: `join` ensures it.
            if let Some(found) = &self.parts[draw.part as usize] {
                found.copy_to(own);
            }
        }
        values
    }
}

/// Patches of one step, as fed to a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Fed {
    /// Normalised pixels.
    Made(PixelBatch),
    /// Stored patches with their transforms, and the targets after those (N x C).
    Stored(Views, Targets),
}

/// Batch of normalised pixels with targets.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelBatch {
    /// Number of patches.
    pub count: usize,
    /// Side of a patch, or of the canvas around it, px.
    pub size: usize,
    /// Normalised pixels, N x H x W x 3.
    pub pixels: Vec<f32>,
    /// Embeddings that the network reads, each N x rows x columns x channels, in the order of their names.
    pub joined: Vec<Vec<f32>>,
    /// Targets, N x C.
    pub targets: Targets,
}

impl OpenPatchSet {
    /// Opens the shards of a set; parts without rows have none.
    ///
    /// # Errors
    /// Errors of the store if a shard is missing or damaged.
    pub fn open(
        set: PatchSet,
        recipe: Option<Augmentation>,
        normal: Normalisation,
        objects: &Objects,
    ) -> Result<Self, StageError> {
        let open = |part: &crate::data::patches::Part| {
            (!part.rows.is_empty()).then(|| Shard::open(part, &set.info, objects)).transpose()
        };
        let shards = set.parts.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { set, recipe, normal, around: false, shards, joined: Vec::new() })
    }

    /// Makes patches as a network takes them: with their surroundings if it has an input `wide`, and with the embeddings that it reads.
    ///
    /// # Errors
    /// [`StageError::Input`] if the stored margin is too small, or the patches lack an embedding.
    pub fn for_network(mut self, network: &NetworkSpec, objects: &Objects) -> Result<Self, StageError> {
        let needed = margin_of(network, &self.set.info)?;
        self.around = needed > 0;
        let open = |name: String| OpenEmbeddings::open(network, &name, &self.set, objects);
        self.joined = network.embeddings().into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Side of the pixels of a patch with its surroundings, if it has them, px.
    fn side(&self) -> usize {
        let size = self.set.info.size as usize;
        if self.around { 2 * size } else { size }
    }

    /// Form in which batches reach a network: a GPU transforms no surroundings and takes no embeddings.
    fn maker(&self, maker: PixelsMadeBy) -> PixelsMadeBy {
        if self.around || !self.joined.is_empty() { PixelsMadeBy::Loader } else { maker }
    }

    /// All patches in the order of the set, each once regardless of copies.
    #[must_use]
    pub fn all(&self) -> Vec<PatchDraw> {
        let rows = |(part, rows): (u32, u32)| (0..rows).map(move |row| PatchDraw { part, row, copy: 0 });
        let parts = self.set.parts.iter().map(|part| part.rows.len() as u32);
        (0..).zip(parts).flat_map(rows).collect()
    }

    /// Layout of batches that a GPU transforms, with or without augmentation.
    #[must_use]
    pub fn stored(&self, recipe: Option<&Augmentation>) -> Stored {
        Stored::new(self.set.info.size as usize, self.set.info.margin as usize, recipe)
    }

    /// Patches without augmentation, as fed to a network.
    #[must_use]
    pub fn fed(&self, maker: PixelsMadeBy, draws: &[PatchDraw]) -> Fed {
        match self.maker(maker) {
            PixelsMadeBy::Loader => Fed::Made(self.plain(draws)),
            PixelsMadeBy::Card => self.views(draws, self.stored(None), |_| Transform::none()),
        }
    }

    /// Patches of a batch augmented for this epoch, as fed to a network. Mixed patches are made by the loader, as a mixture has two.
    #[must_use]
    pub fn fed_augmented(&self, maker: PixelsMadeBy, batch: &Batch, streams: &Streams, epoch: u64) -> Fed {
        let draws = &batch.draws;
        if let Some(recipe) = self.recipe.as_ref().filter(|recipe| recipe.mixes()) {
            return Fed::Made(self.mixed(recipe, batch, streams, epoch));
        }
        match (self.maker(maker), &self.recipe) {
            (PixelsMadeBy::Loader, _) => Fed::Made(self.augmented(draws, streams, epoch)),
            (PixelsMadeBy::Card, None) => self.fed(maker, draws),
            (PixelsMadeBy::Card, Some(recipe)) => self.views(draws, self.stored(Some(recipe)), |draw| {
                recipe.draw(&mut streams.stream("augment", epoch, &draw.id(&self.set)))
            }),
        }
    }

    /// Whether patches are mixed with others of their batch.
    #[must_use]
    pub fn mixes(&self) -> bool {
        self.recipe.as_ref().is_some_and(Augmentation::mixes)
    }

    /// Patches augmented for this epoch, each mixed with a partner of its part of the batch.
    fn mixed(&self, recipe: &Augmentation, batch: &Batch, streams: &Streams, epoch: u64) -> PixelBatch {
        let info = &self.set.info;
        let (size, classes, side) = (info.size as usize, info.classes.len(), self.side());
        let stream = |purpose, draw: &PatchDraw| streams.stream(purpose, epoch, &draw.id(&self.set));
        let changes: Vec<Transform> =
            batch.draws.par_iter().map(|draw| recipe.draw(&mut stream("augment", draw))).collect();
        let made = self.made(&batch.draws, &changes);
        let partners = batch.partners(|draw| streams.rank("mix-partner", epoch, &draw.id(&self.set)));
        let patch = |at: usize| &made.pixels[at * side * side * 3..][..side * side * 3];
        let mut pixels = vec![0.0; made.pixels.len()];
        let mut targets = vec![None; batch.draws.len() * classes];
        let places = pixels.par_chunks_exact_mut(side * side * 3).zip(targets.par_chunks_exact_mut(classes));
        places.enumerate().for_each(|(at, (pixels, targets))| {
            let partner = partners[at];
            let mixture = recipe.mixture(size, &mut stream("mix", &batch.draws[at]));
            mixture.apply_around(patch(at), patch(partner), [side, size], pixels);
            let both = [at, partner].map(|at| (&batch.draws[at], &changes[at]));
            for (class, target) in targets.iter_mut().enumerate() {
                *target = self.mixed_target(class, both, &mixture);
            }
        });
        PixelBatch { pixels, targets: targets.into_iter().collect(), ..made }
    }

    /// Target of a class in a mixture of two patches. If either label is unknown, it is unknown. A pasted box gives the label of what is
    /// then in the patch, if masks are stored. Otherwise the target is the mean of both, weighted by their shares.
    fn mixed_target(
        &self,
        class: usize,
        [own, partner]: [(&PatchDraw, &Transform); 2],
        mixture: &Mixture,
    ) -> Option<f32> {
        let info = &self.set.info;
        let label = |(draw, change): (&PatchDraw, &Transform)| {
            let row = draw.row(&self.set);
            let mask = self.shards[draw.part as usize].as_ref().and_then(|shard| shard.mask(row.index, class));
            // A lesion without a place is in no mask: it is mixed by area.
            let mask = mask.filter(|_| !row.is_placeless(class));
            (label_after(change, row.labels[class], mask, info), mask)
        };
        let ((own_label, own_mask), (partner_label, partner_mask)) = (label(own), label(partner));
        let (own_target, partner_target) = (of_label(own_label)?, of_label(partner_label)?);
        if let (Mixture::Paste(..), Some(own_mask), Some(partner_mask)) = (mixture, own_mask, partner_mask) {
            let sides = [info.side(), info.size as usize];
            let left = own.1.mask_pixels(own_mask, sides, |column, row| !mixture.pasted(column, row));
            let pasted = partner.1.mask_pixels(partner_mask, sides, |column, row| mixture.pasted(column, row));
            return of_label(info.label_of(left + pasted));
        }
        let share = mixture.own(info.size as usize);
        // Equal labels give exactly themselves.
        if own_target == partner_target {
            return Some(own_target);
        }
        Some((share * f64::from(own_target) + (1.0 - share) * f64::from(partner_target)) as f32)
    }

    /// Patches without augmentation.
    #[must_use]
    pub fn plain(&self, draws: &[PatchDraw]) -> PixelBatch {
        self.batch(draws, |_| Transform::none())
    }

    /// Patches augmented for this epoch.
    #[must_use]
    pub fn augmented(&self, draws: &[PatchDraw], streams: &Streams, epoch: u64) -> PixelBatch {
        match &self.recipe {
            None => self.plain(draws),
            Some(recipe) => {
                self.batch(draws, |draw| recipe.draw(&mut streams.stream("augment", epoch, &draw.id(&self.set))))
            }
        }
    }

    fn batch(&self, draws: &[PatchDraw], change: impl Fn(&PatchDraw) -> Transform + Sync) -> PixelBatch {
        self.made(draws, &draws.par_iter().map(&change).collect::<Vec<_>>())
    }

    /// Patches after these transforms.
    fn made(&self, draws: &[PatchDraw], changes: &[Transform]) -> PixelBatch {
        let info = &self.set.info;
        let (size, classes, side) = (info.size as usize, info.classes.len(), self.side());
        let sides = [size + 2 * info.margin as usize, side, size];
        let tables = self.normal.tables();
        let mut pixels = vec![0.0; draws.len() * side * side * 3];
        let mut labels = vec![Label::Unknown; draws.len() * classes];
        let places = pixels.par_chunks_exact_mut(side * side * 3).zip(labels.par_chunks_exact_mut(classes));
        draws.par_iter().zip(changes).zip(places).for_each(|((draw, change), (pixels, labels))| {
            let row = draw.row(&self.set);
            // A part with rows has a shard: `open` ensures it.
            let Some(shard) = &self.shards[draw.part as usize] else { return };
            change.make_around(shard.pixels(row.index), sides, &tables, pixels);
            if !change.keeps_the_values() {
                self.normal.apply(pixels);
            }
            self.relabel(row, shard, change, labels);
        });
        let joined = self.joined.iter().map(|embeddings| embeddings.of(draws)).collect();
        PixelBatch { count: draws.len(), size: side, pixels, joined, targets: Targets::of(&labels) }
    }

    fn views(&self, draws: &[PatchDraw], stored: Stored, change: impl Fn(&PatchDraw) -> Transform + Sync) -> Fed {
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
        Fed::Stored(Views { stored, bytes, changes, normal: self.normal }, Targets::of(&labels))
    }

    /// Sets the labels of a patch after a transform.
    fn relabel(&self, row: &PatchRow, shard: &Shard, change: &Transform, labels: &mut [Label]) {
        for (class, (label, was)) in labels.iter_mut().zip(&row.labels).enumerate() {
            let mask = shard.mask(row.index, class).filter(|_| !row.is_placeless(class));
            *label = label_after(change, *was, mask, &self.set.info);
        }
    }
}

/// Label of one class after a transform: recomputed from the stored mask if pixels left or entered the patch, unchanged otherwise, if
/// it is unknown, and if no mask is stored.
#[must_use]
pub fn label_after(change: &Transform, was: Label, mask: Option<&[u8]>, info: &SetInfo) -> Label {
    match mask.filter(|_| was != Label::Unknown && !change.motion.keeps_the_grid()) {
        None => was,
        Some(mask) => info.label_of(change.mask_pixels(mask, [info.side(), info.size as usize], |_, _| true)),
    }
}

/// Margin of the patches of a set that a network needs, px.
///
/// # Errors
/// [`StageError::Input`] if theirs is smaller.
pub fn margin_of(network: &NetworkSpec, set: &SetInfo) -> Result<usize, StageError> {
    let needed = network.margin(set.size as usize);
    if (set.margin as usize) < needed {
        let text = format!(
            "input `wide` of network `{}` needs patches of {} px with a margin of {needed} px, but theirs is {} px",
            network.name, set.size, set.margin
        );
        let hint = format!("extract them with `margin {needed}`");
        return Err(StageError::input("missing-input", text).hint(hint).field("data"));
    }
    Ok(needed)
}

/// Prefetches: makes `count` values on another thread and takes them in order, each while the next one is being made. At most three exist
/// at a time: one in use, one waiting, one being made. Stops early if `take` fails.
///
/// # Errors
/// Errors of `take`.
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
                // The receiver is gone if `take` failed.
                if sender.send(make(at)).is_err() {
                    break;
                }
            }
        });
        if begun.is_err() {
            // The system allows no more threads: make the values on this one.
            return (0..count).try_for_each(|at| take(at, make(at)));
        }
        receiver.into_iter().enumerate().try_for_each(|(at, made)| take(at, made))
    })
}
