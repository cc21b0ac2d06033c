//! The shapes that follow from a network's layers, and what each layer costs.

mod fold;
mod walk;

use std::collections::BTreeSet;
use std::fmt;

use super::network::NetworkSpec;
use walk::{Sides, Walk};

pub use fold::folded;

/// The shape of one sample between layers, without N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// C x H x W.
    Map {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Features.
    Vector {
        /// How many.
        features: usize,
    },
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map { channels, height, width } => write!(f, "{channels} x {height} x {width}"),
            Self::Vector { features } => write!(f, "{features}"),
        }
    }
}

impl Shape {
    /// Entries in all.
    #[must_use]
    pub fn entries(self) -> u64 {
        match self {
            Self::Map { channels, height, width } => product(&[channels, height, width]),
            Self::Vector { features } => features as u64,
        }
    }
}

/// One layer of a network at a size of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// What it is (`conv`, `residual`, …); also `shortcut` and `branch`, which are no layers but begin such a way.
    pub kind: &'static str,
    /// The prefix of its tensors; empty where it has none.
    pub name: String,
    /// How deep within `residual` and `parallel` it stands.
    pub depth: usize,
    /// What it gives.
    pub out: Shape,
    /// Trained parameters.
    pub parameters: u64,
    /// Multiplications with addition per sample, forward: those of convolutions and linear layers, as papers count them.
    pub multiply_adds: u64,
}

/// Why a network does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which layer, counted as [`shapes`] lists them.
    pub layer: usize,
    /// What is wrong, with names and shapes.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Every layer in order, for pixels of 3 x `side` x `side` and `classes` logits. A residual stands before its body, the
/// body before its shortcut; a parallel before its branches.
///
/// # Errors
/// Every [`Misfit`] that follows from no other one, in the order of the layers; at least one.
pub fn shapes(network: &NetworkSpec, side: usize, classes: usize) -> Result<Vec<LayerShape>, Vec<Misfit>> {
    let nothing = BTreeSet::new();
    let mut walk = Walk::new(classes, Sides::Known, &nothing);
    walk.network(network, side);
    if walk.misfits.is_empty() { Ok(walk.rows) } else { Err(walk.misfits) }
}

/// The misfits that a network has whatever the size of the patches. `unreadable` are layers whose output is not known.
pub(super) fn misfits(network: &NetworkSpec, unreadable: &BTreeSet<usize>) -> Vec<Misfit> {
    // Ways that meet may agree at odd sizes alone, so several are tried; the largest patches that there are come first.
    let mut first = None;
    for side in [1024, 1023, 1022, 1021, 1019, 1000] {
        let mut walk = Walk::new(4, Sides::Example, unreadable);
        walk.network(network, side);
        if walk.misfits.is_empty() {
            return Vec::new();
        }
        first.get_or_insert(walk.misfits);
    }
    first.unwrap_or_default()
}

/// Smallest side of a square input that fits, at most 1024.
#[must_use]
pub fn least_side(network: &NetworkSpec) -> Option<usize> {
    (1..=1024).find(|&side| shapes(network, side, 4).is_ok())
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |all: u64, &factor| all.saturating_mul(factor as u64))
}
