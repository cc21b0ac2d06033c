//! Output of `macula predict`: a table, or JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Failure;
use crate::data::heat::ScoreMap;
use crate::data::table::Columns;
use crate::learn::evaluation::HALF;
use crate::learn::tta::Tta;
use crate::progress::out;
use crate::progress::table::render;
use crate::report::page::NOT_FOR_CLINICAL_USE;
use crate::stage::{Cell, StageError, Table};
use crate::stages::heat_map::PATCHES;
use crate::store::{Objects, Tree};

/// A photograph and the scores of its patches.
pub(super) struct Scored {
    name: String,
    file: String,
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
    pub(super) run: Option<&'a str>,
    pub(super) size: u32,
    pub(super) classes: &'a [String],
    /// Stage that tuned the thresholds, and their values.
    pub(super) tuned: Option<(&'a str, &'a [f64])>,
    /// Test-time augmentation.
    pub(super) tta: Tta,
    /// Preprocessing stages.
    pub(super) preprocess: Vec<&'a str>,
    pub(super) out: Option<&'a Path>,
}

/// Scores of one class in one photograph.
struct Figures {
    highest: Option<f64>,
    mean: Option<f64>,
    /// Fraction of patches at or above the threshold.
    over: Option<f64>,
}

fn figures(scores: &[f64], threshold: f64) -> Figures {
    let count = scores.len() as f64;
    let some = |value: f64| (!scores.is_empty()).then_some(value);
    Figures {
        highest: some(scores.iter().copied().fold(0.0, f64::max)),
        mean: some(scores.iter().sum::<f64>() / count),
        over: some(scores.iter().filter(|&&score| score >= threshold).count() as f64 / count),
    }
}

/// Prints the table, or JSON.
pub(super) fn say(told: &ScoreOrigin, scored: &[Scored], as_json: bool) {
    let text = if as_json { format!("{:#}\n", object(told, scored)) } else { words(told, scored) };
    out::say(&text);
}

fn threshold(told: &ScoreOrigin, class: usize) -> f64 {
    told.tuned.map_or(HALF, |(_, thresholds)| thresholds[class])
}

fn words(told: &ScoreOrigin, scored: &[Scored]) -> String {
    let mut text = format!("{} of {}", told.stage, told.file);
    if let Some(run) = told.run {
        let _ = write!(text, ", trained in run {run}");
    }
    let _ = write!(text, "\npatches of {} px", told.size);
    if !told.preprocess.is_empty() {
        let _ = write!(text, ", after {}", told.preprocess.join(", "));
    }
    if !told.tta.is_none() {
        let _ = write!(text, ", scores are means over {} orientations", told.tta.views());
    }
    let at = match told.tuned {
        Some((stage, thresholds)) => {
            let each = told.classes.iter().zip(thresholds).map(|(class, threshold)| format!("{class} {threshold:.3}"));
            format!("the thresholds of {stage}: {}", each.collect::<Vec<_>>().join(", "))
        }
        None => "0.5 (no tuned threshold)".to_owned(),
    };
    let _ = writeln!(text, "; `over` is the fraction of patches at or above {at}\n");
    text.push_str(&render(&table(told, scored), out::stdout_width()));
    if let Some(out) = told.out {
        let _ = writeln!(text, "\nheat maps: {}", out.join("NAME/overlay.png").display());
    }
    let _ = writeln!(text, "\n{NOT_FOR_CLINICAL_USE}");
    text
}

fn table(told: &ScoreOrigin, scored: &[Scored]) -> Table {
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let mut columns = ["photograph", "patches", "black"].map(str::to_owned).to_vec();
    for class in told.classes {
        columns.extend([format!("{class} highest"), format!("{class} mean"), format!("{class} over")]);
    }
    let row = |one: &Scored| {
        let mut cells = vec![Cell::Text(one.name.clone()), Cell::Int(one.patches as i64), Cell::Int(one.black as i64)];
        for (class, scores) in one.scores.iter().enumerate() {
            let found = figures(scores, threshold(told, class));
            cells.extend([real(found.highest), real(found.mean), real(found.over)]);
        }
        cells
    };
    Table { title: String::new(), columns, rows: scored.iter().map(row).collect() }
}

fn object(told: &ScoreOrigin, scored: &[Scored]) -> Value {
    let photograph = |one: &Scored| {
        let classes = told.classes.iter().zip(&one.scores).enumerate().map(|(class, (name, scores))| {
            let found = figures(scores, threshold(told, class));
            json!({ "class": name, "highest": found.highest, "mean": found.mean, "over": found.over })
        });
        json!({
            "photograph": one.name,
            "file": one.file,
            "patches": one.patches,
            "black": one.black,
            "scale": one.scale,
            "classes": classes.collect::<Vec<_>>(),
            "folder": told.out.map(|out| out.join(&one.name)),
        })
    };
    json!({
        "file": told.file,
        "stage": told.stage,
        "run": told.run,
        "size": told.size,
        "preprocess": told.preprocess,
        "tta": told.tta.name(),
        "thresholds": {
            "stage": told.tuned.map(|(stage, _)| stage),
            "values": (0..told.classes.len()).map(|class| threshold(told, class)).collect::<Vec<_>>(),
        },
        "photographs": scored.iter().map(photograph).collect::<Vec<_>>(),
        "notice": NOT_FOR_CLINICAL_USE,
    })
}
