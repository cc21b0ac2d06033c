//! `textDocument/codeLens`: above a pipeline, `run` and `plan`; above its stages, `run`, `why` and the last metric.

use gen_lsp_types::{CodeLens, Command};
use serde_json::{Value, json};

use super::commands::{PLAN, RUN, SHOW, WHY};
use super::stage_nodes::{StageNode, pipeline_of, stages_of};
use super::state::Will;
use super::view::View;
use crate::base::{Span, figure};
use crate::syntax::{Node, NodeEntry};

/// Code lenses of a text; none for one that is not a file, which no command can read.
pub(super) fn lenses(view: &View) -> Vec<CodeLens> {
    let Some(path) = &view.document.path else { return Vec::new() };
    if !view.client.lenses || view.library.module(path).is_some() {
        return Vec::new();
    }
    let contents = &view.read.analysis.contents;
    let mut all = Vec::new();
    for node in &view.read.analysis.document().nodes {
        let Some(name) = node.args().next().and_then(NodeEntry::text) else { continue };
        let mut about = json!({"file": path.display().to_string()});
        match node.name.text.as_str() {
            "pipeline" => {
                if contents.pipelines.len() > 1 {
                    about["pipeline"] = json!(name);
                }
                all.push(lens(view, node.head, "run".to_owned(), RUN, &about));
                all.push(lens(view, node.head, plan(view, name), PLAN, &about));
                of_stages(view, node, &about, &mut all);
            }
            "sweep" => {
                about["sweep"] = json!(name);
                all.push(lens(view, node.head, "run".to_owned(), RUN, &about));
                all.push(lens(view, node.head, "plan".to_owned(), PLAN, &about));
            }
            _ => {}
        }
    }
    all
}

/// Lenses of the stages that a pipeline's node declares or changes.
fn of_stages(view: &View, node: &Node, about: &Value, all: &mut Vec<CodeLens>) {
    let Some(pipeline) = pipeline_of(view, node) else { return };
    for StageNode { node, path } in stages_of(node.nodes()) {
        let state = view.states.and_then(|states| states.get(&pipeline.name, &path));
        let mut about = about.clone();
        about["stage"] = json!(path);
        all.push(lens(view, node.head, "run".to_owned(), RUN, &about));
        all.push(lens(view, node.head, "why".to_owned(), WHY, &about));
        if let Some((state, (metric, value))) = state.and_then(|state| Some((state, state.metric.as_ref()?))) {
            let before = if matches!(state.will, Will::Source | Will::Reuse) { "" } else { " (last run)" };
            let title = format!("{metric} {}{before}", figure::metric(Some(*value)));
            all.push(lens(view, node.head, title, SHOW, &about));
        }
    }
}

/// `plan`, with the number of stages that will run if that is known.
fn plan(view: &View, pipeline: &str) -> String {
    let Some(states) = view.states else { return "plan".to_owned() };
    let all = states.of(pipeline).count() as u64;
    let will = states.of(pipeline).filter(|(_, state)| state.will == Will::Run).count();
    let unknown = states.of(pipeline).filter(|(_, state)| state.will == Will::Unknown).count();
    match (all, will + unknown) {
        (0, _) => "plan".to_owned(),
        (all, 0) => format!("plan: {} up to date", figure::counted(all, "stage", "stages")),
        (all, open) if unknown > 0 => {
            format!("plan: up to {open} of {} will run", figure::counted(all, "stage", "stages"))
        }
        (all, open) => format!("plan: {open} of {} will run", figure::counted(all, "stage", "stages")),
    }
}

fn lens(view: &View, head: Span, title: String, command: &str, about: &Value) -> CodeLens {
    CodeLens {
        range: view.read.range(head),
        command: Some(Command {
            title,
            tooltip: None,
            command: command.to_owned(),
            arguments: Some(vec![about.clone()]),
        }),
        data: None,
    }
}
