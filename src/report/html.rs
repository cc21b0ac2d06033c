//! HTML that several sections of a page share: texts with code in them, and tables. Knows no artifact.

use maud::{Markup, html};

use crate::base::figure::{self, thousands};
use crate::stage::{Cell, Table};

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

/// Real number: three decimals up to 1, as metrics have them; rates and the like with two significant digits.
fn real(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..=1.0).contains(&size) {
        format!("{value:.3}")
    } else if size < 1e-3 {
        format!("{value:.1e}")
    } else if size < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}
