//! `textDocument/completion`: candidates for a position, most likely first, with documentation. `stage` completes the braces of a
//! stage, `network` networks, `sweep` sweeps, `files` modules and paths.

mod files;
mod network;
mod stage;
mod sweep;

use std::collections::BTreeSet;
use std::ops::Range;

use gen_lsp_types::{
    CompletionItem, CompletionItemKind, CompletionItemTextEdit, CompletionList, Documentation, InsertTextFormat,
    MarkupContent, MarkupKind, TextEdit,
};

use super::docs;
use super::view::View;
use crate::lang::index::ScopeNames;
use crate::lang::keywords::REPEAT;
use crate::lang::param_type;
use crate::lang::signature::Signature;
use crate::syntax::{Cursor, Head, Node, Spot, cursor};

/// A completion candidate.
pub(super) struct CompletionCandidate {
    /// Inserted text.
    pub(super) text: String,
    /// The same as a snippet with placeholders, for editors that support it.
    snippet: Option<String>,
    kind: CompletionItemKind,
    /// Short detail.
    detail: String,
    /// Documentation.
    docs: String,
    /// Sort key; candidates of one rank keep their order.
    rank: u8,
}

impl CompletionCandidate {
    fn new(text: impl Into<String>, kind: CompletionItemKind, detail: impl Into<String>) -> Self {
        Self { text: text.into(), snippet: None, kind, detail: detail.into(), docs: String::new(), rank: 1 }
    }

    fn docs(mut self, docs: impl Into<String>) -> Self {
        self.docs = docs.into();
        self
    }

    fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }
}

/// Completions at byte `at`.
pub(super) fn completion(view: &View, at: usize) -> CompletionList {
    let text = &view.document.text;
    let cursor = cursor(text, at);
    let mut items = if cursor.spot == Spot::Comment { Vec::new() } else { items(view, &cursor, at) };
    let mut seen = BTreeSet::new();
    items.retain(|item| seen.insert(item.text.clone()));
    // An unclosed string extends to the end of the line; text after the cursor is not part of it.
    let closed = text[cursor.word.clone()].chars().count() > 1 && text[cursor.word.clone()].ends_with(['"', '\'']);
    let end = if cursor.quoted && !closed { at.max(cursor.word.start) } else { cursor.word.end };
    let word = cursor.word.start..end;
    let items = items.into_iter().enumerate().map(|(number, item)| shown(view, item, number, word.clone()));
    CompletionList { is_incomplete: false, items: items.collect(), ..CompletionList::default() }
}

fn shown(view: &View, item: CompletionCandidate, number: usize, word: Range<usize>) -> CompletionItem {
    let snippet = item.snippet.filter(|_| view.client.snippets);
    let format = if snippet.is_some() { InsertTextFormat::Snippet } else { InsertTextFormat::PlainText };
    let edit = TextEdit { range: view.document.range(word), new_text: snippet.unwrap_or_else(|| item.text.clone()) };
    let docs = MarkupContent { kind: MarkupKind::Markdown, value: item.docs };
    CompletionItem {
        label: item.text.trim_end_matches('=').to_owned(),
        filter_text: Some(item.text),
        kind: Some(item.kind),
        detail: Some(item.detail).filter(|detail| !detail.is_empty()),
        documentation: (!docs.value.is_empty()).then_some(Documentation::MarkupContent(docs)),
        sort_text: Some(format!("{}{number:04}", item.rank)),
        insert_text_format: Some(format),
        text_edit: Some(CompletionItemTextEdit::TextEdit(edit)),
        ..CompletionItem::default()
    }
}

fn items(view: &View, cursor: &Cursor, at: usize) -> Vec<CompletionCandidate> {
    let Some(top) = cursor.within.first() else { return top_level(view, cursor) };
    let names = || view.index.names_at(view.file(), top.start);
    match (top.name.as_str(), &cursor.within[1..]) {
        ("sweep", chain) => sweep::items(view, cursor, names(), chain),
        ("pipeline", []) => {
            let Some((names, node)) = names() else { return Vec::new() };
            in_pipeline(view, cursor, &names, node, true)
        }
        ("pipeline", chain) => {
            let Some((names, node)) = names() else { return Vec::new() };
            in_stages(view, cursor, names, node, chain)
        }
        ("stage", []) => in_template(view, cursor, top),
        ("stage", [body]) if body.name == "body" => {
            let Some((names, node)) = names() else { return Vec::new() };
            in_pipeline(view, cursor, &names, node, false)
        }
        ("stage", [body, chain @ ..]) if body.name == "body" => {
            let Some((names, node)) = names() else { return Vec::new() };
            in_stages(view, cursor, names, node.child("body").unwrap_or(node), chain)
        }
        ("stage", [part, ..]) => in_part(cursor, part),
        ("network", chain) => network::items(view, cursor, top, chain, at),
        _ => Vec::new(),
    }
}

/// Completions below a stage of `node`, or in the `repeat`s around it.
fn in_stages(
    view: &View,
    cursor: &Cursor,
    mut names: ScopeNames,
    node: &Node,
    mut chain: &[Head],
) -> Vec<CompletionCandidate> {
    let mut node = Some(node);
    while let [head, rest @ ..] = chain
        && head.name == REPEAT
    {
        let inner = node.and_then(|node| find(node, head));
        if let Some(name) = inner.and_then(|inner| inner.args().nth(1)?.text()) {
            names = names.inside(name);
        }
        (node, chain) = (inner, rest);
    }
    match (chain, node) {
        ([stage, chain @ ..], node) => {
            stage::items(view, cursor, &names, (stage, node.and_then(|node| find(node, stage))), chain)
        }
        ([], Some(node)) => in_pipeline(view, cursor, &names, node, false),
        ([], None) => Vec::new(),
    }
}

/// The child of a node that begins where a head does.
fn find<'a>(node: &'a Node, head: &Head) -> Option<&'a Node> {
    node.nodes().iter().find(|child| child.name.span.start == head.start)
}

const KEYWORD: CompletionItemKind = CompletionItemKind::Keyword;

fn keywords(all: &[(&str, &str, &str)]) -> Vec<CompletionCandidate> {
    let one = |(word, snippet, docs): &(&str, &str, &str)| CompletionCandidate {
        snippet: (!snippet.is_empty()).then(|| (*snippet).to_owned()),
        ..CompletionCandidate::new(*word, KEYWORD, "").docs(*docs).rank(2)
    };
    all.iter().map(one).collect()
}

fn properties(all: &[(&str, &str)]) -> Vec<CompletionCandidate> {
    all.iter()
        .map(|(key, docs)| CompletionCandidate::new(format!("{key}="), CompletionItemKind::Property, "").docs(*docs))
        .collect()
}

fn top_level(view: &View, cursor: &Cursor) -> Vec<CompletionCandidate> {
    match (&cursor.spot, cursor.statement.name.as_str()) {
        (Spot::Name, _) => keywords(&[
            ("pipeline", "pipeline ${1:name} seed=${2:7} {\n    $0\n}", "An experiment: a graph of stages."),
            ("stage", "stage ${1:name} {\n    doc \"$2\"\n    $0\n}", "A template: a reusable part of a pipeline."),
            ("network", "network ${1:name} {\n    $0\n}", "A network, described layer by layer."),
            ("use", "use \"$0\"", "Imports the stages and networks of a file."),
            ("sweep", "sweep ${1:name} {\n    over $0\n}", "A pipeline with several values for some parameters."),
        ]),
        (Spot::Argument(0), "use") => files::modules(view, cursor),
        (Spot::Argument(_), "use") => properties(&[("as", "A prefix for all imported names.")]),
        (Spot::Argument(_), "pipeline") => properties(&[("seed", "The seed of all random draws.")]),
        _ => Vec::new(),
    }
}

fn in_pipeline(
    view: &View,
    cursor: &Cursor,
    names: &ScopeNames,
    node: &Node,
    pipeline: bool,
) -> Vec<CompletionCandidate> {
    let statement = cursor.statement.name.as_str();
    match (&cursor.spot, statement) {
        (Spot::Name, _) => {
            let mut items: Vec<CompletionCandidate> =
                view.index.kinds(view.file()).into_iter().map(|(name, signature)| of_kind(name, signature)).collect();
            items.extend(keywords(&[(
                REPEAT,
                "repeat ${1:5} ${2:fold} {\n    $0\n}",
                "Its stages several times; inside, `$NAME` is 1, 2, …",
            )]));
            if pipeline {
                items.extend(keywords(&[
                    (
                        "param",
                        "param ${1:name} type=${2:px} default=$0",
                        "A parameter of the pipeline, used as `$name`.",
                    ),
                    ("doc", "doc \"$0\"", "What the pipeline is for."),
                    ("extends", "extends \"$0\"", "Starts from another pipeline."),
                    ("without", "", "Removes stages of the extended pipeline."),
                ]));
            }
            items
        }
        (spot, "param") => declared_param(spot),
        (Spot::Argument(0), "extends") => files::pipelines(view, cursor),
        (Spot::Argument(_), "extends") => properties(&[("pipeline", "Which one, if the file has several.")]),
        (Spot::Argument(_), "without") => {
            let others = names.stages.iter();
            others
                .map(|(name, named)| CompletionCandidate::new(name, CompletionItemKind::Variable, &named.kind))
                .collect()
        }
        // A new name, or that of a stage of the extended pipeline, to change it.
        (Spot::Argument(0), kind) => {
            let own =
                |name: &str| node.nodes().iter().any(|child| child.args().any(|entry| entry.text() == Some(name)));
            let of_kind = names.stages.iter().filter(|(name, named)| named.kind == kind && !own(name));
            of_kind
                .map(|(name, named)| CompletionCandidate::new(name, CompletionItemKind::Variable, &named.kind))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn of_kind(name: String, signature: &Signature) -> CompletionCandidate {
    let needed = signature.inputs.iter().filter(|port| !port.optional);
    let ports: Vec<String> = needed
        .enumerate()
        .map(|(at, port)| format!("{} ${{{}:{}}}", port.name, at + 2, port.types.join("|").to_uppercase()))
        .collect();
    let gives: Vec<&str> = signature.outputs.iter().map(|port| port.ty.as_str()).collect();
    let snippet = if ports.is_empty() {
        format!("{name} ${{1:name}} {{ $0 }}")
    } else {
        format!("{name} ${{1:name}} {{ {}; $0 }}", ports.join("; "))
    };
    let detail = format!("gives {}", gives.join(", "));
    CompletionCandidate {
        snippet: Some(snippet),
        ..CompletionCandidate::new(name, CompletionItemKind::Function, detail).docs(docs::signature(signature))
    }
}

/// Completions in a `param` of a pipeline or of a template.
fn declared_param(spot: &Spot) -> Vec<CompletionCandidate> {
    match spot {
        Spot::Argument(1..) => properties(&[
            ("type", "Its type."),
            ("default", "Its value if none is given."),
            ("range", "Allowed numbers: `\"8..=1024\"`, `\"0..<1\"`, `\"1..\"`."),
            ("optional", "Whether it may be omitted."),
            ("of", "Element type of a list or a map."),
        ]),
        Spot::Value(key) if key == "type" || key == "of" => {
            let plain = param_type::NAMES.iter().filter(|name| !matches!(**name, "group" | "choice"));
            let words =
                |name: &str| param_type::ParamType::named(name, None).map(|kind| docs::kind(&kind)).unwrap_or_default();
            plain.map(|name| CompletionCandidate::new(*name, CompletionItemKind::TypeParameter, words(name))).collect()
        }
        Spot::Value(key) if key == "optional" => flags(),
        _ => Vec::new(),
    }
}

fn flags() -> Vec<CompletionCandidate> {
    ["#true", "#false"].map(|flag| CompletionCandidate::new(flag, CompletionItemKind::Value, "")).into()
}

fn in_template(view: &View, cursor: &Cursor, top: &Head) -> Vec<CompletionCandidate> {
    match (&cursor.spot, cursor.statement.name.as_str()) {
        (Spot::Name, _) => keywords(&[
            ("doc", "doc \"$0\"", "What it does."),
            ("in", "in ${1:name} type=${2:patches} { doc \"$0\" }", "An input port."),
            ("out", "out type=${1:patches} from=$0", "An output port, and the stage of the body that provides it."),
            ("param", "param ${1:name} type=${2:px} default=$0", "A parameter, used as `$name` in the body."),
            ("body", "body {\n    $0\n}", "The stages it expands to."),
            ("example", "", "Stages that show how to use it."),
            ("counter-example", "", "Stages with a mistake, and its code."),
        ]),
        (spot, "param") => declared_param(spot),
        (Spot::Argument(_), "in") => properties(&[
            ("type", "Accepted type; separate several with `|`."),
            ("many", "Whether it accepts several inputs."),
            ("optional", "Whether it may be omitted."),
        ]),
        (Spot::Argument(_), "out") => properties(&[
            ("type", "Type of the output."),
            ("from", "The stage of the body that provides it."),
            ("main", "Whether the stage's name means this output."),
        ]),
        (Spot::Value(key), "in" | "out") if key == "type" => {
            let kinds = view.index.kinds(view.file());
            let types: BTreeSet<String> =
                kinds.values().flat_map(|one| one.outputs.iter().map(|out| out.ty.clone())).collect();
            types.into_iter().map(|ty| CompletionCandidate::new(ty, CompletionItemKind::TypeParameter, "")).collect()
        }
        (Spot::Value(key), "out") if key == "from" => {
            let wanted = cursor.statement.entries.iter().find(|(key, _)| key.as_deref() == Some("type"));
            let types: Vec<String> = wanted.map(|(_, ty)| ty.clone()).into_iter().collect();
            let names = view.index.names_at(view.file(), top.start);
            names.map(|(names, _)| stage::references(view, &names, &types, None)).unwrap_or_default()
        }
        (Spot::Value(_), "in" | "out") => flags(),
        _ => Vec::new(),
    }
}

fn in_part(cursor: &Cursor, part: &Head) -> Vec<CompletionCandidate> {
    match (&cursor.spot, part.name.as_str()) {
        (Spot::Name, "in" | "out" | "param") => keywords(&[("doc", "doc \"$0\"", "What it means.")]),
        _ => Vec::new(),
    }
}
