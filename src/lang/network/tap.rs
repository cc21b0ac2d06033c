//! `tap`: words. A tap names the value that reaches it and computes nothing.

use super::words::LayerKind;

/// Words of [`super::Layer::Tap`].
pub(in crate::lang) const TAP: LayerKind = LayerKind {
    name: "tap",
    named: true,
    doc: "Names the value that reaches it, for `branch from=NAME` and for networks that use this one up to here (`to=NAME`). It computes nothing and has no tensors, and adding one changes no key.",
    params: &[],
    holds: &[],
    read: None,
};
