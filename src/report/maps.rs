//! Heat maps as a headline, tables and warnings, and as a section of a page: the overlays of a few photographs.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::base64;
use super::gather::{Content, Piece};
use super::names::Names;
use super::page::code_words;
use crate::base::figure::{counted, row, short, thousands};
use crate::data::contact_sheet::CLASS_COLOURS;
use crate::data::heat::colour;
use crate::learn::maps::{CellFigures, MapFigures, Maps};
use crate::stage::{Cell, Summary, Table, Warning};

/// Photographs in the table of a summary; `maps.json` has all.
const LISTED: usize = 20;

/// Overlays on a page.
pub const SHOWN: usize = 6;

/// What a page shows of heat maps.
pub struct Shown {
    /// All figures.
    pub maps: Maps,
    /// The overlays of the photographs with the highest scores: their places among the photographs, and PNG.
    pub overlays: Vec<(usize, Vec<u8>)>,
}

/// The photographs by their highest score, the highest first; equal ones by name.
#[must_use]
pub fn ranked(maps: &Maps) -> Vec<usize> {
    let mut order: Vec<usize> = (0..maps.photographs.len()).collect();
    let of = |at: usize| &maps.photographs[at];
    order.sort_by(|&a, &b| {
        of(b).highest().total_cmp(&of(a).highest()).then_with(|| of(a).photograph.cmp(&of(b).photograph))
    });
    order
}

/// The summary of heat maps.
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
    Summary { headline: headline(maps), figures, tables: vec![per_class(maps), per_photograph(maps)], warnings }
}

/// `4 photographs, 2,101 patches scored, 671 black; AP over cells of 64 px .66 .41 .83 .20 (MA HE EX SE), prevalence .08 .07 .09 .01`.
fn headline(maps: &Maps) -> String {
    let count = |of: fn(&MapFigures) -> u64| maps.photographs.iter().map(of).sum::<u64>();
    let scored = format!(
        "{}, {} scored, {} black and left out",
        counted(maps.photographs.len() as u64, "photograph", "photographs"),
        counted(count(|map| map.scored), "patch", "patches"),
        thousands(count(|map| map.black))
    );
    if maps.all.iter().all(|class| class.known == 0) {
        return format!("{scored}; lesions unknown");
    }
    format!(
        "{scored}; AP over cells of {} px {} ({}), prevalence {}",
        maps.stride,
        row(maps.all.iter().map(|class| class.average_precision), 2),
        maps.classes.join(" "),
        row(maps.all.iter().map(CellFigures::prevalence), 2)
    )
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn int(count: u64) -> Cell {
    Cell::Int(count as i64)
}

/// `at the tuned thresholds`, or `at 0.5`.
fn at(maps: &Maps) -> &'static str {
    if maps.thresholds.is_some() { "at the tuned thresholds" } else { "at 0.5" }
}

/// The cells of each class over all photographs.
fn per_class(maps: &Maps) -> Table {
    let columns = [
        "class",
        "cells",
        "mean score",
        "highest",
        "share over",
        "known",
        "with lesion",
        "prevalence",
        "AP",
        "AUROC",
        "lesion, not scored",
    ];
    let cells = |(name, class): (&String, &CellFigures)| {
        vec![
            Cell::Text(name.clone()),
            int(class.cells),
            real(class.mean),
            real(class.highest),
            real(class.share()),
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
fn per_photograph(maps: &Maps) -> Table {
    let mut columns = ["photograph", "scored", "black"].map(str::to_owned).to_vec();
    for name in &maps.classes {
        columns.extend([format!("{name} highest"), format!("{name} share over"), format!("{name} AP")]);
    }
    let cells = |at: usize| {
        let map = &maps.photographs[at];
        let mut cells = vec![Cell::Text(map.photograph.clone()), int(map.scored), int(map.black)];
        for class in &map.classes {
            cells.extend([real(class.highest), real(class.share()), real(class.average_precision)]);
        }
        cells
    };
    let rows: Vec<_> = ranked(maps).into_iter().take(LISTED).map(cells).collect();
    let title = if rows.len() < maps.photographs.len() {
        let all = thousands(maps.photographs.len() as u64);
        format!("{} of {all} photographs, those with the highest scores (`maps.json` has all)", rows.len())
    } else {
        format!("photographs, {}", at(maps))
    };
    Table { title, columns, rows }
}

/// The section of a page.
#[must_use]
pub fn section(pieces: &[Piece], names: &Names) -> Markup {
    let all = pieces
        .iter()
        .filter_map(|piece| if let Content::Maps(shown) = &piece.content { Some((piece, &**shown)) } else { None });
    html! {
        h2 id="maps" { "Heat maps" }
        p.lead { "Where in a photograph lesions are seen: the highest score of all classes, drawn the more opaquely the higher it is; outlines are known lesions." }
        @for (piece, shown) in all {
            p { code { (piece.name) } " " (code_words(&piece.summary.headline)) }
            div.panel { div.scroll { (super::page::plain(&per_class(&shown.maps))) } }
            p.hint { (legend(&shown.maps)) }
            div.maps {
                @for (at, png) in &shown.overlays {
                    @let map = &shown.maps.photographs[*at];
                    figure {
                        img alt={ "heat map over " (names.of(&map.photograph)) } src={ "data:image/png;base64," (base64::encode(png)) };
                        figcaption { (caption(map, &shown.maps, names)) }
                    }
                }
            }
            @let left_out = shown.maps.photographs.len() - shown.overlays.len();
            @if left_out > 0 {
                p.hint { "The " (shown.overlays.len()) " photographs with the highest scores; " (thousands(left_out as u64)) " more are in the stage's output." }
            }
        }
    }
}

/// What the colours mean; the legend within the pictures is too small to be read on a page.
fn legend(maps: &Maps) -> Markup {
    let rgb = |[r, g, b]: [u8; 3]| format!("rgb({r},{g},{b})");
    let steps: Vec<String> = (0..=8).map(|step| rgb(colour(f64::from(step) / 8.0))).collect();
    let half = if maps.thresholds.is_some() { ", each class's threshold in the middle" } else { "" };
    html! {
        "Scores from 0 " span.scale style={ "background:linear-gradient(90deg," (steps.join(",")) ")" } {} " to 1" (half) ". Outlines: "
        @for (class, name) in maps.classes.iter().enumerate() {
            span.key style={ "color:" (rgb(CLASS_COLOURS[class % CLASS_COLOURS.len()])) } {} (name) " "
        }
    }
}

/// The photograph, and for each class its highest score, the share of cells over the threshold, and what is known beside it.
fn caption(map: &MapFigures, maps: &Maps, names: &Names) -> Markup {
    html! {
        strong { (names.of(&map.photograph)) }
        table.tight {
            thead { tr { th { "class" } th { "highest" } th { "cells over" } th { "with lesion" } th { "AP" } } }
            tbody {
                @for (name, class) in maps.classes.iter().zip(&map.classes) {
                    tr {
                        td { (name) }
                        td { (short(class.highest, 2)) }
                        td { (short(class.share(), 3)) }
                        td { (short(class.prevalence(), 3)) }
                        td { (short(class.average_precision, 2)) }
                    }
                }
            }
        }
    }
}
