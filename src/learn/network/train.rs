//! Training step: forward pass over a program, keeping what the backward pass needs, and the backward pass. Knows no tape and no
//! optimizer.

use super::plan::SizedPlan;
use super::program::{Norm, Op, Program, Step};
use crate::base::random::Stream;
use crate::learn::kernels::conv::Packed;
use crate::learn::kernels::norm::{self, InputGradient, PassedGradients, Statistics};
use crate::learn::kernels::pooling::{flatten, global_max, global_max_gradient, global_mean, global_mean_gradient};
use crate::learn::kernels::shape::Epilogue;
use crate::learn::kernels::{Begin, BufferPool, Moments, Rectify, accumulate, join};

/// Program to execute, with its parameters.
#[derive(Clone, Copy)]
pub(super) struct Execution<'a> {
    pub(super) program: &'a Program,
    pub(super) plan: &'a SizedPlan,
    pub(super) flat: &'a [f32],
    pub(super) pool: &'a BufferPool,
}

impl<'a> Execution<'a> {
    /// Values of a parameter.
    pub(super) fn parameter(&self, parameter: usize) -> &'a [f32] {
        &self.flat[self.program.parameters[parameter].range.clone()]
    }
}

/// Source of the statistics of a batch norm in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatisticsSource {
    /// The batch; running statistics are updated.
    Batch,
    /// Running statistics, which are not updated.
    Running,
    /// Running statistics, which are not updated; the sums over the batch are left in [`Pass::observed`].
    Observed,
}

/// What a step saves for the backward pass, besides values.
enum SavedForBackward {
    Nothing,
    Norm { statistics: Statistics, scale: Vec<f32>, shift: Vec<f32>, source: StatisticsSource },
    Places(Vec<u8>),
    Pixels(Vec<u32>),
    Mask(Vec<f32>),
}

/// Forward pass: values, and what else the backward pass needs.
pub(super) struct Pass {
    pub(super) images: usize,
    values: Vec<Option<Vec<f32>>>,
    kept: Vec<SavedForBackward>,
    /// Whether a value depends on a trainable parameter.
    wanted: Vec<bool>,
    frozen: Vec<bool>,
    /// Index, sums of x and x², and number of rows of each observed batch norm.
    pub(super) observed: Vec<(usize, Vec<[f64; 2]>, usize)>,
}

impl Pass {
    /// Logits.
    pub(super) fn logits(&self, program: &Program) -> &[f32] {
        let last = program.steps.last().expect("a network has layers").output;
        self.values[last].as_deref().expect("logits are kept")
    }

    /// Returns all buffers to the pool.
    pub(super) fn recycle(self, pool: &BufferPool) {
        self.values.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    }
}

/// Whether each value depends on a trainable parameter.
pub(super) fn wanted(program: &Program, frozen: &[bool]) -> Vec<bool> {
    let trainable = |step: &Step| match step.op {
        Op::Conv { weight, bias, .. } => !frozen[weight] || bias.is_some_and(|bias| !frozen[bias]),
        Op::Norm { norm, .. } => !frozen[program.norms[norm].gamma] || !frozen[program.norms[norm].beta],
        _ => false,
    };
    let mut wanted = vec![false; program.uses.len()];
    for step in &program.steps {
        wanted[step.output] = step.reads().any(|value| wanted[value]) || trainable(step);
    }
    wanted
}

/// Whether the backward pass reads each value, given which of them need gradients.
fn read_back(program: &Program, wanted: &[bool], frozen: &[bool]) -> Vec<bool> {
    let mut read = vec![false; wanted.len()];
    for step in &program.steps {
        if !wanted[step.output] {
            continue;
        }
        match &step.op {
            Op::Conv { weight, .. } => read[step.input] |= !frozen[*weight],
            Op::Norm { add, rectify, .. } => {
                read[step.input] = true;
                read[step.output] |= add.is_some() && *rectify != Rectify::No;
            }
            Op::Smooth(_) => read[step.input] = true,
            Op::Rectify(_) => read[step.output] = true,
            Op::Add { rectify, .. } => read[step.output] |= *rectify != Rectify::No,
            _ => {}
        }
    }
    if let Some(last) = program.steps.last() {
        read[last.output] = true;
    }
    read
}

/// Forward pass. Batch norms whose `source` is the batch update `running`.
pub(super) fn forward(
    model: Execution,
    running: &mut [f32],
    pixels: &[f32],
    frozen: &[bool],
    source: impl Fn(&Norm) -> StatisticsSource,
    mut dropout: Stream,
) -> Pass {
    let Execution { program, plan, pool, .. } = model;
    let images = pixels.len() / plan.extents[0].len();
    let wanted = wanted(program, frozen);
    let read = read_back(program, &wanted, frozen);
    let mut left = program.uses.clone();
    let mut values: Vec<Option<Vec<f32>>> = vec![None; program.uses.len()];
    let mut kept: Vec<SavedForBackward> = program.steps.iter().map(|_| SavedForBackward::Nothing).collect();
    let mut first = pool.take(pixels.len());
    first.copy_from_slice(pixels);
    values[0] = Some(first);
    // Sums over the output of a convolution, for the batch norm that reads it.
    let mut sums: Vec<Option<Moments>> = program.uses.iter().map(|_| None).collect();
    let mut observed = Vec::new();
    let batch_norm_reads = |value: usize| {
        program.steps.iter().any(|step| match step.op {
            Op::Norm { norm, .. } => step.input == value && source(&program.norms[norm]) != StatisticsSource::Running,
            _ => false,
        })
    };
    for (at, step) in program.steps.iter().enumerate() {
        let (from, to) = (plan.extents[step.input], plan.extents[step.output]);
        let mut y = pool.take(images * to.len());
        let x = values[step.input].as_deref().expect("a value lives until its last use");
        match &step.op {
            Op::Conv { weight, bias, .. } => {
                let conv = plan.convs[at].as_ref().expect("a convolution is prepared");
                let packed: Packed = conv.pack(model.parameter(*weight), pool);
                let mut moments = batch_norm_reads(step.output).then(Moments::default);
                let after = Epilogue { bias: bias.map(|bias| model.parameter(bias)), ..Epilogue::default() };
                conv.forward(x, &packed, after, &mut y, moments.as_mut(), pool);
                packed.recycle(pool);
                sums[step.output] = moments;
            }
            Op::Norm { norm, add, rectify } => {
                let layer = &program.norms[*norm];
                let (c, rows) = (layer.channels, x.len() / layer.channels);
                let source = source(layer);
                let mut totals = || {
                    let of_x = || {
                        let mut moments = Moments::default();
                        moments.of(x, c);
                        moments
                    };
                    sums[step.input].take().unwrap_or_else(of_x).totals(c)
                };
                let statistics = if source == StatisticsSource::Batch {
                    let statistics = Statistics::new(&totals(), rows, layer.eps);
                    move_running(&mut running[layer.running..][..2 * c], &statistics, rows, layer.momentum);
                    statistics
                } else {
                    if source == StatisticsSource::Observed {
                        observed.push((*norm, totals(), rows));
                    }
                    let (mean, variance) = running[layer.running..][..2 * c].split_at(c);
                    Statistics::running(mean, variance, layer.eps)
                };
                let (scale, shift) = statistics.affine(model.parameter(layer.gamma), model.parameter(layer.beta));
                let extra = add.map(|add| values[add].as_deref().expect("a value lives until its last use"));
                norm::affine(x, &scale, &shift, extra, *rectify, &mut y);
                kept[at] = SavedForBackward::Norm { statistics, scale, shift, source };
            }
            Op::Rectify(rectify) => {
                y.copy_from_slice(x);
                norm::rectify(*rectify, &mut y);
            }
            Op::Smooth(smooth) => smooth.forward(x, &mut y),
            Op::Concat { others } => {
                let part = |other: &usize| {
                    let value = values[*other].as_deref().expect("a value lives until its last use");
                    (value, plan.extents[*other].channels)
                };
                let parts: Vec<_> = std::iter::once((x, from.channels)).chain(others.iter().map(part)).collect();
                join::concat(&parts, to.channels, &mut y);
            }
            Op::Add { other, rectify } => {
                y.copy_from_slice(x);
                accumulate(&mut y, values[*other].as_deref().expect("a value lives until its last use"));
                if *rectify != Rectify::No {
                    norm::rectify(*rectify, &mut y);
                }
            }
            Op::MaxPool { kernel, stride, padding } => {
                let mut places = vec![0; y.len()];
                from.window(*kernel, *stride, *padding).max(x, &mut y, &mut places);
                kept[at] = SavedForBackward::Places(places);
            }
            Op::MeanPool { kernel, stride, padding } => from.window(*kernel, *stride, *padding).mean(x, &mut y),
            Op::AdaptiveMean { side } => from.parts(*side).mean(x, &mut y),
            Op::GlobalMean => global_mean(x, from.channels, &mut y),
            Op::GlobalMax => {
                let mut places = vec![0; y.len()];
                global_max(x, from.channels, &mut y, &mut places);
                kept[at] = SavedForBackward::Pixels(places);
            }
            Op::Flatten => flatten(x, from.height * from.width, from.channels, &mut y),
            Op::Dropout { share } => {
                let mask = dropout_mask(*share, x.len(), &mut dropout);
                y.copy_from_slice(x);
                y.iter_mut().zip(&mask).for_each(|(y, mask)| *y *= mask);
                kept[at] = SavedForBackward::Mask(mask);
            }
        }
        values[step.output] = Some(y);
        for value in step.reads() {
            left[value] -= 1;
            if left[value] == 0
                && !read[value]
                && let Some(buffer) = values[value].take()
            {
                pool.give(buffer);
            }
        }
    }
    Pass { images, values, kept, wanted, frozen: frozen.to_vec(), observed }
}

/// Dropout mask: 0 for a fraction `share`, and the scale that preserves the mean for the rest.
pub(super) fn dropout_mask(share: f64, count: usize, stream: &mut Stream) -> Vec<f32> {
    let scale = (1.0 / (1.0 - share)) as f32;
    (0..count).map(|_| if stream.chance(share) { 0.0 } else { scale }).collect()
}

/// running = (1 - momentum) running + momentum batch, with the unbiased variance, as in torch.
fn move_running(running: &mut [f32], statistics: &Statistics, rows: usize, momentum: f64) {
    let (means, variances) = running.split_at_mut(statistics.mean.len());
    let unbiased = rows as f64 / (rows.max(2) - 1) as f64;
    let moved = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
    for (running, mean) in means.iter_mut().zip(&statistics.mean) {
        *running = moved(*running, f64::from(*mean));
    }
    for (running, variance) in variances.iter_mut().zip(&statistics.variance) {
        *running = moved(*running, f64::from(*variance) * unbiased);
    }
}

/// Gradients of the values during the backward pass.
struct Gradients<'a> {
    of: Vec<Option<Vec<f32>>>,
    pool: &'a BufferPool,
}

impl Gradients<'_> {
    /// Adds `gradient` to the gradient of a value.
    fn add(&mut self, value: usize, gradient: Vec<f32>) {
        match &mut self.of[value] {
            Some(present) => {
                accumulate(present, &gradient);
                self.pool.give(gradient);
            }
            empty => *empty = Some(gradient),
        }
    }
}

/// Backward pass from the gradient of the logits; writes that of the parameters, 0 for frozen ones.
pub(super) fn backward(model: Execution, mut pass: Pass, dlogits: &[f32], gradient: &mut [f32]) {
    let Execution { program, plan, pool, .. } = model;
    let images = pass.images;
    let mut gradients = Gradients { of: vec![None; program.uses.len()], pool };
    let mut of_logits = pool.take(dlogits.len());
    of_logits.copy_from_slice(dlogits);
    gradients.of[program.steps.last().expect("a network has layers").output] = Some(of_logits);
    for (parameter, frozen) in program.parameters.iter().zip(&pass.frozen) {
        if *frozen {
            gradient[parameter.range.clone()].fill(0.0);
        }
    }
    for (at, step) in program.steps.iter().enumerate().rev() {
        let Some(mut dy) = gradients.of[step.output].take() else { continue };
        let from = plan.extents[step.input];
        let x = pass.values[step.input].as_deref();
        let y = pass.values[step.output].as_deref();
        let wanted = pass.wanted[step.input];
        let read = "what the backward pass reads is kept";
        let fresh = || pool.take(images * from.len());
        match &step.op {
            Op::Conv { weight, bias, .. } => {
                let conv = plan.convs[at].as_ref().expect("a convolution is prepared");
                if let Some(bias) = bias.filter(|&bias| !pass.frozen[bias]) {
                    let range = program.parameters[bias].range.clone();
                    gradient[range].copy_from_slice(&norm::column_sums(&dy, conv.shape.out));
                }
                if !pass.frozen[*weight] {
                    let range = program.parameters[*weight].range.clone();
                    conv.kernel_gradient(x.expect(read), &dy, &mut gradient[range], pool);
                }
                if wanted {
                    let begin = if gradients.of[step.input].is_some() { Begin::Add } else { Begin::Fresh };
                    let mut dx = gradients.of[step.input].take().unwrap_or_else(fresh);
                    conv.input_gradient(&dy, model.parameter(*weight), begin, &mut dx, pool);
                    gradients.of[step.input] = Some(dx);
                }
                pool.give(dy);
            }
            Op::Norm { norm, add, rectify } => {
                let layer = &program.norms[*norm];
                let SavedForBackward::Norm { statistics, scale, shift, source } = &pass.kept[at] else {
                    unreachable!("a batch norm keeps its statistics")
                };
                let passed = match (rectify, add) {
                    (Rectify::No, _) => PassedGradients::All,
                    (rectify, None) => PassedGradients::Affine(scale, shift, *rectify),
                    (rectify, Some(_)) => PassedGradients::Output(y.expect(read), *rectify),
                };
                // The gradient of the residual stays in `dy`, so that of x needs its own buffer.
                let residual = add.filter(|&add| pass.wanted[add]);
                let mut own = residual.map(|_| fresh());
                let into = own.as_deref_mut().map_or(InputGradient::Place, InputGradient::Buffer);
                let x = x.expect(read);
                if *source == StatisticsSource::Batch {
                    let (dgamma, dbeta) =
                        norm::backward(x, &mut dy, model.parameter(layer.gamma), statistics, passed, into);
                    for (parameter, values) in [(layer.gamma, dgamma), (layer.beta, dbeta)] {
                        if !pass.frozen[parameter] {
                            gradient[program.parameters[parameter].range.clone()].copy_from_slice(&values);
                        }
                    }
                } else {
                    norm::backward_fixed(x, &mut dy, scale, passed, into);
                }
                let dx = match (own, residual) {
                    (Some(own), Some(residual)) => {
                        gradients.add(residual, dy);
                        own
                    }
                    _ => dy,
                };
                if wanted {
                    gradients.add(step.input, dx);
                } else {
                    pool.give(dx);
                }
            }
            Op::Rectify(rectify) => {
                norm::rectify_gradient(*rectify, y.expect(read), &mut dy);
                gradients.add(step.input, dy);
            }
            Op::Smooth(smooth) => {
                smooth.gradient(x.expect(read), &mut dy);
                gradients.add(step.input, dy);
            }
            Op::Concat { others } => {
                let channels = plan.extents[step.output].channels;
                let mut before = 0;
                for value in std::iter::once(step.input).chain(others.iter().copied()) {
                    let extent = plan.extents[value];
                    if pass.wanted[value] {
                        let mut part = pool.take(images * extent.len());
                        join::columns_of(&dy, channels, before, extent.channels, &mut part);
                        gradients.add(value, part);
                    }
                    before += extent.channels;
                }
                pool.give(dy);
            }
            Op::Add { other, rectify } => {
                if *rectify != Rectify::No {
                    norm::rectify_gradient(*rectify, y.expect(read), &mut dy);
                }
                if pass.wanted[*other] {
                    let mut copy = fresh();
                    copy.copy_from_slice(&dy);
                    gradients.add(*other, copy);
                }
                gradients.add(step.input, dy);
            }
            Op::Dropout { .. } => {
                let SavedForBackward::Mask(mask) = &pass.kept[at] else { unreachable!("dropout keeps its mask") };
                dy.iter_mut().zip(mask).for_each(|(dy, mask)| *dy *= mask);
                gradients.add(step.input, dy);
            }
            Op::MaxPool { .. }
            | Op::MeanPool { .. }
            | Op::AdaptiveMean { .. }
            | Op::GlobalMean
            | Op::GlobalMax
            | Op::Flatten => {
                let mut dx = fresh();
                match (&step.op, &pass.kept[at]) {
                    (Op::MaxPool { kernel, stride, padding }, SavedForBackward::Places(places)) => {
                        from.window(*kernel, *stride, *padding).max_gradient(&dy, places, &mut dx);
                    }
                    (Op::MeanPool { kernel, stride, padding }, _) => {
                        from.window(*kernel, *stride, *padding).mean_gradient(&dy, &mut dx);
                    }
                    (Op::AdaptiveMean { side }, _) => from.parts(*side).mean_gradient(&dy, &mut dx),
                    (Op::GlobalMax, SavedForBackward::Pixels(places)) => {
                        global_max_gradient(&dy, places, from.channels, &mut dx);
                    }
                    (Op::GlobalMean, _) => global_mean_gradient(&dy, from.channels, &mut dx),
                    // The backward pass is the inverse transposition.
                    _ => flatten(&dy, from.channels, from.height * from.width, &mut dx),
                }
                pool.give(dy);
                gradients.add(step.input, dx);
            }
        }
        if !pass.wanted[step.input]
            && let Some(unused) = gradients.of[step.input].take()
        {
            pool.give(unused);
        }
        if let Some(buffer) = pass.values[step.output].take() {
            pool.give(buffer);
        }
    }
    gradients.of.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    pass.recycle(pool);
}
