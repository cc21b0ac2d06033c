//! Multi-head self-attention: a linear layer for queries, keys and values, the attention itself, and a linear layer behind it.

use candle_core::{D, Result, Tensor};

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved, save};
use super::super::program::{Extent, Program, wrong};
use super::super::tape::OnTape;
use super::super::{Parameter, ParameterRole};
use super::{Kernels, LayerResult, Op, Operation, ReadBack, conv};
use crate::engine::kernels::attention::{
    APART, Attention, AttentionShape, AttentionSums, Projected, ProjectedGradients,
};
use crate::lang::network;
use crate::lang::network::attention::{BIAS_TABLE, table_rows};

pub(super) fn self_attention(
    layer: &network::SelfAttention,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    let &network::SelfAttention { ref name, heads, window, shift, relative, names } = layer;
    let channels = compiler.extents[input].channels;
    if heads == 0 || !channels.is_multiple_of(heads) || window == Some(0) {
        return Err(wrong(format!("`{name}` has {heads} heads for {channels} channels, and windows of {window:?} px")));
    }
    let [weight, bias, out_weight, out_bias] = names.tensors().map(|tensor| format!("{name}.{tensor}"));
    let joint = conv::pixelwise(compiler, &weight, Some(&bias), 3 * channels, input)?;
    let named = |parameter: &Parameter| parameter.name == bias;
    let outside =
        compiler.program.parameters.iter().position(named).ok_or_else(|| wrong("a bias that was just added"))?;
    let rows = window.filter(|_| relative).map(table_rows);
    let table = rows
        .map(|rows| compiler.parameter(format!("{name}.{BIAS_TABLE}"), vec![rows, heads], ParameterRole::Table))
        .transpose()?;
    let attended = compiler.step(Op::plain(SelfAttention { heads, window, shift, outside, table }), joint)?;
    conv::pixelwise(compiler, &out_weight, Some(&out_bias), channels, attended)
}

/// Attention from queries, keys and values, each with all channels, one after another.
#[derive(Debug)]
struct SelfAttention {
    heads: usize,
    window: Option<usize>,
    shift: usize,
    /// Bias of queries, keys and values: what they are beyond the map, where pixels are zeros.
    outside: usize,
    /// Table of the relative bias.
    table: Option<usize>,
}

impl SelfAttention {
    /// Shape for queries, keys and values of this extent.
    fn shape(&self, of: Extent) -> AttentionShape {
        AttentionShape::new([of.height, of.width], of.channels / 3, self.heads, self.window, self.shift)
    }
}

impl Operation for SelfAttention {
    fn extent(&self, input: Extent, _: &[Extent]) -> LayerResult<Extent> {
        Ok(Extent { channels: input.channels / 3, ..input })
    }

    fn parameters(&self, _: &Program) -> Vec<usize> {
        std::iter::once(self.outside).chain(self.table).collect()
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let shape = self.shape(of.from());
        let AttentionShape { map: [rows, columns], padded: [height, width], channels, heads, .. } = shape;
        let (tokens, windows) = (shape.tokens(), shape.windows());
        let (images, depth) = (x.dim(0)?, channels / heads);
        let index = |order: Vec<u32>| Tensor::from_vec(order, height * width, x.device());
        let order = shape.order();
        let mut map = x.pad_with_zeros(2, 0, height - rows)?.pad_with_zeros(3, 0, width - columns)?;
        if shape.padded != shape.map {
            let beyond = |at: usize| if at / width < rows && at % width < columns { 0.0f32 } else { 1.0 };
            let beyond = of.constant((0..height * width).map(beyond).collect(), &[1, 1, height, width])?;
            let outside = beyond.broadcast_mul(&OnTape::channels(of.parameter(self.outside))?)?;
            map = map.broadcast_add(&outside)?;
        }
        let pixels = map.flatten_from(2)?.transpose(1, 2)?.contiguous()?.index_select(&index(order.clone())?, 1)?;
        let parts = pixels.reshape((images * windows, tokens, 3, heads, depth))?.permute((2, 0, 3, 1, 4))?;
        let parts = parts.contiguous()?;
        let (query, key, value) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        let mut scores = (query / (depth as f64).sqrt())?.matmul(&key.t()?.contiguous()?)?;
        if let Some(table) = self.table {
            let offsets = Tensor::from_vec(shape.offsets(), tokens * tokens, x.device())?;
            let bias = of.parameter(table).index_select(&offsets, 0)?.reshape((tokens, tokens, heads))?;
            scores = scores.broadcast_add(&bias.permute((2, 0, 1))?.contiguous()?.unsqueeze(0)?)?;
        }
        if let Some(parts) = shape.parts() {
            let apart = parts.chunks_exact(tokens).flat_map(|parts| {
                let of_query = move |query| parts.iter().map(move |key| if key == query { 0.0 } else { APART });
                parts.iter().flat_map(of_query)
            });
            let apart = of.constant(apart.collect(), &[1, windows, 1, tokens, tokens])?;
            let all = scores.reshape((images, windows, heads, tokens, tokens))?.broadcast_add(&apart)?;
            scores = all.reshape((images * windows, heads, tokens, tokens))?;
        }
        // candle's fused softmax has no backward pass.
        let shares = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let shares = shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)?;
        let attended = shares.matmul(&value.contiguous()?)?.transpose(1, 2)?.contiguous()?;
        let mut back = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(pixel, at)| back[*pixel as usize] = at);
        let attended = attended.reshape((images, height * width, channels))?.index_select(&index(back)?, 1)?;
        let map = attended.transpose(1, 2)?.reshape((images, channels, height, width))?;
        map.narrow(2, 0, rows)?.narrow(3, 0, columns)?.contiguous()
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for SelfAttention {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let model = of.inputs.model;
        let table = self.table.map(|table| model.parameter(table));
        let attention = Attention::new(self.shape(of.inputs.from()), model.parameter(self.outside), table);
        save(attention.forward(Projected::joint(of.inputs.x(), of.inputs.to().channels), y))
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let sums: &AttentionSums = of.saved();
        let table = self.table.map(|table| of.model.parameter(table));
        let shape = self.shape(of.from());
        let attention = Attention::new(shape, of.model.parameter(self.outside), table);
        let mut dx = of.fresh(of.step.input);
        let x = Projected::joint(of.x(), shape.channels);
        let gradients = attention.backward(x, sums, &dy, ProjectedGradients::Joint(&mut dx));
        if let Some(table) = self.table {
            of.parameter(table, |gradient| gradient.copy_from_slice(&gradients.table));
        }
        of.parameter(self.outside, |gradient| gradient.copy_from_slice(&gradients.outside));
        of.model.pool.give(dy);
        of.add(dx);
    }
}
