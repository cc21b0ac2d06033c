//! Objectives: what a step of training minimises, as a function of the outputs of a batch and their targets. They know no network and no
//! optimizer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::metrics::ScoreFunction;
use crate::base::sync::lock;
use crate::data::patches::Label;

/// Objective of a training.
pub trait Objective: Send + Sync {
    /// Number of outputs per patch that it reads: the columns of `outputs` below.
    fn outputs(&self) -> usize;

    /// How its outputs become scores.
    fn activation(&self) -> ScoreFunction {
        ScoreFunction::Sigmoid
    }

    /// Number of targets per patch.
    fn classes(&self) -> usize {
        self.outputs()
    }

    /// Value of a batch, which a step minimises.
    fn value(&self, outputs: &[f32], targets: &Targets) -> f64;

    /// Derivative of [`Objective::value`] with respect to each output.
    fn gradient(&self, outputs: &[f32], targets: &Targets) -> Vec<f32>;

    /// [`Objective::value`] and [`Objective::gradient`], for objectives that compute both at once.
    fn value_and_gradient(&self, outputs: &[f32], targets: &Targets) -> (f64, Vec<f32>) {
        (self.value(outputs, targets), self.gradient(outputs, targets))
    }

    /// Value over a whole set; [`None`] if only a batch has one, as where the patches of a batch are compared with each other.
    fn of_set(&self, outputs: &[f32], targets: &Targets) -> Option<f64>;

    /// Its own metrics over a set, by name, besides its value.
    fn metrics(&self, _outputs: &[f32], _targets: &Targets) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }
}

/// Targets of N patches, N x C: values from 0 to 1, some of them unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Values; 0 if unknown.
    values: Vec<f32>,
    /// Whether each is known.
    known: Vec<bool>,
}

impl Targets {
    /// Targets 1 for present, 0 for absent.
    #[must_use]
    pub fn of(labels: &[Label]) -> Self {
        labels.iter().map(|label| of_label(*label)).collect()
    }

    /// Number of targets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The targets; [`None`] if unknown.
    pub fn iter(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        self.values.iter().zip(&self.known).map(|(value, known)| known.then_some(*value))
    }

    /// Values, 0 if unknown, and whether each is known.
    #[must_use]
    pub fn parts(&self) -> (&[f32], &[bool]) {
        (&self.values, &self.known)
    }

    /// Adds the targets of further patches.
    pub fn extend(&mut self, more: &Self) {
        self.values.extend(&more.values);
        self.known.extend(&more.known);
    }

    /// Removes all targets.
    pub fn clear(&mut self) {
        self.values.clear();
        self.known.clear();
    }

    /// Labels for metrics. A target between 0 and 1 is neither present nor absent and becomes unknown.
    #[must_use]
    pub fn labels(&self) -> Vec<Label> {
        let label = |target| match target {
            Some(0.0) => Label::Absent,
            Some(1.0) => Label::Present,
            _ => Label::Unknown,
        };
        self.iter().map(label).collect()
    }
}

impl FromIterator<Option<f32>> for Targets {
    fn from_iter<I: IntoIterator<Item = Option<f32>>>(targets: I) -> Self {
        let (values, known) = targets.into_iter().map(|target| (target.unwrap_or(0.0), target.is_some())).unzip();
        Self { values, known }
    }
}

/// Target of a label; [`None`] if it is unknown.
#[must_use]
pub const fn of_label(label: Label) -> Option<f32> {
    match label {
        Label::Present => Some(1.0),
        Label::Absent => Some(0.0),
        Label::Unknown => None,
    }
}

/// Value of `outputs` (N x C, f32) as a scalar on candle's tape.
///
/// # Errors
/// Errors of candle if the shapes do not match.
pub fn on_tape(objective: &Arc<dyn Objective>, outputs: &Tensor, targets: &Targets) -> candle_core::Result<Tensor> {
    let gradient = Mutex::default();
    outputs.apply_op1(ObjectiveOp { objective: Arc::clone(objective), targets: targets.clone(), gradient })
}

/// Objective as an operation on candle's tape.
struct ObjectiveOp {
    objective: Arc<dyn Objective>,
    targets: Targets,
    /// That of the forward pass.
    gradient: Mutex<Vec<f32>>,
}

impl CustomOp1 for ObjectiveOp {
    fn name(&self) -> &'static str {
        "objective"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let outputs: &[f32] = storage.as_slice()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the objective needs contiguous outputs");
        };
        let (outputs_of_one, classes) = (self.objective.outputs(), self.objective.classes());
        if (end - start) * classes != self.targets.len() * outputs_of_one {
            candle_core::bail!("{} outputs but {} targets", end - start, self.targets.len());
        }
        let (value, gradient) = self.objective.value_and_gradient(&outputs[start..end], &self.targets);
        *lock(&self.gradient) = gradient;
        Ok((CpuStorage::F32(vec![value as f32]), Shape::from(())))
    }

    fn bwd(&self, outputs: &Tensor, _value: &Tensor, upstream: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = Tensor::from_vec(lock(&self.gradient).clone(), outputs.shape(), outputs.device())?;
        Ok(Some(gradient.broadcast_mul(upstream)?))
    }
}
