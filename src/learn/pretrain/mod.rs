//! Goal of `pretrain`: an encoder whose outputs for patches with a class in common are near each other, and far apart for others. Knows no
//! artifacts.
//!
//! The loss is computed on a projection of the encoder's output, which is discarded after the training (Chen et al. 2020). The network of a
//! step therefore has the projection and, behind it, the output itself, which the metrics are computed on.

mod contrastive;
mod labels;
pub mod metrics;
mod objective;
mod per_class;
mod retrieval;
pub mod settings;
mod triplet;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use contrastive::{Contrastive, Positives};
pub use labels::HealthyAs;
pub use per_class::{Decks, PerClass};
pub use retrieval::{ClassRetrieval, Retrieval, Vectors};
pub use triplet::{Mining, TripletLoss};

use super::fit::{Evaluate, FitNotes, FitTask, Goal, Outputs, TrainedOn, comparable, fixed};
use super::objective::Objective;
use super::sampler::Batch;
use crate::base::figure::noun;
use crate::data::patches::Label;
use crate::engine::network::Network;
use crate::engine::normalise::Normalisation;
use crate::lang::network::{Branch, Join, Layer, Linear, NetworkSpec};
use crate::stage::{Metrics, StageError, Warning};
use crate::store::{Objects, Tree};
use labels::PairLabels;
use metrics::{BatchSums, PretrainMetrics};
use objective::{PairLoss, PairObjective, UnitEmbeddings};
use settings::{MetricLoss, PretrainSettings, SelectEncoderBy};

/// Prefix of the tensors of the projection.
pub const PROJECTION: &str = "projection";

/// Description of pretrained weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainedInfo {
    /// The encoder.
    pub network: NetworkSpec,
    /// Classes of the training patches.
    pub classes: Vec<String>,
    /// Side of a patch, px.
    pub size: u32,
    /// Side of a pixel of the training patches, in native pixels.
    pub scale: u32,
    /// Normalisation of RGB in 0..1.
    pub normalisation: Normalisation,
    /// The epoch whose weights they are, from 1.
    pub chosen_epoch: u64,
    /// Epochs trained.
    pub epochs: u64,
    /// Target that computed them.
    pub kernel_path: String,
}

/// File of a pretraining with its description.
pub const DESCRIPTION: &str = "pretrained.json";

impl PretrainedInfo {
    /// Reads the description in `tree`; [`None`] if it is not that of a pretraining.
    ///
    /// # Errors
    /// Errors of the store, or a description that does not parse.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Option<Self>, StageError> {
        let Some(bytes) = objects.read_in(tree, DESCRIPTION)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|error| StageError::Bug(format!("`{DESCRIPTION}` does not parse: {error}")))
    }

    /// What the weights were trained on.
    #[must_use]
    pub fn trained_on(self) -> TrainedOn {
        let Self { scale, normalisation, .. } = self;
        TrainedOn { what: "the initial weights", scale, normalisation, classes: None }
    }
}

/// Name of the class of healthy patches in messages.
const HEALTHY: &str = "healthy";

/// The network of a step: the encoder, then its projection and its output side by side.
#[must_use]
pub fn with_projection(encoder: &NetworkSpec, head: &[usize]) -> NetworkSpec {
    let mut layers = Vec::new();
    for (at, out) in head.iter().enumerate() {
        if at > 0 {
            layers.push(Layer::Relu);
        }
        let name = format!("{PROJECTION}.{}", 2 * at);
        layers.push(Layer::Linear(Linear { name, out: Some(*out), bias: true, expects: None }));
    }
    let branch = |layers| Branch { from: None, share: false, layers };
    let mut network = encoder.clone();
    network.layers.push(Layer::Parallel { join: Join::Concat, branches: vec![branch(layers), branch(Vec::new())] });
    network
}

/// The loss over pairs of patches, whose embeddings are the first `embedding` of `columns` outputs.
#[must_use]
pub fn pair_objective(
    loss: MetricLoss,
    (classes, healthy): (usize, HealthyAs),
    (embedding, columns): (usize, usize),
) -> Arc<dyn Objective> {
    Arc::new(PairObjective { loss: pair_loss(loss), classes, healthy, embedding, columns })
}

fn pair_loss(loss: MetricLoss) -> Box<dyn PairLoss> {
    match loss {
        MetricLoss::Contrastive(loss) => Box::new(loss),
        MetricLoss::Triplet(loss) => Box::new(loss),
    }
}

/// An encoder as the goal of a fit.
pub struct Pretraining<'a> {
    task: &'a FitTask<'a>,
    settings: &'a PretrainSettings,
    decks: &'a Decks,
    objective: Arc<dyn Objective>,
    /// Values of the projection, and of the encoder's output.
    widths: [usize; 2],
}

impl<'a> Pretraining<'a> {
    /// Checks data and settings, and adds warnings to `notes`. `decks` are those of the training patches, and `width` is the number of values
    /// of the encoder's output.
    ///
    /// # Errors
    /// [`StageError::Input`] if they are inconsistent, or no pair can be made.
    pub fn new(
        task: &'a FitTask<'a>,
        settings: &'a PretrainSettings,
        (decks, width): (&'a Decks, usize),
        notes: &mut FitNotes,
    ) -> Result<Self, StageError> {
        let set = &task.data.set;
        comparable(set, &task.valid.set)?;
        check(task, settings, decks, notes)?;
        let projected = settings.head.last().copied().unwrap_or(width);
        let classes = (set.info.classes.len(), settings.healthy);
        let objective = pair_objective(settings.loss, classes, (projected, projected + width));
        Ok(Self { task, settings, decks, objective, widths: [projected, width] })
    }

    /// How well validation patches find training patches.
    ///
    /// # Errors
    /// Errors of `evaluate`.
    pub fn retrieval(&self, evaluate: &Evaluate) -> Result<Retrieval, StageError> {
        let (task, [_, width]) = (self.task, self.widths);
        let (references, known) = evaluate(task.data, &fixed(task, "references", self.settings.references))?;
        let (queries, asked) = evaluate(task.valid, &task.valid.all())?;
        let (references, queries) = (self.features(&references), self.features(&queries));
        let queries = Vectors { values: &queries, width, targets: &asked };
        let references = Vectors { values: &references, width, targets: &known };
        Ok(Retrieval::of(&queries, &references, self.classes().len()))
    }

    /// The encoder's output within the outputs of the network.
    fn features(&self, outputs: &[f32]) -> Vec<f32> {
        let [projected, width] = self.widths;
        outputs.chunks_exact(projected + width).flat_map(|row| &row[projected..]).copied().collect()
    }
}

/// Refuses data and settings without pairs.
fn check(
    task: &FitTask<'_>,
    settings: &PretrainSettings,
    decks: &Decks,
    notes: &mut FitNotes,
) -> Result<(), StageError> {
    let sampler = settings.sampler;
    let set = &task.data.set;
    if task.data.mixes() {
        let text = "mixed patches have labels between 0 and 1, which make no pairs";
        let hint = "remove `mixup` and `cutmix` from the augmentation";
        return Err(StageError::input("mixed-labels", text).hint(hint).field("data"));
    }
    let name = |class: usize| set.info.classes.get(class).map_or(HEALTHY, String::as_str);
    let usable = decks.usable();
    let only = match usable[..] {
        [] => Some("no training patch has known labels".to_owned()),
        [class] => Some(format!("all training patches are of class `{}`", name(class))),
        _ => None,
    };
    if let Some(only) = only {
        let text = format!("{only}, so no two can be compared");
        return Err(StageError::input("one-class", text).field("data"));
    }
    if let Some(wanted) = sampler.classes.filter(|wanted| *wanted > usable.len()) {
        let names: Vec<&str> = usable.iter().map(|class| name(*class)).collect();
        let text = format!(
            "`sampler` asks for {wanted} classes per batch, but only {} have training patches ({}): all are in every batch",
            usable.len(),
            names.join(", ")
        );
        notes.warn("few-classes", text);
    }
    let in_pairs = |class: usize| {
        let attracts = class < set.info.classes.len() || settings.healthy == HealthyAs::Class;
        attracts && sampler.each.min(decks.patches[class]) * sampler.views >= 2
    };
    if !usable.iter().any(|class| in_pairs(*class)) {
        let text = "no batch has two patches of a class, so there are no positive pairs";
        let hint = "set `each` or `views` of `sampler` to 2 or more";
        return Err(StageError::input("no-pairs", text).hint(hint).field("sampler.each"));
    }
    for class in usable.iter().copied().filter(|class| decks.patches[*class] < sampler.each) {
        let count = decks.patches[class] as u64;
        let text = format!(
            "each batch needs {} patches of `{}`, but only {count} {}",
            sampler.each,
            name(class),
            noun(count, "exists: it is in every batch", "exist: all are in every batch")
        );
        notes.warn("few-patches", text);
    }
    if sampler.views > 1 && task.data.recipe.is_none() {
        let text = format!(
            "the training patches are not augmented, so the {} views of a patch are equal; use `augment`, or `views=1`",
            sampler.views
        );
        notes.warn("same-views", text);
    }
    unknown_labels(task, settings, notes)?;
    retrievable(task, settings, notes)
}

/// Refuses losses that leave out every patch because one of its labels is unknown.
fn unknown_labels(task: &FitTask<'_>, settings: &PretrainSettings, notes: &mut FitNotes) -> Result<(), StageError> {
    let whole = match settings.loss {
        MetricLoss::Contrastive(Contrastive { positives: Positives::Overlap, .. }) => "overlap",
        MetricLoss::Contrastive(Contrastive { positives: Positives::SameSet, .. }) => "same-set",
        _ => return Ok(()),
    };
    let rows = || task.data.set.parts.iter().flat_map(|part| &part.rows);
    let all = rows().count();
    let out = rows().filter(|row| row.labels.contains(&Label::Unknown)).count();
    let text = format!("`positives {whole}` leaves out patches with an unknown label: {out} of {all} training patches");
    let hint = "use `positives each-label`, which leaves out only the unknown labels";
    if out == all {
        return Err(StageError::input("no-pairs", text).hint(hint).field("loss.positives"));
    }
    if out > 0 {
        notes.warn("unknown-labels", format!("{text}; {hint}"));
    }
    Ok(())
}

/// Refuses validation patches none of which can be found among the references, if these select the epoch.
fn retrievable(task: &FitTask<'_>, settings: &PretrainSettings, notes: &mut FitNotes) -> Result<(), StageError> {
    let (set, valid) = (&task.data.set, &task.valid.set);
    let references = fixed(task, "references", settings.references);
    let classes = &set.info.classes;
    let asked = |class: usize| {
        let mut rows = valid.parts.iter().flat_map(|part| &part.rows);
        rows.any(|row| row.labels[class] == Label::Present)
    };
    let there = |class: usize| references.iter().any(|draw| draw.row(set).labels[class] == Label::Present);
    let without = (0..classes.len()).filter(|class| !(asked(*class) && there(*class)));
    let without: Vec<usize> = without.collect();
    if without.len() == classes.len() && settings.choose == SelectEncoderBy::Retrieval {
        let text = "no class has positive patches both in the validation set and among the references: cannot select an epoch by MAP@R";
        let hint = "validate on photographs with lesions, raise `references`, or set `choose loss` or `choose last`";
        return Err(StageError::input("no-positives", text).hint(hint).field("valid"));
    }
    for class in without {
        let place = if asked(class) { "reference" } else { "validation patch" };
        let text = format!("no {place} is positive for `{}`: its MAP@R is undefined", classes[class]);
        notes.warn("no-positives", text);
    }
    Ok(())
}

impl Goal for Pretraining<'_> {
    type Epoch = PretrainMetrics;

    fn outputs(&self) -> usize {
        self.widths.iter().sum()
    }

    fn objective(&self) -> &Arc<dyn Objective> {
        &self.objective
    }

    /// The projections: the batches are judged by what the loss sees.
    fn kept(&self, outputs: Vec<f32>) -> Vec<f32> {
        let [projected, width] = self.widths;
        outputs.chunks_exact(projected + width).flat_map(|row| &row[..projected]).copied().collect()
    }

    fn classes(&self) -> &[String] {
        &self.task.data.set.info.classes
    }

    fn new_layers(&self, _: &Network, _: Option<&TrainedOn>) -> Vec<String> {
        vec![PROJECTION.to_owned()]
    }

    fn prepare(&self, _: &mut Network) -> Result<(), StageError> {
        Ok(())
    }

    fn batches(&self, epoch: u64, _: usize) -> Vec<Batch> {
        self.settings.sampler.batches(&self.task.data.set, self.decks, self.task.streams, epoch)
    }

    fn metrics(
        &self,
        (epoch, rate): (u64, f64),
        batches: &[Batch],
        steps: Outputs,
        evaluate: &Evaluate,
    ) -> Result<PretrainMetrics, StageError> {
        let classes = self.classes().len();
        let [projected, _] = self.widths;
        let mut sums = BatchSums::default();
        let (mut outputs, mut targets) = (steps.values, steps.targets.iter());
        let loss = pair_loss(self.settings.loss);
        for batch in batches {
            let (own, rest) = outputs.split_at(batch.draws.len() * projected);
            outputs = rest;
            let own_targets = targets.by_ref().take(batch.draws.len() * classes).collect();
            let labels = PairLabels::new(&own_targets, classes, self.settings.healthy);
            let cosines = UnitEmbeddings::new(own, projected, projected).cosines();
            let triplets = match self.settings.loss {
                MetricLoss::Triplet(loss) => Some(loss.counts(&cosines, &labels)),
                MetricLoss::Contrastive(_) => None,
            };
            sums.add(loss.of(&cosines, &labels).value, &cosines, &labels, triplets);
        }
        Ok(PretrainMetrics { epoch, rate, training: sums.means(), retrieval: self.retrieval(evaluate)? })
    }

    fn selected_by(&self, epoch: &PretrainMetrics) -> Option<f64> {
        epoch.chosen_by(self.settings.choose)
    }

    fn shown(&self, epoch: &PretrainMetrics, epochs: u64, best: bool) -> Metrics {
        epoch.shown(epochs, self.classes(), self.settings.choose, best)
    }

    fn words(&self, epoch: (u64, u64), batch: (u64, u64), value: f64, last: Option<&PretrainMetrics>) -> String {
        let last = last.and_then(|last| last.retrieval.mean());
        let last = last.map(|mean| format!("; validation: MAP@R {mean:.3}")).unwrap_or_default();
        format!("epoch {}/{}, batch {}/{}, loss {value:.3}{last}", epoch.0, epoch.1, batch.0, batch.1)
    }

    fn doubts(&self, epoch: &PretrainMetrics, previous: Option<&PretrainMetrics>) -> Vec<Warning> {
        let before = previous.is_some_and(|previous| previous.collapsed().is_some());
        epoch.collapsed().filter(|_| !before).into_iter().collect()
    }

    fn verdict(&self, epoch: &PretrainMetrics) -> Vec<Warning> {
        epoch.collapsed().into_iter().collect()
    }
}
