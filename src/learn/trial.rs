//! Steps on random patches, for measuring: a network as it is trained, without data and without a result. Knows no clock.

use candle_core::Tensor;

use super::augment::Change;
use super::gpu::Gpu;
use super::loader::{Maker, Normalisation};
use super::loss::Loss;
use super::model::bug;
use super::network::{Input, Network, tensor};
use super::optimizer::{Group, Moments, Optimizer, Rule};
use super::views::{Stored, Views};
use crate::base::{Digest, Streams};
use crate::data::patches::Label;
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;

/// Logits, as many as the usual `PyTorch` script has.
const CLASSES: usize = 4;

/// How far a device is from the processor, and what its steps came to.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The largest difference of the first logits, of the largest logit.
    pub logits: f32,
    /// The largest difference of the first gradients, of the largest of its tensor (or a thousandth of the largest of all).
    pub gradients: f32,
    /// The tensor where that is.
    pub worst: String,
    /// Parameters and running statistics after the steps.
    pub digest: Digest,
    /// The same, where all numbers went to the host and back half-way.
    pub resumed: Digest,
}

/// What a network is given: the pixels, or a card the patches.
fn given<'a>(network: &Network, pixels: &'a Tensor, views: &'a Views) -> Input<'a> {
    match network.maker() {
        Maker::Loader => pixels.into(),
        Maker::Card => views.into(),
    }
}

/// All that the next step depends on.
struct State {
    flat: Vec<f32>,
    running: Vec<f32>,
    optimizer: Optimizer,
    steps: u64,
}

/// The largest difference, of the largest wanted value or `floor`.
fn apart(found: &[f32], wanted: &[f32], floor: f32) -> f32 {
    let scale = wanted.iter().fold(floor, |scale, value| scale.max(value.abs()));
    let error = |(found, wanted): (&f32, &f32)| if found.is_nan() { f32::INFINITY } else { (found - wanted).abs() };
    found.iter().zip(wanted).map(error).fold(0.0, f32::max) / scale
}

/// A network, an optimizer, and one batch of random patches; a card is sent them as they are stored in each step, and makes the pixels.
pub struct Trial {
    network: Network,
    optimizer: Optimizer,
    frozen: Vec<bool>,
    views: Views,
    pixels: Tensor,
    labels: Vec<Label>,
    streams: Streams,
    steps: u64,
}

impl Trial {
    /// For batches of `batch` patches of `size` px, on the processor where no card is given.
    ///
    /// # Errors
    /// [`StageError::Input`] where the layers don't fit such patches.
    pub fn new(spec: &NetworkSpec, size: usize, batch: usize, gpu: Option<Box<dyn Gpu>>) -> Result<Self, StageError> {
        let streams = Streams::new(1, "bench");
        let network = Network::new(spec, size, CLASSES, &streams)?;
        let mut stream = streams.stream("pixels", 0, &[]);
        let views = Views {
            stored: Stored::new(size, 0, None),
            bytes: (0..batch * size * size * 3).map(|_| (stream.uniform() * 256.0) as u8).collect(),
            changes: vec![Change::none(); batch],
            normal: Normalisation { mean: [0.0; 3], std: [1.0; 3] },
        };
        let pixels = tensor(views.pixels(), batch, size)?;
        let label = |present| if present { Label::Present } else { Label::Absent };
        let labels = (0..batch * CLASSES).map(|_| label(stream.chance(0.3))).collect();
        let adam = Rule::Adam(Moments { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
        let all = Group { range: 0..network.flat().len(), rate: 1e-4 };
        let optimizer = Optimizer::new(adam, 1e-5, vec![all], network.flat().len());
        let frozen = vec![false; network.parameters().len()];
        let network = match gpu {
            Some(gpu) => network.on(gpu),
            None => network,
        };
        Ok(Self { network, optimizer, frozen, views, pixels, labels, streams, steps: 0 })
    }

    /// Forward, focal loss (gamma 2), backward, Adam (rate 1e-4, weight decay 1e-5).
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn train(&mut self) -> Result<(), StageError> {
        self.pass()?;
        self.network.step(&mut self.optimizer, 1.0)
    }

    /// Forward and backward; the logits.
    fn pass(&mut self) -> Result<Tensor, StageError> {
        let loss = Loss { gamma: 2.0, ..Loss::bce(CLASSES) };
        let dropout = self.streams.stream("dropout", self.steps, &[]);
        self.steps += 1;
        let input = given(&self.network, &self.pixels, &self.views);
        let logits = self.network.forward_train(input, &self.frozen, dropout)?;
        let loss = loss.on_tape(&logits, &self.labels).map_err(bug)?;
        self.network.backward(&loss)?;
        Ok(logits)
    }

    /// Bytes that the network holds on a card.
    #[must_use]
    pub fn card_bytes(&self) -> Option<u64> {
        self.network.card_bytes()
    }

    /// The class of what computes.
    #[must_use]
    pub fn class(&self) -> String {
        self.network.class()
    }

    /// One step here and on the processor from the same numbers; then `steps` more here alone, twice: once with all numbers taken to
    /// the host and back half-way.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn compare(&mut self, processor: &mut Self, steps: usize) -> Result<Compared, StageError> {
        let (logits, wanted) = (self.logits_and_gradient()?, processor.logits_and_gradient()?);
        let mut compared = Compared {
            logits: apart(&logits, &wanted, 1e-20),
            gradients: 0.0,
            worst: String::new(),
            digest: Digest::of(&[]),
            resumed: Digest::of(&[]),
        };
        let (found, wanted) = (self.network.gradient(), processor.network.gradient());
        // A bias before a batch norm has a gradient of rounding errors alone.
        let floor = 1e-3 * wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for parameter in self.network.parameters() {
            let range = parameter.range.clone();
            let error = apart(&found[range.clone()], &wanted[range], floor);
            if error > compared.gradients {
                (compared.gradients, compared.worst) = (error, parameter.name.clone());
            }
        }
        let begin = self.state()?;
        compared.digest = self.steps_to_digest(steps, None)?;
        self.resume(begin)?;
        compared.resumed = self.steps_to_digest(steps, Some(steps / 2))?;
        Ok(compared)
    }

    /// The logits of a step in training mode, whose gradient then is on the host; takes no step of the optimizer.
    fn logits_and_gradient(&mut self) -> Result<Vec<f32>, StageError> {
        let logits = self.pass()?;
        self.network.fetch(None)?;
        logits.flatten_all().and_then(|logits| logits.to_vec1()).map_err(bug)
    }

    /// All that the next step depends on.
    fn state(&mut self) -> Result<State, StageError> {
        self.network.fetch(Some(&mut self.optimizer))?;
        let (flat, running) = (self.network.flat().to_vec(), self.network.running().to_vec());
        Ok(State { flat, running, optimizer: self.optimizer.clone(), steps: self.steps })
    }

    fn resume(&mut self, state: State) -> Result<(), StageError> {
        self.network.restore(&state.flat, &state.running)?;
        (self.optimizer, self.steps) = (state.optimizer, state.steps);
        Ok(())
    }

    /// The digest of parameters and running statistics after so many steps, with a stop before one of them.
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

    /// The forward pass in evaluation mode.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn infer(&self) -> Result<(), StageError> {
        self.network.forward(given(&self.network, &self.pixels, &self.views)).map(|_| ())
    }
}
