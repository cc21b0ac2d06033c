//! HTML that several sections of a page share: texts with code in them, and tables. Knows no artifact.

use maud::{Markup, PreEscaped, html};

use crate::base::figure::{self, RealStyle, thousands};
use crate::stage::{Cell, Table};

/// Script of a page, which shows nothing that is not there without it.
const SCRIPT: &str = include_str!("script.js");

/// SHA-256 of the script in base64. Nothing else may run on a page, nor be loaded.
const SCRIPT_HASH: &str = "DdylLHgdbfX7XZs3RV2LvYdjLuxwwfBoLkpMILC+AXk=";

/// Head of a page that needs no other file, with `style` after the common one.
pub(super) fn head(title: &str, style: &str) -> Markup {
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'"
    );
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="generator" content="macula";
            title { (title) }
            style { (PreEscaped(include_str!("style.css"))) (PreEscaped(style)) }
        }
    }
}

/// End of a page: the dialog for enlarged pictures, and the script.
pub(super) fn tail() -> Markup {
    html! {
        dialog.zoom aria-label="Enlarged picture" { form method="dialog" { button { "Close" } } div {} }
        script { (PreEscaped(SCRIPT)) }
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
            thead { tr { @for (at, column) in table.columns.iter().enumerate() {
                @if column.is_empty() { td {} } @else { th.text[at > 0 && text_column[at]] { (column) } }
            } } }
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// SHA-256 (FIPS 180-4), to check that the policy allows the script as it is.
    fn sha256(bytes: &[u8]) -> [u8; 32] {
        let primes = || (2u32..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
        // First 32 bits of the fractional parts of square and cube roots: exact in 64 bits of precision by integer search.
        let fraction = |prime: u32, power: u32| {
            let (target, shift) = (u128::from(prime) << (32 * power), 1u128 << 36);
            let (mut low, mut high) = (0u128, shift);
            while high - low > 1 {
                let middle = u128::midpoint(low, high);
                let value = if power == 2 { middle * middle } else { middle * middle * middle };
                if value <= target { low = middle } else { high = middle }
            }
            low as u32
        };
        let mut state: Vec<u32> = primes().take(8).map(|prime| fraction(prime, 2)).collect();
        let constants: Vec<u32> = primes().take(64).map(|prime| fraction(prime, 3)).collect();
        let mut message = bytes.to_vec();
        message.push(0x80);
        message.resize((message.len() + 8).next_multiple_of(64) - 8, 0);
        message.extend((bytes.len() as u64 * 8).to_be_bytes());
        for block in message.chunks_exact(64) {
            let mut words: Vec<u32> =
                block.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect();
            for at in 16..64 {
                let (a, b) = (words[at - 15], words[at - 2]);
                let first = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
                let second = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
                let sum = words[at - 16].wrapping_add(first).wrapping_add(words[at - 7]).wrapping_add(second);
                words.push(sum);
            }
            let mut now = state.clone();
            for at in 0..64 {
                let (a, e) = (now[0], now[4]);
                let first = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let choice = (e & now[5]) ^ (!e & now[6]);
                let one = [first, choice, constants[at], words[at]].into_iter().fold(now[7], u32::wrapping_add);
                let second = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let majority = (a & now[1]) ^ (a & now[2]) ^ (now[1] & now[2]);
                now.rotate_right(1);
                now[4] = now[4].wrapping_add(one);
                now[0] = one.wrapping_add(second.wrapping_add(majority));
            }
            state.iter_mut().zip(&now).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
        let mut out = [0; 32];
        out.chunks_exact_mut(4).zip(&state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
        out
    }

    #[test]
    fn the_policy_of_a_page_allows_its_script_and_no_other() {
        assert_eq!(STANDARD.encode(sha256(b"abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(STANDARD.encode(sha256(SCRIPT.as_bytes())), SCRIPT_HASH, "the script has changed: so does its hash");
        assert!(!SCRIPT.contains("</script"));
    }
}
