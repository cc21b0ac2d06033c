//! The walk over a network's layers that finds shapes, costs, and what does not fit. Goes on after what does not fit.

use std::collections::BTreeSet;

use super::{LayerShape, Misfit, Shape, product};
use crate::lang::network::{Join, Layer, NetworkSpec};

/// Whether the side of the patches is known.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sides {
    /// It is.
    Known,
    /// It is an example: what depends on it is not told.
    Example,
}

/// A shape, and whether it holds for patches of any size.
#[derive(Clone, Copy)]
struct Flow {
    shape: Shape,
    fixed: bool,
}

pub(super) struct Walk<'a> {
    pub(super) rows: Vec<LayerShape>,
    pub(super) misfits: Vec<Misfit>,
    classes: usize,
    sides: Sides,
    unreadable: &'a BTreeSet<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(classes: usize, sides: Sides, unreadable: &'a BTreeSet<usize>) -> Self {
        Self { rows: Vec::new(), misfits: Vec::new(), classes, sides, unreadable }
    }

    pub(super) fn network(&mut self, network: &NetworkSpec, side: usize) {
        let pixels = Shape::Map { channels: 3, height: side, width: side };
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
                let message = format!("the last layer gives {gives}, not one logit per class");
                let name = match network.layers.last() {
                    Some(Layer::Linear { name, .. }) => name,
                    _ => "fc",
                };
                let hint = format!("end with `linear {name}`: without `out` it gives one logit per class");
                self.misfits.push(Misfit { layer: starts, message, hint });
            }
            None => self.misfits.push(Misfit {
                layer: 0,
                message: "there are no layers".to_owned(),
                hint: "`macula doc shallow-cnn` shows a network".to_owned(),
            }),
        }
    }

    fn layers(&mut self, layers: &[Layer], input: Option<Flow>, depth: usize) -> Option<Flow> {
        layers.iter().fold(input, |flow, layer| self.layer(layer, flow, depth))
    }

    fn push(&mut self, kind: &'static str, name: &str, depth: usize) -> usize {
        let out = Shape::Vector { features: 0 };
        let name = name.to_owned();
        self.rows.push(LayerShape { kind, name, depth, out, parameters: 0, multiply_adds: 0 });
        self.rows.len() - 1
    }

    fn misfit(&mut self, layer: usize, message: String, hint: impl Into<String>) {
        self.misfits.push(Misfit { layer, message, hint: hint.into() });
    }

    /// What a layer gives; none where that can't be known, which was told.
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

    /// What a layer gives whatever it gets.
    fn anyway(&self, layer: &Layer) -> Option<Flow> {
        match layer {
            Layer::Linear { out, .. } => {
                Some(Flow { shape: Shape::Vector { features: out.unwrap_or(self.classes) }, fixed: true })
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
                    let message = format!("{} expects {expected} channels, gets {shape}", title(layer));
                    self.misfit(at, message, format!("write `in={channels}`, or change what stands before it"));
                }
                if channels % groups != 0 || out % groups != 0 {
                    let message = format!(
                        "{} has {groups} groups, which do not divide {channels} in and {out} out",
                        title(layer)
                    );
                    self.misfit(at, message, "channels in and out must be multiples of `groups`");
                }
                let reach = dilation * (kernel - 1) + 1;
                let (height, width) = self.windowed(at, layer, shape, (reach, *stride, *padding))?;
                let weights = product(&[*out, channels / groups, *kernel, *kernel]);
                self.rows[at].parameters = weights + if *bias { *out as u64 } else { 0 };
                self.rows[at].multiply_adds = weights.saturating_mul(product(&[height, width]));
                gives(Shape::Map { channels: *out, height, width })
            }
            Layer::BatchNorm { .. } => {
                let (Shape::Map { channels: features, .. } | Shape::Vector { features }) = shape;
                self.rows[at].parameters = 2 * features as u64;
                Some(input)
            }
            Layer::MaxPool { kernel, stride, padding } | Layer::AvgPool { kernel, stride, padding } => {
                let (channels, ..) = self.map(at, layer, shape)?;
                let (height, width) = self.windowed(at, layer, shape, (*kernel, *stride, *padding))?;
                gives(Shape::Map { channels, height, width })
            }
            Layer::AdaptiveAvgPool { side } => {
                let (channels, ..) = self.map(at, layer, shape)?;
                Some(Flow { shape: Shape::Map { channels, height: *side, width: *side }, fixed: true })
            }
            Layer::GlobalAvgPool | Layer::GlobalMaxPool => {
                let (features, ..) = self.map(at, layer, shape)?;
                Some(Flow { shape: Shape::Vector { features }, fixed: true })
            }
            Layer::Flatten => match shape {
                // How many features follow depends on the patches.
                Shape::Map { .. } if !fixed => None,
                Shape::Map { .. } => {
                    let features = usize::try_from(shape.entries()).unwrap_or(usize::MAX);
                    gives(Shape::Vector { features })
                }
                Shape::Vector { .. } => Some(input),
            },
            Layer::Linear { out, bias, expects, .. } => {
                let expected = expects.map_or("features".to_owned(), |features| features.to_string());
                let features = match shape {
                    Shape::Vector { features } => features,
                    Shape::Map { channels, .. } => {
                        let message = format!("{} expects {expected}, gets {shape}", title(layer));
                        let all = shape.entries();
                        let flat = if fixed { format!(", `flatten` {all}") } else { ", `flatten` all".to_owned() };
                        self.misfit(at, message, format!("before it, `global-avg-pool` gives {channels}{flat}"));
                        return None;
                    }
                };
                if expects.is_some_and(|expected| expected != features) {
                    let message = format!("{} expects {expected}, gets {features}", title(layer));
                    self.misfit(at, message, format!("write `in={features}`, or change what stands before it"));
                }
                let out = out.unwrap_or(self.classes);
                let weights = product(&[features, out]);
                self.rows[at].multiply_adds = weights;
                self.rows[at].parameters = weights + if *bias { out as u64 } else { 0 };
                Some(Flow { shape: Shape::Vector { features: out }, fixed: true })
            }
            _ => Some(input),
        }
    }

    fn map(&mut self, at: usize, layer: &Layer, shape: Shape) -> Option<(usize, usize, usize)> {
        match shape {
            Shape::Map { channels, height, width } => Some((channels, height, width)),
            Shape::Vector { features } => {
                let message = format!("{} expects channels x height x width, gets {features} features", title(layer));
                self.misfit(at, message, "put it before `flatten`, `linear` and the global pools");
                None
            }
        }
    }

    /// Rows and columns that a window of that reach, stride and padding gives.
    fn windowed(
        &mut self,
        at: usize,
        layer: &Layer,
        shape: Shape,
        (reach, stride, padding): (usize, usize, usize),
    ) -> Option<(usize, usize)> {
        let Shape::Map { height, width, .. } = shape else { return None };
        if height.min(width) + 2 * padding < reach {
            let padded = if padding > 0 { format!(" with {padding} px of padding") } else { String::new() };
            let message = format!("{} has a window of {reach} px, gets {shape}{padded}", title(layer));
            self.misfit(at, message, "give larger patches, or pool less before it");
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
        let message = format!("the body of `residual` gives {}, its shortcut {}", long.shape, short.shape);
        let stride = match (input?.shape, long.shape) {
            (Shape::Map { height: from, .. }, Shape::Map { height: to, .. }) if to > 0 && from.div_ceil(to) > 1 => {
                format!(" stride={}", from.div_ceil(to))
            }
            _ => String::new(),
        };
        let hint = match long.shape {
            Shape::Map { channels, .. } => {
                format!(
                    "both must agree: `shortcut {{ conv NAME out={channels} kernel=1{stride} bias=#false; batch-norm NAME }}` may do it"
                )
            }
            Shape::Vector { features } => {
                format!("both must agree: `shortcut {{ linear NAME out={features} }}` does it")
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
        // Branches that are known are compared with the first of them, whatever becomes of the others.
        let mut known = ends.iter().filter_map(|(row, end)| end.map(|end| (*row, end)));
        let (_, first) = known.next()?;
        let (mut sum, mut fits) = (first, true);
        for (row, end) in known {
            sum.fixed &= end.fixed;
            let joined = match (join, sum.shape, end.shape) {
                (Join::Sum, one, other) => (one == other).then_some(one),
                (
                    Join::Concat,
                    Shape::Map { channels, height, width },
                    Shape::Map { channels: more, height: rows, width: columns },
                ) => ((height, width) == (rows, columns)).then_some(Shape::Map {
                    channels: channels.saturating_add(more),
                    height,
                    width,
                }),
                (Join::Concat, Shape::Vector { features }, Shape::Vector { features: more }) => {
                    Some(Shape::Vector { features: features.saturating_add(more) })
                }
                _ => None,
            };
            if let Some(shape) = joined {
                sum.shape = shape;
                continue;
            }
            fits = false;
            let message = format!("this branch of `parallel` gives {}, the first {}", end.shape, first.shape);
            let hint = match join {
                Join::Concat => "`join=concat` needs the same rows and columns: strides and padding must agree",
                Join::Sum => "`join=sum` needs the same shape: channels, strides and padding must agree",
            };
            self.misfit(row, message, hint);
        }
        (fits && ends.iter().all(|(_, end)| end.is_some())).then_some(sum)
    }
}

/// A layer's kind as it is written.
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
