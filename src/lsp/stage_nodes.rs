//! Stages of a pipeline as nodes of its text, with those inside a `repeat`.

use super::view::View;
use crate::lang::keywords::REPEAT;
use crate::lang::spec::Pipeline;
use crate::syntax::{Node, NodeEntry};

/// A stage's node.
pub(super) struct StageNode<'a> {
    pub(super) node: &'a Node,
    /// Dotted name: `fold.classifier`.
    pub(super) path: String,
}

/// Nodes of a pipeline that are not stages.
const OTHERS: [&str; 4] = ["doc", "extends", "without", "param"];

/// Named stages among nodes, with those inside a `repeat`.
pub(super) fn stages_of(nodes: &[Node]) -> Vec<StageNode<'_>> {
    let mut all = Vec::new();
    collect(nodes, "", &mut all);
    all
}

fn collect<'a>(nodes: &'a [Node], prefix: &str, all: &mut Vec<StageNode<'a>>) {
    for node in nodes.iter().filter(|node| !OTHERS.contains(&node.name.text.as_str())) {
        let repeat = node.name.text == REPEAT;
        let Some(name) = node.args().nth(usize::from(repeat)).and_then(NodeEntry::text) else { continue };
        let path = format!("{prefix}{name}");
        if repeat {
            collect(node.nodes(), &format!("{path}."), all);
        } else {
            all.push(StageNode { node, path });
        }
    }
}

/// The pipeline read from a node, if it has no mistakes.
pub(super) fn pipeline_of<'a>(view: &View<'a>, node: &Node) -> Option<&'a Pipeline> {
    let name = node.args().next()?.text()?;
    view.read.analysis.contents.pipelines.iter().find(|pipeline| pipeline.name == name)
}
