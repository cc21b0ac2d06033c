//! Walks a network's layers to find shapes, costs and misfits. Goes on after a misfit.

use std::collections::BTreeSet;

use super::{LayerShape, Misfit, TensorShape, product};
use crate::lang::network::{Join, Layer, NetworkSpec};

/// Whether the patch size is known.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sides {
    /// It is.
    Known,
    /// It is an example: misfits that depend on it are not reported.
    Example,
}

/// A shape, and whether it is the same for patches of any size.
#[derive(Clone, Copy)]
struct Flow {
    shape: TensorShape,
    fixed: bool,
}

pub(super) struct ShapeWalk<'a> {
    pub(super) rows: Vec<LayerShape>,
    pub(super) misfits: Vec<Misfit>,
    classes: usize,
    sides: Sides,
    unreadable: &'a BTreeSet<usize>,
}

impl<'a> ShapeWalk<'a> {
    pub(super) fn new(classes: usize, sides: Sides, unreadable: &'a BTreeSet<usize>) -> Self {
        Self { rows: Vec::new(), misfits: Vec::new(), classes, sides, unreadable }
    }

    pub(super) fn network(&mut self, network: &NetworkSpec, side: usize) {
        let pixels = TensorShape::Map { channels: 3, height: side, width: side };
        // The row of the last layer.
        let mut starts = 0;
        let mut flow = Some(Flow { shape: pixels, fixed: self.sides == Sides::Known });
        for layer in &network.layers {
            starts = self.rows.len();
            flow = self.layer(layer, flow, 0);
        }
        match network.layers.last() {
            Some(Layer::Linear { out: None, .. }) => {}
            Some(_) if self.unreadable.contains(&starts) => {}
            Some(_) => {
                let gives = flow.map_or("other features".to_owned(), |flow| flow.shape.to_string());
                let message = format!("the last layer outputs {gives}, not one logit per class");
                let name = match network.layers.last() {
                    Some(Layer::Linear { name, .. }) => name,
                    _ => "fc",
                };
                let hint = format!("end with `linear {name}`; without `out` it outputs one logit per class");
                self.misfits.push(Misfit { layer: starts, message, hint });
            }
            None => self.misfits.push(Misfit {
                layer: 0,
                message: "the network has no layers".to_owned(),
                hint: "`macula doc shallow-cnn` shows a network".to_owned(),
            }),
        }
    }

    fn layers(&mut self, layers: &[Layer], input: Option<Flow>, depth: usize) -> Option<Flow> {
        layers.iter().fold(input, |flow, layer| self.layer(layer, flow, depth))
    }

    fn push(&mut self, kind: &'static str, name: &str, depth: usize) -> usize {
        let out = TensorShape::Vector { features: 0 };
        let name = name.to_owned();
        self.rows.push(LayerShape { kind, name, depth, out, parameters: 0, multiply_adds: 0 });
        self.rows.len() - 1
    }

    fn misfit(&mut self, layer: usize, message: String, hint: impl Into<String>) {
        self.misfits.push(Misfit { layer, message, hint: hint.into() });
    }

    /// The output of a layer; [`None`] if it is unknown because of a misfit that was reported.
    fn layer(&mut self, layer: &Layer, input: Option<Flow>, depth: usize) -> Option<Flow> {
        let at = self.push(kind(layer), name(layer), depth);
        let gives = match layer {
            Layer::Residual { body, shortcut } => self.residual(at, body, shortcut, input, depth),
            Layer::Parallel { join, branches } => self.parallel(*join, branches, input, depth),
            _ => input.and_then(|input| self.plain(at, layer, input)),
        };
        let gives = gives.or_else(|| self.anyway(layer)).filter(|_| !self.unreadable.contains(&at));
        if let Some(gives) = gives {
            self.rows[at].out = gives.shape;
        }
        gives
    }

    /// The output of a layer whatever its input.
    fn anyway(&self, layer: &Layer) -> Option<Flow> {
        match layer {
            Layer::Linear { out, .. } => {
                Some(Flow { shape: TensorShape::Vector { features: out.unwrap_or(self.classes) }, fixed: true })
            }
            _ => None,
        }
    }

    fn plain(&mut self, at: usize, layer: &Layer, input: Flow) -> Option<Flow> {
        let Flow { shape, fixed } = input;
        let gives = |shape| Some(Flow { shape, fixed });
        match layer {
            Layer::Conv { out, kernel, stride, padding, dilation, groups, bias, expects, .. } => {
                let (channels, ..) = self.map(at, layer, shape)?;
                if let Some(expected) = expects.filter(|&expected| expected != channels) {
                    let message = format!("{} expects {expected} channels, but gets {shape}", title(layer));
                    self.misfit(at, message, format!("write `in={channels}`, or change the layer before it"));
                }
                if channels % groups != 0 || out % groups != 0 {
                    let message = format!(
                        "{} has {groups} groups, which do not divide {channels} input and {out} output channels",
                        title(layer)
                    );
                    self.misfit(at, message, "input and output channels must be multiples of `groups`");
                }
                let reach = dilation * (kernel - 1) + 1;
                let (height, width) = self.windowed(at, layer, shape, (reach, *stride, *padding))?;
                let weights = product(&[*out, channels / groups, *kernel, *kernel]);
                self.rows[at].parameters = weights + if *bias { *out as u64 } else { 0 };
                self.rows[at].multiply_adds = weights.saturating_mul(product(&[height, width]));
                gives(TensorShape::Map { channels: *out, height, width })
            }
            Layer::BatchNorm { .. } => {
                let (TensorShape::Map { channels: features, .. } | TensorShape::Vector { features }) = shape;
                self.rows[at].parameters = 2 * features as u64;
                Some(input)
            }
            Layer::MaxPool { kernel, stride, padding } | Layer::AvgPool { kernel, stride, padding } => {
                let (channels, ..) = self.map(at, layer, shape)?;
                let (height, width) = self.windowed(at, layer, shape, (*kernel, *stride, *padding))?;
                gives(TensorShape::Map { channels, height, width })
            }
            Layer::AdaptiveAvgPool { side } => {
                let (channels, ..) = self.map(at, layer, shape)?;
                Some(Flow { shape: TensorShape::Map { channels, height: *side, width: *side }, fixed: true })
            }
            Layer::GlobalAvgPool | Layer::GlobalMaxPool => {
                let (features, ..) = self.map(at, layer, shape)?;
                Some(Flow { shape: TensorShape::Vector { features }, fixed: true })
            }
            Layer::Flatten => match shape {
                // The number of features depends on the patch size.
                TensorShape::Map { .. } if !fixed => None,
                TensorShape::Map { .. } => {
                    let features = usize::try_from(shape.entries()).unwrap_or(usize::MAX);
                    gives(TensorShape::Vector { features })
                }
                TensorShape::Vector { .. } => Some(input),
            },
            Layer::Linear { out, bias, expects, .. } => {
                let expected = expects.map_or("features".to_owned(), |features| features.to_string());
                let features = match shape {
                    TensorShape::Vector { features } => features,
                    TensorShape::Map { channels, .. } => {
                        let message = format!("{} expects {expected}, but gets {shape}", title(layer));
                        let all = shape.entries();
                        let flat =
                            if fixed { format!(", or `flatten` for {all}") } else { ", or `flatten`".to_owned() };
                        self.misfit(at, message, format!("put `global-avg-pool` before it for {channels}{flat}"));
                        return None;
                    }
                };
                if expects.is_some_and(|expected| expected != features) {
                    let message = format!("{} expects {expected}, but gets {features}", title(layer));
                    self.misfit(at, message, format!("write `in={features}`, or change the layer before it"));
                }
                let out = out.unwrap_or(self.classes);
                let weights = product(&[features, out]);
                self.rows[at].multiply_adds = weights;
                self.rows[at].parameters = weights + if *bias { out as u64 } else { 0 };
                Some(Flow { shape: TensorShape::Vector { features: out }, fixed: true })
            }
            _ => Some(input),
        }
    }

    fn map(&mut self, at: usize, layer: &Layer, shape: TensorShape) -> Option<(usize, usize, usize)> {
        match shape {
            TensorShape::Map { channels, height, width } => Some((channels, height, width)),
            TensorShape::Vector { features } => {
                let message =
                    format!("{} expects channels x height x width, but gets {features} features", title(layer));
                self.misfit(at, message, "put it before `flatten`, `linear` and global pooling");
                None
            }
        }
    }

    /// Output rows and columns for a window with the given reach, stride and padding.
    fn windowed(
        &mut self,
        at: usize,
        layer: &Layer,
        shape: TensorShape,
        (reach, stride, padding): (usize, usize, usize),
    ) -> Option<(usize, usize)> {
        let TensorShape::Map { height, width, .. } = shape else { return None };
        if height.min(width) + 2 * padding < reach {
            let padded = if padding > 0 { format!(" with {padding} px of padding") } else { String::new() };
            let message = format!("{} has a window of {reach} px, but gets {shape}{padded}", title(layer));
            self.misfit(at, message, "use larger patches, or less pooling before it");
            return None;
        }
        let along = |side: usize| (side + 2 * padding - reach) / stride + 1;
        Some((along(height), along(width)))
    }

    fn residual(
        &mut self,
        at: usize,
        body: &[Layer],
        shortcut: &[Layer],
        input: Option<Flow>,
        depth: usize,
    ) -> Option<Flow> {
        let long = self.layers(body, input, depth + 1);
        let short = if shortcut.is_empty() {
            input
        } else {
            let row = self.push("shortcut", "", depth + 1);
            let short = self.layers(shortcut, input, depth + 2);
            if let Some(short) = short {
                self.rows[row].out = short.shape;
            }
            short
        };
        let (long, short) = (long?, short?);
        if long.shape == short.shape {
            return Some(Flow { fixed: long.fixed && short.fixed, ..long });
        }
        let message = format!("the body of `residual` outputs {}, its shortcut {}", long.shape, short.shape);
        let stride = match (input?.shape, long.shape) {
            (TensorShape::Map { height: from, .. }, TensorShape::Map { height: to, .. })
                if to > 0 && from.div_ceil(to) > 1 =>
            {
                format!(" stride={}", from.div_ceil(to))
            }
            _ => String::new(),
        };
        let hint = match long.shape {
            TensorShape::Map { channels, .. } => {
                format!(
                    "both must have the same shape, for example with `shortcut {{ conv NAME out={channels} kernel=1{stride} bias=#false; batch-norm NAME }}`"
                )
            }
            TensorShape::Vector { features } => {
                format!("both must have the same shape, for example with `shortcut {{ linear NAME out={features} }}`")
            }
        };
        self.misfit(at, message, hint);
        None
    }

    fn parallel(&mut self, join: Join, branches: &[Vec<Layer>], input: Option<Flow>, depth: usize) -> Option<Flow> {
        let mut ends = Vec::with_capacity(branches.len());
        for branch in branches {
            let row = self.push("branch", "", depth + 1);
            let end = self.layers(branch, input, depth + 2);
            if let Some(end) = end {
                self.rows[row].out = end.shape;
            }
            ends.push((row, end));
        }
        // Branches with known output are compared with the first of them, whatever the others are.
        let mut known = ends.iter().filter_map(|(row, end)| end.map(|end| (*row, end)));
        let (_, first) = known.next()?;
        let (mut sum, mut fits) = (first, true);
        for (row, end) in known {
            sum.fixed &= end.fixed;
            let joined = match (join, sum.shape, end.shape) {
                (Join::Sum, one, other) => (one == other).then_some(one),
                (
                    Join::Concat,
                    TensorShape::Map { channels, height, width },
                    TensorShape::Map { channels: more, height: rows, width: columns },
                ) => ((height, width) == (rows, columns)).then_some(TensorShape::Map {
                    channels: channels.saturating_add(more),
                    height,
                    width,
                }),
                (Join::Concat, TensorShape::Vector { features }, TensorShape::Vector { features: more }) => {
                    Some(TensorShape::Vector { features: features.saturating_add(more) })
                }
                _ => None,
            };
            if let Some(shape) = joined {
                sum.shape = shape;
                continue;
            }
            fits = false;
            let message = format!("this branch of `parallel` outputs {}, the first one {}", end.shape, first.shape);
            let hint = match join {
                Join::Concat => "`join=concat` needs the same rows and columns: strides and padding must agree",
                Join::Sum => "`join=sum` needs the same shape: channels, strides and padding must agree",
            };
            self.misfit(row, message, hint);
        }
        (fits && ends.iter().all(|(_, end)| end.is_some())).then_some(sum)
    }
}

/// A layer's type as written.
fn kind(layer: &Layer) -> &'static str {
    match layer {
        Layer::Conv { .. } => "conv",
        Layer::BatchNorm { .. } => "batch-norm",
        Layer::Relu => "relu",
        Layer::Relu6 => "relu6",
        Layer::Gelu => "gelu",
        Layer::Silu => "silu",
        Layer::MaxPool { .. } => "max-pool",
        Layer::AvgPool { .. } => "avg-pool",
        Layer::AdaptiveAvgPool { .. } => "adaptive-avg-pool",
        Layer::GlobalAvgPool => "global-avg-pool",
        Layer::GlobalMaxPool => "global-max-pool",
        Layer::Flatten => "flatten",
        Layer::Dropout { .. } => "dropout",
        Layer::Linear { .. } => "linear",
        Layer::Residual { .. } => "residual",
        Layer::Parallel { .. } => "parallel",
    }
}

fn name(layer: &Layer) -> &str {
    match layer {
        Layer::Conv { name, .. } | Layer::BatchNorm { name, .. } | Layer::Linear { name, .. } => name,
        _ => "",
    }
}

fn title(layer: &Layer) -> String {
    match name(layer) {
        "" => format!("`{}`", kind(layer)),
        name => format!("`{} {name}`", kind(layer)),
    }
}
