//! Score map of one photograph as files: `scores.safetensors` and `map.json`.

use std::borrow::Cow;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::CellGrid;
use crate::data::patches::Label;
use crate::stage::StageError;
use crate::store::{Objects, Tree};

/// `map.json`: the cell grid, and the number of patches scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapInfo {
    /// The classes, in the order of the tensors.
    pub classes: Vec<String>,
    /// The photograph's width, px.
    pub width: u32,
    /// The photograph's height, px.
    pub height: u32,
    /// Side of one pixel in native pixels.
    pub scale: u32,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of a cell and distance between patches, px. The last column and row of cells may be narrower.
    pub stride: u32,
    /// Cells in a row.
    pub columns: u32,
    /// Rows of cells.
    pub rows: u32,
    /// Number of patches scored.
    pub scored: u64,
    /// Number of patches skipped because they are black.
    pub black: u64,
    /// Tuned threshold of each class, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<f64>>,
}

/// Score map of one photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreMap {
    /// Its cell grid.
    pub info: MapInfo,
    /// Scores, C x H x W; NaN if a cell is unknown.
    pub scores: Vec<f32>,
    /// Whether a cell contains a lesion pixel, C x H x W.
    pub lesion: Vec<Label>,
}

impl MapInfo {
    /// The cover of the photograph.
    #[must_use]
    pub const fn cover(&self) -> CellGrid {
        CellGrid {
            size: self.size as usize,
            stride: self.stride as usize,
            width: self.width as usize,
            height: self.height as usize,
        }
    }

    /// Number of cells.
    #[must_use]
    pub const fn cells(&self) -> usize {
        self.columns as usize * self.rows as usize
    }
}

impl ScoreMap {
    /// Writes `scores.safetensors` and `map.json`.
    ///
    /// # Errors
    /// Store errors.
    pub fn write(&self, tree: &mut Tree, objects: &Objects) -> Result<(), StageError> {
        let json = serde_json::to_vec_pretty(&self.info).map_err(|error| StageError::Bug(error.to_string()))?;
        tree.insert("map.json", objects.put(&json)?);
        let shape = vec![self.info.classes.len(), self.info.rows as usize, self.info.columns as usize];
        let scores: Vec<u8> = self.scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        let lesion: Vec<u8> = self.lesion.iter().map(|&label| byte(label)).collect();
        let defect = |error: safetensors::SafeTensorError| StageError::Bug(format!("safetensors: {error}"));
        let views = [
            ("scores", TensorView::new(Dtype::F32, shape.clone(), &scores).map_err(defect)?),
            ("lesion", TensorView::new(Dtype::U8, shape, &lesion).map_err(defect)?),
        ];
        tree.insert("scores.safetensors", objects.put(&safetensors::serialize(views, None).map_err(defect)?)?);
        Ok(())
    }

    /// Reads the files written by [`ScoreMap::write`].
    ///
    /// # Errors
    /// Store errors, or [`StageError::Bug`] if the files are not a score map.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let read = |name: &str| {
            objects.read_in(tree, name)?.ok_or_else(|| StageError::Bug(format!("a heat map without `{name}`")))
        };
        let wrong = |what: Cow<str>| StageError::Bug(format!("a heat map that does not parse: {what}"));
        let info: MapInfo = serde_json::from_slice(&read("map.json")?).map_err(|e| wrong(e.to_string().into()))?;
        let bytes = read("scores.safetensors")?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string().into()))?;
        let tensor = |name: &str, dtype: Dtype| {
            let shape = [info.classes.len(), info.rows as usize, info.columns as usize];
            let tensor = tensors.tensor(name).ok();
            let tensor = tensor.filter(|tensor| tensor.dtype() == dtype && tensor.shape() == shape);
            tensor.map(|tensor| tensor.data().to_vec()).ok_or_else(|| wrong(format!("`{name}`").into()))
        };
        let scores = tensor("scores", Dtype::F32)?;
        let scores = scores.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let lesion = tensor("lesion", Dtype::U8)?.into_iter().map(label).collect();
        Ok(Self { info, scores, lesion })
    }
}

const fn byte(label: Label) -> u8 {
    match label {
        Label::Absent => 0,
        Label::Present => 1,
        Label::Unknown => 255,
    }
}

const fn label(byte: u8) -> Label {
    match byte {
        0 => Label::Absent,
        1 => Label::Present,
        _ => Label::Unknown,
    }
}
