//! Steps on random pixels, for measuring: a network as it is trained, without data and without a result. Knows no clock.

use candle_core::{Device, Tensor};

use super::loss::Loss;
use super::model::bug;
use super::network::Network;
use super::optimizer::{Group, Moments, Optimizer, Rule};
use crate::base::Streams;
use crate::data::patches::Label;
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;

/// Logits, as many as the usual `PyTorch` script has.
const CLASSES: usize = 4;

/// A network, an optimizer, and one batch of uniform random pixels.
pub struct Trial {
    network: Network,
    optimizer: Optimizer,
    frozen: Vec<bool>,
    pixels: Tensor,
    labels: Vec<Label>,
    streams: Streams,
    steps: u64,
}

impl Trial {
    /// For batches of `batch` patches of `size` px.
    ///
    /// # Errors
    /// [`StageError::Input`] where the layers don't fit such patches.
    pub fn new(spec: &NetworkSpec, size: usize, batch: usize) -> Result<Self, StageError> {
        let streams = Streams::new(1, "bench");
        let network = Network::new(spec, size, CLASSES, &streams)?;
        let mut stream = streams.stream("pixels", 0, &[]);
        let pixels: Vec<f32> = (0..batch * size * size * 3).map(|_| stream.uniform() as f32).collect();
        let pixels = Tensor::from_vec(pixels, (batch, size, size, 3), &Device::Cpu).map_err(bug)?;
        let label = |present| if present { Label::Present } else { Label::Absent };
        let labels = (0..batch * CLASSES).map(|_| label(stream.chance(0.3))).collect();
        let adam = Rule::Adam(Moments { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
        let all = Group { range: 0..network.flat().len(), rate: 1e-4 };
        let optimizer = Optimizer::new(adam, 1e-5, vec![all], network.flat().len());
        let frozen = vec![false; network.parameters().len()];
        Ok(Self { network, optimizer, frozen, pixels, labels, streams, steps: 0 })
    }

    /// Forward, focal loss (gamma 2), backward, Adam (rate 1e-4, weight decay 1e-5).
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn train(&mut self) -> Result<(), StageError> {
        let loss = Loss { gamma: 2.0, ..Loss::bce(CLASSES) };
        let dropout = self.streams.stream("dropout", self.steps, &[]);
        self.steps += 1;
        let logits = self.network.forward_train(&self.pixels, &self.frozen, dropout)?;
        let loss = loss.on_tape(&logits, &self.labels).map_err(bug)?;
        self.network.backward(&loss)?;
        let optimizer = &mut self.optimizer;
        self.network.update(|values, gradient| optimizer.step(values, gradient, 1.0));
        Ok(())
    }

    /// The forward pass in evaluation mode.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn infer(&self) -> Result<(), StageError> {
        self.network.forward(&self.pixels).map(|_| ())
    }
}
