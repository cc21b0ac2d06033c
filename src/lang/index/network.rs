//! The words of a network: its parameters, blocks, layers and taps.

use std::collections::BTreeSet;

use super::scope::text_of;
use super::walk::Walker;
use super::{Definition, NameRole, Symbol};
use crate::base::{FileId, Span};
use crate::lang::describe::kinds::{self, PropertyType};
use crate::syntax::{Node, NodeEntry};

struct NetworkNames<'a> {
    definition: Definition,
    /// The network's own node.
    node: &'a Node,
    params: BTreeSet<String>,
    blocks: Vec<(String, &'a Node)>,
}

impl Walker<'_> {
    /// Notes the words of a network.
    pub(super) fn network(&mut self, file: FileId, node: &Node) {
        let Some((name, _)) = text_of(node) else { return };
        let definition = self.index.declared(file, &name);
        self.declared(node, |_| Symbol::Network(definition.clone()));
        let of = |wanted: &'static str| node.nodes().iter().filter(move |node| node.name.text == wanted);
        let blocks = of("block").filter_map(|block| Some((text_of(block)?.0, block)));
        let params = of("param").filter_map(|param| Some(text_of(param)?.0));
        let network = NetworkNames { definition, node, params: params.collect(), blocks: blocks.collect() };
        layers(self, node.nodes(), &network, None);
    }
}

fn layers(walker: &mut Walker, nodes: &[Node], network: &NetworkNames, block: Option<(&str, &BTreeSet<String>)>) {
    for node in nodes {
        let owner = block.map(|(block, _)| block.to_owned());
        match node.name.text.as_str() {
            "doc" => continue,
            "param" => {
                walker.declared(node, |name| Symbol::NetworkParam(network.definition.clone(), owner.clone(), name));
                continue;
            }
            "tap" => {
                walker.declared(node, |name| Symbol::Tap(network.definition.clone(), name));
                continue;
            }
            "block" => {
                walker.declared(node, |name| Symbol::Block(network.definition.clone(), name));
                let Some((name, _)) = text_of(node) else { continue };
                let params = node.nodes().iter().filter(|node| node.name.text == "param");
                let params = params.filter_map(|param| Some(text_of(param)?.0)).collect();
                layers(walker, node.nodes(), network, Some((&name, &params)));
                continue;
            }
            _ => {}
        }
        let kind = &node.name.text;
        let is_block = network.blocks.iter().any(|(name, _)| name == kind);
        if is_block {
            walker.note(node.name.span, Symbol::Block(network.definition.clone(), kind.clone()), NameRole::Uses);
        } else if kinds::KINDS.iter().any(|layer| layer.name == kind) {
            walker.note(node.name.span, Symbol::Layer(kind.clone()), NameRole::Uses);
        }
        // A network inside a network.
        let inner = if is_block || kinds::find(kind).is_some() {
            None
        } else {
            walker.index.network(kind, node.name.span).map(|inner| walker.index.definition(inner))
        };
        if let Some(inner) = &inner {
            walker.dotted(node.name.span, kind, Symbol::Network(inner.clone()));
        }
        for (key, entry) in node.props() {
            if inner.is_some() && key.text == "to" {
                walker.tap_of(kind, entry);
                dollar(walker, entry, network, block);
                continue;
            }
            if matches!((kind.as_str(), key.text.as_str()), ("branch" | "auxiliary", "from"))
                || is_point(kind, &key.text)
            {
                walker.point(network.node, &network.definition, entry);
            }
            let symbol = if let Some(inner) = &inner {
                Symbol::NetworkParam(inner.clone(), None, key.text.clone())
            } else if is_block {
                Symbol::NetworkParam(network.definition.clone(), Some(kind.clone()), key.text.clone())
            } else {
                Symbol::LayerParam(kind.clone(), key.text.clone())
            };
            walker.note(key.span, symbol, NameRole::Uses);
            dollar(walker, entry, network, block);
        }
        node.args().for_each(|entry| dollar(walker, entry, network, block));
        layers(walker, node.nodes(), network, block);
    }
}

/// A value that is a `$name` of the block or of the network.
fn dollar(walker: &mut Walker, entry: &NodeEntry, network: &NetworkNames, block: Option<(&str, &BTreeSet<String>)>) {
    let Some(name) = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$')) else { return };
    let span = Span { start: entry.span.start + 1, ..entry.span };
    let of_block = block.filter(|(_, params)| params.contains(name));
    let symbol = match of_block {
        Some((block, _)) => Symbol::NetworkParam(network.definition.clone(), Some(block.to_owned()), name.to_owned()),
        None if network.params.contains(name) => {
            Symbol::NetworkParam(network.definition.clone(), None, name.to_owned())
        }
        None => return,
    };
    walker.note(span, symbol, NameRole::Uses);
}

/// Whether a property of a layer type is the name of an input or a tap.
fn is_point(kind: &str, key: &str) -> bool {
    let layer = kinds::KINDS.iter().find(|layer| layer.name == kind);
    layer.is_some_and(|layer| layer.params.iter().any(|param| param.name == key && param.ty == PropertyType::Point))
}
