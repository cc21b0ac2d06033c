//! `textDocument/inlayHint`: after a stage, what it made according to the store, and its defaults.

use gen_lsp_types::{InlayHint, Label, MarkupContent, MarkupKind, Range, Tooltip};

use super::docs;
use super::state::Will;
use super::view::View;
use crate::lang::keywords::REPEAT;
use crate::lang::param_type::ParamType;
use crate::lang::signature::{Param, Signature};
use crate::lang::spec::{Pipeline, StageSpec};
use crate::lang::value::Value;
use crate::syntax::{Node, NodeEntry};

/// Maximum number of defaults shown; the others are counted.
const MOST: usize = 3;

/// Hints for the stages in a range.
pub(super) fn hints(view: &View, range: Range) -> Vec<InlayHint> {
    let bytes = view.document.lines.bytes(&view.document.text, range);
    let mut all = Vec::new();
    for top in &view.read.analysis.document().nodes {
        let (stages, pipeline) = match top.name.text.as_str() {
            "pipeline" => (top.nodes(), pipeline(view, top)),
            "stage" => (top.child("body").map_or(&[][..], Node::nodes), None),
            _ => continue,
        };
        let differs = top.child("extends").is_some();
        let stages = with_inner(stages);
        let near = stages.into_iter().filter(|node| node.span.start <= bytes.end && node.span.end >= bytes.start);
        for node in near.filter(|node| node.children.is_some()) {
            let Some(signature) = view.index.signature(&node.name.text, node.name.span) else { continue };
            let name = node.args().next().and_then(NodeEntry::text);
            let spec = pipeline.and_then(|one| one.stages.iter().find(|stage| Some(stage.base_name.as_str()) == name));
            let made = pipeline.zip(name).and_then(|(pipeline, name)| made(view, &pipeline.name, name));
            let defaults = if view.client.defaults && (spec.is_some() || !differs) {
                defaults(signature, spec, node)
            } else {
                Vec::new()
            };
            all.extend(behind(view, node, made, &defaults));
        }
    }
    all
}

fn pipeline<'a>(view: &View<'a>, node: &Node) -> Option<&'a Pipeline> {
    let name = node.args().next()?.text()?;
    view.read.analysis.contents.pipelines.iter().find(|pipeline| pipeline.name == name)
}

/// Headline of a stage's result in the store.
/// The stages among nodes, with those inside a `repeat`.
fn with_inner(nodes: &[Node]) -> Vec<&Node> {
    let mut all = Vec::new();
    for node in nodes {
        if node.name.text == REPEAT {
            all.extend(with_inner(node.nodes()));
        } else {
            all.push(node);
        }
    }
    all
}

fn made(view: &View, pipeline: &str, stage: &str) -> Option<String> {
    let state = view.states?.get(pipeline, stage)?;
    let known = matches!(state.will, Will::Source | Will::Reuse) && !state.made.is_empty();
    known.then(|| state.made.clone())
}

/// Defaults of the parameters that a stage omits, in the order of its signature.
fn defaults(signature: &Signature, spec: Option<&StageSpec>, node: &Node) -> Vec<String> {
    let mut all = Vec::new();
    for param in &signature.params {
        match spec {
            Some(spec) => of_spec(param, &param.name, spec, &mut all),
            None if node.nodes().iter().all(|child| child.name.text != param.name) => {
                let value = param.default.as_ref().filter(|value| **value != Value::None);
                all.extend(value.map(|value| format!("{} {}", param.name, docs::shown(value))));
            }
            None => {}
        }
    }
    all
}

fn of_spec(param: &Param, path: &str, spec: &StageSpec, all: &mut Vec<String>) {
    if param.ty == ParamType::Group {
        for inner in &param.params {
            of_spec(inner, &format!("{path}.{}", inner.name), spec, all);
        }
        return;
    }
    if let Some(given) = spec.params.get(path)
        && given.span.is_none()
        && given.value != Value::None
    {
        all.push(format!("{path} {}", docs::shown(&given.value)));
    }
}

/// Hints of a stage: on one line, what it made or else its defaults; on several lines, what it made after its head and the
/// defaults after its end.
fn behind(view: &View, node: &Node, made: Option<String>, defaults: &[String]) -> Vec<InlayHint> {
    let text = &view.document.text;
    let many = defaults.len().saturating_sub(MOST);
    let more = if many == 0 { String::new() } else { format!(", {many} more defaults") };
    let line = (!defaults.is_empty()).then(|| format!("{}{more}", defaults[..defaults.len().min(MOST)].join(", ")));
    let several = text[node.span.range()].contains('\n');
    let end = node.span.end;
    let head = text[node.head.end..].find('{').map_or(end, |at| node.head.end + at + 1);
    let all = if several { vec![(head, made), (end, line)] } else { vec![(end, made.or(line))] };
    let tooltip = || {
        let list: Vec<String> = defaults.iter().map(|line| format!("- `{line}`")).collect();
        let value = if list.is_empty() { String::new() } else { format!("Defaults:\n{}", list.join("\n")) };
        (!value.is_empty()).then_some(Tooltip::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value }))
    };
    let hint = |(at, label): (usize, Option<String>)| {
        Some(InlayHint {
            position: view.document.lines.position(text, at),
            label: Label::String(label?),
            kind: None,
            text_edits: None,
            tooltip: tooltip(),
            padding_left: Some(true),
            padding_right: None,
            data: None,
        })
    };
    all.into_iter().filter_map(hint).collect()
}
