//! Output of `macula predict`: a table, or JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::figure::counted;
use crate::cli::Failure;
use crate::data::heat::ScoreMap;
use crate::data::provenance::{DataUse, Provenance};
use crate::data::table::Columns;
use crate::learn::evaluation::HALF;
use crate::learn::metrics::DecisionRule;
use crate::learn::tta::Tta;
use crate::progress::out;
use crate::progress::table::{Align, Grid, GridColumn, not_shown, paragraph};
use crate::report::page::NOT_FOR_CLINICAL_USE;
use crate::stage::{Cell, StageError};
use crate::stages::heat_map::PATCHES;
use crate::store::{Objects, Tree};

/// A photograph and the scores of its patches.
pub(super) struct Scored {
    pub(super) name: String,
    file: String,
    /// What the classifier used this photograph for.
    pub(super) seen: Option<DataUse>,
    patches: u64,
    black: u64,
    scale: u32,
    /// Scores of the patches, by class.
    scores: Vec<Vec<f64>>,
}

impl Scored {
    /// Reads the output of `heat-map`.
    pub(super) fn read(name: &str, file: &str, tree: &Tree, objects: &Objects) -> Result<Self, Failure> {
        let map = ScoreMap::read(tree, objects)?;
        let bug = |error: crate::data::table::TableError| StageError::Bug(error.to_string());
        let missing = || StageError::Bug(format!("a heat map without `{PATCHES}`"));
        let table = Columns::from_parquet(&objects.read_in(tree, PATCHES)?.ok_or_else(missing)?).map_err(bug)?;
        let of_class = |class: &String| {
            let scores = table.reals(&format!("score.{class}")).map_err(bug)?;
            Ok(scores.iter().copied().flatten().collect())
        };
        Ok(Self {
            name: name.to_owned(),
            file: file.to_owned(),
            seen: None,
            patches: map.info.scored,
            black: map.info.black,
            scale: map.info.scale,
            scores: map.info.classes.iter().map(of_class).collect::<Result<_, StageError>>()?,
        })
    }
}

/// Origin of the scores.
pub(super) struct ScoreOrigin<'a> {
    pub(super) file: &'a str,
    pub(super) stage: &'a str,
    /// Stages that trained the classifiers; one unless `stage` is an average.
    pub(super) members: Vec<&'a str>,
    pub(super) run: Option<&'a str>,
    pub(super) size: u32,
    pub(super) classes: &'a [String],
    /// Stage that tuned the thresholds, and their values.
    pub(super) tuned: Option<(&'a str, &'a [f64])>,
    /// What predicts a class.
    pub(super) decision: DecisionRule,
    /// Test-time augmentation.
    pub(super) tta: Tta,
    /// Preprocessing stages.
    pub(super) preprocess: Vec<&'a str>,
    /// Embeddings that it reads.
    pub(super) embeddings: Vec<SaidEmbeddings<'a>>,
    /// A reservation about the scores.
    pub(super) note: Option<String>,
    /// What the classifier has seen, or why that is not known.
    pub(super) provenance: Result<&'a Provenance, &'a str>,
    pub(super) out: Option<&'a Path>,
    /// Photographs that could not be scored, and why.
    pub(super) failed: Vec<(&'a Path, &'a Failure)>,
}

/// Embeddings of the whole photograph.
pub(super) struct SaidEmbeddings<'a> {
    /// Input of the network.
    pub(super) input: &'a str,
    /// Stage that encodes.
    pub(super) stage: &'a str,
    /// Its encoder in words.
    pub(super) encoder: &'a str,
}

/// Scores of one class in one photograph.
struct Figures {
    highest: Option<f64>,
    mean: Option<f64>,
    /// Fraction of patches at or above the threshold, or whose highest score it is.
    over: Option<f64>,
}

fn figures(told: &ScoreOrigin, one: &Scored, class: usize) -> Figures {
    let scores = &one.scores[class];
    let count = scores.len() as f64;
    let some = |value: f64| (!scores.is_empty()).then_some(value);
    let of_patch = |patch: usize| one.scores.iter().map(|of_class| of_class[patch]).collect::<Vec<f64>>();
    let is_over = |patch: &usize| told.decision.predicts(&of_patch(*patch), class, threshold(told, class));
    Figures {
        highest: some(scores.iter().copied().fold(0.0, f64::max)),
        mean: some(scores.iter().sum::<f64>() / count),
        over: some((0..scores.len()).filter(is_over).count() as f64 / count),
    }
}

/// Prints the table, or JSON.
pub(super) fn say(told: &ScoreOrigin, scored: &[Scored], as_json: bool) {
    let text = if as_json { format!("{:#}\n", object(told, scored)) } else { words(told, scored, out::stdout_width()) };
    out::say(&text);
}

fn threshold(told: &ScoreOrigin, class: usize) -> f64 {
    told.tuned.map_or(HALF, |(_, thresholds)| thresholds[class])
}

fn words(told: &ScoreOrigin, scored: &[Scored], width: usize) -> String {
    let mut text = format!("`{}` of {}", told.stage, told.file);
    if let Some(run) = told.run {
        let _ = write!(text, ", trained in run {run}");
    }
    if told.members.len() > 1 {
        let names: Vec<String> = told.members.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(text, ", the mean scores of {}", names.join(", "));
    }
    let mut about = format!("patches of {} px", told.size);
    if !told.preprocess.is_empty() {
        let names: Vec<String> = told.preprocess.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(about, ", after {}", names.join(", "));
    }
    if !told.embeddings.is_empty() {
        let each =
            told.embeddings.iter().map(|SaidEmbeddings { input, encoder, .. }| format!("`{input}` by {encoder}"));
        let _ = write!(about, ", with embeddings {}", each.collect::<Vec<_>>().join(", "));
    }
    if !told.tta.is_none() {
        let _ = write!(about, ", scores are means over {} orientations", told.tta.views());
    }
    let at = match told.tuned {
        Some((stage, thresholds)) => {
            let each = told.classes.iter().zip(thresholds).map(|(class, threshold)| format!("{class} {threshold:.3}"));
            format!("at or above the thresholds of `{stage}`: {}", each.collect::<Vec<_>>().join(", "))
        }
        None if told.decision == DecisionRule::Highest => "in which the class has the highest score".to_owned(),
        None => "at or above 0.5 (no tuned threshold)".to_owned(),
    };
    let _ = write!(about, "; `over` is the fraction of patches {at}");
    let mut text = paragraph(&text, width, 2) + &paragraph(&about, width, 2) + "\n";
    if let Some(note) = &told.note {
        text = text + &paragraph(&format!("note: {note}"), width, 2) + "\n";
    }
    text.push_str(&table(told, scored, width));
    if !told.failed.is_empty() {
        let all = scored.len() + told.failed.len();
        let missing = format!(
            "{} of {} not scored, see the errors",
            told.failed.len(),
            counted(all as u64, "photograph", "photographs")
        );
        text = text + "\n" + &paragraph(&missing, width, 2);
    }
    if let Some(out) = told.out {
        let _ = writeln!(text, "\nheat maps: {}", out.join("NAME/overlay.png").display());
    }
    text + "\n" + &paragraph(NOT_FOR_CLINICAL_USE, width, 2)
}

/// A row for each photograph, or one for each of its classes if there is one photograph, or few and the columns do not fit.
fn table(told: &ScoreOrigin, scored: &[Scored], width: usize) -> String {
    let (wide, left_out) = by_photograph(told, scored).fit(width);
    match scored.len() {
        1 => by_class(told, scored).render(width),
        2..=FEW if !left_out.is_empty() => by_class(told, scored).render(width),
        _ => wide + &not_shown(&left_out, width),
    }
}

/// Most photographs with a row for each class.
const FEW: usize = 8;

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn by_class(told: &ScoreOrigin, scored: &[Scored]) -> Grid {
    let column = |head, priority| GridColumn::new(head).priority(priority);
    let columns = [
        column("photograph", 0),
        column("patches", 2).align(Align::Right),
        column("black", 3).align(Align::Right),
        column("class", 0),
        column("highest", 0),
        column("mean", 1),
        column("over", 0),
    ];
    let rows = scored.iter().flat_map(|one| {
        (0..one.scores.len()).map(move |class| {
            let found = figures(told, one, class);
            let count = |count: u64| if class == 0 { Cell::Int(count as i64) } else { Cell::Text(String::new()) };
            let name = if class == 0 { one.name.clone() } else { String::new() };
            let (patches, black, class) = (count(one.patches), count(one.black), told.classes[class].clone());
            let scores = [real(found.highest), real(found.mean), real(found.over)];
            [Cell::Text(name), patches, black, Cell::Text(class)].into_iter().chain(scores).collect()
        })
    });
    Grid::new(columns).rows(rows)
}

fn by_photograph(told: &ScoreOrigin, scored: &[Scored]) -> Grid {
    // If there is no room, first the mean of each class is left out, then the fraction.
    let mut columns = vec![("photograph".to_owned(), 0), ("patches".to_owned(), 4), ("black".to_owned(), 5)];
    for class in told.classes {
        columns.extend([(format!("{class} highest"), 1), (format!("{class} mean"), 3), (format!("{class} over"), 2)]);
    }
    let row = |one: &Scored| {
        let mut cells = vec![Cell::Text(one.name.clone()), Cell::Int(one.patches as i64), Cell::Int(one.black as i64)];
        for class in 0..one.scores.len() {
            let found = figures(told, one, class);
            cells.extend([real(found.highest), real(found.mean), real(found.over)]);
        }
        cells
    };
    let columns = columns.into_iter().map(|(head, priority)| GridColumn::new(head).priority(priority));
    Grid::new(columns).rows(scored.iter().map(row))
}

fn object(told: &ScoreOrigin, scored: &[Scored]) -> Value {
    let photograph = |one: &Scored| {
        let classes = told.classes.iter().enumerate().map(|(class, name)| {
            let found = figures(told, one, class);
            json!({ "class": name, "highest": found.highest, "mean": found.mean, "over": found.over })
        });
        json!({
            "photograph": one.name,
            "file": one.file,
            "patches": one.patches,
            "black": one.black,
            "scale": one.scale,
            "seen": one.seen,
            "classes": classes.collect::<Vec<_>>(),
            "folder": told.out.map(|out| out.join(&one.name)),
        })
    };
    json!({
        "file": told.file,
        "stage": told.stage,
        "members": told.members,
        "run": told.run,
        "size": told.size,
        "preprocess": told.preprocess,
        "embeddings": told.embeddings.iter().map(|SaidEmbeddings { input, stage, encoder }| {
            json!({ "input": input, "stage": stage, "encoder": encoder })
        }).collect::<Vec<_>>(),
        "note": told.note,
        "tta": told.tta.name(),
        "provenance": match told.provenance {
            Ok(known) => json!({ "known": true, "photographs": known.photographs(), "weights": known.weights.len() }),
            Err(reason) => json!({ "known": false, "reason": reason }),
        },
        "thresholds": {
            "stage": told.tuned.map(|(stage, _)| stage),
            "values": (0..told.classes.len()).map(|class| threshold(told, class)).collect::<Vec<_>>(),
        },
        "photographs": scored.iter().map(photograph).collect::<Vec<_>>(),
        "failed": told.failed.iter().map(|(file, failure)| {
            json!({ "file": file, "code": failure.code, "error": failure.text })
        }).collect::<Vec<_>>(),
        "notice": NOT_FOR_CLINICAL_USE,
    })
}
