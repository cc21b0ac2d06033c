//! Walks a network's layers to find shapes, costs and misfits. Goes on after a misfit.

use std::collections::{BTreeMap, BTreeSet};

use super::{LayerShape, Misfit};
use crate::lang::network::shape::{Findings, Flow, SharedTensors};
use crate::lang::network::{
    Auxiliary, Branch, InputKind, Join, Layer, LayerPart, Linear, NetworkSpec, Operation, TensorShape, residual,
};

/// Whether the patch size is known.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sides {
    /// It is.
    Known,
    /// It is an example: misfits that depend on it are not reported.
    Example,
}

pub(super) struct ShapeWalk<'a> {
    pub(super) rows: Vec<LayerShape>,
    pub(super) misfits: Vec<Misfit>,
    classes: usize,
    sides: Sides,
    unreadable: &'a BTreeSet<usize>,
    /// Side of the patches, px.
    side: usize,
    /// Taps that are in reach, the innermost last; without a shape after a misfit.
    taps: Vec<(String, Option<Flow>)>,
    /// Tensors by their prefix, for layers that share them.
    tensors: BTreeMap<String, SharedTensors>,
    /// Whether the layers are in a branch that shares.
    sharing: bool,
}

impl<'a> ShapeWalk<'a> {
    pub(super) fn new(classes: usize, sides: Sides, unreadable: &'a BTreeSet<usize>) -> Self {
        let (rows, misfits, taps) = (Vec::new(), Vec::new(), Vec::new());
        Self { rows, misfits, classes, sides, unreadable, side: 0, taps, tensors: BTreeMap::new(), sharing: false }
    }

    pub(super) fn network(&mut self, network: &NetworkSpec, side: usize) {
        let (starts, flow) = self.walk_through(network, side);
        match network.layers.last() {
            Some(Layer::Linear(Linear { out: None, .. })) => {}
            Some(_) if self.unreadable.contains(&starts) => {}
            Some(last) if ends_behind_logits(&network.layers) => {
                let name = match last.part() {
                    LayerPart::One(operation) => operation.words().name,
                    _ => "residual",
                };
                let message = format!("the network ends in `{name}`, not in logits");
                let hint = match last {
                    Layer::Sigmoid => "remove it: losses, thresholds and scores use logits",
                    _ => "remove it, or put it before the last `linear`",
                };
                self.misfits.push(Misfit { layer: starts, message, hint: hint.to_owned() });
            }
            Some(_) => {
                let gives = flow.map_or("other features".to_owned(), |flow| flow.shape.to_string());
                let message = format!("the last layer outputs {gives}, not one logit per class");
                let name = match network.layers.last() {
                    Some(Layer::Linear(Linear { name, .. })) => name,
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
        network.auxiliary.iter().for_each(|output| self.auxiliary(output));
    }

    /// An auxiliary output, which ends in logits as the network does.
    fn auxiliary(&mut self, output: &Auxiliary) {
        let row = self.push("auxiliary", &output.name, 0);
        let start = output.branch.from.as_deref().and_then(|from| {
            from.clone_into(&mut self.rows[row].point);
            self.start(row, from)
        });
        let end = self.inner(&output.branch.layers, start, 1);
        if let Some(end) = end {
            self.rows[row].out = end.shape;
        }
        let is_logits = matches!(output.branch.layers.last(), Some(Layer::Linear(Linear { out: None, .. })));
        if !is_logits && !self.unreadable.contains(&(self.rows.len() - 1)) {
            let message = format!("auxiliary output `{}` does not end in one logit per class", output.name);
            self.misfit(row, message, "end it with `linear fc`; without `out` it outputs one logit per class");
        }
    }

    /// Walks over the layers. Returns the row of the last one, and its output.
    pub(super) fn walk_through(&mut self, network: &NetworkSpec, side: usize) -> (usize, Option<Flow>) {
        self.side = side;
        let mut starts = 0;
        let mut flow = Some(self.pixels(side));
        for layer in &network.layers {
            starts = self.rows.len();
            flow = self.layer(layer, flow, 0);
        }
        (starts, flow)
    }

    /// Pixels of that side.
    fn pixels(&self, side: usize) -> Flow {
        let shape = TensorShape::Map { channels: 3, height: side, width: side };
        Flow { shape, fixed: self.sides == Sides::Known }
    }

    /// The value at which a branch starts that is in the row `at`.
    fn start(&mut self, at: usize, from: &str) -> Option<Flow> {
        match InputKind::named(from) {
            Some(InputKind::Half) if self.side < 2 => {
                let message = "`half` is a mean over 2 x 2 pixels, but the patch has only one".to_owned();
                self.misfit(at, message, "use larger patches");
                None
            }
            Some(InputKind::Half) => Some(self.pixels(self.side / 2)),
            Some(InputKind::Wide) if !self.side.is_multiple_of(2) && self.sides == Sides::Known => {
                let message = format!("`wide` needs patches with an even side, not {} px", self.side);
                self.misfit(at, message, "extract patches of an even `size`");
                None
            }
            Some(InputKind::Patch | InputKind::Wide) => Some(self.pixels(self.side)),
            None => self.taps.iter().rfind(|(name, _)| name == from).and_then(|(_, flow)| *flow),
        }
    }

    /// The layers of a branch, whose taps end with it.
    fn inner(&mut self, layers: &[Layer], input: Option<Flow>, depth: usize) -> Option<Flow> {
        let taps = self.taps.len();
        let end = self.layers(layers, input, depth);
        self.taps.truncate(taps);
        end
    }

    fn layers(&mut self, layers: &[Layer], input: Option<Flow>, depth: usize) -> Option<Flow> {
        layers.iter().fold(input, |flow, layer| self.layer(layer, flow, depth))
    }

    fn push(&mut self, kind: &'static str, name: &str, depth: usize) -> usize {
        let out = TensorShape::Vector { features: 0 };
        let (name, point) = (name.to_owned(), String::new());
        self.rows.push(LayerShape { kind, name, point, depth, out, parameters: 0, multiply_adds: 0 });
        self.rows.len() - 1
    }

    fn misfit(&mut self, layer: usize, message: String, hint: impl Into<String>) {
        self.misfits.push(Misfit { layer, message, hint: hint.into() });
    }

    /// The output of a layer; [`None`] if it is unknown because of a misfit that was reported.
    fn layer(&mut self, layer: &Layer, input: Option<Flow>, depth: usize) -> Option<Flow> {
        let part = layer.part();
        let at = match &part {
            LayerPart::One(operation) => self.push(operation.words().name, operation.name(), depth),
            LayerPart::Residual(..) => self.push("residual", "", depth),
            LayerPart::Parallel(..) => self.push("parallel", "", depth),
            LayerPart::Tap(_) => self.push("tap", "", depth),
        };
        let gives = match part {
            LayerPart::One(operation) => {
                input.and_then(|input| self.operation(at, operation, input)).or_else(|| operation.anyway(self.classes))
            }
            LayerPart::Residual(body, shortcut) => self.residual(at, body, shortcut, input, depth),
            LayerPart::Parallel(join, branches) => self.parallel(join, branches, input, depth),
            LayerPart::Tap(name) => {
                name.clone_into(&mut self.rows[at].point);
                self.taps.push((name.to_owned(), input));
                input
            }
        };
        let gives = gives.filter(|_| !self.unreadable.contains(&at));
        if let Some(gives) = gives {
            self.rows[at].out = gives.shape;
        }
        gives
    }

    fn operation(&mut self, at: usize, operation: &dyn Operation, input: Flow) -> Option<Flow> {
        let (kind, name) = (operation.words().name, operation.name());
        let title = if name.is_empty() { format!("`{kind}`") } else { format!("`{kind} {name}`") };
        let (misfits, tensors) = (Vec::new(), SharedTensors::default());
        let mut found = Findings { title, classes: self.classes, parameters: 0, multiply_adds: 0, tensors, misfits };
        let other = operation.reads().and_then(|from| {
            from.clone_into(&mut self.rows[at].point);
            self.start(at, from)
        });
        let gives = operation.shape_with(input, other, &mut found);
        self.shared(name, &mut found);
        let row = &mut self.rows[at];
        (row.parameters, row.multiply_adds) = (found.parameters, found.multiply_adds);
        for (message, hint) in found.misfits {
            self.misfit(at, message, hint);
        }
        gives
    }

    /// Compares the tensors of a layer with those of the same name of an earlier one, which count once.
    fn shared(&mut self, name: &str, found: &mut Findings) {
        if found.tensors.weight.is_empty() {
            return;
        }
        let Some(first) = self.tensors.get(name).filter(|_| self.sharing) else {
            self.tensors.insert(name.to_owned(), found.tensors.clone());
            return;
        };
        found.parameters = 0;
        if *first != found.tensors {
            let message = format!(
                "{} shares its tensors with an earlier layer, but its own are {}, those {first}",
                found.title, found.tensors
            );
            let hint = "layers that share tensors must be alike and get as many channels; or name the branch, so that it has its own";
            found.misfits.push((message, hint.to_owned()));
        }
    }

    fn residual(
        &mut self,
        at: usize,
        body: &[Layer],
        shortcut: &[Layer],
        input: Option<Flow>,
        depth: usize,
    ) -> Option<Flow> {
        let long = self.inner(body, input, depth + 1);
        let short = if shortcut.is_empty() {
            input
        } else {
            let row = self.push("shortcut", "", depth + 1);
            let short = self.inner(shortcut, input, depth + 2);
            if let Some(short) = short {
                self.rows[row].out = short.shape;
            }
            short
        };
        let (long, short) = (long?, short?);
        match residual(input, long, short) {
            Ok(flow) => Some(flow),
            Err(wrong) => {
                let (message, hint) = wrong?;
                self.misfit(at, message, hint);
                None
            }
        }
    }

    fn parallel(&mut self, join: Join, branches: &[Branch], input: Option<Flow>, depth: usize) -> Option<Flow> {
        let mut ends = Vec::with_capacity(branches.len());
        for Branch { from, share, layers } in branches {
            let row = self.push("branch", "", depth + 1);
            let start = match from {
                Some(from) => {
                    self.rows[row].point.clone_from(from);
                    self.start(row, from)
                }
                None => input,
            };
            let sharing = self.sharing;
            self.sharing |= *share;
            let end = self.inner(layers, start, depth + 2);
            self.sharing = sharing;
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
            if let Some(shape) = join.shape(sum.shape, end.shape) {
                sum.shape = shape;
                continue;
            }
            fits = false;
            let message = format!("this branch of `parallel` outputs {}, the first one {}", end.shape, first.shape);
            self.misfit(row, message, join.need());
        }
        (fits && ends.iter().all(|(_, end)| end.is_some())).then_some(sum)
    }
}

/// Whether the last layer keeps the shape and the one before gives logits.
fn ends_behind_logits(layers: &[Layer]) -> bool {
    let [.., before, last] = layers else { return false };
    let keeps_the_shape = matches!(
        last,
        Layer::Relu
            | Layer::Relu6
            | Layer::Gelu
            | Layer::Silu
            | Layer::Tanh
            | Layer::Sigmoid
            | Layer::L2Norm
            | Layer::BatchNorm(_)
            | Layer::LayerNorm(_)
            | Layer::Dropout(_)
            | Layer::StochasticDepth(_)
    );
    keeps_the_shape && matches!(before, Layer::Linear(Linear { out: None, .. }))
}
