//! Patch sets: labels in Parquet and pixels in safetensors, one part and one shard per photograph.
//!
//! The tree of a set: `set.json` ([`SetInfo`]), `parts/PHOTOGRAPH.parquet` (one row per patch) and
//! `shards/PHOTOGRAPH.safetensors` (`pixels` u8, N x S x S x 3 with S = size + 2 margin; `masks` u8, N x C x ceil(S*S/8) bits,
//! most significant first, if masks are kept). A derived set (filter, split, rebalance) has new parts and refers to the shards of its
//! source, so pixels are not copied; its rows hold their row number in the shard. After `join`, `embeddings/NAME.json` and
//! `embeddings/NAME/PHOTOGRAPH.safetensors` hold what the patches know of their photographs (see [`super::embeddings`]).
//!
//! In Python: `pandas.read_parquet("parts")` reads all rows (a label is 1, 0, or null if it is unknown; the histogram is a
//! list of 256), and `safetensors.numpy.load_file("shards/NAME.safetensors")["pixels"][index]` is the patch of a row.

mod cells;
mod part;
mod shard;

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use cells::{grid_of, patches_in};
pub use shard::{Shard, ShardBytes, mask_bytes, shard_head};

use super::embeddings::JoinedEmbeddings;
use super::photographs::{LabelScheme, Official};
use crate::base::Digest;
use crate::stage::StageError;
use crate::store::{Entry, Objects, Tree};

/// `set.json` of a patch set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetInfo {
    /// Lesion classes in label order.
    pub classes: Vec<String>,
    /// Side of a patch, px.
    pub size: u32,
    /// Context around each patch in the shard, px on each side.
    pub margin: u32,
    /// Whether the shards hold masks.
    pub masks: bool,
    /// Side of one pixel in native pixels.
    pub scale: u32,
    /// Whether rows were resampled, so that prevalence is no longer natural and the set must not be evaluated on.
    pub resampled: bool,
    /// Label rule: minimum number of native mask pixels.
    pub min_pixels: u32,
    /// Label rule: minimum fraction of the patch's area.
    #[serde(rename = "min_share")]
    pub min_fraction: f64,
    /// How the classes relate.
    #[serde(default, skip_serializing_if = "LabelScheme::is_multi_label")]
    pub labels: LabelScheme,
}

impl SetInfo {
    /// Writes `set.json`.
    ///
    /// # Errors
    /// Store errors.
    pub fn write(&self, objects: &Objects) -> Result<Entry, StageError> {
        let text = serde_json::to_vec(self).map_err(|error| StageError::Bug(error.to_string()))?;
        Ok(objects.put(&text)?)
    }

    /// The description in `tree`, if it is a patch set.
    ///
    /// # Errors
    /// Store errors.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Option<Self>, StageError> {
        let bytes = objects.read_in(tree, "set.json")?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Side of a patch in the shard, margins included, px.
    #[must_use]
    pub fn side(&self) -> usize {
        (self.size + 2 * self.margin) as usize
    }

    /// Label of a patch with this many mask pixels, by the rule of the set.
    #[must_use]
    pub fn label_of(&self, pixels: usize) -> Label {
        let size = self.size as usize;
        // The rule counts native pixels; in a reduced set each mask pixel stands for scale x scale of them.
        let native = pixels as u64 * u64::from(self.scale) * u64::from(self.scale);
        let share = pixels as f64 / (size * size) as f64;
        if pixels > 0 && native >= u64::from(self.min_pixels) && share >= self.min_fraction {
            Label::Present
        } else {
            Label::Absent
        }
    }
}

/// Label of one lesion class in one patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// Annotated and absent.
    Absent,
    /// Present.
    Present,
    /// Not annotated.
    Unknown,
}

/// Health of a patch over all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All classes known and absent.
    Healthy,
    /// At least one class present.
    Lesion,
    /// No class known to be present, and some unknown.
    Undetermined,
}

/// One patch.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchRow {
    /// Left edge in the photograph, px (margin not counted).
    pub x: u32,
    /// Top edge in the photograph, px.
    pub y: u32,
    /// Its row in the shard.
    pub index: u32,
    /// Number of copies in a resampled set; 1 elsewhere.
    pub copies: u32,
    /// Label of each class.
    pub labels: Vec<Label>,
    /// Native mask pixels per class; 0 if unknown.
    pub mask_pixels: Vec<u32>,
    /// Distance from the patch's centre to the nearest mask pixel per class, px; NaN if there is none.
    pub mask_distance: Vec<f32>,
    /// Mean of R, G and B over the patch, 0..255.
    pub mean: [f32; 3],
    /// Standard deviation of R, G and B over the patch.
    pub deviation: [f32; 3],
    /// Number of pixels with floor((R+G+B)/3) = 0, 1, … 255.
    pub histogram: Arc<[u32; 256]>,
}

impl PatchRow {
    /// Whether the lesion of a class is known to be in the photograph, but not where: it is present, and no mask shows it.
    #[must_use]
    pub fn is_placeless(&self, class: usize) -> bool {
        self.labels[class] == Label::Present && self.mask_pixels.get(class) == Some(&0)
    }

    /// Health of the patch over all classes.
    #[must_use]
    pub fn health(&self) -> Health {
        if self.labels.contains(&Label::Present) {
            Health::Lesion
        } else if self.labels.contains(&Label::Unknown) {
            Health::Undetermined
        } else {
            Health::Healthy
        }
    }
}

/// Patches of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The photograph's name.
    pub photograph: String,
    /// Its digest.
    pub digest: Digest,
    /// Its patient, if known.
    pub patient: Option<String>,
    /// Its set in the data set's official split, if there is one.
    pub official: Option<Official>,
    /// Its shard; [`Part::NO_SHARD`] if read from a set that holds none of its patches.
    pub shard: Entry,
    /// Files of the joined embeddings, by name.
    pub embeddings: BTreeMap<String, Entry>,
    /// The patches.
    pub rows: Vec<PatchRow>,
}

impl Part {
    /// The sample id of a patch, for random streams: the photograph's digest, x, y and the set's patch size.
    #[must_use]
    pub fn sample_id(&self, row: &PatchRow, size: u32) -> [u8; 44] {
        let mut id = [0; 44];
        id[..32].copy_from_slice(self.digest.bytes());
        id[32..36].copy_from_slice(&row.x.to_le_bytes());
        id[36..40].copy_from_slice(&row.y.to_le_bytes());
        id[40..].copy_from_slice(&size.to_le_bytes());
        id
    }
}

/// A patch set in memory, without its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchSet {
    /// Properties of all patches.
    pub info: SetInfo,
    /// Joined embeddings, sorted by name.
    pub embeddings: Vec<JoinedEmbeddings>,
    /// One part per photograph, sorted by name; a part may be empty.
    pub parts: Vec<Part>,
}

impl PatchSet {
    /// Reads the set that `tree` holds.
    ///
    /// # Errors
    /// A store error, or a Parquet part that is not one of macula's (`foreign-table`).
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let info = objects.read_in(tree, "set.json")?.ok_or_else(|| foreign("`set.json` is missing"))?;
        let info: SetInfo = serde_json::from_slice(&info).map_err(|error| foreign(&error.to_string()))?;
        let embeddings = JoinedEmbeddings::read_all(tree, objects)?;
        let parts: Vec<_> = tree.under("parts/").collect();
        let read = |&(file, entry): &(&str, &Entry)| {
            let name = file.strip_suffix(".parquet").ok_or_else(|| foreign(file))?;
            let shard = tree.get(&format!("shards/{name}.safetensors"));
            let mut part = Part::from_parquet(name, &objects.read(entry)?, &info, shard)?;
            for JoinedEmbeddings { name: input, .. } in &embeddings {
                let file = tree.get(&JoinedEmbeddings::photograph_file(input, name));
                part.embeddings.extend(file.map(|entry| (input.clone(), *entry)));
            }
            Ok::<_, StageError>(part)
        };
        let parts = parts.par_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { info, embeddings, parts })
    }

    /// Splits it into patches that stay and patches that are dropped. Both keep every photograph.
    #[must_use]
    pub fn divide(&self, is_dropped: impl Fn(&PatchRow) -> bool) -> (Self, Self) {
        let (mut kept, mut dropped) = (self.clone(), self.clone());
        kept.parts.iter_mut().for_each(|part| part.rows.retain(|row| !is_dropped(row)));
        dropped.parts.iter_mut().for_each(|part| part.rows.retain(|row| is_dropped(row)));
        (kept, dropped)
    }

    /// Writes the parts and refers to their shards; a photograph without rows keeps its empty part and has no shard.
    ///
    /// # Errors
    /// Store errors.
    pub fn write(&self, objects: &Objects) -> Result<Tree, StageError> {
        let write = |part: &Part| part.write(&self.info, objects);
        let parts: Vec<Tree> = self.parts.par_iter().map(write).collect::<Result<_, _>>()?;
        let mut tree = Tree::default();
        tree.insert("set.json", self.info.write(objects)?);
        for joined in &self.embeddings {
            tree.insert(JoinedEmbeddings::file(&joined.name), joined.write(objects)?);
        }
        tree.entries.extend(parts.into_iter().flat_map(|part| part.entries));
        Ok(tree)
    }

    /// The set without anything that says where lesions are: no label is known, and the shards count as without masks.
    #[must_use]
    pub fn unlabelled(mut self) -> Self {
        self.info.masks = false;
        for row in self.parts.iter_mut().flat_map(|part| &mut part.rows) {
            row.labels.fill(Label::Unknown);
            row.mask_pixels.fill(0);
            row.mask_distance.fill(f32::NAN);
        }
        self
    }

    /// Number of patches, copies included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.parts.iter().flat_map(|part| &part.rows).map(|row| u64::from(row.copies)).sum()
    }

    /// Whether it holds no patch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Names of the photographs with patches in a tree of patches or views, or of those in a tree of photographs, without reading any.
pub fn photographs(tree: &Tree) -> impl Iterator<Item = &str> {
    let whole = |file: &str| file.rsplit_once('/').is_some_and(|(_, file)| file.starts_with("photograph."));
    // A part without rows has no shard.
    let of_patches = tree.under("shards/").filter_map(|(file, _)| file.strip_suffix(".safetensors"));
    let of_photographs = tree.entries.keys().filter(move |file| whole(file)).filter_map(|file| file.rsplit_once('/'));
    of_patches.chain(of_photographs.map(|(name, _)| name))
}

fn foreign(reason: &str) -> StageError {
    StageError::input("foreign-table", format!("not a patch set written by macula: {reason}"))
}
