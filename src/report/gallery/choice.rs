//! Which patches of an evaluation are right and wrong, and how gravely. Knows no picture.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClassOutcome, GalleryPatch};
use crate::data::table::{Columns, TableError};
use crate::data::thumbnail::MaskOutline;
use crate::learn::evaluation::{ExampleKind, Scores};

/// Predictions of an evaluation next to the labels.
pub(in crate::report) struct Predicted<'t> {
    pub(in crate::report) photographs: &'t [Option<String>],
    x: &'t [Option<u32>],
    y: &'t [Option<u32>],
    classes: Vec<PredictedClass<'t>>,
    /// Right and bottom edges of the patches of each photograph.
    extents: BTreeMap<&'t str, (u32, u32)>,
}

/// Columns of a class.
pub(in crate::report) struct PredictedClass<'t> {
    pub(in crate::report) scores: &'t [Option<f64>],
    pub(in crate::report) labels: &'t [Option<bool>],
    /// At the tuned threshold if there is one.
    pub(in crate::report) predicted: &'t [Option<bool>],
    pixels: &'t [Option<u32>],
}

/// Reads the table of an evaluation.
///
/// # Errors
/// If it is not one.
pub(in crate::report) fn predicted<'t>(scores: &Scores, table: &'t Columns) -> Result<Predicted<'t>, TableError> {
    let class = |name: &String| {
        let tuned = table.bools(&format!("tuned.{name}"));
        Ok(PredictedClass {
            scores: table.reals(&format!("score.{name}"))?,
            labels: table.bools(&format!("label.{name}"))?,
            predicted: tuned.or_else(|_| table.bools(&format!("predicted.{name}")))?,
            pixels: table.counts(&format!("mask_pixels.{name}"))?,
        })
    };
    let (photographs, x, y) = (table.texts("photograph")?, table.counts("x")?, table.counts("y")?);
    let mut extents: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for ((photograph, x), y) in photographs.iter().zip(x).zip(y) {
        let extent = extents.entry(photograph.as_deref().unwrap_or_default()).or_default();
        let edge = |at: &Option<u32>| at.unwrap_or(0) + scores.data.size;
        *extent = (extent.0.max(edge(x)), extent.1.max(edge(y)));
    }
    let classes = scores.classes.iter().map(class).collect::<Result<_, TableError>>()?;
    Ok(Predicted { photographs, x, y, classes, extents })
}

impl Predicted<'_> {
    /// Columns of each class.
    pub(in crate::report) fn classes(&self) -> &[PredictedClass<'_>] {
        &self.classes
    }

    /// Number of patches.
    pub(in crate::report) fn rows(&self) -> usize {
        self.photographs.len()
    }

    /// Photograph and top left corner of a patch.
    pub(super) fn place(&self, row: usize) -> (&str, u32, u32) {
        let at = |column: &[Option<u32>]| column[row].unwrap_or(0);
        (self.photographs[row].as_deref().unwrap_or_default(), at(self.x), at(self.y))
    }

    /// Outcome of a class on a patch; [`None`] if its label is unknown.
    pub(in crate::report) fn is_right(&self, row: usize, class: usize) -> Option<(bool, bool)> {
        let class = &self.classes[class];
        class.labels[row].zip(class.predicted[row])
    }

    fn outcomes(&self, row: usize) -> Vec<ClassOutcome> {
        let outcome = |class: usize| {
            let kind = match self.is_right(row, class)? {
                (true, true) => ExampleKind::Found,
                (false, true) => ExampleKind::FalseAlarm,
                (true, false) => ExampleKind::Missed,
                (false, false) => return None,
            };
            let columns = &self.classes[class];
            let score = columns.scores[row].unwrap_or(0.0);
            Some(ClassOutcome { class, kind, score, mask_pixels: columns.pixels[row].unwrap_or(0) })
        };
        (0..self.classes.len()).filter_map(outcome).collect()
    }

    /// Patches with an error, the gravest first: of each class the false negatives with the lowest and the false positives with the
    /// highest scores, in turn. Ties in the order of the table.
    pub(super) fn errors(&self) -> Vec<usize> {
        let mut lists: BTreeMap<(usize, ExampleKind), Vec<(f64, usize)>> = BTreeMap::new();
        for row in 0..self.rows() {
            for ClassOutcome { class, kind, score, .. } in self.outcomes(row) {
                match kind {
                    ExampleKind::Missed => lists.entry((class, kind)).or_default().push((score, row)),
                    ExampleKind::FalseAlarm => lists.entry((class, kind)).or_default().push((-score, row)),
                    ExampleKind::Found => {}
                }
            }
        }
        // The best place of each patch in these lists.
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for list in lists.values_mut() {
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (place, &(_, row)) in list.iter().enumerate() {
                let best = places.entry(row).or_insert(place);
                *best = place.min(*best);
            }
        }
        let mut rows: Vec<(usize, usize)> = places.into_iter().map(|(row, place)| (place, row)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// A patch with its picture.
    pub(super) fn patch(&self, row: usize, picture: Vec<u8>, outlines: Vec<(usize, MaskOutline)>) -> GalleryPatch {
        let (photograph, x, y) = self.place(row);
        let is_present = |class: &usize| self.classes[*class].labels[row] == Some(true);
        GalleryPatch {
            photograph: photograph.to_owned(),
            corner: (x, y),
            extent: self.extents.get(photograph).copied().unwrap_or_default(),
            outcomes: self.outcomes(row),
            present: (0..self.classes.len()).filter(is_present).collect(),
            picture,
            outlines,
        }
    }
}

/// The rows of one list that the other does not have, each once, in order.
pub(super) fn without(rows: &[usize], others: &[usize]) -> Vec<usize> {
    let mut met: BTreeSet<usize> = others.iter().copied().collect();
    rows.iter().copied().filter(|row| met.insert(*row)).collect()
}
