//! Completion in a `sweep`: statements, axes of its pipeline, their values, stages and metrics.

use std::collections::BTreeMap;

use gen_lsp_types::CompletionItemKind;

use super::super::docs;
use super::super::view::View;
use super::stage::StageCompletion;
use super::{CompletionCandidate, files, keywords, properties};
use crate::lang::index::{self, ScopeNames};
use crate::lang::param_type::ParamType;
use crate::lang::ranking;
use crate::syntax::{Cursor, Head, Node, NodeEntry, Spot};

/// Completions in a sweep of the pipeline with `names`, inside the blocks of `chain`; without names, those that need none.
pub(super) fn items(
    view: &View,
    cursor: &Cursor,
    found: Option<(ScopeNames, &Node)>,
    chain: &[Head],
) -> Vec<CompletionCandidate> {
    let (names, node) = found.map_or((None, None), |(names, node)| (Some(names), Some(node)));
    // A sweep takes values, not parameters of the pipeline.
    let plain = names.clone().map(|names| ScopeNames { values: BTreeMap::new(), ..names });
    let sweep = SweepCompletion { view, cursor, names, plain, node };
    let statement = cursor.statement.name.as_str();
    match (chain, &cursor.spot, statement) {
        ([], Spot::Name, _) => keywords(&[
            ("over", "over ${1:stage.param} $0", "Varies a parameter."),
            ("zip", "zip {\n    over $0\n}", "Varies parameters together."),
            ("skip", "skip $0", "Leaves out the points for which all of these hold."),
            ("repeat", "repeat ${1:3}", "Runs every point with several seeds."),
            ("rank", "rank by=$0", "The metric to rank by."),
            ("of", "of $0", "The pipeline to vary, if the file has none or several."),
            ("doc", "doc \"$0\"", "What the sweep is for."),
        ]),
        ([zip], Spot::Name, _) if zip.name == "zip" => keywords(&[("over", "over ${1:stage.param} $0", "")]),
        ([.., over], _, "-") if over.name == "over" => sweep.dashed(over.argument().unwrap_or_default()),
        ([.., over], Spot::Name, _) if over.name == "over" => keywords(&[("-", "- $0", "A value.")]),
        ([] | [_], Spot::Argument(0), "over") => sweep.axes(),
        ([] | [_], Spot::Argument(_), "over") => {
            sweep.values(cursor.statement.argument().unwrap_or_default(), BTreeMap::new())
        }
        ([], Spot::Argument(0), "of") => files::pipelines(view, cursor),
        ([], Spot::Argument(_), "of") => properties(&[("pipeline", "Which one, if the file has several.")]),
        ([], Spot::Argument(_), "repeat") => {
            properties(&[("only", "The only stage whose seed changes; without it, all of them.")])
        }
        ([], Spot::Value(key), "repeat") if key == "only" => sweep.stages(),
        ([], Spot::Argument(_), "rank") => properties(&[("by", "A stage and one of its metrics.")]),
        ([], Spot::Value(key), "rank") if key == "by" => sweep.figures(),
        ([], Spot::Argument(_), "skip") => sweep.varied(),
        ([], Spot::Value(axis), "skip") => sweep.taken(axis),
        _ => Vec::new(),
    }
}

struct SweepCompletion<'a> {
    view: &'a View<'a>,
    cursor: &'a Cursor,
    /// The names of the pipeline.
    names: Option<ScopeNames>,
    /// The same without its parameters.
    plain: Option<ScopeNames>,
    node: Option<&'a Node>,
}

impl SweepCompletion<'_> {
    /// Axes: parameters of the pipeline, its seed, and parameters of its stages.
    fn axes(&self) -> Vec<CompletionCandidate> {
        let Some(names) = &self.names else { return Vec::new() };
        let own = names.values.iter().map(|(name, named)| {
            CompletionCandidate::new(name, CompletionItemKind::Constant, format!("{} of the pipeline", named.kind))
                .rank(0)
        });
        let seed = CompletionCandidate::new("seed", CompletionItemKind::Constant, "of the pipeline");
        let of_stages = self.view.index.axes(names).into_iter().filter(|(_, param)| param.ty != ParamType::Group);
        let of_stages = of_stages.map(|(path, param)| {
            CompletionCandidate::new(path, CompletionItemKind::Field, docs::param_line(param)).docs(docs::param(param))
        });
        own.chain([seed]).chain(of_stages).collect()
    }

    /// Calls `then` with what an axis is looked at with, and its name behind that of its stage.
    fn look<T>(
        &self,
        axis: &str,
        further: BTreeMap<String, String>,
        then: impl Fn(&StageCompletion, &str) -> Vec<T>,
    ) -> Vec<T> {
        let (Some(names), Some(plain)) = (&self.names, &self.plain) else { return Vec::new() };
        let Some((signature, start, stage)) = self.view.index.axis(names, axis).stage else { return Vec::new() };
        let mut chosen = stage.map(index::chosen).unwrap_or_default();
        chosen.extend(further);
        let look = StageCompletion { view: self.view, names: plain, signature, chosen };
        then(&look, axis.get(start..).unwrap_or_default())
    }

    /// Values of an axis.
    fn values(&self, axis: &str, further: BTreeMap<String, String>) -> Vec<CompletionCandidate> {
        self.look(axis, further, |look, path| look.values(path, 0, self.cursor))
    }

    /// Completions after a `-`: a value and its parameters.
    fn dashed(&self, axis: &str) -> Vec<CompletionCandidate> {
        let behind = |below: &str| axis.split_once('.').map(|(_, path)| format!("{path}{below}")).unwrap_or_default();
        let case = self.cursor.statement.argument().map(|case| (behind(""), case.to_owned()));
        let further: BTreeMap<String, String> = case.into_iter().collect();
        match &self.cursor.spot {
            Spot::Argument(0) => self.values(axis, further),
            Spot::Argument(_) => self.look(axis, further, |look, path| look.inner(path, true)),
            Spot::Value(key) => self.values(&format!("{axis}.{key}"), further),
            Spot::Name | Spot::Comment => Vec::new(),
        }
    }

    /// Names of stages and instances.
    fn stages(&self) -> Vec<CompletionCandidate> {
        let stages = self.names.iter().flat_map(|names| &names.stages);
        stages.map(|(name, named)| CompletionCandidate::new(name, CompletionItemKind::Variable, &named.kind)).collect()
    }

    /// Metrics of the pipeline's stages, prefixed with their names.
    fn figures(&self) -> Vec<CompletionCandidate> {
        let swept = self.node.and_then(|node| node.args().next()).and_then(NodeEntry::text);
        let swept = self.view.read.analysis.contents.sweeps.iter().find(|sweep| Some(sweep.name.as_str()) == swept);
        let stages: Vec<(&str, &str)> = if let Some(sweep) = swept {
            ranking::stages(&sweep.base).map(|it| (it.base_name.as_str(), it.stage_type.as_str())).collect()
        } else {
            // A half-written sweep cannot be analysed.
            let stages = self.names.iter().flat_map(|names| &names.stages);
            stages.map(|(name, named)| (name.as_str(), named.kind.as_str())).collect()
        };
        let mut items = Vec::new();
        for (stage, kind) in stages {
            for figure in ranking::of(kind) {
                let name = format!("{stage}.{}", figure.name);
                items.push(
                    CompletionCandidate::new(name, CompletionItemKind::Value, format!("of {kind}")).docs(&figure.doc),
                );
            }
        }
        items
    }

    /// The `over` nodes of this sweep.
    fn overs(&self) -> impl Iterator<Item = &Node> {
        let children = self.node.into_iter().flat_map(Node::nodes);
        let inside = |node| std::slice::from_ref(node).iter().chain(Node::nodes(node));
        children.flat_map(inside).filter(|node| node.name.text == "over")
    }

    fn varied(&self) -> Vec<CompletionCandidate> {
        let names = self.overs().filter_map(|over| over.args().next()?.text());
        names
            .map(|name| CompletionCandidate::new(format!("{name}="), CompletionItemKind::Property, "varied here"))
            .collect()
    }

    /// Values that this sweep gives to an axis.
    fn taken(&self, axis: &str) -> Vec<CompletionCandidate> {
        let over = self.overs().find(|over| over.args().next().and_then(NodeEntry::text) == Some(axis));
        let lines = over.into_iter().flat_map(Node::nodes).filter_map(|line| line.args().next());
        let plain = over.into_iter().flat_map(|over| over.args().skip(1));
        let text = &self.view.document.text;
        let written = plain.chain(lines).filter_map(|entry| text.get(entry.span.range()));
        written.map(|value| CompletionCandidate::new(value, CompletionItemKind::Value, "taken here")).collect()
    }
}
