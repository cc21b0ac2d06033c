//! Fitting a classifier: epochs of steps, figures after each, the best epoch kept. Knows no stage's tree.
//!
//! Everything that a step depends on is a function of the task, the epoch and the batch's place in it, or is in the
//! [`Checkpoint`]; so a fit that was stopped and taken up again ends in the same bytes as one that was not.

mod earlier;
pub mod figures;
pub mod settings;
mod start;

use std::path::Path;
use std::time::Duration;

use super::checkpoint::{Checkpoint, FILE, Facts};
use super::loader::{Fed, Maker, Samples, ahead};
use super::loss::Loss;
use super::model::{LabelCounts, bug, logits};
use super::network::{Arrival, Network, Weights, tensor};
use super::optimizer::Optimizer;
use super::sampler::{Draw, batches};
use crate::base::figure::counted;
use crate::base::{Streams, disk};
use crate::data::patches::Label;
use crate::lang::network::NetworkSpec;
use crate::stage::{Progress, StageError, Stop, Warning, note_resume};
use crate::store::StoreError;
use earlier::Earlier;
pub use earlier::Family;
use figures::{EpochFigures, SetFigures, lopsided_text, metrics, words};
use settings::{Choose, Memory, Settings, drawn, label_counts};

/// The weights that stay behind when a loss is not a number.
pub const LAST_GOOD: &str = "last-good.safetensors";

/// A fit to be done.
pub struct Task<'a> {
    /// How.
    pub settings: &'a Settings,
    /// The network.
    pub network: &'a NetworkSpec,
    /// What to fit.
    pub data: &'a Samples,
    /// What to choose the epoch by.
    pub valid: &'a Samples,
    /// Pretrained weights.
    pub init: Option<&'a Weights>,
    /// Random streams.
    pub streams: &'a Streams,
    /// A folder for checkpoints.
    pub partial: &'a Path,
    /// Where the states of shorter and longer trainings lie.
    pub family: Family,
    /// Told of progress.
    pub progress: &'a dyn Progress,
    /// Raised when the user asks to stop.
    pub stop: &'a Stop,
}

/// What a fit made.
pub struct Fitted {
    /// The weights of the chosen epoch, safetensors.
    pub best: Vec<u8>,
    /// The weights of the last epoch, safetensors.
    pub last: Vec<u8>,
    /// The figures of each epoch.
    pub epochs: Vec<EpochFigures>,
    /// The epoch chosen, from 1.
    pub chosen: u64,
    /// Labels of the training data.
    pub labels: Labels,
    /// What people should know.
    pub told: Told,
}

/// Labels, per class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Of all training patches.
    pub there: Vec<LabelCounts>,
    /// Of those that an epoch draws.
    pub drawn: Vec<LabelCounts>,
}

/// What a fit tells beside its figures.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// How the tensors began: what, how many, their names.
    pub starts: Vec<(String, usize, String)>,
    /// Warnings.
    pub warnings: Vec<Warning>,
}

impl Told {
    fn warn(&mut self, code: &str, text: String) {
        self.warnings.push(Warning { code: code.to_owned(), text });
    }
}

/// Fits the network. Takes up a checkpoint where there is one.
///
/// # Errors
/// [`StageError::Input`] where data or settings do not fit each other or the loss is not a number, [`StageError::Stopped`] after a
/// checkpoint was written, or the store's.
pub fn fit(task: &Task<'_>) -> Result<Fitted, StageError> {
    let labels = label_counts(&task.data.set);
    let mut told = Told::default();
    examine(task, &labels, &mut told)?;
    let drawn = drawn(&task.data.set, &task.settings.sampler, task.streams);
    let loss = task.settings.loss.on(&task.data.set.info.classes, &drawn)?;
    let ready = start::ready(task, &mut told)?;
    let mut run = Run {
        task,
        loss,
        network: ready.network,
        optimizer: ready.optimizer,
        frozen: ready.frozen,
        facts: Facts { epoch: 1, ..Facts::default() },
        best: (Vec::new(), Vec::new()),
        logits: Vec::new(),
        labels: Vec::new(),
        saved: task.progress.elapsed(),
    };
    run.take_up()?;
    run.fit_memory(&mut told)?;
    while !run.finished() {
        run.epoch()?;
    }
    earlier::keep(task, run.facts.epoch - 1)?;
    run.result(Labels { there: labels, drawn }, told)
}

/// What can be said before the first step.
fn examine(task: &Task<'_>, labels: &[LabelCounts], told: &mut Told) -> Result<(), StageError> {
    let (data, valid) = (&task.data.set, &task.valid.set);
    let classes = &data.info.classes;
    if data.info.classes != valid.info.classes || data.info.size != valid.info.size {
        let text = format!(
            "training patches are {} px of {}, validation patches {} px of {}",
            data.info.size,
            classes.join(" "),
            valid.info.size,
            valid.info.classes.join(" ")
        );
        return Err(StageError::input("other-classes", text).field("valid"));
    }
    for (set, field, what) in [(data, "data", "training"), (valid, "valid", "validation")] {
        if set.is_empty() {
            return Err(StageError::input("empty-set", format!("there is no {what} patch")).field(field));
        }
    }
    for (class, _) in classes.iter().zip(labels).filter(|(_, count)| count.present == 0) {
        told.warn("no-positives", format!("no training patch is positive for `{class}`: it can't be learnt"));
    }
    let there = label_counts(valid);
    for (class, _) in classes.iter().zip(&there).filter(|(_, count)| count.present == 0) {
        told.warn("no-positives", format!("no validation patch is positive for `{class}`: its figures have no value"));
    }
    let needs = !matches!(task.settings.choose, Choose::Loss | Choose::Last);
    if needs && there.iter().all(|count| count.present == 0) {
        let text = format!(
            "no validation patch is positive for any class, so the best epoch by {} can't be chosen",
            task.settings.choose.words()
        );
        let hint = "validate on photographs with lesions, or `choose loss` or `choose last`";
        return Err(StageError::input("no-positives", text).hint(hint).field("valid"));
    }
    if let Some((wanted, healthy)) = task.settings.sampler.healthy(data).filter(|(wanted, there)| wanted > there) {
        let text =
            format!("the sampler wants {wanted} healthy patches an epoch, and there are {healthy}: it takes all");
        told.warn("healthy-ratio", text);
    }
    if task.settings.sampler.epoch(data, task.streams, 1).is_empty() {
        let text = "the sampler draws no patch: there is no lesion patch among the training patches";
        return Err(StageError::input("empty-set", text).field("sampler"));
    }
    Ok(())
}

/// A fit under way.
struct Run<'a> {
    task: &'a Task<'a>,
    loss: Loss,
    network: Network,
    optimizer: Optimizer,
    frozen: Vec<bool>,
    facts: Facts,
    /// Parameters and running statistics of the best epoch so far.
    best: (Vec<f32>, Vec<f32>),
    /// Of the epoch's batches so far.
    logits: Vec<f32>,
    labels: Vec<Label>,
    /// When the last checkpoint was written.
    saved: Option<Duration>,
}

impl Run<'_> {
    fn finished(&self) -> bool {
        let done = self.facts.epoch - 1;
        let waited = |patience| self.facts.best.is_some_and(|best| done >= best + patience);
        done >= self.task.settings.epochs || self.task.settings.patience.is_some_and(waited)
    }

    /// Patches per step.
    fn batch(&self) -> usize {
        self.facts.batch.map_or(self.task.settings.batch, |batch| batch as usize)
    }

    /// Makes all that steps need on a GPU, where one computes; with fewer patches a step where the pipeline lets it. What was begun
    /// with fewer goes on with as many.
    fn fit_memory(&mut self, told: &mut Told) -> Result<(), StageError> {
        let data = self.task.data;
        let arrival = match self.network.maker() {
            Maker::Loader => Arrival::Pixels,
            Maker::Card => Arrival::Stored(data.stored(data.recipe.as_ref())),
        };
        let begun = self.facts.batch.is_some() || self.facts.epoch > 1 || self.facts.batches > 0;
        loop {
            let batch = self.batch();
            match self.network.prepare(batch, arrival, &self.frozen, &self.optimizer) {
                Err(error) if error.has_code("gpu-memory") && batch > 1 => {
                    if begun || self.task.settings.memory == Memory::Error {
                        return Err(error);
                    }
                    self.facts.batch = Some(batch as u64 / 2);
                }
                done => {
                    done?;
                    break;
                }
            }
        }
        if let Some(batch) = self.facts.batch {
            let asked = self.task.settings.batch;
            told.warn("smaller-batch", format!("the GPU's memory holds steps of {batch} patches, not of {asked}"));
        }
        Ok(())
    }

    /// The rest of the epoch under way, its figures, and a checkpoint.
    fn epoch(&mut self) -> Result<(), StageError> {
        let (task, number) = (self.task, self.facts.epoch);
        let draws = task.settings.sampler.epoch(&task.data.set, task.streams, number);
        let batches = batches(&draws, self.batch());
        let total = batches.len() as u64;
        let rest = &batches[self.facts.batches as usize..];
        let (mut rate, maker) = (0.0, self.network.maker());
        ahead(
            rest.len(),
            |at| task.data.fed_augmented(maker, rest[at], task.streams, number),
            |_, fed| {
                rate = self.step(fed, total)?;
                let done = (number - 1) * total + self.facts.batches;
                task.progress.step(done, task.settings.epochs * total, "batches");
                self.save_if_due()
            },
        )?;
        // An epoch that was resumed after its last batch has no step left to say its rate.
        if rest.is_empty() {
            rate = self.rate(number * total - 1, total);
        }
        let figures = match self.figures(rate) {
            Err(StageError::Stopped) => return Err(self.stopped()),
            other => other?,
        };
        self.judge(&figures)?;
        self.facts.epochs.push(figures);
        self.facts.epoch += 1;
        self.facts.batches = 0;
        self.logits.clear();
        self.labels.clear();
        self.save()
    }

    /// One step; returns the learning rate.
    fn step(&mut self, fed: Fed, batches: u64) -> Result<f64, StageError> {
        let place = self.facts.batches;
        let step = (self.facts.epoch - 1) * batches + place;
        let dropout = self.task.streams.stream("dropout", self.facts.epoch, &place.to_le_bytes());
        let (output, labels) = match fed {
            Fed::Made(batch) => {
                let pixels = tensor(batch.pixels, batch.count, batch.size)?;
                (self.network.forward_train(&pixels, &self.frozen, dropout)?, batch.labels)
            }
            Fed::Stored(views, labels) => (self.network.forward_train(&views, &self.frozen, dropout)?, labels),
        };
        let values = output.flatten_all().and_then(|logits| logits.to_vec1::<f32>()).map_err(bug)?;
        let value = self.loss.value(&values, &labels);
        if !value.is_finite() {
            return Err(self.not_a_number(
                &format!("the loss is {value}"),
                self.facts.epoch,
                &format!("at batch {} of {batches}", place + 1),
            ));
        }
        let loss = self.loss.on_tape(&output, &labels).map_err(bug)?;
        self.network.backward(&loss)?;
        let factor = self.factor(step, batches);
        self.network.step(&mut self.optimizer, factor)?;
        self.logits.extend(values);
        self.labels.extend(labels);
        self.facts.batches += 1;
        let facts = &self.facts;
        let (epoch, batch) = ((facts.epoch, self.task.settings.epochs), (facts.batches, batches));
        self.task.progress.now(&words(epoch, batch, value, facts.epochs.last()));
        Ok(self.rate(step, batches))
    }

    fn factor(&self, step: u64, batches: u64) -> f64 {
        self.task.settings.schedule.factor(step, batches, self.task.settings.epochs)
    }

    fn rate(&self, step: u64, batches: u64) -> f64 {
        self.factor(step, batches) * self.task.settings.rate
    }

    /// The figures after the epoch's last step.
    fn figures(&self, rate: f64) -> Result<EpochFigures, StageError> {
        let task = self.task;
        let subset = start::fixed(task, "subset", task.settings.subset);
        let epoch = EpochFigures {
            epoch: self.facts.epoch,
            rate,
            training: SetFigures::of(&self.loss, &self.logits, self.labels.clone()),
            subset: if subset.is_empty() { None } else { Some(self.evaluate(task.data, &subset)?) },
            valid: self.evaluate(task.valid, &task.valid.all())?,
        };
        let losses = [Some(&epoch.valid), epoch.subset.as_ref()];
        if let Some(set) = losses.into_iter().flatten().find(|set| !set.loss.is_finite()) {
            return Err(self.not_a_number(
                &format!("the loss is {}", set.loss),
                self.facts.epoch,
                "at the figures after its last batch",
            ));
        }
        Ok(epoch)
    }

    /// The figures on patches as they are, in evaluation mode.
    fn evaluate(&self, samples: &Samples, draws: &[Draw]) -> Result<SetFigures, StageError> {
        let pieces: Vec<&[Draw]> = draws.chunks(self.batch()).collect();
        let (mut values, mut labels, maker) = (Vec::new(), Vec::new(), self.network.maker());
        ahead(
            pieces.len(),
            |at| samples.fed(maker, pieces[at]),
            |_, fed| {
                self.task.stop.check()?;
                match fed {
                    Fed::Made(batch) => {
                        values.extend(logits(&self.network, &tensor(batch.pixels, batch.count, batch.size)?)?);
                        labels.extend(batch.labels);
                    }
                    Fed::Stored(views, known) => {
                        values.extend(logits(&self.network, &views)?);
                        labels.extend(known);
                    }
                }
                Ok::<(), StageError>(())
            },
        )?;
        Ok(SetFigures::of(&self.loss, &values, labels))
    }

    /// Keeps the weights where the epoch is the best so far, and says how it went.
    fn judge(&mut self, epoch: &EpochFigures) -> Result<(), StageError> {
        let (task, choose) = (self.task, self.task.settings.choose);
        let figure = epoch.valid.chosen_by(choose, epoch.epoch);
        let better = match (figure, self.facts.best_figure) {
            (Some(figure), Some(best)) => figure > best,
            (figure, None) => figure.is_some() || self.facts.best.is_none(),
            (None, Some(_)) => false,
        };
        if better {
            self.network.fetch(Some(&mut self.optimizer))?;
            self.facts.best = Some(epoch.epoch);
            self.facts.best_figure = figure;
            self.best = (self.network.flat().to_vec(), self.network.running().to_vec());
        }
        let classes = &task.data.set.info.classes;
        task.progress.metrics(&metrics(&epoch.clone().bounded(), task.settings.epochs, classes, choose, better));
        // Said when it begins, not as long as it lasts.
        let before: Vec<usize> = self
            .facts
            .epochs
            .last()
            .map_or_else(Vec::new, |last| last.valid.lopsided().map(|(class, _)| class).collect());
        for (class, ratio) in epoch.valid.lopsided().filter(|(class, _)| !before.contains(class)) {
            let text = format!("epoch {}, validation: {}", epoch.epoch, lopsided_text(&classes[class], ratio));
            task.progress.warn(&Warning { code: "prediction-ratio".to_owned(), text });
        }
        Ok(())
    }

    /// After a batch: a checkpoint where one is due or the user asked to stop.
    fn save_if_due(&mut self) -> Result<(), StageError> {
        if self.task.stop.raised() {
            return Err(self.stopped());
        }
        let minutes = Duration::from_secs(60 * self.task.settings.checkpoint_minutes);
        match (self.task.progress.elapsed(), self.saved) {
            (Some(now), Some(saved)) if now >= saved + minutes => self.save(),
            _ => Ok(()),
        }
    }

    fn stopped(&mut self) -> StageError {
        self.save().err().unwrap_or(StageError::Stopped)
    }

    fn save(&mut self) -> Result<(), StageError> {
        self.network.fetch(Some(&mut self.optimizer))?;
        // The next loss would tell, but then the last checkpoint would no longer be a good one.
        if !self.network.flat().iter().chain(self.network.running()).all(|value| value.is_finite()) {
            let (epoch, batches) = (self.facts.epoch, self.facts.batches);
            let (epoch, place) = if batches == 0 {
                (epoch - 1, "after its last batch".to_owned())
            } else {
                (epoch, format!("after batch {batches}"))
            };
            return Err(self.not_a_number("a weight is not a number", epoch, &place));
        }
        self.facts.steps = self.optimizer.steps;
        let checkpoint = Checkpoint {
            facts: self.facts.clone(),
            flat: self.network.flat().to_vec(),
            running: self.network.running().to_vec(),
            first: self.optimizer.first.clone(),
            second: self.optimizer.second.clone(),
            best_flat: self.best.0.clone(),
            best_running: self.best.1.clone(),
            logits: self.logits.clone(),
            labels: self.labels.clone(),
        };
        checkpoint.write(self.task.partial)?;
        note_resume(self.task.partial, &self.place());
        self.saved = self.task.progress.elapsed();
        Ok(())
    }

    /// Where it stands: `epoch 6, batch 111`.
    fn place(&self) -> String {
        match self.facts.batches {
            0 => format!("epoch {}", self.facts.epoch),
            done => format!("epoch {}, batch {}", self.facts.epoch, done + 1),
        }
    }

    /// Goes on from the own checkpoint, else from the last state of a shorter training.
    fn take_up(&mut self) -> Result<(), StageError> {
        let progress = self.task.progress;
        if let Some(checkpoint) = Checkpoint::read(self.task.partial) {
            self.resume(checkpoint)?;
            progress.line(&format!("resumed at {}", self.place()));
            return Ok(());
        }
        match earlier::find(self.task) {
            Earlier::None => Ok(()),
            Earlier::Refused(why) => {
                progress.line(&why);
                Ok(())
            }
            Earlier::State(checkpoint, epochs) => {
                self.resume(*checkpoint)?;
                progress.line(&format!(
                    "continuing a training of {} that differs only in `epochs`",
                    counted(epochs, "epoch", "epochs")
                ));
                self.save()
            }
        }
    }

    fn resume(&mut self, checkpoint: Checkpoint) -> Result<(), StageError> {
        self.network.restore(&checkpoint.flat, &checkpoint.running)?;
        if checkpoint.first.len() != self.optimizer.first.len()
            || checkpoint.second.len() != self.optimizer.second.len()
        {
            return Err(StageError::Bug("a checkpoint of another optimizer".to_owned()));
        }
        self.optimizer.first = checkpoint.first;
        self.optimizer.second = checkpoint.second;
        self.optimizer.steps = checkpoint.facts.steps;
        self.best = (checkpoint.best_flat, checkpoint.best_running);
        self.logits = checkpoint.logits;
        self.labels = checkpoint.labels;
        self.facts = checkpoint.facts;
        Ok(())
    }

    /// Something is infinite or not a number. The weights of the last checkpoint stay behind as a file for torch.
    fn not_a_number(&self, what: &str, epoch: u64, place: &str) -> StageError {
        let text = format!("{what} in epoch {epoch} {place}");
        let (field, hint) = self.cause();
        let kept = match self.keep_last_good() {
            Ok(Some((when, path))) => format!("; the last good weights ({when}) are in `{path}`"),
            Ok(None) => "; no epoch was finished before".to_owned(),
            Err(error) => return error,
        };
        StageError::input("nan-loss", text + &kept).hint(hint).field(field)
    }

    /// What made the numbers leave their range, as far as that can be said: the parameter or port, and what to do. Before the first step it
    /// is no learning rate.
    fn cause(&self) -> (&'static str, &'static str) {
        // Of ImageNet's, the smallest is 0.224.
        let small = self.task.settings.normal.std.iter().any(|std| *std < 0.01);
        if small {
            return (
                "normalise.std",
                "raise `normalise.std`: it is that of RGB in 0..1, and 1/std multiplies every pixel",
            );
        }
        match (self.optimizer.steps, self.task.init) {
            (0, Some(_)) => {
                ("init", "the weights give it before the first step: use others, or the network that they are for")
            }
            (0, None) => ("data", "it is so before the first step: look at the patches, and at `loss` and `network`"),
            _ => ("optimizer.lr", "lower `optimizer.lr`, lengthen the warm-up, or look for a broken photograph"),
        }
    }

    fn keep_last_good(&self) -> Result<Option<(String, String)>, StageError> {
        let Some(checkpoint) = Checkpoint::read(self.task.partial) else { return Ok(None) };
        let mut network = self.fresh()?;
        network.restore(&checkpoint.flat, &checkpoint.running)?;
        let path = self.task.partial.join(LAST_GOOD);
        disk::write_whole(&path, &network.save()?).map_err(StoreError::disk("write", &path))?;
        let when = match checkpoint.facts.batches {
            0 => format!("after epoch {}", checkpoint.facts.epoch - 1),
            batches => format!("epoch {}, after batch {batches}", checkpoint.facts.epoch),
        };
        Ok(Some((when, path.display().to_string())))
    }

    fn fresh(&self) -> Result<Network, StageError> {
        let info = &self.task.data.set.info;
        Network::new(self.task.network, info.size as usize, info.classes.len(), self.task.streams)
    }

    fn result(mut self, labels: Labels, mut told: Told) -> Result<Fitted, StageError> {
        let chosen = self.facts.best.ok_or_else(|| StageError::Bug("a fit without an epoch".to_owned()))?;
        let last = self.network.save()?;
        self.network.restore(&self.best.0, &self.best.1)?;
        let best = self.network.save()?;
        let classes = &self.task.data.set.info.classes;
        if let Some(epoch) = self.facts.epochs.iter().find(|epoch| epoch.epoch == chosen) {
            for (class, ratio) in epoch.valid.lopsided() {
                let text = format!("epoch {chosen}, validation: {}", lopsided_text(&classes[class], ratio));
                told.warn("prediction-ratio", text);
            }
            if epoch.valid.figures.all_zero == Some(1.0) {
                told.warn("all-zero", format!("epoch {chosen} predicts no lesion for any validation patch"));
            }
        }
        // The result is whole; should the runner fail to store it, the next attempt begins at the end of this one.
        debug_assert!(self.task.partial.join(FILE).exists());
        Ok(Fitted { best, last, epochs: self.facts.epochs, chosen, labels, told })
    }
}
