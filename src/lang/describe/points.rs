//! What a network says of other networks, inputs and taps while it is read. Reads no text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Described;
use crate::base::Span;

/// Network that another one may use by its name.
#[derive(Clone, Debug)]
pub enum KnownNetwork {
    /// A network without mistakes.
    Whole(Arc<Described>),
    /// One with mistakes, which were reported.
    Broken,
}

/// Networks that a network may use, by name.
pub type KnownNetworks = BTreeMap<String, KnownNetwork>;

/// Tap where it is declared.
pub(super) struct DeclaredTap {
    /// Its name, with prefix.
    pub(super) name: String,
    /// Number of braces of residuals and branches around it.
    pub(super) level: usize,
    /// Whether a branch starts at it.
    pub(super) used: bool,
}

/// Tap outside of residuals and branches, up to which other networks can use this one.
#[derive(Clone, Debug)]
pub struct TapPlace {
    /// Its name.
    pub name: String,
    /// The row of [`crate::lang::shapes::shapes`] before it; [`None`] at the patch itself.
    pub row: Option<usize>,
}

/// The `to=` of a network inside a network.
pub(super) struct UpTo {
    /// The tap, with prefix.
    pub(super) name: String,
    pub(super) level: usize,
    pub(super) reached: bool,
}

/// What a network says of inputs and taps.
#[derive(Default)]
pub(super) struct NamedPoints {
    /// Declared inputs, with their places.
    pub(super) inputs: BTreeMap<String, Span>,
    /// All taps, in the order of their layers.
    pub(super) taps: Vec<DeclaredTap>,
    /// Names of auxiliary outputs.
    pub(super) auxiliary: BTreeSet<String>,
    /// Taps in reach: name and index in `taps`.
    pub(super) visible: Vec<(String, usize)>,
    pub(super) level: usize,
    pub(super) until: Vec<UpTo>,
    /// Names at which a branch starts although nothing has them yet.
    pub(super) unknown: Vec<(Span, String, String)>,
}

impl NamedPoints {
    /// Whether the tap is reached up to which a network is used.
    pub(super) fn reached(&self) -> bool {
        self.until.iter().any(|until| until.reached)
    }
}
