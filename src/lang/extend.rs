//! A pipeline given as its difference from another: `extends "baseline.kdl"`. Maps nodes to nodes; knows no files.

use super::keywords::REPEAT;
use super::near;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Node, NodeEntry};

/// The `extends` of a pipeline.
pub(super) struct Extends<'a> {
    /// The file or the pipeline of this file, as written.
    pub(super) target: &'a NodeEntry,
    /// Which pipeline, if the file contains several.
    pub(super) pipeline: Option<&'a NodeEntry>,
    /// Span of the node.
    pub(super) span: Span,
}

/// The `extends` of a pipeline, if it has one; [`None`] after reporting a diagnostic.
pub(super) fn extends<'a>(pipeline: &'a Node, diags: &mut Vec<Diag>) -> Option<Extends<'a>> {
    let mut all = pipeline.nodes().iter().filter(|node| node.name.text == "extends");
    let node = all.next()?;
    if let Some(again) = all.next() {
        let found = Diag::error("duplicate-param", again.head, "a pipeline can extend only one other");
        diags.push(found.also(node.head, "first here").hint("let one of the two extend the other"));
    }
    let Some(target) = node.args().next().filter(|entry| entry.text().is_some()) else {
        let found = Diag::error("missing-name", node.head, "`extends` needs a pipeline");
        diags.push(found.hint("write `extends \"baseline.kdl\"`, or the name of a pipeline of this file"));
        return None;
    };
    for (key, entry) in node.props().filter(|(key, _)| key.text != "pipeline") {
        let hint = near::hint(&key.text, ["pipeline"], "");
        diags.push(
            Diag::error("unknown-param", entry.whole, format!("`extends` has no property `{}`", key.text)).hint(hint),
        );
    }
    Some(Extends { target, pipeline: node.prop("pipeline"), span: node.head })
}

/// `base` with the differences in `difference`: names that occur again are changed, new names are added, names after `without` are
/// removed.
pub(super) fn extended(base: &Node, difference: &Node, diags: &mut Vec<Diag>) -> Node {
    let mut merged = base.clone();
    let mut entries: Vec<NodeEntry> = difference.entries.clone();
    let own_seed = difference.prop("seed").is_some();
    entries.extend(base.props().filter(|(key, _)| key.text != "seed" || !own_seed).map(|(_, entry)| entry.clone()));
    merged.entries = entries;
    (merged.name, merged.head, merged.span) = (difference.name.clone(), difference.head, difference.span);
    let mut children = merged.children.take().unwrap_or_default();
    change_stages(&mut children, difference, diags);
    merged.children = Some(children);
    merged
}

/// Changes the stages of a pipeline, or of a `repeat` in it.
fn change_stages(children: &mut Vec<Node>, difference: &Node, diags: &mut Vec<Diag>) {
    for node in difference.nodes().iter().filter(|node| node.name.text == "without") {
        for entry in node.args() {
            let name = entry.text().unwrap_or_default();
            let before = children.len();
            children.retain(|child| name_of(child) != Some(name) || is_word(child));
            if children.len() == before {
                let names: Vec<&str> = children.iter().filter(|child| !is_word(child)).filter_map(name_of).collect();
                let hint = near::hint(name, names, "the extended pipeline has no such stage");
                let found = Diag::error("unknown-name", entry.span, format!("unknown stage `{name}`"));
                diags.push(found.hint(hint));
            }
        }
    }
    for node in difference.nodes() {
        match node.name.text.as_str() {
            "extends" | "without" => {}
            "doc" => replace(children, node, |child| child.name.text == "doc"),
            "param" => {
                let same = |child: &Node| child.name.text == "param" && name_of(child) == name_of(node);
                match children.iter_mut().find(|child| same(child)) {
                    Some(child) => merge(child, node),
                    None => children.push(node.clone()),
                }
            }
            _ => match children.iter_mut().find(|child| !is_word(child) && name_of(child) == name_of(node)) {
                Some(child) if child.name.text == REPEAT && node.name.text == REPEAT => {
                    // Properties that are not named again stay.
                    child.entries.retain(|entry| entry.key.as_ref().is_some_and(|key| node.prop(&key.text).is_none()));
                    child.entries.extend(node.entries.iter().cloned());
                    change_stages(child.children.get_or_insert_with(Vec::new), node, diags);
                }
                Some(child) if child.name.text == node.name.text => {
                    for difference in node.nodes() {
                        change(child.children.get_or_insert_with(Vec::new), difference);
                    }
                }
                // A stage of another type replaces it.
                Some(child) => *child = node.clone(),
                None if node.name.text == REPEAT => children.push(node.clone()),
                None => match meant(children, difference, node) {
                    Some(meant) => diags.push(meant),
                    None => children.push(node.clone()),
                },
            },
        }
    }
}

/// The mistake in a new stage that reads nothing, although the extended one of its type does: another name
/// was meant.
fn meant(children: &[Node], difference: &Node, node: &Node) -> Option<Diag> {
    let stages = |nodes: &[Node]| {
        let names = nodes.iter().filter(|child| !is_word(child)).filter_map(name_of);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let known = [stages(children), stages(difference.nodes())].concat();
    let reads = |node: &Node| {
        let texts = node.nodes().iter().flat_map(Node::args).filter_map(NodeEntry::text);
        texts.into_iter().any(|text| known.iter().any(|name| text.split('.').next() == Some(name)))
    };
    let same: Vec<&Node> =
        children.iter().filter(|child| !is_word(child) && child.name.text == node.name.text && reads(child)).collect();
    let (name, kind) = (name_of(node)?, &node.name.text);
    if same.is_empty() || reads(node) {
        return None;
    }
    let names: Vec<&str> = same.iter().filter_map(|child| name_of(child)).collect();
    let message = format!("the extended pipeline has no `{kind} {name}`, and this new stage has no inputs");
    let hint = match names.as_slice() {
        [one] => format!("did you mean `{one}`? a new `{kind}` needs its inputs"),
        _ => format!("it has {}; a new `{kind}` needs its inputs", near::names(names)),
    };
    Some(Diag::error("unknown-name", node.head, message).hint(hint))
}

fn is_word(node: &Node) -> bool {
    matches!(node.name.text.as_str(), "doc" | "param")
}

fn name_of(node: &Node) -> Option<&str> {
    let at = usize::from(node.name.text == REPEAT);
    node.args().nth(at).and_then(NodeEntry::text)
}

fn replace(children: &mut Vec<Node>, node: &Node, same: impl Fn(&Node) -> bool) {
    children.retain(|child| !same(child));
    children.push(node.clone());
}

/// Replaces the ports or parameters with the same name.
fn change(children: &mut Vec<Node>, difference: &Node) {
    let same = |child: &Node| child.name.text == difference.name.text;
    match children.iter().filter(|child| same(child)).count() {
        1 => children.iter_mut().filter(|child| same(child)).for_each(|child| merge(child, difference)),
        // New; or a map on several lines, which is replaced as a whole.
        _ => replace(children, difference, same),
    }
}

/// Changes a node by another of the same name. Arguments replace arguments; if they differ, parameters of the old value (of its case)
/// are dropped. Properties and children replace those of the same name and keep the others.
fn merge(node: &mut Node, difference: &Node) {
    let values = |node: &Node| node.args().map(|entry| entry.value.clone()).collect::<Vec<_>>();
    let replaces = difference.args().next().is_some() && values(node) != values(difference);
    if replaces {
        *node = difference.clone();
        return;
    }
    for (key, entry) in difference.props() {
        node.entries.retain(|old| old.key.as_ref().is_none_or(|old| old.text != key.text));
        node.children.iter_mut().for_each(|children| children.retain(|child| child.name.text != key.text));
        node.entries.push(entry.clone());
    }
    for child in difference.nodes() {
        node.entries.retain(|old| old.key.as_ref().is_none_or(|old| old.text != child.name.text));
        change(node.children.get_or_insert_with(Vec::new), child);
    }
}
