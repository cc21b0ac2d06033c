//! A user's table, CSV or Parquet, with every cell as text and the place of each row. Knows nothing of what the columns mean.

use super::csv::{self, records_separated};
use super::table::{Column, Columns, TableError};
use crate::base::figure::counted;
use crate::lang::near::near;

/// Cells that mean a missing value, in lower case: as pandas, R and spreadsheets write it.
const MISSING: [&str; 8] = ["na", "n/a", "#n/a", "<na>", "nan", "null", "none", "."];

/// Whether a cell means that the value is missing.
#[must_use]
pub fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING.contains(&cell.to_ascii_lowercase().as_str())
}

/// A table of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct TextTable {
    heads: Vec<String>,
    /// Its rows.
    pub rows: Vec<TextRow>,
    /// What the number of a row counts: `line` in CSV, `row` in Parquet.
    unit: &'static str,
}

/// A row of a [`TextTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRow {
    /// Line on which it begins in CSV, number of the row in Parquet, from 1.
    pub number: usize,
    /// Cells as they are; [`None`] if empty.
    pub cells: Vec<Option<String>>,
}

impl TextRow {
    /// A cell without surrounding blanks; [`None`] if nothing is left.
    #[must_use]
    pub fn cell(&self, column: usize) -> Option<&str> {
        self.cells[column].as_deref().map(str::trim).filter(|cell| !cell.is_empty())
    }
}

/// A text file as text.
///
/// # Errors
/// Its encoding, if that is known, or the line at which it is not UTF-8.
pub fn decoded(bytes: &[u8]) -> Result<&str, String> {
    let save = "save it as \"CSV UTF-8\"";
    // Without a mark, every other byte of Latin text is 0.
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).take(64).filter(|byte| **byte == 0).count();
    let wide = bytes.len() >= 8 && (zeros(0) > 16 || zeros(1) > 16 || 2 * zeros(0).max(zeros(1)) > bytes.len() / 2);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || wide {
        return Err(format!("it is UTF-16 (\"Unicode text\" of spreadsheets); {save}"));
    }
    if let Some(what) = binary(bytes) {
        return Err(format!("it is {what}"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("it is not UTF-8 (line {line}); {save}")
    })
}

/// What a file is by its first bytes, and what to do; [`None`] if it may be text.
fn binary(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "compressed by gzip: unpack it with `gunzip`"),
        (b"\x28\xb5\x2f\xfd", "compressed by Zstandard: unpack it with `unzstd`"),
        (b"\xfd7zXZ\0", "compressed by xz: unpack it with `unxz`"),
        (b"BZh", "compressed by bzip2: unpack it with `bunzip2`"),
        (b"PK\x03\x04", "a ZIP archive, or a spreadsheet such as .xlsx: unpack it, or save the table as \"CSV UTF-8\""),
        (b"\xd0\xcf\x11\xe0", "a spreadsheet (.xls): save the table as \"CSV UTF-8\""),
        (b"PAR1", "a Parquet file: its name should end in `.parquet`"),
    ];
    kinds.into_iter().find_map(|(start, what)| bytes.starts_with(start).then_some(what))
}

/// What a file is that is not text: `is compressed by gzip: …`.
#[must_use]
pub fn not_text(bytes: &[u8]) -> String {
    binary(bytes).map_or_else(|| "is not UTF-8".to_owned(), |what| format!("is {what}"))
}

impl TextTable {
    /// Reads a table; the extension of `name` distinguishes Parquet from CSV, whose cells are separated by `separator`, or, without one, by
    /// `,`, `;` or tabs. Of Parquet, only the columns that are `wanted` are read; the others may be of any type.
    ///
    /// # Errors
    /// Every problem with the table, each with its line.
    pub fn read(
        name: &str,
        bytes: &[u8],
        separator: Option<char>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Vec<String>> {
        let is_csv = name.rsplit_once('.').is_none_or(|(_, ending)| !ending.eq_ignore_ascii_case("parquet"));
        if is_csv {
            Self::from_csv(bytes, separator)
        } else {
            Self::from_parquet(bytes, wanted).map_err(|text| vec![text])
        }
    }

    /// Names of its columns.
    #[must_use]
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// Whether it is CSV, in which an empty cell is a text.
    #[must_use]
    pub fn is_csv(&self) -> bool {
        self.unit == "line"
    }

    fn from_csv(bytes: &[u8], separator: Option<char>) -> Result<Self, Vec<String>> {
        let text = decoded(bytes).map_err(|text| vec![text])?;
        let separator = separator.unwrap_or_else(|| csv::separator(text));
        let mut records = records_separated(text, separator).map_err(|text| vec![text])?.into_iter().peekable();
        // Excel reads the separator from such a line.
        records.next_if(|record| record.line == 1 && record.cells.concat().trim().starts_with("sep="));
        let heads = records.next().ok_or_else(|| vec!["it is empty".to_owned()])?.cells;
        let heads: Vec<String> = heads.iter().map(|head| head.trim().to_owned()).collect();
        let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
        for record in records {
            let (here, there) = (record.cells.len(), heads.len());
            if here != there {
                let here = counted(here as u64, "cell", "cells");
                mistakes.push(format!("line {} has {here}, the header {there}", record.line));
                continue;
            }
            let cell = |cell: String| Some(cell).filter(|cell| !cell.is_empty());
            rows.push(TextRow { number: record.line, cells: record.cells.into_iter().map(cell).collect() });
        }
        if mistakes.is_empty() { Ok(Self { heads, rows, unit: "line" }) } else { Err(mistakes) }
    }

    fn from_parquet(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let table = Columns::from_parquet_only(bytes, wanted).map_err(|error| match error {
            TableError::Type(name) => format!("column `{name}` has an unsupported type; write numbers or text"),
            other => other.to_string(),
        })?;
        let mut rows: Vec<TextRow> = (1..=table.rows()).map(|number| TextRow { number, cells: Vec::new() }).collect();
        let mut heads = Vec::new();
        for (name, column) in &table.0 {
            let cells = texts(column).ok_or_else(|| format!("column `{name}` is neither numbers nor text"))?;
            for (row, cell) in rows.iter_mut().zip(cells) {
                row.cells.push(cell);
            }
            heads.push(name.clone());
        }
        Ok(Self { heads, rows, unit: "row" })
    }

    /// Number of a column.
    ///
    /// # Errors
    /// Its name, and what was meant, if it is missing or occurs twice.
    pub fn column(&self, name: &str) -> Result<usize, String> {
        let mut found = self.heads.iter().enumerate().filter(|(_, head)| *head == name);
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Ok(at),
            (Some(_), Some(_)) => Err(format!("two columns are named `{name}`")),
            // The other columns of Parquet were not read.
            (None, _) if self.unit == "row" => Err(format!("column `{name}` is missing")),
            (None, _) => {
                let there: Vec<String> = self.heads.iter().map(|head| format!("`{head}`")).collect();
                let meant = near(name, self.heads.iter().map(String::as_str));
                let meant = meant.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
                Err(format!("column `{name}` is missing{meant}; its columns are {}", there.join(", ")))
            }
        }
    }

    /// Place of a row: `line 12`.
    #[must_use]
    pub fn place(&self, row: &TextRow) -> String {
        format!("{} {}", self.unit, row.number)
    }
}

/// Cells of a column as text; [`None`] for lists.
fn texts(column: &Column) -> Option<Vec<Option<String>>> {
    fn each<T: ToString>(values: &[Option<T>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.as_ref().map(ToString::to_string)).collect()
    }
    // NaN is how pandas writes a missing number.
    let known = |value: &Option<f64>| value.filter(|value| !value.is_nan());
    Some(match column {
        Column::Int(values) => each(values),
        // Signed numbers of 32 bits are read as counts as well.
        Column::Count(values) => each(&values.iter().map(|value| value.map(u32::cast_signed)).collect::<Vec<_>>()),
        Column::Real(values) => each(&values.iter().map(known).collect::<Vec<_>>()),
        Column::Single(values) => each(&values.iter().map(|value| known(&value.map(f64::from))).collect::<Vec<_>>()),
        Column::Bool(values) => each(values),
        Column::Text(values) => each(values),
        Column::Counts(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_of_another_length_are_reported() {
        let mistakes = TextTable::read("a.csv", b"a,b\n1\n1,2\n1,2,3\n", None, &|_| true).expect_err("two short rows");
        assert_eq!(mistakes, ["line 2 has 1 cell, the header 2", "line 4 has 3 cells, the header 2"]);
        let latin = TextTable::read("a.csv", b"a,b\n1,2\nJos\xe9,2\n", None, &|_| true).expect_err("Latin-1");
        assert!(latin[0].contains("line 3"), "{latin:?}");
    }

    #[test]
    fn negative_numbers_of_32_bits_stay_negative() {
        let mut table = Columns::default();
        table.push("MA", Column::Count(vec![Some((-1_i32).cast_unsigned()), Some(1), None]));
        let bytes = table.to_parquet().expect("a table");
        let table = TextTable::read("a.parquet", &bytes, None, &|_| true).expect("a table");
        let cells: Vec<Option<&str>> = table.rows.iter().map(|row| row.cell(0)).collect();
        assert_eq!(cells, [Some("-1"), Some("1"), None]);
    }

    #[test]
    fn columns_are_found_in_tables_of_european_spreadsheets() {
        let table = TextTable::read("a.csv", "\u{feff}sep=;\npath; MA \nx.png; 1 \n".as_bytes(), None, &|_| true)
            .expect("a table");
        let at = table.column("MA").expect("there");
        assert_eq!(table.rows[0].cell(at), Some("1"));
        assert_eq!(table.place(&table.rows[0]), "line 3");
        assert!(table.column("ma").expect_err("another case").contains("did you mean `MA`?"));
    }
}
