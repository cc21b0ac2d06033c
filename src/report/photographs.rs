//! Table of the photographs of an evaluation, the hardest first, with their heat maps if there are any.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::gallery::predicted;
use super::gather::{ArtifactContent, Evaluation, ReportItem};
use super::html::metric;
use super::names::NameReplacements;
use crate::base::figure::{counted, thousands};
use crate::learn::metrics::ConfusionCounts;

/// Maximum number of photographs in the table.
const LISTED: usize = 200;

/// Photographs shown before the rest is folded.
const OPEN: usize = 20;

/// Counts of a photograph.
struct PhotographCounts<'t> {
    name: &'t str,
    patches: u64,
    classes: Vec<ConfusionCounts>,
}

impl PhotographCounts<'_> {
    fn sum(&self, of: fn(&ConfusionCounts) -> u64) -> u64 {
        self.classes.iter().map(of).sum()
    }

    /// Fraction of known labels that are predicted wrongly.
    fn wrong(&self) -> Option<f64> {
        let known = self.sum(ConfusionCounts::known);
        let wrong = self.sum(|class| class.false_positives + class.false_negatives);
        (known > 0).then(|| wrong as f64 / known as f64)
    }
}

/// Photographs by the fraction of wrong labels, descending; ties by name.
fn hardest(evaluation: &Evaluation) -> Vec<PhotographCounts<'_>> {
    let Ok(read) = predicted(&evaluation.scores, &evaluation.table.table) else { return Vec::new() };
    let classes = evaluation.scores.classes.len();
    let mut found: BTreeMap<&str, PhotographCounts<'_>> = BTreeMap::new();
    for (row, name) in read.photographs.iter().enumerate() {
        let name = name.as_deref().unwrap_or_default();
        let empty = || PhotographCounts { name, patches: 0, classes: vec![ConfusionCounts::default(); classes] };
        let counts = found.entry(name).or_insert_with(empty);
        counts.patches += 1;
        for class in 0..classes {
            if let Some((present, predicted)) = read.is_right(row, class) {
                counts.classes[class].add(present, predicted);
            }
        }
    }
    let mut all: Vec<PhotographCounts<'_>> = found.into_values().collect();
    let order = |one: &PhotographCounts<'_>| one.wrong().unwrap_or(-1.0);
    all.sort_by(|a, b| order(b).total_cmp(&order(a)).then_with(|| a.name.cmp(b.name)));
    all
}

/// Panel of an evaluation.
#[must_use]
pub(super) fn section(items: &[ReportItem], evaluation: &Evaluation, names: &NameReplacements) -> Markup {
    let all = hardest(evaluation);
    let maps = items.iter().filter_map(|item| match &item.content {
        ArtifactContent::Maps(shown) => Some(&shown.small),
        _ => None,
    });
    let maps: BTreeMap<&String, &Vec<u8>> = maps.flatten().collect();
    let shown = &all[..all.len().min(LISTED)];
    let (first, rest) = shown.split_at(shown.len().min(OPEN));
    let map = |name: &str| maps.get(&name.to_owned()).copied();
    html! {
        div.panel {
            h3 { "Photographs, hardest first" }
            (table(evaluation, first, &map, names))
            @if !rest.is_empty() {
                details { summary { (counted(rest.len() as u64, "more photograph", "more photographs")) } (table(evaluation, rest, &map, names)) }
            }
            p.hint {
                "Hardest: the largest fraction of wrong labels, over patches and classes. "
                @if shown.len() < all.len() { "The first " (thousands(shown.len() as u64)) " of " (thousands(all.len() as u64)) " photographs." }
            }
        }
    }
}

fn table<'m>(
    evaluation: &Evaluation,
    shown: &[PhotographCounts<'_>],
    map: &dyn Fn(&str) -> Option<&'m Vec<u8>>,
    names: &NameReplacements,
) -> Markup {
    let with_maps = shown.iter().any(|one| map(one.name).is_some());
    html! {
        div.scroll tabindex="0" { table.tight.photographs {
            thead {
                tr {
                    @if with_maps { th { "map" } }
                    th.text { "photograph" } th { "patches" } th { "wrong labels" } th { "FN" } th { "FP" }
                    @for name in &evaluation.scores.classes { th.first { (name) " TP" } th { "FN" } th { "FP" } }
                }
            }
            tbody { @for one in shown {
                tr {
                    @if with_maps { td {
                        @if let Some(jpeg) = map(one.name) {
                            button.picture type="button" title="Enlarge" { img src={ "data:image/jpeg;base64," (STANDARD.encode(jpeg)) } alt={ "heat map over " (names.of(one.name)) }; }
                        }
                    } }
                    td.text { (names.of(one.name)) }
                    td { (thousands(one.patches)) }
                    td { strong { (metric(one.wrong())) } }
                    td { (thousands(one.sum(|class| class.false_negatives))) }
                    td { (thousands(one.sum(|class| class.false_positives))) }
                    @for class in &one.classes {
                        td.first { (thousands(class.true_positives)) }
                        td { (thousands(class.false_negatives)) }
                        td { (thousands(class.false_positives)) }
                    }
                }
            } }
        } }
    }
}
