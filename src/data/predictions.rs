//! Predictions of another program, `predictions.parquet` or `predictions.csv`, and the list of patches given to it, `patches.csv`. Knows
//! neither networks nor metrics.
//!
//! A table of predictions has a row for each patch, identified by `photograph`, `x` and `y` (as in `patches.csv` and the parts), with
//! the probability of each class, 0 to 1, as `score.CLASS`. Other columns are ignored, so the output of `eval` can be read back.
//! Ambiguous tables (two columns or rows for one thing) are rejected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::csv::{quoted, records};
use super::name_normalisation;
use super::patches::{Label, PatchSet};
use super::table::{Column, Columns, TableError};
use crate::stage::StageError;
use crate::store::{Objects, Tree};

/// Scores of patches, by photograph, x and y.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Classes with a column.
    pub classes: Vec<String>,
    rows: BTreeMap<(String, u32, u32), Vec<f64>>,
}

/// File names of a table of predictions.
pub const NAMES: [&str; 2] = ["predictions.parquet", "predictions.csv"];

impl Predictions {
    /// Reads the predictions in a tree.
    ///
    /// # Errors
    /// `predictions` if there is no table, two, or an unreadable one; store errors.
    pub fn find(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let there: Vec<&str> = NAMES.into_iter().filter(|name| tree.get(name).is_some()).collect();
        let name = match there[..] {
            [name] => name,
            [] => return Err(wrong("`predictions.parquet` or `predictions.csv` is missing".to_owned())),
            _ => {
                let text = "found both `predictions.parquet` and `predictions.csv`";
                return Err(wrong(text.to_owned()).hint("remove one of them"));
            }
        };
        let bytes = objects.read_in(tree, name)?;
        Self::read(name, &bytes.ok_or_else(|| StageError::Bug(format!("`{name}` vanished from its tree")))?)
    }

    /// Reads a table; the extension of `name` tells Parquet from CSV.
    ///
    /// # Errors
    /// `predictions`.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let text = name.rsplit_once('.').is_some_and(|(_, ending)| ending == "csv");
        let columns = if text { from_csv(bytes) } else { from_parquet(bytes) };
        columns.and_then(|columns| Self::of(&columns)).map_err(|TableFault { text, help }| {
            let found = wrong(format!("`{name}`: {text}"));
            if let Some(help) = help { found.hint(help) } else { found }
        })
    }

    fn of(columns: &[(String, CellValues)]) -> Result<Self, TableFault> {
        one_of_each(columns)?;
        let column = |name: &str| {
            let found = columns.iter().find(|(own, _)| own == name);
            found.map(|(_, cells)| cells).ok_or_else(|| {
                let near = columns.iter().find(|(own, _)| alike(own) == name);
                let near = near.map_or(String::new(), |(own, _)| format!("; found `{own}`"));
                format!("column `{name}` is missing{near}")
            })
        };
        let names = match column("photograph")? {
            CellValues::Text(names) => names.clone(),
            CellValues::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
        };
        let place = |name: &str| -> Result<Vec<u32>, String> {
            let whole = |&value: &f64| {
                (value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
            };
            let cells: Option<Vec<u32>> = column(name)?.numbers(name)?.iter().map(whole).collect();
            cells.ok_or_else(|| format!("`{name}` holds a value that is not a whole number of pixels"))
        };
        let (xs, ys) = (place("x")?, place("y")?);
        let scores = columns.iter().filter_map(|(name, cells)| Some((name.strip_prefix("score.")?, name, cells)));
        let mut by_class = BTreeMap::new();
        for (class, name, cells) in scores {
            let cells = cells.numbers(name)?;
            if let Some(odd) = cells.iter().find(|score| !(0.0..=1.0).contains(*score)) {
                return Err(
                    format!("`{name}` holds {odd}; scores must be probabilities from 0 to 1, not logits").into()
                );
            }
            by_class.insert(class.to_owned(), cells);
        }
        if by_class.is_empty() {
            return Err("a column `score.CLASS`, such as `score.MA`, is missing".to_owned().into());
        }
        let mut rows = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            let scores = by_class.values().map(|cells| cells[at]).collect();
            if rows.insert((name.clone(), xs[at], ys[at]), scores).is_some() {
                return Err(format!("the patch of `{name}` at {}, {} occurs twice", xs[at], ys[at]).into());
            }
        }
        Ok(Self { classes: by_class.into_keys().collect(), rows })
    }

    /// Scores of one patch, in the order of [`Predictions::classes`].
    #[must_use]
    pub fn of_patch(&self, photograph: &str, x: u32, y: u32) -> Option<&[f64]> {
        self.rows.get(&(photograph.to_owned(), x, y)).map(Vec::as_slice)
    }

    /// Scores of a set's patches, N x C in the set's order of patches and classes.
    ///
    /// # Errors
    /// `predictions` if a class or a patch has no score, or if two columns or photographs of the table are easily confused.
    pub fn scores(&self, set: &PatchSet) -> Result<Vec<f64>, StageError> {
        let classes: BTreeSet<&str> = set.info.classes.iter().map(String::as_str).collect();
        let near_class = near(&classes, self.classes.iter().map(String::as_str));
        let place = |class: &String| {
            let near = near_class.get(alike(class).as_str());
            match (self.classes.iter().position(|own| own == class), near) {
                (Some(at), None) => Ok(at),
                (Some(_), Some(near)) => {
                    Err(wrong(format!("columns `score.{class}` and `score.{near}` are ambiguous"))
                        .hint("remove one of them"))
                }
                (None, near) => {
                    let near = near.map_or(String::new(), |near| format!("; found `score.{near}`"));
                    Err(wrong(format!("column `score.{class}` is missing{near}"))
                        .hint("write a column for each class of the evaluated patches"))
                }
            }
        };
        let order: Vec<usize> = set.info.classes.iter().map(place).collect::<Result<_, _>>()?;
        let photographs: BTreeSet<&str> = set.parts.iter().map(|part| part.photograph.as_str()).collect();
        let named: BTreeSet<&str> = self.rows.keys().map(|(name, ..)| name.as_str()).collect();
        let near_name = near(&photographs, named.iter().copied());
        if let Some(name) = photographs.intersection(&named).find(|name| near_name.contains_key(alike(name).as_str())) {
            let near = near_name[alike(name).as_str()];
            return Err(wrong(format!("photographs `{name}` and `{near}` are ambiguous"))
                .hint("keep the rows of one of them only"));
        }
        let mut scores = Vec::new();
        for (part, row) in set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row))) {
            let found = self.of_patch(&part.photograph, row.x, row.y).ok_or_else(|| {
                let near = near_name.get(alike(&part.photograph).as_str());
                let near = near.map_or(String::new(), |near| format!("; found rows of `{near}`"));
                wrong(format!("the patch of `{}` at {}, {} has no prediction{near}", part.photograph, row.x, row.y))
                    .hint("connect the patches that were scored, or score all of these; a command finds them in `inputs/patches/patches.csv`")
            })?;
            scores.extend(order.iter().map(|&class| found[class]));
        }
        Ok(scores)
    }

    /// Number of patches with scores.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no patch has scores.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// All patches of a set as CSV, for programs that do not read Parquet: `photograph`, `x`, `y`, `index` (row in
/// `shards/PHOTOGRAPH.safetensors`), `copies`, then each class (1, 0, or empty if unknown).
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

/// Values of a column written by another program.
#[derive(Clone, Debug, PartialEq)]
enum CellValues {
    Numbers(Vec<f64>),
    Text(Vec<String>),
}

impl CellValues {
    fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        match self {
            Self::Numbers(cells) => Ok(cells.clone()),
            Self::Text(cells) => cells
                .iter()
                .map(|cell| cell.trim().parse().map_err(|_| format!("`{name}` holds `{cell}`, which is not a number")))
                .collect(),
        }
    }
}

/// Whether a column belongs to a table of predictions, which may have it only once.
fn is_ours(name: &str) -> bool {
    let name = alike(name);
    ["photograph", "x", "y"].contains(&name.as_str()) || name.starts_with("score.")
}

/// A name without surrounding blanks, in NFC and lower case.
fn alike(name: &str) -> String {
    name_normalisation::normalised(name.trim())
}

/// Names of `there` that are not in `wanted` but differ from one of them only in spelling; by normalised name.
fn near<'a>(wanted: &BTreeSet<&str>, there: impl Iterator<Item = &'a str>) -> BTreeMap<String, &'a str> {
    let common: BTreeSet<String> = wanted.iter().map(|name| alike(name)).collect();
    let others = there.filter(|name| !wanted.contains(name)).map(|name| (alike(name), name));
    others.filter(|(name, _)| common.contains(name)).collect()
}

/// Rejects two columns of the same name, and those of which only one can be the photograph, x or y. (Classes may differ by case.)
fn one_of_each(columns: &[(String, CellValues)]) -> Result<(), TableFault> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, _) in columns {
        let same =
            if name.starts_with("score.") { name_normalisation::nfc(name.trim()).into_owned() } else { alike(name) };
        if let Some(first) = seen.insert(same, name) {
            let text = if first == name {
                format!("two columns are named `{name}`")
            } else {
                format!("columns `{first}` and `{name}` have nearly the same name")
            };
            return Err(TableFault { text, help: Some("remove or rename one of them") });
        }
    }
    Ok(())
}

/// A problem of a table, with a hint unless [`wrong`]'s applies.
#[derive(Debug)]
struct TableFault {
    text: String,
    help: Option<&'static str>,
}

impl From<String> for TableFault {
    fn from(text: String) -> Self {
        Self { text, help: None }
    }
}

fn from_parquet(bytes: &[u8]) -> Result<Vec<(String, CellValues)>, TableFault> {
    let table = Columns::from_parquet_only(bytes, &is_ours).map_err(|error| match error {
        TableError::Type(name) => format!("column `{name}` has an unsupported type; write numbers and text").into(),
        TableError::Parquet(error) if error.to_string().contains("Disabled feature") => TableFault {
            text: "its compression is not supported".to_owned(),
            help: Some("write it with `compression=\"zstd\"`, `\"snappy\"` or `None`"),
        },
        TableError::Twice(_) => TableFault { text: error.to_string(), help: Some("remove or rename one of them") },
        other => other.to_string().into(),
    })?;
    let null = |name: &str| format!("column `{name}` has a null");
    let mut found = Vec::new();
    for (name, column) in &table.0 {
        let numbers = |values: Option<Vec<f64>>| values.map(CellValues::Numbers).ok_or_else(|| null(name));
        let cells = match column {
            Column::Int(values) => numbers(values.iter().map(|value| value.map(|value| value as f64)).collect())?,
            Column::Count(values) => numbers(values.iter().map(|value| value.map(f64::from)).collect())?,
            Column::Real(values) => numbers(values.iter().copied().collect())?,
            Column::Single(values) => numbers(values.iter().map(|value| value.map(f64::from)).collect())?,
            Column::Text(values) => {
                let values: Option<Vec<String>> = values.iter().cloned().collect();
                CellValues::Text(values.ok_or_else(|| null(name))?)
            }
            Column::Bool(_) | Column::Counts(_) => {
                return Err(format!("column `{name}` is neither numbers nor text").into());
            }
        };
        found.push((name.clone(), cells));
    }
    Ok(found)
}

fn from_csv(bytes: &[u8]) -> Result<Vec<(String, CellValues)>, TableFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut records = records(text)?.into_iter();
    let heads = records.next().ok_or_else(|| "it is empty".to_owned())?.cells;
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); heads.len()];
    for record in records {
        let (here, wanted) = (record.cells.len(), heads.len());
        if here != wanted {
            return Err(format!("line {} has {here} cells, the header {wanted}", record.line).into());
        }
        for (column, cell) in columns.iter_mut().zip(record.cells) {
            column.push(cell);
        }
    }
    let columns = heads.into_iter().zip(columns.into_iter().map(CellValues::Text));
    Ok(columns.filter(|(name, _)| is_ours(name)).collect())
}

fn wrong(text: String) -> StageError {
    StageError::input("predictions", text)
        .hint("write a row for each patch: `photograph`, `x`, `y`, and `score.CLASS` (0 to 1) for each class")
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
            let told = read(text).expect_err("it is not a table of predictions");
            assert!(told.contains(words), "{told}");
        };
        refused("", "it is empty");
        refused("photograph,x,y\na,0,0\n", "a column `score.CLASS`");
        refused("photograph,x,score.MA\na,0,1\n", "column `y` is missing");
        refused("photograph,x,y,score.MA\na,0,0,1.5\n", "not logits");
        refused("photograph,x,y,score.MA\na,0,0,NaN\n", "not logits");
        refused("photograph,x,y,score.MA\na,0,0,high\n", "which is not a number");
        refused("photograph,x,y,score.MA\na,0.5,0,1\n", "not a whole number of pixels");
        refused("photograph,x,y,score.MA\na,0,0,1\na,0,0,0\n", "twice");
        refused("photograph,x,y,score.MA\na,0,0\n", "line 2 has 3 cells");
        refused("photograph,x,y,score.MA\n\"a,0,0,1\n", "the quote opened on line 2 is never closed");
        refused("Photograph,x,y,score.MA\na,0,0,1\n", "column `photograph` is missing; found `Photograph`");
    }

    #[test]
    fn a_table_that_can_be_read_in_two_ways_is_refused() {
        for (heads, words) in [
            ("photograph,x,y,score.MA,score.MA", "two columns are named `score.MA`"),
            ("photograph,x,y,score.MA,\"score.MA\"", "two columns are named `score.MA`"),
            ("photograph,x,y,score.MA,score.MA ", "columns `score.MA` and `score.MA ` have nearly"),
            ("photograph,x,y,score.MA,X", "columns `x` and `X` have nearly"),
            ("photograph,x,y,score.MA, Photograph", "columns `photograph` and ` Photograph` have nearly"),
        ] {
            let told = read(&format!("{heads}\na,0,0,0.9,0.1\n")).expect_err("ambiguous");
            assert!(told.contains(words), "{told}");
        }
        // Ignored columns may be repeated, and two classes may differ by case.
        assert_eq!(read("photograph,x,y,score.MA,score.ma,note,note\na,0,0,0.9,0.1,,\n").expect("read").len(), 1);

        let one = |name: &str, column: Column| (name.to_owned(), column);
        let score = |value: f64| Column::Real(vec![Some(value)]);
        let mut table = Columns(vec![
            one("photograph", Column::Text(vec![Some("a".to_owned())])),
            one("x", Column::Count(vec![Some(0)])),
            one("y", Column::Count(vec![Some(0)])),
            one("score.MA", score(0.9)),
            one("score.MA", score(0.1)),
        ]);
        let read = |table: &Columns| {
            let bytes = table.to_parquet().expect("a table");
            Predictions::read("predictions.parquet", &bytes).map_err(|error| error.to_string())
        };
        assert!(read(&table).expect_err("ambiguous").contains("two columns are named `score.MA`"));
        "score.MA ".clone_into(&mut table.0[4].0);
        assert!(read(&table).expect_err("ambiguous").contains("nearly the same name"));
        "other".clone_into(&mut table.0[4].0);
        assert_eq!(read(&table).expect("read").of_patch("a", 0, 0), Some(&[0.9][..]));
    }

    #[test]
    fn what_is_written_for_a_program_is_read_back() {
        let name = "two\nlines\r\nand, \"more\"\r";
        let text = format!("photograph,x,y,score.MA\n{},0,0,0.5\n", quoted(name));
        assert_eq!(read(&text).expect("read").of_patch(name, 0, 0), Some(&[0.5][..]));
    }
}
