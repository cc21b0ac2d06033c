//! The properties of one layer: each checked against its layer type, defaults filled in, `$name` substituted.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds::{DefaultValue, LayerKind, LayerParam, PropertyType, meant_param};
use super::read::{LayerScope, NetworkReader};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::near;
use crate::lang::network::words::Properties;
use crate::lang::network::{Layer, LayerPart};
use crate::syntax::{Node, NodeEntry, Scalar};

impl<'a> NetworkReader<'a> {
    /// The properties of a layer; [`None`] if one of them is wrong.
    pub(super) fn properties(&mut self, node: &'a Node, kind: &LayerKind, scope: &LayerScope) -> Option<Properties> {
        let before = self.diags.len();
        for (key, entry) in node.props() {
            if kind.params.iter().all(|param| param.name != key.text) {
                let known = kind.params.iter().map(|param| param.name);
                let hint = match meant_param(kind, &key.text) {
                    Some(name) => format!("write `{name}={}`", entry.value),
                    None => near::hint(&key.text, known, "it has none"),
                };
                self.error("unknown-param", key.span, format!("`{}` has no property `{}`", kind.name, key.text), hint);
            }
        }
        let mut strays: Vec<&NodeEntry> = node.args().skip(usize::from(kind.named)).collect();
        let mut found = BTreeMap::new();
        let mut whole = true;
        for param in kind.params {
            let value = if let Some(entry) = node.prop(param.name) {
                let value = self.property(entry, param, scope);
                whole &= value.is_some();
                value
            } else {
                match param.absent {
                    // Written with another framework's name, which was reported.
                    DefaultValue::Needed
                        if node.props().any(|(key, _)| meant_param(kind, &key.text) == Some(param.name)) =>
                    {
                        None
                    }
                    DefaultValue::Needed => {
                        self.lacking(node, kind, param, &mut strays);
                        None
                    }
                    DefaultValue::Whole(value) => Some(Scalar::Int(value)),
                    DefaultValue::Real(value) => Some(Scalar::Real(value)),
                    DefaultValue::Flag(value) => Some(Scalar::Bool(value)),
                    DefaultValue::Same(other) => found.get(other).cloned(),
                    DefaultValue::Nothing(_) => None,
                }
            };
            found.extend(value.map(|value| (param.name, value)));
        }
        for stray in strays {
            let message = format!("`{}` does not take `{}` here", kind.name, stray.value);
            let hint = match (kind.named, kind.params.first()) {
                (true, Some(param)) => {
                    format!("write one name, then properties: `{} NAME {}=…`", kind.name, param.name)
                }
                (false, Some(param)) => {
                    format!("it has no tensors, so it has no name; write `{} {}=…`", kind.name, param.name)
                }
                _ => "it has no tensors, so it has no name".to_owned(),
            };
            self.error("value-count", stray.span, message, hint);
        }
        if kind.holds.is_empty() && node.children.is_some() {
            let message = format!("`{}` contains no layers", kind.name);
            self.error("unknown-node", node.head, message, "remove the braces and put the layers after it");
        }
        (whole && self.diags.len() == before).then(|| Properties::new(found))
    }

    /// Reports a missing required property; a number without a name may be meant.
    fn lacking(&mut self, node: &Node, kind: &LayerKind, param: &LayerParam, strays: &mut Vec<&'a NodeEntry>) {
        let number = |entry: &&NodeEntry| matches!(entry.value, Scalar::Int(_) | Scalar::Real(_));
        let name = if kind.named { "NAME " } else { "" };
        let (span, hint) = match strays.iter().position(number) {
            Some(at) => {
                let stray = strays.remove(at);
                (stray.whole, format!("write `{} {name}{}={}`", kind.name, param.name, stray.value))
            }
            None => (node.head, format!("write `{} {name}{}=…`", kind.name, param.name)),
        };
        self.error("missing-param", span, format!("`{}` needs `{}`", kind.name, param.name), hint);
    }

    fn property(&mut self, entry: &NodeEntry, param: &LayerParam, scope: &LayerScope) -> Option<Scalar> {
        let value = self.scalar(entry, scope)?;
        let name = param.name;
        let (code, message, hint) = match (param.ty, &value) {
            (PropertyType::Whole(least, most), Scalar::Int(number)) => {
                if (least..=most).contains(number) {
                    return Some(value);
                }
                ("out-of-range", format!("`{name}` cannot be {number}"), format!("must be from {least} to {most}"))
            }
            (PropertyType::Share, Scalar::Real(_) | Scalar::Int(0)) if within(&value) => return Some(value),
            (PropertyType::Share, Scalar::Real(_) | Scalar::Int(_)) => {
                ("out-of-range", format!("`{name}` cannot be {value}"), "must be from 0 to below 1".to_owned())
            }
            (PropertyType::Flag, Scalar::Bool(_)) => return Some(value),
            (PropertyType::Word(words), Scalar::Text(word)) => {
                if words.contains(&word.as_str()) {
                    return Some(value);
                }
                let hint = near::hint(word, words.iter().copied(), "");
                ("unknown-case", format!("`{name}` has no case `{word}`"), hint)
            }
            (PropertyType::Whole(least, _), _) => {
                let example = least.max(2);
                ("wrong-kind", format!("`{name}` must be a whole number"), format!("write `{name}={example}`"))
            }
            (PropertyType::Share, _) => {
                ("wrong-kind", format!("`{name}` must be a number"), format!("write `{name}=0.2`"))
            }
            (PropertyType::Flag, _) => {
                let meant = if value == Scalar::Int(1) { "#true" } else { "#false" };
                ("wrong-kind", format!("`{name}` must be `#true` or `#false`"), format!("write `{name}={meant}`"))
            }
            (PropertyType::Point, _) => return self.source(entry, name, scope).map(Scalar::Text),
            (PropertyType::Word(words), _) => {
                let hint = format!("write `{name}={}`", words.first().unwrap_or(&"…"));
                ("wrong-kind", format!("`{name}` must be {}", near::one_of(words.iter().copied())), hint)
            }
        };
        // If the value comes from a parameter, the hint is about that parameter.
        let parameter = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$'));
        let hint = parameter.map_or(hint.clone(), |own| hint.replace(&format!("`{name}="), &format!("`{own}=")));
        self.error(code, entry.span, message, hint);
        None
    }

    /// A whole number given as an argument: the count of a `repeat`.
    pub(super) fn whole(&mut self, entry: &NodeEntry, name: &str, most: i64, scope: &LayerScope) -> Option<i64> {
        let (code, message) = match self.scalar(entry, scope)? {
            Scalar::Int(value) if (0..=most).contains(&value) => return Some(value),
            Scalar::Int(value) => ("out-of-range", format!("`{name}` cannot be {value}")),
            _ => ("wrong-kind", format!("`{name}` must be a whole number")),
        };
        self.error(code, entry.span, message, format!("must be from 0 to {most}"));
        None
    }

    /// The value of an entry, with `$name` substituted.
    pub(super) fn scalar(&mut self, entry: &NodeEntry, scope: &LayerScope) -> Option<Scalar> {
        let Some(name) = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$')) else {
            return Some(entry.value.clone());
        };
        if let Some(value) = scope.values.get(name) {
            // [`None`] if it is wrong or missing, which was reported where it is set.
            return value.clone();
        }
        let known = scope.values.keys().map(String::as_str);
        let hint = near::hint(name, known, "declare it in the block with `param`");
        self.error("unknown-name", entry.span, format!("unknown parameter `${name}`"), hint);
        None
    }

    /// The full name of a layer's tensors.
    pub(super) fn tensor_name(&mut self, node: &Node, scope: &LayerScope) -> Option<String> {
        let Some((name, span)) = super::name_of(node) else {
            let kind = &node.name.text;
            let hint = format!("write `{kind} {kind}1 …`, the prefix of its tensor names");
            self.error("missing-name", node.head, format!("`{kind}` needs a name"), hint);
            return None;
        };
        if !super::is_tensor_name(&name) {
            let hint = "use letters, digits, `-`, `_`, and dots between them";
            self.error("missing-name", span, format!("`{name}` is not a valid tensor name"), hint);
            return None;
        }
        let full = format!("{}{name}", scope.prefix);
        if scope.shared.as_ref().is_some_and(|shared| shared.contains(&full)) {
            self.shared_layers += 1;
            return Some(full);
        }
        if self.names.insert(full.clone(), span).is_some() {
            self.twice(span, &full, scope);
        }
        Some(full)
    }

    /// Takes the names of the parts of a layer, such as `attn.qkv`, which no other layer may have.
    pub(super) fn inner_names(&mut self, node: &Node, layer: &Layer, scope: &LayerScope) {
        let LayerPart::One(operation) = layer.part() else { return };
        let span = super::name_of(node).map_or(node.head, |(_, span)| span);
        let parts: BTreeSet<&str> =
            operation.tensors().iter().filter_map(|tensor| Some(tensor.rsplit_once('.')?.0)).collect();
        for part in parts {
            let full = format!("{}.{part}", operation.name());
            let is_shared = scope.shared.as_ref().is_some_and(|shared| shared.contains(&full));
            if !is_shared && self.names.insert(full.clone(), span).is_some() {
                self.twice(span, &full, scope);
            }
        }
    }

    /// Reports that two layers have the same name; once for each use of another network.
    fn twice(&mut self, span: Span, name: &str, scope: &LayerScope) {
        let span = self.at.unwrap_or(span);
        let is_reported =
            |diag: &Diag| diag.code == "duplicate-name" && diag.labels.first().map(|label| label.span) == self.at;
        if self.at.is_some() && self.diags.iter().any(is_reported) {
            return;
        }
        let hint = match (scope.in_branch, self.at) {
            (true, _) => {
                "name the branch, as a prefix of its tensor names: `branch small { … }`; or write `branch share=#true { … }` to use the same tensors"
            }
            (false, Some(_)) => "name one of them, as a prefix of its tensor names: `resnet18 trunk`",
            _ => "rename one of them; the name of a block or a `repeat` is the prefix of the names inside",
        };
        self.error("duplicate-name", span, format!("two layers are named `{name}`"), hint);
    }

    /// Reports an error; in a block that is used twice only once.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let diag = Diag::error(code, self.at.unwrap_or(span), message).hint(hint);
        if !self.diags.contains(&diag) {
            self.diags.push(diag);
        }
    }
}

fn within(value: &Scalar) -> bool {
    match value {
        Scalar::Real(value) => (0.0..1.0).contains(value),
        Scalar::Int(value) => *value == 0,
        _ => false,
    }
}
