//! Forward pass in evaluation mode: batch norms are folded into the preceding convolutions, with residual and rectifier fused. Knows no
//! tape.

use super::program::{Op, Step};
use super::train::Execution;
use crate::learn::kernels::conv::Packed;
use crate::learn::kernels::norm::{self, Statistics};
use crate::learn::kernels::pooling::{flatten, global_max, global_mean};
use crate::learn::kernels::shape::Epilogue;
use crate::learn::kernels::{Rectify, accumulate, join};

/// Convolution in evaluation mode, folded and packed.
#[derive(Debug)]
pub(super) struct Folded {
    packed: Packed,
    bias: Option<Vec<f32>>,
}

/// Scale and shift of a batch norm with running statistics.
fn affine(model: &Execution, running: &[f32], norm: usize) -> (Vec<f32>, Vec<f32>) {
    let layer = &model.program.norms[norm];
    let (mean, variance) = running[layer.running..][..2 * layer.channels].split_at(layer.channels);
    let statistics = Statistics::running(mean, variance, layer.eps);
    statistics.affine(model.parameter(layer.gamma), model.parameter(layer.beta))
}

/// Batch norm step that is the only reader of the output of a convolution.
fn norm_after<'a>(model: &Execution<'a>, conv: &Step) -> Option<&'a Step> {
    let reads = |step: &&Step| step.input == conv.output && matches!(step.op, Op::Norm { .. });
    (model.program.uses[conv.output] == 1).then(|| model.program.steps.iter().find(reads)).flatten()
}

/// Folds and packs all convolutions; [`None`] for other steps.
pub(super) fn fold(model: &Execution, running: &[f32]) -> Vec<Option<Folded>> {
    let fold = |(at, step): (usize, &Step)| {
        let Op::Conv { weight, bias, .. } = step.op else { return None };
        let conv = model.plan.convs[at].as_ref().expect("a convolution is prepared");
        let kernel = model.parameter(weight);
        let bias = bias.map(|bias| model.parameter(bias));
        let Some(Op::Norm { norm, .. }) = norm_after(model, step).map(|step| &step.op) else {
            return Some(Folded { packed: conv.pack(kernel, model.pool), bias: bias.map(<[f32]>::to_vec) });
        };
        let (scale, mut shift) = affine(model, running, *norm);
        if let Some(bias) = bias {
            shift.iter_mut().zip(bias).zip(&scale).for_each(|((shift, bias), scale)| *shift += bias * scale);
        }
        let scaled: Vec<f32> = kernel
            .chunks_exact(scale.len())
            .flat_map(|row| row.iter().zip(&scale).map(|(weight, scale)| weight * scale))
            .collect();
        Some(Folded { packed: conv.pack(&scaled, model.pool), bias: Some(shift) })
    };
    model.program.steps.iter().enumerate().map(fold).collect()
}

/// Logits of `pixels`.
pub(super) fn forward(model: Execution, running: &[f32], folded: &[Option<Folded>], pixels: &[f32]) -> Vec<f32> {
    let Execution { program, plan, pool, .. } = model;
    let images = pixels.len() / plan.extents[0].len();
    let mut left = program.uses.clone();
    let mut values: Vec<Option<Vec<f32>>> = vec![None; program.uses.len()];
    let mut first = pool.take(pixels.len());
    first.copy_from_slice(pixels);
    values[0] = Some(first);
    for (at, step) in program.steps.iter().enumerate() {
        // A convolution that only a batch norm reads is executed together with it.
        if matches!(step.op, Op::Conv { .. }) && norm_after(&model, step).is_some() {
            continue;
        }
        let conv_before = program.folded_conv(step);
        let input = conv_before.map_or(step.input, |conv| program.steps[conv].input);
        let from = plan.extents[input];
        let mut y = pool.take(images * plan.extents[step.output].len());
        let x = values[input].as_deref().expect("a value lives until its last use");
        let value = |value: usize| values[value].as_deref().expect("a value lives until its last use");
        match &step.op {
            Op::Conv { .. } => convolve(&model, folded, at, x, Epilogue::default(), &mut y),
            Op::Norm { norm, add, rectify } => {
                let extra = add.map(value);
                if let Some(conv) = conv_before {
                    convolve(&model, folded, conv, x, Epilogue { bias: None, extra, rectify: *rectify }, &mut y);
                } else {
                    let (scale, shift) = affine(&model, running, *norm);
                    norm::affine(x, &scale, &shift, extra, *rectify, &mut y);
                }
            }
            Op::Rectify(rectify) => {
                y.copy_from_slice(x);
                norm::rectify(*rectify, &mut y);
            }
            Op::Smooth(smooth) => smooth.forward(x, &mut y),
            Op::Concat { others } => {
                let part = |other: usize| (value(other), plan.extents[other].channels);
                let parts: Vec<_> =
                    std::iter::once((x, from.channels)).chain(others.iter().copied().map(part)).collect();
                join::concat(&parts, plan.extents[step.output].channels, &mut y);
            }
            Op::Add { other, rectify } => {
                y.copy_from_slice(x);
                accumulate(&mut y, value(*other));
                if *rectify != Rectify::No {
                    norm::rectify(*rectify, &mut y);
                }
            }
            Op::MaxPool { kernel, stride, padding } => {
                let mut places = vec![0; y.len()];
                from.window(*kernel, *stride, *padding).max(x, &mut y, &mut places);
            }
            Op::MeanPool { kernel, stride, padding } => from.window(*kernel, *stride, *padding).mean(x, &mut y),
            Op::AdaptiveMean { side } => from.parts(*side).mean(x, &mut y),
            Op::GlobalMean => global_mean(x, from.channels, &mut y),
            Op::GlobalMax => global_max(x, from.channels, &mut y, &mut vec![0; images * from.channels]),
            Op::Flatten => flatten(x, from.height * from.width, from.channels, &mut y),
            Op::Dropout { .. } => y.copy_from_slice(x),
        }
        values[step.output] = Some(y);
        for value in std::iter::once(input).chain(step.others().iter().copied()) {
            left[value] -= 1;
            if left[value] == 0
                && let Some(buffer) = values[value].take()
            {
                pool.give(buffer);
            }
        }
    }
    let logits = program.steps.last().map_or(0, |step| step.output);
    let result = values[logits].clone().expect("logits are kept");
    values.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    result
}

fn convolve(model: &Execution, folded: &[Option<Folded>], at: usize, x: &[f32], after: Epilogue, y: &mut [f32]) {
    let (Some(conv), Some(folded)) = (&model.plan.convs[at], &folded[at]) else {
        unreachable!("a convolution is prepared")
    };
    conv.forward(x, &folded.packed, Epilogue { bias: folded.bias.as_deref(), ..after }, y, None, model.pool);
}
