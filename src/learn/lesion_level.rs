//! Peaks of heat maps against lesions: which peak hits which lesion, and how many lesions are detected. Knows no network.

use serde::{Deserialize, Serialize};

use super::metrics::{FALSE_ALARM_RATES, FrocData, FrocMetrics, FrocPeak, FrocPlace};
use crate::base::Streams;
use crate::data::heat::{MapPeak, ScoreMap};
use crate::data::lesions::shape::LesionShapes;
use crate::data::table::{Column, Columns};

/// Map of one photograph, and its lesions.
pub struct MappedLesions {
    /// Name of the photograph.
    pub photograph: String,
    /// Group of its patient and fold of its map.
    pub place: FrocPlace,
    /// Score map.
    pub map: ScoreMap,
    /// Lesions, in pixels of their own scale.
    pub shapes: LesionShapes,
}

/// A peak, and what it hits.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Name of the photograph.
    pub photograph: String,
    /// Fold of its map, from 0.
    pub fold: u32,
    /// Position and score, px of the map's photograph.
    pub peak: MapPeak,
    /// Number of the lesion that it hits.
    pub lesion: Option<u32>,
    /// Distance to the nearest lesion of the class, px of the map's photograph; [`None`] if there is none.
    pub distance: Option<f64>,
}

/// Detections of one class.
pub struct ClassDetections {
    /// Class.
    pub class: String,
    /// Photographs, lesions and peaks.
    pub data: FrocData,
    /// Peaks, in the order of those of `data`.
    pub detections: Vec<Detection>,
    /// Photograph and number of each lesion, in the order of those of `data`.
    pub lesions: Vec<(String, u32)>,
}

/// Sensitivity of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFroc {
    /// Class.
    pub class: String,
    /// Sensitivity.
    #[serde(flatten)]
    pub metrics: FrocMetrics,
}

/// `froc.json`: lesions detected at each rate of false alarms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Froc {
    /// Largest distance from a peak to a lesion that it hits, px of the mapped photographs.
    pub tolerance: f64,
    /// Side of a cell of the maps, px.
    pub stride: u32,
    /// Number of folds, each with its own thresholds.
    pub folds: u32,
    /// Groups of the intervals: patients, or photographs of unknown patients.
    pub groups: u64,
    /// Whether all patients are known.
    pub patients: bool,
    /// False alarms per photograph.
    pub rates: Vec<f64>,
    /// Sensitivity of each class.
    pub classes: Vec<ClassFroc>,
}

impl Froc {
    /// `patients`, or `photographs` if not all patients are known.
    #[must_use]
    pub fn group_noun(&self) -> &'static str {
        if self.patients { "patients" } else { "photographs" }
    }
}

/// Peaks of one class against its lesions. A peak hits the lesion nearest to it, the first of several, if that is at most `tolerance` px
/// away. Photographs in which the class is not annotated are left out.
///
/// # Panics
/// If a map does not have the class: a defect of the caller.
#[must_use]
pub fn detections(all: &[MappedLesions], class: &str, tolerance: f64) -> ClassDetections {
    let mut found = ClassDetections {
        class: class.to_owned(),
        data: FrocData::default(),
        detections: Vec::new(),
        lesions: Vec::new(),
    };
    for one in all.iter().filter(|one| one.shapes.classes.iter().any(|known| known == class)) {
        let at = one.map.info.classes.iter().position(|own| own == class).expect("a class of the map");
        // Pixels of the lesions' photograph in one of the map's.
        let scale = f64::from(one.map.info.scale) / f64::from(one.shapes.scale);
        let shapes: Vec<_> = one.shapes.lesions.iter().filter(|lesion| lesion.class == class).collect();
        let first = found.data.lesions.len();
        found.data.photographs.push(one.place);
        found.data.lesions.extend(shapes.iter().map(|_| one.place));
        found.lesions.extend(shapes.iter().map(|shape| (one.photograph.clone(), shape.number)));
        for peak in one.map.peaks(at) {
            let point = peak.at.map(|at| at * scale);
            let distances = shapes.iter().map(|shape| shape.distance(point) / scale).enumerate();
            let nearest = distances.min_by(|a, b| a.1.total_cmp(&b.1));
            let hit = nearest.filter(|(_, distance)| *distance <= tolerance).map(|(lesion, _)| lesion);
            let lesion = hit.map(|lesion| first + lesion);
            found.data.peaks.push(FrocPeak { score: peak.score, place: one.place, lesion });
            found.detections.push(Detection {
                photograph: one.photograph.clone(),
                fold: one.place.fold,
                peak,
                lesion: hit.map(|lesion| shapes[lesion].number),
                distance: nearest.map(|(_, distance)| distance),
            });
        }
    }
    found
}

/// Sensitivity of each class. `groups` is the number of groups, `patients` says whether all are patients.
#[must_use]
pub fn froc(
    found: &[ClassDetections],
    tolerance: f64,
    stride: u32,
    (groups, patients): (usize, bool),
    folds: u32,
    streams: &Streams,
) -> Froc {
    let of_class =
        |one: &ClassDetections| ClassFroc { class: one.class.clone(), metrics: one.data.metrics(groups, streams) };
    Froc {
        tolerance,
        stride,
        folds,
        groups: groups as u64,
        patients,
        rates: FALSE_ALARM_RATES.to_vec(),
        classes: found.iter().map(of_class).collect(),
    }
}

/// `froc.parquet`: a row for each class and rate: `class`, `false_alarms` (per photograph), `sensitivity`, and the ends of its interval.
#[must_use]
pub fn froc_table(froc: &Froc) -> Columns {
    let rows = || {
        let of = |class: &'_ ClassFroc| -> Vec<(String, f64, super::metrics::Estimate)> {
            let rates = froc.rates.iter().zip(&class.metrics.sensitivity);
            rates.map(|(rate, estimate)| (class.class.clone(), *rate, *estimate)).collect()
        };
        froc.classes.iter().flat_map(of)
    };
    let mut table = Columns::default();
    table.push("class", Column::Text(rows().map(|row| Some(row.0)).collect()));
    table.push("false_alarms", Column::Real(rows().map(|row| Some(row.1)).collect()));
    table.push("sensitivity", Column::Real(rows().map(|row| row.2.value).collect()));
    table.push("low", Column::Real(rows().map(|row| row.2.interval.map(|interval| interval.low)).collect()));
    table.push("high", Column::Real(rows().map(|row| row.2.interval.map(|interval| interval.high)).collect()));
    table
}

/// `curves.parquet`: all points of the curves: `class`, `fold` (from 1), `score`, `false_alarms` per photograph, `sensitivity`.
#[must_use]
pub fn curve_table(found: &[ClassDetections]) -> Columns {
    let points: Vec<_> =
        found.iter().flat_map(|one| one.data.curve().into_iter().map(|point| (one.class.clone(), point))).collect();
    let mut table = Columns::default();
    table.push("class", Column::Text(points.iter().map(|(class, _)| Some(class.clone())).collect()));
    table.push("fold", Column::Count(points.iter().map(|(_, point)| Some(point.0 + 1)).collect()));
    table.push("score", Column::Real(points.iter().map(|(_, point)| Some(point.1)).collect()));
    table.push("false_alarms", Column::Real(points.iter().map(|(_, point)| Some(point.2)).collect()));
    table.push("sensitivity", Column::Real(points.iter().map(|(_, point)| point.3).collect()));
    table
}

/// `detections.parquet`: a row for each peak: `class`, `photograph`, `fold` (from 1), `x`, `y`, `score`, `lesion` (the number of the one
/// that it hits, or null), `distance` to the nearest lesion of the class (null if there is none).
#[must_use]
pub fn detection_table(found: &[ClassDetections]) -> Columns {
    let rows = || found.iter().flat_map(|one| one.detections.iter().map(|detection| (&one.class, detection)));
    let real = |of: fn(&Detection) -> Option<f64>| Column::Real(rows().map(|(_, one)| of(one)).collect());
    let mut table = Columns::default();
    table.push("class", Column::Text(rows().map(|(class, _)| Some(class.clone())).collect()));
    table.push("photograph", Column::Text(rows().map(|(_, one)| Some(one.photograph.clone())).collect()));
    table.push("fold", Column::Count(rows().map(|(_, one)| Some(one.fold + 1)).collect()));
    table.push("x", real(|one| Some(one.peak.at[0])));
    table.push("y", real(|one| Some(one.peak.at[1])));
    table.push("score", real(|one| Some(one.peak.score)));
    table.push("lesion", Column::Count(rows().map(|(_, one)| one.lesion).collect()));
    table.push("distance", real(|one| one.distance));
    table
}

/// `lesions.parquet`: a row for each lesion: `class`, `photograph`, `number`, and the `score` of the highest peak that hits it (null if none
/// does).
#[must_use]
pub fn lesion_table(found: &[ClassDetections]) -> Columns {
    let rows: Vec<(&String, &(String, u32), Option<f64>)> = found
        .iter()
        .flat_map(|one| {
            one.lesions.iter().zip(one.data.lesion_scores()).map(move |(lesion, score)| (&one.class, lesion, score))
        })
        .collect();
    let mut table = Columns::default();
    table.push("class", Column::Text(rows.iter().map(|(class, ..)| Some((*class).clone())).collect()));
    table.push("photograph", Column::Text(rows.iter().map(|(_, lesion, _)| Some(lesion.0.clone())).collect()));
    table.push("number", Column::Count(rows.iter().map(|(_, lesion, _)| Some(lesion.1)).collect()));
    table.push("score", Column::Real(rows.iter().map(|(.., score)| *score).collect()));
    table
}
