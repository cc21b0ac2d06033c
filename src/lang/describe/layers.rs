//! One layer from its node: simple layers, and those that contain others.

use super::kinds::LayerKind;
use super::read::{LayerScope, NetworkReader};
use crate::lang::near;
use crate::lang::network::words::Conflict;
use crate::lang::network::{Branch, Join, Layer};
use crate::syntax::Node;

impl<'a> NetworkReader<'a> {
    /// A layer; a placeholder after reporting a mistake in it.
    pub(super) fn layer(&mut self, node: &'a Node, kind: &LayerKind, scope: &LayerScope) -> Layer {
        let Some(read) = kind.read else {
            return match kind.name {
                "residual" => self.residual(node, kind, scope),
                "tap" => self.tap(node, scope),
                _ => self.parallel(node, kind, scope),
            };
        };
        // Both are checked, so that mistakes in both are reported.
        let properties = self.properties(node, kind, scope);
        let name = if kind.named { self.tensor_name(node, scope) } else { Some(String::new()) };
        let layer = properties.zip(name).and_then(|(of, name)| self.made(node, read(&of, name)));
        match layer {
            Some(layer) => {
                self.inner_names(node, &layer, scope);
                self.place(node.head, scope);
                layer
            }
            None => self.unread(node.head, scope),
        }
    }

    /// The layer, unless its properties conflict, which is reported.
    fn made(&mut self, node: &Node, read: Result<Layer, Conflict>) -> Option<Layer> {
        match read {
            Ok(layer) => Some(layer),
            Err(Conflict { param, message, hint }) => {
                let span = node.prop(param).map_or(node.head, |entry| entry.span);
                self.error("out-of-range", span, message, hint);
                None
            }
        }
    }

    fn residual(&mut self, node: &'a Node, kind: &LayerKind, scope: &LayerScope) -> Layer {
        let mut whole = self.properties(node, kind, scope).is_some();
        let at = self.places.len();
        self.place(node.head, scope);
        self.others(node, kind);
        let inner = scope.inside("");
        let mut parts = [Vec::new(), Vec::new()];
        for (part, name) in parts.iter_mut().zip(["body", "shortcut"]) {
            let mut found = node.nodes().iter().filter(|node| node.name.text == name);
            match found.next() {
                Some(of) => {
                    self.bare(of, kind);
                    let before = self.places.len();
                    if name == "shortcut" {
                        self.place(of.head, scope);
                    }
                    *part = self.enclosed(of.nodes(), &inner);
                    if part.is_empty() {
                        // The identity has no row of its own.
                        self.places.truncate(before);
                    }
                }
                None if name == "body" => {
                    let hint = "write `residual { body { … }; shortcut { … } }`; without a shortcut it is the identity";
                    self.error("missing-param", node.head, "`residual` needs a `body`", hint);
                    whole = false;
                }
                None => {}
            }
            for again in found {
                let message = format!("`residual` may have only one `{name}`");
                self.error("duplicate-name", again.name.span, message, "move its layers into the first one");
            }
        }
        if !whole {
            self.unreadable.insert(at);
        }
        let [body, shortcut] = parts;
        Layer::Residual { body, shortcut }
    }

    fn parallel(&mut self, node: &'a Node, kind: &LayerKind, scope: &LayerScope) -> Layer {
        let properties = self.properties(node, kind, scope);
        let at = self.places.len();
        self.place(node.head, scope);
        self.others(node, kind);
        let mut branches = Vec::new();
        for branch in node.nodes().iter().filter(|node| node.name.text == "branch") {
            self.place(branch.head, scope);
            branches.push(self.branch(branch, scope));
        }
        let join = properties.map(|of| if of.word("join") == "sum" { Join::Sum } else { Join::Concat });
        // One branch from an input is a network that does not see the patch.
        let joins = branches.len() > 1 || branches.iter().any(|branch: &Branch| branch.from.is_some());
        if !joins {
            let hint = "write `parallel join=concat { branch { … }; branch { … } }`, or start the only one elsewhere: `branch from=NAME { … }`";
            self.error("missing-param", node.head, "`parallel` needs at least two branches", hint);
        }
        if join.is_none() || !joins {
            self.unreadable.insert(at);
        }
        Layer::Parallel { join: join.unwrap_or(Join::Concat), branches }
    }

    /// Reports nodes that do not belong in a layer's braces.
    fn others(&mut self, node: &Node, kind: &LayerKind) {
        for other in node.nodes().iter().filter(|node| !kind.holds.contains(&node.name.text.as_str())) {
            let (holds, name) = (near::names(kind.holds.iter().copied()), &other.name.text);
            let hint = near::near(name, kind.holds.iter().copied())
                .map_or_else(|| format!("put the layers inside {holds}"), |near| format!("did you mean `{near}`?"));
            self.error(
                "unknown-layer",
                other.name.span,
                format!("`{}` may contain {holds}, not `{name}`", kind.name),
                hint,
            );
        }
    }

    /// Checks that `body` and `shortcut` contain only layers.
    fn bare(&mut self, node: &Node, kind: &LayerKind) {
        if let Some(entry) = node.entries.first() {
            let message = format!("`{}` of `{}` takes only layers", node.name.text, kind.name);
            self.error("value-count", entry.whole, message, "name the layers inside instead");
        }
    }
}
