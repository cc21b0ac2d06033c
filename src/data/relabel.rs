//! Relabelling by another rule, from the recorded mask pixels of each patch and the extents of lesions. Needs no pixels.

use super::lesion_extent::{LesionExtent, LesionExtents};
use super::patches::{Label, PatchRow, PatchSet, SetInfo};

/// Rule for a positive label, and the labels of patches with less of the lesion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelRule {
    /// Bounds of a positive label.
    pub present: LabelBounds,
    /// Weaker bounds: a patch within them that is not positive is unknown.
    pub unknown: Option<LabelBounds>,
    /// Handling of patches with lesion pixels outside all bounds.
    pub less: BelowRule,
}

/// What a patch must have of a lesion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelBounds {
    /// Minimum number of native mask pixels.
    pub min_pixels: u32,
    /// Minimum fraction of the patch's area.
    pub min_fraction: f64,
    /// Minimum fraction of one lesion inside (see [`LesionExtent::share`]).
    pub min_lesion_share: f64,
    /// Maximum distance of the nearest mask pixel from the patch's centre, px.
    pub max_centre_distance: f64,
    /// Minimum distance of the innermost mask pixel from the patch's rim, px (see [`LesionExtent::rim`]).
    pub min_rim_distance: u32,
}

impl LabelBounds {
    /// Bounds that every patch with a mask pixel is within.
    pub const ANY: Self = Self {
        min_pixels: 1,
        min_fraction: 0.0,
        min_lesion_share: 0.0,
        max_centre_distance: f64::INFINITY,
        min_rim_distance: 0,
    };

    /// Whether they need the extents of lesions.
    #[must_use]
    pub fn need_extents(&self) -> bool {
        self.min_lesion_share > 0.0 || self.min_rim_distance > 0
    }

    /// Whether they depend on where a lesion is, and not only on its pixels in the patch.
    #[must_use]
    pub fn depend_on_place(&self) -> bool {
        self.need_extents() || self.max_centre_distance < f64::INFINITY
    }

    /// The name of the first bound that is stricter than that of `other`.
    #[must_use]
    pub fn stricter_than(&self, other: &Self) -> Option<&'static str> {
        let stricter = [
            ("min-pixels", self.min_pixels > other.min_pixels),
            ("min-share", self.min_fraction > other.min_fraction),
            ("min-lesion-share", self.min_lesion_share > other.min_lesion_share),
            ("max-centre-distance", self.max_centre_distance < other.max_centre_distance),
            ("min-rim-distance", self.min_rim_distance > other.min_rim_distance),
        ];
        stricter.into_iter().find(|(_, stricter)| *stricter).map(|(name, _)| name)
    }

    /// Whether a class of a patch is within them. `area` is the patch's area in native pixels.
    fn hold(&self, row: &PatchRow, class: usize, area: f64, extent: LesionExtent) -> bool {
        let pixels = row.mask_pixels[class];
        pixels >= self.min_pixels
            && f64::from(pixels) >= self.min_fraction * area
            && extent.share >= self.min_lesion_share
            && extent.rim >= self.min_rim_distance
            && (self.max_centre_distance == f64::INFINITY
                || f64::from(row.mask_distance[class]) <= self.max_centre_distance)
    }
}

/// Handling of patches that show some of a lesion, but less than the rule requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BelowRule {
    /// Labelled absent.
    Absent,
    /// Labelled unknown: ignored by losses and metrics.
    Unknown,
    /// Dropped.
    Drop,
}

/// The set relabelled by `rule`, and the number of changed labels per class. Labels that were not annotated stay unknown. `extents` are
/// those of the set, if the rule needs them.
#[must_use]
pub fn relabel(set: &PatchSet, rule: &LabelRule, extents: Option<&LesionExtents>) -> (PatchSet, Vec<u64>) {
    let mut made = set.clone();
    let mut changed = vec![0; set.info.classes.len()];
    let side = f64::from(set.info.size) * f64::from(set.info.scale);
    for (at, part) in made.parts.iter_mut().enumerate() {
        let mut of_rows = extents.map(|extents| extents.0[at].iter());
        part.rows.retain_mut(|row| {
            let extents = of_rows.as_mut().and_then(Iterator::next).map_or(&[][..], Vec::as_slice);
            let small = apply(row, rule, side * side, extents, &mut changed);
            !(small && rule.less == BelowRule::Drop)
        });
    }
    made.info = SetInfo { min_pixels: rule.present.min_pixels, min_fraction: rule.present.min_fraction, ..made.info };
    (made, changed)
}

/// Relabels one patch and returns whether it is outside all bounds for some lesion. `area` is the patch's area in native pixels.
fn apply(row: &mut PatchRow, rule: &LabelRule, area: f64, extents: &[LesionExtent], changed: &mut [u64]) -> bool {
    let mut small = false;
    for (class, changed) in changed.iter_mut().enumerate() {
        let label = row.labels[class];
        if label == Label::Unknown || row.mask_pixels[class] == 0 {
            continue;
        }
        let extent = extents.get(class).copied().unwrap_or_default();
        let hold = |bounds: &LabelBounds| bounds.hold(row, class, area, extent);
        let new = if hold(&rule.present) {
            Label::Present
        } else if rule.unknown.as_ref().is_some_and(hold) {
            Label::Unknown
        } else {
            small = true;
            if rule.less == BelowRule::Unknown { Label::Unknown } else { Label::Absent }
        };
        if new != label {
            *changed += u64::from(row.copies);
            row.labels[class] = new;
        }
    }
    small
}
