//! Which networks the node of a network may use, before it is described.

use std::collections::BTreeMap;

use super::kinds;
use crate::syntax::Node;

/// The name of a declared network.
pub(in crate::lang) fn name_of(node: &Node) -> Option<&str> {
    node.args().next().and_then(|entry| entry.text())
}

/// The words in the braces of a network that are not layers, each with its first node.
pub(in crate::lang) fn words<'a>(node: &'a Node, found: &mut BTreeMap<&'a str, &'a Node>) {
    for child in node.nodes() {
        if kinds::find(&child.name.text).is_none() {
            found.entry(child.name.text.as_str()).or_insert(child);
        }
        words(child, found);
    }
}
