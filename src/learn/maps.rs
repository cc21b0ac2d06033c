//! Heat maps: the scores of a photograph's patches, and how far the scores of cells tell where lesions are. Knows no pictures.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::loader::{Batch, ahead};
use super::metrics::{Mean, Scored, ranking_as_stored, sigmoid};
use super::model::Model;
use crate::base::Digest;
use crate::data::decode::Photograph;
use crate::data::heat::ScoreMap;
use crate::data::patches::Label;
use crate::stage::{StageError, Stop};
use crate::store::{Objects, Tree};

/// The scores (N x C) of the patches at `places`, in their order: the next batch is cut while one is computed.
///
/// # Errors
/// [`StageError::Input`] where a score is not a number, [`StageError::Stopped`].
pub fn scores(
    model: &Model,
    photograph: &Photograph,
    places: &[(usize, usize)],
    batch: usize,
    stop: &Stop,
) -> Result<Vec<f64>, StageError> {
    let (size, values) = (model.info.size as usize, model.info.normalisation.tables());
    let pieces: Vec<_> = places.chunks(batch.max(1)).collect();
    let mut all = Vec::with_capacity(places.len() * model.info.classes.len());
    let mut take = |batch: &Batch| -> Result<(), StageError> {
        stop.check()?;
        all.extend(model.logits(batch)?);
        Ok(())
    };
    ahead(pieces.len(), |at| cut(photograph, pieces[at], size, &values), |_, batch| take(&batch))?;
    if all.iter().any(|logit: &f32| logit.is_nan()) {
        let text = "the model's output for a patch is not a number: its weights are damaged";
        return Err(StageError::input("nan-output", text).hint("train again with a lower rate").field("model"));
    }
    Ok(all.into_iter().map(sigmoid).collect())
}

/// The last model that was asked for, and the digest of its files.
static HELD: Mutex<Option<(Digest, Arc<Model>)>> = Mutex::new(None);

/// The model that `tree` holds. The last one is kept: a map stage asks for the same one with every photograph, from several threads.
///
/// # Errors
/// As [`Model::read`].
pub fn held(tree: &Tree, objects: &Objects) -> Result<Arc<Model>, StageError> {
    let digest = tree.digest();
    let lock = || HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, model)) = lock().as_ref().filter(|(held, _)| *held == digest) {
        return Ok(Arc::clone(model));
    }
    // Not under the lock: a thread that waits for others within may be given another photograph, and would wait for itself.
    let model = Model::read(tree, objects)?;
    // Nor may the first batch fold the batch norms while others wait for that.
    let size = model.info.size as usize;
    model.logits(&Batch { count: 1, size, pixels: vec![0.0; size * size * 3], labels: Vec::new() })?;
    let model = Arc::new(model);
    *lock() = Some((digest, Arc::clone(&model)));
    Ok(model)
}

/// Normalised patches of a photograph, N x S x S x 3.
fn cut(photograph: &Photograph, places: &[(usize, usize)], size: usize, values: &[[f32; 256]; 3]) -> Batch {
    let mut pixels = Vec::with_capacity(places.len() * size * size * 3);
    for &(x, y) in places {
        for row in y..y + size {
            let bytes = &photograph.row(row)[x * 3..(x + size) * 3];
            pixels.extend(bytes.as_chunks().0.iter().flat_map(|&[r, g, b]: &[u8; 3]| {
                [values[0][usize::from(r)], values[1][usize::from(g)], values[2][usize::from(b)]]
            }));
        }
    }
    Batch { count: places.len(), size, pixels, labels: Vec::new() }
}

/// What the cells of one class say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellFigures {
    /// Cells that have a score.
    pub cells: u64,
    /// Their mean score.
    pub mean: Option<f64>,
    /// Their highest score.
    pub highest: Option<f64>,
    /// Of them, those at or over the threshold (0.5 where none was tuned).
    pub over: u64,
    /// Cells that have a score, and of which it is known whether a lesion pixel is in them.
    pub known: u64,
    /// Of those, with a lesion pixel.
    pub lesion: u64,
    /// Cells with a lesion pixel that have no score, because only black patches cover them.
    pub lesion_unscored: u64,
    /// Average precision of the scores against a lesion pixel in the cell; random scores reach the prevalence.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
}

impl CellFigures {
    /// The share of known cells with a lesion pixel.
    #[must_use]
    pub fn prevalence(&self) -> Option<f64> {
        (self.known > 0).then(|| self.lesion as f64 / self.known as f64)
    }

    /// The share of cells at or over the threshold.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.cells > 0).then(|| self.over as f64 / self.cells as f64)
    }
}

/// `maps.json`: what was mapped, and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Maps {
    /// The classes.
    pub classes: Vec<String>,
    /// The tuned threshold of each, where there are any.
    pub thresholds: Option<Vec<f64>>,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of a cell, px; 0 where there is no photograph.
    pub stride: u32,
    /// Over all photographs, each class.
    pub all: Vec<CellFigures>,
    /// Each photograph.
    pub photographs: Vec<MapFigures>,
}

/// The figures of one photograph's map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapFigures {
    /// Its name, and that of its folder.
    pub photograph: String,
    /// Patches that were scored.
    pub scored: u64,
    /// Patches that were not, because they are black.
    pub black: u64,
    /// Each class.
    pub classes: Vec<CellFigures>,
}

impl MapFigures {
    /// The highest score of any class; 0 where nothing was scored.
    #[must_use]
    pub fn highest(&self) -> f64 {
        self.classes.iter().filter_map(|class| class.highest).fold(0.0, f64::max)
    }
}

impl Maps {
    /// The same metrics as they are shown, none above 1 ([`ranking_as_stored`]).
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let each = self.photographs.iter_mut().flat_map(|map| &mut map.classes);
        for found in self.all.iter_mut().chain(each) {
            found.average_precision = found.average_precision.map(|value| value.min(1.0));
        }
        self
    }

    /// The mean over classes of the average precision over cells.
    #[must_use]
    pub fn mean_average_precision(&self) -> Mean {
        Mean::of(self.all.iter().map(|class| class.average_precision))
    }
}

/// The figures of one class over the cells of several maps (one, or all photographs').
#[must_use]
pub fn figures<'a>(maps: impl IntoIterator<Item = &'a ScoreMap>, class: usize, threshold: f64) -> CellFigures {
    let mut found = CellFigures::default();
    let (mut scores, mut labels, mut sum) = (Vec::new(), Vec::new(), 0.0);
    for map in maps {
        let cells = map.info.cells();
        let range = class * cells..(class + 1) * cells;
        for (&score, &label) in map.scores[range.clone()].iter().zip(&map.lesion[range]) {
            if score.is_nan() {
                found.lesion_unscored += u64::from(label == Label::Present);
                continue;
            }
            let score = f64::from(score);
            found.cells += 1;
            found.highest = Some(found.highest.map_or(score, |highest| highest.max(score)));
            found.over += u64::from(score >= threshold);
            found.known += u64::from(label != Label::Unknown);
            found.lesion += u64::from(label == Label::Present);
            sum += score;
            scores.push(score);
            labels.push(label);
        }
    }
    found.mean = (found.cells > 0).then(|| sum / found.cells as f64);
    let ranking = ranking_as_stored(&Scored::new(1, scores, labels))[0];
    CellFigures { average_precision: ranking.average_precision, auroc: ranking.auroc, ..found }
}
