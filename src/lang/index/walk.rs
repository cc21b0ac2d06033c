//! Goes through a text and notes the meaning of each word.

use std::collections::BTreeMap;

use super::scope::{ScopeNames, name_entry, stage_name, text_of};
use super::{Definition, NameRole, NameScope, Occurrence, Symbol, SymbolIndex, param_at};
use crate::base::{FileId, Span};
use crate::lang::keywords::REPEAT;
use crate::lang::lower::repeat::is_number;
use crate::lang::param_type::ParamType;
use crate::lang::signature::Signature;
use crate::syntax::{Document, Node, NodeEntry};

pub(super) struct Walker<'a> {
    pub(super) index: &'a SymbolIndex<'a>,
    pub(super) found: Vec<Occurrence>,
}

impl<'a> Walker<'a> {
    pub(super) fn document(&mut self, file: FileId, document: &'a Document) {
        for node in &document.nodes {
            match node.name.text.as_str() {
                "use" => {
                    self.module(file, node.args().next());
                    if let Some(alias) = node.prop("as") {
                        self.word(
                            alias,
                            Symbol::Alias(file, alias.text().unwrap_or_default().to_owned()),
                            NameRole::Declares,
                        );
                    }
                }
                "pipeline" => self.pipeline(file, node),
                "stage" => self.template(file, node),
                "sweep" => self.sweep(file, node),
                "network" => self.network(file, node),
                _ => {}
            }
        }
    }

    pub(super) fn note(&mut self, span: Span, symbol: Symbol, role: NameRole) {
        self.found.push(Occurrence { span, symbol, role });
    }

    /// Notes the meaning of an entry's text, at the text without its quotes.
    pub(super) fn word(&mut self, entry: &NodeEntry, symbol: Symbol, role: NameRole) {
        let whole = entry.text().map_or(0, str::len);
        if let Some(span) = self.part(entry, 0..whole) {
            self.note(span, symbol, role);
        }
    }

    /// The span of a byte range of an entry's text; [`None`] if the text is written with escapes.
    pub(super) fn part(&self, entry: &NodeEntry, range: std::ops::Range<usize>) -> Option<Span> {
        let text = entry.text()?;
        let raw = self.index.sources.get(entry.span.file).text.get(entry.span.range())?;
        let at = if raw == text {
            entry.span.start
        } else if raw.get(1..raw.len().saturating_sub(1)) == Some(text) {
            entry.span.start + 1
        } else {
            return None;
        };
        Some(Span::new(entry.span.file, at + range.start..at + range.end))
    }

    /// A name that may be qualified with a module's alias.
    pub(super) fn dotted(&mut self, span: Span, text: &str, symbol: Symbol) {
        let start = text.rfind('.').map_or(0, |dot| dot + 1);
        if span.end - span.start != text.len() {
            return; // in quotes
        }
        if start > 0 {
            let alias = Symbol::Alias(span.file, text[..start - 1].to_owned());
            self.note(Span { end: span.start + start - 1, ..span }, alias, NameRole::Uses);
        }
        self.note(Span { start: span.start + start, ..span }, symbol, NameRole::Uses);
    }

    fn module(&mut self, file: FileId, entry: Option<&NodeEntry>) {
        let Some((entry, text)) = entry.and_then(|entry| Some((entry, entry.text()?))) else { return };
        if let Some(module) = text.strip_prefix("std:") {
            self.word(entry, Symbol::Module(module.to_owned()), NameRole::Uses);
        } else if let Some(there) = self.index.file_of(file, text) {
            self.word(entry, Symbol::File(there), NameRole::Uses);
        }
    }

    fn pipeline(&mut self, file: FileId, node: &'a Node) {
        let names = self.index.of_pipeline(file, node);
        if let (Some((name, _)), Some(entry)) = (text_of(node), node.args().next()) {
            self.word(entry, Symbol::Pipeline(file, name), NameRole::Declares);
        }
        for child in node.nodes() {
            match child.name.text.as_str() {
                "doc" => {}
                "extends" => self.pipeline_named(file, child, self.index.base(file, node)),
                "without" => {
                    for entry in child.args() {
                        let base = self.index.base(file, node);
                        let of_base = base.map(|(file, node)| self.index.of_pipeline(file, node));
                        let named = of_base.and_then(|names| names.stages.get(entry.text()?).cloned());
                        if let (Some(named), Some(name)) = (named, entry.text()) {
                            self.word(entry, Symbol::Stage(named.scope, name.to_owned()), NameRole::Uses);
                        }
                    }
                }
                "param" => self.value(child, &names),
                _ => self.stage(child, &names),
            }
        }
    }

    /// The file and name of another pipeline, in `extends` and a sweep's `of`.
    pub(super) fn pipeline_named(&mut self, file: FileId, node: &Node, found: Option<(FileId, &Node)>) {
        let Some(target) = node.args().next() else { return };
        if target.quoted {
            self.module(file, Some(target));
        }
        let named = if target.quoted { node.prop("pipeline") } else { Some(target) };
        if let (Some(entry), Some((there, found))) = (named, found)
            && let Some((name, _)) = text_of(found)
        {
            self.word(entry, Symbol::Pipeline(there, name), NameRole::Uses);
        }
    }

    /// A `param` of a pipeline.
    fn value(&mut self, node: &Node, names: &ScopeNames) {
        let (Some((name, span)), Some(entry)) = (text_of(node), node.args().next()) else { return };
        let Some(named) = names.values.get(&name) else { return };
        let role = if named.span == span { NameRole::Declares } else { NameRole::Uses };
        self.word(entry, Symbol::Value(named.scope.clone(), name), role);
    }

    /// A `stage` declaration, and its body.
    fn template(&mut self, file: FileId, node: &'a Node) {
        let (Some((kind, _)), Some(entry)) = (text_of(node), node.args().next()) else { return };
        let kind = self.index.declared(file, &kind);
        self.word(entry, Symbol::StageType(kind.clone()), NameRole::Declares);
        let Some(names) = self.index.of_stage(file, node) else { return };
        for child in node.nodes() {
            match child.name.text.as_str() {
                "in" => self.declared(child, |name| Symbol::Port(kind.clone(), name)),
                "out" => {
                    self.declared(child, |name| Symbol::Output(kind.clone(), name));
                    if let Some(from) = child.prop("from") {
                        self.reference(from, &names);
                    }
                }
                "param" => self.param(child, &kind, ""),
                "body" => child.nodes().iter().for_each(|stage| self.stage(stage, &names)),
                _ => {}
            }
        }
    }

    pub(super) fn declared(&mut self, node: &Node, symbol: impl Fn(String) -> Symbol) {
        if let (Some((name, _)), Some(entry)) = (text_of(node), node.args().next()) {
            self.word(entry, symbol(name), NameRole::Declares);
        }
    }

    /// A `param` of a signature, with its own parameters and cases.
    fn param(&mut self, node: &Node, kind: &Definition, prefix: &str) {
        let Some((name, _)) = text_of(node) else { return };
        let path = format!("{prefix}{name}");
        self.declared(node, |_| Symbol::Param(kind.clone(), path.clone()));
        for child in node.nodes() {
            match child.name.text.as_str() {
                "param" => self.param(child, kind, &format!("{path}.")),
                "case" => {
                    self.declared(child, |case| Symbol::Case(kind.clone(), path.clone(), case));
                    let case = text_of(child).map(|(case, _)| case).unwrap_or_default();
                    for inner in child.nodes().iter().filter(|node| node.name.text == "param") {
                        self.param(inner, kind, &format!("{path}:{case}."));
                    }
                }
                _ => {}
            }
        }
    }

    /// A `repeat`, and the stages inside.
    fn repeat(&mut self, node: &'a Node, names: &ScopeNames) {
        if let Some(count) = node.args().next() {
            self.dollar(count, names);
        }
        if let Some(from) = node.prop("from") {
            self.dollar(from, names);
        }
        let Some((name, span)) = stage_name(node) else { return };
        if let (Some(named), Some(entry)) = (names.stages.get(&name), name_entry(node)) {
            let role = if named.span == span { NameRole::Declares } else { NameRole::Uses };
            self.word(entry, Symbol::Stage(named.scope.clone(), named.path.clone()), role);
        }
        let inner = names.inside(&name);
        node.nodes().iter().for_each(|stage| self.stage(stage, &inner));
    }

    /// A stage in a pipeline or a body.
    fn stage(&mut self, node: &'a Node, names: &ScopeNames) {
        if node.name.text == REPEAT {
            return self.repeat(node, names);
        }
        let signature = self.index.signature(&node.name.text, node.name.span);
        if let Some(signature) = signature {
            self.dotted(node.name.span, &node.name.text, Symbol::StageType(self.index.kind(signature)));
        }
        if let (Some((name, span)), Some(entry)) = (text_of(node), node.args().next())
            && let Some(named) = names.stages.get(&name)
        {
            let role = if named.span == span { NameRole::Declares } else { NameRole::Uses };
            self.word(entry, Symbol::Stage(named.scope.clone(), named.path.clone()), role);
        }
        let Some(signature) = signature else { return };
        let given = StageContext { signature, kind: self.index.kind(signature), chosen: super::chosen(node), names };
        for child in node.nodes().iter().filter(|child| child.name.text != "doc") {
            self.given(child, "", &given);
        }
    }

    pub(super) fn given(&mut self, node: &'a Node, prefix: &str, given: &StageContext) {
        let path = format!("{prefix}{}", node.name.text);
        let kind = &given.kind;
        if prefix.is_empty() && given.signature.input(&path).is_some() {
            self.note(node.name.span, Symbol::Port(kind.clone(), path), NameRole::Uses);
            node.args().for_each(|entry| self.reference(entry, given.names));
            return;
        }
        let network = self.named(node.name.span, &path, node.args(), given);
        for (key, entry) in node.props() {
            match &network {
                Some(_) if key.text == "to" => self.tap_of_given(node, entry),
                Some(network) => {
                    self.note(key.span, Symbol::NetworkParam(network.clone(), None, key.text.clone()), NameRole::Uses);
                    self.dollar(entry, given.names);
                }
                None => _ = self.named(key.span, &format!("{path}.{}", key.text), std::iter::once(entry), given),
            }
        }
        for child in node.nodes() {
            match &network {
                Some(_) if child.name.text == "to" => {
                    child.args().for_each(|entry| self.tap_of_given(node, entry));
                }
                Some(network) => {
                    self.note(
                        child.name.span,
                        Symbol::NetworkParam(network.clone(), None, child.name.text.clone()),
                        NameRole::Uses,
                    );
                    child.args().for_each(|entry| self.dollar(entry, given.names));
                }
                None => self.given(child, &format!("{path}."), given),
            }
        }
    }

    /// A parameter's name and values. Returns the network if it is one.
    pub(super) fn named<'e>(
        &mut self,
        span: Span,
        path: &str,
        values: impl Iterator<Item = &'e NodeEntry>,
        given: &StageContext,
    ) -> Option<Definition> {
        self.values(Some(span), path, values, given)
    }

    /// The values of a parameter, and its name if that is written next to them.
    pub(super) fn values<'e>(
        &mut self,
        span: Option<Span>,
        path: &str,
        values: impl Iterator<Item = &'e NodeEntry>,
        given: &StageContext,
    ) -> Option<Definition> {
        let kind = &given.kind;
        let place = param_at(given.signature, path, &|path| given.chosen.get(path).cloned());
        if let (Some(place), Some(span)) = (&place, span) {
            self.note(span, Symbol::Param(kind.clone(), place.path.clone()), NameRole::Uses);
        }
        let mut network = None;
        for entry in values {
            self.dollar(entry, given.names);
            let (Some(place), Some(text)) = (&place, entry.text()) else { continue };
            match &place.param.ty {
                ParamType::Choice => {
                    self.word(entry, Symbol::Case(kind.clone(), place.path.clone(), text.to_owned()), NameRole::Uses);
                }
                ParamType::Network if !text.starts_with('$') => {
                    let Some(found) = self.index.network(text, entry.span).map(|found| self.index.definition(found))
                    else {
                        continue;
                    };
                    if let Some(span) = self.part(entry, 0..text.len()) {
                        self.dotted(span, text, Symbol::Network(found.clone()));
                    }
                    network = Some(found);
                }
                _ => {}
            }
        }
        network
    }

    /// A value that is a `$name`.
    fn dollar(&mut self, entry: &NodeEntry, names: &ScopeNames) {
        let Some(name) = entry.text().filter(|_| !entry.quoted).and_then(|text| text.strip_prefix('$')) else { return };
        let symbol = match (&names.scope, names.values.get(name)) {
            // The number of a copy.
            (_, Some(named)) if names.stages.contains_key(name) => {
                Symbol::Stage(named.scope.clone(), named.path.clone())
            }
            (NameScope::Body(kind), Some(_)) => Symbol::Param(kind.clone(), name.to_owned()),
            (NameScope::Pipeline(..), Some(named)) => Symbol::Value(named.scope.clone(), name.to_owned()),
            (_, None) => return,
        };
        let Some(span) = self.part(entry, 1..name.len() + 1) else { return };
        self.note(span, symbol, NameRole::Uses);
    }

    fn reference(&mut self, entry: &NodeEntry, names: &ScopeNames) {
        let Some(text) = entry.text() else { return };
        let (name, output) = text.split_once('.').map_or((text, None), |(name, output)| (name, Some(output)));
        let Some(span) = self.part(entry, 0..name.len()) else { return };
        if names.ports.contains_key(name) && !names.stages.contains_key(name) {
            if let NameScope::Body(kind) = &names.scope {
                self.note(span, Symbol::Port(kind.clone(), name.to_owned()), NameRole::Uses);
            }
            return;
        }
        let Some(named) = names.stages.get(name) else { return };
        self.note(span, Symbol::Stage(named.scope.clone(), named.path.clone()), NameRole::Uses);
        if named.kind == REPEAT {
            return self.inside_repeat(entry, name.len() + 1, &names.inside(name));
        }
        let kind = self.index.signature(&named.kind, named.span).map(|signature| self.index.kind(signature));
        if let (Some(output), Some(kind)) = (output, kind)
            && let Some(span) = self.part(entry, name.len() + 1..text.len())
        {
            self.note(span, Symbol::Output(kind, output.to_owned()), NameRole::Uses);
        }
    }

    /// The rest of a reference to a stage inside a `repeat`, from a byte of its text on: `2.scores`, `sides.test`.
    fn inside_repeat(&mut self, entry: &NodeEntry, start: usize, names: &ScopeNames) {
        let Some(rest) = entry.text().and_then(|text| text.get(start..)) else { return };
        let (part, after) = rest.split_once('.').unwrap_or((rest, ""));
        if is_number(part) {
            return self.inside_repeat(entry, start + part.len() + 1, names);
        }
        let Some(named) = names.stages.get(part) else { return };
        if let Some(span) = self.part(entry, start..start + part.len()) {
            self.note(span, Symbol::Stage(named.scope.clone(), named.path.clone()), NameRole::Uses);
        }
        let next = start + part.len() + 1;
        if named.kind == REPEAT {
            return self.inside_repeat(entry, next, &names.inside(part));
        }
        let kind = self.index.signature(&named.kind, named.span).map(|signature| self.index.kind(signature));
        if let (Some(kind), false) = (kind, after.is_empty())
            && let Some(span) = self.part(entry, next..next + after.len())
        {
            self.note(span, Symbol::Output(kind, after.to_owned()), NameRole::Uses);
        }
    }
}

/// The context in which the braces of a stage are read.
pub(super) struct StageContext<'a> {
    pub(super) signature: &'a Signature,
    pub(super) kind: Definition,
    /// The selected case of each choice, by dotted name.
    pub(super) chosen: BTreeMap<String, String>,
    pub(super) names: &'a ScopeNames,
}

/// The first value of everything in a stage's braces, by dotted name; for a choice it is the case.
pub(super) fn choices(node: &Node, prefix: &str, chosen: &mut BTreeMap<String, String>) {
    let path = format!("{prefix}{}", node.name.text);
    let mut put = |path: String, entry: &NodeEntry| {
        if let Some(text) = entry.text() {
            chosen.insert(path, text.to_owned());
        }
    };
    if let Some(entry) = node.args().next() {
        put(path.clone(), entry);
    }
    for (key, entry) in node.props() {
        put(format!("{path}.{}", key.text), entry);
    }
    for child in node.nodes() {
        choices(child, &format!("{path}."), chosen);
    }
}
