//! Training and inference steps on random patches, for benchmarks. Knows no clock.

use std::sync::Arc;

use candle_core::Tensor;

use super::auxiliary::with_auxiliary;
use super::loss::Loss;
use super::objective::{Targets, on_tape};
use crate::base::{Digest, Streams};
use crate::engine::augment::Transform;
use crate::engine::gpu::{OpenedEngine, SlowConvolution};
use crate::engine::network::{Network, NetworkInput, bug, canvas, tensor};
use crate::engine::normalise::Normalisation;
use crate::engine::optimizer::{AdamConstants, Optimizer, ParameterGroup, UpdateRule};
use crate::engine::views::{PixelsMadeBy, Stored, Views};
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;

/// Number of classes, as in the usual `PyTorch` script.
const CLASSES: usize = 4;

const ADAM: UpdateRule = UpdateRule::Adam(AdamConstants { beta1: 0.9, beta2: 0.999, eps: 1e-8 });

/// Comparison of a device with the CPU, and digests after its steps.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Largest difference of the first logits, relative to the largest logit.
    pub logits: f32,
    /// Largest difference of the first gradients, relative to the largest of its tensor (or a thousandth of the largest of all).
    pub gradients: f32,
    /// Tensor with that difference.
    pub worst: String,
    /// Digest of parameters and running statistics after the steps.
    pub digest: Digest,
    /// The same digest if all values were copied to the host and back half-way.
    pub resumed: Digest,
}

/// Differences of a training pass between two engines.
#[derive(Clone, Debug, PartialEq)]
pub struct PassDifference {
    /// Largest difference of the logits, relative to the largest logit.
    pub logits: f32,
    /// Largest difference of the gradients, relative to the largest of its tensor (or a thousandth of the largest of all).
    pub gradients: f32,
    /// Tensor with that difference.
    pub worst: String,
}

/// Input of a network: pixels, or stored patches for a GPU.
fn given<'a>(network: &Network, pixels: &'a Tensor, views: &'a Views) -> NetworkInput<'a> {
    match network.pixels_made_by() {
        PixelsMadeBy::Loader => pixels.into(),
        PixelsMadeBy::Card => views.into(),
    }
}

/// Everything that the next step depends on.
struct TrialState {
    flat: Vec<f32>,
    running: Vec<f32>,
    optimizer: Optimizer,
    steps: u64,
}

/// Largest difference, relative to the largest wanted value or `floor`.
pub(super) fn apart(found: &[f32], wanted: &[f32], floor: f32) -> f32 {
    let scale = wanted.iter().fold(floor, |scale, value| scale.max(value.abs()));
    let error = |(found, wanted): (&f32, &f32)| if found.is_nan() { f32::INFINITY } else { (found - wanted).abs() };
    found.iter().zip(wanted).map(error).fold(0.0, f32::max) / scale
}

/// Network, optimizer, and one batch of random patches. A GPU receives the stored patches in each step and transforms them into pixels.
pub struct Trial {
    network: Network,
    optimizer: Optimizer,
    frozen: Vec<bool>,
    views: Views,
    pixels: Tensor,
    targets: Targets,
    streams: Streams,
    steps: u64,
}

impl Trial {
    /// Trial with batches of `batch` patches of `size` px, computed by `engine`.
    ///
    /// # Errors
    /// [`StageError::Input`] if the layers do not match such patches.
    pub fn new(spec: &NetworkSpec, size: usize, batch: usize, engine: OpenedEngine) -> Result<Self, StageError> {
        Self::with_classes(spec, [size, batch, CLASSES], engine)
    }

    /// As [`Trial::new`], for that size of patches, number of patches, and number of classes.
    ///
    /// # Errors
    /// As [`Trial::new`].
    pub fn with_classes(
        spec: &NetworkSpec,
        [size, batch, classes]: [usize; 3],
        engine: OpenedEngine,
    ) -> Result<Self, StageError> {
        let streams = Streams::new(1, "bench");
        let network = Network::new(spec, size, classes, &streams)?;
        // With the surroundings of the patches, if it sees them.
        let size = canvas(spec, size);
        let mut stream = streams.stream("pixels", 0, &[]);
        let views = Views {
            stored: Stored::new(size, 0, None),
            bytes: (0..batch * size * size * 3).map(|_| (stream.uniform() * 256.0) as u8).collect(),
            changes: vec![Transform::none(); batch],
            normal: Normalisation { mean: [0.0; 3], std: [1.0; 3] },
        };
        let pixels = tensor(views.pixels(), batch, size)?;
        let targets = (0..batch * classes).map(|_| Some(f32::from(u8::from(stream.chance(0.3))))).collect();
        let all = ParameterGroup { range: 0..network.flat().len(), rate: 1e-4 };
        let optimizer = Optimizer::new(ADAM, 1e-5, vec![all], network.flat().len());
        let frozen = vec![false; network.parameters().len()];
        let network = network.on_engine(engine);
        Ok(Self { network, optimizer, frozen, views, pixels, targets, streams, steps: 0 })
    }

    /// Runs a training step: forward, focal loss (gamma 2), backward, Adam (rate 1e-4, weight decay 1e-5).
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn train(&mut self) -> Result<(), StageError> {
        self.pass()?;
        self.network.step(&mut self.optimizer, 1.0)
    }

    /// Runs forward and backward pass; returns the logits.
    fn pass(&mut self) -> Result<Tensor, StageError> {
        let loss = with_auxiliary(Arc::new(Loss::focal(2.0, self.network.classes())), self.network.spec());
        let dropout = self.streams.stream("dropout", self.steps, &[]);
        self.steps += 1;
        let input = given(&self.network, &self.pixels, &self.views);
        let logits = self.network.forward_train(input, &self.frozen, dropout)?;
        let loss = on_tape(&loss, &logits, &self.targets).map_err(bug)?;
        self.network.backward(&loss)?;
        Ok(logits)
    }

    /// GPU memory that the network uses, bytes.
    #[must_use]
    pub fn card_bytes(&self) -> Option<u64> {
        self.network.card_bytes()
    }

    /// Convolutions that slow kernels of a GPU computed so far.
    #[must_use]
    pub fn slow_convolutions(&self) -> Vec<SlowConvolution> {
        self.network.slow_convolutions()
    }

    /// Target that computes.
    #[must_use]
    pub fn target(&self) -> String {
        self.network.target()
    }

    /// Runs one step here and on the CPU from the same values; then `steps` more here only, twice: the second time with all values copied
    /// to the host and back half-way.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn compare(&mut self, processor: &mut Self, steps: usize) -> Result<Compared, StageError> {
        let PassDifference { logits, gradients, worst } = self.pass_apart(processor)?;
        let begin = self.state()?;
        let digest = self.steps_to_digest(steps, None)?;
        self.resume(begin)?;
        let resumed = self.steps_to_digest(steps, Some(steps / 2))?;
        Ok(Compared { logits, gradients, worst, digest, resumed })
    }

    /// Differences from the same training pass by another engine.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn pass_apart(&mut self, other: &mut Self) -> Result<PassDifference, StageError> {
        let (logits, wanted) = (self.logits_and_gradient()?, other.logits_and_gradient()?);
        let mut difference =
            PassDifference { logits: apart(&logits, &wanted, 1e-20), gradients: 0.0, worst: String::new() };
        let (found, wanted) = (self.network.gradient(), other.network.gradient());
        // The gradient of a bias before a batch norm consists of rounding errors only.
        let floor = 1e-3 * wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for parameter in self.network.parameters() {
            let range = parameter.range.clone();
            let error = apart(&found[range.clone()], &wanted[range], floor);
            if error > difference.gradients {
                (difference.gradients, difference.worst) = (error, parameter.name.clone());
            }
        }
        Ok(difference)
    }

    /// Largest difference of the running statistics from those of another engine, relative to the largest.
    ///
    /// # Errors
    /// Errors of the GPU.
    pub fn statistics_apart(&mut self, other: &mut Self) -> Result<f32, StageError> {
        self.network.fetch(None)?;
        other.network.fetch(None)?;
        Ok(apart(self.network.running(), other.network.running(), 1e-20))
    }

    /// Runs a step of Adam and of SGD after [`Trial::pass_apart`]; returns the largest difference from the same step on the host, relative
    /// to the largest change of a parameter.
    ///
    /// # Errors
    /// Errors of the GPU.
    pub fn step_apart(&mut self) -> Result<f32, StageError> {
        let sgd = UpdateRule::Sgd { momentum: 0.9, nesterov: true };
        let [adam, sgd] = [self.step_of(ADAM)?, self.step_of(sgd)?];
        Ok(adam.max(sgd))
    }

    fn step_of(&mut self, rule: UpdateRule) -> Result<f32, StageError> {
        let (before, gradient) = (self.network.flat().to_vec(), self.network.gradient().to_vec());
        let all = ParameterGroup { range: 0..before.len(), rate: 1e-2 };
        let mut optimizer = Optimizer::new(rule, 1e-5, vec![all], before.len());
        let (mut wanted, mut host) = (before.clone(), optimizer.clone());
        host.step(&mut wanted, &gradient, 1.0);
        // The same values; the moments of another optimizer are forgotten.
        let running = self.network.running().to_vec();
        self.network.restore(&before, &running)?;
        self.network.step(&mut optimizer, 1.0)?;
        self.network.fetch(Some(&mut optimizer))?;
        let change =
            |after: &[f32]| after.iter().zip(&before).map(|(after, before)| after - before).collect::<Vec<f32>>();
        Ok(apart(&change(self.network.flat()), &change(&wanted), 1e-20))
    }

    /// Largest difference of the logits in evaluation mode from those of another engine, relative to the largest. Both get pixels, as in
    /// the stages that only evaluate.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn evaluation_apart(&self, other: &Self) -> Result<f32, StageError> {
        let logits = |trial: &Self| {
            let logits = trial.network.forward(&trial.pixels)?;
            logits.flatten_all().and_then(|logits| logits.to_vec1()).map_err(bug)
        };
        Ok(apart(&logits(self)?, &logits(other)?, 1e-20))
    }

    /// Logits of a training pass, whose gradient is then on the host; runs no step of the optimizer.
    fn logits_and_gradient(&mut self) -> Result<Vec<f32>, StageError> {
        let logits = self.pass()?;
        self.network.fetch(None)?;
        logits.flatten_all().and_then(|logits| logits.to_vec1()).map_err(bug)
    }

    /// Copies everything that the next step depends on.
    fn state(&mut self) -> Result<TrialState, StageError> {
        self.network.fetch(Some(&mut self.optimizer))?;
        let (flat, running) = (self.network.flat().to_vec(), self.network.running().to_vec());
        Ok(TrialState { flat, running, optimizer: self.optimizer.clone(), steps: self.steps })
    }

    fn resume(&mut self, state: TrialState) -> Result<(), StageError> {
        self.network.restore(&state.flat, &state.running)?;
        (self.optimizer, self.steps) = (state.optimizer, state.steps);
        Ok(())
    }

    /// Digest of parameters and running statistics after so many steps, with an interruption before one of them.
    fn steps_to_digest(&mut self, steps: usize, stop: Option<usize>) -> Result<Digest, StageError> {
        for step in 0..steps {
            if stop == Some(step) {
                let state = self.state()?;
                self.resume(state)?;
            }
            self.train()?;
        }
        let state = self.state()?;
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        Ok(Digest::of(&[bytes(&state.flat), bytes(&state.running)].concat()))
    }

    /// Runs the forward pass in evaluation mode.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn infer(&self) -> Result<(), StageError> {
        self.network.forward(given(&self.network, &self.pixels, &self.views)).map(|_| ())
    }
}
