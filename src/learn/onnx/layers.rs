//! Layers of a network as nodes of ONNX, in evaluation mode: convolutions, norms, pooling, activations, branches. Attention is in `attention`.

use std::collections::BTreeMap;

use super::graph::{GraphBuilder, GraphValue, ValueLayout, attribute, attributes, int, real_attribute, tensor};
use crate::engine::network::Weights;
use crate::lang::network::{
    AdaptiveAvgPool, AvgPool, BatchNorm, Branch, Conv, Join, Layer, LayerNorm, Linear, MaxPool, Projection,
    SpaceToDepth,
};
use crate::stage::StageError;

/// Values that branches may start at, by name: inputs, and the taps in reach.
pub(super) type ReachableValues = BTreeMap<String, GraphValue>;

/// Translation of the layers of one network.
pub(super) struct LayerExport<'a> {
    pub(super) graph: &'a mut GraphBuilder,
    pub(super) weights: &'a Weights,
    /// Number of logits.
    pub(super) classes: usize,
}

impl LayerExport<'_> {
    /// The output of layers one after another.
    ///
    /// # Errors
    /// [`StageError::Bug`] if tensors are missing, or shapes do not match: networks are checked before.
    pub(super) fn sequence(
        &mut self,
        layers: &[Layer],
        input: GraphValue,
        reach: &mut ReachableValues,
    ) -> Result<GraphValue, StageError> {
        layers.iter().try_fold(input, |x, layer| self.layer(layer, x, reach))
    }

    fn layer(&mut self, layer: &Layer, x: GraphValue, reach: &mut ReachableValues) -> Result<GraphValue, StageError> {
        let mut unary = |op: &str| {
            let hint = op.to_lowercase();
            x.mapped(self.graph.node(op, &hint, &[&x.name], []))
        };
        Ok(match layer {
            Layer::Relu => unary("Relu"),
            Layer::Tanh => unary("Tanh"),
            Layer::Sigmoid => unary("Sigmoid"),
            Layer::Relu6 => {
                let (low, high) = (self.graph.float(0.0), self.graph.float(6.0));
                x.mapped(self.graph.node("Clip", "relu6", &[&x.name, &low, &high], []))
            }
            Layer::Gelu => self.gelu(&x),
            Layer::Silu => {
                let gate = self.graph.node("Sigmoid", "sigmoid", &[&x.name], []);
                x.mapped(self.graph.node("Mul", "silu", &[&x.name, &gate], []))
            }
            Layer::L2Norm => self.l2_norm(&x),
            Layer::Conv(conv) => self.conv(conv, &x)?,
            Layer::BatchNorm(norm) => self.batch_norm(norm, &x)?,
            Layer::LayerNorm(norm) => self.layer_norm(norm, &x)?,
            Layer::MaxPool(MaxPool { kernel, stride, padding }) => {
                self.pool("MaxPool", (*kernel, *stride, *padding), &x)?
            }
            Layer::AvgPool(AvgPool { kernel, stride, padding }) => {
                self.pool("AveragePool", (*kernel, *stride, *padding), &x)?
            }
            Layer::AdaptiveAvgPool(pool) => self.adaptive_pool(pool, &x)?,
            Layer::GlobalAvgPool => self.global_pool("ReduceMean", x),
            Layer::GlobalMaxPool => self.global_pool("ReduceMax", x),
            Layer::Flatten => self.flatten(x)?,
            Layer::Dropout(_) | Layer::StochasticDepth(_) => x,
            Layer::Tap { name } => {
                reach.insert(name.clone(), x.clone());
                x
            }
            Layer::SelfAttention(attention) => self.self_attention(attention, &x)?,
            Layer::CrossAttention(attention) => {
                let other = reached(reach, &attention.to)?;
                self.cross_attention(attention, &x, &other)?
            }
            Layer::AttentionPool(pool) => self.attention_pool(pool, &x)?,
            Layer::ChannelScale(scale) => {
                let (_, factors) = tensor(self.weights, &scale.name)?;
                let factors = self.by_channel(&scale.name, &x, factors);
                x.mapped(self.graph.node("Mul", &scale.name, &[&x.name, &factors], []))
            }
            Layer::ClassToken(token) => self.class_token(token, &x)?,
            Layer::PositionTable(table) => self.position_table(table, &x)?,
            Layer::FirstToken(_) => {
                let listed = self.graph.listed(&x)?;
                let name = self.graph.pick(&listed, 1, 0);
                GraphValue { name, height: 1, width: 1, layout: ValueLayout::Vector, ..x }
            }
            Layer::SpaceToDepth(blocks) => self.space_to_depth(blocks, &x)?,
            Layer::Project(Projection { name, out, bias }) => {
                let x = if x.layout == ValueLayout::Maps { self.graph.to(&x, ValueLayout::Pixels)? } else { x };
                let found = self.linear(name, *bias, &x.name)?;
                GraphValue { name: found, channels: *out, ..x }
            }
            Layer::Linear(Linear { name, out, bias, .. }) => {
                let x = self.graph.to(&x, ValueLayout::Vector)?;
                let mut inputs = vec![x.name.clone(), self.graph.weight(self.weights, &format!("{name}.weight"))?];
                if *bias {
                    inputs.push(self.graph.weight(self.weights, &format!("{name}.bias"))?);
                }
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                let found = self.graph.node("Gemm", name, &inputs, [attribute("transB", 1)]);
                GraphValue { name: found, channels: out.unwrap_or(self.classes), ..x }
            }
            Layer::Residual { body, shortcut } => {
                let long = self.sequence(body, x.clone(), &mut reach.clone())?;
                let short = self.sequence(shortcut, x, &mut reach.clone())?;
                self.joined(Join::Sum, vec![long, short])?
            }
            Layer::Parallel { join, branches } => {
                let outputs = branches.iter().map(|branch| self.branch(branch, &x, reach));
                let outputs = outputs.collect::<Result<_, _>>()?;
                self.joined(*join, outputs)?
            }
        })
    }

    fn branch(&mut self, branch: &Branch, x: &GraphValue, reach: &ReachableValues) -> Result<GraphValue, StageError> {
        let start = branch.from.as_ref().map_or_else(|| Ok(x.clone()), |from| reached(reach, from))?;
        self.sequence(&branch.layers, start, &mut reach.clone())
    }

    /// Values as one, in the layout of the first.
    fn joined(&mut self, join: Join, values: Vec<GraphValue>) -> Result<GraphValue, StageError> {
        let mut values = values.into_iter();
        let first = values.next().ok_or_else(|| StageError::Bug("a layer without branches".to_owned()))?;
        let others = values.map(|value| self.graph.to(&value, first.layout)).collect::<Result<Vec<_>, _>>()?;
        if others.is_empty() {
            return Ok(first);
        }
        Ok(match join {
            Join::Sum => others.iter().fold(first, |sum, value| {
                let name = self.graph.node("Add", "sum", &[&sum.name, &value.name], []);
                GraphValue { name, ..sum }
            }),
            Join::Concat => {
                let names: Vec<&str> = [&first].into_iter().chain(&others).map(|value| value.name.as_str()).collect();
                let name = self.graph.concat("concat", &names, first.channel_axis());
                let channels = first.channels + others.iter().map(|value| value.channels).sum::<usize>();
                GraphValue { name, channels, ..first }
            }
        })
    }

    fn conv(&mut self, conv: &Conv, x: &GraphValue) -> Result<GraphValue, StageError> {
        let Conv { name, out, kernel, stride, padding, dilation, groups, bias, .. } = conv;
        let x = self.graph.to(x, ValueLayout::Maps)?;
        let mut inputs = vec![x.name.clone(), self.graph.weight(self.weights, &format!("{name}.weight"))?];
        if *bias {
            inputs.push(self.graph.weight(self.weights, &format!("{name}.bias"))?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let twice = |name: &str, value: usize| attributes(name, &[int(value); 2]);
        let given = [
            twice("kernel_shape", *kernel),
            twice("strides", *stride),
            twice("dilations", *dilation),
            attributes("pads", &[int(*padding); 4]),
            attribute("group", int(*groups)),
        ];
        let found = self.graph.node("Conv", name, &inputs, given);
        let side = |side: usize| windows(side, (dilation * (kernel - 1) + 1, *stride, *padding));
        Ok(GraphValue { name: found, height: side(x.height), width: side(x.width), channels: *out, ..x })
    }

    fn batch_norm(&mut self, norm: &BatchNorm, x: &GraphValue) -> Result<GraphValue, StageError> {
        let BatchNorm { name, eps, .. } = norm;
        let ends = ["weight", "bias", "running_mean", "running_var"].map(|end| format!("{name}.{end}"));
        if x.layout == ValueLayout::Maps {
            let tensors = ends.iter().map(|end| self.graph.weight(self.weights, end)).collect::<Result<Vec<_>, _>>()?;
            let inputs: Vec<&str> = [&x.name].into_iter().chain(&tensors).map(String::as_str).collect();
            let given = [real_attribute("epsilon", *eps)];
            return Ok(x.mapped(self.graph.node("BatchNormalization", name, &inputs, given)));
        }
        let [weight, bias, mean, variance] = ends.map(|end| tensor(self.weights, &end).map(|(_, values)| values));
        let (weight, bias, mean, variance) = (weight?, bias?, mean?, variance?);
        let scale: Vec<f64> =
            weight.iter().zip(variance).map(|(w, v)| f64::from(*w) / (f64::from(*v) + eps).sqrt()).collect();
        let shift: Vec<f32> = bias
            .iter()
            .zip(mean)
            .zip(&scale)
            .map(|((b, m), scale)| (f64::from(*b) - f64::from(*m) * scale) as f32)
            .collect();
        let scale: Vec<f32> = scale.into_iter().map(|value| value as f32).collect();
        let scale = self.by_channel(&format!("{name}.scale"), x, &scale);
        let shift = self.by_channel(&format!("{name}.shift"), x, &shift);
        let scaled = self.graph.node("Mul", name, &[&x.name, &scale], []);
        Ok(x.mapped(self.graph.node("Add", name, &[&scaled, &shift], [])))
    }

    fn layer_norm(&mut self, norm: &LayerNorm, x: &GraphValue) -> Result<GraphValue, StageError> {
        let LayerNorm { name, eps } = norm;
        let x = if x.layout == ValueLayout::Maps { self.graph.to(x, ValueLayout::Pixels)? } else { x.clone() };
        let weight = self.graph.weight(self.weights, &format!("{name}.weight"))?;
        let bias = self.graph.weight(self.weights, &format!("{name}.bias"))?;
        let given = [attribute("axis", -1), real_attribute("epsilon", *eps)];
        Ok(x.mapped(self.graph.node("LayerNormalization", name, &[&x.name, &weight, &bias], given)))
    }

    /// Constant with a number for each channel, in a shape that fits the value's layout.
    pub(super) fn by_channel(&mut self, hint: &str, x: &GraphValue, values: &[f32]) -> String {
        match x.layout {
            ValueLayout::Maps => self.graph.floats(hint, &[values.len(), 1, 1], values),
            ValueLayout::Pixels | ValueLayout::Vector => self.graph.floats(hint, &[values.len()], values),
        }
    }

    /// Linear layer on the last dimension.
    pub(super) fn linear(&mut self, name: &str, bias: bool, x: &str) -> Result<String, StageError> {
        let bias = bias.then(|| format!("{name}.bias"));
        self.product(name, &format!("{name}.weight"), bias.as_deref(), x)
    }

    /// Product of the last dimension with a matrix of the network, out x in, plus a bias.
    pub(super) fn product(
        &mut self,
        hint: &str,
        weight: &str,
        bias: Option<&str>,
        x: &str,
    ) -> Result<String, StageError> {
        let weight = self.graph.transposed(self.weights, weight)?;
        let found = self.graph.node("MatMul", hint, &[x, &weight], []);
        let Some(bias) = bias else { return Ok(found) };
        let bias = self.graph.weight(self.weights, bias)?;
        Ok(self.graph.node("Add", hint, &[&found, &bias], []))
    }

    fn gelu(&mut self, x: &GraphValue) -> GraphValue {
        let (root, one, half) =
            (self.graph.float(std::f32::consts::SQRT_2), self.graph.float(1.0), self.graph.float(0.5));
        let scaled = self.graph.node("Div", "gelu", &[&x.name, &root], []);
        let erf = self.graph.node("Erf", "gelu", &[&scaled], []);
        let phi = self.graph.node("Add", "gelu", &[&erf, &one], []);
        let product = self.graph.node("Mul", "gelu", &[&x.name, &phi], []);
        x.mapped(self.graph.node("Mul", "gelu", &[&product, &half], []))
    }

    fn l2_norm(&mut self, x: &GraphValue) -> GraphValue {
        let given = [attributes("axes", &[x.channel_axis()]), attribute("keepdims", 1)];
        let norm = self.graph.node("ReduceL2", "norm", &[&x.name], given);
        let least = self.graph.float(1e-12);
        let norm = self.graph.node("Max", "norm", &[&norm, &least], []);
        x.mapped(self.graph.node("Div", "l2-norm", &[&x.name, &norm], []))
    }

    pub(super) fn pool(
        &mut self,
        op: &str,
        (kernel, stride, padding): (usize, usize, usize),
        x: &GraphValue,
    ) -> Result<GraphValue, StageError> {
        let x = self.graph.to(x, ValueLayout::Maps)?;
        let mut given = vec![
            attributes("kernel_shape", &[int(kernel); 2]),
            attributes("strides", &[int(stride); 2]),
            attributes("pads", &[int(padding); 4]),
        ];
        if op == "AveragePool" {
            given.push(attribute("count_include_pad", 1));
        }
        let name = self.graph.node(op, "pool", &[&x.name], given);
        let side = |side: usize| windows(side, (kernel, stride, padding));
        Ok(GraphValue { name, height: side(x.height), width: side(x.width), ..x })
    }

    /// Means of parts as products with a matrix per side.
    fn adaptive_pool(&mut self, pool: &AdaptiveAvgPool, x: &GraphValue) -> Result<GraphValue, StageError> {
        let x = self.graph.to(x, ValueLayout::Maps)?;
        let side = pool.side;
        let rows = parts(x.height, side);
        let columns = parts(x.width, side);
        let across: Vec<f32> = (0..x.width).flat_map(|from| columns.iter().map(move |row| row[from])).collect();
        let rows = self.graph.floats("parts", &[side, x.height], &rows.concat());
        let columns = self.graph.floats("parts", &[x.width, side], &across);
        let narrow = self.graph.node("MatMul", "pool", &[&x.name, &columns], []);
        let name = self.graph.node("MatMul", "pool", &[&rows, &narrow], []);
        Ok(GraphValue { name, height: side, width: side, ..x })
    }

    fn global_pool(&mut self, op: &str, x: GraphValue) -> GraphValue {
        let axes = match x.layout {
            ValueLayout::Maps => [2, 3],
            ValueLayout::Pixels => [1, 2],
            ValueLayout::Vector => return x,
        };
        let given = [attributes("axes", &axes), attribute("keepdims", 0)];
        let name = self.graph.node(op, "pool", &[&x.name], given);
        GraphValue { name, height: 1, width: 1, layout: ValueLayout::Vector, ..x }
    }

    fn flatten(&mut self, x: GraphValue) -> Result<GraphValue, StageError> {
        if x.layout == ValueLayout::Vector {
            return Ok(x);
        }
        let x = self.graph.to(&x, ValueLayout::Maps)?;
        let channels = x.pixels() * x.channels;
        let name = self.graph.reshape(&x.name, &[0, int(channels)]);
        Ok(GraphValue { name, height: 1, width: 1, channels, layout: ValueLayout::Vector })
    }

    fn space_to_depth(&mut self, blocks: &SpaceToDepth, x: &GraphValue) -> Result<GraphValue, StageError> {
        let side = blocks.side;
        let (rows, columns) = (x.height.div_ceil(side), x.width.div_ceil(side));
        let padded = self.padded(x, rows * side, columns * side)?;
        let split = [0, int(rows), int(side), int(columns), int(side), int(x.channels)];
        let split = self.graph.reshape(&padded.name, &split);
        // Within a block, pixels follow each other column by column.
        let turned = self.graph.transpose(&split, &[0, 1, 3, 4, 2, 5]);
        let channels = x.channels * side * side;
        let name = self.graph.reshape(&turned, &[0, int(rows), int(columns), int(channels)]);
        Ok(GraphValue { name, height: rows, width: columns, channels, layout: ValueLayout::Pixels })
    }

    /// Pixels with zeros below and to the right.
    pub(super) fn padded(&mut self, x: &GraphValue, height: usize, width: usize) -> Result<GraphValue, StageError> {
        let x = self.graph.to(x, ValueLayout::Pixels)?;
        if (height, width) == (x.height, x.width) {
            return Ok(x);
        }
        let pads = self.graph.ints(&[0, 0, 0, 0, 0, int(height - x.height), int(width - x.width), 0]);
        let name = self.graph.node("Pad", "pad", &[&x.name, &pads], []);
        Ok(GraphValue { name, height, width, ..x })
    }
}

/// Input or tap with a name.
fn reached(reach: &ReachableValues, name: &str) -> Result<GraphValue, StageError> {
    reach.get(name).cloned().ok_or_else(|| StageError::Bug(format!("the network reads the unknown input `{name}`")))
}

/// Rows or columns of windows with the given reach, stride and padding.
const fn windows(side: usize, (reach, stride, padding): (usize, usize, usize)) -> usize {
    (side + 2 * padding - reach) / stride + 1
}

/// Weights of the `side` values in the means of `parts` parts, as torch divides them.
fn parts(side: usize, parts: usize) -> Vec<Vec<f32>> {
    let range = |part: usize| (part * side / parts)..((part + 1) * side).div_ceil(parts);
    let weights = |part: usize| {
        let range = range(part);
        let weight = 1.0 / range.len() as f32;
        (0..side).map(|at| if range.contains(&at) { weight } else { 0.0 }).collect()
    };
    (0..parts).map(weights).collect()
}
