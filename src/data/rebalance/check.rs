//! Checks the result of rebalancing against the request, by counts only, so that any method of rebalancing can be checked.

use super::{LesionSampling, RebalanceSpec, healthy_wanted};
use crate::base::figure::thousands;
use crate::data::counts::PatchCounts;
use crate::data::patches::SetInfo;
use crate::stage::Warning;

/// Why healthy patches cannot be drawn from a set with one class per patch, and what to do instead.
pub const NO_HEALTHY_CLASS: &str = "these patches have exactly one class each, so none of them is healthy, whatever its class is called; to \
                                    balance the classes, use `rebalance` with `lesions undersample` or `oversample`, or \
                                    `class-weights=inverse-frequency` in `loss`";

/// Overshoot is reported from this fraction of the target on.
const OVERSHOOT: f64 = 0.10;

/// Target number of positives per class, by the counts before; [`None`] if none was requested.
#[must_use]
pub fn target(lesions: LesionSampling, before: &[u64]) -> Option<u64> {
    match lesions {
        LesionSampling::Keep => None,
        LesionSampling::Undersample => before.iter().copied().filter(|count| *count > 0).min(),
        LesionSampling::Cap(at) => Some(at),
        LesionSampling::Oversample { .. } => before.iter().copied().max(),
    }
}

/// Warnings about a set rebalanced from counts `before` to counts `after`.
#[must_use]
pub fn check(recipe: &RebalanceSpec, info: &SetInfo, before: &PatchCounts, after: &PatchCounts) -> Vec<Warning> {
    let classes = &info.classes;
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    for (class, had) in classes.iter().zip(&before.positives) {
        if *had == 0 && recipe.lesions != LesionSampling::Keep {
            warn("class-without-positives", format!("`{class}` has no positive patch and is ignored in balancing"));
        }
    }
    if let Some(target) = target(recipe.lesions, &before.positives) {
        let over = matches!(recipe.lesions, LesionSampling::Oversample { .. });
        for (class, (had, has)) in classes.iter().zip(before.positives.iter().zip(&after.positives)) {
            let (target_text, has_text) = (thousands(target), thousands(*has));
            if !over && had == has && *had > target {
                let text =
                    format!("`{class}` is unchanged: {has_text} positives before and after, target {target_text}");
                warn("class-unchanged", text);
            } else if *had > 0 && *has as f64 > target as f64 * (1.0 + OVERSHOOT) {
                let percent = 100.0 * (*has as f64 / target as f64 - 1.0);
                warn(
                    "overshoot",
                    format!(
                        "`{class}` has {has_text} positives, {percent:.0}% above the target of {target_text}: they occur on patches {} rarer classes",
                        if over { "repeated for" } else { "kept for" }
                    ),
                );
            } else if *had > 0 && *has < target.min(if over { u64::MAX } else { *had }) {
                let why = if over {
                    "its patches are repeated as often as `at-most` allows"
                } else {
                    "its other patches carry rarer classes that have reached their target"
                };
                warn(
                    "under-target",
                    format!("`{class}` has {has_text} positives, below the target of {target_text}: {why}"),
                );
            }
        }
    }
    if !info.labels.is_multi_label() && recipe.healthy_per_lesion_patch.is_some() {
        warn("no-healthy-class", format!("`healthy` changes nothing: {NO_HEALTHY_CLASS}"));
    } else if let Some(wanted) = healthy_wanted(recipe, after.lesion).filter(|wanted| *wanted != after.healthy) {
        warn(
            "ratio-not-reached",
            format!(
                "{} healthy patches for {} with a lesion, target {} ({:?} per lesion patch); {} were available",
                thousands(after.healthy),
                thousands(after.lesion),
                thousands(wanted),
                recipe.healthy_per_lesion_patch.unwrap_or(0.0),
                thousands(before.healthy)
            ),
        );
    }
    warnings
}
