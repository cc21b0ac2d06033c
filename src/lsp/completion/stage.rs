//! Completion in the braces of a stage: ports with matching references, parameters with their values.

use std::collections::{BTreeMap, BTreeSet};

use gen_lsp_types::CompletionItemKind;

use super::super::docs;
use super::super::view::View;
use super::{CompletionCandidate, files, flags};
use crate::base::Span;
use crate::lang::describe::TapPlace;
use crate::lang::index::{self, ScopeNames, inner, param_at};
use crate::lang::param_type::ParamType;
use crate::lang::signature::{OutPort, Param, Signature};
use crate::lang::value::Value;
use crate::syntax::{Cursor, Head, Node, Spot};

/// Completions in the braces of `stage`, inside the blocks of `chain`.
pub(super) fn items(
    view: &View,
    cursor: &Cursor,
    names: &ScopeNames,
    (stage, node): (&Head, Option<&Node>),
    chain: &[Head],
) -> Vec<CompletionCandidate> {
    let place = Span::new(view.file(), stage.start..stage.start + stage.name.len());
    let Some(signature) = view.index.signature(&stage.name, place) else { return Vec::new() };
    let mut chosen = node.map(index::chosen).unwrap_or_default();
    // The tree may lack what is being typed.
    let mut path = String::new();
    for head in chain.iter().chain([&cursor.statement]).filter(|head| !head.name.is_empty()) {
        path = if path.is_empty() { head.name.clone() } else { format!("{path}.{}", head.name) };
        if let Some(case) = head.argument() {
            chosen.insert(path.clone(), case.to_owned());
        }
    }
    let within: Vec<&str> = chain.iter().map(|head| head.name.as_str()).collect();
    let within = within.join(".");
    let at = |name: &str| if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
    let look = StageCompletion { view, names, signature, chosen };
    let statement = cursor.statement.name.as_str();
    match &cursor.spot {
        Spot::Name if chain.is_empty() => look.children(node),
        Spot::Name => look.inner(&within, false),
        Spot::Argument(number) => {
            let port = signature.input(statement).filter(|_| chain.is_empty());
            if let Some(port) = port {
                return if *number == 0 || port.many {
                    references(view, names, &port.types, stage.argument())
                } else {
                    Vec::new()
                };
            }
            let mut items = look.values(&at(statement), *number, cursor);
            items.extend(look.inner(&at(statement), true));
            items
        }
        Spot::Value(key) => look.values(&at(&format!("{statement}.{key}")), 0, cursor),
        Spot::Comment => Vec::new(),
    }
}

/// What a stage is looked at with.
pub(super) struct StageCompletion<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) names: &'a ScopeNames,
    pub(super) signature: &'a Signature,
    /// The case of each choice.
    pub(super) chosen: BTreeMap<String, String>,
}

impl StageCompletion<'_> {
    /// Ports and parameters not given yet; required ones come first.
    fn children(&self, node: Option<&Node>) -> Vec<CompletionCandidate> {
        let given: BTreeSet<&str> =
            node.into_iter().flat_map(Node::nodes).map(|child| child.name.text.as_str()).collect();
        let mut items = Vec::new();
        for port in &self.signature.inputs {
            let rank = u8::from(port.optional) + if given.contains(port.name.as_str()) { 3 } else { 0 };
            let item = CompletionCandidate::new(&port.name, CompletionItemKind::Interface, docs::port_type(port));
            items.push(item.docs(docs::port(port)).rank(rank));
        }
        for param in &self.signature.params {
            let needed = param.default.is_none() && !param.optional && param.ty != ParamType::Group;
            let repeats = matches!(param.ty, ParamType::Map(_));
            let rank = u8::from(!needed) + if given.contains(param.name.as_str()) && !repeats { 3 } else { 0 };
            let item = CompletionCandidate::new(&param.name, CompletionItemKind::Field, docs::param_line(param));
            items.push(item.docs(docs::param(param)).rank(rank));
        }
        items
    }

    /// Parameters below a dotted name, as `name=` or as separate statements.
    pub(super) fn inner(&self, path: &str, property: bool) -> Vec<CompletionCandidate> {
        let chosen = |path: &str| self.chosen.get(path).cloned();
        let Some(place) = param_at(self.signature, path, &chosen) else { return Vec::new() };
        let shown = |name: &str| if property { format!("{name}=") } else { name.to_owned() };
        if place.param.ty == ParamType::Network {
            let here = Span::new(self.view.file(), 0..0);
            let network = chosen(path).and_then(|name| self.view.index.network(&name, here));
            let params = network.map(|network| network.params.as_slice()).unwrap_or_default();
            let item = |name: &str| {
                CompletionCandidate::new(shown(name), CompletionItemKind::Property, "parameter of the network")
            };
            let to = network.is_some_and(|network| !network.taps.is_empty()).then(|| {
                let about = "the tap up to which the network is used";
                CompletionCandidate::new(shown("to"), CompletionItemKind::Property, about)
            });
            return params.iter().map(|(name, _)| item(name)).chain(to).collect();
        }
        let case = chosen(path);
        let all = inner(place.param, case.as_deref());
        let own =
            all.iter().filter(|(_, of)| of.is_none_or(|of| is_chosen(place.param, of.name.as_str(), case.as_deref())));
        let item = |param: &Param| {
            CompletionCandidate::new(shown(&param.name), CompletionItemKind::Property, docs::param_line(param))
                .docs(docs::param(param))
        };
        own.map(|(param, _)| item(param).rank(2)).collect()
    }

    /// Values of the parameter at a dotted name; `number` is the index among several.
    pub(super) fn values(&self, path: &str, number: usize, cursor: &Cursor) -> Vec<CompletionCandidate> {
        if let Some(taps) = self.taps(path) {
            return taps;
        }
        let Some(place) = param_at(self.signature, path, &|path| self.chosen.get(path).cloned()) else {
            return Vec::new();
        };
        let param = place.param;
        let mut items = Vec::new();
        let is_default = |text: &str| param.default.as_ref().is_some_and(|value| docs::shown(value) == text);
        let mark = |text: &str| if is_default(text) { "default" } else { "" };
        match (&param.ty, number) {
            (ParamType::Choice, 0) => {
                let case = |case: &crate::lang::signature::Case| {
                    CompletionCandidate::new(&case.name, CompletionItemKind::EnumMember, mark(&case.name))
                        .docs(&case.doc)
                        .rank(0)
                };
                items.extend(param.cases.iter().map(case));
            }
            (ParamType::Bool, 0) => items.extend(flags().into_iter().map(|flag| {
                let detail = mark(&flag.text).to_owned();
                CompletionCandidate { detail, ..flag.rank(0) }
            })),
            (ParamType::Network, 0) => {
                let networks = self.view.index.networks(self.view.file());
                let item = |(name, network): (String, _)| {
                    CompletionCandidate::new(name, CompletionItemKind::Struct, "network")
                        .docs(docs::network(network))
                        .rank(0)
                };
                items.extend(networks.into_iter().map(item));
            }
            (ParamType::Path, 0) => return files::paths(self.view, cursor),
            (ParamType::Group | ParamType::Choice | ParamType::Network | ParamType::Bool, _) => {}
            (_, 0) => {
                if let Some(value) = &param.default {
                    let text = docs::shown(value);
                    let plain =
                        !text.is_empty() && !text.contains(' ') && !matches!(value, Value::Text(_) | Value::None);
                    if plain {
                        items.push(
                            CompletionCandidate::new(text, CompletionItemKind::Value, "default")
                                .docs(docs::param(param)),
                        );
                    }
                }
            }
            _ => {}
        }
        if number == 0 || matches!(param.ty, ParamType::List(_)) {
            items.extend(self.dollars(&param.ty));
        }
        items
    }

    /// Taps of a network for its `to`; [`None`] for another parameter.
    fn taps(&self, path: &str) -> Option<Vec<CompletionCandidate>> {
        let above = path.strip_suffix(".to")?;
        let place = param_at(self.signature, above, &|path| self.chosen.get(path).cloned())?;
        let name = self.chosen.get(above).filter(|_| place.param.ty == ParamType::Network)?;
        let network = self.view.index.network(name, Span::new(self.view.file(), 0..0))?;
        let item = |tap: &TapPlace| {
            CompletionCandidate::new(&tap.name, CompletionItemKind::Variable, "tap")
                .docs(docs::tap(network, &tap.name).unwrap_or_default())
        };
        Some(network.taps.iter().map(item).collect())
    }

    /// Parameters of the pipeline or of the body; those of the same type first.
    fn dollars(&self, kind: &ParamType) -> Vec<CompletionCandidate> {
        let kind = if let ParamType::List(of) = kind { of } else { kind };
        let item = |(name, named): (&String, &index::NameInfo)| {
            let default = named.default.as_ref().map_or(String::new(), |value| format!(", default {value}"));
            let rank = if named.kind == kind.name() { 0 } else { 3 };
            CompletionCandidate::new(
                format!("${name}"),
                CompletionItemKind::Constant,
                format!("{}{default}", named.kind),
            )
            .rank(rank)
        };
        self.names.values.iter().map(item).collect()
    }
}

fn is_chosen(param: &Param, case: &str, chosen: Option<&str>) -> bool {
    let default = match &param.default {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    chosen.or(default) == Some(case)
}

/// References available in a scope; those of one of `types` come first. The stage `own` cannot read itself, nor what reads it.
pub(super) fn references(
    view: &View,
    names: &ScopeNames,
    types: &[String],
    own: Option<&str>,
) -> Vec<CompletionCandidate> {
    let mut items = Vec::new();
    let rank = |fits: bool| if fits || types.is_empty() { 0 } else { 4 };
    for (name, port) in &names.ports {
        let fits = port.types.iter().all(|ty| types.contains(ty));
        let item = CompletionCandidate::new(name, CompletionItemKind::Interface, port.types.join(" or "));
        items.push(item.docs(&port.doc).rank(rank(fits)));
    }
    let own = own.map(|own| names.stages.get(own).map_or(own, |named| named.path.as_str()));
    let readers = own.map(|own| view.index.readers(&names.scope, own)).unwrap_or_default();
    let can = |path: &str| Some(path) != own && !readers.contains(path);
    for (name, named) in names.stages.iter().filter(|(_, named)| can(&named.path)) {
        let Some(signature) = view.index.signature(&named.kind, named.span) else { continue };
        let mut add = |text: String, out: &OutPort| {
            let given = signature.types(out);
            let about = format!("{}, of {}", given.join(" or "), named.kind);
            let item = CompletionCandidate::new(text, CompletionItemKind::Variable, about);
            let fits = types.iter().any(|wanted| given.contains(wanted));
            // It may have another type here.
            let unsure = u8::from(fits && !types.contains(&out.ty));
            items.push(item.docs(&out.doc).rank(rank(fits) + unsure));
        };
        match signature.outputs.as_slice() {
            [only] => add(name.clone(), only),
            outputs => {
                for out in outputs {
                    add(format!("{name}.{}", out.name), out);
                }
                if let Some(main) = signature.output(None) {
                    add(name.clone(), main);
                }
            }
        }
    }
    items
}
