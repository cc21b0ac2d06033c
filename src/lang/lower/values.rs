//! Parameters: of a pipeline, from its defaults and `--set`; of a body, from what its instance is given.

use std::collections::BTreeMap;

use super::{Lowerer, ROOT, stage_name};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::given::Values;
use crate::lang::kind::{self, Kind};
use crate::lang::signature::{self, Param};
use crate::lang::value::Value;
use crate::syntax::{Entry, Node, Scalar};

impl Lowerer<'_> {
    pub(super) fn params(&mut self, node: &Node) -> Values {
        let mut values = Values::default();
        let mut places: BTreeMap<String, Span> = BTreeMap::new();
        for child in node.nodes().iter().filter(|child| child.name.text == "param") {
            let Some(param) = signature::param(child, &mut self.diags) else {
                // A parameter of that name exists, though not what its value is.
                let named = child.args().next().and_then(Entry::text);
                if let Some(name) = named.or_else(|| child.props().next().map(|(key, _)| key.text.as_str())) {
                    values.known.insert(name.to_owned(), None);
                }
                continue;
            };
            let span = child.args().next().map_or(child.head, |entry| entry.span);
            self.check_name(ROOT, &param.name, span);
            if let Some(first) = places.insert(param.name.clone(), span) {
                let found =
                    Diag::error("duplicate-name", span, format!("parameter `{}` is declared twice", param.name));
                self.diags.push(found.also(first, "first here").hint("give one another name"));
                continue;
            }
            let value = self.param_value(&param, child, span);
            if let (Kind::Network, Some([entry])) = (&param.kind, value.as_deref()) {
                let name = entry.text().unwrap_or_default();
                let network = self.scope.network(name, entry.span).map(|network| network.called(name));
                values.networks.extend(network.map(|network| (param.name.clone(), network)));
            }
            values.known.insert(param.name.clone(), value);
        }
        values
    }

    /// The value of a pipeline's parameter: from `--set`, or its default.
    fn param_value(&mut self, param: &Param, node: &Node, span: Span) -> Option<Vec<Entry>> {
        if matches!(param.kind, Kind::Group | Kind::Choice | Kind::Map(_) | Kind::List(_)) {
            let hint = "use a type of one value (`px`, `real`, `text`, …); a case of a choice is `text`";
            self.wrong(
                ROOT,
                "wrong-kind",
                span,
                format!("a pipeline's parameter can't be a {}", param.kind.name()),
                hint,
            );
            return None;
        }
        let mut value = node.prop("default").cloned();
        for (i, setting) in self.settings.iter().enumerate().filter(|(_, setting)| setting.path == param.name) {
            self.met.insert(i);
            let (plain, wrong) = setting.given.plain.clone().unzip();
            let wrong = wrong.unwrap_or_default();
            let textual = plain.is_some() && matches!(param.kind, Kind::Text | Kind::Path | Kind::Network);
            match setting.given.values.as_slice() {
                [one] if wrong.is_empty() && (!textual || one.quoted) => value = Some(one.clone()),
                _ if textual => value = plain,
                _ if wrong.is_empty() => {
                    let message = format!("`{}` takes one value", param.name);
                    self.wrong(
                        ROOT,
                        "value-count",
                        setting.given.whole,
                        message,
                        format!("it is {}", param.kind.words()),
                    );
                    return None;
                }
                _ => {
                    self.diags.extend(wrong);
                    return None;
                }
            }
        }
        let Some(value) = value else {
            let hint = format!("give it a default, or run with `--set {}=…`", param.name);
            self.wrong(ROOT, "missing-param", span, format!("parameter `{}` has no value", param.name), hint);
            return None;
        };
        if let Err(refusal) = kind::value(&param.kind, param.range.as_ref(), &value) {
            if Some(&value) != node.prop("default") {
                self.wrong(ROOT, refusal.code, value.span, format!("`{}` {}", param.name, refusal.text), refusal.hint);
            }
            return None;
        }
        Some(vec![value])
    }

    /// Warns of parameters that nothing in a frame uses; `declaring` holds the nodes that declare them.
    pub(super) fn unused_params(&mut self, at: usize, declaring: &[Node]) {
        for child in declaring.iter().filter(|child| child.name.text == "param") {
            let Some((name, span)) = stage_name(child) else { continue };
            if !self.frames[at].values.used.contains(&name) {
                let found = Diag::warning("unused-param", span, format!("nothing uses parameter `{name}`"));
                self.tell(at, found.hint(format!("write `${name}` where its value belongs, or take it out")));
            }
        }
    }
}

/// A value as it would stand in a text at `span`; nothing for an optional parameter that is absent.
pub(super) fn entries(value: &Value, span: Span) -> Vec<Entry> {
    let one = |value: Scalar, quoted: bool| vec![Entry { key: None, value, quoted, span, whole: span }];
    match value {
        Value::None | Value::Map(_) => Vec::new(),
        Value::Bool(value) => one(Scalar::Bool(*value), false),
        Value::Int(value) => one(Scalar::Int(*value), false),
        Value::Real(value) => one(Scalar::Real(*value), false),
        Value::Text(value) | Value::Path(value) => one(Scalar::Text(value.clone()), true),
        Value::List(values) => values.iter().flat_map(|value| entries(value, span)).collect(),
        Value::Network(network) => one(Scalar::Text(network.name.clone()), false),
    }
}
