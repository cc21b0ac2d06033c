//! Evaluations of the same patches, joined by photograph and position.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::figure::thousands;
use crate::data::patches::Label;
use crate::data::table::{Column, Columns};
use crate::learn::evaluation::Scores;
use crate::learn::metrics::paired::{CommonPatches, ModelScores};

/// Evaluation with its table of predictions.
#[derive(Clone, Debug)]
pub struct EvaluationTable {
    /// Name, for messages.
    pub name: String,
    /// Classes.
    pub classes: Vec<String>,
    /// Side of a patch, px, and side of a pixel, original pixels.
    pub size: (u32, u32),
    /// `predictions.parquet`.
    pub table: Columns,
}

impl EvaluationTable {
    /// An evaluation from its metrics and its `predictions.parquet`.
    #[must_use]
    pub fn new(name: String, scores: &Scores, table: Columns) -> Self {
        Self { name, classes: scores.classes.clone(), size: (scores.data.size, scores.data.scale), table }
    }
}

/// Patches that all evaluations have in common, and the scores of each evaluation on them.
#[derive(Clone, Debug)]
pub struct JoinedPatches {
    /// Classes.
    pub classes: Vec<String>,
    /// The patches.
    pub patches: CommonPatches,
    /// Whether every photograph's patient is known, so that units are patients.
    pub patients: bool,
    /// Scores of each evaluation.
    pub models: Vec<ModelScores>,
}

/// Reason why evaluations cannot be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinError {
    /// What differs.
    pub text: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Photograph, x and y of a patch.
type Place<'t> = (&'t str, u32, u32);

/// Columns of an evaluation's table.
struct Rows<'t> {
    /// Rows by patch.
    places: BTreeMap<Place<'t>, usize>,
    patients: &'t [Option<String>],
    scores: Vec<&'t [Option<f64>]>,
    labels: Vec<&'t [Option<bool>]>,
    predicted: Vec<&'t [Option<bool>]>,
    folds: Option<&'t [Option<u32>]>,
}

/// Joins evaluations by patch.
///
/// # Errors
/// A [`JoinError`] if classes, patches, labels or patients differ, or a table is not that of an evaluation.
///
/// # Panics
/// If there is no evaluation: a defect of the caller.
pub fn joined(evaluations: &[EvaluationTable]) -> Result<JoinedPatches, JoinError> {
    let first = &evaluations[0];
    let read: Vec<Rows> = evaluations.iter().map(rows).collect::<Result<_, _>>()?;
    for (other, own) in evaluations.iter().zip(&read).skip(1) {
        same(first, &read[0], other, own)?;
    }
    let classes = first.classes.len();
    let lead = &read[0];
    let (mut photographs, mut units) = (BTreeMap::new(), BTreeMap::new());
    let mut patches = CommonPatches { classes, labels: Vec::new(), photograph: Vec::new(), unit: Vec::new() };
    let empty = || ModelScores { scores: Vec::new(), predicted: Vec::new(), fold: Vec::new() };
    let mut models: Vec<ModelScores> = read.iter().map(|_| empty()).collect();
    for (place, &at) in &lead.places {
        let next = photographs.len() as u32;
        patches.photograph.push(*photographs.entry(place.0).or_insert(next));
        let unit = lead.patients[at].as_deref().map_or((1, place.0), |patient| (0, patient));
        let next = units.len() as u32;
        patches.unit.push(*units.entry(unit).or_insert(next));
        let label = |labels: &&[Option<bool>]| match labels[at] {
            Some(true) => Label::Present,
            Some(false) => Label::Absent,
            None => Label::Unknown,
        };
        patches.labels.extend(lead.labels.iter().map(label));
        for (model, rows) in models.iter_mut().zip(&read) {
            let at = rows.places[place];
            model.scores.extend(rows.scores.iter().map(|scores| scores[at].unwrap_or(f64::NAN)));
            model.predicted.extend(rows.predicted.iter().map(|predicted| predicted[at] == Some(true)));
            model.fold.push(rows.folds.and_then(|folds| folds[at]).map_or(0, |fold| fold.saturating_sub(1)));
        }
    }
    let patients = lead.patients.iter().all(Option::is_some);
    Ok(JoinedPatches { classes: first.classes.clone(), patches, patients, models })
}

fn rows(of: &EvaluationTable) -> Result<Rows<'_>, JoinError> {
    let column = |name: &str| of.table.0.iter().find(|(own, _)| own == name).map(|(_, column)| column);
    let wrong = |name: &str| JoinError {
        text: format!("`predictions.parquet` of {} has no column `{name}`", of.name),
        hint: "compare stages of type `eval` or `pool`",
    };
    let text = |name: &str| if let Some(Column::Text(cells)) = column(name) { Ok(cells) } else { Err(wrong(name)) };
    let count = |name: &str| if let Some(Column::Count(cells)) = column(name) { Ok(cells) } else { Err(wrong(name)) };
    let truth = |name: &str| match column(name) {
        Some(Column::Bool(cells)) => Ok(cells.as_slice()),
        _ => Err(wrong(name)),
    };
    let (photographs, xs, ys) = (text("photograph")?, count("x")?, count("y")?);
    let places = photographs.iter().zip(xs).zip(ys).enumerate().map(|(at, ((photograph, x), y))| {
        ((photograph.as_deref().unwrap_or_default(), x.unwrap_or(0), y.unwrap_or(0)), at)
    });
    let (mut scores, mut labels, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    for class in &of.classes {
        let name = format!("score.{class}");
        match column(&name) {
            Some(Column::Real(cells)) => scores.push(cells.as_slice()),
            _ => return Err(wrong(&name)),
        }
        labels.push(truth(&format!("label.{class}"))?);
        // Decisions are at the tuned thresholds if there are any.
        predicted.push(truth(&format!("tuned.{class}")).or_else(|_| truth(&format!("predicted.{class}")))?);
    }
    let folds = count("fold").ok().map(Vec::as_slice);
    Ok(Rows { places: places.collect(), patients: text("patient")?, scores, labels, predicted, folds })
}

/// Rejects two evaluations of different patches or labels.
fn same(first: &EvaluationTable, own: &Rows, other: &EvaluationTable, theirs: &Rows) -> Result<(), JoinError> {
    let (one, two) = (&first.name, &other.name);
    if first.classes != other.classes {
        let text = format!(
            "{one} and {two} have different classes: {} and {}",
            first.classes.join(" "),
            other.classes.join(" ")
        );
        return Err(JoinError { text, hint: "compare evaluations of the same classes, in the same order" });
    }
    if first.size != other.size {
        let ((size, scale), (other_size, other_scale)) = (first.size, other.size);
        let text = format!(
            "{one} and {two} are evaluated on different patches: {size} px and {other_size} px, with pixels of {scale} \
             and {other_scale} original pixels"
        );
        return Err(JoinError { text, hint: "a paired comparison needs the same patches; vary only the model" });
    }
    let places = |rows: &Rows| rows.places.keys().map(|&(name, x, y)| (name.to_owned(), x, y)).collect::<BTreeSet<_>>();
    let (here, there) = (places(own), places(theirs));
    let common = here.intersection(&there).count();
    if common < here.len() || common < there.len() {
        let text = format!(
            "{one} and {two} are evaluated on different patches: {} in common, {} only in the first, {} only in the second",
            thousands(common as u64),
            thousands((here.len() - common) as u64),
            thousands((there.len() - common) as u64),
        );
        return Err(JoinError {
            text,
            hint: "keep the split: repeat only the training (`repeat 3 only=classifier`), or pool the folds of a \
                   cross-validation (`pool`)",
        });
    }
    let differ = |place: &Place| {
        let (at, there) = (own.places[place], theirs.places[place]);
        own.labels.iter().zip(&theirs.labels).any(|(own, theirs)| own[at] != theirs[there])
    };
    let changed: Vec<&Place> = own.places.keys().filter(|place| differ(place)).collect();
    if let Some((name, x, y)) = changed.first() {
        let text = format!(
            "{one} and {two} have different labels: {} of {} common patches differ, the first is `{name}` at {x}, {y}",
            thousands(changed.len() as u64),
            thousands(common as u64),
        );
        return Err(JoinError {
            text,
            hint: "evaluate both on the same labels; vary only those of the training patches (`relabel`)",
        });
    }
    let patient = |place: &&Place| own.patients[own.places[*place]] != theirs.patients[theirs.places[*place]];
    if let Some((name, ..)) = own.places.keys().find(patient) {
        let text = format!("{one} and {two} have different patients for photograph `{name}`");
        return Err(JoinError { text, hint: "run both with the same patients" });
    }
    Ok(())
}
