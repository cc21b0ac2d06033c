//! Goal of a fit: what its steps minimise, which patches they take, and by which metrics an epoch is selected.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::task::TrainedOn;
use crate::engine::network::Network;
use crate::learn::loader::OpenPatchSet;
use crate::learn::objective::{Objective, Targets};
use crate::learn::sampler::{Batch, PatchDraw};
use crate::stage::{Metrics, StageError, Warning};

/// Outputs of a network for some patches (N x [`Goal::outputs`]), and the targets of these.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// Outputs.
    pub values: &'a [f32],
    /// Targets.
    pub targets: &'a Targets,
}

/// Evaluates patches of a set: outputs without augmentation, in evaluation mode, and targets.
pub type Evaluate<'a> = dyn Fn(&OpenPatchSet, &[PatchDraw]) -> Result<(Vec<f32>, Targets), StageError> + 'a;

/// Goal of a fit.
pub trait Goal {
    /// Metrics after an epoch.
    type Epoch: Clone + Serialize + DeserializeOwned;

    /// Number of outputs of the network per patch.
    fn outputs(&self) -> usize;

    /// What a step minimises.
    fn objective(&self) -> &Arc<dyn Objective>;

    /// Of the outputs of a step, those that the metrics of its epoch are computed from.
    fn kept(&self, outputs: Vec<f32>) -> Vec<f32> {
        outputs
    }

    /// Classes of a layer that gives one output per class; those of an initial model with other classes are not loaded.
    fn classes(&self) -> &[String];

    /// Layers that initial weights may lack, given what these were trained on.
    fn new_layers(&self, network: &Network, trained: Option<&TrainedOn>) -> Vec<String>;

    /// Sets initial values of a network whose weights are loaded.
    ///
    /// # Errors
    /// [`StageError::Input`] if the network lacks what is set.
    fn prepare(&self, network: &mut Network) -> Result<(), StageError>;

    /// Batches of an epoch, in order, of `size` patches each. Every epoch has as many.
    fn batches(&self, epoch: u64, size: usize) -> Vec<Batch>;

    /// Metrics after an epoch with this number and learning rate: of its batches, whose outputs are given, and of other patches.
    ///
    /// # Errors
    /// Errors of `evaluate`.
    fn metrics(
        &self,
        epoch: (u64, f64),
        batches: &[Batch],
        steps: Outputs,
        evaluate: &Evaluate,
    ) -> Result<Self::Epoch, StageError>;

    /// Losses among the metrics of an evaluation, which have to be finite.
    fn losses(&self, _epoch: &Self::Epoch) -> Vec<f64> {
        Vec::new()
    }

    /// Value by which the best epoch is selected, the higher the better; [`None`] if it is undefined.
    fn selected_by(&self, epoch: &Self::Epoch) -> Option<f64>;

    /// Metrics of an epoch as they are shown, of so many epochs, and whether it is the best so far.
    fn shown(&self, epoch: &Self::Epoch, epochs: u64, best: bool) -> Metrics;

    /// Progress line of a step: epoch and batch, each with their number, the value of the step, and the metrics of the previous epoch.
    fn words(&self, epoch: (u64, u64), batch: (u64, u64), value: f64, last: Option<&Self::Epoch>) -> String;

    /// Warnings about an epoch that were not true of the previous one.
    fn doubts(&self, epoch: &Self::Epoch, previous: Option<&Self::Epoch>) -> Vec<Warning>;

    /// Warnings about the selected epoch.
    fn verdict(&self, epoch: &Self::Epoch) -> Vec<Warning>;
}
