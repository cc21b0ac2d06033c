//! `textDocument/inlayHint`: after a stage, what it made according to the store, and its defaults.

use gen_lsp_types::{InlayHint, Label, MarkupContent, MarkupKind, Range, Tooltip};

use super::docs;
use super::stage_nodes::{pipeline_of, stages_of};
use super::state::Will;
use super::view::View;
use crate::base::figure::counted;
use crate::lang::param_type::ParamType;
use crate::lang::signature::{Param, Signature};
use crate::lang::spec::StageSpec;
use crate::lang::value::Value;
use crate::lang::without_numbers;
use crate::syntax::Node;

/// Maximum number of defaults shown; the others are counted.
const MOST: usize = 3;
/// Width of a line with its hint, in characters.
const WIDTH: usize = 120;
/// Shortest hint worth showing, in characters.
const LEAST: usize = 16;

/// Hints for the stages in a range.
pub(super) fn hints(view: &View, range: Range) -> Vec<InlayHint> {
    let bytes = view.document.lines.bytes(&view.document.text, range);
    let mut all = Vec::new();
    for top in &view.read.analysis.document().nodes {
        let (stages, pipeline) = match top.name.text.as_str() {
            "pipeline" => (top.nodes(), pipeline_of(view, top)),
            "stage" => (top.child("body").map_or(&[][..], Node::nodes), None),
            _ => continue,
        };
        let differs = top.child("extends").is_some();
        let mut near = stages_of(stages);
        near.retain(|stage| stage.node.span.start <= bytes.end && stage.node.span.end >= bytes.start);
        for stage in near.into_iter().filter(|stage| stage.node.children.is_some()) {
            let (node, path) = (stage.node, stage.path);
            let Some(signature) = view.index.signature(&node.name.text, node.name.span) else { continue };
            // All copies of a repeated stage have the same defaults.
            let mut specs = pipeline.into_iter().flat_map(|one| &one.stages);
            let spec = specs.find(|stage| stage.base_name == path || without_numbers(&stage.base_name) == path);
            let made = pipeline.and_then(|pipeline| made(view, &pipeline.name, &path));
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

/// Headline of a stage's result in the store.
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
    let more =
        if many == 0 { String::new() } else { format!(", {}", counted(many as u64, "more default", "more defaults")) };
    let line = (!defaults.is_empty()).then(|| format!("{}{more}", defaults[..defaults.len().min(MOST)].join(", ")));
    let several = text[node.span.range()].contains('\n');
    let end = node.span.end;
    let head = text[node.head.end..].find('{').map_or(end, |at| node.head.end + at + 1);
    let all = if several { vec![(head, made), (end, line)] } else { vec![(end, made.or(line))] };
    let tooltip = |cut: Option<&str>| {
        let list: Vec<String> = defaults.iter().map(|line| format!("- `{line}`")).collect();
        let list = if list.is_empty() { String::new() } else { format!("Defaults:\n{}", list.join("\n")) };
        let value = [cut.unwrap_or_default(), &list].join("\n\n").trim().to_owned();
        (!value.is_empty()).then_some(Tooltip::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value }))
    };
    let hint = |(at, label): (usize, Option<String>)| {
        let whole = label?;
        let label = fitted(&whole, room(text, at, view.client.hint_length))?;
        let tooltip = tooltip((label != whole).then_some(whole.as_str()));
        Some(InlayHint {
            position: view.document.lines.position(text, at),
            label: Label::String(label),
            kind: None,
            text_edits: None,
            tooltip,
            padding_left: Some(true),
            padding_right: None,
            data: None,
        })
    };
    all.into_iter().filter_map(hint).collect()
}

/// Characters left for a hint at a byte: what the line leaves of [`WIDTH`], at most `most`.
fn room(text: &str, at: usize, most: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    WIDTH.saturating_sub(text[start..end].trim_end().chars().count()).min(most)
}

/// A hint in at most `room` characters, shortened after a part of it; [`None`] if little would be left.
fn fitted(label: &str, room: usize) -> Option<String> {
    if label.chars().count() <= room {
        return Some(label.to_owned());
    }
    if room < LEAST {
        return None;
    }
    let kept: String = label.chars().take(room - 1).collect();
    let end = kept.rfind(", ").or_else(|| kept.rfind(' ')).filter(|end| *end >= LEAST / 2).unwrap_or(kept.len());
    Some(format!("{}…", kept[..end].trim_end_matches([',', ' '])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_hint_is_shortened_and_a_long_line_gets_none() {
        assert_eq!(fitted("side 64", 60).as_deref(), Some("side 64"));
        let long = "photographs-per-patient 1, lesions-per-photograph 12, size 256";
        assert_eq!(fitted(long, 40).as_deref(), Some("photographs-per-patient 1…"));
        assert_eq!(fitted(long, 12), None);
        assert_eq!(room("ab\n    cd\n", 5, 60), 60);
        assert_eq!(room(&"x".repeat(110), 0, 60), 10);
    }
}
