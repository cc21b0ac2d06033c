//! A user's table of facts about photographs: one column of a CSV or Parquet file, by the column `photograph`. Knows nothing of what the
//! column means.

use std::collections::BTreeMap;

use super::text_table::{TextRow, TextTable, is_missing};
use crate::base::figure::counted;
use crate::stage::StageError;
use crate::store::{Objects, Tree};

/// Column that names the photographs.
const PHOTOGRAPH: &str = "photograph";

/// Value of one column for each photograph; [`None`] if it is missing.
#[derive(Clone, Debug, PartialEq)]
pub enum PhotographFact {
    /// Numbers.
    Numbers(BTreeMap<String, Option<f64>>),
    /// Texts.
    Texts(BTreeMap<String, Option<String>>),
}

impl PhotographFact {
    /// Reads a column of the table in a tree, which must be its only file.
    ///
    /// # Errors
    /// `photograph-table`; store errors.
    pub fn find(tree: &Tree, column: &str, objects: &Objects) -> Result<Self, StageError> {
        let mut files = tree.entries.iter();
        let (Some((name, entry)), None) = (files.next(), files.next()) else {
            let count = counted(tree.entries.len() as u64, "file", "files");
            return Err(wrong(format!("expected one table, found {count}")).hint("name the file at `path` of `files`"));
        };
        Self::read(name, &objects.read(entry)?, column)
    }

    /// Reads a column; the extension of `name` distinguishes Parquet from CSV.
    ///
    /// # Errors
    /// `photograph-table`.
    pub fn read(name: &str, bytes: &[u8], column: &str) -> Result<Self, StageError> {
        let cells = cells(name, bytes, column).map_err(|text| wrong(format!("`{name}`: {text}")))?;
        let mut all = BTreeMap::new();
        for (photograph, cell) in cells {
            if let Some(photograph) = all.insert(photograph.clone(), cell).map(|_| photograph) {
                let text = format!("`{name}`: photograph `{photograph}` occurs twice");
                return Err(wrong(text).hint("keep one row for each photograph"));
            }
        }
        let number = |text: &String| text.parse::<f64>().ok().filter(|_| !is_missing(text));
        let there = || all.iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let other = there().find(|(_, text)| number(text).is_none() && !is_missing(text));
        if other.is_some() {
            return Ok(Self::Texts(all));
        }
        if let Some((photograph, text)) = there().find(|(_, text)| number(text).is_some_and(f64::is_infinite)) {
            let text = format!("`{name}`: `{column}` of photograph `{photograph}` is `{text}`, not a finite number");
            return Err(wrong(text).hint("leave the cell empty if the number is unknown"));
        }
        let numbers = all.iter().map(|(name, text)| (name.clone(), text.as_ref().and_then(number)));
        Ok(Self::Numbers(numbers.collect()))
    }

    /// A cell that made a column text although most of its cells are numbers, and its photograph: a mistake in writing, perhaps.
    #[must_use]
    pub fn odd_cell(&self) -> Option<(&str, &str)> {
        let Self::Texts(cells) = self else { return None };
        let cells = cells.iter().filter_map(|(name, text)| Some((name.as_str(), text.as_deref()?)));
        let (numbers, texts): (Vec<_>, Vec<_>) = cells.partition(|(_, text)| text.parse::<f64>().is_ok());
        texts.first().copied().filter(|_| numbers.len() > texts.len())
    }

    /// Whether it has a row for a photograph.
    #[must_use]
    pub fn has(&self, photograph: &str) -> bool {
        match self {
            Self::Numbers(values) => values.contains_key(photograph),
            Self::Texts(values) => values.contains_key(photograph),
        }
    }
}

/// Name of each photograph and the text of its cell; [`None`] if the cell is empty.
fn cells(name: &str, bytes: &[u8], column: &str) -> Result<Vec<(String, Option<String>)>, String> {
    // Always commas: a table that was read before is read alike.
    let table = TextTable::read(name, bytes, Some(','), &|name| name == PHOTOGRAPH || name == column);
    let table = table.map_err(|mistakes| mistakes.into_iter().next().unwrap_or_default())?;
    let [photograph, wanted] = [table.column(PHOTOGRAPH)?, table.column(column)?];
    let named = |row: &TextRow| {
        let name = row.cells[photograph].clone().or_else(|| table.is_csv().then(String::new));
        let name = name.ok_or_else(|| format!("column `{PHOTOGRAPH}` has a null"))?;
        let cell = if table.is_csv() { row.cell(wanted).map(str::to_owned) } else { row.cells[wanted].clone() };
        Ok((name, cell))
    };
    table.rows.iter().map(named).collect()
}

fn wrong(text: String) -> StageError {
    StageError::input("photograph-table", text)
        .hint("write a row for each photograph, with its name without the extension in the column `photograph`")
        .field("table")
}

#[cfg(test)]
mod tests {
    use super::super::table::{Column, Columns};
    use super::*;

    fn read(text: &str, column: &str) -> Result<PhotographFact, String> {
        PhotographFact::read("facts.csv", text.as_bytes(), column).map_err(|error| error.to_string())
    }

    #[test]
    fn a_column_is_numbers_if_all_its_cells_are() {
        let text = "photograph,camera,age\na,Canon,40\nb,,\nc,Topcon,38.5\n";
        let texts = [("a", Some("Canon")), ("b", None), ("c", Some("Topcon"))];
        let texts = texts.map(|(name, cell)| (name.to_owned(), cell.map(str::to_owned)));
        assert_eq!(read(text, "camera"), Ok(PhotographFact::Texts(texts.into())));
        let numbers = [("a", Some(40.0)), ("b", None), ("c", Some(38.5))].map(|(name, cell)| (name.to_owned(), cell));
        assert_eq!(read(text, "age"), Ok(PhotographFact::Numbers(numbers.clone().into())));
        for missing in ["NA", "nan", "N/A", "NULL", " . "] {
            let text = format!("photograph,age\na,40\nb,{missing}\nc,38.5\n");
            assert_eq!(read(&text, "age"), Ok(PhotographFact::Numbers(numbers.clone().into())), "{missing}");
        }
        let mostly = read("photograph,age\na,40\nb,\"38,5\"\nc,38.5\n", "age").expect("text");
        assert_eq!(mostly.odd_cell(), Some(("b", "38,5")));
        assert_eq!(read(text, "camera").expect("text").odd_cell(), None);
        let column = |values: Vec<Option<f64>>| Column::Real(values);
        let mut table = Columns::default();
        table.push("photograph", Column::Text(["a", "b", "c"].map(|name| Some(name.to_owned())).to_vec()));
        table.push("age", column(vec![Some(40.0), Some(f64::NAN), Some(38.5)]));
        let bytes = table.to_parquet().expect("a table");
        let found = PhotographFact::read("facts.parquet", &bytes, "age").expect("readable");
        assert_eq!(found, PhotographFact::Numbers(numbers.into()));
    }

    #[test]
    fn a_table_that_cannot_be_joined_is_refused() {
        let refused = |text: &str, words: &str| {
            let error = read(text, "camera").expect_err("it cannot be joined");
            assert!(error.contains(words), "{error}");
        };
        refused("", "it is empty");
        refused("photograph,kind\na,1\n", "column `camera` is missing; its columns are `photograph`, `kind`");
        refused("photograph,Camera\na,1\n", "column `camera` is missing (did you mean `Camera`?)");
        refused("name,camera\na,1\n", "column `photograph` is missing");
        refused("photograph,camera\na,1\na,2\n", "photograph `a` occurs twice");
        refused("photograph,camera\na\n", "line 2 has 1 cell,");
        refused("photograph,camera\na,1\nb,inf\n", "`camera` of photograph `b` is `inf`, not a finite number");
    }
}
