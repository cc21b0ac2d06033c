//! Taps: which network declares the one that a name means. By the words of the networks alone, so that a network with mistakes
//! has taps too.

use std::ops::Range;

use super::scope::text_of;
use super::walk::Walker;
use super::{Definition, NameRole, Symbol, SymbolIndex};
use crate::lang::describe::kinds;
use crate::syntax::{Node, NodeEntry};

/// Maximum depth of networks inside networks.
const DEEPEST: usize = 16;

/// A tap, and the part of the name that is its own: `layer3` of `trunk.layer3`.
type FoundTap = (Symbol, Range<usize>);

impl SymbolIndex<'_> {
    /// The tap that `name` means in a network with that node.
    fn tap(&self, node: &Node, definition: &Definition, name: &str, depth: usize) -> Option<FoundTap> {
        if depth > DEEPEST {
            return None;
        }
        let mut inner = Vec::new();
        self.inner_networks(node, &mut inner);
        // A prefix decides: both networks may have a tap of that name.
        for (prefix, used) in inner.iter().filter(|(prefix, _)| !prefix.is_empty()) {
            let start = format!("{prefix}.");
            let start = name.starts_with(&start).then_some(start.len());
            let within = || name.find(&format!(".{prefix}.")).map(|at| at + prefix.len() + 2);
            let Some(start) = start.or_else(within) else { continue };
            if let Some((symbol, range)) = self.tap_of(used, &name[start..], depth + 1) {
                return Some((symbol, start + range.start..start + range.end));
            }
        }
        let mut own = Vec::new();
        taps(node, &mut own);
        // Blocks, branches and repeats give a prefix.
        let ends = |tap: &&String| name == tap.as_str() || name.ends_with(&format!(".{tap}"));
        if let Some(tap) = own.iter().filter(ends).max_by_key(|tap| tap.len()) {
            return Some((Symbol::Tap(definition.clone(), tap.clone()), name.len() - tap.len()..name.len()));
        }
        let plain = inner.iter().filter(|(prefix, _)| prefix.is_empty());
        plain.into_iter().find_map(|(_, used)| self.tap_of(used, name, depth + 1))
    }

    /// The tap of the network used by a node.
    fn tap_of(&self, used: &Node, name: &str, depth: usize) -> Option<FoundTap> {
        let network = self.network(&used.name.text, used.name.span)?;
        self.tap(network.node(), &self.definition(network), name, depth)
    }

    /// The uses of networks inside a node, with their prefixes.
    fn inner_networks<'n>(&self, node: &'n Node, found: &mut Vec<(String, &'n Node)>) {
        for child in node.nodes() {
            let name = &child.name.text;
            let layer =
                matches!(name.as_str(), "doc" | "param" | "tap" | "block" | "input") || kinds::find(name).is_some();
            if !layer && self.network(name, child.name.span).is_some() {
                found.push((text_of(child).map(|(prefix, _)| prefix).unwrap_or_default(), child));
            }
            self.inner_networks(child, found);
        }
    }
}

/// Names of the taps in a node.
fn taps(node: &Node, found: &mut Vec<String>) {
    for child in node.nodes() {
        if child.name.text == "tap" {
            found.extend(text_of(child).map(|(name, _)| name));
        }
        taps(child, found);
    }
}

impl Walker<'_> {
    /// The name of an input or a tap in a network.
    pub(super) fn point(&mut self, network: &Node, definition: &Definition, entry: &NodeEntry) {
        let found = entry.text().and_then(|name| self.index.tap(network, definition, name, 0));
        self.note_tap(entry, found);
    }

    /// The tap up to which the network `kind` is used.
    pub(super) fn tap_of(&mut self, kind: &str, entry: &NodeEntry) {
        let Some(network) = self.index.network(kind, entry.span) else { return };
        let definition = self.index.definition(network);
        let found = entry.text().and_then(|name| self.index.tap(network.node(), &definition, name, 0));
        self.note_tap(entry, found);
    }

    /// The same for the network given to a parameter by `node`.
    pub(super) fn tap_of_given(&mut self, node: &Node, entry: &NodeEntry) {
        if let Some(kind) = node.args().next().and_then(NodeEntry::text) {
            self.tap_of(kind, entry);
        }
    }

    fn note_tap(&mut self, entry: &NodeEntry, found: Option<FoundTap>) {
        if let Some((symbol, range)) = found
            && let Some(span) = self.part(entry, range)
        {
            self.note(span, symbol, NameRole::Uses);
        }
    }
}
