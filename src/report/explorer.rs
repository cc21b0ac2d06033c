//! Counts at any threshold: sliders that a small script moves, and a table for reading without it.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::gallery::predicted;
use super::gather::Evaluation;
use super::html::metric;
use crate::base::figure::thousands;
use crate::learn::metrics::{ConfusionCounts, ZeroDivision};

/// Steps of a slider from 0 to 1.
const STEPS: usize = 1000;

/// Steps between the rows of the table.
const ROW: usize = 50;

/// Numbers of positives and negatives by score.
struct ScoreCounts {
    /// Known positives, by the highest step that their score reaches.
    positives: Vec<u64>,
    /// Known negatives.
    negatives: Vec<u64>,
}

impl ScoreCounts {
    fn of(scores: &[Option<f64>], labels: &[Option<bool>]) -> Self {
        let mut counts = Self { positives: vec![0; STEPS + 1], negatives: vec![0; STEPS + 1] };
        for (score, label) in scores.iter().zip(labels) {
            let (Some(score), Some(label)) = (score, label) else { continue };
            let side = if *label { &mut counts.positives } else { &mut counts.negatives };
            side[step(*score)] += 1;
        }
        counts
    }

    /// Counts if scores from this step on are positive.
    fn at(&self, step: usize) -> ConfusionCounts {
        let over = |counts: &[u64]| counts[step..].iter().sum::<u64>();
        let under = |counts: &[u64]| counts[..step].iter().sum::<u64>();
        ConfusionCounts {
            true_positives: over(&self.positives),
            false_positives: over(&self.negatives),
            false_negatives: under(&self.positives),
            true_negatives: under(&self.negatives),
        }
    }
}

/// The highest step whose threshold a score reaches. A score is rounded up to its step only if it equals it.
fn step(score: f64) -> usize {
    let near = (score.clamp(0.0, 1.0) * STEPS as f64).round() as usize;
    if near > 0 && threshold(near) > score { near - 1 } else { near }
}

fn threshold(step: usize) -> f64 {
    step as f64 / STEPS as f64
}

/// `0 12*3 999`: the steps with a count, and the count if it is not 1.
fn sparse(counts: &[u64]) -> String {
    let mut text = String::new();
    for (step, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let gap = if text.is_empty() { "" } else { " " };
        _ = if *count == 1 { write!(text, "{gap}{step}") } else { write!(text, "{gap}{step}*{count}") };
    }
    text
}

/// TN / (TN + FP).
pub(super) fn specificity(counts: &ConfusionCounts) -> Option<f64> {
    let negatives = counts.true_negatives + counts.false_positives;
    (negatives > 0).then(|| counts.true_negatives as f64 / negatives as f64)
}

/// Panel of an evaluation; empty if its classes are not decided by thresholds. `number` tells the panels of a page apart.
#[must_use]
pub(super) fn section(evaluation: &Evaluation, number: usize) -> Markup {
    let scores = &evaluation.scores;
    let Ok(read) = predicted(scores, &evaluation.table.table) else { return html! {} };
    if scores.single.is_some() {
        return html! {};
    }
    let folds = evaluation.table.table.get("fold").is_some();
    let counts: Vec<ScoreCounts> =
        read.classes().iter().map(|class| ScoreCounts::of(class.scores, class.labels)).collect();
    let at = |class: usize| {
        let own = scores.operating().figures.thresholds[class];
        (own.clamp(0.0, 1.0) * STEPS as f64).round() as usize
    };
    html! {
        div.panel.explorer {
            h3 { "Counts by threshold" }
            div.scroll tabindex="0" { table.tight {
                thead { tr { th { "class" } th.slider hidden { "threshold" } th { "at least" } (heads()) } }
                tbody { @for (class, name) in scores.classes.iter().enumerate() {
                    @let id = format!("threshold-{number}-{class}");
                    tr data-positives=(sparse(&counts[class].positives)) data-negatives=(sparse(&counts[class].negatives)) {
                        td { label for=(id) { span class={ "key k" (class % 6) } {} (name) } }
                        td.slider hidden { input type="range" id=(id) min="0" max=(STEPS) value=(at(class)) data-initial=(at(class)); }
                        td { output for=(id) { (format!("{:.3}", threshold(at(class)))) } }
                        (cells(&counts[class].at(at(class))))
                    }
                } }
            } }
            p.filters hidden { button type="button" data-reset="" { @if scores.at_tuned.is_some() { "Tuned thresholds" } @else { "Reset" } } button type="button" data-reset="500" { "All at 0.5" } }
            p.hint {
                "On all evaluated patches with a known label, at thresholds rounded to 0.001. A threshold that is chosen here has seen these patches: its metrics are optimistic."
                @if folds { " One threshold for the scores of all folds, which share no scale; the metrics above use those of each fold." }
            }
            details {
                summary { "Counts at steps of 0.05" }
                @for (class, name) in scores.classes.iter().enumerate() {
                    h4 { (name) }
                    div.scroll tabindex="0" { table.tight {
                        thead { tr { th { "threshold" } (heads()) } }
                        tbody { @for step in (ROW..STEPS).step_by(ROW) {
                            tr { td { (format!("{:.2}", threshold(step))) } (cells(&counts[class].at(step))) }
                        } }
                    } }
                }
            }
        }
    }
}

fn heads() -> Markup {
    html! { th.first { "TP" } th { "FP" } th { "FN" } th { "TN" } th.first { "sensitivity" } th { "specificity" } th { "precision" } th { "F1" } }
}

fn cells(counts: &ConfusionCounts) -> Markup {
    let none = ZeroDivision::Undefined;
    let f1 = if counts.positives() > 0 { counts.f1(none) } else { None };
    html! {
        td.first { (thousands(counts.true_positives)) }
        td { (thousands(counts.false_positives)) }
        td { (thousands(counts.false_negatives)) }
        td { (thousands(counts.true_negatives)) }
        td.first { (metric(counts.recall(none))) }
        td { (metric(specificity(counts))) }
        td { (metric(counts.precision(none))) }
        td { (metric(f1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_at_a_step_are_those_of_its_threshold() {
        let scores = [0.0, 0.0005, 0.1, 0.29, 0.3, 0.300_000_1, 0.999_9, 1.0, 0.57, 0.7].map(Some);
        let labels = [false, true, false, true, true, false, true, true, false, true].map(Some);
        let counts = ScoreCounts::of(&scores, &labels);
        for step in 0..=STEPS {
            let cut = threshold(step);
            let mut expected = ConfusionCounts::default();
            scores.iter().flatten().zip(labels.iter().flatten()).for_each(|(s, l)| expected.add(*l, *s >= cut));
            assert_eq!(counts.at(step), expected, "threshold {cut}");
        }
        assert_eq!(sparse(&[0, 1, 3, 0, 1]), "1 2*3 4");
    }
}
