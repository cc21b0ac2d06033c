//! Pixels of one photograph's patches, as a safetensors file without metadata.

use safetensors::SafeTensors;

use super::{Part, SetInfo, foreign};
use crate::stage::StageError;
use crate::store::{Blob, Entry, Objects};

/// Pixels of one part, memory-mapped and verified.
#[derive(Debug)]
pub struct Shard {
    blob: Blob,
    pixels: usize,
    masks: Option<usize>,
    rows: usize,
    classes: usize,
    side: usize,
}

impl Shard {
    /// Opens the shard of `part` and verifies it once.
    ///
    /// # Errors
    /// As [`Objects::read`]; `foreign-table` if its shapes do not match `info`.
    pub fn open(part: &Part, info: &SetInfo, objects: &Objects) -> Result<Self, StageError> {
        let (side, classes) = (info.side(), info.classes.len());
        if part.rows.is_empty() {
            return Ok(Self { blob: Blob::Owned(Vec::new()), pixels: 0, masks: None, rows: 0, classes, side });
        }
        let blob = objects.read(&part.shard)?;
        let wrong = || foreign(&format!("the shard of `{}` does not match `set.json`", part.photograph));
        let tensors = SafeTensors::deserialize(&blob).map_err(|_| wrong())?;
        let place = |name: &str, shape: &[usize]| {
            let tensor = tensors.tensor(name).ok().filter(|tensor| tensor.shape().get(1..) == Some(shape));
            let tensor = tensor.filter(|tensor| tensor.dtype() == safetensors::Dtype::U8).ok_or_else(wrong)?;
            Ok::<_, StageError>((tensor.data().as_ptr().addr() - blob.as_ptr().addr(), tensor.shape()[0]))
        };
        let (pixels, rows) = place("pixels", &[side, side, 3])?;
        let masks = if info.masks { Some(place("masks", &[classes, mask_bytes(side)])?) } else { None };
        let last = part.rows.iter().map(|row| row.index as usize).max().unwrap_or(0);
        if last >= rows || masks.is_some_and(|(_, masks)| masks != rows) {
            return Err(wrong());
        }
        let masks = masks.map(|(place, _)| place);
        Ok(Self { blob, pixels, masks, rows, classes, side })
    }

    /// Opens only the pixels of a shard, of patches of `side` px with their margins.
    ///
    /// # Errors
    /// As [`Shard::open`].
    pub fn open_pixels(entry: &Entry, photograph: &str, side: usize, objects: &Objects) -> Result<Self, StageError> {
        let blob = objects.read(entry)?;
        let wrong = || foreign(&format!("the shard of `{photograph}` has no patches of {side} px"));
        let tensors = SafeTensors::deserialize(&blob).map_err(|_| wrong())?;
        let tensor = tensors.tensor("pixels").map_err(|_| wrong())?;
        if tensor.shape().get(1..) != Some(&[side, side, 3]) || tensor.dtype() != safetensors::Dtype::U8 {
            return Err(wrong());
        }
        let (pixels, rows) = (tensor.data().as_ptr().addr() - blob.as_ptr().addr(), tensor.shape()[0]);
        Ok(Self { blob, pixels, masks: None, rows, classes: 0, side })
    }

    /// Side of a patch, margins included, px.
    #[must_use]
    pub const fn side(&self) -> usize {
        self.side
    }

    /// Number of patches in the shard; a derived set may use fewer.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Pixels of shard row `index`: u8, S x S x 3, margin included.
    #[must_use]
    pub fn pixels(&self, index: u32) -> &[u8] {
        let size = self.side * self.side * 3;
        &self.blob[self.pixels + index as usize * size..][..size]
    }

    /// Mask bits of shard row `index` for class `class`: S x S bits, most significant first; [`None`] if masks are not kept.
    #[must_use]
    pub fn mask(&self, index: u32, class: usize) -> Option<&[u8]> {
        let size = mask_bytes(self.side);
        Some(&self.blob[self.masks? + (index as usize * self.classes + class) * size..][..size])
    }
}

/// Header of the shard file of `rows` patches, followed by all pixels, N x S x S x 3, and, if masks are kept, all mask bits,
/// N x C x ceil(S*S/8).
#[must_use]
pub fn shard_head(rows: usize, info: &SetInfo) -> Vec<u8> {
    let (side, classes) = (info.side(), info.classes.len());
    let tensor = |name: &str, shape: &[usize], start: usize, end: usize| {
        format!(r#""{name}":{{"dtype":"U8","shape":{shape:?},"data_offsets":[{start},{end}]}}"#).replace(' ', "")
    };
    let pixels = rows * side * side * 3;
    let mut head = tensor("pixels", &[rows, side, side, 3], 0, pixels);
    if info.masks {
        let end = pixels + rows * classes * mask_bytes(side);
        head = format!("{head},{}", tensor("masks", &[rows, classes, mask_bytes(side)], pixels, end));
    }
    let mut head = format!("{{{head}}}").into_bytes();
    head.resize(head.len().next_multiple_of(8), b' ');
    [(head.len() as u64).to_le_bytes().as_slice(), &head].concat()
}

/// Bytes of a small shard built in memory, with pixels and masks filled in place.
#[derive(Debug)]
pub struct ShardBytes {
    bytes: Vec<u8>,
    pixels: usize,
    masks: usize,
}

impl ShardBytes {
    /// A shard of `rows` patches, all black, no mask pixel set.
    #[must_use]
    pub fn new(rows: usize, info: &SetInfo) -> Self {
        let mut bytes = shard_head(rows, info);
        let pixels = bytes.len();
        let masks = pixels + rows * info.side() * info.side() * 3;
        let kept = if info.masks { rows * info.classes.len() * mask_bytes(info.side()) } else { 0 };
        bytes.resize(masks + kept, 0);
        Self { bytes, pixels, masks }
    }

    /// Pixels, N x S x S x 3, and mask bits, N x C x ceil(S*S/8) (empty if masks are not kept).
    pub fn parts(&mut self) -> (&mut [u8], &mut [u8]) {
        let (before, masks) = self.bytes.split_at_mut(self.masks);
        (&mut before[self.pixels..], masks)
    }

    /// The finished file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Number of bytes of one patch's mask of one class; `side` includes the margins.
#[must_use]
pub const fn mask_bytes(side: usize) -> usize {
    (side * side).div_ceil(8)
}
