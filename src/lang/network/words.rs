//! How a layer type is written: its name, its properties, and the checked properties of one layer. Reads no text.

use std::collections::BTreeMap;

use super::Layer;
use crate::syntax::Scalar;

/// A layer type.
#[derive(Debug)]
pub struct LayerKind {
    /// Its name (`conv`).
    pub name: &'static str,
    /// Whether it has tensors, and so a name.
    pub named: bool,
    /// What it does, with shapes.
    pub doc: &'static str,
    /// Its properties.
    pub params: &'static [LayerParam],
    /// The nodes in its braces; empty for most.
    pub holds: &'static [&'static str],
    /// Its layer from checked properties and its tensor prefix; [`None`] if it contains layers.
    pub(in crate::lang) read: Option<ReadLayer>,
}

/// Makes a layer of checked properties and its tensor prefix.
pub(in crate::lang) type ReadLayer = fn(&Properties, String) -> Result<Layer, Conflict>;

/// A property of a layer.
#[derive(Debug)]
pub struct LayerParam {
    /// Its name (`kernel`).
    pub name: &'static str,
    /// The values that it takes.
    pub ty: PropertyType,
    /// The value if it is not set.
    pub absent: DefaultValue,
    /// What it means.
    pub doc: &'static str,
}

/// The values that a property takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PropertyType {
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// A number from 0 to below 1.
    Share,
    /// `#true` or `#false`.
    Flag,
    /// One of a set of words.
    Word(&'static [&'static str]),
    /// The name of an input or a tap.
    Point,
}

/// The value of a property that is not set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    /// It is required.
    Needed,
    /// A whole number.
    Whole(i64),
    /// A number.
    Real(f64),
    /// `#true` or `#false`.
    Flag(bool),
    /// The value of this other property.
    Same(&'static str),
    /// No value, which means this.
    Nothing(&'static str),
}

/// A property that conflicts with the others.
pub(in crate::lang) struct Conflict {
    /// The property.
    pub(in crate::lang) param: &'static str,
    /// What is wrong.
    pub(in crate::lang) message: String,
    /// What to do about it.
    pub(in crate::lang) hint: &'static str,
}

/// The checked properties of one layer, by name.
pub(in crate::lang) struct Properties(BTreeMap<&'static str, Scalar>);

impl Properties {
    pub(in crate::lang) fn new(values: BTreeMap<&'static str, Scalar>) -> Self {
        Self(values)
    }

    /// A whole number that the layer type always has.
    pub(in crate::lang) fn int(&self, name: &str) -> usize {
        self.given_int(name).unwrap_or(0)
    }

    /// A whole number that may be absent.
    pub(in crate::lang) fn given_int(&self, name: &str) -> Option<usize> {
        match self.0.get(name) {
            Some(Scalar::Int(value)) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(in crate::lang) fn real(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Scalar::Real(value)) => *value,
            Some(Scalar::Int(value)) => *value as f64,
            _ => 0.0,
        }
    }

    pub(in crate::lang) fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Scalar::Bool(true)))
    }

    pub(in crate::lang) fn word(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Scalar::Text(word)) => word,
            _ => "",
        }
    }
}

pub(super) const fn kind(
    name: &'static str,
    doc: &'static str,
    params: &'static [LayerParam],
    read: ReadLayer,
) -> LayerKind {
    LayerKind { name, named: false, doc, params, holds: &[], read: Some(read) }
}

pub(super) const fn named(
    name: &'static str,
    doc: &'static str,
    params: &'static [LayerParam],
    read: ReadLayer,
) -> LayerKind {
    LayerKind { name, named: true, doc, params, holds: &[], read: Some(read) }
}

pub(super) const fn param(name: &'static str, ty: PropertyType, absent: DefaultValue, doc: &'static str) -> LayerParam {
    LayerParam { name, ty, absent, doc }
}

/// `bias`, of layers with weights.
pub(super) const BIAS: LayerParam =
    param("bias", PropertyType::Flag, DefaultValue::Flag(true), "Whether to add a bias per output.");
