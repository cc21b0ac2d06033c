//! Steps of training and of inference on uniform random pixels, as the usual `PyTorch` script takes them.

use candle_core::{Device, Tensor};

use super::{Asked, Failure, Measured, measure};
use crate::base::Streams;
use crate::data::patches::Label;
use crate::lang::network::NetworkSpec;
use crate::learn::loss::Loss;
use crate::learn::network::Network;
use crate::learn::optimizer::{Group, Moments, Optimizer, Rule};
use crate::stage::StageError;

/// Logits, as many as the script has.
const CLASSES: usize = 4;

/// Forward, focal loss (gamma 2), backward, Adam (rate 1e-4, weight decay 1e-5).
pub(super) fn train(spec: &NetworkSpec, asked: Asked) -> Result<Measured, Failure> {
    let streams = Streams::new(1, "bench");
    let (mut network, pixels) = prepare(spec, asked, &streams)?;
    let mut stream = streams.stream("labels", 0, &[]);
    let label = |present| if present { Label::Present } else { Label::Absent };
    let labels: Vec<Label> = (0..asked.batch * CLASSES).map(|_| label(stream.chance(0.3))).collect();
    let loss = Loss { gamma: 2.0, ..Loss::bce(CLASSES) };
    let frozen = vec![false; network.parameters().len()];
    let adam = Rule::Adam(Moments { beta1: 0.9, beta2: 0.999, eps: 1e-8 });
    let all = Group { range: 0..network.flat().len(), rate: 1e-4 };
    let mut optimizer = Optimizer::new(adam, 1e-5, vec![all], network.flat().len());
    measure(asked, |at| {
        let dropout = streams.stream("dropout", at as u64, &[]);
        let logits = network.forward_train(&pixels, &frozen, dropout).map_err(failure)?;
        let loss = loss.on_tape(&logits, &labels).map_err(|error| failure(StageError::Bug(error.to_string())))?;
        network.backward(&loss).map_err(failure)?;
        network.update(|values, gradient| optimizer.step(values, gradient, 1.0));
        Ok(())
    })
}

/// The forward pass in evaluation mode.
pub(super) fn infer(spec: &NetworkSpec, asked: Asked) -> Result<Measured, Failure> {
    let (network, pixels) = prepare(spec, asked, &Streams::new(1, "bench"))?;
    measure(asked, |_| network.forward(&pixels).map(|_| ()).map_err(failure))
}

fn prepare(spec: &NetworkSpec, asked: Asked, streams: &Streams) -> Result<(Network, Tensor), Failure> {
    let network = Network::new(spec, asked.size, CLASSES, streams).map_err(failure)?;
    let mut stream = streams.stream("pixels", 0, &[]);
    let pixels: Vec<f32> = (0..asked.batch * asked.size * asked.size * 3).map(|_| stream.uniform() as f32).collect();
    let pixels = Tensor::from_vec(pixels, (asked.batch, asked.size, asked.size, 3), &Device::Cpu);
    Ok((network, pixels.map_err(|error| failure(StageError::Bug(error.to_string())))?))
}

/// A stage's error as a command's.
pub(super) fn failure(error: StageError) -> Failure {
    let text = error.to_string();
    match error {
        StageError::Input { hint: Some(hint), .. } => Failure::user(text).hint(hint),
        StageError::Input { hint: None, .. } | StageError::Stopped => Failure::user(text),
        StageError::Store(_) => Failure { exit: super::Exit::Store, ..Failure::user(text) },
        StageError::Bug(_) => Failure { exit: super::Exit::Bug, ..Failure::user(text) },
    }
}
