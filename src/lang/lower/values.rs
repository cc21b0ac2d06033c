//! Parameters: of a pipeline, from defaults and `--set`; of a template, from the arguments of its use.

use std::collections::BTreeMap;

use super::{Lowerer, ROOT, stage_name};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::arguments::ParamValues;
use crate::lang::param_type::{self, ParamType};
use crate::lang::signature::{self, Param};
use crate::lang::value::Value;
use crate::syntax::{Node, NodeEntry, Scalar};

impl Lowerer<'_> {
    pub(super) fn params(&mut self, node: &Node) -> ParamValues {
        let mut values = ParamValues::default();
        let mut places: BTreeMap<String, Span> = BTreeMap::new();
        for child in node.nodes().iter().filter(|child| child.name.text == "param") {
            let Some(param) = signature::param(child, &mut self.diags) else {
                // The parameter exists, although its value is unknown.
                let named = child.args().next().and_then(NodeEntry::text);
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
                self.diags.push(found.also(first, "first here").hint("rename one of them"));
                continue;
            }
            let value = self.param_value(&param, child, span);
            if let (ParamType::Network, Some([entry])) = (&param.ty, value.as_deref()) {
                let name = entry.text().unwrap_or_default();
                let network = self.scope.network(name, entry.span).map(|network| network.called(name));
                values.networks.extend(network.map(|network| (param.name.clone(), network)));
            }
            values.known.insert(param.name.clone(), value);
        }
        values
    }

    /// The value of a pipeline's parameter: from `--set`, or its default.
    fn param_value(&mut self, param: &Param, node: &Node, span: Span) -> Option<Vec<NodeEntry>> {
        if matches!(param.ty, ParamType::Group | ParamType::Choice | ParamType::Map(_) | ParamType::List(_)) {
            let hint = "use a scalar type (`px`, `real`, `text`, …); for the case of a choice use `text`";
            self.error(ROOT, "wrong-kind", span, format!("a pipeline parameter cannot be a {}", param.ty.name()), hint);
            return None;
        }
        let mut value = node.prop("default").cloned();
        for (i, setting) in self.settings.iter().enumerate().filter(|(_, setting)| setting.path == param.name) {
            self.matched.insert(i);
            let (plain, wrong) = setting.given.plain.clone().unzip();
            let wrong = wrong.unwrap_or_default();
            let textual = plain.is_some() && matches!(param.ty, ParamType::Text | ParamType::Path | ParamType::Network);
            match setting.given.values.as_slice() {
                [one] if wrong.is_empty() && (!textual || one.quoted) => value = Some(one.clone()),
                _ if textual => value = plain,
                _ if wrong.is_empty() => {
                    let message = format!("`{}` takes one value", param.name);
                    self.error(
                        ROOT,
                        "value-count",
                        setting.given.whole,
                        message,
                        format!("expected {}", param.ty.words()),
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
            self.error(ROOT, "missing-param", span, format!("parameter `{}` has no value", param.name), hint);
            return None;
        };
        if let Err(refusal) = param_type::value(&param.ty, param.range.as_ref(), param.default.as_ref(), &value) {
            if Some(&value) != node.prop("default") {
                self.error(ROOT, refusal.code, value.span, format!("`{}` {}", param.name, refusal.text), refusal.hint);
            }
            return None;
        }
        Some(vec![value])
    }

    /// Warns of unused parameters of a frame; `declaring` holds the nodes that declare them.
    pub(super) fn unused_params(&mut self, at: usize, declaring: &[Node]) {
        for child in declaring.iter().filter(|child| child.name.text == "param") {
            let Some((name, span)) = stage_name(child) else { continue };
            if !self.frames[at].values.used.contains(&name) {
                let found = Diag::warning("unused-param", span, format!("parameter `{name}` is not used"));
                self.report(at, found.hint(format!("use it as `${name}`, or remove it")));
            }
        }
    }
}

/// A value as entries at `span`; empty for an absent optional parameter.
pub(super) fn entries(value: &Value, span: Span) -> Vec<NodeEntry> {
    let one = |value: Scalar, quoted: bool| vec![NodeEntry { key: None, value, quoted, span, whole: span }];
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
