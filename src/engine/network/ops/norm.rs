//! Batch norm, with fused residual and rectifier.

use candle_core::{Result, Tensor};

use super::super::ParameterRole;
use super::super::compile::Compiler;
use super::super::pass::{Backward, Execution, Forward, PassMode, Saved, StepInputs, Training, save};
use super::super::program::{Extent, Norm, Program, Step, agree, wrong};
use super::super::tape::{OnTape, TapeMode, wide};
use super::super::trunk::lower::{Lowering, Purpose, bounds, flag, runs};
use super::super::trunk::schedule::{LaunchNumbers, Pointer};
use super::activation::rectified;
use super::{Kernels, Launches, LayerResult, Op, Operation, ReadBack};
use crate::engine::gpu::Kernel;
use crate::engine::kernels::norm::{self, InputGradient, PassedGradients, Statistics};
use crate::engine::kernels::shape::Epilogue;
use crate::engine::kernels::{Begin, Moments, Rectify};
use crate::lang::network;

pub(super) fn batch_norm(layer: &network::BatchNorm, compiler: &mut Compiler, input: usize) -> LayerResult<usize> {
    let network::BatchNorm { name, eps, momentum } = layer;
    let channels = compiler.extents[input].channels;
    let gamma = compiler.parameter(format!("{name}.weight"), vec![channels], ParameterRole::Gamma)?;
    let beta = compiler.parameter(format!("{name}.bias"), vec![channels], ParameterRole::Beta)?;
    if let Some(norm) = compiler.shared_norm(name) {
        let first = &compiler.program.norms[norm];
        if first.eps.to_bits() != eps.to_bits() || first.momentum.to_bits() != momentum.to_bits() {
            return Err(wrong(format!("two layers share batch norm `{name}`, but with different `eps` or `momentum`")));
        }
        return compiler.step(Op::Norm(BatchNorm { norm, add: None, rectify: Rectify::No }), input);
    }
    let norm = Norm {
        name: name.clone(),
        channels,
        gamma,
        beta,
        running: compiler.running,
        eps: *eps,
        momentum: *momentum,
        conv: compiler.names[input].clone(),
    };
    compiler.running += 2 * channels;
    compiler.program.norms.push(norm);
    let norm = compiler.program.norms.len() - 1;
    compiler.step(Op::Norm(BatchNorm { norm, add: None, rectify: Rectify::No }), input)
}

/// Batch norm of that index, plus a residual, rectified.
#[derive(Debug)]
pub(in crate::engine::network) struct BatchNorm {
    pub(in crate::engine::network) norm: usize,
    pub(in crate::engine::network) add: Option<usize>,
    pub(in crate::engine::network) rectify: Rectify,
}

/// Source of the statistics of a batch norm in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::network) enum StatisticsSource {
    /// The batch; running statistics are updated.
    Batch,
    /// Running statistics, which are not updated.
    Running,
    /// Running statistics, which are not updated; the sums over the batch are left in [`Training::observed`].
    Observed,
}

/// What the backward pass of a batch norm reads.
struct SavedNorm {
    statistics: Statistics,
    scale: Vec<f32>,
    shift: Vec<f32>,
    source: StatisticsSource,
}

/// Scale and shift of a batch norm with running statistics.
pub(super) fn affine(model: &Execution, running: &[f32], norm: usize) -> (Vec<f32>, Vec<f32>) {
    let layer = &model.program.norms[norm];
    let (mean, variance) = running[layer.running..][..2 * layer.channels].split_at(layer.channels);
    let statistics = Statistics::running(mean, variance, layer.eps);
    statistics.affine(model.parameter(layer.gamma), model.parameter(layer.beta))
}

/// running = (1 - momentum) running + momentum batch, with the unbiased variance, as in torch. `batch` holds means and biased variances.
fn move_running(running: &mut [f32], batch: [&[impl Copy + Into<f64>]; 2], rows: usize, momentum: f64) {
    let [mean, variance] = batch;
    let (means, variances) = running.split_at_mut(mean.len());
    let unbiased = rows as f64 / (rows.max(2) - 1) as f64;
    let moved = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
    for (running, mean) in means.iter_mut().zip(mean) {
        *running = moved(*running, (*mean).into());
    }
    for (running, variance) in variances.iter_mut().zip(variance) {
        *running = moved(*running, (*variance).into() * unbiased);
    }
}

impl BatchNorm {
    /// Mean and biased variance of each channel (1 x C x 1 x 1) in candle: of the batch, on the tape, or the running ones.
    fn statistics(&self, of: &mut OnTape, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let layer = &of.program.norms[self.norm];
        let (c, rows) = (layer.channels, x.elem_count() / layer.channels);
        let range = layer.running..layer.running + 2 * c;
        // The mean of the means of all images; sums over the last dimension are fast.
        let mean_of = |x: &Tensor| x.flatten_from(2)?.mean_keepdim(2)?.mean_keepdim(0)?.reshape((1, c, 1, 1));
        let running = match &mut of.mode {
            TapeMode::Evaluation(running) => running[range].to_vec(),
            TapeMode::Training(training) => match (training.source)(layer) {
                StatisticsSource::Batch => {
                    let mean = mean_of(x)?;
                    let variance = mean_of(&x.broadcast_sub(&mean)?.sqr()?)?;
                    let batch = [wide(&mean)?, wide(&variance)?];
                    let running = &mut training.running[range];
                    move_running(running, [&batch[0][..], &batch[1]], rows, layer.momentum);
                    return Ok((mean, variance));
                }
                StatisticsSource::Running => training.running[range].to_vec(),
                StatisticsSource::Observed => {
                    let (mean, squares) = (wide(&mean_of(x)?)?, wide(&mean_of(&x.sqr()?)?)?);
                    let count = rows as f64;
                    let totals = mean.iter().zip(&squares).map(|(mean, square)| [mean * count, square * count]);
                    training.observed.push((self.norm, totals.collect(), rows));
                    training.running[range].to_vec()
                }
            },
        };
        let (mean, variance) = running.split_at(c);
        let shape = [1, c, 1, 1];
        Ok((of.constant(mean.to_vec(), &shape)?, of.constant(variance.to_vec(), &shape)?))
    }

    fn train(&self, inputs: StepInputs, training: &mut Training, y: &mut [f32]) -> Saved {
        let (model, x, layer) = (inputs.model, inputs.x(), &inputs.model.program.norms[self.norm]);
        let (c, rows) = (layer.channels, x.len() / layer.channels);
        let source = (training.source)(layer);
        let sums = &mut training.sums[inputs.step.input];
        let mut totals = || {
            let of_x = || {
                let mut moments = Moments::default();
                moments.of(x, c);
                moments
            };
            sums.take().unwrap_or_else(of_x).totals(c)
        };
        let statistics = if source == StatisticsSource::Batch {
            let statistics = Statistics::new(&totals(), rows, layer.eps);
            let batch = [&statistics.mean[..], &statistics.variance];
            move_running(&mut training.running[layer.running..][..2 * c], batch, rows, layer.momentum);
            statistics
        } else {
            if source == StatisticsSource::Observed {
                training.observed.push((self.norm, totals(), rows));
            }
            let (mean, variance) = training.running[layer.running..][..2 * c].split_at(c);
            Statistics::running(mean, variance, layer.eps)
        };
        let (scale, shift) = statistics.affine(model.parameter(layer.gamma), model.parameter(layer.beta));
        norm::affine(x, &scale, &shift, self.add.map(|add| inputs.value(add)), self.rectify, y);
        save(SavedNorm { statistics, scale, shift, source })
    }
}

impl Operation for BatchNorm {
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent> {
        others.iter().try_for_each(|&other| agree("adds", input, other))?;
        Ok(input)
    }

    fn others(&self) -> &[usize] {
        self.add.as_slice()
    }

    fn parameters(&self, program: &Program) -> Vec<usize> {
        let norm = &program.norms[self.norm];
        vec![norm.gamma, norm.beta]
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let layer = &of.program.norms[self.norm];
        let (mean, variance) = self.statistics(of, x)?;
        let deviation = (variance + layer.eps)?.sqrt()?;
        let scale = OnTape::channels(of.parameter(layer.gamma))?.div(&deviation)?;
        let y = x.broadcast_sub(&mean)?.broadcast_mul(&scale)?;
        let y = y.broadcast_add(&OnTape::channels(of.parameter(layer.beta))?)?;
        let y = if let Some(add) = self.add { (y + of.value(add))? } else { y };
        rectified(self.rectify, &y)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }

    fn launches(&self) -> Option<&dyn Launches> {
        Some(self)
    }
}

impl Kernels for BatchNorm {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, output: self.add.is_some() && self.rectify != Rectify::No, others: false }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let inputs = of.inputs;
        let evaluation = match &mut of.mode {
            PassMode::Training(training) => return self.train(inputs, training, y),
            PassMode::Evaluation(evaluation) => evaluation,
        };
        let extra = self.add.map(|add| inputs.value(add));
        if let Some(conv) = inputs.model.program.folded_conv(inputs.step) {
            let after = Epilogue { bias: None, extra, rectify: self.rectify };
            super::conv::convolve(&inputs, evaluation.folded, conv, after, y);
        } else {
            let (scale, shift) = affine(&inputs.model, evaluation.running, self.norm);
            norm::affine(inputs.x(), &scale, &shift, extra, self.rectify, y);
        }
        None
    }

    fn backward(&self, of: &mut Backward, mut dy: Vec<f32>) {
        let layer = &of.model.program.norms[self.norm];
        let SavedNorm { statistics, scale, shift, source } = of.saved();
        let passed = match (self.rectify, self.add) {
            (Rectify::No, _) => PassedGradients::All,
            (rectify, None) => PassedGradients::Affine(scale, shift, rectify),
            (rectify, Some(_)) => PassedGradients::Output(of.y(), rectify),
        };
        // The gradient of the residual stays in `dy`, so that of x needs its own buffer.
        let residual = self.add.filter(|&add| of.pass.wanted[add]);
        let mut own = residual.map(|_| of.fresh(of.step.input));
        let into = own.as_deref_mut().map_or(InputGradient::Place, InputGradient::Buffer);
        let x = of.x();
        if *source == StatisticsSource::Batch {
            let gamma = of.model.parameter(layer.gamma);
            let (dgamma, dbeta) = norm::backward(x, &mut dy, gamma, statistics, passed, into);
            for (parameter, values) in [(layer.gamma, dgamma), (layer.beta, dbeta)] {
                of.parameter(parameter, |gradient| gradient.copy_from_slice(&values));
            }
        } else {
            norm::backward_fixed(x, &mut dy, scale, passed, into);
        }
        let dx = match (own, residual) {
            (Some(own), Some(residual)) => {
                of.gradients.add(residual, dy);
                own
            }
            _ => dy,
        };
        if of.wanted() {
            of.add(dx);
        } else {
            of.model.pool.give(dx);
        }
    }
}

impl Launches for BatchNorm {
    fn lower(&self, on: &mut Lowering, at: usize, step: &Step, y: Pointer) {
        let x = on.value(step.input);
        let kept = self.lower_statistics(on, at, step, x);
        let extra = Pointer::from(self.add.map(|add| on.value(add)));
        let count = on.count(step.output);
        let n = [count, on.extent(step.output).channels];
        let numbers = LaunchNumbers { n: &n, f: &bounds(self.rectify), ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::NormAffine, count, [x, kept, extra, y], numbers);
    }

    fn lower_back(&self, on: &mut Lowering, at: usize, step: &Step, dy: Pointer) {
        let (layer, kept) = (&on.of.program.norms[self.norm], Pointer::from(on.kept[at].map(Pointer::from)));
        let (channels, count) = (layer.channels, on.count(step.input));
        let rows = count / channels;
        let (length, runs) = runs(rows, channels);
        let (x, y) = (on.value(step.input), on.value(step.output));
        // With a residual, the output tells which gradients pass; without, scale and shift of x do, and y may have been freed.
        let (passed, y) = match (self.rectify, self.add) {
            (Rectify::No, _) => (0, Pointer::None),
            (_, None) => (1, Pointer::None),
            (_, Some(_)) => (2, y),
        };
        let residual = self.add.and_then(|add| on.gradient(add));
        let (residual, begin) = residual.unwrap_or((Pointer::None, Begin::Fresh));
        let sums = on.schedule.buffer(16 * runs * channels);
        let n = [rows, channels, length, runs, passed, flag(begin)];
        let numbers = LaunchNumbers { n: &n, f: &bounds(self.rectify), ..LaunchNumbers::default() };
        let pointers = [x, dy, kept, y, residual, sums.into()];
        on.schedule.launch(Kernel::NormSums, runs * channels, pointers, numbers);
        let (sums, runs) = on.fewer_runs(sums, channels, runs);
        let factors = on.schedule.buffer(4 * 3 * channels);
        let fixed = self.is_fixed(on);
        let dgamma = Pointer::from(on.parameter_gradient(layer.gamma));
        let dbeta = Pointer::from(on.parameter_gradient(layer.beta));
        let pointers = [sums.into(), on.parameter(layer.gamma), kept, dgamma, dbeta, factors.into()];
        let numbers = LaunchNumbers { n: &[channels, runs, rows, usize::from(fixed)], ..LaunchNumbers::default() };
        on.schedule.launch(Kernel::NormFactors, channels, pointers, numbers);
        if let Some((dx, begin)) = on.gradient(step.input) {
            let numbers = LaunchNumbers { n: &[count, channels, flag(begin)], ..LaunchNumbers::default() };
            on.schedule.launch(Kernel::NormCombine, count, [x, dy, factors.into(), dx], numbers);
        }
    }
}

impl BatchNorm {
    /// Whether the running statistics are used: in evaluation, and if both parameters are frozen.
    fn is_fixed(&self, on: &Lowering) -> bool {
        let norm = &on.of.program.norms[self.norm];
        on.of.purpose == Purpose::Evaluation || (on.of.frozen[norm.gamma] && on.of.frozen[norm.beta])
    }

    /// Adds the launches that write mean, 1/deviation, scale and shift of each channel, and keeps them.
    fn lower_statistics(&self, on: &mut Lowering, at: usize, step: &Step, x: Pointer) -> Pointer {
        let (fixed, layer) = (self.is_fixed(on), &on.of.program.norms[self.norm]);
        let (channels, rows) = (layer.channels, on.count(step.input) / layer.channels);
        let (sums, runs) = if fixed {
            (Pointer::None, 0)
        } else {
            let (buffer, runs) = on.column_sums(x, rows, channels, false);
            (buffer.into(), runs)
        };
        let kept = on.schedule.buffer(4 * 4 * channels);
        on.kept[at] = Some(kept);
        let running = Pointer::At(on.of.numbers.running + 4 * layer.running as u64);
        let pointers = [sums, on.parameter(layer.gamma), on.parameter(layer.beta), running, kept.into()];
        let numbers = LaunchNumbers { n: &[channels, runs, rows], d: &[layer.eps, layer.momentum], f: &[] };
        on.schedule.launch(Kernel::NormStatistics, channels, pointers, numbers);
        kept.into()
    }
}
