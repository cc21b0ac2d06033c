//! Scores of a set's patches as given to the stages that look at them again: predictions, an evaluation, or the pooled evaluations of
//! folds. Knows no stage.

use std::collections::BTreeMap;

use super::threshold_tune::{natural, not_empty};
use crate::data::csv::records;
use crate::data::patches::PatchSet;
use crate::data::predictions::Predictions;
use crate::data::table::{Column, Columns};
use crate::data::text_table;
use crate::learn::evaluation::{ScoredSet, Scores};
use crate::stage::{Ctx, StageError};
use crate::store::{Objects, Tree};

/// Port of the scores.
pub(super) const PORT: &str = "predictions";

/// File with the scores of macula's own stages.
const TABLE: &str = "predictions.parquet";

/// The same from other programs.
const TEXT_TABLE: &str = "predictions.csv";

/// Columns that say which patch a row is, and its fold.
const PLACES: [&str; 4] = ["photograph", "x", "y", "fold"];

/// Scores of a set's patches, with what else is known of them.
pub(super) struct GivenScores<'a> {
    /// Patches and scores.
    pub(super) judged: ScoredSet<'a>,
    /// Fold of each patch, numbered from 0; all 0 without folds.
    pub(super) fold: Vec<u32>,
    /// Whether each class is predicted at tuned thresholds, N x C; [`None`] if none were tuned.
    pub(super) tuned: Option<Vec<bool>>,
    /// Whether they are of a diagnosis: the patches may be those that the model was trained on.
    pub(super) diagnosis: bool,
}

/// The scores at the port, of all patches of `set`.
///
/// # Errors
/// `resampled-evaluation`, `no-patches`, `predictions`; store errors.
pub(super) fn given_scores<'a>(ctx: &Ctx<'_>, set: &'a PatchSet) -> Result<GivenScores<'a>, StageError> {
    natural(&set.info)?;
    not_empty(set)?;
    let tree = ctx.inputs.one(PORT)?;
    let judged = ScoredSet::of_scores(set, Predictions::find(tree, ctx.objects)?.scores(set)?);
    let (fold, tuned) = folds_and_decisions(tree, &judged, ctx.objects)?;
    let diagnosis = match ctx.objects.read_in(tree, "scores.json")? {
        Some(bytes) => {
            let scores: Scores = serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))?;
            scores.diagnosis
        }
        None => false,
    };
    Ok(GivenScores { judged, fold, tuned, diagnosis })
}

fn wrong(text: &str) -> StageError {
    let hint = "write the number of the fold, from 1, in each row, or leave the column out";
    StageError::input("predictions", format!("table of predictions: {text}")).hint(hint).field(PORT)
}

/// Fold of each patch, and decisions at tuned thresholds if the table has them for all classes.
fn folds_and_decisions(
    tree: &Tree,
    judged: &ScoredSet<'_>,
    objects: &Objects,
) -> Result<(Vec<u32>, Option<Vec<bool>>), StageError> {
    let one_fold = || vec![0; judged.scored.rows()];
    let is_wanted = |name: &str| PLACES.contains(&name) || name.starts_with("tuned.");
    let table = if let Some(bytes) = objects.read_in(tree, TABLE)? {
        Columns::from_parquet_only(&bytes, &is_wanted).map_err(|error| wrong(&error.to_string()))?
    } else if let Some(bytes) = objects.read_in(tree, TEXT_TABLE)? {
        text_table(&bytes).map_err(|error| wrong(&error))?
    } else {
        return Ok((one_fold(), None));
    };
    let decisions = judged.set.info.classes.iter().map(|class| match table.get(&format!("tuned.{class}")) {
        Some(Column::Bool(cells)) => cells.iter().copied().collect(),
        _ => None,
    });
    let decisions: Option<Vec<Vec<bool>>> = decisions.collect();
    if table.get("fold").is_none() && decisions.is_none() {
        return Ok((one_fold(), None));
    }
    let order = order(&table, judged)?;
    let fold = match table.get("fold") {
        Some(column) => {
            let folds = whole(column).ok_or_else(|| wrong("column `fold` must have whole numbers"))?;
            let mut numbers: Vec<u32> = order.iter().map(|&at| folds[at]).collect();
            numbers.sort_unstable();
            numbers.dedup();
            order.iter().map(|&at| numbers.partition_point(|number| *number < folds[at]) as u32).collect()
        }
        None => one_fold(),
    };
    let tuned =
        decisions.map(|of_class| order.iter().flat_map(|&at| of_class.iter().map(move |cells| cells[at])).collect());
    Ok((fold, tuned))
}

/// Photograph, place and fold of each row of a table as CSV. A cell that is not a number is a null.
fn text_table(bytes: &[u8]) -> Result<Columns, String> {
    let text = text_table::decoded(bytes)?;
    let records = records(text)?;
    let (heads, rows) = records.split_first().ok_or_else(|| "it is empty".to_owned())?;
    let mut table = Columns::default();
    for (at, name) in heads.cells.iter().enumerate().filter(|(_, name)| PLACES.contains(&name.as_str())) {
        let cells = rows.iter().map(|row| row.cells.get(at));
        let column = if name == "photograph" {
            Column::Text(cells.map(Option::<&String>::cloned).collect())
        } else {
            Column::Real(cells.map(|cell| cell?.trim().parse().ok()).collect())
        };
        table.push(name.clone(), column);
    }
    Ok(table)
}

/// Row of the table for each patch of the set.
fn order(table: &Columns, judged: &ScoredSet<'_>) -> Result<Vec<usize>, StageError> {
    let names = table.texts("photograph").map_err(|error| wrong(&error.to_string()))?;
    let place =
        |name: &str| table.get(name).and_then(whole).ok_or_else(|| wrong(&format!("`{name}` must have whole numbers")));
    let (xs, ys) = (place("x")?, place("y")?);
    let rows: BTreeMap<(&str, u32, u32), usize> =
        names.iter().enumerate().filter_map(|(at, name)| Some(((name.as_deref()?, xs[at], ys[at]), at))).collect();
    let row = |(part, row): (&crate::data::patches::Part, &crate::data::patches::PatchRow)| {
        let found = rows.get(&(part.photograph.as_str(), row.x, row.y));
        found.copied().ok_or_else(|| wrong(&format!("no row of `{}` at {}, {}", part.photograph, row.x, row.y)))
    };
    judged.rows().map(row).collect()
}

/// Cells of a column of whole numbers without nulls.
fn whole(column: &Column) -> Option<Vec<u32>> {
    let real =
        |value: f64| (value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32);
    match column {
        Column::Count(cells) => cells.iter().copied().collect(),
        Column::Int(cells) => cells.iter().map(|cell| u32::try_from((*cell)?).ok()).collect(),
        Column::Real(cells) => cells.iter().map(|cell| real((*cell)?)).collect(),
        _ => None,
    }
}
