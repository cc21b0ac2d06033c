//! Heat maps: scores of the patches of a photograph, and metrics of the cells against lesion masks. Knows no pictures.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::last_used::LastUsed;
use super::loader::{PixelBatch, ahead};
use super::metrics::{LabelledScores, Mean, ranking_as_stored};
use super::model::{Classifier, Scoring};
use super::objective::Targets;
use crate::base::Digest;
use crate::data::decode::Photograph;
use crate::data::embeddings::JoinedEmbeddings;
use crate::data::heat::ScoreMap;
use crate::data::patches::Label;
use crate::engine::gpu::DeviceRequest;
use crate::stage::{Progress, StageError, Stop};
use crate::store::{Objects, Tree};

/// Scores (N x C) of the patches at `places`, in their order: the means over the models, which have the same classes. `joined` is what the
/// models read of the whole photograph, by the names of their inputs. The next batch is cut while one is computed.
///
/// # Errors
/// [`StageError::Input`] if a score is NaN, [`StageError::Stopped`].
pub fn scores(
    models: &[Classifier],
    photograph: &Photograph,
    places: &[(usize, usize)],
    joined: &BTreeMap<String, Vec<f32>>,
    scoring: Scoring,
    stop: &Stop,
) -> Result<Vec<f64>, StageError> {
    let mut means: Vec<f64> = Vec::new();
    for model in models {
        let scores = scores_of(model, photograph, places, joined, scoring, stop)?;
        if means.is_empty() {
            means = scores;
        } else {
            means.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
    }
    if models.len() > 1 {
        for sum in &mut means {
            *sum /= models.len() as f64;
        }
    }
    Ok(means)
}

/// As [`scores`], by one model.
fn scores_of(
    model: &Classifier,
    photograph: &Photograph,
    places: &[(usize, usize)],
    joined: &BTreeMap<String, Vec<f32>>,
    scoring: Scoring,
    stop: &Stop,
) -> Result<Vec<f64>, StageError> {
    model.info.calibrated_for(scoring.tta)?;
    let (sides, values) = (model.info.sides(), model.info.normalisation.tables());
    let of_input = |input: &JoinedEmbeddings| {
        joined.get(&input.name).ok_or_else(|| StageError::Bug(format!("no embedding as `{}`", input.name)))
    };
    let joined: Vec<&Vec<f32>> = model.info.embeddings.iter().map(of_input).collect::<Result<_, _>>()?;
    let pieces: Vec<_> = places.chunks(scoring.batch.max(1)).collect();
    let mut all = Vec::with_capacity(places.len() * model.info.classes.len());
    let mut take = |batch: &PixelBatch| -> Result<(), StageError> {
        stop.check()?;
        all.extend(model.scores(batch, scoring.tta)?);
        Ok(())
    };
    let batch = |places: &[(usize, usize)]| PixelBatch {
        joined: joined.iter().map(|values| values.repeat(places.len())).collect(),
        ..cut(photograph, places, sides, &values)
    };
    ahead(pieces.len(), |at| batch(pieces[at]), |_, batch| take(&batch))?;
    if all.iter().any(|score: &f64| score.is_nan()) {
        let text = "the model outputs NaN for a patch: its weights are damaged";
        return Err(StageError::input("nan-output", text).hint("retrain with a lower learning rate").field("model"));
    }
    Ok(all)
}

/// Models that were requested last.
static HELD: LastUsed<(Vec<Digest>, DeviceRequest), Vec<Classifier>> = LastUsed::new();

/// Models in `trees`. The last ones are cached: a map stage requests the same models for every photograph, from several threads.
///
/// # Errors
/// As [`Classifier::read`].
pub fn held(
    trees: &[Tree],
    objects: &Objects,
    device: DeviceRequest,
    progress: &dyn Progress,
) -> Result<Arc<Vec<Classifier>>, StageError> {
    let open = |tree: &Tree| {
        let model = Classifier::read(tree, objects)?.on(device, progress)?;
        // A first batch folds the batch norms now, not while other threads wait for it.
        model.warm_up()?;
        Ok(model)
    };
    HELD.get((trees.iter().map(Tree::digest).collect(), device), device, || trees.iter().map(open).collect())
}

/// Frees the model that was requested last, and its memory on a GPU, for the stages that follow.
pub fn release() {
    HELD.release();
}

/// Normalised patches of a photograph, N x S x S x 3; with their surroundings, if a canvas is larger than a patch, black beyond the
/// photograph. `sides` is `[canvas, size]`.
fn cut(
    photograph: &Photograph,
    places: &[(usize, usize)],
    [canvas, size]: [usize; 2],
    values: &[[f32; 256]; 3],
) -> PixelBatch {
    let margin = (canvas - size) / 2;
    let normal = |[r, g, b]: [u8; 3]| [values[0][usize::from(r)], values[1][usize::from(g)], values[2][usize::from(b)]];
    let black = normal([0; 3]);
    let mut pixels = Vec::with_capacity(places.len() * canvas * canvas * 3);
    for &(x, y) in places {
        // Columns of the photograph that the canvas covers.
        let (from, to) = (x.saturating_sub(margin), (x + size + margin).min(photograph.width));
        for row in 0..canvas {
            let Some(row) = (y + row).checked_sub(margin).filter(|row| *row < photograph.height) else {
                (0..canvas).for_each(|_| pixels.extend(black));
                continue;
            };
            (x..from + margin).for_each(|_| pixels.extend(black));
            let bytes = &photograph.row(row)[from * 3..to * 3];
            pixels.extend(bytes.as_chunks().0.iter().flat_map(|pixel| normal(*pixel)));
            (to..x + size + margin).for_each(|_| pixels.extend(black));
        }
    }
    PixelBatch { count: places.len(), size: canvas, pixels, joined: Vec::new(), targets: Targets::default() }
}

/// Metrics of the cells of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellMetrics {
    /// Cells that have a score.
    pub cells: u64,
    /// Mean score.
    pub mean: Option<f64>,
    /// Maximum score.
    pub highest: Option<f64>,
    /// Cells with a score at or above the threshold (0.5 if none was tuned), or with the highest one ([`CellDecision`]).
    pub over: u64,
    /// Cells with a score and a known label (whether they contain a lesion pixel).
    pub known: u64,
    /// Known cells with a lesion pixel.
    pub lesion: u64,
    /// Cells with a lesion pixel but no score, because only black patches cover them.
    pub lesion_unscored: u64,
    /// Average precision; a random classifier reaches the prevalence.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
}

impl CellMetrics {
    /// Fraction of known cells with a lesion pixel.
    #[must_use]
    pub fn prevalence(&self) -> Option<f64> {
        (self.known > 0).then(|| self.lesion as f64 / self.known as f64)
    }

    /// Fraction of cells with a score at or above the threshold.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        (self.cells > 0).then(|| self.over as f64 / self.cells as f64)
    }
}

/// How cells are counted as positive for a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellDecision {
    /// Those with a score at or above its threshold.
    #[default]
    Threshold,
    /// Those in which its score is the highest, the first of equal ones: the model chooses one class.
    Highest,
    /// Those with a score of at least 0.5, although the model chooses one class: the scores of the others are not mapped.
    Half,
}

impl CellDecision {
    /// Whether a threshold decides.
    #[must_use]
    pub const fn is_threshold(&self) -> bool {
        matches!(self, Self::Threshold)
    }
}

/// `maps.json`: heat maps and their metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Maps {
    /// Lesion classes.
    pub classes: Vec<String>,
    /// Tuned threshold of each class, if there are any.
    pub thresholds: Option<Vec<f64>>,
    /// How cells are counted as positive.
    #[serde(default, skip_serializing_if = "CellDecision::is_threshold")]
    pub decision: CellDecision,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of a cell, px; 0 without photographs.
    pub stride: u32,
    /// Metrics of each class over all photographs.
    pub all: Vec<CellMetrics>,
    /// Maps of the photographs.
    pub photographs: Vec<MapMetrics>,
}

/// Metrics of the map of one photograph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapMetrics {
    /// Name of the photograph and of its folder.
    pub photograph: String,
    /// Scored patches.
    pub scored: u64,
    /// Black patches, which were skipped.
    pub black: u64,
    /// Metrics of each class.
    pub classes: Vec<CellMetrics>,
}

impl MapMetrics {
    /// Maximum score of any class; 0 if nothing was scored.
    #[must_use]
    pub fn highest(&self) -> f64 {
        self.classes.iter().filter_map(|class| class.highest).fold(0.0, f64::max)
    }
}

impl Maps {
    /// The metrics clamped to 1 for display ([`ranking_as_stored`]).
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let each = self.photographs.iter_mut().flat_map(|map| &mut map.classes);
        for found in self.all.iter_mut().chain(each) {
            found.average_precision = found.average_precision.map(|value| value.min(1.0));
        }
        self
    }

    /// Mean over classes of the average precision over cells.
    #[must_use]
    pub fn mean_average_precision(&self) -> Mean {
        Mean::of(self.all.iter().map(|class| class.average_precision))
    }
}

/// Whether the score of a class is the highest of a cell, the first of equal ones.
fn is_highest(map: &ScoreMap, class: usize, cell: usize) -> bool {
    let cells = map.info.cells();
    let score = |of: usize| map.scores[of * cells + cell];
    (0..map.info.classes.len()).all(|of| if of < class { score(of) < score(class) } else { score(of) <= score(class) })
}

/// Metrics of one class over the cells of one or more maps. Without a threshold, the highest score decides.
#[must_use]
pub fn cell_metrics<'a>(
    maps: impl IntoIterator<Item = &'a ScoreMap>,
    class: usize,
    threshold: Option<f64>,
) -> CellMetrics {
    let mut found = CellMetrics::default();
    let (mut scores, mut labels, mut sum) = (Vec::new(), Vec::new(), 0.0);
    for map in maps {
        let cells = map.info.cells();
        let range = class * cells..(class + 1) * cells;
        for (cell, (&score, &label)) in map.scores[range.clone()].iter().zip(&map.lesion[range]).enumerate() {
            if score.is_nan() {
                found.lesion_unscored += u64::from(label == Label::Present);
                continue;
            }
            let score = f64::from(score);
            found.cells += 1;
            found.highest = Some(found.highest.map_or(score, |highest| highest.max(score)));
            let is_over = threshold.map_or_else(|| is_highest(map, class, cell), |threshold| score >= threshold);
            found.over += u64::from(is_over);
            found.known += u64::from(label != Label::Unknown);
            found.lesion += u64::from(label == Label::Present);
            sum += score;
            scores.push(score);
            labels.push(label);
        }
    }
    found.mean = (found.cells > 0).then(|| sum / found.cells as f64);
    let ranking = ranking_as_stored(&LabelledScores::new(1, scores, labels))[0];
    CellMetrics { average_precision: ranking.average_precision, auroc: ranking.auroc, ..found }
}
