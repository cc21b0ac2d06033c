//! One layer from its node: simple layers, and those that contain others.

use super::is_tensor_name;
use super::kinds::LayerKind;
use super::read::{LayerScope, NetworkReader};
use super::values::Properties;
use crate::lang::near;
use crate::lang::network::{Join, Layer};
use crate::syntax::Node;

impl<'a> NetworkReader<'a> {
    /// A layer; a placeholder after reporting a mistake in it.
    pub(super) fn layer(&mut self, node: &'a Node, kind: &LayerKind, scope: &LayerScope) -> Layer {
        match kind.name {
            "residual" => return self.residual(node, kind, scope),
            "parallel" => return self.parallel(node, kind, scope),
            _ => {}
        }
        // Both are checked, so that mistakes in both are reported.
        let properties = self.properties(node, kind, scope);
        let name = if kind.named { self.tensor_name(node, scope) } else { Some(String::new()) };
        let layer = properties.zip(name).and_then(|(of, name)| self.plain(node, kind, &of, name));
        match layer {
            Some(layer) => {
                self.place(node.head, scope);
                layer
            }
            None => self.unread(node.head, scope),
        }
    }

    fn plain(&mut self, node: &Node, kind: &LayerKind, of: &Properties, name: String) -> Option<Layer> {
        if kind.name.ends_with("-pool") && 2 * of.int("padding") > of.int("kernel") {
            let span = node.prop("padding").map_or(node.head, |entry| entry.span);
            let message = format!("`padding` cannot be {} with a window of {}", of.int("padding"), of.int("kernel"));
            self.error(
                "out-of-range",
                span,
                message,
                "use at most half the window, so that every window covers some pixels",
            );
            return None;
        }
        Some(match kind.name {
            "conv" => Layer::Conv {
                name,
                out: of.int("out"),
                kernel: of.int("kernel"),
                stride: of.int("stride"),
                padding: of.int("padding"),
                dilation: of.int("dilation"),
                groups: of.int("groups"),
                bias: of.flag("bias"),
                expects: of.given_int("in"),
            },
            "batch-norm" => Layer::BatchNorm { name, eps: of.real("eps"), momentum: of.real("momentum") },
            "relu" => Layer::Relu,
            "relu6" => Layer::Relu6,
            "gelu" => Layer::Gelu,
            "silu" => Layer::Silu,
            "max-pool" => {
                Layer::MaxPool { kernel: of.int("kernel"), stride: of.int("stride"), padding: of.int("padding") }
            }
            "avg-pool" => {
                Layer::AvgPool { kernel: of.int("kernel"), stride: of.int("stride"), padding: of.int("padding") }
            }
            "adaptive-avg-pool" => Layer::AdaptiveAvgPool { side: of.int("side") },
            "global-avg-pool" => Layer::GlobalAvgPool,
            "global-max-pool" => Layer::GlobalMaxPool,
            "flatten" => Layer::Flatten,
            "dropout" => Layer::Dropout { share: of.real("share") },
            _ => Layer::Linear { name, out: of.given_int("out"), bias: of.flag("bias"), expects: of.given_int("in") },
        })
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
                    *part = self.layers(of.nodes(), &inner);
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
            for (key, _) in branch.props() {
                let hint = "write `branch NAME { … }`; `join` belongs to `parallel`";
                self.error("unknown-param", key.span, format!("`branch` has no property `{}`", key.text), hint);
            }
            let mut prefix = String::new();
            for (place, entry) in branch.args().enumerate() {
                match entry.text().filter(|text| place == 0 && is_tensor_name(text)) {
                    Some(name) => prefix = format!("{name}."),
                    None => {
                        self.error("missing-name", entry.span, "`branch` takes one name", "write `branch NAME { … }`");
                    }
                }
            }
            branches.push(self.layers(branch.nodes(), &scope.inside(&prefix)));
        }
        let join = properties.map(|of| if of.word("join") == "sum" { Join::Sum } else { Join::Concat });
        if branches.len() < 2 {
            let hint = "write `parallel join=concat { branch { … }; branch { … } }`";
            self.error("missing-param", node.head, "`parallel` needs at least two branches", hint);
        }
        if join.is_none() || branches.len() < 2 {
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
