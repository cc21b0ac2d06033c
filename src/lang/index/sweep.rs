//! Words in a `sweep`: the pipeline that it varies, and the targets of its axes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::scope::stage_name;
use super::walk::{StageContext, Walker};
use super::{NameRole, ScopeNames, Symbol, SymbolIndex, param_at};
use crate::base::{FileId, Span};
use crate::lang::keywords::REPEAT;
use crate::lang::lower::repeat::is_number;
use crate::lang::signature::{Param, Signature};
use crate::syntax::{Node, NodeEntry};

/// Nested templates that are searched for axes.
const DEEPEST: usize = 4;

/// The target of an axis: `classifier.optimizer.lr`.
#[derive(Debug, Default)]
pub struct AxisPath<'a> {
    /// Its words that mean stages or a parameter of the pipeline, each with its byte range in the name.
    pub words: Vec<(Range<usize>, Symbol)>,
    /// The signature of the target stage, the start of the part after the stage, and the stage itself.
    pub stage: Option<(&'a Signature, usize, Option<&'a Node>)>,
}

impl<'a> SymbolIndex<'a> {
    /// The target of an axis, looked up in the names of a pipeline.
    #[must_use]
    pub fn axis(&self, names: &ScopeNames, path: &str) -> AxisPath<'a> {
        let mut axis = AxisPath::default();
        let mut at = 0;
        let mut inner: Option<ScopeNames> = None;
        loop {
            let names = inner.as_ref().unwrap_or(names);
            let segment = path[at..].split('.').next().unwrap_or_default();
            let here = at..at + segment.len();
            if is_number(segment) && at > 0 {
                at = (here.end + 1).min(path.len());
                continue;
            }
            let Some(named) = names.stages.get(segment) else {
                if let Some(named) = names.values.get(segment).filter(|_| axis.stage.is_none()) {
                    axis.words.push((here, Symbol::Value(named.scope.clone(), segment.to_owned())));
                }
                return axis;
            };
            axis.words.push((here.clone(), Symbol::Stage(named.scope.clone(), named.path.clone())));
            if named.kind == REPEAT {
                let inside = names.inside(segment);
                at = (here.end + 1).min(path.len());
                if at == path.len() {
                    return axis;
                }
                inner = Some(inside);
                continue;
            }
            let Some(signature) = self.signature(&named.kind, named.span) else { return axis };
            at = (here.end + 1).min(path.len());
            axis.stage = Some((signature, at, self.declaring(named.span)));
            match self.of_body(signature) {
                Some(body) if at < path.len() => inner = Some(body),
                _ => return axis,
            }
        }
    }

    /// Every possible axis with its parameter, sorted by name.
    #[must_use]
    pub fn axes(&self, names: &ScopeNames) -> Vec<(String, &'a Param)> {
        let mut all = BTreeMap::new();
        self.add_axes(names, "", DEEPEST, &mut all);
        all.into_iter().collect()
    }

    fn add_axes(&self, names: &ScopeNames, prefix: &str, deepest: usize, all: &mut BTreeMap<String, &'a Param>) {
        for (name, named) in &names.stages {
            let Some(signature) = self.signature(&named.kind, named.span) else { continue };
            let prefix = format!("{prefix}{name}.");
            for param in &signature.params {
                add(param, &prefix, all);
            }
            if let Some(body) = self.of_body(signature).filter(|_| deepest > 0) {
                self.add_axes(&body, &prefix, deepest - 1, all);
            }
        }
    }

    /// The names of the pipeline that a sweep varies.
    pub(super) fn of_sweep(&self, file: FileId, node: &Node) -> Option<ScopeNames> {
        let (file, pipeline) = self.swept(file, node)?;
        Some(self.of_pipeline(file, pipeline))
    }

    /// The pipeline that a sweep varies.
    fn swept(&self, file: FileId, node: &Node) -> Option<(FileId, &'a Node)> {
        match node.child("of") {
            Some(of) => self.target(file, of),
            None => self.pipeline(file, None),
        }
    }

    /// The stage declared at a position.
    fn declaring(&self, name: Span) -> Option<&'a Node> {
        let document = self.module.documents.get(&name.file)?;
        let top = document.nodes.iter().find(|node| node.span.start <= name.start && name.end <= node.span.end)?;
        let mut within = if top.name.text == "stage" { top.child("body")? } else { top };
        loop {
            let here = |node: &&Node| node.span.start <= name.start && name.end <= node.span.end;
            let node = within.nodes().iter().find(here)?;
            if stage_name(node).is_some_and(|(_, span)| span == name) {
                return Some(node);
            }
            within = Some(node).filter(|node| node.name.text == REPEAT)?;
        }
    }
}

/// Adds a parameter and those below it, of all cases.
fn add<'a>(param: &'a Param, prefix: &str, all: &mut BTreeMap<String, &'a Param>) {
    let path = format!("{prefix}{}", param.name);
    let below = format!("{path}.");
    for (inner, _) in super::inner(param, None) {
        add(inner, &below, all);
    }
    all.entry(path).or_insert(param);
}

impl<'a> Walker<'a> {
    /// A `sweep`.
    pub(super) fn sweep(&mut self, file: FileId, node: &'a Node) {
        if let Some(of) = node.child("of") {
            self.pipeline_named(file, of, self.index.swept(file, node));
        }
        let Some(names) = self.index.of_sweep(file, node) else { return };
        for child in node.nodes() {
            match child.name.text.as_str() {
                "over" => self.over(child, &names),
                "zip" => {
                    child.nodes().iter().filter(|node| node.name.text == "over").for_each(|node| {
                        self.over(node, &names);
                    });
                }
                "skip" => {
                    for (key, entry) in child.props() {
                        let plain = key.span.end - key.span.start == key.text.len();
                        self.axis(&key.text, plain.then_some(key.span), &names, [entry].into_iter());
                    }
                }
                "repeat" => {
                    self.named_stage(child.prop("only"), &names);
                    let several = child.nodes().iter().filter(|node| node.name.text == "only");
                    several.flat_map(Node::args).for_each(|entry| self.named_stage(Some(entry), &names));
                }
                "rank" => self.named_stage(child.prop("by"), &names),
                _ => {}
            }
        }
    }

    /// The name of a stage, or of one of its metrics.
    fn named_stage(&mut self, entry: Option<&NodeEntry>, names: &ScopeNames) {
        if let Some((entry, text)) = entry.and_then(|entry| Some((entry, entry.text()?))) {
            let place = self.part(entry, 0..text.len());
            self.axis(text, place, names, std::iter::empty());
        }
    }

    fn over(&mut self, node: &'a Node, names: &ScopeNames) {
        let Some((entry, path)) = node.args().next().and_then(|entry| Some((entry, entry.text()?))) else { return };
        let place = self.part(entry, 0..path.len());
        self.axis(path, place, names, node.args().skip(1));
        for value in node.nodes().iter().filter(|value| value.name.text == "-") {
            self.axis(path, None, names, value.args());
            let Some((signature, start, stage)) = self.index.axis(names, path).stage else { continue };
            let mut given = self.given_to(signature, stage, names);
            let path = path.get(start..).unwrap_or_default();
            if let Some(case) = value.args().next().and_then(NodeEntry::text) {
                given.chosen.insert(path.to_owned(), case.to_owned());
            }
            for (key, entry) in value.props() {
                self.named(key.span, &format!("{path}.{}", key.text), std::iter::once(entry), &given);
            }
            for child in value.nodes() {
                self.given(child, &format!("{path}."), &given);
            }
        }
    }

    /// Notes the words of an axis, if it is in the text, and those of its values.
    fn axis<'e>(
        &mut self,
        path: &str,
        place: Option<Span>,
        names: &ScopeNames,
        values: impl Iterator<Item = &'e NodeEntry>,
    ) {
        let at = |range: Range<usize>| {
            place.map(|place| Span { start: place.start + range.start, end: place.start + range.end, ..place })
        };
        let axis = self.index.axis(names, path);
        for (range, symbol) in axis.words {
            if let Some(span) = at(range) {
                self.note(span, symbol, NameRole::Uses);
            }
        }
        let Some((signature, start, stage)) = axis.stage.filter(|(_, start, _)| *start < path.len()) else { return };
        let given = self.given_to(signature, stage, names);
        let below = &path[start..];
        let last = below.rfind('.').map_or(0, |dot| dot + 1);
        for (dot, _) in below.match_indices('.') {
            let from = below[..dot].rfind('.').map_or(0, |dot| dot + 1);
            let above = param_at(signature, &below[..dot], &|path| given.chosen.get(path).cloned());
            if let (Some(above), Some(span)) = (above, at(start + from..start + dot)) {
                self.note(span, Symbol::Param(given.kind.clone(), above.path), NameRole::Uses);
            }
        }
        self.values(at(start + last..path.len()), below, values, &given);
    }

    /// The context of a stage; a sweep has no `$name`.
    fn given_to<'g>(&self, signature: &'g Signature, stage: Option<&Node>, names: &'g ScopeNames) -> StageContext<'g> {
        let chosen = stage.map(super::chosen).unwrap_or_default();
        StageContext { signature, kind: self.index.kind(signature), chosen, names }
    }
}
