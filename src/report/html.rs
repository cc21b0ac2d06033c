//! HTML that several sections of a page share: texts with code in them, and tables. Knows no artifact.

use maud::{Markup, PreEscaped, html};

use crate::base::figure::{self, RealStyle, thousands};
use crate::stage::{Cell, Table};

/// Head of a page that needs no other file, with `style` after the common one.
pub(super) fn head(title: &str, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="generator" content="macula";
            title { (title) }
            style { (PreEscaped(include_str!("style.css"))) (PreEscaped(style)) }
        }
    }
}

/// Text as HTML, what stands in backticks as code.
pub(super) fn code_words(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() { @if i % 2 == 1 { code { (part) } } @else { (part) } }
    }
}

/// Metric with three decimals; a dash if it has no value.
pub(super) fn metric(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| figure::metric(Some(value)))
}

/// Table of a summary as HTML.
pub(super) fn plain(table: &Table) -> Markup {
    let text_column: Vec<bool> = (0..table.columns.len())
        .map(|at| table.rows.iter().any(|row| matches!(row.get(at), Some(Cell::Text(_)))))
        .collect();
    let style = |at: usize| {
        let real = |row: &Vec<Cell>| if let Some(Cell::Real(value)) = row.get(at) { Some(*value) } else { None };
        RealStyle::of(&table.rows.iter().filter_map(real).collect::<Vec<_>>())
    };
    let styles: Vec<RealStyle> = (0..table.columns.len()).map(style).collect();
    html! {
        table {
            thead { tr { @for (at, column) in table.columns.iter().enumerate() { th.text[at > 0 && text_column[at]] { (column) } } } }
            tbody {
                @for row in &table.rows {
                    tr { @for (at, cell) in row.iter().enumerate() { (plain_cell(cell, at > 0 && text_column[at], styles[at])) } }
                }
            }
        }
    }
}

fn plain_cell(cell: &Cell, text: bool, style: RealStyle) -> Markup {
    match cell {
        Cell::Int(count) => html! { td { @if *count < 0 { "−" } (thousands(count.unsigned_abs())) } },
        Cell::Real(value) => html! { td { (style.text(*value)) } },
        Cell::Text(words) => html! { td.text[text] { (code_words(words)) } },
        Cell::Null(()) => html! { td.none { "–" } },
    }
}
