//! Headline, tables and warnings of heat maps, and their section on a page: the overlays of a few photographs.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::gather::{ArtifactContent, ReportItem, ranked};
use super::html::{code_words, metric, plain};
use super::names::NameReplacements;
use crate::base::figure::{counted, per_class, thousands};
use crate::data::contact_sheet::CLASS_COLOURS;
use crate::data::heat::colour;
use crate::learn::maps::{CellDecision, CellMetrics, MapMetrics, Maps};
use crate::stage::{Cell, Summary, Table, Warning};

/// Rows of the table of photographs; `maps.json` has all.
const LISTED: usize = 20;

/// Summary of heat maps.
#[must_use]
pub fn summary(maps: &Maps, warnings: Vec<Warning>) -> Summary {
    let maps = &maps.clone().bounded();
    let mut figures = BTreeMap::new();
    if let Some(mean) = maps.mean_average_precision().value {
        figures.insert("mean-cell-average-precision".to_owned(), mean);
    }
    for (class, found) in maps.classes.iter().zip(&maps.all) {
        let named = [("cell-average-precision", found.average_precision), ("cell-auroc", found.auroc)];
        figures.extend(named.into_iter().filter_map(|(name, value)| Some((format!("{name}.{class}"), value?))));
    }
    Summary {
        headline: headline(maps),
        metrics: figures,
        tables: vec![class_table(maps), photograph_table(maps)],
        warnings,
        ..Summary::default()
    }
}

/// `4 photographs, 2,101 patches scored, 671 black patches skipped; AP over cells of 64 px: MA 0.660, HE 0.412; prevalence: MA 0.081,
/// HE 0.072`.
fn headline(maps: &Maps) -> String {
    let count = |of: fn(&MapMetrics) -> u64| maps.photographs.iter().map(of).sum::<u64>();
    let scored = format!(
        "{}, {} scored, {} skipped",
        counted(maps.photographs.len() as u64, "photograph", "photographs"),
        counted(count(|map| map.scored), "patch", "patches"),
        counted(count(|map| map.black), "black patch", "black patches")
    );
    if maps.all.iter().all(|class| class.known == 0) {
        return format!("{scored}; lesions unknown");
    }
    format!(
        "{scored}; AP over cells of {} px: {}; prevalence: {}",
        maps.stride,
        per_class(&maps.classes, maps.all.iter().map(|class| class.average_precision)),
        per_class(&maps.classes, maps.all.iter().map(CellMetrics::prevalence))
    )
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn int(count: u64) -> Cell {
    Cell::Int(count as i64)
}

/// `at the tuned thresholds`, `at threshold 0.5`, or how a class is chosen.
fn at(maps: &Maps) -> &'static str {
    match maps.decision {
        CellDecision::Highest => "the highest score decides",
        CellDecision::Half => "at score 0.5, since not all classes are mapped",
        CellDecision::Threshold if maps.thresholds.is_some() => "at the tuned thresholds",
        CellDecision::Threshold => "at threshold 0.5",
    }
}

/// Metrics of each class over the cells of all photographs.
fn class_table(maps: &Maps) -> Table {
    let columns = [
        "class",
        "cells",
        "mean score",
        "max score",
        "fraction positive",
        "known",
        "with lesion",
        "prevalence",
        "AP",
        "AUROC",
        "lesion, unscored",
    ];
    let cells = |(name, class): (&String, &CellMetrics)| {
        vec![
            Cell::Text(name.clone()),
            int(class.cells),
            real(class.mean),
            real(class.highest),
            real(class.fraction()),
            int(class.known),
            int(class.lesion),
            real(class.prevalence()),
            real(class.average_precision),
            real(class.auroc),
            int(class.lesion_unscored),
        ]
    };
    Table {
        title: format!("cells of {} px, {}", maps.stride, at(maps)),
        columns: columns.map(str::to_owned).to_vec(),
        rows: maps.classes.iter().zip(&maps.all).map(cells).collect(),
    }
}

/// The photographs with the highest scores.
fn photograph_table(maps: &Maps) -> Table {
    let mut columns = ["photograph", "scored", "black"].map(str::to_owned).to_vec();
    for name in &maps.classes {
        columns.extend([format!("{name} max"), format!("{name} positive"), format!("{name} AP")]);
    }
    let cells = |at: usize| {
        let map = &maps.photographs[at];
        let mut cells = vec![Cell::Text(map.photograph.clone()), int(map.scored), int(map.black)];
        for class in &map.classes {
            cells.extend([real(class.highest), real(class.fraction()), real(class.average_precision)]);
        }
        cells
    };
    let rows: Vec<_> = ranked(maps).into_iter().take(LISTED).map(cells).collect();
    let title = if rows.len() < maps.photographs.len() {
        let all = thousands(maps.photographs.len() as u64);
        format!("the {} of {all} photographs with the highest scores (`maps.json` has all)", rows.len())
    } else {
        format!("photographs, {}", at(maps))
    };
    Table { title, columns, rows }
}

/// The section of a page.
#[must_use]
pub fn section(items: &[ReportItem], names: &NameReplacements) -> Markup {
    let all = items.iter().filter_map(|item| {
        if let ArtifactContent::Maps(shown) = &item.content { Some((item, &**shown)) } else { None }
    });
    html! {
        h2 id="maps" { "Heat maps" }
        p.lead { "Where the model sees lesions: the highest score over all classes, more opaque the higher it is. Outlines mark annotated lesions." }
        @for (item, shown) in all {
            p { code { (item.name) } " " (code_words(&item.summary.headline)) }
            div.panel { div.scroll tabindex="0" { (plain(&class_table(&shown.maps))) } }
            p.hint { (legend(&shown.maps)) }
            div.maps {
                @for (at, jpeg) in &shown.overlays {
                    @let map = &shown.maps.photographs[*at];
                    figure {
                        button.picture type="button" title="Enlarge" { img alt={ "heat map over " (names.of(&map.photograph)) } src={ "data:image/jpeg;base64," (STANDARD.encode(jpeg)) }; }
                        figcaption { (caption(map, &shown.maps, names)) }
                    }
                }
            }
            @let left_out = shown.maps.photographs.len() - shown.overlays.len();
            @if left_out > 0 {
                p.hint { "Only the " (counted(shown.overlays.len() as u64, "photograph", "photographs")) " with the highest scores; " (thousands(left_out as u64)) " more in the output of the stage." }
            }
        }
    }
}

/// Legend of the colours: the one within the overlays is too small to read on a page.
fn legend(maps: &Maps) -> Markup {
    let rgb = |[r, g, b]: [u8; 3]| format!("rgb({r},{g},{b})");
    let steps: Vec<String> = (0..=8).map(|step| rgb(colour(f64::from(step) / 8.0))).collect();
    let half = if maps.thresholds.is_some() { " (the threshold of each class at the midpoint)" } else { "" };
    html! {
        "Scores from 0 " span.scale style={ "background:linear-gradient(90deg," (steps.join(",")) ")" } {} " to 1" (half) ". Outlines: "
        @for (class, name) in maps.classes.iter().enumerate() {
            span.key style={ "color:" (rgb(CLASS_COLOURS[class % CLASS_COLOURS.len()])) } {} (name) " "
        }
    }
}

/// Caption of an overlay: for each class the maximum score, the fraction of positive cells, the prevalence and the AP.
fn caption(map: &MapMetrics, maps: &Maps, names: &NameReplacements) -> Markup {
    html! {
        strong { (names.of(&map.photograph)) }
        table.tight {
            thead { tr { th { "class" } th { "max score" } th { "cells positive" } th { "prevalence" } th { "AP" } } }
            tbody {
                @for (name, class) in maps.classes.iter().zip(&map.classes) {
                    tr {
                        td { (name) }
                        td { (metric(class.highest)) }
                        td { (metric(class.fraction())) }
                        td { (metric(class.prevalence())) }
                        td { (metric(class.average_precision)) }
                    }
                }
            }
        }
    }
}
