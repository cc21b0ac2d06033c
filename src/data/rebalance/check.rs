//! Did rebalancing do what was asked? Compared by counts alone, so that it would tell of any way of doing it: in the
//! report that macula serves, nobody saw that the stage had not done what its name said.

use crate::base::figure::thousands;
use super::{LesionSampling, RebalanceSpec, healthy_wanted};
use crate::data::counts::PatchCounts;
use crate::stage::Warning;

/// Overshoot is told from this share of the target on.
const OVERSHOOT: f64 = 0.10;

/// How many positives each class should have afterwards, by the counts before; [`None`] where that was not asked.
#[must_use]
pub fn target(lesions: LesionSampling, before: &[u64]) -> Option<u64> {
    match lesions {
        LesionSampling::Keep => None,
        LesionSampling::Undersample => before.iter().copied().filter(|count| *count > 0).min(),
        LesionSampling::Cap(at) => Some(at),
        LesionSampling::Oversample { .. } => before.iter().copied().max(),
    }
}

/// What the user should know of a set that was rebalanced from counts `before` to counts `after`.
#[must_use]
pub fn check(recipe: &RebalanceSpec, classes: &[String], before: &PatchCounts, after: &PatchCounts) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    for (class, had) in classes.iter().zip(&before.positives) {
        if *had == 0 && recipe.lesions != LesionSampling::Keep {
            warn("class-without-positives", format!("`{class}` has no positive patch and is left out of the balance"));
        }
    }
    if let Some(target) = target(recipe.lesions, &before.positives) {
        let over = matches!(recipe.lesions, LesionSampling::Oversample { .. });
        for (class, (had, has)) in classes.iter().zip(before.positives.iter().zip(&after.positives)) {
            let (target_text, has_text) = (thousands(target), thousands(*has));
            if !over && had == has && *had > target {
                let text =
                    format!("`{class}` is unchanged: {has_text} positives before and after, asked for {target_text}");
                warn("class-unchanged", text);
            } else if *had > 0 && *has as f64 > target as f64 * (1.0 + OVERSHOOT) {
                let percent = 100.0 * (*has as f64 / target as f64 - 1.0);
                warn(
                    "overshoot",
                    format!(
                        "`{class}` has {has_text} positives, {percent:.0} % over the {target_text} asked for: they ride on patches {} rarer classes",
                        if over { "repeated for" } else { "kept for" }
                    ),
                );
            } else if *had > 0 && *has < target.min(if over { u64::MAX } else { *had }) {
                let why = if over {
                    "its patches stand as often as `at-most` lets them"
                } else {
                    "its other patches carry rarer classes, which have enough"
                };
                warn(
                    "under-target",
                    format!("`{class}` has {has_text} positives, not the {target_text} asked for: {why}"),
                );
            }
        }
    }
    if let Some(wanted) = healthy_wanted(recipe, after.lesion).filter(|wanted| *wanted != after.healthy) {
        warn(
            "ratio-not-reached",
            format!(
                "{} healthy patches beside {} with a lesion, asked for {} ({:?} per lesion patch); there were {}",
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
