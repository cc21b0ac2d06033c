//! `textDocument/documentSymbol`: the outline of a file.

use gen_lsp_types::{DocumentSymbol, DocumentSymbolResponse, Range, SymbolKind};

use super::documents::{OpenDocument, ReadText};
use crate::lang::keywords::REPEAT;
use crate::syntax::{Node, NodeEntry};

/// Outline of a file: pipelines, stages, networks and parameters.
pub(super) fn symbols(document: &OpenDocument, read: &ReadText) -> DocumentSymbolResponse {
    let range = |range| document.range(range);
    DocumentSymbolResponse::DocumentSymbolList(outline(&read.analysis.document().nodes, &range))
}

/// Range of positions of a range of bytes.
type Ranges<'a> = &'a dyn Fn(std::ops::Range<usize>) -> Range;

/// Outline of top-level nodes.
pub(super) fn outline(nodes: &[Node], range: Ranges) -> Vec<DocumentSymbol> {
    let all = nodes.iter().filter_map(|node| {
        let (kind, inner) = match node.name.text.as_str() {
            "pipeline" | "sweep" => (SymbolKind::Module, of_pipeline(range, node.nodes())),
            "stage" => (SymbolKind::Class, of_template(range, node)),
            "network" => (SymbolKind::Struct, of_network(range, node)),
            _ => return None,
        };
        Some(symbol(range, node, kind, inner))
    });
    all.collect()
}

fn of_pipeline(range: Ranges, nodes: &[Node]) -> Vec<DocumentSymbol> {
    let shown = nodes.iter().filter(|node| !matches!(node.name.text.as_str(), "doc" | "extends" | "without"));
    let one = |node: &Node| {
        let kind = if node.name.text == "param" { SymbolKind::Constant } else { SymbolKind::Function };
        let inner = if node.name.text == REPEAT { of_pipeline(range, node.nodes()) } else { Vec::new() };
        symbol(range, node, kind, inner)
    };
    shown.map(one).collect()
}

fn of_template(range: Ranges, node: &Node) -> Vec<DocumentSymbol> {
    let mut all = Vec::new();
    for child in node.nodes() {
        match child.name.text.as_str() {
            "in" | "out" => all.push(symbol(range, child, SymbolKind::Interface, Vec::new())),
            "param" => all.push(symbol(range, child, SymbolKind::Constant, Vec::new())),
            "body" => all.extend(of_pipeline(range, child.nodes())),
            _ => {}
        }
    }
    all
}

fn of_network(range: Ranges, node: &Node) -> Vec<DocumentSymbol> {
    let of = |child: &Node| match child.name.text.as_str() {
        "param" => Some(symbol(range, child, SymbolKind::Constant, Vec::new())),
        "block" => Some(symbol(range, child, SymbolKind::Struct, Vec::new())),
        _ => None,
    };
    node.nodes().iter().filter_map(of).collect()
}

/// Symbol of a node: its name, with its type as detail; only its type while it has no name.
fn symbol(range: Ranges, node: &Node, kind: SymbolKind, children: Vec<DocumentSymbol>) -> DocumentSymbol {
    let named =
        node.args().find(|entry| entry.text().is_some()).and_then(|entry| Some((NodeEntry::text(entry)?, entry.span)));
    let (name, span) = named.filter(|(name, _)| !name.is_empty()).unwrap_or((&node.name.text, node.name.span));
    #[expect(deprecated, reason = "a struct's literal names all of its fields")]
    DocumentSymbol {
        name: if name.is_empty() { "…".to_owned() } else { name.to_owned() },
        detail: (name != node.name.text).then(|| node.name.text.clone()),
        kind,
        tags: None,
        deprecated: None,
        range: range(node.span.range()),
        selection_range: range(span.range()),
        children: (!children.is_empty()).then_some(children),
    }
}
