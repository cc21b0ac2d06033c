//! Multi-head attention to an input or a tap: linear layers for queries, keys and values, the attention itself, and a linear layer
//! behind it.

use candle_core::{D, Result, Tensor};

use super::super::compile::Compiler;
use super::super::pass::{Backward, Forward, Saved, save};
use super::super::program::{Extent, wrong};
use super::super::tape::OnTape;
use super::{Kernels, LayerResult, Op, Operation, ReadBack, conv};
use crate::engine::kernels::attention::{Attention, AttentionShape, AttentionSums, Projected, ProjectedGradients};
use crate::lang::network;

pub(super) fn cross_attention(
    layer: &network::CrossAttention,
    compiler: &mut Compiler,
    input: usize,
) -> LayerResult<usize> {
    let network::CrossAttention { name, to, heads, width } = layer;
    let heads = *heads;
    let source = compiler.start(to)?;
    let width = width.unwrap_or(compiler.extents[input].channels);
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(wrong(format!("`{name}` has {heads} heads, which do not divide {width} channels"))
            .hint("`heads` must divide `width`"));
    }
    let mut project = |part: &str, value| {
        let [weight, bias] = ["weight", "bias"].map(|end| format!("{name}.{part}.{end}"));
        conv::pixelwise(compiler, &weight, Some(&bias), width, value)
    };
    let (query, key, value) = (project("q", input)?, project("k", source)?, project("v", source)?);
    let attended = compiler.step(Op::plain(CrossAttention { heads, others: [key, value] }), query)?;
    let [weight, bias] = ["weight", "bias"].map(|end| format!("{name}.proj.{end}"));
    conv::pixelwise(compiler, &weight, Some(&bias), width, attended)
}

/// Attention of the queries in its input to other values: keys and values.
#[derive(Debug)]
struct CrossAttention {
    heads: usize,
    others: [usize; 2],
}

impl CrossAttention {
    /// Shape for queries, and keys, of these extents.
    fn shape(&self, of: Extent, keys: Extent) -> AttentionShape {
        AttentionShape::across([of.height, of.width], [keys.height, keys.width], of.channels, self.heads)
    }
}

impl Operation for CrossAttention {
    fn extent(&self, input: Extent, others: &[Extent]) -> LayerResult<Extent> {
        debug_assert!(others.iter().all(|other| other.channels == input.channels), "all are of one width");
        Ok(input)
    }

    fn others(&self) -> &[usize] {
        &self.others
    }

    fn graph(&self, of: &mut OnTape, x: &Tensor) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        let depth = channels / self.heads;
        // N x heads x pixels x depth.
        let heads = |map: &Tensor| {
            let tokens = map.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
            tokens.reshape((images, (), self.heads, depth))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (heads(x)?, heads(of.value(self.others[0]))?, heads(of.value(self.others[1]))?);
        let scores = (query / (depth as f64).sqrt())?.matmul(&key.t()?.contiguous()?)?;
        // candle's fused softmax has no backward pass.
        let shares = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let shares = shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)?;
        let attended = shares.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        let tokens = attended.reshape((images, height * width, channels))?.transpose(1, 2)?.contiguous()?;
        tokens.reshape((images, channels, height, width))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

impl Kernels for CrossAttention {
    fn reads_back(&self, _: &[bool]) -> ReadBack {
        ReadBack { input: true, others: true, ..ReadBack::default() }
    }

    fn forward(&self, of: &mut Forward, y: &mut [f32]) -> Saved {
        let (inputs, [key, value]) = (of.inputs, self.others);
        let shape = self.shape(inputs.from(), inputs.extent(key));
        let x = [inputs.x(), inputs.value(key), inputs.value(value)];
        let attention = Attention::new(shape, &[], None);
        save(attention.forward(x.map(|values| Projected::whole(values, shape.channels)), y))
    }

    fn backward(&self, of: &mut Backward, dy: Vec<f32>) {
        let (sums, [key, value]): (&AttentionSums, _) = (of.saved(), self.others);
        let shape = self.shape(of.from(), of.extent(key));
        let attention = Attention::new(shape, &[], None);
        let x = [of.x(), of.value(key), of.value(value)].map(|values| Projected::whole(values, shape.channels));
        let places = [of.step.input, key, value];
        let mut gradients = places.map(|place| of.fresh(place));
        let [of_query, of_key, of_value] = &mut gradients;
        _ = attention.backward(x, sums, &dy, ProjectedGradients::Apart([of_query, of_key, of_value]));
        of.model.pool.give(dy);
        for (place, gradient) in places.into_iter().zip(gradients) {
            if of.pass.wanted[place] {
                of.gradients.add(place, gradient);
            } else {
                of.model.pool.give(gradient);
            }
        }
    }
}
