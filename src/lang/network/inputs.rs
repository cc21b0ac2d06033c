//! Inputs of a network: the patch, and what is made from it. Computes nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Branch, CrossAttention, Layer, LayerPart, NetworkSpec};

/// Input of a network, at which a branch can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// The patch, which every network has.
    Patch,
    /// The patch averaged to half its side.
    Half,
    /// The patch with a margin of half its side on every side, averaged to the side of the patch.
    Wide,
}

impl InputKind {
    /// All, in the order of the manual, each with what it is.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Patch, "The patch: 3 x S x S. Every network has it, so it is not declared."),
        (Self::Half, "The patch averaged over 2 x 2 pixels: 3 x S/2 x S/2."),
        (
            Self::Wide,
            "The patch and a margin of S/2 px around it, averaged over 2 x 2 pixels: 3 x S x S. Extract with `margin` of at least S/2.",
        ),
    ];

    /// Its name in a network.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Half => "half",
            Self::Wide => "wide",
        }
    }

    /// The input with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(input, _)| input).find(|input| input.name() == name)
    }
}

impl NetworkSpec {
    /// The inputs that its branches start at, besides the patch.
    #[must_use]
    pub fn inputs(&self) -> BTreeSet<InputKind> {
        let mut found = BTreeSet::new();
        self.for_each_branch(&mut |branch| found.extend(branch.from.as_deref().and_then(InputKind::named)));
        for layer in self.single_layers() {
            if let LayerPart::One(operation) = layer.part() {
                found.extend(operation.reads().and_then(InputKind::named));
            }
        }
        found.remove(&InputKind::Patch);
        found
    }

    /// Whether branches share tensors.
    #[must_use]
    pub fn shares(&self) -> bool {
        let mut shares = false;
        self.for_each_branch(&mut |branch| shares |= branch.share);
        shares
    }

    /// The names of the embeddings that its branches start at: neither an input of its own nor a tap in reach.
    #[must_use]
    pub fn embeddings(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut taps = Vec::new();
        embeddings(&self.layers, &mut taps, &mut found);
        self.auxiliary.iter().for_each(|output| of_branch(&output.branch, &mut taps, &mut found));
        found
    }

    /// Margin that its patches of `size` px need on every side, px.
    #[must_use]
    pub fn margin(&self, size: usize) -> usize {
        if self.inputs().contains(&InputKind::Wide) { size.div_ceil(2) } else { 0 }
    }

    fn for_each_branch(&self, work: &mut impl FnMut(&Branch)) {
        for_each_branch(&self.layers, work);
        for output in &self.auxiliary {
            work(&output.branch);
            for_each_branch(&output.branch.layers, work);
        }
    }
}

fn for_each_branch(layers: &[Layer], work: &mut impl FnMut(&Branch)) {
    for layer in layers {
        match layer {
            Layer::Residual { body, shortcut } => {
                for_each_branch(body, work);
                for_each_branch(shortcut, work);
            }
            Layer::Parallel { branches, .. } => {
                for branch in branches {
                    work(branch);
                    for_each_branch(&branch.layers, work);
                }
            }
            _ => {}
        }
    }
}

/// Collects the embeddings in `layers`; `taps` are those in reach.
fn embeddings<'a>(layers: &'a [Layer], taps: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    for layer in layers {
        match layer {
            Layer::Tap { name } => taps.push(name),
            Layer::Residual { body, shortcut } => {
                within(body, taps, found);
                within(shortcut, taps, found);
            }
            Layer::Parallel { branches, .. } => {
                for branch in branches {
                    of_branch(branch, taps, found);
                }
            }
            Layer::CrossAttention(CrossAttention { to, .. }) => found.extend(unknown(to, taps).map(str::to_owned)),
            _ => {}
        }
    }
}

/// The name, if it is neither that of an input of the network's own nor of a tap in reach.
fn unknown<'a>(name: &'a str, taps: &[&str]) -> Option<&'a str> {
    (InputKind::named(name).is_none() && !taps.contains(&name)).then_some(name)
}

/// As [`embeddings`], for a branch.
fn of_branch<'a>(branch: &'a Branch, taps: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    found.extend(branch.from.iter().filter_map(|from| unknown(from, taps)).map(str::to_owned));
    within(&branch.layers, taps, found);
}

/// As [`embeddings`], for layers whose taps end with them.
fn within<'a>(layers: &'a [Layer], taps: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    let before = taps.len();
    embeddings(layers, taps, found);
    taps.truncate(before);
}
