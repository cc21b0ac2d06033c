//! Reads what a page shows from the artifacts given to it. The files of an artifact tell what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::gallery::{self, Gallery, PictureSource};
use super::names::NameReplacements;
use super::paired::EvaluationTable;
use crate::data::patches::{Health, Label, PatchSet, SetInfo};
use crate::data::photographs::PhotographSet;
use crate::data::table::Columns;
use crate::data::thumbnail::RgbPixels;
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

/// Pictures of suspicious labels; empty for other analyses.
#[derive(Default)]
pub struct ShownSuspects {
    /// Lesion classes.
    pub classes: Vec<String>,
    /// Suspects by class, label and rank, with JPEGs.
    pub suspects: Vec<(PicturedSuspect, Vec<u8>)>,
}

/// What a page shows of heat maps.
pub struct ShownMaps {
    /// The maps and their metrics.
    pub maps: Maps,
    /// Overlays of the photographs with the highest scores: index of the photograph, and JPEG.
    pub overlays: Vec<(usize, Vec<u8>)>,
    /// Small overlays, for the table of photographs: JPEGs by name.
    pub small: BTreeMap<String, Vec<u8>>,
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
    /// Patches with their pictures.
    pub gallery: Gallery,
}

/// Bytes of all overlays on a page, in base64.
const OVERLAY_BYTES: usize = 900_000;

/// Longest sides of overlays, px: the largest with which all fit is taken.
const OVERLAY_SIDES: [usize; 5] = [720, 560, 420, 300, 200];

/// Longest side of a small overlay, px.
const SMALL_SIDE: usize = 88;

/// Maximum number of small overlays on a page.
const SMALL: usize = 150;

/// Longest side of the picture of a suspicious label, px.
const SUSPECT_SIDE: usize = 144;

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

/// All artifacts, and replacements for the names that must not be shown. Pictures of evaluated patches come from the patch sets among the
/// artifacts and from `pictured`, which are not shown themselves.
///
/// # Errors
/// The store's, or an artifact that does not parse.
pub fn gather(
    given: &[Named],
    pictured: &[Tree],
    objects: &Objects,
) -> Result<(Vec<ReportItem>, NameReplacements), StageError> {
    let is_patches = |tree: &&Tree| tree.under("parts/").next().is_some();
    let is_evaluation = |named: &&Named| named.tree.get("scores.json").is_some();
    let is_maps = |named: &&Named| named.tree.get("maps.json").is_some();
    let (evaluations, maps) = (given.iter().filter(is_evaluation).count(), given.iter().filter(is_maps).count());
    // Those that an evaluation reads come first: others may have the same patches with other pixels.
    let mut all: Vec<&Tree> = Vec::new();
    for tree in pictured.iter().chain(given.iter().map(|named| &named.tree)) {
        if evaluations > 0 && is_patches(&tree) && !all.contains(&tree) {
            all.push(tree);
        }
    }
    let all = all.into_iter();
    let sets = all.map(|tree| PatchSet::read(tree, objects)).collect::<Result<Vec<_>, _>>()?;
    let sources = PageSources { sets: sets.iter().collect(), evaluations, maps, objects };
    let mut names = GatheredNames::default();
    let mut items = Vec::new();
    for named in given {
        items.push(ReportItem {
            stage: named.stage.clone(),
            name: named.name.clone(),
            summary: named.summary.clone().unwrap_or_default(),
            content: content(&named.name, &named.tree, &sources, &mut names)?,
        });
    }
    Ok((items, NameReplacements::numbered(&names.photographs, &names.patients)))
}

/// What the content of an artifact is read with.
struct PageSources<'a> {
    /// Patch sets for pictures of evaluated patches.
    sets: Vec<&'a PatchSet>,
    /// Number of evaluations, which share the room for pictures.
    evaluations: usize,
    /// Number of artifacts of heat maps.
    maps: usize,
    objects: &'a Objects,
}

/// Names on a page.
#[derive(Default)]
struct GatheredNames {
    photographs: BTreeSet<String>,
    patients: BTreeSet<String>,
}

/// An evaluation with its gallery.
fn evaluation(
    name: &str,
    tree: &Tree,
    predictions: Columns,
    sources: &PageSources<'_>,
) -> Result<Evaluation, StageError> {
    let objects = sources.objects;
    let scores: Scores = json(tree, "scores.json", objects)?;
    let examples: Vec<ExamplePatch> = json(tree, "examples.json", objects)?;
    let predicted = gallery::predicted(&scores, &predictions).map_err(bug)?;
    let source = PictureSource::find(&sources.sets, &scores, &predicted, objects);
    let pngs = match source {
        Some(_) => Vec::new(),
        None => examples.iter().map(|example| read(tree, &example.file, objects)).collect::<Result<_, _>>()?,
    };
    let bytes = gallery::GALLERY_BYTES / sources.evaluations.max(1);
    let gallery = gallery::gallery(&scores, &predictions, (&examples, &pngs), source.as_ref(), bytes)?;
    Ok(Evaluation {
        table: EvaluationTable::new(name.to_owned(), &scores, predictions),
        scores,
        curves: table(tree, "curves.parquet", objects)?,
        gallery,
    })
}

/// Heat maps with the overlays that a page shows.
fn shown_maps(maps: Maps, tree: &Tree, sources: &PageSources<'_>) -> Result<ShownMaps, StageError> {
    let picture = |at: usize| {
        let file = format!("{}/overlay.png", maps.photographs[at].photograph);
        RgbPixels::of_png(&read(tree, &file, sources.objects)?).map_err(bug)
    };
    let order = ranked(&maps);
    let large = order.iter().take(SHOWN).map(|&at| Ok((at, picture(at)?))).collect::<Result<Vec<_>, StageError>>()?;
    let overlays =
        |side: usize| -> Vec<(usize, Vec<u8>)> { large.iter().map(|(at, pixels)| (*at, pixels.jpeg(side))).collect() };
    let room = OVERLAY_BYTES / sources.maps.max(1);
    let fits = |found: &Vec<(usize, Vec<u8>)>| found.iter().map(|(_, jpeg)| jpeg.len() * 4 / 3).sum::<usize>() <= room;
    let last = OVERLAY_SIDES[OVERLAY_SIDES.len() - 1];
    let overlays = OVERLAY_SIDES
        .into_iter()
        .map(overlays)
        .find(fits)
        .unwrap_or_else(|| large.iter().map(|(at, pixels)| (*at, pixels.jpeg(last))).collect());
    let small = order.iter().take(SMALL / sources.maps.max(1)).map(|&at| {
        let done = large.iter().find(|(other, _)| *other == at).map(|(_, pixels)| pixels.jpeg(SMALL_SIDE));
        let jpeg = done.map_or_else(|| Ok::<_, StageError>(picture(at)?.jpeg(SMALL_SIDE)), Ok)?;
        Ok((maps.photographs[at].photograph.clone(), jpeg))
    });
    // Only a page with an evaluation has a table of photographs.
    let small = if sources.evaluations > 0 { small.collect::<Result<_, StageError>>()? } else { BTreeMap::new() };
    Ok(ShownMaps { maps, overlays, small })
}

fn content(
    name: &str,
    tree: &Tree,
    sources: &PageSources<'_>,
    names: &mut GatheredNames,
) -> Result<ArtifactContent, StageError> {
    let objects = sources.objects;
    let GatheredNames { photographs, patients } = names;
    if tree.get("scores.json").is_some() {
        let predictions = table(tree, "predictions.parquet", objects)?;
        let texts = |name: &str| predictions.texts(name).map_err(bug).map(<[Option<String>]>::to_vec);
        photographs.extend(texts("photograph")?.into_iter().flatten());
        patients.extend(texts("patient")?.into_iter().flatten());
        return Ok(ArtifactContent::Scores(Box::new(evaluation(name, tree, predictions, sources)?)));
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
        return Ok(ArtifactContent::Maps(Box::new(shown_maps(maps, tree, sources)?)));
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
            Ok((suspect, RgbPixels::of_png(&png).map_err(bug)?.jpeg(SUSPECT_SIDE)))
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
    // An imported model has no epochs.
    if tree.get("model.json").is_some() && tree.get("epochs.parquet").is_some() {
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
