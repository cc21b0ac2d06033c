//! Reads what a page shows from the artifacts given to it. What an artifact is follows from the files that it holds.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::maps::{SHOWN, Shown, ranked};
use super::names::Names;
use crate::data::canvas::smaller;
use crate::data::patches::{Health, Label, PatchSet, SetInfo};
use crate::data::photographs::PhotographSet;
use crate::data::table::Columns;
use crate::learn::evaluation::{Example, Scores};
use crate::learn::maps::Maps;
use crate::learn::model::ModelInfo;
use crate::learn::tuning::Thresholds;
use crate::stage::{Cell, Named, StageError, Summary};
use crate::store::{Objects, Tree};

/// One artifact and where it came from.
pub struct Piece {
    /// The output's name in the pipeline (`folds.train`).
    pub name: String,
    /// The stage that made it.
    pub stage: String,
    /// What its stage said.
    pub summary: Summary,
    /// What it holds.
    pub content: Content,
}

/// What an artifact holds, as far as a page shows it.
pub enum Content {
    /// A photograph set, a recipe of augmentation, weights, predictions: the summary says all.
    Told,
    /// A patch set.
    Patches(Box<PatchCounts>),
    /// A classifier.
    Model(Box<(ModelInfo, Columns)>),
    /// Tuned thresholds and the curves that they were chosen on.
    Thresholds(Box<(Thresholds, Columns)>),
    /// An evaluation.
    Scores(Box<Evaluation>),
    /// Several evaluations side by side: the summary's tables.
    Spread,
    /// Heat maps.
    Maps(Box<Shown>),
}

/// What a patch set holds.
pub struct PatchCounts {
    /// What holds for all patches.
    pub info: SetInfo,
    /// Photographs with at least one patch.
    pub photographs: u64,
    /// Healthy, lesion and undetermined patches.
    pub health: [u64; 3],
    /// Known positives per class.
    pub positives: Vec<u64>,
    /// Patches whose label is not known, per class.
    pub unknown: Vec<u64>,
}

/// An evaluation with what its page shows of it.
pub struct Evaluation {
    /// All figures.
    pub scores: Scores,
    /// The precision-recall curves.
    pub curves: Columns,
    /// Examples: what it is, its PNG, and its photograph.
    pub examples: Vec<(Example, Vec<u8>, String)>,
}

/// The longest side of an overlay on a page, px: a page with six of them stays at a few megabytes.
const OVERLAY_SIDE: usize = 720;

/// All artifacts, and the names that must not be shown.
///
/// # Errors
/// The store's, or an artifact that does not parse.
pub fn gather(given: &[Named], objects: &Objects) -> Result<(Vec<Piece>, Names), StageError> {
    let (mut photographs, mut patients) = (BTreeSet::new(), BTreeSet::new());
    let mut pieces = Vec::new();
    for named in given {
        let content = content(&named.tree, objects, &mut photographs, &mut patients)?;
        pieces.push(Piece {
            stage: named.stage.clone(),
            name: named.name.clone(),
            summary: named.summary.clone().unwrap_or_default(),
            content,
        });
    }
    Ok((pieces, Names::numbered(&photographs, &patients)))
}

fn content(
    tree: &Tree,
    objects: &Objects,
    photographs: &mut BTreeSet<String>,
    patients: &mut BTreeSet<String>,
) -> Result<Content, StageError> {
    if tree.get("scores.json").is_some() {
        let predictions = table(tree, "predictions.parquet", objects)?;
        let texts = |name: &str| predictions.texts(name).map_err(bug).map(<[Option<String>]>::to_vec);
        let of_row = texts("photograph")?;
        photographs.extend(of_row.iter().flatten().cloned());
        patients.extend(texts("patient")?.into_iter().flatten());
        let chosen: Vec<Example> = json(tree, "examples.json", objects)?;
        let examples = chosen.into_iter().map(|example| {
            let png = read(tree, &example.file, objects)?;
            let photograph = of_row.get(example.row).cloned().flatten().unwrap_or_default();
            Ok((example, png, photograph))
        });
        return Ok(Content::Scores(Box::new(Evaluation {
            scores: json(tree, "scores.json", objects)?,
            curves: table(tree, "curves.parquet", objects)?,
            examples: examples.collect::<Result<_, StageError>>()?,
        })));
    }
    if tree.get("predictions.parquet").is_some() {
        let predictions = table(tree, "predictions.parquet", objects)?;
        let texts = |name: &str| predictions.texts(name).map_err(bug).map(<[Option<String>]>::to_vec);
        photographs.extend(texts("photograph")?.into_iter().flatten());
        patients.extend(texts("patient")?.into_iter().flatten());
        return Ok(Content::Told);
    }
    if tree.get("maps.json").is_some() {
        let maps: Maps = json(tree, "maps.json", objects)?;
        photographs.extend(maps.photographs.iter().map(|map| map.photograph.clone()));
        let overlay = |at: usize| {
            let png = read(tree, &format!("{}/overlay.png", maps.photographs[at].photograph), objects)?;
            Ok((at, smaller(&png, OVERLAY_SIDE).map_err(bug)?))
        };
        let overlays = ranked(&maps).into_iter().take(SHOWN).map(overlay).collect::<Result<_, StageError>>()?;
        return Ok(Content::Maps(Box::new(Shown { maps, overlays })));
    }
    if tree.get("spread.json").is_some() {
        return Ok(Content::Spread);
    }
    if tree.get("thresholds.json").is_some() {
        return Ok(Content::Thresholds(Box::new((
            Thresholds::read(tree, objects)?,
            table(tree, "curves.parquet", objects)?,
        ))));
    }
    if tree.get("model.json").is_some() {
        return Ok(Content::Model(Box::new((
            json(tree, "model.json", objects)?,
            table(tree, "epochs.parquet", objects)?,
        ))));
    }
    if tree.under("parts/").next().is_some() {
        let set = PatchSet::read(tree, objects)?;
        photographs.extend(set.parts.iter().map(|part| part.photograph.clone()));
        patients.extend(set.parts.iter().filter_map(|part| part.patient.clone()));
        return Ok(Content::Patches(Box::new(counts(set))));
    }
    if tree.get("set.json").is_some() {
        let set: PhotographSet = json(tree, "set.json", objects)?;
        photographs.extend(set.photographs);
    }
    Ok(Content::Told)
}

fn counts(set: PatchSet) -> PatchCounts {
    let classes = set.info.classes.len();
    let mut counts = PatchCounts {
        photographs: set.parts.iter().filter(|part| !part.rows.is_empty()).count() as u64,
        health: [0; 3],
        positives: vec![0; classes],
        unknown: vec![0; classes],
        info: set.info,
    };
    for row in set.parts.iter().flat_map(|part| &part.rows) {
        let copies = u64::from(row.copies);
        counts.health[match row.health() {
            Health::Healthy => 0,
            Health::Lesion => 1,
            Health::Undetermined => 2,
        }] += copies;
        for (class, &label) in row.labels.iter().enumerate() {
            match label {
                Label::Present => counts.positives[class] += copies,
                Label::Unknown => counts.unknown[class] += copies,
                Label::Absent => {}
            }
        }
    }
    counts
}

impl Piece {
    /// The piece with all names in its summary replaced.
    #[must_use]
    pub fn redacted(mut self, names: &Names) -> Self {
        let Summary { headline, tables, warnings, figures: _ } = &mut self.summary;
        let redact = |text: &mut String| *text = names.redact(text);
        redact(headline);
        for table in tables {
            redact(&mut table.title);
            table.columns.iter_mut().for_each(redact);
            for cell in table.rows.iter_mut().flatten() {
                if let Cell::Text(text) = cell {
                    redact(text);
                }
            }
        }
        for warning in warnings {
            redact(&mut warning.text);
        }
        self
    }
}

fn read(tree: &Tree, name: &str, objects: &Objects) -> Result<Vec<u8>, StageError> {
    let blob = objects.read_in(tree, name)?;
    blob.map(|blob| blob.to_vec()).ok_or_else(|| StageError::Bug(format!("an artifact without `{name}`")))
}

fn json<T: DeserializeOwned>(tree: &Tree, name: &str, objects: &Objects) -> Result<T, StageError> {
    serde_json::from_slice(&read(tree, name, objects)?)
        .map_err(|error| StageError::Bug(format!("`{name}` does not parse: {error}")))
}

fn table(tree: &Tree, name: &str, objects: &Objects) -> Result<Columns, StageError> {
    Columns::from_parquet(&read(tree, name, objects)?).map_err(bug)
}

fn bug(error: impl std::fmt::Display) -> StageError {
    StageError::Bug(error.to_string())
}
