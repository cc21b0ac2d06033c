//! Reads what a page shows from the artifacts given to it. The files of an artifact tell what it is.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::names::NameReplacements;
use super::paired::EvaluationTable;
use crate::data::canvas::smaller;
use crate::data::patches::{Health, Label, PatchSet, SetInfo};
use crate::data::photographs::PhotographSet;
use crate::data::table::Columns;
use crate::learn::evaluation::{ExamplePatch, PicturedSuspect, Scores, Slices, Suspects};
use crate::learn::maps::Maps;
use crate::learn::model::ModelInfo;
use crate::learn::tuning::Thresholds;
use crate::stage::{Cell, Named, StageError, Summary};
use crate::store::{Objects, Tree};

/// Number of overlays on a page.
pub const SHOWN: usize = 6;

/// Artifact on a page, and where it came from.
pub struct ReportItem {
    /// Name of the output in the pipeline (`folds.train`).
    pub name: String,
    /// Stage that made it.
    pub stage: String,
    /// Summary of the stage.
    pub summary: Summary,
    /// Content that the page shows.
    pub content: ArtifactContent,
}

/// Content of an artifact, as far as a page shows it.
pub enum ArtifactContent {
    /// A photograph set, an augmentation, weights, predictions: only the summary is shown.
    SummaryOnly,
    /// A patch set.
    Patches(Box<PatchSetCounts>),
    /// A classifier.
    Model(Box<(ModelInfo, Columns)>),
    /// Tuned thresholds and the curves they were chosen on.
    Thresholds(Box<(Thresholds, Columns)>),
    /// An evaluation.
    Scores(Box<Evaluation>),
    /// Several evaluations side by side: the tables of the summary.
    Spread,
    /// Heat maps.
    Maps(Box<ShownMaps>),
    /// An analysis of scores: the tables of the summary, and pictures of suspicious labels.
    Analysis(Box<ShownSuspects>),
}

/// Pictures of suspicious labels, with their PNGs; empty for other analyses.
#[derive(Default)]
pub struct ShownSuspects {
    /// Lesion classes.
    pub classes: Vec<String>,
    /// Suspects by class, label and rank.
    pub suspects: Vec<(PicturedSuspect, Vec<u8>)>,
}

/// What a page shows of heat maps.
pub struct ShownMaps {
    /// The maps and their metrics.
    pub maps: Maps,
    /// Overlays of the photographs with the highest scores: index of the photograph, and PNG.
    pub overlays: Vec<(usize, Vec<u8>)>,
}

/// Counts of a patch set.
pub struct PatchSetCounts {
    /// Facts common to all patches.
    pub info: SetInfo,
    /// Photographs with at least one patch.
    pub photographs: u64,
    /// Healthy, lesion and undetermined patches.
    pub health: [u64; 3],
    /// Known positives per class.
    pub positives: Vec<u64>,
    /// Patches with an unknown label, per class.
    pub unknown: Vec<u64>,
}

/// Evaluation with its curves and examples.
pub struct Evaluation {
    /// All metrics.
    pub scores: Scores,
    /// Scores of each patch, to compare evaluations of the same patches.
    pub table: EvaluationTable,
    /// Precision-recall curves.
    pub curves: Columns,
    /// Example patches: description, PNG, and name of the photograph.
    pub examples: Vec<(ExamplePatch, Vec<u8>, String)>,
}

/// Longest side of an overlay on a page, px: a page with six of them stays at a few megabytes.
const OVERLAY_SIDE: usize = 720;

/// Indices of the photographs by maximum score, descending; ties by name.
#[must_use]
pub fn ranked(maps: &Maps) -> Vec<usize> {
    let mut order: Vec<usize> = (0..maps.photographs.len()).collect();
    let of = |at: usize| &maps.photographs[at];
    order.sort_by(|&a, &b| {
        of(b).highest().total_cmp(&of(a).highest()).then_with(|| of(a).photograph.cmp(&of(b).photograph))
    });
    order
}

/// All artifacts, and replacements for the names that must not be shown.
///
/// # Errors
/// The store's, or an artifact that does not parse.
pub fn gather(given: &[Named], objects: &Objects) -> Result<(Vec<ReportItem>, NameReplacements), StageError> {
    let (mut photographs, mut patients) = (BTreeSet::new(), BTreeSet::new());
    let mut items = Vec::new();
    for named in given {
        let content = content(&named.name, &named.tree, objects, &mut photographs, &mut patients)?;
        items.push(ReportItem {
            stage: named.stage.clone(),
            name: named.name.clone(),
            summary: named.summary.clone().unwrap_or_default(),
            content,
        });
    }
    Ok((items, NameReplacements::numbered(&photographs, &patients)))
}

fn content(
    name: &str,
    tree: &Tree,
    objects: &Objects,
    photographs: &mut BTreeSet<String>,
    patients: &mut BTreeSet<String>,
) -> Result<ArtifactContent, StageError> {
    if tree.get("scores.json").is_some() {
        let predictions = table(tree, "predictions.parquet", objects)?;
        let texts = |name: &str| predictions.texts(name).map_err(bug).map(<[Option<String>]>::to_vec);
        let of_row = texts("photograph")?;
        photographs.extend(of_row.iter().flatten().cloned());
        patients.extend(texts("patient")?.into_iter().flatten());
        let chosen: Vec<ExamplePatch> = json(tree, "examples.json", objects)?;
        let examples = chosen.into_iter().map(|example| {
            let png = read(tree, &example.file, objects)?;
            let photograph = of_row.get(example.row).cloned().flatten().unwrap_or_default();
            Ok((example, png, photograph))
        });
        let scores: Scores = json(tree, "scores.json", objects)?;
        let examples = examples.collect::<Result<_, StageError>>()?;
        return Ok(ArtifactContent::Scores(Box::new(Evaluation {
            table: EvaluationTable::new(name.to_owned(), &scores, predictions),
            scores,
            curves: table(tree, "curves.parquet", objects)?,
            examples,
        })));
    }
    if tree.get("predictions.parquet").is_some() {
        let predictions = table(tree, "predictions.parquet", objects)?;
        let texts = |name: &str| predictions.texts(name).map_err(bug).map(<[Option<String>]>::to_vec);
        photographs.extend(texts("photograph")?.into_iter().flatten());
        patients.extend(texts("patient")?.into_iter().flatten());
        return Ok(ArtifactContent::SummaryOnly);
    }
    if tree.get("maps.json").is_some() {
        let maps: Maps = json(tree, "maps.json", objects)?;
        photographs.extend(maps.photographs.iter().map(|map| map.photograph.clone()));
        let overlay = |at: usize| {
            let png = read(tree, &format!("{}/overlay.png", maps.photographs[at].photograph), objects)?;
            Ok((at, smaller(&png, OVERLAY_SIDE).map_err(bug)?))
        };
        let overlays = ranked(&maps).into_iter().take(SHOWN).map(overlay).collect::<Result<_, StageError>>()?;
        return Ok(ArtifactContent::Maps(Box::new(ShownMaps { maps, overlays })));
    }
    if tree.get("spread.json").is_some() {
        return Ok(ArtifactContent::Spread);
    }
    if tree.get("suspects.json").is_some() {
        let table = table(tree, "suspects.parquet", objects)?;
        photographs.extend(table.texts("photograph").map_err(bug)?.iter().flatten().cloned());
        patients.extend(table.texts("patient").map_err(bug)?.iter().flatten().cloned());
        let Suspects { classes, pictured, .. } = json(tree, "suspects.json", objects)?;
        let suspects = pictured.into_iter().map(|suspect| {
            let png = read(tree, &suspect.file, objects)?;
            Ok((suspect, png))
        });
        let suspects = suspects.collect::<Result<_, StageError>>()?;
        return Ok(ArtifactContent::Analysis(Box::new(ShownSuspects { classes, suspects })));
    }
    if tree.get("froc.json").is_some() {
        return Ok(ArtifactContent::Analysis(Box::default()));
    }
    if tree.get("slices.json").is_some() {
        let slices: Slices = json(tree, "slices.json", objects)?;
        let strata = || slices.classes.iter().flat_map(|class| &class.strata).map(|stratum| stratum.name.clone());
        match slices.by.as_str() {
            "photograph" => photographs.extend(strata()),
            "patient" => patients.extend(strata()),
            _ => {}
        }
        return Ok(ArtifactContent::Analysis(Box::default()));
    }
    if tree.get("thresholds.json").is_some() {
        return Ok(ArtifactContent::Thresholds(Box::new((
            Thresholds::read(tree, objects)?,
            table(tree, "curves.parquet", objects)?,
        ))));
    }
    if tree.get("model.json").is_some() {
        return Ok(ArtifactContent::Model(Box::new((
            json(tree, "model.json", objects)?,
            table(tree, "epochs.parquet", objects)?,
        ))));
    }
    if tree.under("parts/").next().is_some() {
        let set = PatchSet::read(tree, objects)?;
        photographs.extend(set.parts.iter().map(|part| part.photograph.clone()));
        patients.extend(set.parts.iter().filter_map(|part| part.patient.clone()));
        return Ok(ArtifactContent::Patches(Box::new(counts(set))));
    }
    if tree.get("set.json").is_some() {
        let set: PhotographSet = json(tree, "set.json", objects)?;
        photographs.extend(set.photographs);
    }
    Ok(ArtifactContent::SummaryOnly)
}

fn counts(set: PatchSet) -> PatchSetCounts {
    let classes = set.info.classes.len();
    let mut counts = PatchSetCounts {
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

impl ReportItem {
    /// The item with all names in its summary replaced.
    #[must_use]
    pub fn redacted(mut self, names: &NameReplacements) -> Self {
        let Summary { headline, tables, warnings, settings, metrics: _ } = &mut self.summary;
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
        settings.iter_mut().flat_map(|stage| stage.params.values_mut()).for_each(redact);
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
