//! Tables and summaries as aligned text of a given width. Knows nothing of terminals: the same text goes to a file.

mod layout;

use std::fmt::Write;

pub use self::layout::{clipped, flow, shortened, wrapped};
pub use crate::base::figure::{bytes, counted};
use unicode_width::UnicodeWidthStr as _;

use crate::base::figure::RealStyle;
use crate::base::shown;
use crate::stage::{Cell, Summary, Table};

/// Side on which the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Column of a [`Grid`]: its head, and what may be done to it to make the table fit.
#[derive(Clone, Debug)]
pub struct GridColumn {
    head: String,
    priority: u8,
    shortest: Option<usize>,
    align: Option<Align>,
}

impl GridColumn {
    /// Column that is always shown in full. A head of several words may stand in several lines. Cells stand on the left where one of
    /// them is text, else on the right.
    #[must_use]
    pub fn new(head: impl Into<String>) -> Self {
        Self { head: head.into(), priority: 0, shortest: None, align: None }
    }

    /// How readily it is left out: 0 never, and of the others the highest number first.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Lets its cells be cut down to `width` characters (`…` at the end) before any column is left out.
    #[must_use]
    pub fn shortest(mut self, width: usize) -> Self {
        self.shortest = Some(width);
        self
    }

    /// Puts its cells on one side, whatever they hold.
    #[must_use]
    pub fn align(mut self, align: Align) -> Self {
        self.align = Some(align);
        self
    }
}

/// Table whose columns are chosen and shortened by importance until it fits a width.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    title: String,
    columns: Vec<GridColumn>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Grid {
    /// Table without rows.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = GridColumn>) -> Self {
        Self { columns: columns.into_iter().collect(), ..Self::default() }
    }

    /// Adds a title, which stands above the heads.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Moves every line to the right by so many columns of the terminal.
    #[must_use]
    pub fn indent(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Sets the priority of each column.
    #[must_use]
    pub fn priorities(mut self, of_columns: &[u8]) -> Self {
        for (column, priority) in self.columns.iter_mut().zip(of_columns) {
            column.priority = *priority;
        }
        self
    }

    /// Adds rows, a cell for each column.
    #[must_use]
    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Lines of at most `width` columns and the heads of the columns that had to be left out. Counts have their thousands
    /// separated, reals of a column have the same number of decimals, no value is `-`. A table without rows says so.
    #[must_use]
    pub fn fit(&self, width: usize) -> (String, Vec<String>) {
        let mut out = String::new();
        let margin = " ".repeat(self.indent);
        if !self.title.is_empty() {
            let title = paragraph(&shown::line(&self.title), width.saturating_sub(self.indent), 2);
            for line in title.lines() {
                let _ = writeln!(out, "{margin}{line}");
            }
        }
        if self.rows.is_empty() {
            let _ = writeln!(out, "{margin}(no rows)");
            return (out, Vec::new());
        }
        let columns = self.columns.iter().enumerate().map(|(at, column)| self.laid(at, column)).collect();
        let (lines, left_out) = layout::lines(columns, width.saturating_sub(self.indent));
        for line in lines {
            out.push_str(format!("{margin}{line}").trim_end());
            out.push('\n');
        }
        (out, left_out)
    }

    /// As [`Grid::fit`], with a last line that names the columns left out.
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        let (mut text, left_out) = self.fit(width);
        for line in not_shown(&left_out, width.saturating_sub(self.indent)).lines() {
            let _ = writeln!(text, "{}{line}", " ".repeat(self.indent));
        }
        text
    }

    fn laid(&self, at: usize, column: &GridColumn) -> layout::Laid {
        let cells = || self.rows.iter().map(move |row| row.get(at).unwrap_or(&Cell::Null(())));
        let reals: Vec<f64> =
            cells().filter_map(|cell| if let Cell::Real(value) = cell { Some(*value) } else { None }).collect();
        let style = RealStyle::of(&reals);
        let texts = cells().map(|cell| match cell {
            Cell::Int(value) => thousands(*value),
            Cell::Real(value) => style.text(*value),
            Cell::Text(text) => shown::line(text).into_owned(),
            Cell::Null(()) => "-".to_owned(),
        });
        let numbers = at > 0 && !cells().any(|cell| matches!(cell, Cell::Text(_)));
        layout::Laid {
            head: shown::line(&column.head).into_owned(),
            cells: texts.collect(),
            right: column.align.map_or(numbers, |align| align == Align::Right),
            priority: column.priority,
            shortest: column.shortest,
        }
    }
}

impl From<&Table> for Grid {
    /// A stage's table: its first column always stays, and of the others the last goes first.
    fn from(table: &Table) -> Self {
        const SHORTEST: usize = 24;
        let column = |(at, head): (usize, &String)| {
            let text = table.rows.iter().any(|row| matches!(row.get(at), Some(Cell::Text(_))));
            let column = GridColumn::new(head.as_str()).priority(u8::try_from(at).unwrap_or(u8::MAX));
            if text && at > 0 { column.shortest(SHORTEST) } else { column }
        };
        let columns = table.columns.iter().enumerate().map(column).collect();
        Self { title: table.title.clone(), columns, rows: table.rows.clone(), indent: 0 }
    }
}

/// Note that names the columns left out of a table, in lines of at most `width` columns; empty if there are none.
#[must_use]
pub fn not_shown(left_out: &[String], width: usize) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    let heads: Vec<_> = left_out.iter().map(|head| shown::line(head)).collect();
    wrapped(&format!("(not shown at this width: {})", heads.join(", ")), width).join("\n") + "\n"
}

/// A stage's table as lines of at most `width` columns: [`Grid::render`].
#[must_use]
pub fn render(table: &Table, width: usize) -> String {
    Grid::from(table).render(width)
}

/// A summary as people read it: the headline, the tables, the warnings, an empty line between them.
#[must_use]
pub fn render_summary(summary: &Summary, width: usize) -> String {
    let mut parts = Vec::new();
    if !summary.headline.is_empty() {
        parts.push(paragraph(&shown::line(&summary.headline), width, 0));
    }
    parts.extend(summary.tables.iter().map(|table| render(table, width)));
    let warnings = summary
        .warnings
        .iter()
        .map(|warning| paragraph(&format!("warning[{}]: {}", warning.code, shown::line(&warning.text)), width, 2));
    let warnings: String = warnings.collect();
    if !warnings.is_empty() {
        parts.push(warnings);
    }
    parts.join("\n")
}

/// Text in lines of at most `width` columns, all but the first indented.
#[must_use]
pub fn paragraph(text: &str, width: usize, indent: usize) -> String {
    let lines = flow(text, width, width.saturating_sub(indent));
    let margin = " ".repeat(indent);
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let _ = writeln!(out, "{}{line}", if at == 0 { "" } else { &margin });
    }
    out
}

/// A name, and words from `column` on, in lines of at most `width` columns.
#[must_use]
pub fn entry(name: &str, column: usize, words: &str, width: usize) -> String {
    let begins = column.max(name.width() + 1);
    let column = if width.saturating_sub(column) < LEAST_WORDS { LEAST_WORDS.min(width / 4) } else { column };
    let lines = flow(words, width.saturating_sub(begins), width.saturating_sub(column));
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let (name, column) = if at == 0 { (name, begins) } else { ("", column) };
        let fill = " ".repeat(column - name.width().min(column));
        let _ = writeln!(out, "{}", format!("{name}{fill}{line}").trim_end());
    }
    out
}

/// Fewest columns for words that stand next to a name.
const LEAST_WORDS: usize = 20;

/// A whole number with thousands separated: `136,237`.
#[must_use]
pub fn thousands(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", crate::base::figure::thousands(value.unsigned_abs()))
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
            render(&counts, 80),
            "patches\n        healthy      MA  note\nbefore  136,237  11,993  as cut\nafter    47,914       -  1:1\n",
        );
    }

    #[test]
    fn metrics_have_three_decimals_and_rates_an_exponent() {
        let reals = |values: &[f64]| -> Vec<String> {
            let rows = values.iter().map(|&value| vec![text("a"), Cell::Real(value)]).collect();
            render(&table("", &["", "x"], rows), 80).lines().skip(1).map(|line| line[1..].trim().to_owned()).collect()
        };
        assert_eq!(reals(&[0.7, 0.15]), ["0.700", "0.150"]);
        assert_eq!(reals(&[0.478_449, 1.0]), ["0.478", "1.000"]);
        assert_eq!(reals(&[2.0, 1234.5]), ["2.0", "1,234.5"]);
        assert_eq!(reals(&[1.251, 3.062_49]), ["1.251", "3.062"]);
        assert_eq!(reals(&[1e-4, 5e-5]), ["1.0e-4", "5.0e-5"]);
        assert_eq!(reals(&[2e-3, 2.2e-9]), ["2.0e-3", "2.2e-9"]);
        assert_eq!(reals(&[f64::NAN, -0.5]), ["-", "-0.500"]);
        assert_eq!(reals(&[f64::INFINITY, 0.0]), ["inf", "0.000"]);
    }

    fn scores() -> Grid {
        let columns = [
            GridColumn::new("class"),
            GridColumn::new("average precision"),
            GridColumn::new("found in").shortest(6).priority(1),
            GridColumn::new("recall").priority(2),
        ];
        let row = |class: &str, found: &str| vec![text(class), Cell::Real(0.5), text(found), Cell::Real(0.25)];
        Grid::new(columns).title("scores").rows([row("MA", "photograph 12"), row("soft exudates", "none")])
    }

    #[test]
    fn heads_go_into_two_lines_before_cells_are_cut_and_cells_before_columns_go() {
        let lines = |width: usize| {
            let text = scores().render(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            text
        };
        assert_eq!(
            lines(80),
            "scores\nclass          average precision  found in       recall\nMA                         0.500  photograph 12   0.250\n\
             soft exudates              0.500  none            0.250\n"
        );
        assert_eq!(
            lines(48),
            "scores\n                 average\nclass          precision  found in       recall\nMA                 0.500  photograph 12   0.250\n\
             soft exudates      0.500  none            0.250\n"
        );
        assert_eq!(
            lines(42),
            "scores\n                 average\nclass          precision  found in  recall\n\
             MA                 0.500  photogr…   0.250\nsoft exudates      0.500  none       0.250\n"
        );
        assert_eq!(
            lines(32),
            "scores\n                 average  found\nclass          precision  in\nMA                 0.500  photo…\n\
             soft exudates      0.500  none\n(not shown at this width:\nrecall)\n"
        );
    }

    #[test]
    fn a_table_fits_any_width_and_cuts_even_what_must_stay() {
        for width in 10..60 {
            let (text, left_out) = scores().title("").indent(2).fit(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            assert!(width > 40 || !left_out.is_empty(), "{width}: {left_out:?}");
        }
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
            render_summary(&summary, 80),
            "2 patches\n\nt\n(no rows)\n\nwarning[class-missing]: no `SE`\\u001b[2J\n"
        );
    }

    #[test]
    fn counts_and_sizes_read_well() {
        assert_eq!([0, 999, 1000, -1_234_567].map(thousands), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!(counted(1, "patch", "patches"), "1 patch");
        assert_eq!(counted(9504, "patch", "patches"), "9,504 patches");
    }
}
