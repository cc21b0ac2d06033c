//! Completion in networks: layers with their properties, blocks, parameters.

use gen_lsp_types::CompletionItemKind;

use super::super::docs;
use super::super::view::View;
use super::{CompletionCandidate, flags, keywords, properties};
use crate::lang::describe::kinds::{DefaultValue, KINDS, LayerKind, PropertyType};
use crate::lang::network::InputKind;
use crate::syntax::{Cursor, Head, Node, NodeEntry, Spot};

/// Completions in a network, inside the blocks of `chain`.
pub(super) fn items(view: &View, cursor: &Cursor, top: &Head, chain: &[Head], at: usize) -> Vec<CompletionCandidate> {
    let nodes = &view.read.analysis.document().nodes;
    let node = nodes.iter().find(|node| node.name.span.start == top.start);
    let blocks: Vec<&Node> = node.map(|node| named(node, "block").collect()).unwrap_or_default();
    let kind = |name: &str| KINDS.iter().find(|kind| kind.name == name);
    let is_point = |layer: &str, key: &str| {
        let param = kind(layer).and_then(|kind| kind.params.iter().find(|param| param.name == key));
        param.is_some_and(|param| param.ty == PropertyType::Point)
    };
    let block = blocks.iter().find(|block| block.span.start < at && at <= block.span.end);
    let statement = cursor.statement.name.as_str();
    let inner = |name: &str| view.index.networks(view.file()).get(name).copied().filter(|_| kind(name).is_none());
    let block_of = |name: &str| blocks.iter().find(|block| name_of(block) == Some(name)).copied();
    match &cursor.spot {
        Spot::Name => {
            let holds = chain.last().and_then(|head| kind(&head.name)).map(|kind| kind.holds).unwrap_or_default();
            if !holds.is_empty() {
                return holds
                    .iter()
                    .map(|part| CompletionCandidate::new(*part, CompletionItemKind::Keyword, ""))
                    .collect();
            }
            let mut items: Vec<CompletionCandidate> = KINDS.iter().map(layer).collect();
            items.extend(blocks.iter().filter_map(|block| {
                Some(
                    CompletionCandidate::new(name_of(block)?, CompletionItemKind::Struct, "block of this network")
                        .rank(0),
                )
            }));
            let networks = view.index.networks(view.file());
            items.extend(networks.iter().map(|(name, network)| {
                CompletionCandidate::new(name, CompletionItemKind::Module, "network")
                    .docs(docs::network(network))
                    .rank(1)
            }));
            items.extend(keywords(&[("repeat", "repeat ${1:2} ${2:layer} {\n    $0\n}", "Repeats its layers.")]));
            let owned = chain.is_empty() || chain.last().is_some_and(|head| head.name == "block");
            if owned {
                items.extend(keywords(&[
                    ("param", "param ${1:name} default=$0", "A parameter, used as `$name`."),
                    ("doc", "doc \"$0\"", "What it is."),
                ]));
            }
            if chain.is_empty() {
                items.extend(keywords(&[(
                    "block",
                    "block ${1:name} {\n    $0\n}",
                    "Named layers, used like a single one.",
                )]));
                items.extend(keywords(&[
                    ("input", "input ${1:half}", "An input besides the patch."),
                    (
                        "auxiliary",
                        "auxiliary ${1:early} from=${2:tap} {\n    $0\n}",
                        "An output that is trained besides the logits.",
                    ),
                ]));
            }
            items
        }
        Spot::Argument(_) => match (statement, kind(statement), block_of(statement)) {
            ("param", ..) => properties(&[("default", "Its value if none is given.")]),
            ("repeat", ..) => properties(&[("from", "First number in the tensor names.")]),
            ("input", ..) => inputs().collect(),
            ("auxiliary", ..) => {
                properties(&[("from", "The input or tap at which it starts."), ("weight", "Factor of its loss.")])
            }
            ("branch", ..) => properties(&[
                ("from", "The input or tap at which it starts."),
                ("share", "Whether it reuses the tensors of the same name of earlier layers."),
            ]),
            (_, Some(kind), _) => {
                let given = |name: &str| cursor.statement.entries.iter().any(|(key, _)| key.as_deref() == Some(name));
                let item = |param: &crate::lang::describe::kinds::LayerParam| {
                    let rank = u8::from(param.absent != DefaultValue::Needed);
                    CompletionCandidate::new(
                        format!("{}=", param.name),
                        CompletionItemKind::Property,
                        docs::layer_param(param),
                    )
                    .rank(rank)
                };
                kind.params.iter().filter(|param| !given(param.name)).map(item).collect()
            }
            (_, None, Some(block)) => {
                let params = named(block, "param").filter_map(name_of);
                params
                    .map(|name| {
                        CompletionCandidate::new(
                            format!("{name}="),
                            CompletionItemKind::Property,
                            "parameter of the block",
                        )
                    })
                    .collect()
            }
            _ => {
                let Some(network) = inner(statement) else { return Vec::new() };
                let params = network.params.iter().map(|(name, _)| {
                    CompletionCandidate::new(
                        format!("{name}="),
                        CompletionItemKind::Property,
                        "parameter of the network",
                    )
                });
                properties(&[("to", "The tap up to which the network is used.")]).into_iter().chain(params).collect()
            }
        },
        Spot::Value(key) if statement == "branch" && key == "from" || is_point(statement, key) => {
            let taps = node.map(|node| taps(node)).unwrap_or_default();
            let taps = taps.into_iter().map(|name| CompletionCandidate::new(name, CompletionItemKind::Variable, "tap"));
            let patch = CompletionCandidate::new(InputKind::Patch.name(), CompletionItemKind::EnumMember, "input");
            taps.chain(inputs()).chain([patch]).collect()
        }
        Spot::Value(key) if statement == "branch" && key == "share" => flags(),
        Spot::Value(key) if key == "to" && inner(statement).is_some() => {
            let taps = inner(statement).into_iter().flat_map(|network| &network.taps);
            taps.map(|tap| CompletionCandidate::new(&tap.name, CompletionItemKind::Variable, "tap")).collect()
        }
        Spot::Value(key) => {
            let param = kind(statement).and_then(|kind| kind.params.iter().find(|param| param.name == key));
            let mut items = match param.map(|param| param.ty) {
                Some(PropertyType::Flag) => flags(),
                Some(PropertyType::Word(words)) => words
                    .iter()
                    .map(|word| CompletionCandidate::new(*word, CompletionItemKind::EnumMember, ""))
                    .collect(),
                _ => Vec::new(),
            };
            let scopes = node.into_iter().chain(block.copied());
            let params = scopes.flat_map(|scope| named(scope, "param")).filter_map(name_of);
            items.extend(
                params.map(|name| {
                    CompletionCandidate::new(format!("${name}"), CompletionItemKind::Constant, "parameter")
                }),
            );
            items
        }
        Spot::Comment => Vec::new(),
    }
}

/// Inputs that a network can declare.
fn inputs() -> impl Iterator<Item = CompletionCandidate> {
    let declared = InputKind::ALL.into_iter().filter(|(input, _)| *input != InputKind::Patch);
    declared
        .map(|(input, doc)| CompletionCandidate::new(input.name(), CompletionItemKind::EnumMember, "input").docs(doc))
}

/// Names of the taps in a node.
fn taps(node: &Node) -> Vec<&str> {
    let own = named(node, "tap").filter_map(name_of);
    own.chain(node.nodes().iter().flat_map(taps)).collect()
}

fn layer(kind: &LayerKind) -> CompletionCandidate {
    let needed: Vec<&str> =
        kind.params.iter().filter(|param| param.absent == DefaultValue::Needed).map(|param| param.name).collect();
    let name = if kind.named { format!(" ${{1:{}}}", kind.name.replace("batch-norm", "bn")) } else { String::new() };
    let needed: Vec<String> = needed.iter().enumerate().map(|(at, name)| format!(" {name}=${{{}}}", at + 2)).collect();
    let snippet = format!("{}{name}{}", kind.name, needed.concat());
    CompletionCandidate {
        snippet: Some(snippet),
        ..CompletionCandidate::new(kind.name, CompletionItemKind::Class, "layer").docs(docs::layer(kind))
    }
}

fn named<'a>(node: &'a Node, name: &'static str) -> impl Iterator<Item = &'a Node> {
    node.nodes().iter().filter(move |node| node.name.text == name)
}

fn name_of(node: &Node) -> Option<&str> {
    node.args().next().and_then(NodeEntry::text)
}
