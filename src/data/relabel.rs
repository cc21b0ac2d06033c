//! Labels by another rule, from the mask pixels that each patch has on record. Needs no photograph and no pixel.

use super::patches::{Label, PatchSet, PatchRow, SetInfo};

/// When a patch carries a lesion's label, and what it is where it holds less of the lesion than that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelRule {
    /// Fewest mask pixels, as released.
    pub min_pixels: u32,
    /// Least share of the patch's area.
    pub min_fraction: f64,
    /// What less than that is.
    pub less: BelowRule,
}

/// What a patch is with some of a lesion, but less than the rule wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BelowRule {
    /// Not there.
    Absent,
    /// Not known: losses and figures leave it out.
    Unknown,
    /// Left out as a whole.
    Drop,
}

/// The set with its labels by `rule`, and how many labels of each class became something else. What was not annotated stays
/// unknown.
#[must_use]
pub fn relabel(set: &PatchSet, rule: &LabelRule) -> (PatchSet, Vec<u64>) {
    let mut made = set.clone();
    let mut changed = vec![0; set.info.classes.len()];
    let side = f64::from(set.info.size) * f64::from(set.info.scale);
    for part in &mut made.parts {
        part.rows.retain_mut(|row| {
            let small = apply(row, rule, side * side, &mut changed);
            !(small && rule.less == BelowRule::Drop)
        });
    }
    made.info = SetInfo { min_pixels: rule.min_pixels, min_fraction: rule.min_fraction, ..made.info };
    (made, changed)
}

/// Relabels one patch; whether it has less of a lesion than the rule wants. `area` is the patch's, in pixels as released.
fn apply(row: &mut PatchRow, rule: &LabelRule, area: f64, changed: &mut [u64]) -> bool {
    let mut small = false;
    for (class, label) in row.labels.iter_mut().enumerate() {
        let pixels = row.mask_pixels[class];
        if *label == Label::Unknown || pixels == 0 {
            continue;
        }
        let enough = pixels >= rule.min_pixels && f64::from(pixels) >= rule.min_fraction * area;
        small |= !enough;
        let new = match rule.less {
            _ if enough => Label::Present,
            BelowRule::Unknown => Label::Unknown,
            BelowRule::Absent | BelowRule::Drop => Label::Absent,
        };
        if new != *label {
            changed[class] += u64::from(row.copies);
            *label = new;
        }
    }
    small
}
