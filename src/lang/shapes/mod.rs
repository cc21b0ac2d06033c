//! Shapes and costs of a network's layers.

mod fold;
mod walk;

use std::collections::BTreeSet;

use super::network::{Layer, NetworkSpec};
use walk::{ShapeWalk, Sides};

pub use super::network::TensorShape;
pub use fold::folded;

/// One layer of a network at a given input size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Its type (`conv`, `residual`, …); also `shortcut`, `branch` and `auxiliary`, which are not layers but start such a path.
    pub kind: &'static str,
    /// The prefix of its tensors; empty if it has none.
    pub name: String,
    /// The name of a tap, or the input or tap at which a branch starts; empty for others.
    pub point: String,
    /// Nesting depth within `residual` and `parallel`.
    pub depth: usize,
    /// Shape of its output.
    pub out: TensorShape,
    /// Trained parameters.
    pub parameters: u64,
    /// Multiply-adds per sample, forward: those of convolutions and linear layers, as papers count them.
    pub multiply_adds: u64,
}

/// Why a network does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Index of the layer, in the order of [`shapes`].
    pub layer: usize,
    /// What is wrong, with names and shapes.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Every layer in order, for pixels of 3 x `side` x `side` and `classes` logits. A residual comes before its body, the
/// body before its shortcut; a parallel before its branches; auxiliary outputs after the last layer.
///
/// # Errors
/// Every [`Misfit`] that does not follow from another one, in the order of the layers; at least one.
pub fn shapes(network: &NetworkSpec, side: usize, classes: usize) -> Result<Vec<LayerShape>, Vec<Misfit>> {
    let nothing = BTreeSet::new();
    let mut walk = ShapeWalk::new(classes, Sides::Known, &nothing);
    walk.network(network, side);
    if walk.misfits.is_empty() { Ok(walk.rows) } else { Err(walk.misfits) }
}

/// Output of a network up to a tap, for pixels of 3 x `side` x `side`.
///
/// # Errors
/// As [`shapes`].
pub fn features(network: &NetworkSpec, side: usize) -> Result<Option<TensorShape>, Vec<Misfit>> {
    let nothing = BTreeSet::new();
    let mut walk = ShapeWalk::new(1, Sides::Known, &nothing);
    let (_, flow) = walk.walk_through(network, side);
    if walk.misfits.is_empty() { Ok(flow.map(|flow| flow.shape)) } else { Err(walk.misfits) }
}

/// Number of rows of a layer in [`shapes`].
pub(super) fn rows(layer: &Layer) -> usize {
    let all = |layers: &[Layer]| layers.iter().map(rows).sum::<usize>();
    1 + match layer {
        Layer::Residual { body, shortcut } if shortcut.is_empty() => all(body),
        Layer::Residual { body, shortcut } => all(body) + 1 + all(shortcut),
        Layer::Parallel { branches, .. } => branches.iter().map(|branch| 1 + all(&branch.layers)).sum(),
        _ => 0,
    }
}

/// The misfits of a network at any patch size. `unreadable` are layers with unknown output.
pub(super) fn misfits(network: &NetworkSpec, unreadable: &BTreeSet<usize>) -> Vec<Misfit> {
    // Branches may agree only at some sizes, so several are tried, starting near the largest patch size.
    let mut first = None;
    for side in [1024, 1023, 1022, 1021, 1019, 1000] {
        let mut walk = ShapeWalk::new(4, Sides::Example, unreadable);
        walk.network(network, side);
        if walk.misfits.is_empty() {
            return Vec::new();
        }
        first.get_or_insert(walk.misfits);
    }
    first.unwrap_or_default()
}

impl LayerShape {
    /// What it is, as it is written: `conv`, `tap features`, `branch from=half`.
    #[must_use]
    pub fn written(&self) -> String {
        match self.kind {
            kind if self.point.is_empty() => kind.to_owned(),
            "branch" | "auxiliary" => format!("{} from={}", self.kind, self.point),
            kind => format!("{kind} {}", self.point),
        }
    }
}

/// Smallest side of a square input that fits, at most 1024.
#[must_use]
pub fn least_side(network: &NetworkSpec) -> Option<usize> {
    (1..=1024).find(|&side| shapes(network, side, 4).is_ok())
}
