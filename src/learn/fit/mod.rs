//! Fitting a network to patches: training epochs, metrics after each, selection of the best epoch. What it is fitted for is a [`Goal`]. Knows
//! no artifacts.
//!
//! Everything that a step depends on is either a function of task, epoch and batch number, or part of the [`Checkpoint`]. A fit that was
//! interrupted and resumed therefore ends in the same bytes as an uninterrupted one.

pub mod classification;
mod continuation;
mod ema;
mod examine;
mod goal;
pub mod metrics;
pub mod settings;
mod start;
mod task;

use std::cell::Cell;
use std::time::Duration;

use super::checkpoint::{Checkpoint, FILE, FitState};
use super::loader::{Fed, OpenPatchSet, ahead};
use super::model::{bug, logits};
use super::objective::{Targets, on_tape};
use super::sampler::{Batch, PatchDraw};
use super::schedule::{StepPlan, TrainingLength};
use crate::base::disk;
use crate::base::figure::counted;
use crate::engine::gpu;
use crate::engine::network::{Arrival, JoinedPixels, Network};
use crate::engine::optimizer::Optimizer;
use crate::engine::views::PixelsMadeBy;
use crate::stage::{NoProgress, StageError, Stop, Warning, note_resume};
use crate::store::StoreError;
use continuation::Continuation;
use ema::MovingAverage;
pub use examine::comparable;
pub use goal::{Evaluate, Goal, Outputs};
use settings::OnLowMemory;
pub use start::fixed;
pub use task::{Family, FitTask, InitialWeights, TrainedOn};

/// File with the last good weights, left behind if the loss becomes NaN.
pub const LAST_GOOD: &str = "last-good.safetensors";

/// Result of a fit, with metrics `E` of each epoch.
pub struct Fitted<E> {
    /// Weights of the selected epoch, safetensors.
    pub best: Vec<u8>,
    /// Weights of the last epoch, safetensors.
    pub last: Vec<u8>,
    /// Metrics of each epoch.
    pub epochs: Vec<E>,
    /// Selected epoch, from 1.
    pub chosen: u64,
    /// Number of epochs that were planned.
    pub planned: u64,
    /// Target, or all of them if the training was resumed on another one.
    pub target: String,
    /// Notes and warnings.
    pub notes: FitNotes,
}

/// Notes of a fit, besides its metrics.
#[derive(Clone, Debug, Default)]
pub struct FitNotes {
    /// Origin of the tensors: description, count, names.
    pub starts: Vec<(String, usize, String)>,
    /// Warnings.
    pub warnings: Vec<Warning>,
}

impl FitNotes {
    /// Adds a warning.
    pub fn warn(&mut self, code: &str, text: String) {
        self.warnings.push(Warning { code: code.to_owned(), text });
    }
}

/// Fits the network for `goal`, resuming from a checkpoint if there is one. The result has the notes of `notes` and more.
///
/// # Errors
/// [`StageError::Input`] if data and settings are inconsistent or the loss is not finite, [`StageError::Stopped`] after a checkpoint was
/// written, or errors of the store.
pub fn fit<G: Goal>(task: &FitTask<'_>, goal: &G, mut notes: FitNotes) -> Result<Fitted<G::Epoch>, StageError> {
    let ready = start::ready(task, goal, &mut notes)?;
    let mut run = FitRun {
        task,
        goal,
        network: ready.network,
        optimizer: ready.optimizer,
        frozen: ready.frozen,
        average: None,
        plan: task.settings.length.plan(1),
        state: FitState::default(),
        best: (Vec::new(), Vec::new()),
        outputs: Vec::new(),
        targets: Targets::default(),
        saved: task.progress.elapsed(),
    };
    run.average = task.settings.ema.map(|decay| MovingAverage::new(decay, run.network.flat(), run.network.running()));
    let resumed = run.resume_any()?;
    run.state.targets.insert(run.network.target());
    run.fit_memory(&mut notes)?;
    // Every epoch has as many patches.
    let first = goal.batches(1, run.batch());
    run.plan = task.settings.length.plan(first.len() as u64);
    if resumed {
        task.progress.line(&run.resumed());
    }
    while !run.finished() {
        run.epoch()?;
    }
    continuation::keep(task, run.state.epoch - 1)?;
    run.result(notes)
}

/// Fit in progress.
struct FitRun<'a, G: Goal> {
    task: &'a FitTask<'a>,
    goal: &'a G,
    network: Network,
    optimizer: Optimizer,
    frozen: Vec<bool>,
    /// Moving average of the weights, if validation and model use it.
    average: Option<MovingAverage>,
    /// Steps of the training.
    plan: StepPlan,
    state: FitState<G::Epoch>,
    /// Parameters and running statistics of the best epoch so far.
    best: (Vec<f32>, Vec<f32>),
    /// Outputs of the batches of the epoch so far, and their targets.
    outputs: Vec<f32>,
    targets: Targets,
    /// When the last checkpoint was written.
    saved: Option<Duration>,
}

impl<G: Goal> FitRun<'_, G> {
    fn finished(&self) -> bool {
        let done = self.state.epoch - 1;
        let waited = |patience| self.state.best.is_some_and(|best| done >= best + patience);
        let enough = match self.task.settings.length {
            TrainingLength::Epochs(epochs) => done >= epochs,
            TrainingLength::Steps(steps) => self.state.batches == 0 && self.optimizer.steps >= steps,
        };
        enough || self.task.settings.patience.is_some_and(waited)
    }

    /// Patches per step.
    fn batch(&self) -> usize {
        self.state.batch.map_or(self.task.settings.batch, |batch| batch as usize)
    }

    /// Prepares the GPU, if there is one, and halves the batch until it fits into memory if the pipeline allows that. A resumed fit
    /// keeps its batch size.
    fn fit_memory(&mut self, notes: &mut FitNotes) -> Result<(), StageError> {
        let data = self.task.data;
        let arrival = match self.network.pixels_made_by() {
            PixelsMadeBy::Card if !data.mixes() => Arrival::Stored(data.stored(data.recipe.as_ref())),
            PixelsMadeBy::Card | PixelsMadeBy::Loader => Arrival::Pixels,
        };
        let begun = self.state.batch.is_some() || self.state.epoch > 1 || self.state.batches > 0;
        loop {
            let batch = self.batch();
            match self.network.prepare(batch, arrival, &self.frozen, &self.optimizer) {
                Err(error) if error.has_code("gpu-memory") && batch > 1 => {
                    if begun || self.task.settings.memory == OnLowMemory::Error {
                        return Err(error);
                    }
                    self.state.batch = Some(batch as u64 / 2);
                }
                done => {
                    done?;
                    break;
                }
            }
        }
        let slow = self.network.slow_convolutions().len() as u64;
        if slow > 0 {
            let text = format!(
                "{} computed by slow kernels, because cuDNN lacks an algorithm or fails; `macula bench check` lists them",
                counted(slow, "convolution is", "convolutions are")
            );
            self.task.progress.line(&text);
        }
        if let Some(batch) = self.state.batch {
            let asked = self.task.settings.batch;
            notes.warn(
                "smaller-batch",
                format!("batch size reduced from {asked} to {batch} patches to fit into GPU memory"),
            );
        }
        Ok(())
    }

    /// Runs the rest of the current epoch, computes its metrics, and writes a checkpoint.
    fn epoch(&mut self) -> Result<(), StageError> {
        let (task, number) = (self.task, self.state.epoch);
        let batches = self.goal.batches(number, self.batch());
        let plan = self.plan;
        let total = plan.steps_of(number);
        let rest = &batches[self.state.batches as usize..total as usize];
        let (mut rate, maker) = (0.0, self.network.pixels_made_by());
        ahead(
            rest.len(),
            |at| task.data.fed_augmented(maker, &rest[at], task.streams, number),
            |_, fed| {
                rate = self.step(fed, &plan)?;
                let done = (number - 1) * plan.per_epoch + self.state.batches;
                task.progress.step(done, plan.total, "batches");
                self.save_if_due()
            },
        )?;
        // An epoch resumed after its last batch has no step left to report its rate.
        if rest.is_empty() {
            rate = self.rate((number - 1) * plan.per_epoch + total - 1, &plan);
        }
        let figures = match self.averaged(|run| run.metrics(rate, &batches[..total as usize])) {
            Err(StageError::Stopped) => return Err(self.stopped()),
            other => other?,
        };
        self.judge(&figures, plan.epochs)?;
        self.state.epochs.push(figures);
        self.state.epoch += 1;
        self.state.batches = 0;
        self.outputs.clear();
        self.targets.clear();
        self.save()
    }

    /// Runs one step; returns the learning rate.
    fn step(&mut self, fed: Fed, plan: &StepPlan) -> Result<f64, StageError> {
        let (place, batches) = (self.state.batches, plan.steps_of(self.state.epoch));
        let step = (self.state.epoch - 1) * plan.per_epoch + place;
        let dropout = self.task.streams.stream("dropout", self.state.epoch, &place.to_le_bytes());
        let (output, targets) = match fed {
            Fed::Made(batch) => {
                let input = JoinedPixels::new(batch.pixels, batch.count, batch.size, batch.joined)?;
                (self.network.forward_train(&input, &self.frozen, dropout)?, batch.targets)
            }
            Fed::Stored(views, targets) => (self.network.forward_train(&views, &self.frozen, dropout)?, targets),
        };
        let values = output.flatten_all().and_then(|outputs| outputs.to_vec1::<f32>()).map_err(bug)?;
        let loss = on_tape(self.goal.objective(), &output, &targets).map_err(bug)?;
        let value = f64::from(loss.to_scalar::<f32>().map_err(bug)?);
        if !value.is_finite() {
            return Err(self.not_a_number(
                &format!("the loss is {value}"),
                self.state.epoch,
                &format!("at batch {} of {batches}", place + 1),
            ));
        }
        self.network.backward(&loss)?;
        let factor = self.task.settings.schedule.factor(step, plan);
        self.network.step(&mut self.optimizer, factor)?;
        if let Some(average) = &mut self.average {
            self.network.fetch(None)?;
            average.update(self.optimizer.steps, self.network.flat(), self.network.running());
        }
        self.outputs.extend(self.goal.kept(values));
        self.targets.extend(&targets);
        self.state.batches += 1;
        let state = &self.state;
        let (epoch, batch) = ((state.epoch, plan.epochs), (state.batches, batches));
        self.task.progress.now(&self.goal.words(epoch, batch, value, state.epochs.last()));
        Ok(self.rate(step, plan))
    }

    fn rate(&self, step: u64, plan: &StepPlan) -> f64 {
        self.task.settings.schedule.factor(step, plan) * self.task.settings.rate
    }

    /// Runs `work` with the averaged weights in the network, if there are any, and puts the trained ones back.
    fn averaged<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StageError>) -> Result<T, StageError> {
        let Some(average) = &self.average else { return work(self) };
        // The moments too: restoring values makes those on the host the newest.
        self.network.fetch(Some(&mut self.optimizer))?;
        let (flat, running) = (self.network.flat().to_vec(), self.network.running().to_vec());
        self.network.restore(&average.flat, &average.running)?;
        let done = work(self);
        self.network.restore(&flat, &running)?;
        done
    }

    /// Metrics after the last step of the epoch, which had these batches.
    fn metrics(&self, rate: f64, batches: &[Batch]) -> Result<G::Epoch, StageError> {
        let steps = Outputs { values: &self.outputs, targets: &self.targets };
        let finite = Cell::new(true);
        let evaluate = |set: &OpenPatchSet, draws: &[PatchDraw]| {
            let found = evaluate(&self.network, (set, draws), self.batch(), self.task.stop)?;
            finite.set(finite.get() && found.0.iter().all(|value| value.is_finite()));
            Ok(found)
        };
        let epoch = self.goal.metrics((self.state.epoch, rate), batches, steps, &evaluate)?;
        let wrong = self.goal.losses(&epoch).into_iter().find(|loss| !loss.is_finite());
        let wrong = wrong.map(|loss| format!("the loss is {loss}"));
        // Not every goal has a loss on what is evaluated.
        match wrong.or_else(|| (!finite.get()).then(|| "an output is not a number".to_owned())) {
            None => Ok(epoch),
            Some(what) => Err(self.not_a_number(&what, self.state.epoch, "in the evaluation after its last batch")),
        }
    }

    /// Keeps the weights if the epoch is the best so far, and reports its metrics.
    fn judge(&mut self, epoch: &G::Epoch, epochs: u64) -> Result<(), StageError> {
        let task = self.task;
        let figure = self.goal.selected_by(epoch);
        let better = match (figure, self.state.best_figure) {
            (Some(figure), Some(best)) => figure > best,
            (figure, None) => figure.is_some() || self.state.best.is_none(),
            (None, Some(_)) => false,
        };
        if better {
            self.network.fetch(Some(&mut self.optimizer))?;
            self.state.best = Some(self.state.epoch);
            self.state.best_figure = figure;
            self.best = match &self.average {
                Some(average) => (average.flat.clone(), average.running.clone()),
                None => (self.network.flat().to_vec(), self.network.running().to_vec()),
            };
        }
        task.progress.metrics(&self.goal.shown(epoch, epochs, better));
        for warning in self.goal.doubts(epoch, self.state.epochs.last()) {
            task.progress.warn(&warning);
        }
        Ok(())
    }

    /// Writes a checkpoint after a batch if one is due or the user asked to stop.
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
        // The next loss would show it too, but then the last checkpoint would already be bad.
        if !self.network.flat().iter().chain(self.network.running()).all(|value| value.is_finite()) {
            let (epoch, batches) = (self.state.epoch, self.state.batches);
            let (epoch, place) = if batches == 0 {
                (epoch - 1, "after its last batch".to_owned())
            } else {
                (epoch, format!("after batch {batches}"))
            };
            return Err(self.not_a_number("a weight is not a number", epoch, &place));
        }
        self.state.steps = self.optimizer.steps;
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            flat: self.network.flat().to_vec(),
            running: self.network.running().to_vec(),
            first: self.optimizer.first.clone(),
            second: self.optimizer.second.clone(),
            best_flat: self.best.0.clone(),
            best_running: self.best.1.clone(),
            average: self.average.as_ref().map(|average| (average.flat.clone(), average.running.clone())),
            outputs: self.outputs.clone(),
            targets: self.targets.clone(),
        };
        checkpoint.write(self.task.partial)?;
        note_resume(self.task.partial, &self.place());
        self.saved = self.task.progress.elapsed();
        Ok(())
    }

    /// Position: `epoch 6, batch 111`.
    fn place(&self) -> String {
        match self.state.batches {
            0 if self.finished() => "the end of the training".to_owned(),
            0 => format!("epoch {}", self.state.epoch),
            done if done >= self.plan.steps_of(self.state.epoch) => format!("epoch {}, validation", self.state.epoch),
            done => format!("epoch {}, batch {}", self.state.epoch, done + 1),
        }
    }

    /// Line about a resumed training: where, and on which target if it began on another.
    fn resumed(&self) -> String {
        let own = self.network.target();
        let others = self.state.targets.iter().filter(|target| **target != own);
        let others: Vec<String> = others.map(|target| format!("`{target}`")).collect();
        match &others[..] {
            [] => format!("resumed at {}", self.place()),
            _ => format!("resumed at {} on `{own}`; begun on {}", self.place(), others.join(" and ")),
        }
    }

    /// Resumes from the own checkpoint (true), or from the last state of a shorter training.
    fn resume_any(&mut self) -> Result<bool, StageError> {
        let progress = self.task.progress;
        if let Some(checkpoint) = Checkpoint::<G::Epoch>::read(self.task.partial) {
            self.resume(checkpoint)?;
            return Ok(true);
        }
        match continuation::find(self.task) {
            Continuation::None => Ok(false),
            Continuation::Refused(why) => {
                progress.line(&why);
                Ok(false)
            }
            Continuation::State(checkpoint, epochs) => {
                self.resume(*checkpoint)?;
                progress.line(&format!(
                    "continuing from a run of {} that differs only in `epochs`",
                    counted(epochs, "epoch", "epochs")
                ));
                self.save()?;
                Ok(false)
            }
        }
    }

    fn resume(&mut self, checkpoint: Checkpoint<G::Epoch>) -> Result<(), StageError> {
        self.network.restore(&checkpoint.flat, &checkpoint.running)?;
        if checkpoint.first.len() != self.optimizer.first.len()
            || checkpoint.second.len() != self.optimizer.second.len()
        {
            return Err(StageError::Bug("a checkpoint of another optimizer".to_owned()));
        }
        self.optimizer.first = checkpoint.first;
        self.optimizer.second = checkpoint.second;
        self.optimizer.steps = checkpoint.state.steps;
        if let Some(own) = &mut self.average {
            let other = || StageError::Bug("a checkpoint of a training without a moving average".to_owned());
            let (flat, running) = checkpoint.average.ok_or_else(other)?;
            (own.flat, own.running) = (flat, running);
        }
        self.best = (checkpoint.best_flat, checkpoint.best_running);
        self.outputs = checkpoint.outputs;
        self.targets = checkpoint.targets;
        self.state = checkpoint.state;
        Ok(())
    }

    /// Error for a value that is not finite. The weights of the last checkpoint are left as a file that torch can read.
    fn not_a_number(&self, what: &str, epoch: u64, place: &str) -> StageError {
        let text = format!("{what} in epoch {epoch} {place}");
        let (field, hint) = self.cause();
        let kept = match self.keep_last_good() {
            Ok(Some((when, path))) => format!("; the last good weights ({when}) are in `{path}`"),
            Ok(None) => "; no earlier epoch had finished".to_owned(),
            Err(error) => return error,
        };
        StageError::input("nan-loss", text + &kept).hint(hint).field(field)
    }

    /// Likely cause of values that are not finite: the parameter or port, and a hint. Before the first step it cannot be the learning rate.
    fn cause(&self) -> (&'static str, &'static str) {
        // The smallest of ImageNet is 0.224.
        let small = self.task.settings.normal.std.iter().any(|std| *std < 0.01);
        if small {
            return (
                "normalise.std",
                "raise `normalise.std`: it is the standard deviation of RGB values in 0..1, and every pixel is divided by it",
            );
        }
        match (self.optimizer.steps, self.task.init) {
            (0, Some(_)) => (
                "init",
                "the initial weights cause it before the first step: use other weights, or the network they were trained in",
            ),
            (0, None) => ("data", "it occurs before the first step: check the patches, `loss` and `network`"),
            _ => ("optimizer.lr", "lower `optimizer.lr`, lengthen the warm-up, or look for a corrupt photograph"),
        }
    }

    fn keep_last_good(&self) -> Result<Option<(String, String)>, StageError> {
        let Some(checkpoint) = Checkpoint::<G::Epoch>::read(self.task.partial) else { return Ok(None) };
        let mut network = self.fresh()?;
        network.restore(&checkpoint.flat, &checkpoint.running)?;
        let path = self.task.partial.join(LAST_GOOD);
        disk::write_whole(&path, &network.save()?).map_err(StoreError::disk("write", &path))?;
        let when = match checkpoint.state.batches {
            0 => format!("after epoch {}", checkpoint.state.epoch - 1),
            batches => format!("epoch {}, after batch {batches}", checkpoint.state.epoch),
        };
        Ok(Some((when, path.display().to_string())))
    }

    fn fresh(&self) -> Result<Network, StageError> {
        start::fresh(self.task, self.goal)
    }

    fn result(mut self, mut notes: FitNotes) -> Result<Fitted<G::Epoch>, StageError> {
        let chosen = self.state.best.ok_or_else(|| StageError::Bug("a fit without an epoch".to_owned()))?;
        let last = self.averaged(|run| run.network.save())?;
        self.network.restore(&self.best.0, &self.best.1)?;
        let best = self.network.save()?;
        // Epochs are numbered from 1.
        if let Some(epoch) = self.state.epochs.get(chosen as usize - 1) {
            notes.warnings.extend(self.goal.verdict(epoch));
        }
        // If the runner fails to store the result, the next attempt starts from the end of this one.
        debug_assert!(self.task.partial.join(FILE).exists());
        let target = gpu::resumed(&self.state.targets);
        Ok(Fitted { best, last, epochs: self.state.epochs, chosen, planned: self.plan.epochs, target, notes })
    }
}

/// Metrics of an epoch 0: what the network gives before its first step. `metrics` computes them from evaluated patches.
///
/// # Errors
/// As [`fit`], and errors of `metrics`.
pub fn before<G: Goal, T>(
    task: &FitTask<'_>,
    goal: &G,
    metrics: impl FnOnce(&Evaluate) -> Result<T, StageError>,
) -> Result<T, StageError> {
    let silent = FitTask { progress: &NoProgress, ..task.clone() };
    let network = start::ready(&silent, goal, &mut FitNotes::default())?.network;
    metrics(&|set: &OpenPatchSet, draws: &[PatchDraw]| evaluate(&network, (set, draws), task.settings.batch, task.stop))
}

/// Outputs for patches of a set without augmentation, in evaluation mode, and their targets.
fn evaluate(
    network: &Network,
    (samples, draws): (&OpenPatchSet, &[PatchDraw]),
    batch: usize,
    stop: &Stop,
) -> Result<(Vec<f32>, Targets), StageError> {
    let pieces: Vec<&[PatchDraw]> = draws.chunks(batch).collect();
    let (mut values, mut targets, maker) = (Vec::new(), Targets::default(), network.pixels_made_by());
    ahead(
        pieces.len(),
        |at| samples.fed(maker, pieces[at]),
        |_, fed| {
            stop.check()?;
            match fed {
                Fed::Made(batch) => {
                    let input = JoinedPixels::new(batch.pixels, batch.count, batch.size, batch.joined)?;
                    values.extend(logits(network, &input)?);
                    targets.extend(&batch.targets);
                }
                Fed::Stored(views, known) => {
                    values.extend(logits(network, &views)?);
                    targets.extend(&known);
                }
            }
            Ok::<(), StageError>(())
        },
    )?;
    Ok((values, targets))
}
