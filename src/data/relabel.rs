//! Relabelling by another rule, from the recorded mask pixels of each patch. Needs neither photographs nor pixels.

use super::patches::{Label, PatchRow, PatchSet, SetInfo};

/// Rule for a positive label, and the label of patches with less of the lesion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelRule {
    /// Minimum number of native mask pixels.
    pub min_pixels: u32,
    /// Minimum fraction of the patch's area.
    pub min_fraction: f64,
    /// Handling of patches below the rule.
    pub less: BelowRule,
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

/// The set relabelled by `rule`, and the number of changed labels per class. Labels that were not annotated stay unknown.
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

/// Relabels one patch and returns whether it is below the rule for some lesion. `area` is the patch's area in native pixels.
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
