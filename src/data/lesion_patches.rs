//! Positions of patches around lesions, and of healthy patches away from them. Knows no stage.
//!
//! Every draw is a function of the seed, the photograph's digest, and the class and centre of a lesion (or the number of a healthy patch):
//! no other photograph changes it, nor a lesion elsewhere in the photograph.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bitmap::Rect;
use super::change::is_light;
use super::decode::Photograph;
use super::item::Annotation;
use super::lesions::LesionCentre;
use crate::base::{Digest, Streams};

/// How patches are placed around lesions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LesionPlacement {
    /// Patches per centre.
    pub per_lesion: usize,
    /// Largest distance between the centres of a patch and of its lesion along each side, as a fraction of the patch's side.
    pub jitter: f64,
    /// Lesions nearer than this fraction of the patch's side to the first lesion of a centre share that centre.
    pub merge: f64,
    /// Healthy patches per lesion patch of the photograph.
    pub healthy_per_lesion_patch: f64,
    /// Healthy patches of each photograph on top of that.
    pub healthy_per_photograph: usize,
    /// Distance that healthy patches keep from lesion pixels along each axis, px.
    pub keep_out: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// A photograph to place patches in.
#[derive(Clone, Copy)]
pub struct AnnotatedPhotograph<'a> {
    /// Its pixels.
    pub photograph: &'a Photograph,
    /// Digest of its file.
    pub digest: Digest,
    /// Lesion classes in label order.
    pub classes: &'a [String],
    /// Annotation of each class.
    pub masks: &'a [Annotation],
    /// Its lesions.
    pub lesions: &'a [LesionCentre],
}

/// Positions of patches in one photograph, and their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacedPatches {
    /// Top left corners (x, y), each once, by row and then by column.
    pub corners: Vec<(usize, usize)>,
    /// Numbers of patches requested and found.
    pub counts: PlacementCounts,
}

/// Counts of a placement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementCounts {
    /// Lesions.
    pub lesions: u64,
    /// Centres after merging.
    pub centres: u64,
    /// Patches around them.
    pub around: u64,
    /// Healthy patches requested.
    pub healthy_wanted: u64,
    /// Healthy patches found.
    pub healthy: u64,
}

impl PlacementCounts {
    /// Adds those of another photograph.
    pub fn add(&mut self, other: &Self) {
        self.lesions += other.lesions;
        self.centres += other.centres;
        self.around += other.around;
        self.healthy_wanted += other.healthy_wanted;
        self.healthy += other.healthy;
    }
}

/// Several lesions with one centre.
struct LesionGroup {
    first: LesionCentre,
    sum: [f64; 2],
    count: f64,
}

/// Most draws for a position that is not taken, or that is healthy.
const ATTEMPTS: usize = 200;

impl LesionPlacement {
    /// Places patches of `size` px in a photograph; none if it is smaller than a patch. Patches are moved to lie within the photograph,
    /// so labels must be read from where they are then.
    #[must_use]
    pub fn place(&self, size: usize, of: &AnnotatedPhotograph<'_>) -> PlacedPatches {
        let mut placed = PlacedPatches::default();
        let (width, height) = (of.photograph.width, of.photograph.height);
        let (Some(right), Some(bottom)) = (width.checked_sub(size), height.checked_sub(size)) else { return placed };
        let streams = Streams::new(self.seed, "extract");
        let mut taken = BTreeSet::new();
        let groups = self.groups(size, of.lesions);
        let within = |at: f64, last: usize| (at.round().max(0.0) as usize).min(last);
        for group in &groups {
            let class = of.classes.get(group.first.class).map_or("", String::as_str);
            let [x, y] = group.first.at.map(|at| at.to_bits().to_le_bytes());
            let id = [of.digest.bytes().as_slice(), &x, &y, class.as_bytes()].concat();
            let [x, y] = group.sum.map(|sum| sum / group.count - size as f64 / 2.0);
            for copy in 0..self.per_lesion {
                let mut stream = streams.stream("lesion patch", copy as u64, &id);
                let mut shift = || stream.between(-self.jitter, self.jitter) * size as f64;
                let mut drawn = (0..ATTEMPTS).map(|_| {
                    let [across, down] = [shift(), shift()];
                    (within(y + down, bottom), within(x + across, right))
                });
                // Without jitter, or in a corner of the photograph, a centre may have no further position.
                placed.counts.around += u64::from(drawn.any(|corner| taken.insert(corner)));
            }
        }
        placed.counts.lesions = of.lesions.len() as u64;
        placed.counts.centres = groups.len() as u64;
        placed.counts.healthy_wanted = self.healthy_wanted(placed.counts.around, of.masks);
        for number in 0..placed.counts.healthy_wanted {
            let mut stream = streams.stream("healthy patch", number, of.digest.bytes());
            let mut drawn = (0..ATTEMPTS).map(|_| {
                let x = stream.below(right as u64 + 1) as usize;
                (stream.below(bottom as u64 + 1) as usize, x)
            });
            let free = drawn.any(|corner| self.is_healthy(corner, size, of) && taken.insert(corner));
            placed.counts.healthy += u64::from(free);
        }
        placed.corners = taken.into_iter().map(|(y, x)| (x, y)).collect();
        placed
    }

    /// Number of healthy patches of a photograph with so many lesion patches; 0 if none of its classes is annotated, because its patches
    /// would have no known label.
    fn healthy_wanted(&self, lesion_patches: u64, masks: &[Annotation]) -> u64 {
        if masks.iter().all(|mask| matches!(mask, Annotation::Present | Annotation::Unknown)) {
            return 0;
        }
        (self.healthy_per_lesion_patch * lesion_patches as f64).round() as u64 + self.healthy_per_photograph as u64
    }

    /// Whether the centre of a patch is in the field of view, and no annotated class has a lesion pixel in it or within `keep_out` of it.
    fn is_healthy(&self, (y, x): (usize, usize), size: usize, of: &AnnotatedPhotograph<'_>) -> bool {
        let far = self.keep_out;
        let rect = Rect {
            left: x.saturating_sub(far),
            top: y.saturating_sub(far),
            right: x + size + far,
            bottom: y + size + far,
        };
        is_light(of.photograph.row(y + size / 2).as_chunks::<3>().0[x + size / 2])
            && of.masks.iter().filter_map(Annotation::mask).all(|mask| mask.bits().count_in(rect) == 0)
    }

    /// Lesions by their shared centres: each joins the first group whose first lesion is near enough.
    fn groups(&self, size: usize, lesions: &[LesionCentre]) -> Vec<LesionGroup> {
        let mut groups: Vec<LesionGroup> = Vec::new();
        let far = (self.merge * size as f64).powi(2);
        for lesion in lesions {
            let [x, y] = lesion.at;
            let distance = |[to_x, to_y]: [f64; 2]| (to_x - x).powi(2) + (to_y - y).powi(2);
            if let Some(group) = groups.iter_mut().find(|group| distance(group.first.at) < far) {
                group.sum = [group.sum[0] + x, group.sum[1] + y];
                group.count += 1.0;
            } else {
                groups.push(LesionGroup { first: *lesion, sum: lesion.at, count: 1.0 });
            }
        }
        groups
    }
}
