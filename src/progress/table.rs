//! Tables and summaries as aligned text. Knows nothing of terminals: the same text goes to a file.

use crate::stage::{Cell, Summary, Table};

/// Space between two columns.
const GAP: &str = "  ";

/// A table as lines: its title, the heads, the rows. Numbers stand to the right with thousands separated, reals of a column
/// with as many decimals as the column needs (at most 4), no value is `-`. Ends with a line break; a table without rows
/// says so.
#[must_use]
pub fn render(table: &Table) -> String {
    let mut out = String::new();
    if !table.title.is_empty() {
        out.push_str(&clean(&table.title));
        out.push('\n');
    }
    if table.rows.is_empty() {
        out.push_str("(no rows)\n");
        return out;
    }
    let columns: Vec<Column> = (0..table.columns.len()).map(|at| column(table, at)).collect();
    for line in 0..=table.rows.len() {
        let mut text = String::new();
        for (at, column) in columns.iter().enumerate() {
            let cell = column.cells.get(line).map_or("", String::as_str);
            let fill = " ".repeat(column.width - width(cell));
            let parts = if column.right { [&fill, cell] } else { [cell, &fill] };
            text.push_str(if at == 0 { "" } else { GAP });
            text.extend(parts);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// A summary as people read it: the headline, the tables, the warnings, an empty line between them.
#[must_use]
pub fn render_summary(summary: &Summary) -> String {
    let mut parts = Vec::new();
    if !summary.headline.is_empty() {
        parts.push(clean(&summary.headline) + "\n");
    }
    parts.extend(summary.tables.iter().map(render));
    let warnings =
        summary.warnings.iter().map(|warning| format!("warning[{}]: {}\n", warning.code, clean(&warning.text)));
    let warnings: String = warnings.collect();
    if !warnings.is_empty() {
        parts.push(warnings);
    }
    parts.join("\n")
}

/// A whole number with thousands separated: `136,237`.
#[must_use]
pub fn thousands(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", crate::base::figure::thousands(value.unsigned_abs()))
}

/// A number of bytes for people, in powers of 1024: `1.4 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0 of the smaller unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A count and its noun, which agree: `1 patch`, `9,504 patches`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// One column as text, its head first.
struct Column {
    cells: Vec<String>,
    width: usize,
    right: bool,
}

fn column(table: &Table, at: usize) -> Column {
    let cells = || table.rows.iter().map(move |row| row.get(at).unwrap_or(&Cell::Null(())));
    let reals: Vec<f64> =
        cells().filter_map(|cell| if let Cell::Real(value) = cell { Some(*value) } else { None }).collect();
    let style = style(&reals);
    let mut texts = vec![clean(&table.columns[at])];
    texts.extend(cells().map(|cell| match cell {
        Cell::Int(value) => thousands(*value),
        Cell::Real(value) => real(*value, style),
        Cell::Text(text) => clean(text),
        Cell::Null(()) => "-".to_owned(),
    }));
    let right = at > 0 && !cells().any(|cell| matches!(cell, Cell::Text(_)));
    Column { width: texts.iter().map(|text| width(text)).max().unwrap_or(0), cells: texts, right }
}

/// How the reals of one column are written.
#[derive(Clone, Copy)]
enum Style {
    Decimals(usize),
    /// All are tiny or huge (learning rates): `1.00e-4`.
    Exponent,
}

fn style(values: &[f64]) -> Style {
    let finite = || values.iter().copied().filter(|value| value.is_finite() && *value != 0.0);
    let largest = finite().map(f64::abs).fold(0.0, f64::max);
    if largest != 0.0 && !(5e-4..1e15).contains(&largest) {
        return Style::Exponent;
    }
    // As few decimals as leave out nothing but zeros.
    let shortest =
        |value: f64| format!("{value:.4}").trim_end_matches('0').split_once('.').map_or(0, |(_, kept)| kept.len());
    Style::Decimals(finite().map(shortest).max().unwrap_or(1).max(1))
}

fn real(value: f64, style: Style) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    match style {
        Style::Exponent => format!("{value:.2e}"),
        Style::Decimals(decimals) => {
            let text = format!("{:.decimals$}", value.abs());
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
            let sign = if value < 0.0 { "-" } else { "" };
            if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
        }
    }
}

/// Text without control characters: the name of a photograph must not steer a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Warning;

    fn table(title: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Table {
        Table { title: title.to_owned(), columns: columns.iter().map(|&head| head.to_owned()).collect(), rows }
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn numbers_stand_to_the_right_and_null_is_a_dash() {
        let counts = table(
            "patches",
            &["", "healthy", "MA", "note"],
            vec![
                vec![text("before"), Cell::Int(136_237), Cell::Int(11_993), text("as cut")],
                vec![text("after"), Cell::Int(47_914), Cell::Null(()), text("1:1")],
            ],
        );
        assert_eq!(
            render(&counts),
            "patches\n        healthy      MA  note\nbefore  136,237  11,993  as cut\nafter    47,914       -  1:1\n",
        );
    }

    #[test]
    fn a_column_of_reals_has_the_decimals_that_it_needs() {
        let reals = |values: &[f64]| -> Vec<String> {
            let rows = values.iter().map(|&value| vec![text("a"), Cell::Real(value)]).collect();
            render(&table("", &["", "x"], rows)).lines().skip(1).map(|line| line[1..].trim().to_owned()).collect()
        };
        assert_eq!(reals(&[0.7, 0.15]), ["0.70", "0.15"]);
        assert_eq!(reals(&[0.478_449, 1.0]), ["0.4784", "1.0000"]);
        assert_eq!(reals(&[2.0, 1234.5]), ["2.0", "1,234.5"]);
        assert_eq!(reals(&[1e-4, 5e-5]), ["1.00e-4", "5.00e-5"]);
        assert_eq!(reals(&[f64::NAN, -0.5]), ["-", "-0.5"]);
        assert_eq!(reals(&[f64::INFINITY, 0.0]), ["inf", "0.0"]);
    }

    #[test]
    fn a_summary_has_its_headline_tables_and_warnings() {
        let summary = Summary {
            headline: "2 patches".to_owned(),
            tables: vec![table("t", &["a"], vec![])],
            warnings: vec![Warning { code: "class-missing".to_owned(), text: "no `SE`\u{1b}[2J".to_owned() }],
            ..Summary::default()
        };
        assert_eq!(
            render_summary(&summary),
            "2 patches\n\nt\n(no rows)\n\nwarning[class-missing]: no `SE`\u{FFFD}[2J\n"
        );
    }

    #[test]
    fn counts_and_sizes_read_well() {
        assert_eq!([0, 999, 1000, -1_234_567].map(thousands), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!([0, 1023, 1024, 1_500_000, 1 << 40].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "1.0 TiB"]);
        assert_eq!(counted(1, "patch", "patches"), "1 patch");
        assert_eq!(counted(9504, "patch", "patches"), "9,504 patches");
    }
}
