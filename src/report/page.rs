//! The page: one self-contained HTML file. Nothing is fetched when it is opened, and the same artifacts give the same bytes.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::gather::{Content, PatchCounts, Piece};
use super::{evaluation, maps, training};
use crate::base::figure::{counted, thousands};
use crate::report::chart::{Stack, stacks};
use crate::stage::{Cell, Table};

/// What macula is and is not for.
pub const NOT_FOR_CLINICAL_USE: &str = "macula is for research, not for clinical use.";

/// The page as HTML. `examples` is how many patches of each kind are shown per class.
#[must_use]
pub fn page(title: &str, pieces: &[Piece], names: &super::names::Names, examples: usize) -> String {
    let has = |wanted: fn(&Content) -> bool| pieces.iter().any(|piece| wanted(&piece.content));
    let sections = [
        ("data", "Data", has(|content| matches!(content, Content::Patches(_) | Content::Told))),
        ("training", "Training", has(|content| matches!(content, Content::Model(_)))),
        ("thresholds", "Thresholds", has(|content| matches!(content, Content::Thresholds(_)))),
        ("spread", "Over several evaluations", has(|content| matches!(content, Content::Spread))),
        ("evaluation", "Evaluation", has(|content| matches!(content, Content::Scores(_)))),
        ("maps", "Heat maps", has(|content| matches!(content, Content::Maps(_)))),
        ("stages", "All stages", true),
        ("figures", "What the figures mean", true),
    ];
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="macula";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { (title) }
                    p.lead { (lead(pieces)) }
                    span.notice { (NOT_FOR_CLINICAL_USE) }
                    nav { @for (id, name, there) in sections { @if there { a href={ "#" (id) } { (name) } } } }
                }
                main {
                    (evaluation::cards(pieces))
                    (warnings(pieces))
                    @if sections[0].2 { (data(pieces)) }
                    @if sections[1].2 { (training::section(pieces)) }
                    @if sections[2].2 { (training::thresholds(pieces)) }
                    @if sections[3].2 { (spreads(pieces)) }
                    @if sections[4].2 { (evaluation::section(pieces, names, examples)) }
                    @if sections[5].2 { (maps::section(pieces, names)) }
                    (stages(pieces))
                    (glossary())
                }
                footer {
                    p { "Made by macula. " (NOT_FOR_CLINICAL_USE) " Its figures say how a classifier does on the photographs that it was given, and nothing of a patient." }
                }
            }
        }
    };
    markup.into_string()
}

fn lead(pieces: &[Piece]) -> String {
    let last = |wanted: fn(&Content) -> bool| pieces.iter().rev().find(|piece| wanted(&piece.content));
    let said = last(|content| matches!(content, Content::Spread))
        .or_else(|| last(|content| matches!(content, Content::Scores(_))))
        .or(pieces.last());
    said.map_or(String::new(), |piece| piece.summary.headline.clone())
}

fn warnings(pieces: &[Piece]) -> Markup {
    let mut said = Vec::new();
    for piece in pieces {
        for warning in &piece.summary.warnings {
            // Outputs of one stage carry the same summary.
            let stage = piece.stage.as_str();
            if !said.iter().any(|&(other, text)| other == stage && text == &warning.text) {
                said.push((stage, &warning.text));
            }
        }
    }
    html! {
        @if !said.is_empty() {
            div.warnings {
                strong { (counted(said.len() as u64, "warning", "warnings")) " to read before the figures" }
                ul { @for (stage, text) in said { li { code { (stage) } " " (code_words(text)) } } }
            }
        }
    }
}

/// Text in which `names` stand in backticks.
pub(super) fn code_words(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() { @if i % 2 == 1 { code { (part) } } @else { (part) } }
    }
}

fn data(pieces: &[Piece]) -> Markup {
    let sets: Vec<(&Piece, &PatchCounts)> = pieces
        .iter()
        .filter_map(|piece| if let Content::Patches(counts) = &piece.content { Some((piece, &**counts)) } else { None })
        .collect();
    let rows: Vec<Stack> =
        sets.iter().map(|(piece, counts)| Stack { name: piece.name.clone(), counts: counts.health.to_vec() }).collect();
    html! {
        h2 id="data" { "Data" }
        p.lead { "What each stage left. A stage that did not do what its name says is seen here: compare each row with the one before." }
        @for piece in pieces {
            @if matches!(piece.content, Content::Told) && !piece.summary.headline.is_empty() {
                p { code { (piece.name) } " " (code_words(&piece.summary.headline)) }
            }
        }
        @if !sets.is_empty() {
            div.panel {
                h3 { "Patches after each stage" }
                div.scroll { (PreEscaped(stacks("Patches after each stage", "patches", &[("healthy", 6), ("with a lesion", 0), ("undetermined", 5)], &rows))) }
            }
            div.panel {
                h3 { "Labels after each stage" }
                div.scroll { (labels(&sets)) }
                p.hint { "A patch can carry several labels. Bold: changed against the row above." }
            }
        }
    }
}

/// Evaluations of several folds or seeds side by side.
fn spreads(pieces: &[Piece]) -> Markup {
    html! {
        h2 id="spread" { "Over several evaluations" }
        @for piece in pieces.iter().filter(|piece| matches!(piece.content, Content::Spread)) {
            p { code { (piece.name) } " " (code_words(&piece.summary.headline)) }
            @for table in &piece.summary.tables {
                div.panel { h3 { (table.title) } div.scroll { (plain(table)) } }
            }
        }
        p.hint { "The deviation is over evaluations, divided by n - 1; trivial is the mean of what chance, always yes or always healthy reaches." }
    }
}

fn labels(sets: &[(&Piece, &PatchCounts)]) -> Markup {
    let classes = sets.first().map_or(&[][..], |(_, counts)| &counts.info.classes);
    let cells = |counts: &PatchCounts| -> Vec<u64> {
        let [healthy, lesion, undetermined] = counts.health;
        let mut cells = vec![counts.photographs, healthy + lesion + undetermined, healthy, lesion];
        cells.extend(&counts.positives);
        cells
    };
    html! {
        table {
            thead { tr {
                th { "output" } th { "photographs" } th { "patches" } th { "healthy" } th { "with a lesion" }
                @for class in classes { th { (class) } }
                th { "healthy per lesion patch" } th { "prevalence" }
            } }
            tbody {
                @for (i, (piece, counts)) in sets.iter().enumerate() {
                    tr {
                        td { code { (piece.name) } }
                        @let above = i.checked_sub(1).map(|i| cells(sets[i].1));
                        @for (at, count) in cells(counts).into_iter().enumerate() {
                            td.changed[above.as_ref().is_some_and(|above| above.get(at) != Some(&count))] { (thousands(count)) }
                        }
                        td { (ratio(counts.health[0], counts.health[1])) }
                        td.text { @if counts.info.resampled { "resampled" } @else { "natural" } }
                    }
                }
            }
        }
    }
}

fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.2}", part as f64 / whole as f64) }
}

fn stages(pieces: &[Piece]) -> Markup {
    let mut seen: Vec<&str> = Vec::new();
    let mut once = Vec::new();
    for piece in pieces {
        let stage = piece.stage.as_str();
        if !(seen.contains(&stage) || piece.summary.headline.is_empty() && piece.summary.tables.is_empty()) {
            seen.push(stage);
            once.push((stage, &piece.summary));
        }
    }
    html! {
        h2 id="stages" { "All stages" }
        p.lead { "What each stage said when it ran." }
        @for (stage, summary) in once {
            details.panel {
                summary { code { (stage) } " " (code_words(&summary.headline)) }
                @for table in &summary.tables { h4 { (table.title) } div.scroll { (plain(table)) } }
            }
        }
    }
}

/// A table of a summary.
pub(super) fn plain(table: &Table) -> Markup {
    let text_column: Vec<bool> = (0..table.columns.len())
        .map(|at| table.rows.iter().any(|row| matches!(row.get(at), Some(Cell::Text(_)))))
        .collect();
    html! {
        table {
            thead { tr { @for (at, column) in table.columns.iter().enumerate() { th.text[at > 0 && text_column[at]] { (column) } } } }
            tbody {
                @for row in &table.rows {
                    tr { @for (at, cell) in row.iter().enumerate() { (plain_cell(cell, at > 0 && text_column[at])) } }
                }
            }
        }
    }
}

fn plain_cell(cell: &Cell, text: bool) -> Markup {
    match cell {
        Cell::Int(count) => html! { td { @if *count < 0 { "−" } (thousands(count.unsigned_abs())) } },
        Cell::Real(value) => html! { td { (real(*value)) } },
        Cell::Text(words) => html! { td.text[text] { (code_words(words)) } },
        Cell::Null(()) => html! { td.none { "–" } },
    }
}

/// A real number with four digits that count.
fn real(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1.0).contains(&size) {
        format!("{value:.3}")
    } else if size < 1e-3 {
        format!("{value:.1e}")
    } else if size < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

fn glossary() -> Markup {
    let words = [
        (
            "AP",
            "Average precision: the area under the precision-recall steps of one lesion. Random scores reach the prevalence.",
        ),
        (
            "AUROC",
            "The chance that a patch with the lesion scores above one without it; random scores reach .5. With rare lesions it looks good long before precision does.",
        ),
        (
            "F1",
            "2 TP / (2 TP + FP + FN) at a threshold. Predicting a lesion always reaches 2p / (1 + p) at prevalence p.",
        ),
        ("micro, macro", "Micro pools all known entries; macro is the plain mean over lesions that have positives."),
        (
            "Hamming loss",
            "The share of known entries that are wrong. Always saying healthy reaches the share of positives.",
        ),
        (
            "subset accuracy",
            "The share of patches with every label right. Always saying healthy reaches the share of healthy patches.",
        ),
        (
            "95 % interval",
            "Percentiles of 1,000 draws of whole patients (or photographs, where patients are unknown) with replacement: how far the figure would move with other patients. Whiskers of recall are Wilson intervals over patches, and so too narrow.",
        ),
        (
            "cells",
            "Of a heat map: squares of the photograph, each with the mean score of the patches over its middle. A patch is larger than a cell and is judged as a whole, so a lesion lights up the cells around it, too.",
        ),
        ("lesion area", "Mask pixels of the lesion within the patch, counted in the photograph as released."),
    ];
    html! {
        h2 id="figures" { "What the figures mean" }
        dl { @for (word, meaning) in words { dt { (word) } dd { (meaning) } } }
    }
}
