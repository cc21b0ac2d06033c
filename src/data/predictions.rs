//! Predictions that another program made: `predictions.parquet` or `predictions.csv`, and the patches that such a program is
//! given as `patches.csv`. Knows neither networks nor figures.
//!
//! A table of predictions has a row for each patch: `photograph`, `x` and `y` say which (as `patches.csv` and the parts do),
//! and `score.CLASS` is the probability of each class, from 0 to 1. Other columns are left alone, so that what `eval` writes can be
//! read again.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::patches::{Label, PatchSet};
use super::table::{Column, Columns, TableError};
use crate::stage::StageError;
use crate::store::{Objects, Tree};

/// The scores of patches, by photograph, x and y.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The classes that have a column.
    pub classes: Vec<String>,
    rows: BTreeMap<(String, u32, u32), Vec<f64>>,
}

/// The names under which a table of predictions is looked for.
pub const NAMES: [&str; 2] = ["predictions.parquet", "predictions.csv"];

impl Predictions {
    /// The predictions that a tree holds.
    ///
    /// # Errors
    /// `predictions` where there are none, or they can't be read; or the store's.
    pub fn find(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        for name in NAMES {
            if let Some(bytes) = objects.read_in(tree, name)? {
                return Self::read(name, &bytes);
            }
        }
        Err(wrong("there is neither `predictions.parquet` nor `predictions.csv`".to_owned()))
    }

    /// Reads a table; `name` says by its ending whether it is Parquet or text.
    ///
    /// # Errors
    /// `predictions`.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let text = name.rsplit_once('.').is_some_and(|(_, ending)| ending == "csv");
        let columns = if text { from_csv(bytes) } else { from_parquet(bytes) };
        columns.and_then(|columns| Self::of(&columns)).map_err(|reason| wrong(format!("`{name}`: {reason}")))
    }

    fn of(columns: &BTreeMap<String, Cells>) -> Result<Self, String> {
        let column = |name: &str| columns.get(name).ok_or_else(|| format!("there is no column `{name}`"));
        let names = match column("photograph")? {
            Cells::Text(names) => names.clone(),
            Cells::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
        };
        let place = |name: &str| -> Result<Vec<u32>, String> {
            let whole = |&value: &f64| {
                (value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
            };
            let cells: Option<Vec<u32>> = column(name)?.numbers(name)?.iter().map(whole).collect();
            cells.ok_or_else(|| format!("`{name}` holds what is no whole number of pixels"))
        };
        let (xs, ys) = (place("x")?, place("y")?);
        let scores = columns.iter().filter_map(|(name, cells)| Some((name.strip_prefix("score.")?, name, cells)));
        let mut classes = Vec::new();
        let mut by_class = Vec::new();
        for (class, name, cells) in scores {
            let cells = cells.numbers(name)?;
            if let Some(odd) = cells.iter().find(|score| !(0.0..=1.0).contains(*score)) {
                return Err(format!("`{name}` holds {odd}: a score is a probability from 0 to 1 (not a logit)"));
            }
            classes.push(class.to_owned());
            by_class.push(cells);
        }
        if classes.is_empty() {
            return Err("there is no column `score.CLASS`, such as `score.MA`".to_owned());
        }
        let mut rows = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            let scores = by_class.iter().map(|cells| cells[at]).collect();
            if rows.insert((name.clone(), xs[at], ys[at]), scores).is_some() {
                return Err(format!("the patch of `{name}` at {}, {} stands there twice", xs[at], ys[at]));
            }
        }
        Ok(Self { classes, rows })
    }

    /// The scores of one patch, in the order of [`Predictions::classes`].
    #[must_use]
    pub fn of_patch(&self, photograph: &str, x: u32, y: u32) -> Option<&[f64]> {
        self.rows.get(&(photograph.to_owned(), x, y)).map(Vec::as_slice)
    }

    /// The scores of a set's patches, N x C in the set's order of patches and classes.
    ///
    /// # Errors
    /// `predictions` where a class or a patch has none.
    pub fn scores(&self, set: &PatchSet) -> Result<Vec<f64>, StageError> {
        let place = |class: &String| {
            self.classes.iter().position(|own| own == class).ok_or_else(|| {
                wrong(format!("there is no column `score.{class}`"))
                    .hint("write a column for each class of the patches that are evaluated")
            })
        };
        let order: Vec<usize> = set.info.classes.iter().map(place).collect::<Result<_, _>>()?;
        let mut scores = Vec::new();
        for (part, row) in set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row))) {
            let found = self.of_patch(&part.photograph, row.x, row.y).ok_or_else(|| {
                wrong(format!("the patch of `{}` at {}, {} has no prediction", part.photograph, row.x, row.y))
                    .hint("predict every patch that is evaluated: `inputs/patches/patches.csv` lists them")
            })?;
            scores.extend(order.iter().map(|&class| found[class]));
        }
        Ok(scores)
    }

    /// How many patches have scores.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Every patch of a set as text, for programs that do not read Parquet: `photograph`, `x`, `y`, `index` (its row in
/// `shards/PHOTOGRAPH.safetensors`), `copies`, then each class (1, 0, or nothing where it is unknown).
#[must_use]
pub fn patches_csv(set: &PatchSet) -> String {
    let mut text = String::from("photograph,x,y,index,copies");
    for class in &set.info.classes {
        let _ = write!(text, ",{}", quoted(class));
    }
    text.push('\n');
    for (part, row) in set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row))) {
        let _ = write!(text, "{},{},{},{},{}", quoted(&part.photograph), row.x, row.y, row.index, row.copies);
        for label in &row.labels {
            text.push_str(match label {
                Label::Absent => ",0",
                Label::Present => ",1",
                Label::Unknown => ",",
            });
        }
        text.push('\n');
    }
    text
}

/// The values of a column of another program's.
#[derive(Clone, Debug, PartialEq)]
enum Cells {
    Numbers(Vec<f64>),
    Text(Vec<String>),
}

impl Cells {
    fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        match self {
            Self::Numbers(cells) => Ok(cells.clone()),
            Self::Text(cells) => cells
                .iter()
                .map(|cell| cell.trim().parse().map_err(|_| format!("`{name}` holds `{cell}`, which is no number")))
                .collect(),
        }
    }
}

fn from_parquet(bytes: &[u8]) -> Result<BTreeMap<String, Cells>, String> {
    let table = Columns::from_parquet(bytes).map_err(|error| match error {
        TableError::Type(name) => format!("column `{name}` has a type that is not read; write numbers and text"),
        TableError::Parquet(error) if error.to_string().contains("Disabled feature") => {
            "it is compressed, which is not read: write it with `compression=None`".to_owned()
        }
        other => other.to_string(),
    })?;
    let null = |name: &str| format!("column `{name}` has a null");
    let mut found = BTreeMap::new();
    for (name, column) in &table.0 {
        if !(["photograph", "x", "y"].contains(&name.as_str()) || name.starts_with("score.")) {
            continue;
        }
        let numbers = |values: Option<Vec<f64>>| values.map(Cells::Numbers).ok_or_else(|| null(name));
        let cells = match column {
            Column::Int(values) => numbers(values.iter().map(|value| value.map(|value| value as f64)).collect())?,
            Column::Count(values) => numbers(values.iter().map(|value| value.map(f64::from)).collect())?,
            Column::Real(values) => numbers(values.iter().copied().collect())?,
            Column::Single(values) => numbers(values.iter().map(|value| value.map(f64::from)).collect())?,
            Column::Text(values) => {
                let values: Option<Vec<String>> = values.iter().cloned().collect();
                Cells::Text(values.ok_or_else(|| null(name))?)
            }
            Column::Bool(_) | Column::Counts(_) => return Err(format!("column `{name}` is neither numbers nor text")),
        };
        found.insert(name.clone(), cells);
    }
    Ok(found)
}

fn from_csv(bytes: &[u8]) -> Result<BTreeMap<String, Cells>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let heads = lines.next().map(|(_, line)| cells(line)).ok_or("it is empty")?;
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); heads.len()];
    for (number, line) in lines {
        let row = cells(line);
        if row.len() != heads.len() {
            return Err(format!("line {} has {} cells, the first {}", number + 1, row.len(), heads.len()));
        }
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    Ok(heads.into_iter().zip(columns.into_iter().map(Cells::Text)).collect())
}

/// The cells of a line, as RFC 4180 has them, without line breaks within.
fn cells(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut within = false;
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let cell = found.len() - 1;
        match char {
            '"' if within && chars.peek() == Some(&'"') => {
                chars.next();
                found[cell].push('"');
            }
            '"' => within = !within,
            ',' if !within => found.push(String::new()),
            other => found[cell].push(other),
        }
    }
    found
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

fn wrong(text: String) -> StageError {
    StageError::input("predictions", text)
        .hint("a row for each patch: `photograph`, `x`, `y`, and `score.CLASS` (0 to 1) for each class")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Predictions, String> {
        Predictions::read("predictions.csv", text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_of_text_is_read_by_its_heads() {
        let found =
            read("score.MA,photograph,y,x,note\n0.25,\"a,\"\"b\"\"\",64,0,hm\n1,c,0,0,\n").expect("predictions");
        assert_eq!(found.classes, ["MA"]);
        assert_eq!(found.rows[&("a,\"b\"".to_owned(), 0, 64)], [0.25]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_no_prediction_is_refused_with_its_place() {
        let refused = |text: &str, words: &str| {
            let told = read(text).expect_err("it is no table of predictions");
            assert!(told.contains(words), "{told}");
        };
        refused("", "it is empty");
        refused("photograph,x,y\na,0,0\n", "no column `score.CLASS`");
        refused("photograph,x,score.MA\na,0,1\n", "no column `y`");
        refused("photograph,x,y,score.MA\na,0,0,1.5\n", "not a logit");
        refused("photograph,x,y,score.MA\na,0,0,NaN\n", "not a logit");
        refused("photograph,x,y,score.MA\na,0,0,high\n", "which is no number");
        refused("photograph,x,y,score.MA\na,0.5,0,1\n", "no whole number of pixels");
        refused("photograph,x,y,score.MA\na,0,0,1\na,0,0,0\n", "twice");
        refused("photograph,x,y,score.MA\na,0,0\n", "line 2 has 3 cells");
    }
}
