//! Networks from KDL: `network NAME { layers }`, with `block`s for reused parts and `repeat` for repetition.

mod inner;
pub mod kinds;
mod layers;
pub mod page;
mod points;
mod read;
pub(in crate::lang) mod used;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::near;
use super::network::{Layer, NetworkSpec};
use super::shapes;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Node, NodeEntry};

pub use points::{KnownNetwork, KnownNetworks, TapPlace};

/// A network with its source: its layers, its documentation, and the position of each layer.
#[derive(Clone, Debug)]
pub struct Described {
    /// The layers.
    pub spec: NetworkSpec,
    /// Its `doc`.
    pub doc: Option<String>,
    /// Position of each layer, in the order of [`shapes::shapes`]; for a layer of a block, its position in the block.
    pub spans: Vec<Span>,
    /// For each layer of a block, the outermost use of that block.
    pub uses: Vec<Option<Span>>,
    /// Its name where it is declared.
    pub span: Span,
    /// Its parameters, with their defaults.
    pub params: Vec<(String, Option<NodeEntry>)>,
    /// Its taps outside of residuals and branches.
    pub taps: Vec<TapPlace>,
    /// The node it was read from.
    node: Node,
    /// The values given to its parameters.
    given: BTreeMap<String, NodeEntry>,
    /// The networks that it may use.
    known: KnownNetworks,
}

impl Described {
    /// The same network with other parameter values; values given earlier stay unless they are given again.
    #[must_use]
    pub fn with(&self, values: &BTreeMap<String, NodeEntry>) -> (Option<Self>, Vec<Diag>) {
        let mut given = self.given.clone();
        given.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        let (described, diags) = lay_out(&self.node, &given, &self.known);
        (described.map(|described| described.called(&self.spec.name)), diags)
    }

    /// The node it was read from.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The network up to a tap; [`None`] if it has no such tap.
    #[must_use]
    pub fn until(&self, tap: &str) -> Option<Self> {
        let last = self.taps.iter().find(|place| place.name == tap)?.row;
        let mut rows = 0..;
        let is_before = |layer: &&Layer| {
            let row = rows.start;
            rows.start += shapes::rows(layer);
            last.is_some_and(|last| row <= last)
        };
        let mut described = self.clone();
        described.spec.layers = self.spec.layers.iter().take_while(is_before).cloned().collect();
        described.spec.name = format!("{} to={tap}", self.spec.name);
        described.spec.auxiliary.clear();
        described.taps.clear();
        Some(described)
    }

    /// Message and hint for a tap that it does not have.
    pub(in crate::lang) fn no_tap(&self, name: &str) -> (String, String) {
        let taps = self.taps.iter().map(|tap| tap.name.as_str());
        let all = near::names(taps.clone());
        let otherwise = if all.is_empty() {
            "it has none; write `tap NAME` in it".to_owned()
        } else {
            format!("its taps are {all}")
        };
        let near = near::near(name, taps).map(|near| format!("did you mean `{near}`? {otherwise}"));
        (format!("network `{}` has no tap `{name}`", self.spec.name), near.unwrap_or(otherwise))
    }

    /// The same network under another name.
    #[must_use]
    pub fn called(&self, name: &str) -> Self {
        let mut described = self.clone();
        name.clone_into(&mut described.spec.name);
        described
    }
}

/// Reads a `network` node that may use the networks in `known`. [`None`] if it has mistakes, which are then in the diagnostics, or if it
/// uses a network that has some.
#[must_use]
pub fn describe(node: &Node, known: &KnownNetworks) -> (Option<Described>, Vec<Diag>) {
    let (described, mut diags) = lay_out(node, &BTreeMap::new(), known);
    unused_params(node, &mut diags);
    unused_inputs(node, described.as_ref(), &mut diags);
    (described, diags)
}

/// Warns of inputs at which no branch starts.
fn unused_inputs(node: &Node, described: Option<&Described>, diags: &mut Vec<Diag>) {
    let Some(described) = described else { return };
    let (used, embeddings) = (described.spec.inputs(), described.spec.embeddings());
    for (name, span) in node.nodes().iter().filter(|child| child.name.text == "input").filter_map(name_of) {
        if used.iter().all(|input| input.name() != name) && !embeddings.contains(&name) {
            let found = Diag::warning("unused-input", span, format!("input `{name}` is not used"));
            diags.push(found.hint(format!("start a branch at it, `branch from={name} {{ … }}`, or remove it")));
        }
    }
}

/// Warns of unused parameters of the network and of its blocks.
fn unused_params(node: &Node, diags: &mut Vec<Diag>) {
    for param in node.nodes().iter().filter(|child| child.name.text == "param") {
        let Some((name, span)) = name_of(param) else { continue };
        if !uses(node, &name) {
            let found = Diag::warning("unused-param", span, format!("parameter `{name}` is not used"));
            diags.push(found.hint(format!("use it as `${name}`, or remove it")));
        }
    }
    node.nodes().iter().filter(|child| child.name.text == "block").for_each(|block| unused_params(block, diags));
}

/// Whether `$name` is used in a node's braces, other than in a block with its own parameter of that name.
fn uses(node: &Node, name: &str) -> bool {
    let is_use =
        |entry: &NodeEntry| !entry.quoted && entry.text().and_then(|text| text.strip_prefix('$')) == Some(name);
    let hides = |child: &Node| {
        let params = child.nodes().iter().filter(|inner| inner.name.text == "param");
        child.name.text == "block" && params.filter_map(name_of).any(|(own, _)| own == name)
    };
    node.nodes().iter().any(|child| child.entries.iter().any(is_use) || !hides(child) && uses(child, name))
}

fn lay_out(node: &Node, values: &BTreeMap<String, NodeEntry>, known: &KnownNetworks) -> (Option<Described>, Vec<Diag>) {
    let Some((name, span)) = name_of(node) else {
        let found = Diag::error("missing-name", node.head, "a network needs a name");
        return (None, vec![found.hint("write `network my-cnn { … }`")]);
    };
    let mut reader = read::NetworkReader::new(node, known);
    let read::NetworkParts { params, layers, auxiliary } = reader.network(node, values);
    reader.unknown_points();
    let (layers, auxiliary, taps) = reader.pruned(layers, auxiliary);
    let read::NetworkReader { places, unreadable, full, broken, prefixes, mut diags, .. } = reader;
    let doc = node.child("doc").and_then(|doc| doc.args().next()).and_then(NodeEntry::text).map(str::to_owned);
    let (spans, uses) = places.into_iter().unzip();
    let spec = NetworkSpec { name, layers, prefixes, auxiliary };
    let (given, known) = (values.clone(), known.clone());
    let described = Described { spec, doc, spans, uses, span, params, taps, node: node.clone(), given, known };
    // The output of an unreadable layer is unknown, so that it causes no further mistakes.
    let mut reported = BTreeSet::new();
    let misfits = if full { Vec::new() } else { shapes::misfits(&described.spec, &unreadable) };
    for wrong in misfits {
        let diag = misfit(&described, &wrong);
        if reported.insert(diag.labels.first().map(|label| (label.span.start, label.span.end))) {
            diags.push(diag);
        }
    }
    ((diags.is_empty() && !broken).then_some(described), diags)
}

/// The diagnostic for a misfit, at the layer that fails.
#[must_use]
pub fn misfit(described: &Described, wrong: &shapes::Misfit) -> Diag {
    let span = described.spans.get(wrong.layer).copied().unwrap_or(described.span);
    let found = Diag::error("shape-mismatch", span, format!("network `{}`: {}", described.spec.name, wrong.message));
    let found = match described.uses.get(wrong.layer) {
        Some(Some(used)) => found.also(*used, "in the block used here"),
        _ => found,
    };
    found.hint(wrong.hint.clone())
}

/// The first argument, if it is text.
fn name_of(node: &Node) -> Option<(String, Span)> {
    node.args().next().and_then(|entry| entry.text().map(|text| (text.to_owned(), entry.span)))
}

/// The placeholder for an unreadable layer.
const PLACEHOLDER: Layer = Layer::Relu;

/// Whether a text can be part of a tensor name.
#[must_use]
pub fn is_tensor_name(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_".contains(c)))
}
