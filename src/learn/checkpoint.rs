//! Checkpoints of a fit: everything that the next step depends on, in one file, written atomically.
//!
//! The file is the BLAKE3 digest of what follows (32 bytes), then safetensors: the vectors of [`Checkpoint`], and its state as JSON
//! bytes. It lies in the folder of the stage, which belongs to one key, so it cannot be of another network or other data.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::objective::{Targets, of_label};
use crate::base::{Digest, disk};
use crate::data::patches::Label;
use crate::stage::StageError;
use crate::store::StoreError;

/// File name of a checkpoint.
pub const FILE: &str = "checkpoint.bin";

/// Position in a fit, with metrics `E` of each epoch. Random streams are counter-based: epoch and batch determine them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<E> {
    /// Position, and metrics so far.
    pub state: FitState<E>,
    /// All parameters.
    pub flat: Vec<f32>,
    /// Running statistics of batch norms.
    pub running: Vec<f32>,
    /// First moments of the optimizer.
    pub first: Vec<f32>,
    /// Second moments of the optimizer.
    pub second: Vec<f32>,
    /// Parameters of the best epoch so far; empty before the first.
    pub best_flat: Vec<f32>,
    /// Running statistics of the best epoch so far.
    pub best_running: Vec<f32>,
    /// Moving average of parameters and running statistics, if there is one.
    pub average: Option<(Vec<f32>, Vec<f32>)>,
    /// Outputs of the batches of the epoch so far.
    pub outputs: Vec<f32>,
    /// Their targets.
    pub targets: Targets,
}

/// State of a fit, except for its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitState<E> {
    /// Current epoch, from 1.
    pub epoch: u64,
    /// Batches of it that are finished.
    pub batches: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Metrics of the finished epochs.
    pub epochs: Vec<E>,
    /// Best epoch so far.
    pub best: Option<u64>,
    /// Its value of the selection metric, negated if lower is better.
    pub best_figure: Option<f64>,
    /// Patches per step, if GPU memory made them fewer than requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
    /// Targets that computed it; empty in checkpoints of older versions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<String>,
}

impl<E> Default for FitState<E> {
    /// State before the first step.
    fn default() -> Self {
        let targets = BTreeSet::new();
        Self { epoch: 1, batches: 0, steps: 0, epochs: Vec::new(), best: None, best_figure: None, batch: None, targets }
    }
}

impl<E: Serialize> Checkpoint<E> {
    /// Writes the checkpoint into `folder`, replacing the previous one.
    ///
    /// # Errors
    /// [`StageError::Store`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), StageError> {
        let bug = |error: &dyn std::fmt::Display| StageError::Bug(format!("cannot write a checkpoint: {error}"));
        let state = serde_json::to_vec(&self.state).map_err(|error| bug(&error))?;
        let known: Vec<u8> = self.targets.parts().1.iter().map(|known| u8::from(*known)).collect();
        let mut tensors: BTreeMap<&str, Bytes<'_>> =
            self.vectors().into_iter().map(|(name, values)| (name, Bytes::of_singles(values))).collect();
        tensors.insert("facts", Bytes::of_bytes(&state));
        tensors.insert("known", Bytes::of_bytes(&known));
        let body = safetensors::serialize(tensors, None).map_err(|error| bug(&error))?;
        let mut bytes = Vec::with_capacity(body.len() + 32);
        bytes.extend_from_slice(Digest::of(&body).bytes());
        bytes.extend_from_slice(&body);
        let path = folder.join(FILE);
        disk::write_whole(&path, &bytes).map_err(StoreError::disk("write", &path))?;
        Ok(())
    }

    fn vectors(&self) -> Vec<(&'static str, &[f32])> {
        let mut all: Vec<(&'static str, &[f32])> = vec![
            ("flat", &self.flat),
            ("running", &self.running),
            ("first", &self.first),
            ("second", &self.second),
            ("best_flat", &self.best_flat),
            ("best_running", &self.best_running),
            ("logits", &self.outputs),
            ("targets", self.targets.parts().0),
        ];
        if let Some((flat, running)) = &self.average {
            all.extend([("average_flat", flat.as_slice()), ("average_running", running.as_slice())]);
        }
        all
    }
}

impl<E: DeserializeOwned> Checkpoint<E> {
    /// Checkpoint in `folder`; [`None`] if it is missing or damaged.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        let (digest, body) = bytes.split_at_checked(32)?;
        if Digest::of(body).bytes() != digest {
            return None;
        }
        let tensors = SafeTensors::deserialize(body).ok()?;
        let singles = |name: &str| {
            let bytes = tensors.tensor(name).ok()?.data();
            let value = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            Some(bytes.chunks_exact(4).map(value).collect())
        };
        let targets = |values: Vec<f32>| {
            let known = tensors.tensor("known").ok()?.data();
            Some(values.into_iter().zip(known).map(|(value, known)| (*known == 1).then_some(value)).collect())
        };
        Some(Self {
            state: serde_json::from_slice(tensors.tensor("facts").ok()?.data()).ok()?,
            flat: singles("flat")?,
            running: singles("running")?,
            first: singles("first")?,
            second: singles("second")?,
            best_flat: singles("best_flat")?,
            best_running: singles("best_running")?,
            average: singles("average_flat").zip(singles("average_running")),
            outputs: singles("logits")?,
            targets: singles("targets").and_then(targets).or_else(|| labels(&tensors))?,
        })
    }
}

/// Targets of a checkpoint that holds labels, as macula wrote them before targets could lie between 0 and 1.
fn labels(tensors: &SafeTensors) -> Option<Targets> {
    let label = |byte: &u8| [Label::Absent, Label::Present, Label::Unknown].get(usize::from(*byte)).copied();
    tensors.tensor("labels").ok()?.data().iter().map(|byte| label(byte).map(of_label)).collect()
}

/// Vector to be written by safetensors.
struct Bytes<'a> {
    dtype: Dtype,
    shape: [usize; 1],
    data: Cow<'a, [u8]>,
}

impl<'a> Bytes<'a> {
    fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { dtype: Dtype::U8, shape: [bytes.len()], data: bytes.into() }
    }

    fn of_singles(values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        Self { dtype: Dtype::F32, shape: [values.len()], data: bytes.into() }
    }
}

impl View for Bytes<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}
