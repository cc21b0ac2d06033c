//! Reading of a network: parameters, blocks, repeats, and the walk over the nodes in braces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kinds::{KINDS, find, meant};
use super::points::{KnownNetworks, NamedPoints};
use super::{is_tensor_name, name_of};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::near;
use crate::lang::network::{Auxiliary, Layer};
use crate::syntax::{Node, NodeEntry, Scalar};

/// Most layers of a network; more come only from blocks that multiply each other.
const MOST_LAYERS: usize = 4096;
/// Most lists of layers; more come only from empty blocks that multiply each other.
const MOST_LISTS: usize = 16_384;
/// Deepest nesting of layers; deeper ones come only from long chains of blocks.
const DEEPEST: usize = 64;
/// Most repetitions of a `repeat`.
const MOST_TIMES: i64 = 1024;

/// A block: its parameters with their defaults, and its nodes.
pub(super) struct BlockDef<'a> {
    params: Vec<(String, Option<&'a NodeEntry>)>,
    nodes: &'a [Node],
}

/// The context in which layers are read: prefix of tensor names, parameter values, enclosing node.
#[derive(Clone)]
pub(super) struct LayerScope {
    pub(super) prefix: String,
    /// The value of each parameter; [`None`] if it is wrong, which was reported.
    pub(super) values: BTreeMap<String, Option<Scalar>>,
    pub(super) within: Within,
    /// The outermost use of a block.
    pub(super) used: Option<Span>,
    /// In a branch that shares: the names of earlier layers.
    pub(super) shared: Option<Arc<BTreeSet<String>>>,
    /// Whether it is inside a branch.
    pub(super) in_branch: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Within {
    Network,
    Block,
    Layer,
}

/// Reads one network.
pub(super) struct NetworkReader<'a> {
    pub(super) blocks: BTreeMap<String, BlockDef<'a>>,
    /// The networks that it may use.
    pub(super) known: &'a KnownNetworks,
    /// Position of each layer, and the outermost use of its block.
    pub(super) places: Vec<(Span, Option<Span>)>,
    /// The unreadable layers, by their index in the order of [`crate::lang::shapes::shapes`].
    pub(super) unreadable: BTreeSet<usize>,
    pub(super) names: BTreeMap<String, Span>,
    /// Prefixes of the tensors of networks used under a name.
    pub(super) prefixes: BTreeSet<String>,
    /// Number of layers that share the tensors of an earlier one.
    pub(super) shared_layers: usize,
    pub(super) points: NamedPoints,
    /// The outermost use of another network, at which everything inside is reported.
    pub(super) at: Option<Span>,
    /// Whether it uses a network with mistakes.
    pub(super) broken: bool,
    pub(super) diags: Vec<Diag>,
    /// The blocks that are being expanded.
    pub(super) open: Vec<String>,
    depth: usize,
    lists: usize,
    /// Whether the network is too large, so that nothing more is expanded.
    pub(super) full: bool,
    /// The network's parameters, which its blocks can use too.
    pub(super) shared: BTreeMap<String, Option<Scalar>>,
    /// The blocks that are used.
    pub(super) used_blocks: BTreeSet<String>,
    head: Span,
}

/// What a network consists of.
pub(super) struct NetworkParts {
    /// Its parameters with their defaults.
    pub(super) params: Vec<(String, Option<NodeEntry>)>,
    pub(super) layers: Vec<Layer>,
    pub(super) auxiliary: Vec<Auxiliary>,
}

impl<'a> NetworkReader<'a> {
    pub(super) fn new(node: &Node, known: &'a KnownNetworks) -> Self {
        Self {
            blocks: BTreeMap::new(),
            known,
            places: Vec::new(),
            unreadable: BTreeSet::new(),
            names: BTreeMap::new(),
            prefixes: BTreeSet::new(),
            shared_layers: 0,
            points: NamedPoints::default(),
            at: None,
            broken: false,
            diags: Vec::new(),
            open: Vec::new(),
            depth: 0,
            lists: 0,
            full: false,
            shared: BTreeMap::new(),
            used_blocks: BTreeSet::new(),
            head: node.head,
        }
    }

    /// The parameters and layers of a network, with the parameter values in `given`.
    pub(super) fn network(&mut self, node: &'a Node, given: &BTreeMap<String, NodeEntry>) -> NetworkParts {
        for extra in node.args().skip(1).map(|entry| entry.whole).chain(node.props().map(|(_, entry)| entry.whole)) {
            let hint = "declare network parameters inside the braces: `param width default=32`";
            self.error("value-count", extra, "a network takes only a name here", hint);
        }
        for block in node.nodes().iter().filter(|node| node.name.text == "block") {
            self.block(block);
        }
        node.nodes().iter().filter(|node| node.name.text == "input").for_each(|input| self.input(input));
        let params = self.params(node.nodes());
        let nothing = LayerScope::new(Within::Network, BTreeMap::new());
        let mut values = BTreeMap::new();
        for (name, default) in &params {
            let entry = given.get(name).or(*default);
            if entry.is_none() {
                let hint =
                    format!("write `param {name} default=…`, so that the network can be used without parameters");
                let declared = node.nodes().iter().filter(|node| node.name.text == "param");
                let place =
                    declared.filter_map(name_of).find(|(other, _)| other == name).map_or(node.head, |(_, span)| span);
                self.error("missing-param", place, format!("parameter `{name}` needs a default"), hint);
            }
            values.insert(name.clone(), entry.and_then(|entry| self.scalar(entry, &nothing)));
        }
        self.shared.clone_from(&values);
        let scope = LayerScope { values, ..nothing };
        let layers = self.layers(node.nodes(), &scope);
        let outputs = node.nodes().iter().filter(|node| node.name.text == "auxiliary");
        let auxiliary = outputs.filter_map(|output| self.auxiliary(output, &scope)).collect();
        self.unused_blocks(node.nodes());
        let params = params.into_iter().map(|(name, default)| (name, default.cloned())).collect();
        NetworkParts { params, layers, auxiliary }
    }

    pub(super) fn block(&mut self, node: &'a Node) {
        let Some((name, span)) = name_of(node) else {
            return self.error("missing-name", node.head, "a block needs a name", "write `block basic { … }`");
        };
        let reserved = ["repeat", "block", "param", "doc", "body", "shortcut", "branch", "input", "auxiliary"];
        if find(&name).is_some() || reserved.contains(&name.as_str()) || self.blocks.contains_key(&name) {
            return self.error("duplicate-name", span, format!("`{name}` is already taken"), "rename the block");
        }
        for (key, _) in node.props() {
            let hint = format!("declare it inside the braces: `param {}`", key.text);
            self.error("unknown-param", key.span, "a block declaration has no properties", hint);
        }
        let params = self.params(node.nodes());
        self.blocks.insert(name, BlockDef { params, nodes: node.nodes() });
    }

    /// The `param` nodes among `nodes`.
    fn params(&mut self, nodes: &'a [Node]) -> Vec<(String, Option<&'a NodeEntry>)> {
        let mut params: Vec<(String, Option<&NodeEntry>)> = Vec::new();
        for param in nodes.iter().filter(|node| node.name.text == "param") {
            let Some((name, span)) = name_of(param) else {
                self.error("missing-name", param.head, "a parameter needs a name", "write `param channels`");
                continue;
            };
            if params.iter().any(|(other, _)| *other == name) {
                let hint = "remove one of them";
                self.error("duplicate-name", span, format!("parameter `{name}` is declared twice"), hint);
                continue;
            }
            for (key, _) in param.props().filter(|(key, _)| key.text != "default") {
                let message = format!("a network's `param` has no property `{}`", key.text);
                self.error("unknown-param", key.span, message, format!("write `param {name} default=…`"));
            }
            for extra in param.args().skip(1) {
                let message = format!("`param {name}` takes no value here");
                self.error("value-count", extra.span, message, format!("write `param {name} default=…`"));
            }
            params.push((name, param.prop("default")));
        }
        params
    }

    /// Unused blocks have not been expanded: their layers are read once, only to report their mistakes.
    fn unused_blocks(&mut self, nodes: &'a [Node]) {
        for node in nodes.iter().filter(|node| node.name.text == "block") {
            let Some((name, _)) = name_of(node).filter(|(name, _)| !self.used_blocks.contains(name)) else { continue };
            let Some(block) = self.blocks.get(&name) else { continue };
            let mut values = self.shared.clone();
            values.extend(block.params.iter().map(|(name, _)| (name.clone(), None)));
            let (places, unreadable, names) =
                (self.places.clone(), self.unreadable.clone(), std::mem::take(&mut self.names));
            let scope = LayerScope::new(Within::Block, values);
            let nodes = block.nodes;
            let taps = self.points.taps.len();
            self.open.push(name);
            self.enclosed(nodes, &scope);
            self.open.pop();
            self.points.taps.truncate(taps);
            (self.places, self.unreadable, self.names) = (places, unreadable, names);
        }
    }

    pub(super) fn layers(&mut self, nodes: &'a [Node], scope: &LayerScope) -> Vec<Layer> {
        let mut layers = Vec::new();
        self.lists += 1;
        self.depth += 1;
        let (lists, depth) = (self.lists, self.depth);
        for node in nodes {
            if self.places.len() > MOST_LAYERS || lists > MOST_LISTS || depth > DEEPEST {
                if !self.full {
                    let message = if depth > DEEPEST {
                        format!("layers are nested more than {DEEPEST} deep")
                    } else {
                        format!("more than {MOST_LAYERS} layers")
                    };
                    self.error("network-size", self.head, message, "use fewer blocks");
                }
                self.full = true;
            }
            if self.full || self.points.reached() {
                break;
            }
            let name = node.name.text.as_str();
            match (name, scope.within) {
                ("doc" | "param", Within::Network | Within::Block)
                | ("block" | "input" | "auxiliary", Within::Network) => {}
                ("block" | "param" | "input" | "auxiliary", _) => {
                    let hint = match name {
                        "block" => "declare blocks directly inside the network; they may use each other",
                        "input" => "declare inputs directly inside the network",
                        "auxiliary" => "put it directly inside the network, with `from=` a tap",
                        _ => "declare it directly inside the block or the network",
                    };
                    self.error("unknown-node", node.name.span, format!("`{name}` is not allowed here"), hint);
                }
                ("repeat", _) => layers.extend(self.repeat(node, scope)),
                _ if self.blocks.contains_key(name) => layers.extend(self.use_block(node, scope)),
                _ => {
                    if let Some(kind) = find(name) {
                        layers.push(self.layer(node, kind, scope));
                        continue;
                    }
                    let known = self.known;
                    if let Some(network) = known.get(name) {
                        layers.extend(self.use_network(node, network, scope));
                        continue;
                    }
                    let own = self.blocks.keys().map(String::as_str);
                    let known = KINDS.iter().map(|kind| kind.name).chain(["repeat", "auxiliary"]).chain(own);
                    let bare = near::unqualified(name);
                    let hint = meant(bare)
                        .or_else(|| near::near(bare, known).map(|near| format!("did you mean `{near}`?")))
                        .unwrap_or_else(|| "`macula doc layers` lists the layers".to_owned());
                    self.error("unknown-layer", node.name.span, format!("unknown layer `{name}`"), hint);
                    layers.push(self.unread(node.head, scope));
                }
            }
        }
        self.depth -= 1;
        layers
    }

    /// `repeat TIMES [NAME] [from=0] { … }`: its layers several times, with tensors named `NAME.0.…`, `NAME.1.…`.
    fn repeat(&mut self, node: &'a Node, scope: &LayerScope) -> Vec<Layer> {
        let form = "write `repeat 2 layer1 { … }`, with tensors named `layer1.0.…` and `layer1.1.…`";
        let before = self.diags.len();
        for (key, _) in node.props().filter(|(key, _)| key.text != "from") {
            let count = near::near(&key.text, ["times", "count"]).is_some();
            let hint = if count { form.to_owned() } else { near::hint(&key.text, ["from"], "") };
            self.error("unknown-param", key.span, format!("`repeat` has no property `{}`", key.text), hint);
        }
        let from = node.prop("from").map_or(Some(0), |entry| self.whole(entry, "from", MOST_TIMES, scope));
        let mut args = node.args();
        let times = if let Some(entry) = args.next() {
            self.whole(entry, "repeat", MOST_TIMES, scope)
        } else {
            self.error("missing-param", node.head, "`repeat` needs a count", form);
            None
        };
        let mut name = String::new();
        if let Some(entry) = args.next() {
            match entry.text().filter(|text| is_tensor_name(text)) {
                Some(text) => name = format!("{text}."),
                None => self.error("missing-name", entry.span, "`repeat` takes a name after its count", form),
            }
        }
        for extra in args {
            self.error("value-count", extra.span, "`repeat` takes a count and a name", form);
        }
        if node.nodes().is_empty() && self.diags.len() == before {
            self.error("missing-param", node.head, "`repeat` is empty", form);
        }
        let known = from.zip(times);
        let mut layers = Vec::new();
        // If the count is unknown, once, so that mistakes inside are reported.
        let (from, times) = known.unwrap_or((0, 1));
        for at in from..from + times {
            let inner =
                LayerScope { prefix: format!("{}{name}{at}.", scope.prefix), within: Within::Layer, ..scope.clone() };
            layers.extend(self.layers(node.nodes(), &inner));
            if self.full || self.points.reached() {
                break;
            }
        }
        if known.is_none() {
            layers.push(self.unread(node.head, scope));
        }
        layers
    }

    fn use_block(&mut self, node: &'a Node, scope: &LayerScope) -> Vec<Layer> {
        let kind = &node.name.text;
        self.used_blocks.insert(kind.clone());
        if self.open.contains(kind) {
            let message = format!("block `{kind}` uses itself");
            self.error("cycle", node.name.span, message, "write the layers directly, or use `repeat`");
            return vec![self.unread(node.head, scope)];
        }
        let mut args = node.args();
        let prefix = match args.next() {
            None => scope.prefix.clone(),
            Some(entry) => {
                if let Some(name) = entry.text().filter(|text| is_tensor_name(text)) {
                    format!("{}{name}.", scope.prefix)
                } else {
                    let hint = format!("write `{kind} layer1 …`, the prefix of its tensor names");
                    self.error("missing-name", entry.span, format!("block `{kind}` takes a name here"), hint);
                    scope.prefix.clone()
                }
            }
        };
        for extra in args {
            let hint = format!("give parameters by name: `{kind} layer1 channels=64`");
            self.error("value-count", extra.span, format!("block `{kind}` takes one name"), hint);
        }
        if node.children.is_some() {
            let message = format!("a use of block `{kind}` has no braces");
            self.error("unknown-node", node.head, message, "remove the braces and put the layers after it");
        }
        let block = &self.blocks[kind];
        let (nodes, params) = (block.nodes, block.params.clone());
        // A block can use the network's parameters; its own take precedence.
        let shared = LayerScope { values: self.shared.clone(), ..scope.clone() };
        let mut values = self.shared.clone();
        for (param, default) in &params {
            let value = if let Some(entry) = node.prop(param) {
                self.scalar(entry, scope)
            } else if let Some(default) = default {
                self.scalar(default, &shared)
            } else {
                let message = format!("block `{kind}` needs `{param}`");
                self.error("missing-param", node.head, message, format!("write `{kind} … {param}=…`"));
                None
            };
            values.insert(param.clone(), value);
        }
        for (key, _) in node.props() {
            if params.iter().all(|(param, _)| *param != key.text) {
                let known = params.iter().map(|(param, _)| param.as_str());
                let hint = near::hint(&key.text, known, "it has no parameters");
                self.error("unknown-param", key.span, format!("block `{kind}` has no parameter `{}`", key.text), hint);
            }
        }
        self.open.push(kind.clone());
        let used = scope.used.or(Some(node.head));
        let layers = self.layers(nodes, &LayerScope { prefix, values, within: Within::Block, used, ..scope.clone() });
        self.open.pop();
        layers
    }

    /// A placeholder for an unreadable layer.
    pub(super) fn unread(&mut self, span: Span, scope: &LayerScope) -> Layer {
        self.unreadable.insert(self.places.len());
        self.place(span, scope);
        super::PLACEHOLDER
    }

    /// Records the position of the next layer.
    pub(super) fn place(&mut self, span: Span, scope: &LayerScope) {
        let place = self.at.map_or((span, scope.used), |at| (at, None));
        self.places.push(place);
    }
}

impl LayerScope {
    fn new(within: Within, values: BTreeMap<String, Option<Scalar>>) -> Self {
        Self { prefix: String::new(), values, within, used: None, shared: None, in_branch: false }
    }

    /// The scope inside the braces of a layer, with a longer prefix.
    pub(super) fn inside(&self, prefix: &str) -> Self {
        Self { prefix: format!("{}{prefix}", self.prefix), within: Within::Layer, ..self.clone() }
    }
}
