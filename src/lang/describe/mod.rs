//! Networks from KDL: `network NAME { layers }`, with `block`s for what is used again and `repeat` for what repeats.

pub mod kinds;
mod layers;
pub mod page;
mod read;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::network::{Layer, NetworkSpec};
use super::shapes;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Entry, Node};

/// A network as described: its layers, its words, and where each layer stands.
#[derive(Clone, Debug)]
pub struct Described {
    /// The layers.
    pub spec: NetworkSpec,
    /// Its `doc`.
    pub doc: Option<String>,
    /// Where each layer stands, in the order of [`shapes::shapes`]; a layer of a block stands where it is written there.
    pub spans: Vec<Span>,
    /// For each layer of a block, where the outermost use of it stands.
    pub uses: Vec<Option<Span>>,
    /// Its name where it is declared.
    pub span: Span,
    /// Its parameters, with their defaults.
    pub params: Vec<(String, Option<Entry>)>,
    /// What it was read from.
    node: Node,
    /// The values that were given to its parameters.
    given: BTreeMap<String, Entry>,
}

impl Described {
    /// The same network with other values of its parameters; what was given before and is not given now stays.
    #[must_use]
    pub fn with(&self, values: &BTreeMap<String, Entry>) -> (Option<Self>, Vec<Diag>) {
        let mut given = self.given.clone();
        given.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        let (described, diags) = lay_out(&self.node, &given);
        (described.map(|described| described.called(&self.spec.name)), diags)
    }

    /// The same network under the name that it has elsewhere.
    #[must_use]
    pub fn called(&self, name: &str) -> Self {
        let mut described = self.clone();
        name.clone_into(&mut described.spec.name);
        described
    }
}

/// Reads one `network` node. None where it can't be used, and then there is an error that says why.
#[must_use]
pub fn describe(node: &Node) -> (Option<Described>, Vec<Diag>) {
    let (described, mut diags) = lay_out(node, &BTreeMap::new());
    unused_params(node, &mut diags);
    (described, diags)
}

/// Warns of parameters of the network and of its blocks that nothing in them uses.
fn unused_params(node: &Node, diags: &mut Vec<Diag>) {
    for param in node.nodes().iter().filter(|child| child.name.text == "param") {
        let Some((name, span)) = name_of(param) else { continue };
        if !uses(node, &name) {
            let found = Diag::warning("unused-param", span, format!("nothing uses parameter `{name}`"));
            diags.push(found.hint(format!("write `${name}` where its value belongs, or take it out")));
        }
    }
    node.nodes().iter().filter(|child| child.name.text == "block").for_each(|block| unused_params(block, diags));
}

/// Whether `$name` stands in a node's braces, where a block's own parameter of that name does not hide it.
fn uses(node: &Node, name: &str) -> bool {
    let is_use = |entry: &Entry| !entry.quoted && entry.text().and_then(|text| text.strip_prefix('$')) == Some(name);
    let hides = |child: &Node| {
        let params = child.nodes().iter().filter(|inner| inner.name.text == "param");
        child.name.text == "block" && params.filter_map(name_of).any(|(own, _)| own == name)
    };
    node.nodes().iter().any(|child| child.entries.iter().any(is_use) || !hides(child) && uses(child, name))
}

fn lay_out(node: &Node, values: &BTreeMap<String, Entry>) -> (Option<Described>, Vec<Diag>) {
    let Some((name, span)) = name_of(node) else {
        let found = Diag::error("missing-name", node.head, "a network needs a name");
        return (None, vec![found.hint("write `network my-cnn { … }`")]);
    };
    let mut reader = read::Reader::new(node);
    let (params, layers) = reader.network(node, values);
    let read::Reader { places, unreadable, full, mut diags, .. } = reader;
    let doc = node.child("doc").and_then(|doc| doc.args().next()).and_then(Entry::text).map(str::to_owned);
    let (spans, uses) = places.into_iter().unzip();
    let spec = NetworkSpec { name, layers };
    let described = Described { spec, doc, spans, uses, span, params, node: node.clone(), given: values.clone() };
    // Layers that could not be read give nothing known, so that what follows from them is not told as mistakes of its own.
    let mut told = BTreeSet::new();
    let misfits = if full { Vec::new() } else { shapes::misfits(&described.spec, &unreadable) };
    for wrong in misfits {
        let diag = misfit(&described, &wrong);
        if told.insert(diag.labels.first().map(|label| (label.span.start, label.span.end))) {
            diags.push(diag);
        }
    }
    (diags.is_empty().then_some(described), diags)
}

/// The diagnostic of a network that does not fit, at the layer that fails.
#[must_use]
pub fn misfit(described: &Described, wrong: &shapes::Misfit) -> Diag {
    let span = described.spans.get(wrong.layer).copied().unwrap_or(described.span);
    let found = Diag::error("shape-mismatch", span, format!("network `{}`: {}", described.spec.name, wrong.message));
    let found = match described.uses.get(wrong.layer) {
        Some(Some(used)) => found.also(*used, "of the block that is used here"),
        _ => found,
    };
    found.hint(wrong.hint.clone())
}

/// The first argument, where it is text.
fn name_of(node: &Node) -> Option<(String, Span)> {
    node.args().next().and_then(|entry| entry.text().map(|text| (text.to_owned(), entry.span)))
}

/// What stands for a layer that could not be read.
const PLACEHOLDER: Layer = Layer::Relu;
