//! Goal of `train`: a classifier of patches by a loss over labels.

use std::sync::Arc;

use super::examine::examine;
use super::goal::{Evaluate, Goal, Outputs};
use super::metrics::{EpochMetrics, SetMetrics, lopsided_text, metrics, words};
use super::settings::{ClassifierSettings, drawn, label_counts};
use super::start::fixed;
use super::{FitNotes, FitTask, TrainedOn};
use crate::engine::network::Network;
use crate::learn::auxiliary::{main_logits, with_auxiliary};
use crate::learn::metrics::ScoreFunction;
use crate::learn::model::LabelCounts;
use crate::learn::objective::Objective;
use crate::learn::sampler::Batch;
use crate::stage::{Metrics, StageError, Warning};

/// Label counts per class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Counts over all training patches.
    pub there: Vec<LabelCounts>,
    /// Counts over the patches drawn in an epoch.
    pub drawn: Vec<LabelCounts>,
}

/// A classifier as the goal of a fit.
pub struct Classification<'a> {
    task: &'a FitTask<'a>,
    settings: &'a ClassifierSettings,
    /// Objective of the logits.
    of_logits: Arc<dyn Objective>,
    /// What a step minimises: with that of auxiliary outputs.
    of_step: Arc<dyn Objective>,
    /// Labels of the training patches.
    pub labels: Labels,
}

impl<'a> Classification<'a> {
    /// Checks data and settings, and adds warnings to `notes`.
    ///
    /// # Errors
    /// [`StageError::Input`] if they are inconsistent.
    pub fn new(
        task: &'a FitTask<'a>,
        settings: &'a ClassifierSettings,
        notes: &mut FitNotes,
    ) -> Result<Self, StageError> {
        let there = label_counts(&task.data.set);
        examine(task, settings, &there, notes)?;
        let drawn = drawn(&task.data.set, &settings.sampler, task.streams);
        let of_logits = settings.loss.objective(&task.data.set.info.classes, &drawn)?;
        let of_step = with_auxiliary(Arc::clone(&of_logits), task.network);
        Ok(Self { task, settings, of_logits, of_step, labels: Labels { there, drawn } })
    }

    /// How the logits become scores.
    #[must_use]
    pub fn activation(&self) -> ScoreFunction {
        self.of_logits.activation()
    }

    /// Sets the bias of each head to the log odds of each class among the patches of the first epoch, or to the logarithm of its frequency if
    /// classes are exclusive. Half a patch is added to both counts, so that it is defined for a class without positives.
    fn prior_bias(&self, network: &mut Network) -> Result<(), StageError> {
        let odds = |count: &LabelCounts| {
            let others = if self.activation().is_sigmoid() { count.absent } else { count.present + count.absent };
            libm::log((count.present as f64 + 0.5) / (others as f64 + 0.5)) as f32
        };
        let bias: Vec<f32> = self.labels.drawn.iter().map(odds).collect();
        for (weight, name) in network.heads() {
            let Some(name) = name else {
                let text = format!("the layer of `{weight}` has no bias to set to the log odds");
                return Err(StageError::input("no-bias", text).hint("remove `prior-bias`").field("start.prior-bias"));
            };
            network.set(&name, &bias)?;
        }
        Ok(())
    }

    fn prediction_ratio(&self, epoch: &EpochMetrics, class: usize, ratio: f64) -> Warning {
        let name = &self.classes()[class];
        let text = format!("epoch {}, validation: {}", epoch.epoch, lopsided_text(name, ratio));
        Warning { code: "prediction-ratio".to_owned(), text }
    }
}

impl Goal for Classification<'_> {
    type Epoch = EpochMetrics;

    fn outputs(&self) -> usize {
        self.of_logits.outputs()
    }

    fn objective(&self) -> &Arc<dyn Objective> {
        &self.of_step
    }

    fn kept(&self, outputs: Vec<f32>) -> Vec<f32> {
        main_logits(&outputs, self.of_step.outputs(), self.of_logits.outputs())
    }

    fn classes(&self) -> &[String] {
        &self.task.data.set.info.classes
    }

    /// Pretrained encoders have no layer that gives logits, and no auxiliary outputs.
    fn new_layers(&self, network: &Network, trained: Option<&TrainedOn>) -> Vec<String> {
        if trained.is_none_or(|trained| trained.classes.is_some()) {
            return Vec::new();
        }
        let auxiliary = self.task.network.auxiliary.iter().map(|output| output.name.clone());
        network.head_layers().into_iter().chain(auxiliary).collect()
    }

    fn prepare(&self, network: &mut Network) -> Result<(), StageError> {
        if self.settings.prior_bias { self.prior_bias(network) } else { Ok(()) }
    }

    fn batches(&self, epoch: u64, size: usize) -> Vec<Batch> {
        self.settings.sampler.batches(&self.task.data.set, self.task.streams, epoch, size)
    }

    fn metrics(
        &self,
        (epoch, rate): (u64, f64),
        _: &[Batch],
        steps: Outputs,
        evaluate: &Evaluate,
    ) -> Result<EpochMetrics, StageError> {
        let task = self.task;
        let of = |values: &[f32], targets: &_| SetMetrics::of(&*self.of_logits, values, targets);
        let subset = fixed(task, "subset", self.settings.subset);
        let subset = if subset.is_empty() { None } else { Some(evaluate(task.data, &subset)?) };
        let (values, targets) = evaluate(task.valid, &task.valid.all())?;
        Ok(EpochMetrics {
            epoch,
            rate,
            training: of(steps.values, steps.targets),
            subset: subset.map(|(values, targets)| of(&values, &targets)),
            valid: of(&values, &targets),
        })
    }

    fn losses(&self, epoch: &EpochMetrics) -> Vec<f64> {
        [Some(&epoch.valid), epoch.subset.as_ref()].into_iter().flatten().filter_map(|set| set.loss).collect()
    }

    fn selected_by(&self, epoch: &EpochMetrics) -> Option<f64> {
        epoch.valid.chosen_by(self.settings.choose, epoch.epoch)
    }

    fn shown(&self, epoch: &EpochMetrics, epochs: u64, best: bool) -> Metrics {
        metrics(&epoch.clone().bounded(), epochs, self.classes(), self.settings.choose, best)
    }

    fn words(&self, epoch: (u64, u64), batch: (u64, u64), value: f64, last: Option<&EpochMetrics>) -> String {
        words(epoch, batch, value, last)
    }

    /// Classes that are predicted far too rarely or too often: warned of when it starts, not in every epoch.
    fn doubts(&self, epoch: &EpochMetrics, previous: Option<&EpochMetrics>) -> Vec<Warning> {
        let before: Vec<usize> =
            previous.map_or_else(Vec::new, |last| last.valid.lopsided().map(|(class, _)| class).collect());
        let new = epoch.valid.lopsided().filter(|(class, _)| !before.contains(class));
        new.map(|(class, ratio)| self.prediction_ratio(epoch, class, ratio)).collect()
    }

    fn verdict(&self, epoch: &EpochMetrics) -> Vec<Warning> {
        let lopsided = epoch.valid.lopsided().map(|(class, ratio)| self.prediction_ratio(epoch, class, ratio));
        let mut found: Vec<Warning> = lopsided.collect();
        if epoch.valid.figures.all_zero == Some(1.0) {
            let text = format!("epoch {}, the one selected, predicts no lesion on any validation patch", epoch.epoch);
            found.push(Warning { code: "all-zero".to_owned(), text });
        }
        found
    }
}
