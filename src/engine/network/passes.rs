//! Passes of a network on its engine: forward in training and evaluation mode, backward, calibration. Knows no optimizer.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use super::input::{NetworkInput, with_floats};
use super::ops::StatisticsSource;
use super::pass::{Execution, HostBatch, Observed, Pass, Training};
use super::plan::SizedPlan;
use super::program::Norm;
use super::tape::TapeMode;
use super::trunk::{self, Arriving, HostParameters};
use super::{Network, NetworkEngine, candle, evaluate, load, train};
use crate::base::Streams;
use crate::base::random::Stream;
use crate::base::sync;
use crate::stage::StageError;

/// Forward pass in training mode whose backward pass is due.
pub(super) enum DuePass {
    /// Its logits on the tape, and what the kernels need.
    Host(Var, Arc<SizedPlan>, Pass),
    /// Its logits on the tape; the GPU has the rest.
    Card(Var),
    /// Which parameters are frozen; the tape has the rest.
    Candle(Vec<bool>),
}

impl Network {
    /// Logits (N x [`Network::outputs`]) in training mode, on candle's tape, of a batch of pixels or stored patches. Batch norms use batch statistics
    /// and update the running ones; a batch norm with both parameters frozen uses the running statistics without updating them.
    /// `frozen` has one entry per parameter; dropout masks are drawn from `dropout`.
    ///
    /// # Errors
    /// [`StageError::Input`] if the pixels do not match the layers, [`StageError::Bug`] for errors of candle.
    pub fn forward_train<'a>(
        &mut self,
        input: impl Into<NetworkInput<'a>>,
        frozen: &[bool],
        dropout: Stream,
    ) -> Result<Tensor, StageError> {
        let input = input.into();
        if frozen.len() != self.program.parameters.len() {
            return Err(StageError::Bug(format!(
                "{} parameters, {} flags of frozen parameters",
                self.program.parameters.len(),
                frozen.len()
            )));
        }
        if let Some(DuePass::Host(_, _, pass)) = self.due.take() {
            pass.recycle(&self.pool);
        }
        let (count, plan) = self.plan_for(&input)?;
        let width = self.outputs();
        let source = |norm: &Norm| {
            if frozen[norm.gamma] && frozen[norm.beta] { StatisticsSource::Running } else { StatisticsSource::Batch }
        };
        let variable = |logits: &[f32]| Var::from_slice(logits, (count, width), &Device::Cpu).map_err(candle);
        match &mut self.engine {
            NetworkEngine::Card(trunk) => {
                let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
                let (program, numbers) = (&self.program, HostParameters { flat: &self.flat, running: &self.running });
                let logits = on_its_way(&input, |arriving| {
                    let batch = trunk::ArrivingBatch { images: count, arriving, extents: &plan.extents };
                    trunk.forward_train(program, &numbers, batch, frozen, dropout)
                })?;
                let logits = variable(&logits)?;
                let tensor = logits.as_tensor().clone();
                self.due = Some(DuePass::Card(logits));
                Ok(tensor)
            }
            NetworkEngine::Candle(tape) => {
                let tape = tape.get_mut().unwrap_or_else(PoisonError::into_inner);
                let running = &mut self.running;
                let training = &mut Training::new(&self.program, running, &source, dropout);
                let mode = TapeMode::Training(training);
                let sent = tape.sent(&self.program, &self.flat, frozen).map_err(candle)?;
                let logits = sent.forward(&self.program, &plan.extents, &input, mode).map_err(candle)?;
                self.due = Some(DuePass::Candle(frozen.to_vec()));
                self.changed();
                Ok(logits)
            }
            NetworkEngine::Kernels => {
                let model = Execution { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
                let running = &mut self.running;
                let pass = input.with_floats(|pixels| {
                    let batch = HostBatch { pixels, joined: input.joined() };
                    train::forward(model, running, batch, frozen, source, dropout)
                })??;
                let logits = variable(pass.logits(&self.program))?;
                let tensor = logits.as_tensor().clone();
                self.due = Some(DuePass::Host(logits, plan, pass));
                self.changed();
                Ok(tensor)
            }
        }
    }

    /// Backward pass from `loss`, a scalar computed from the logits of the last [`Network::forward_train`]. Leaves the gradient of the
    /// parameters in [`Network::gradient`] and returns the gradients of other variables on candle's tape. (Only in candle are the
    /// parameters variables: accumulating 45 MB in its `GradStore` would cost the kernels about 4% of a step.)
    ///
    /// # Errors
    /// [`StageError::Bug`] for errors of candle, if `loss` does not depend on those logits, and if no gradient reaches a parameter that is
    /// not frozen.
    pub fn backward(&mut self, loss: &Tensor) -> Result<GradStore, StageError> {
        let Some(due) = self.due.take() else {
            return Err(StageError::Bug("a backward pass without a forward pass".to_owned()));
        };
        let gradients = loss.backward().map_err(candle)?;
        let of = |logits: &Var| match gradients.get(logits) {
            Some(dlogits) => dlogits.contiguous().map_err(candle),
            None => Err(StageError::Bug("a loss that does not depend on the logits".to_owned())),
        };
        match (due, &mut self.engine) {
            (DuePass::Host(logits, plan, pass), _) => {
                let model = Execution { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
                let gradient = &mut self.gradient;
                with_floats(&of(&logits)?, |dlogits| train::backward(model, pass, dlogits, gradient))??;
            }
            (DuePass::Card(logits), NetworkEngine::Card(trunk)) => {
                let trunk = trunk.get_mut().unwrap_or_else(PoisonError::into_inner);
                with_floats(&of(&logits)?, |dlogits| trunk.backward(&self.program, dlogits))??;
            }
            (DuePass::Candle(frozen), NetworkEngine::Candle(tape)) => {
                let tape = tape.get_mut().unwrap_or_else(PoisonError::into_inner);
                tape.gradients(&self.program, &gradients, &frozen, &mut self.gradient)?;
            }
            (DuePass::Card(_) | DuePass::Candle(_), _) => {
                return Err(StageError::Bug("a pass on an engine that is gone".to_owned()));
            }
        }
        Ok(gradients)
    }

    /// Logits (N x classes) in evaluation mode, without tape, of a batch of pixels or stored patches. Batch norms use the running
    /// statistics; the kernels fold them into the convolutions.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn forward<'a>(&self, input: impl Into<NetworkInput<'a>>) -> Result<Tensor, StageError> {
        let (count, mut logits) = self.last_values(&input.into())?;
        if self.outputs() > self.classes {
            logits = logits.chunks_exact(self.outputs()).flat_map(|row| &row[..self.classes]).copied().collect();
        }
        Tensor::from_vec(logits, (count, self.classes), &Device::Cpu).map_err(candle)
    }

    /// Output of a [`Network::encoder`] for images, each rows x columns x channels, in evaluation mode.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn features<'a>(&self, input: impl Into<NetworkInput<'a>>) -> Result<Vec<f32>, StageError> {
        Ok(self.last_values(&input.into())?.1)
    }

    /// Number of images, and the values of the last step for each.
    fn last_values(&self, input: &NetworkInput) -> Result<(usize, Vec<f32>), StageError> {
        let (count, plan) = self.plan_for(input)?;
        let values = match &self.engine {
            NetworkEngine::Card(trunk) => {
                let mut trunk = sync::lock(trunk);
                let numbers = HostParameters { flat: &self.flat, running: &self.running };
                on_its_way(input, |arriving| {
                    let batch = trunk::ArrivingBatch { images: count, arriving, extents: &plan.extents };
                    trunk.forward(&self.program, &numbers, batch)
                })?
            }
            NetworkEngine::Candle(tape) => {
                let frozen = vec![true; self.program.parameters.len()];
                let mode = TapeMode::Evaluation(&self.running);
                let mut tape = sync::lock(tape);
                let sent = tape.sent(&self.program, &self.flat, &frozen).map_err(candle)?;
                // On a GPU, one pass at a time. On the CPU not under the lock: a thread that waits for others in here may be given another
                // photograph and would deadlock.
                let _alone = (!sent.device.is_cpu()).then_some(tape);
                let values = sent.forward(&self.program, &plan.extents, input, mode);
                values.and_then(|values| values.flatten_all()?.to_vec1()).map_err(candle)?
            }
            NetworkEngine::Kernels => {
                let model = Execution { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
                let folded = {
                    let mut held = sync::lock(&self.folded);
                    Arc::clone(held.get_or_insert_with(|| Arc::new(evaluate::fold(&model, &self.running))))
                };
                input.with_floats(|pixels| {
                    evaluate::forward(model, &self.running, &folded, HostBatch { pixels, joined: input.joined() })
                })??
            }
        };
        Ok((count, values))
    }

    /// Calibrates batch norms that were loaded folded, so that they can be trained: runs `batches` of pixels in evaluation mode and sets
    /// the running statistics to those of the convolution without its bias, gamma to sqrt(var + eps) and beta to bias + mean, which
    /// leaves the network unchanged in evaluation mode. Does nothing if [`super::LoadReport::folded`] is empty.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn calibrate<'a, B>(&mut self, batches: &'a [B]) -> Result<(), StageError>
    where
        &'a B: Into<NetworkInput<'a>>,
    {
        if self.uncalibrated.is_empty() {
            return Ok(());
        }
        let mut sums: BTreeMap<usize, (Vec<[f64; 2]>, usize)> = BTreeMap::new();
        for batch in batches {
            for (norm, totals, rows) in self.observe(&batch.into())? {
                let (sum, count) = sums.entry(norm).or_insert_with(|| (vec![[0.0; 2]; totals.len()], 0));
                *count += rows;
                for (sum, total) in sum.iter_mut().zip(&totals) {
                    *sum = [sum[0] + total[0], sum[1] + total[1]];
                }
            }
        }
        for norm in std::mem::take(&mut self.uncalibrated) {
            if let Some((sums, rows)) = sums.get(&norm) {
                load::settle(self, norm, sums, *rows);
            }
        }
        self.host_changed();
        Ok(())
    }

    /// Sums over the inputs of all batch norms in evaluation mode, by candle if that is the engine, otherwise by the CPU kernels.
    fn observe(&mut self, input: &NetworkInput) -> Result<Vec<Observed>, StageError> {
        let frozen = vec![true; self.program.parameters.len()];
        let dropout = Streams::new(0, "calibrate").stream("dropout", 0, &[]);
        let (_, plan) = self.plan_for(input)?;
        let running = &mut self.running;
        let source = |_: &Norm| StatisticsSource::Observed;
        if let NetworkEngine::Candle(tape) = &mut self.engine {
            let tape = tape.get_mut().unwrap_or_else(PoisonError::into_inner);
            let mut training = Training::new(&self.program, running, &source, dropout);
            let mode = TapeMode::Training(&mut training);
            let sent = tape.sent(&self.program, &self.flat, &frozen).map_err(candle)?;
            sent.forward(&self.program, &plan.extents, input, mode).map_err(candle)?;
            return Ok(training.observed);
        }
        let model = Execution { program: &self.program, plan: &plan, flat: &self.flat, pool: &self.pool };
        let mut pass = input.with_floats(|pixels| {
            let batch = HostBatch { pixels, joined: input.joined() };
            train::forward(model, running, batch, &frozen, source, dropout)
        })??;
        let observed = std::mem::take(&mut pass.observed);
        pass.recycle(&self.pool);
        Ok(observed)
    }
}

/// Calls `work` with a batch in the form a GPU takes.
fn on_its_way<R>(input: &NetworkInput, work: impl FnOnce(Arriving) -> Result<R, StageError>) -> Result<R, StageError> {
    match input {
        NetworkInput::Pixels(pixels) => with_floats(pixels, |floats| work(Arriving::Floats(floats)))?,
        NetworkInput::Stored(views) => work(Arriving::Stored(views)),
        NetworkInput::Joined(batch) if batch.joined.is_empty() => {
            with_floats(&batch.pixels, |floats| work(Arriving::Floats(floats)))?
        }
        NetworkInput::Joined(_) => {
            let text = "macula's GPU kernels do not compute networks that read embeddings";
            Err(StageError::input("gpu-joined", text).hint("use `device cpu` or `device candle`").field("device"))
        }
    }
}
