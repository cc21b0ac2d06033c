//! Networks from KDL: `network NAME { layers }`, with `block`s for what repeats.

use std::collections::BTreeMap;

use super::network::{Layer, NetworkSpec};
use super::{near, shapes};
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Entry, Node, Scalar};

/// A network as described: its layers, its words, and where each layer stands.
#[derive(Clone, Debug)]
pub struct Described {
    /// The layers.
    pub spec: NetworkSpec,
    /// Its `doc`.
    pub doc: Option<String>,
    /// Where each layer stands, in the order of [`shapes::shapes`]; a layer of a block stands where it is written there.
    pub spans: Vec<Span>,
    /// Its name where it is declared.
    pub span: Span,
}

/// A kind of layer and what it is written with.
struct Kind {
    name: &'static str,
    /// Whether it has tensors, and so a name.
    named: bool,
    must: &'static [&'static str],
    may: &'static [&'static str],
}

const fn kind(name: &'static str, named: bool, must: &'static [&'static str], may: &'static [&'static str]) -> Kind {
    Kind { name, named, must, may }
}

const KINDS: [Kind; 10] = [
    kind("conv", true, &["out", "kernel"], &["stride", "padding", "groups", "bias"]),
    kind("batch-norm", true, &[], &["eps", "momentum"]),
    kind("relu", false, &[], &[]),
    kind("max-pool", false, &["kernel"], &["stride", "padding"]),
    kind("avg-pool", false, &["kernel"], &["stride"]),
    kind("global-avg-pool", false, &[], &[]),
    kind("flatten", false, &[], &[]),
    kind("dropout", false, &["share"], &[]),
    kind("linear", true, &[], &["out", "bias"]),
    kind("residual", false, &[], &[]),
];

/// More layers than this come only from blocks that multiply each other.
const MOST_LAYERS: usize = 4096;

/// Reads one `network` node. None where it can't be used, and then there is an error that says why.
#[must_use]
pub fn describe(node: &Node) -> (Option<Described>, Vec<Diag>) {
    let Some((name, span)) = name_of(node) else {
        let found = Diag::error("missing-name", node.head, "a network needs a name");
        return (None, vec![found.hint("write `network my-cnn { … }`")]);
    };
    let mut reader = Reader {
        blocks: BTreeMap::new(),
        spans: Vec::new(),
        names: BTreeMap::new(),
        diags: Vec::new(),
        open: Vec::new(),
    };
    for block in node.nodes().iter().filter(|node| node.name.text == "block") {
        reader.block(block);
    }
    let layers =
        reader.layers(node.nodes(), &Scope { prefix: String::new(), values: BTreeMap::new(), within: "network" });
    let Reader { spans, mut diags, .. } = reader;
    let doc = node.child("doc").and_then(|doc| doc.args().next()).and_then(Entry::text).map(str::to_owned);
    let described = Described { spec: NetworkSpec { name, layers }, doc, spans, span };
    if diags.is_empty()
        && let Err(wrong) = shapes::shapes(&described.spec, 1024, 4)
    {
        diags.push(misfit(&described, &wrong));
    }
    (diags.is_empty().then_some(described), diags)
}

/// The diagnostic of a network that does not fit, at the layer that fails.
#[must_use]
pub fn misfit(described: &Described, wrong: &shapes::Misfit) -> Diag {
    let span = described.spans.get(wrong.layer).copied().unwrap_or(described.span);
    let found = Diag::error("network-shape", span, format!("network `{}`: {}", described.spec.name, wrong.message));
    found.hint(wrong.hint.clone())
}

fn name_of(node: &Node) -> Option<(String, Span)> {
    node.args().next().and_then(|entry| entry.text().map(|text| (text.to_owned(), entry.span)))
}

struct Block<'a> {
    params: Vec<(String, Option<&'a Entry>)>,
    nodes: &'a [Node],
}

/// Where layers are read: under which prefix of tensor names, with which values, within what.
struct Scope<'a> {
    prefix: String,
    values: BTreeMap<String, Scalar>,
    within: &'a str,
}

struct Reader<'a> {
    blocks: BTreeMap<String, Block<'a>>,
    spans: Vec<Span>,
    names: BTreeMap<String, Span>,
    diags: Vec<Diag>,
    /// The blocks that are being laid out.
    open: Vec<String>,
}

impl<'a> Reader<'a> {
    fn wrong(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        let diag = Diag::error(code, span, message).hint(hint);
        // A block that is used twice says what is wrong with it once.
        if !self.diags.contains(&diag) {
            self.diags.push(diag);
        }
    }

    fn block(&mut self, node: &'a Node) {
        let Some((name, span)) = name_of(node) else {
            return self.wrong("missing-name", node.head, "a block needs a name", "write `block basic { … }`");
        };
        if KINDS.iter().any(|kind| kind.name == name) || self.blocks.contains_key(&name) {
            return self.wrong("duplicate-name", span, format!("`{name}` is taken"), "give the block another name");
        }
        let mut params = Vec::new();
        for param in node.nodes().iter().filter(|node| node.name.text == "param") {
            match name_of(param) {
                Some((name, _)) => params.push((name, param.prop("default"))),
                None => self.wrong("missing-name", param.head, "a parameter needs a name", "write `param channels`"),
            }
        }
        self.blocks.insert(name, Block { params, nodes: node.nodes() });
    }

    fn layers(&mut self, nodes: &'a [Node], scope: &Scope) -> Vec<Layer> {
        let mut layers = Vec::new();
        for node in nodes {
            let name = node.name.text.as_str();
            match (name, scope.within) {
                ("doc", "network" | "block") | ("param", "block") | ("block", "network") => {}
                ("residual", _) => layers.extend(self.residual(node, scope)),
                _ if self.blocks.contains_key(name) => layers.extend(self.use_block(node, scope)),
                _ => {
                    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
                        layers.extend(self.layer(node, kind, scope));
                        continue;
                    }
                    let known = KINDS.iter().map(|kind| kind.name).chain(self.blocks.keys().map(String::as_str));
                    let hint = near::hint(name, known, "`macula explain unknown-layer` lists the layers");
                    self.wrong("unknown-layer", node.name.span, format!("there is no layer `{name}`"), hint);
                }
            }
            if self.spans.len() > MOST_LAYERS {
                self.wrong("network-size", node.head, format!("more than {MOST_LAYERS} layers"), "use fewer blocks");
                break;
            }
        }
        layers
    }

    fn use_block(&mut self, node: &'a Node, scope: &Scope) -> Vec<Layer> {
        let kind = &node.name.text;
        if self.open.contains(kind) {
            let message = format!("block `{kind}` uses itself");
            self.wrong("cycle", node.name.span, message, "write out what repeats");
            return Vec::new();
        }
        let Some((name, _)) = name_of(node) else {
            let hint = format!("write `{kind} layer1 …`: tensors are named by it");
            self.wrong("missing-name", node.head, format!("each use of block `{kind}` needs a name"), hint);
            return Vec::new();
        };
        let block = &self.blocks[kind];
        let (nodes, params) = (block.nodes, block.params.clone());
        let mut values = BTreeMap::new();
        for (param, default) in &params {
            if let Some(entry) = node.prop(param).or(*default) {
                values.extend(self.scalar(entry, scope).map(|value| (param.clone(), value)));
            } else {
                let message = format!("block `{kind}` needs `{param}`");
                self.wrong("missing-param", node.head, message, format!("write `{kind} {name} {param}=…`"));
            }
        }
        for (key, _) in node.props() {
            if params.iter().all(|(param, _)| *param != key.text) {
                let hint =
                    near::hint(&key.text, params.iter().map(|(param, _)| param.as_str()), "it has no parameters");
                self.wrong("unknown-param", key.span, format!("block `{kind}` has no parameter `{}`", key.text), hint);
            }
        }
        self.open.push(kind.clone());
        let scope = Scope { prefix: format!("{}{name}.", scope.prefix), values, within: "block" };
        let layers = self.layers(nodes, &scope);
        self.open.pop();
        layers
    }

    fn residual(&mut self, node: &'a Node, scope: &Scope) -> Option<Layer> {
        self.spans.push(node.head);
        let inner = Scope { prefix: scope.prefix.clone(), values: scope.values.clone(), within: "residual" };
        let Some(body) = node.child("body") else {
            let hint = "write `residual { body { … } shortcut { … } }`; without a shortcut it is the identity";
            self.wrong("missing-param", node.head, "`residual` needs a `body`", hint);
            return None;
        };
        for other in node.nodes().iter().filter(|node| !["body", "shortcut"].contains(&node.name.text.as_str())) {
            let message = format!("`residual` holds `body` and `shortcut`, not `{}`", other.name.text);
            self.wrong("unknown-layer", other.name.span, message, "put the layers inside one of the two");
        }
        let body = self.layers(body.nodes(), &inner);
        let shortcut = node.child("shortcut").map_or_else(Vec::new, |shortcut| self.layers(shortcut.nodes(), &inner));
        Some(Layer::Residual { body, shortcut })
    }

    fn layer(&mut self, node: &'a Node, kind: &Kind, scope: &Scope) -> Option<Layer> {
        for (key, _) in node.props() {
            let known = || kind.must.iter().chain(kind.may).copied();
            if known().all(|name| name != key.text) {
                let hint = near::hint(&key.text, known(), "it has none");
                self.wrong("unknown-param", key.span, format!("`{}` has no property `{}`", kind.name, key.text), hint);
            }
        }
        for must in kind.must.iter().filter(|must| node.prop(must).is_none()) {
            let hint = format!("write `{} … {must}=…`", kind.name);
            self.wrong("missing-param", node.head, format!("`{}` needs `{must}`", kind.name), hint);
        }
        let name = if kind.named { self.tensor_name(node, scope)? } else { String::new() };
        self.spans.push(node.head);
        let missing = self.diags.len();
        let mut int =
            |key: &str, default: usize, least: i64, most: i64| self.int(node, key, default, (least, most), scope);
        let layer = match kind.name {
            "conv" => Layer::Conv {
                name,
                out: int("out", 1, 1, 65_536),
                kernel: int("kernel", 1, 1, 64),
                stride: int("stride", 1, 1, 64),
                padding: int("padding", 0, 0, 64),
                groups: int("groups", 1, 1, 65_536),
                bias: self.flag(node, "bias", scope),
            },
            "batch-norm" => Layer::BatchNorm {
                name,
                eps: self.real(node, "eps", 1e-5, scope),
                momentum: self.real(node, "momentum", 0.1, scope),
            },
            "relu" => Layer::Relu,
            "max-pool" => {
                let kernel = int("kernel", 1, 1, 64);
                Layer::MaxPool {
                    kernel,
                    stride: int("stride", kernel, 1, 64),
                    padding: int("padding", 0, 0, kernel as i64 / 2),
                }
            }
            "avg-pool" => {
                let kernel = int("kernel", 1, 1, 64);
                Layer::AvgPool { kernel, stride: int("stride", kernel, 1, 64) }
            }
            "global-avg-pool" => Layer::GlobalAvgPool,
            "flatten" => Layer::Flatten,
            "dropout" => Layer::Dropout { share: self.real(node, "share", 0.5, scope) },
            _ => {
                let out = node.prop("out").is_some().then(|| int("out", 1, 1, 65_536));
                Layer::Linear { name, out, bias: self.flag(node, "bias", scope) }
            }
        };
        (self.diags.len() == missing).then_some(layer)
    }

    fn tensor_name(&mut self, node: &Node, scope: &Scope) -> Option<String> {
        let Some((name, span)) = name_of(node) else {
            let kind = &node.name.text;
            let hint = format!("write `{kind} {kind}1 …`: its tensors are named by it");
            self.wrong("missing-name", node.head, format!("`{kind}` needs a name"), hint);
            return None;
        };
        let full = format!("{}{name}", scope.prefix);
        if self.names.insert(full.clone(), span).is_some() {
            self.wrong("duplicate-name", span, format!("two layers are named `{full}`"), "give one another name");
        }
        Some(full)
    }

    /// The value of an entry, with `$name` looked up.
    fn scalar(&mut self, entry: &Entry, scope: &Scope) -> Option<Scalar> {
        let Some(name) = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$')) else {
            return Some(entry.value.clone());
        };
        let found = scope.values.get(name).cloned();
        if found.is_none() {
            let hint = near::hint(name, scope.values.keys().map(String::as_str), "a block declares it with `param`");
            self.wrong("unknown-name", entry.span, format!("there is no parameter `${name}` here"), hint);
        }
        found
    }

    fn int(&mut self, node: &Node, key: &str, default: usize, (least, most): (i64, i64), scope: &Scope) -> usize {
        let Some(entry) = node.prop(key) else { return default };
        match self.scalar(entry, scope) {
            Some(Scalar::Int(value)) if (least..=most).contains(&value) => value as usize,
            Some(Scalar::Int(value)) => {
                let hint = format!("from {least} to {most}");
                self.wrong("out-of-range", entry.span, format!("`{key}` can't be {value}"), hint);
                default
            }
            Some(_) => {
                self.wrong("wrong-kind", entry.span, format!("`{key}` is a whole number"), format!("write `{key}=3`"));
                default
            }
            None => default,
        }
    }

    fn real(&mut self, node: &Node, key: &str, default: f64, scope: &Scope) -> f64 {
        let Some(entry) = node.prop(key) else { return default };
        let value = match self.scalar(entry, scope) {
            Some(Scalar::Real(value)) => value,
            Some(Scalar::Int(value)) => value as f64,
            Some(_) => {
                self.wrong(
                    "wrong-kind",
                    entry.span,
                    format!("`{key}` is a number"),
                    format!("write `{key}={default:?}`"),
                );
                return default;
            }
            None => return default,
        };
        if !(0.0..1.0).contains(&value) {
            self.wrong("out-of-range", entry.span, format!("`{key}` can't be {value:?}"), "from 0 to under 1");
        }
        value
    }

    /// `bias`; true where it is not given.
    fn flag(&mut self, node: &Node, key: &str, scope: &Scope) -> bool {
        let Some(entry) = node.prop(key) else { return true };
        match self.scalar(entry, scope) {
            Some(Scalar::Bool(value)) => value,
            Some(_) => {
                self.wrong(
                    "wrong-kind",
                    entry.span,
                    format!("`{key}` is `#true` or `#false`"),
                    format!("write `{key}=#false`"),
                );
                true
            }
            None => true,
        }
    }
}
