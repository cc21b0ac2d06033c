//! The properties of one layer: each checked against what its kind says, defaults filled in, `$name` looked up.

use std::collections::BTreeMap;

use super::kinds::{Absent, LayerKind, LayerParam, Type, meant_param};
use super::read::{Reader, Scope};
use crate::base::Span;
use crate::lang::near;
use crate::syntax::{Entry, Node, Scalar};

/// The checked properties of one layer, by name.
pub(super) struct Properties(BTreeMap<&'static str, Scalar>);

impl Properties {
    /// A whole number that its kind says is there.
    pub(super) fn int(&self, name: &str) -> usize {
        self.given_int(name).unwrap_or(0)
    }

    /// A whole number that may be absent.
    pub(super) fn given_int(&self, name: &str) -> Option<usize> {
        match self.0.get(name) {
            Some(Scalar::Int(value)) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn real(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Scalar::Real(value)) => *value,
            Some(Scalar::Int(value)) => *value as f64,
            _ => 0.0,
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Scalar::Bool(true)))
    }

    pub(super) fn word(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Scalar::Text(word)) => word,
            _ => "",
        }
    }
}

impl<'a> Reader<'a> {
    /// The properties of a layer; none where one of them is wrong.
    pub(super) fn properties(&mut self, node: &'a Node, kind: &LayerKind, scope: &Scope) -> Option<Properties> {
        let before = self.diags.len();
        for (key, entry) in node.props() {
            if kind.params.iter().all(|param| param.name != key.text) {
                let known = kind.params.iter().map(|param| param.name);
                let hint = match meant_param(kind, &key.text) {
                    Some(name) => format!("write `{name}={}`", entry.value),
                    None => near::hint(&key.text, known, "it has none"),
                };
                self.wrong("unknown-param", key.span, format!("`{}` has no property `{}`", kind.name, key.text), hint);
            }
        }
        let mut strays: Vec<&Entry> = node.args().skip(usize::from(kind.named)).collect();
        let mut found = BTreeMap::new();
        let mut whole = true;
        for param in kind.params {
            let value = if let Some(entry) = node.prop(param.name) {
                let value = self.property(entry, param, scope);
                whole &= value.is_some();
                value
            } else {
                match param.absent {
                    // Written by another framework's name, which was told.
                    Absent::Needed if node.props().any(|(key, _)| meant_param(kind, &key.text) == Some(param.name)) => {
                        None
                    }
                    Absent::Needed => {
                        self.lacking(node, kind, param, &mut strays);
                        None
                    }
                    Absent::Whole(value) => Some(Scalar::Int(value)),
                    Absent::Real(value) => Some(Scalar::Real(value)),
                    Absent::Flag(value) => Some(Scalar::Bool(value)),
                    Absent::Same(other) => found.get(other).cloned(),
                    Absent::Nothing(_) => None,
                }
            };
            found.extend(value.map(|value| (param.name, value)));
        }
        for stray in strays {
            let message = format!("`{}` can't take `{}` here", kind.name, stray.value);
            let hint = match (kind.named, kind.params.first()) {
                (true, Some(param)) => format!("one name, then properties: `{} NAME {}=…`", kind.name, param.name),
                (false, Some(param)) => {
                    format!("it has no tensors and no name; write `{} {}=…`", kind.name, param.name)
                }
                _ => "it has no tensors, and so no name".to_owned(),
            };
            self.wrong("value-count", stray.span, message, hint);
        }
        if kind.holds.is_empty() && node.children.is_some() {
            let message = format!("`{}` holds no layers", kind.name);
            self.wrong("unknown-node", node.head, message, "close its line and put them after it");
        }
        (whole && self.diags.len() == before).then_some(Properties(found))
    }

    /// A property that must be given is not; a number that stands without a name may be meant.
    fn lacking(&mut self, node: &Node, kind: &LayerKind, param: &LayerParam, strays: &mut Vec<&'a Entry>) {
        let number = |entry: &&Entry| matches!(entry.value, Scalar::Int(_) | Scalar::Real(_));
        let name = if kind.named { "NAME " } else { "" };
        let (span, hint) = match strays.iter().position(number) {
            Some(at) => {
                let stray = strays.remove(at);
                (stray.whole, format!("write `{} {name}{}={}`", kind.name, param.name, stray.value))
            }
            None => (node.head, format!("write `{} {name}{}=…`", kind.name, param.name)),
        };
        self.wrong("missing-param", span, format!("`{}` needs `{}`", kind.name, param.name), hint);
    }

    fn property(&mut self, entry: &Entry, param: &LayerParam, scope: &Scope) -> Option<Scalar> {
        let value = self.scalar(entry, scope)?;
        let name = param.name;
        let (code, message, hint) = match (param.ty, &value) {
            (Type::Whole(least, most), Scalar::Int(number)) => {
                if (least..=most).contains(number) {
                    return Some(value);
                }
                ("out-of-range", format!("`{name}` can't be {number}"), format!("from {least} to {most}"))
            }
            (Type::Share, Scalar::Real(_) | Scalar::Int(0)) if within(&value) => return Some(value),
            (Type::Share, Scalar::Real(_) | Scalar::Int(_)) => {
                ("out-of-range", format!("`{name}` can't be {value}"), "from 0 to under 1".to_owned())
            }
            (Type::Flag, Scalar::Bool(_)) => return Some(value),
            (Type::Word(words), Scalar::Text(word)) => {
                if words.contains(&word.as_str()) {
                    return Some(value);
                }
                let hint = near::hint(word, words.iter().copied(), "");
                ("unknown-case", format!("`{name}` has no case `{word}`"), hint)
            }
            (Type::Whole(least, _), _) => {
                let example = least.max(2);
                ("wrong-kind", format!("`{name}` is a whole number"), format!("write `{name}={example}`"))
            }
            (Type::Share, _) => ("wrong-kind", format!("`{name}` is a number"), format!("write `{name}=0.2`")),
            (Type::Flag, _) => {
                ("wrong-kind", format!("`{name}` is `#true` or `#false`"), format!("write `{name}=#false`"))
            }
            (Type::Word(words), _) => {
                let hint = format!("write `{name}={}`", words.first().unwrap_or(&"…"));
                ("wrong-kind", format!("`{name}` is {}", near::names(words.iter().copied())), hint)
            }
        };
        // Where a parameter stands for it, that one is to be given another value.
        let parameter = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$'));
        let hint = parameter.map_or(hint.clone(), |own| hint.replace(&format!("`{name}="), &format!("`{own}=")));
        self.wrong(code, entry.span, message, hint);
        None
    }

    /// A whole number that stands as an argument: the count of a `repeat`.
    pub(super) fn whole(&mut self, entry: &Entry, name: &str, most: i64, scope: &Scope) -> Option<i64> {
        let (code, message) = match self.scalar(entry, scope)? {
            Scalar::Int(value) if (0..=most).contains(&value) => return Some(value),
            Scalar::Int(value) => ("out-of-range", format!("`{name}` can't be {value}")),
            _ => ("wrong-kind", format!("`{name}` is a whole number")),
        };
        self.wrong(code, entry.span, message, format!("from 0 to {most}"));
        None
    }

    /// The value of an entry, with `$name` looked up.
    pub(super) fn scalar(&mut self, entry: &Entry, scope: &Scope) -> Option<Scalar> {
        let Some(name) = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$')) else {
            return Some(entry.value.clone());
        };
        if let Some(value) = scope.values.get(name) {
            // None where it is wrong or missing where it should have its value: told there.
            return value.clone();
        }
        let known = scope.values.keys().map(String::as_str);
        let hint = near::hint(name, known, "a block declares it with `param`");
        self.wrong("unknown-name", entry.span, format!("there is no parameter `${name}` here"), hint);
        None
    }

    /// The full name of a layer's tensors.
    pub(super) fn tensor_name(&mut self, node: &Node, scope: &Scope) -> Option<String> {
        let Some((name, span)) = super::name_of(node) else {
            let kind = &node.name.text;
            let hint = format!("write `{kind} {kind}1 …`: its tensors are named by it");
            self.wrong("missing-name", node.head, format!("`{kind}` needs a name"), hint);
            return None;
        };
        if !is_name(&name) {
            let hint = "letters, digits, `-`, `_` and dots between them";
            self.wrong("missing-name", span, format!("`{name}` can't be the name of tensors"), hint);
            return None;
        }
        let full = format!("{}{name}", scope.prefix);
        if self.names.insert(full.clone(), span).is_some() {
            let hint = "give one another name; what a block or a `repeat` is named by begins the names in it";
            self.wrong("duplicate-name", span, format!("two layers are named `{full}`"), hint);
        }
        Some(full)
    }

    /// Tells what is wrong; a block that is used twice says it once.
    pub(super) fn wrong(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let diag = crate::diag::Diag::error(code, span, message).hint(hint);
        if !self.diags.contains(&diag) {
            self.diags.push(diag);
        }
    }
}

/// Whether a text can stand in the names of tensors.
pub(super) fn is_name(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_".contains(c)))
}

fn within(value: &Scalar) -> bool {
    match value {
        Scalar::Real(value) => (0.0..1.0).contains(value),
        Scalar::Int(value) => *value == 0,
        _ => false,
    }
}
