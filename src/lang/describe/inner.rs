//! Networks inside networks, taps, and the inputs and taps at which branches start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::points::{DeclaredTap, KnownNetwork, TapPlace, UpTo};
use super::read::{LayerScope, NetworkReader, Within};
use super::{Described, is_tensor_name, name_of};
use crate::lang::near;
use crate::lang::network::{Auxiliary, Branch, InputKind, Layer};
use crate::syntax::{Node, NodeEntry, Scalar};

impl<'a> NetworkReader<'a> {
    /// `input NAME`.
    pub(super) fn input(&mut self, node: &'a Node) {
        let all = || InputKind::ALL.into_iter().map(|(input, _)| input).filter(|input| *input != InputKind::Patch);
        let known = near::names(all().map(InputKind::name));
        let Some((name, span)) = name_of(node) else {
            return self.error("missing-name", node.head, "`input` needs a name", format!("the inputs are {known}"));
        };
        for extra in node.args().skip(1).chain(node.props().map(|(_, entry)| entry)) {
            self.error("value-count", extra.whole, "`input` takes only a name", "declare each input on its own line");
        }
        if node.children.is_some() {
            self.error("unknown-node", node.head, "`input` has no braces", "remove them");
        }
        if name == InputKind::Patch.name() {
            let hint = "remove it; `branch from=patch` works without";
            return self.error("unknown-name", span, "`patch` is not declared: every network has it", hint);
        }
        if InputKind::named(&name).is_none() {
            // Any other name is that of embeddings, unless it looks like a slip.
            if let Some(near) = near::near(&name, all().map(InputKind::name)) {
                let hint = format!("did you mean `{near}`? embeddings need a name that differs more from it");
                return self.error("unknown-name", span, format!("unknown input `{name}`"), hint);
            }
            if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) {
                let hint = "use letters, digits, `-` and `_`";
                return self.error("unknown-name", span, format!("`{name}` is not a valid name of an input"), hint);
            }
        }
        if self.points.inputs.insert(name.clone(), span).is_some() {
            self.error("duplicate-name", span, format!("input `{name}` is declared twice"), "remove one of them");
        }
    }

    /// `tap NAME`; a placeholder after reporting a mistake in it.
    pub(super) fn tap(&mut self, node: &'a Node, scope: &LayerScope) -> Layer {
        let before = self.diags.len();
        for extra in node.args().skip(1).chain(node.props().map(|(_, entry)| entry)) {
            self.error("value-count", extra.whole, "`tap` takes only a name", "write `tap features`");
        }
        if node.children.is_some() {
            self.error("unknown-node", node.head, "`tap` contains no layers", "put the layers before it");
        }
        let name = match name_of(node) {
            None => {
                self.error("missing-name", node.head, "`tap` needs a name", "write `tap features`");
                return self.unread(node.head, scope);
            }
            Some((name, span)) if !is_tensor_name(&name) => {
                let hint = "use letters, digits, `-`, `_`, and dots between them";
                self.error("missing-name", span, format!("`{name}` is not a valid name of a tap"), hint);
                return self.unread(node.head, scope);
            }
            Some((name, span)) if InputKind::named(&name).is_some() || self.points.inputs.contains_key(&name) => {
                self.error("duplicate-name", span, format!("`{name}` is the name of an input"), "rename the tap");
                return self.unread(node.head, scope);
            }
            Some((name, span)) => {
                let full = format!("{}{name}", scope.prefix);
                let level = self.points.level;
                let same = |(other, at): &(String, usize)| *other == full && self.points.taps[*at].level == level;
                if self.points.visible.iter().any(same) {
                    self.error("duplicate-name", span, format!("two taps are named `{full}`"), "rename one of them");
                }
                full
            }
        };
        if self.diags.len() > before {
            return self.unread(node.head, scope);
        }
        let level = self.points.level;
        self.points.visible.push((name.clone(), self.points.taps.len()));
        self.points.taps.push(DeclaredTap { name: name.clone(), level, used: false });
        for until in &mut self.points.until {
            until.reached |= until.name == name && until.level == level;
        }
        self.place(node.head, scope);
        Layer::Tap { name }
    }

    /// Layers in braces of a residual or a branch, whose taps are not in reach after them.
    pub(super) fn enclosed(&mut self, nodes: &'a [Node], scope: &LayerScope) -> Vec<Layer> {
        let visible = self.points.visible.len();
        self.points.level += 1;
        let layers = self.layers(nodes, scope);
        self.points.level -= 1;
        self.points.visible.truncate(visible);
        layers
    }

    /// `branch [NAME] [from=NAME] [share=#true] { … }`.
    pub(super) fn branch(&mut self, node: &'a Node, scope: &LayerScope) -> Branch {
        for (key, _) in node.props().filter(|(key, _)| !["from", "share"].contains(&key.text.as_str())) {
            let near = near::near(&key.text, ["from", "share"]).map(|near| format!("did you mean `{near}`?"));
            let hint = near.unwrap_or_else(|| "write `branch NAME { … }`; `join` belongs to `parallel`".to_owned());
            self.error("unknown-param", key.span, format!("`branch` has no property `{}`", key.text), hint);
        }
        let mut prefix = String::new();
        for (place, entry) in node.args().enumerate() {
            match entry.text().filter(|text| place == 0 && is_tensor_name(text)) {
                Some(name) => prefix = format!("{name}."),
                None => {
                    self.error("missing-name", entry.span, "`branch` takes one name", "write `branch NAME { … }`");
                }
            }
        }
        let from = node.prop("from").and_then(|entry| self.source(entry, "from", scope));
        let share = node.prop("share").is_some_and(|entry| match self.scalar(entry, scope) {
            Some(Scalar::Bool(share)) => share,
            Some(_) => {
                let hint = "write `share=#true` to use the tensors of an earlier branch";
                self.error("wrong-kind", entry.span, "`share` must be `#true` or `#false`", hint);
                false
            }
            None => false,
        });
        let mut inner = LayerScope { in_branch: true, ..scope.inside(&prefix) };
        let (shared, before) = (self.shared_layers, self.diags.len());
        if share {
            let names = self.names.keys().cloned().collect();
            inner.shared = Some(Arc::new(names));
        }
        let layers = self.enclosed(node.nodes(), &inner);
        if share && self.shared_layers == shared && self.diags.len() == before {
            let hint = "give the branch the same name as the earlier one, or remove `share=#true`";
            self.error("missing-name", node.head, "this branch shares no tensors with an earlier layer", hint);
        }
        Branch { from, share, layers }
    }

    /// `auxiliary NAME from=NAME [weight=0.3] { … }`; nothing after reporting a mistake in its own words.
    pub(super) fn auxiliary(&mut self, node: &'a Node, scope: &LayerScope) -> Option<Auxiliary> {
        let form = "write `auxiliary early from=TAP weight=0.3 { global-avg-pool; linear fc }`";
        let before = self.diags.len();
        for (key, _) in node.props().filter(|(key, _)| !["from", "weight"].contains(&key.text.as_str())) {
            let hint = near::near(&key.text, ["from", "weight"])
                .map_or_else(|| form.to_owned(), |near| format!("did you mean `{near}`?"));
            self.error("unknown-param", key.span, format!("`auxiliary` has no property `{}`", key.text), hint);
        }
        for extra in node.args().skip(1) {
            self.error("value-count", extra.span, "`auxiliary` takes one name", form);
        }
        let name = self.tensor_name(node, scope)?;
        if !self.points.auxiliary.insert(name.clone()) {
            let message = format!("two auxiliary outputs are called `{name}`");
            self.error("duplicate-name", node.head, message, "rename one of them");
        }
        let Some(entry) = node.prop("from") else {
            self.error("missing-param", node.head, "`auxiliary` needs `from`, the tap at which it starts", form);
            return None;
        };
        let from = self.source(entry, "from", scope);
        let weight = node.prop("weight").map_or(Some(Auxiliary::WEIGHT), |entry| self.weight(entry, scope));
        if node.nodes().is_empty() {
            self.error("missing-param", node.head, "`auxiliary` has no layers", form);
        }
        if self.diags.len() > before {
            return None;
        }
        self.place(node.head, scope);
        let inner = LayerScope { in_branch: true, ..scope.inside(&format!("{name}.")) };
        let layers = self.enclosed(node.nodes(), &inner);
        Some(Auxiliary { name, weight: weight?, branch: Branch { from, share: false, layers } })
    }

    /// The weight of an auxiliary output.
    fn weight(&mut self, entry: &NodeEntry, scope: &LayerScope) -> Option<f64> {
        let weight = match self.scalar(entry, scope)? {
            Scalar::Real(value) => value,
            Scalar::Int(value) => value as f64,
            _ => f64::NAN,
        };
        if (0.0..=Auxiliary::MOST).contains(&weight) {
            return Some(weight);
        }
        let message = format!("`weight` must be a number from 0 to {}", Auxiliary::MOST);
        self.error("out-of-range", entry.span, message, "the loss of the output is multiplied by it: `weight=0.3`");
        None
    }

    /// The full name of the input or tap that `property` names.
    pub(super) fn source(&mut self, entry: &NodeEntry, property: &str, scope: &LayerScope) -> Option<String> {
        let value = self.scalar(entry, scope)?;
        let Scalar::Text(name) = value else {
            let hint = format!("name an input or a tap: `{property}=half`");
            self.error("wrong-kind", entry.span, format!("`{property}` must be a name"), hint);
            return None;
        };
        if let Some(input) = InputKind::named(&name) {
            if input != InputKind::Patch && !self.points.inputs.contains_key(&name) {
                let hint = format!("declare it in the network: `input {name}`");
                self.error("unknown-name", entry.span, format!("input `{name}` is not declared"), hint);
                return None;
            }
            return Some(name);
        }
        if self.points.inputs.contains_key(&name) {
            return Some(name);
        }
        // The names around it, from the innermost.
        let mut prefix = scope.prefix.as_str();
        loop {
            let full = format!("{prefix}{name}");
            if let Some((_, at)) = self.points.visible.iter().rfind(|(other, _)| *other == full) {
                self.points.taps[*at].used = true;
                return Some(full);
            }
            if prefix.is_empty() {
                break;
            }
            let parts = prefix.trim_end_matches('.');
            prefix = parts.rfind('.').map_or("", |at| &prefix[..=at]);
        }
        let taps = self.points.visible.iter().map(|(name, _)| name.as_str());
        let names: BTreeSet<&str> =
            taps.chain(self.points.inputs.keys().map(String::as_str)).chain(["patch"]).collect();
        let hint = near::hint(&name, names, "");
        self.points.unknown.push((self.at.unwrap_or(entry.span), name, hint));
        None
    }

    /// Reports the names at which branches start and that nothing has in their place.
    pub(super) fn unknown_points(&mut self) {
        for (span, name, hint) in std::mem::take(&mut self.points.unknown) {
            let other = self.points.taps.iter().find(|tap| tap.name == name || tap.name.ends_with(&format!(".{name}")));
            let (message, hint) = match other {
                None => (format!("unknown input or tap `{name}`"), hint),
                Some(tap) if tap.level > 0 => {
                    let message = format!("tap `{name}` is not available here: it is inside a branch or a residual");
                    (message, "use a tap before it, in the same braces or around them".to_owned())
                }
                Some(_) => {
                    let message = format!("tap `{name}` is not available here: it comes later");
                    (message, "use a tap before it".to_owned())
                }
            };
            self.error("unknown-name", span, message, hint);
        }
    }

    /// A network inside a network: its layers, up to a tap if there is a `to=`.
    pub(super) fn use_network(&mut self, node: &'a Node, known: &'a KnownNetwork, scope: &LayerScope) -> Vec<Layer> {
        let name = node.name.text.as_str();
        let KnownNetwork::Whole(described) = known else {
            self.broken = true;
            return vec![self.unread(node.head, scope)];
        };
        let mut args = node.args();
        let mut prefix = scope.prefix.clone();
        if let Some(entry) = args.next() {
            if let Some(text) = entry.text().filter(|text| is_tensor_name(text)) {
                prefix = format!("{}{text}.", scope.prefix);
            } else {
                let hint = format!("write `{name} trunk …`, the prefix of its tensor names");
                self.error("missing-name", entry.span, format!("network `{name}` takes a name here"), hint);
            }
        }
        for extra in args {
            let hint = format!("write `{name} trunk to=…`");
            self.error("value-count", extra.span, format!("network `{name}` takes one name here"), hint);
        }
        if node.children.is_some() {
            let message = format!("a use of network `{name}` has no braces");
            self.error("unknown-node", node.head, message, "remove the braces and put the layers after it");
        }
        if !prefix.is_empty() {
            self.prefixes.insert(prefix.clone());
        }
        let to = node.prop("to").and_then(|entry| self.up_to(entry, described, &prefix, scope));
        let ended = node.prop("to").is_some() == to.is_some();
        let params: Vec<&str> = described.params.iter().map(|(param, _)| param.as_str()).collect();
        for (key, _) in node.props().filter(|(key, _)| key.text != "to" && !params.contains(&key.text.as_str())) {
            let hint = near::hint(&key.text, params.iter().copied().chain(["to"]), "");
            self.error("unknown-param", key.span, format!("network `{name}` has no parameter `{}`", key.text), hint);
        }
        let before = self.places.len();
        let layers = self.expanded(node, described, prefix, to, scope);
        if !ended {
            // Where it ends is not known, and so neither is its output.
            self.unreadable.extend(before..self.places.len());
        }
        layers
    }

    /// The tap up to which a network is used.
    fn up_to(&mut self, entry: &NodeEntry, of: &Described, prefix: &str, scope: &LayerScope) -> Option<UpTo> {
        let name = match self.scalar(entry, scope)? {
            Scalar::Text(name) => name,
            other => other.to_string(),
        };
        if of.taps.iter().all(|tap| tap.name != name) {
            let (message, hint) = of.no_tap(&name);
            self.error("unknown-name", entry.span, message, hint);
            return None;
        }
        Some(UpTo { name: format!("{prefix}{name}"), level: self.points.level, reached: false })
    }

    /// The layers of another network, with its own blocks, parameters, inputs and networks. Mistakes are reported where it is used.
    fn expanded(
        &mut self,
        node: &'a Node,
        of: &'a Described,
        prefix: String,
        to: Option<UpTo>,
        scope: &LayerScope,
    ) -> Vec<Layer> {
        let mut values = BTreeMap::new();
        for (param, default) in &of.params {
            let given = node.prop(param).map(|entry| self.scalar(entry, scope));
            let own = || of.given.get(param).or(default.as_ref()).map(|entry| entry.value.clone());
            values.insert(param.clone(), given.unwrap_or_else(own));
        }
        let outside = self.at;
        self.at = outside.or(Some(node.head));
        let blocks = std::mem::take(&mut self.blocks);
        let (open, used_blocks) = (std::mem::take(&mut self.open), std::mem::take(&mut self.used_blocks));
        let shared = std::mem::replace(&mut self.shared, values.clone());
        let known = std::mem::replace(&mut self.known, &of.known);
        let inputs = self.points.inputs.clone();
        let nodes = of.node.nodes();
        nodes.iter().filter(|node| node.name.text == "block").for_each(|block| self.block(block));
        for input in nodes.iter().filter(|node| node.name.text == "input") {
            self.points.inputs.extend(name_of(input));
        }
        let ends = to.is_some();
        self.points.until.extend(to);
        let inner = LayerScope { prefix, values, within: Within::Network, ..scope.clone() };
        let layers = self.layers(nodes, &inner);
        if ends {
            self.points.until.pop();
        }
        (self.blocks, self.open, self.used_blocks) = (blocks, open, used_blocks);
        (self.shared, self.known, self.points.inputs, self.at) = (shared, known, inputs, outside);
        layers
    }

    /// The layers without the taps that nothing refers to, and the taps up to which other networks can use this one.
    pub(super) fn pruned(
        &mut self,
        layers: Vec<Layer>,
        mut auxiliary: Vec<Auxiliary>,
    ) -> (Vec<Layer>, Vec<Auxiliary>, Vec<TapPlace>) {
        let mut pruning =
            Pruning { taps: &self.points.taps, tap: 0, row: 0, gone: BTreeSet::new(), places: Vec::new() };
        let layers = pruning.layers(layers, 0);
        for output in &mut auxiliary {
            pruning.row += 1;
            output.branch.layers = pruning.layers(std::mem::take(&mut output.branch.layers), 1);
        }
        let Pruning { gone, places, .. } = pruning;
        let before = |row: usize| row - gone.range(..row).count();
        let places = places.into_iter().map(|(name, row)| TapPlace { name, row: row.map(before) }).collect();
        self.unreadable = self.unreadable.difference(&gone).map(|row| before(*row)).collect();
        let mut row = 0..;
        self.places.retain(|_| !gone.contains(&row.next().unwrap_or_default()));
        (layers, auxiliary, places)
    }
}

/// Removal of taps that nothing refers to.
struct Pruning<'a> {
    taps: &'a [DeclaredTap],
    /// Number of taps passed.
    tap: usize,
    /// Number of rows passed.
    row: usize,
    /// Rows that go.
    gone: BTreeSet<usize>,
    /// Taps of the outermost level, with the row of the layer before them.
    places: Vec<(String, Option<usize>)>,
}

impl Pruning<'_> {
    fn layers(&mut self, layers: Vec<Layer>, level: usize) -> Vec<Layer> {
        let mut last = None;
        let mut kept = Vec::with_capacity(layers.len());
        for layer in layers {
            let row = self.row;
            self.row += 1;
            match layer {
                Layer::Tap { name } => {
                    let used = self.taps.get(self.tap).is_some_and(|tap| tap.used);
                    self.tap += 1;
                    if level == 0 {
                        self.places.push((name.clone(), last));
                    }
                    if used {
                        kept.push(Layer::Tap { name });
                    } else {
                        self.gone.insert(row);
                        continue;
                    }
                }
                Layer::Residual { body, shortcut } => {
                    let body = self.layers(body, level + 1);
                    let shortcut = if shortcut.is_empty() {
                        shortcut
                    } else {
                        let row = self.row;
                        self.row += 1;
                        let shortcut = self.layers(shortcut, level + 1);
                        if shortcut.is_empty() {
                            self.gone.insert(row);
                        }
                        shortcut
                    };
                    kept.push(Layer::Residual { body, shortcut });
                }
                Layer::Parallel { join, branches } => {
                    let mut inner = Vec::with_capacity(branches.len());
                    for branch in branches {
                        self.row += 1;
                        inner.push(Branch { layers: self.layers(branch.layers, level + 1), ..branch });
                    }
                    kept.push(Layer::Parallel { join, branches: inner });
                }
                layer => kept.push(layer),
            }
            last = Some(row);
        }
        kept
    }
}
