//! The arguments of a stage, flattened: `loss focal gamma=2.0` becomes `loss` with `focal` and `loss.gamma` with `2.0`. Parameters of
//! the pipeline (`$size`) are substituted here, and `--set` overrides the file here.

use std::collections::{BTreeMap, BTreeSet};

use super::describe::Described;
use super::near;
use crate::base::{FileId, Sources, Span};
use crate::diag::Diag;
use crate::syntax::{self, Node, NodeEntry, Scalar};

/// Values given to one dotted name.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    /// The dotted name within the stage.
    pub(super) path: String,
    /// Span of the name.
    pub(super) name: Span,
    /// Span of the first part of the dotted name, where that was written by itself: `loss` of `loss focal gamma=2.0`.
    pub(super) head: Span,
    /// Span of name and values.
    pub(super) whole: Span,
    /// The values.
    pub(super) values: Vec<NodeEntry>,
    /// Whether it was written `name=value`.
    pub(super) property: bool,
    /// Whether a `$name` in it has no value, which was already reported.
    pub(super) broken: bool,
    /// Whether it comes from outside the pipeline: from a `--set` or a sweep.
    pub(super) set: bool,
    /// The text after `=` in a `--set`, which needs no quotes for text and paths, and its mistakes if read as KDL.
    pub(super) plain: Option<(NodeEntry, Vec<Diag>)>,
    /// The network that a `$name` in it stands for.
    pub(super) network: Option<Box<Described>>,
}

/// Parameter values of a pipeline, and which of them are used.
#[derive(Debug, Default)]
pub(super) struct ParamValues {
    /// The value of each; [`None`] if it is wrong or missing, which was already reported.
    pub(super) known: BTreeMap<String, Option<Vec<NodeEntry>>>,
    /// The networks among them, resolved where they were written.
    pub(super) networks: BTreeMap<String, Described>,
    /// The parameters that a stage uses.
    pub(super) used: BTreeSet<String>,
}

impl ParamValues {
    /// The same values, none of them used yet.
    pub(super) fn copied(&self) -> Self {
        Self { known: self.known.clone(), networks: self.networks.clone(), used: BTreeSet::new() }
    }

    /// Substitutes `$name`; [`None`] after reporting a diagnostic.
    pub(super) fn resolve(&mut self, entry: &NodeEntry, diags: &mut Vec<Diag>) -> Option<Vec<NodeEntry>> {
        if entry.value == Scalar::Wrong {
            return None;
        }
        let Some(text) = entry.text().filter(|text| text.contains('$')) else { return Some(vec![entry.clone()]) };
        if let Some(name) = text.strip_prefix('$').filter(|name| !entry.quoted && !name.contains('$')) {
            if let Some(value) = self.known.get(name) {
                self.used.insert(name.to_owned());
                let at = |value: &NodeEntry| NodeEntry {
                    span: entry.span,
                    whole: entry.whole,
                    key: entry.key.clone(),
                    ..value.clone()
                };
                return value.as_ref().map(|values| values.iter().map(at).collect());
            }
            let names = self.known.keys().map(String::as_str);
            let hint = near::hint(name, names, &format!("declare it in the pipeline: `param {name} type=… default=…`"));
            diags.push(Diag::error("unknown-name", entry.span, format!("unknown parameter `${name}`")).hint(hint));
            return None;
        }
        let bare = text.replace("$$", "");
        if let Some(at) = bare.find('$') {
            let name: String =
                bare[at + 1..].chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            let found = Diag::error("dollar-in-text", entry.span, "parameters are not interpolated into text");
            diags.push(found.hint(format!("write only `${name}`, without quotes, or `$$` for a literal dollar sign")));
            return None;
        }
        Some(vec![NodeEntry { value: Scalar::Text(text.replace("$$", "$")), ..entry.clone() }])
    }
}

/// All arguments in the braces of a stage.
pub(super) fn gather(stage: &Node, values: &mut ParamValues, diags: &mut Vec<Diag>) -> Vec<Argument> {
    let mut all = Vec::new();
    for node in stage.nodes().iter().filter(|node| node.name.text != "doc") {
        below(node, "", node.name.span, values, diags, &mut all);
    }
    all
}

/// The arguments that `- focal gamma=2.0` gives to `path` in a sweep.
pub(super) fn alternative(node: &Node, path: &str, diags: &mut Vec<Diag>) -> Vec<Argument> {
    let mut named = node.clone();
    path.clone_into(&mut named.name.text);
    let mut all = Vec::new();
    below(&named, "", named.name.span, &mut ParamValues::default(), diags, &mut all);
    for given in &mut all {
        given.set = true;
    }
    all
}

fn below(
    node: &Node,
    prefix: &str,
    head: Span,
    values: &mut ParamValues,
    diags: &mut Vec<Diag>,
    all: &mut Vec<Argument>,
) {
    let path = format!("{prefix}{}", node.name.text);
    let args: Vec<&NodeEntry> = node.args().collect();
    let mut given = |path: String, name: Span, whole: Span, entries: &[&NodeEntry], property: bool| {
        let resolved: Vec<Option<Vec<NodeEntry>>> = entries.iter().map(|entry| values.resolve(entry, diags)).collect();
        let broken = resolved.iter().any(Option::is_none);
        // If an optional parameter is absent, the line that uses it is dropped.
        if !resolved.is_empty() && resolved.iter().all(|values| values.as_ref().is_some_and(Vec::is_empty)) {
            return;
        }
        let network = match entries {
            [one] if !one.quoted => one.text().and_then(|text| values.networks.get(text.strip_prefix('$')?)),
            _ => None,
        };
        let network = network.cloned().map(Box::new);
        let values = resolved.into_iter().flatten().flatten().collect();
        all.push(Argument { path, name, head, whole, values, property, broken, set: false, plain: None, network });
    };
    let bare = node.entries.is_empty() && node.children.is_none();
    if !args.is_empty() || bare {
        let end = args.last().map_or(node.name.span.end, |entry| entry.whole.end);
        let whole = Span { end, ..node.name.span };
        given(path.clone(), node.name.span, whole, &args, false);
    }
    for (key, entry) in node.props() {
        given(format!("{path}.{}", key.text), key.span, entry.whole, &[entry], true);
    }
    for child in node.nodes() {
        below(child, &format!("{path}."), head, values, diags, all);
    }
}

/// One `--set` (`stage.param=value` or `param=value`), or one value of a sweep.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The text before the `=`.
    pub(super) path: String,
    /// The argument; its path is that of the setting.
    pub(super) given: Argument,
}

/// Parses the `--set` arguments, each a source of its own in `sources`.
pub(super) fn settings(sets: &[String], sources: &mut Sources) -> (Vec<Setting>, Vec<Diag>) {
    let (mut all, mut diags) = (Vec::new(), Vec::new());
    for text in sets {
        let file = sources.add("--set", None, text.clone());
        match setting(file, text) {
            Ok(setting) => all.push(setting),
            Err(diag) => diags.push(diag),
        }
    }
    (all, diags)
}

fn setting(file: FileId, text: &str) -> Result<Setting, Diag> {
    let whole = Span::new(file, 0..text.len());
    let form = |message: &str| {
        Diag::error("set-form", whole, message).hint("write `--set stage.param=value` or `--set param=value`")
    };
    let Some(at) = text.find('=') else {
        return Err(Diag::error("set-form", whole, "missing `=`").hint(format!("write `--set {}=VALUE`", text.trim())));
    };
    let path = text[..at].trim().to_owned();
    if path.is_empty() {
        return Err(form("missing name before `=`"));
    }
    if text[at + 1..].trim().is_empty() {
        return Err(form("missing value after `=`"));
    }
    let (mut values, mut wrong) = syntax::values(file, text, at + 1);
    if let Some((key, entry)) = values.iter().find_map(|entry| entry.key.as_ref().map(|key| (key, entry))) {
        let hint = format!("set it separately: `--set {path}.{}={}`", key.text, &text[entry.span.range()]);
        wrong.push(Diag::error("set-form", entry.whole, "a value cannot contain another `=`").hint(hint));
    }
    for value in &mut values {
        value.key = None;
    }
    let span = Span::new(file, at + 1..text.len());
    let plain =
        NodeEntry { key: None, value: Scalar::Text(text[at + 1..].to_owned()), quoted: true, span, whole: span };
    let dollar = values.iter().find(|entry| !entry.quoted && entry.text().is_some_and(|text| text.starts_with('$')));
    if let Some(dollar) = dollar {
        wrong.push(
            Diag::error("set-form", dollar.span, "`--set` takes values, not parameters").hint("write the value itself"),
        );
    }
    let given = Argument {
        path: path.clone(),
        name: Span::new(file, 0..at),
        head: Span::new(file, 0..at),
        whole,
        values,
        property: false,
        broken: false,
        set: true,
        plain: Some((plain, wrong)),
        network: None,
    };
    Ok(Setting { path, given })
}
