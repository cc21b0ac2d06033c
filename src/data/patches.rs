//! Patch sets: rows of labels in Parquet, pixels in safetensors, for each photograph one part and one shard.
//!
//! The tree of a set: `set.json` ([`SetInfo`]), `parts/PHOTOGRAPH.parquet` (one row per patch) and
//! `shards/PHOTOGRAPH.safetensors` (`pixels` u8, N x S x S x 3 with S = size + 2 margin; `masks` u8, N x C x ceil(S*S/8) bits,
//! most significant first, where masks are kept). A derived set (filter, split, rebalance) has new parts and names the shards
//! of its source, so that nothing is copied; its rows say which row of the shard they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::photographs::Official;
use crate::base::Digest;
use crate::stage::StageError;
use crate::store::{Entry, Objects, Tree};

/// `set.json` of a patch set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetInfo {
    /// Lesion classes in the order of the labels.
    pub classes: Vec<String>,
    /// Side of a patch, px.
    pub size: u32,
    /// Context kept around each patch in the shard, px on each side.
    pub margin: u32,
    /// Whether the shards hold masks.
    pub masks: bool,
    /// Side of one pixel in native pixels of the release.
    pub scale: u32,
    /// Whether rows were drawn, so that prevalence is no longer natural (then it can't be evaluated on).
    pub resampled: bool,
    /// The label rule: fewest mask pixels, as released.
    pub min_pixels: u32,
    /// The label rule: least share of the patch's area.
    pub min_share: f64,
}

/// What is known of one lesion in one patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// Annotated and not there.
    Absent,
    /// There.
    Present,
    /// Not annotated.
    Unknown,
}

/// What a patch is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All classes known and absent.
    Healthy,
    /// At least one class present.
    Lesion,
    /// Neither can be said.
    Undetermined,
}

/// One patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Left edge in the photograph, px (margin not counted).
    pub x: u32,
    /// Top edge in the photograph, px.
    pub y: u32,
    /// Its row in the shard.
    pub index: u32,
    /// How often it stands in a resampled set; 1 elsewhere.
    pub copies: u32,
    /// One label per class.
    pub labels: Vec<Label>,
    /// Mask pixels per class in native pixels; 0 where unknown.
    pub mask_pixels: Vec<u32>,
    /// For each class: distance from the patch's centre to the nearest mask pixel, px; NaN where there is none.
    pub mask_distance: Vec<f32>,
    /// Mean of R, G and B over the patch, 0..255.
    pub mean: [f32; 3],
    /// Standard deviation of R, G and B over the patch.
    pub deviation: [f32; 3],
    /// How many pixels have round-down((R+G+B)/3) = 0, 1, … 255.
    pub histogram: Arc<[u32; 256]>,
}

impl Row {
    /// What the patch is as a whole.
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

/// The patches of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The photograph's name.
    pub photograph: String,
    /// Its digest.
    pub digest: Digest,
    /// Its patient, where known.
    pub patient: Option<String>,
    /// Its side of the data set's own split, where there is one.
    pub official: Option<Official>,
    /// Where the pixels are.
    pub shard: Entry,
    /// The patches.
    pub rows: Vec<Row>,
}

impl Part {
    /// The sample id of a patch, for random streams: the photograph's digest, x, y and the set's patch size.
    #[must_use]
    pub fn sample_id(&self, row: &Row, size: u32) -> [u8; 44] {
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
    /// What holds for all patches.
    pub info: SetInfo,
    /// One part per photograph, sorted by name; a part may be empty.
    pub parts: Vec<Part>,
}

impl PatchSet {
    /// Reads the set that `tree` holds.
    ///
    /// # Errors
    /// A store error, or a Parquet part that is not one of macula's.
    pub fn read(_tree: &Tree, _objects: &Objects) -> Result<Self, StageError> {
        todo!()
    }

    /// Writes the parts and names the shards they use; a photograph without rows keeps its (empty) part and names no shard.
    ///
    /// # Errors
    /// As the store's.
    pub fn write(&self, _objects: &Objects) -> Result<Tree, StageError> {
        todo!()
    }

    /// How many patches (with copies) it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.parts.iter().flat_map(|part| &part.rows).map(|row| u64::from(row.copies)).sum()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pixels of one part, mapped and verified.
pub struct Shard {
    _todo: (),
}

impl Shard {
    /// Opens the shard of `part`, verifying it once.
    ///
    /// # Errors
    /// As [`Objects::read`].
    pub fn open(_part: &Part, _info: &SetInfo, _objects: &Objects) -> Result<Self, StageError> {
        todo!()
    }

    /// Pixels of shard row `index`: u8, S x S x 3, margin included.
    #[must_use]
    pub fn pixels(&self, _index: u32) -> &[u8] {
        todo!()
    }

    /// Mask bits of shard row `index` for class `class`: S x S bits, most significant first; [`None`] where masks are not kept.
    #[must_use]
    pub fn mask(&self, _index: u32, _class: usize) -> Option<&[u8]> {
        todo!()
    }
}
