//! Patch extraction from one photograph into its part and shard: positions, labels, counts. Knows no stage.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bitmap::{Bitmap, Rect};
use super::black_filter::BlackFilter;
use super::decode::Photograph;
use super::grid::PatchGrid;
use super::image_issues;
use super::item::{Annotation, OpenPhotograph};
use super::lesion_patches::{AnnotatedPhotograph, LesionPlacement, PlacedPatches};
use super::lesions::{self, LesionCentre, PhotographLesions};
use super::mask::Mask;
use super::patch_pixels;
use super::patches::{Health, Label, Part, PatchRow, SetInfo, mask_bytes, shard_head};
use super::pixel_counts::PixelCounts;
use crate::base::Digest;
use crate::stage::StageError;
use crate::store::{Entry, Objects, Tree};

/// Pixel bytes written and hashed at a time, small enough for the processor's cache.
const BATCH_BYTES: usize = 1 << 20;

/// How patches are extracted and labelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtractionSpec {
    /// Size of patches, and their positions unless they are placed around lesions.
    pub grid: PatchGrid,
    /// How patches are placed around lesions; [`None`] for the grid.
    pub around: Option<LesionPlacement>,
    /// Context kept around each patch, px.
    pub margin: usize,
    /// Whether the shard keeps the masks.
    pub masks: bool,
    /// A positive label needs at least this many mask pixels, in native pixels, …
    pub min_pixels: u32,
    /// … and at least this fraction of the patch's area.
    pub min_fraction: f64,
    /// Patches that have a lesion of which only the photograph is known.
    pub image_labels: ImageLabels,
}

/// Patches that a lesion counts as present in if it is known to be somewhere in the photograph, without a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLabels {
    /// Those that cover the photograph; it is unknown in all others.
    Covering,
    /// Every patch.
    Every,
}

/// File of an item with the table of its lesions, if patches are placed around given ones.
pub const LESIONS: &str = "lesions.parquet";

/// File of a result with its [`PlacementCounts`](super::lesion_patches::PlacementCounts), if patches are placed around lesions; not a
/// part of the set.
pub const PLACED: &str = "placed.json";

thread_local! {
    /// Buffer of the last photograph, reused because page faults are a large part of the cost.
    static MEMORY: Cell<Photograph> = Cell::default();
}

/// Extracts the patches of photograph `name`. The result holds its part, its shard and its [`PatchTally`].
///
/// # Errors
/// If a file cannot be read or a mask has the wrong size; store errors.
pub fn cut(name: &str, item: &Tree, rule: &ExtractionSpec, objects: &Objects) -> Result<Tree, StageError> {
    let mut photograph = MEMORY.take();
    let result = cut_into(name, item, rule, objects, &mut photograph);
    MEMORY.set(photograph);
    result
}

fn cut_into(
    name: &str,
    item: &Tree,
    rule: &ExtractionSpec,
    objects: &Objects,
    photograph: &mut Photograph,
) -> Result<Tree, StageError> {
    let opened = OpenPhotograph::new(name, item, objects)?;
    let digest = opened.photograph(photograph)?;
    let masks =
        (0..opened.classes.len()).map(|k| opened.annotation(k, photograph)).collect::<Result<Vec<_>, StageError>>()?;
    let is_cut = opened.is_part() || rule.grid.size < photograph.width.max(photograph.height);
    let masks = if is_cut && rule.image_labels == ImageLabels::Covering {
        masks.into_iter().map(|annotation| annotation.of_part(opened.facts.labels)).collect()
    } else {
        masks
    };
    let scale = opened.facts.scale;
    let info = SetInfo {
        classes: opened.classes.clone(),
        size: rule.grid.size as u32,
        margin: rule.margin as u32,
        masks: rule.masks,
        scale,
        resampled: rule.around.is_some(),
        min_pixels: rule.min_pixels,
        min_fraction: rule.min_fraction,
        labels: opened.facts.labels,
    };
    let placed = match &rule.around {
        Some(around) => {
            let lesions = match objects.read_in(item, LESIONS)? {
                Some(table) => given_lesions(name, &table, &opened.classes, digest, photograph)?,
                None => lesions::centres(&masks),
            };
            let (classes, masks, lesions) = (&opened.classes, &masks, &lesions);
            Some(around.place(rule.grid.size, &AnnotatedPhotograph { photograph, digest, classes, masks, lesions }))
        }
        None => None,
    };
    let places = match &placed {
        Some(placed) => placed.corners.clone(),
        None => rule.grid.places(photograph.width, photograph.height),
    };
    let mut part = Part {
        photograph: name.to_owned(),
        digest,
        patient: opened.facts.patient.clone(),
        official: opened.facts.official,
        shard: Part::NO_SHARD,
        embeddings: BTreeMap::new(),
        rows: Vec::with_capacity(places.len()),
    };
    let mut shard = objects.writer()?;
    shard.add(&shard_head(places.len(), &info))?;
    let patch_bytes = info.side() * info.side() * 3;
    let together = (BATCH_BYTES / patch_bytes).max(1);
    let mut pixels = vec![0; together * patch_bytes];
    for row in places.chunk_by(|one, other| one.1 == other.1) {
        // As few pieces as possible, of about equal length.
        let pieces = row.len().div_ceil(together);
        for places in row.chunks(row.len().div_ceil(pieces)) {
            let pixels = &mut pixels[..places.len() * patch_bytes];
            let mut left = places.iter();
            patch_pixels::strip(photograph, places, rule.grid.size, rule.margin, pixels, |counts| {
                let place = *left.next().expect("one count for each position");
                part.rows.push(row_of(place, part.rows.len(), rule, scale, &masks, counts));
            });
            shard.add(pixels)?;
        }
    }
    if rule.masks {
        for &place in &places {
            for mask in &masks {
                shard.add(&packed_bits(mask.mask(), place, rule))?;
            }
        }
    }
    if !places.is_empty() {
        part.shard = shard.finish()?;
    }
    let mut tree = part.write(&info, objects)?;
    let tally =
        serde_json::to_vec(&PatchTally::of(&part, &info)).map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert("tally.json", objects.put(&tally)?);
    if let Some(PlacedPatches { counts, .. }) = placed {
        let counts = serde_json::to_vec(&counts).map_err(|error| StageError::Bug(error.to_string()))?;
        tree.insert(PLACED, objects.put(&counts)?);
    }
    image_issues::write(&opened.issues(), &mut tree, objects)?;
    Ok(tree)
}

/// Centres of the lesions in a table, after checking that they are those of this photograph.
fn given_lesions(
    name: &str,
    table: &[u8],
    classes: &[String],
    digest: Digest,
    photograph: &Photograph,
) -> Result<Vec<LesionCentre>, StageError> {
    let found = PhotographLesions::from_parquet(name, table)?;
    let size = [photograph.width as u32, photograph.height as u32];
    let same_classes = found.classes.iter().map(|(class, _)| class).eq(classes);
    if found.digest != digest || found.size != size || !same_classes {
        let text = format!("the lesions of `{name}` are those of another photograph than the one at `from`");
        let hint = "find lesions in the photographs that are cut: after the same `preprocess`";
        return Err(StageError::input("other-lesions", text).hint(hint).field("lesions"));
    }
    Ok(found.centres())
}

fn row_of(
    place: (usize, usize),
    index: usize,
    rule: &ExtractionSpec,
    scale: u32,
    masks: &[Annotation],
    counts: &PixelCounts,
) -> PatchRow {
    let size = rule.grid.size;
    let rect = Rect { left: place.0, top: place.1, right: place.0 + size, bottom: place.1 + size };
    let area = f64::from(scale).powi(2) * (size * size) as f64;
    let mask_pixels: Vec<u32> = masks.iter().map(|mask| mask.mask().map_or(0, |mask| mask.native_in(rect))).collect();
    let label = |(mask, &pixels): (&Annotation, &u32)| match mask {
        Annotation::Present => Label::Present,
        Annotation::Unknown => Label::Unknown,
        _ if pixels >= rule.min_pixels && f64::from(pixels) >= rule.min_fraction * area => Label::Present,
        _ => Label::Absent,
    };
    PatchRow {
        x: place.0 as u32,
        y: place.1 as u32,
        index: index as u32,
        copies: 1,
        labels: masks.iter().zip(&mask_pixels).map(label).collect(),
        mask_distance: masks
            .iter()
            .zip(&mask_pixels)
            .map(|(mask, &pixels)| {
                mask.mask().filter(|_| pixels > 0).map_or(f32::NAN, |m| nearest(m.bits(), rect, size))
            })
            .collect(),
        mask_pixels,
        mean: counts.mean(),
        deviation: counts.deviation(),
        histogram: Arc::new(counts.histogram()),
    }
}

/// Distance from the centre of a patch to the centre of its nearest mask pixel, px; NaN if it has none.
fn nearest(bits: &Bitmap, rect: Rect, size: usize) -> f32 {
    // Twice the distance, so that half pixels are integers.
    let twice = |(x, y): (usize, usize)| {
        let along = |at: usize, start: usize| (2 * (at - start) + 1).abs_diff(size) as u64;
        along(x, rect.left).pow(2) + along(y, rect.top).pow(2)
    };
    bits.pixels_in(rect).map(twice).min().map_or(f32::NAN, |least| ((least as f64).sqrt() / 2.0) as f32)
}

/// The bits of a patch with its margin, packed row after row, most significant first; all 0 without a mask.
fn packed_bits(mask: Option<&Mask>, (x, y): (usize, usize), rule: &ExtractionSpec) -> Vec<u8> {
    let (side, margin) = (rule.grid.size + 2 * rule.margin, rule.margin);
    let mut packed = vec![0; mask_bytes(side)];
    if let Some(mask) = mask {
        let rect = Rect {
            left: x.saturating_sub(margin),
            top: y.saturating_sub(margin),
            right: x + rule.grid.size + margin,
            bottom: y + rule.grid.size + margin,
        };
        for (px, py) in mask.bits().pixels_in(rect) {
            let at = (py + margin - y) * side + px + margin - x;
            packed[at / 8] |= 0x80 >> (at % 8);
        }
    }
    packed
}

/// Patch counts of one photograph or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchTally {
    /// Side of one pixel in native pixels.
    pub scale: u32,
    /// Healthy, lesion and undetermined patches, and the number of each that are black by `filter-black`'s default.
    pub health: [[u64; 2]; 3],
    /// Counts per class.
    pub classes: Vec<ClassTally>,
}

/// Counts of one lesion class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTally {
    /// Positive patches, and the number of them that are black.
    pub present: [u64; 2],
    /// Patches whose label is unknown.
    pub unknown: u64,
    /// Photographs with a positive patch.
    pub photographs: u64,
    /// Native mask pixels in patches (counted twice where patches overlap).
    pub mask_pixels: u64,
}

impl PatchTally {
    /// An empty tally.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { scale: 1, health: [[0; 2]; 3], classes: vec![ClassTally::default(); classes] }
    }

    /// Counts the patches of a part.
    #[must_use]
    pub fn of(part: &Part, info: &SetInfo) -> Self {
        let mut tally = Self { scale: info.scale, ..Self::new(info.classes.len()) };
        for row in &part.rows {
            let black = u64::from(BlackFilter::DEFAULT.is(row));
            let health = match row.health() {
                Health::Healthy => 0,
                Health::Lesion => 1,
                Health::Undetermined => 2,
            };
            tally.health[health][0] += 1;
            tally.health[health][1] += black;
            for ((class, label), pixels) in tally.classes.iter_mut().zip(&row.labels).zip(&row.mask_pixels) {
                class.mask_pixels += u64::from(*pixels);
                match label {
                    Label::Present => {
                        class.present[0] += 1;
                        class.present[1] += black;
                    }
                    Label::Unknown => class.unknown += 1,
                    Label::Absent => {}
                }
            }
        }
        for class in &mut tally.classes {
            class.photographs = u64::from(class.present[0] > 0);
        }
        tally
    }

    /// Adds the counts of another photograph.
    pub fn add(&mut self, other: &Self) {
        self.scale = other.scale;
        for (mine, other) in self.health.as_flattened_mut().iter_mut().zip(other.health.as_flattened()) {
            *mine += other;
        }
        for (mine, other) in self.classes.iter_mut().zip(&other.classes) {
            mine.present[0] += other.present[0];
            mine.present[1] += other.present[1];
            mine.unknown += other.unknown;
            mine.photographs += other.photographs;
            mine.mask_pixels += other.mask_pixels;
        }
    }
}

/// Tallies of results of [`cut()`], each distinct one read once: photographs without lesions often share one.
pub struct Tallies(BTreeMap<Entry, PatchTally>);

impl Tallies {
    /// Reads the tallies of many results.
    ///
    /// # Errors
    /// Store errors.
    pub fn read<'a>(results: impl Iterator<Item = &'a Tree>, objects: &Objects) -> Result<Self, StageError> {
        let entries: BTreeSet<Entry> = results.map(entry).collect::<Result<_, _>>()?;
        let entries: Vec<Entry> = entries.into_iter().collect();
        let read = |entry: &Entry| {
            let tally = serde_json::from_slice(&objects.read(entry)?);
            Ok((*entry, tally.map_err(|error| StageError::Bug(error.to_string()))?))
        };
        let tallies: Vec<Result<(Entry, PatchTally), StageError>> = entries.par_iter().map(read).collect();
        Ok(Self(tallies.into_iter().collect::<Result<_, _>>()?))
    }

    /// The tally of one of these results.
    ///
    /// # Errors
    /// [`StageError::Bug`] if the result was not among them.
    pub fn of(&self, result: &Tree) -> Result<&PatchTally, StageError> {
        self.0.get(&entry(result)?).ok_or_else(|| StageError::Bug("a tally that was not read".to_owned()))
    }
}

fn entry(result: &Tree) -> Result<Entry, StageError> {
    result.get("tally.json").copied().ok_or_else(|| StageError::Bug("a result of `extract` without a tally".to_owned()))
}
