//! Positions of patches around lesions, and of healthy patches away from them. Knows no stage.
//!
//! Every draw is a function of the seed, the photograph's digest, and the class and number of a lesion (or the number of a healthy
//! patch), so that neither another photograph nor another lesion changes it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bitmap::Rect;
use super::change::is_light;
use super::decode::Photograph;
use super::item::Annotation;
use super::lesions::PhotographLesions;
use crate::base::{Stream, Streams};

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

/// Positions of patches in one photograph, and how they came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacedPatches {
    /// Top left corners (x, y), each once, by row and then by column.
    pub corners: Vec<(usize, usize)>,
    /// What was asked for and found.
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
    /// Healthy patches asked for.
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
    class: usize,
    number: u32,
    first: [f64; 2],
    sum: [f64; 2],
    count: f64,
}

/// Attempts to draw a position that is not taken, or that is healthy.
const ATTEMPTS: usize = 100;

impl LesionPlacement {
    /// Places patches of `size` px in a photograph; none if it is smaller than a patch. Patches are moved to lie within the photograph,
    /// and labels must be read from where they are then.
    #[must_use]
    pub fn place(
        &self,
        size: usize,
        photograph: &Photograph,
        found: &PhotographLesions,
        masks: &[Annotation],
    ) -> PlacedPatches {
        let mut placed = PlacedPatches::default();
        let (Some(right), Some(bottom)) = (photograph.width.checked_sub(size), photograph.height.checked_sub(size)) else {
            return placed;
        };
        let streams = Streams::new(self.seed, "extract");
        let mut taken = BTreeSet::new();
        let groups = self.groups(size, found);
        let within = |at: f64, last: usize| (at.round().max(0.0) as usize).min(last);
        for group in &groups {
            let class = found.classes.get(group.class).map_or("", |(name, _)| name.as_str());
            let id = [found.digest.bytes().as_slice(), &group.number.to_le_bytes(), class.as_bytes()].concat();
            let centre = group.sum.map(|sum| sum / group.count);
            for copy in 0..self.per_lesion {
                let mut stream = streams.stream("lesion patch", copy as u64, &id);
                let half = size as f64 / 2.0;
                let corner = |stream: &mut Stream| {
                    let [x, y] = centre.map(|at| at - half + stream.between(-self.jitter, self.jitter) * size as f64);
                    (within(y, bottom), within(x, right))
                };
                let free = (0..ATTEMPTS).map(|_| corner(&mut stream)).find(|corner| !taken.contains(corner));
                placed.counts.around += u64::from(free.is_some_and(|corner| taken.insert(corner)));
            }
        }
        placed.counts.lesions = found.lesions.len() as u64;
        placed.counts.centres = groups.len() as u64;
        let per_lesion_patch = (self.healthy_per_lesion_patch * placed.counts.around as f64).round() as u64;
        placed.counts.healthy_wanted = per_lesion_patch + self.healthy_per_photograph as u64;
        for number in 0..placed.counts.healthy_wanted {
            let mut stream = streams.stream("healthy patch", number, found.digest.bytes());
            let corner = |stream: &mut Stream| {
                let x = stream.below(right as u64 + 1) as usize;
                (stream.below(bottom as u64 + 1) as usize, x)
            };
            let is_healthy = |&(y, x): &(usize, usize)| {
                let lit = is_light(photograph.row(y + size / 2).as_chunks::<3>().0[x + size / 2]);
                lit && self.is_clear((x, y), size, masks)
            };
            let mut drawn = (0..ATTEMPTS).map(|_| corner(&mut stream));
            let free = drawn.find(|corner| !taken.contains(corner) && is_healthy(corner));
            placed.counts.healthy += u64::from(free.is_some_and(|corner| taken.insert(corner)));
        }
        placed.corners = taken.into_iter().map(|(y, x)| (x, y)).collect();
        placed
    }

    /// Whether no annotated class has a lesion pixel in the patch or within `keep_out` of it.
    fn is_clear(&self, (x, y): (usize, usize), size: usize, masks: &[Annotation]) -> bool {
        let far = self.keep_out;
        let rect = Rect {
            left: x.saturating_sub(far),
            top: y.saturating_sub(far),
            right: x + size + far,
            bottom: y + size + far,
        };
        masks.iter().filter_map(Annotation::mask).all(|mask| mask.bits().count_in(rect) == 0)
    }

    /// Lesions by their shared centres: each joins the first group whose first lesion is near enough.
    fn groups(&self, size: usize, found: &PhotographLesions) -> Vec<LesionGroup> {
        let mut groups: Vec<LesionGroup> = Vec::new();
        let far = (self.merge * size as f64).powi(2);
        for lesion in &found.lesions {
            let [x, y] = lesion.centre;
            let near = |group: &&mut LesionGroup| (group.first[0] - x).powi(2) + (group.first[1] - y).powi(2) < far;
            if let Some(group) = groups.iter_mut().find(near) {
                group.sum = [group.sum[0] + x, group.sum[1] + y];
                group.count += 1.0;
            } else {
                let (class, number) = (lesion.class, lesion.number);
                groups.push(LesionGroup { class, number, first: lesion.centre, sum: lesion.centre, count: 1.0 });
            }
        }
        groups
    }
}
