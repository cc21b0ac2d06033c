//! `textDocument/hover`: documentation of a name; for a stage its cache state and last result, then its values.

use std::fmt::Write as _;

use gen_lsp_types::{Contents, Hover, MarkupContent, MarkupKind};

use super::docs;
use super::state::{CacheStates, Will};
use super::view::View;
use crate::base::Span;
use crate::lang::addresses;
use crate::lang::describe::kinds::KINDS;
use crate::lang::index::{NameScope, Occurrence, Symbol, param_at};
use crate::lang::signature::Signature;
use crate::lang::spec::{ParamValue, StageSpec};
use crate::syntax::Node;

/// Hover for the name at a byte.
pub(super) fn hover(view: &View, at: usize) -> Option<Hover> {
    let word = view.word_at(at)?;
    let value = words(view, &word, at)?;
    let contents = Contents::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value });
    Some(Hover { contents, range: Some(view.read.range(word.span)) })
}

fn words(view: &View, word: &Occurrence, at: usize) -> Option<String> {
    let text = view.document.text.get(word.span.range()).unwrap_or_default();
    match &word.symbol {
        Symbol::StageType(_) => {
            let kind = whole_word(view, word.span);
            let signature = view.index.signature(&kind, word.span)?;
            let name = stage_around(view, at).filter(|node| node.name.span.end >= word.span.end);
            let name = name.and_then(|node| node.args().next()).and_then(|entry| entry.text());
            Some(format!("{}{}", docs::head(signature, name), docs::signature(signature)))
        }
        Symbol::Stage(scope, name) => stage(view, scope, name),
        Symbol::Port(..) => {
            // Used as a name in a body, or to pass an input to a stage.
            let signature = signature_of(view, word, at)?;
            let port = signature.input(text)?;
            Some(format!("```kdl\n{text} … // {}\n```\n{}", port.types.join(" or "), docs::port(port)))
        }
        Symbol::Output(..) => {
            let reference = whole_word(view, word.span);
            let (name, _) = reference.split_once('.')?;
            let (names, _) = view.index.names_at(view.file(), at)?;
            let signature = match names.stages.get(name) {
                Some(named) => view.index.signature(&named.kind, named.span)?,
                None => signature_of(view, word, at)?,
            };
            let port = signature.output(Some(text))?;
            Some(format!(
                "```kdl\n{reference} // {}\n```\n{}",
                signature.types(port).join(" or "),
                docs::output(signature, port)
            ))
        }
        Symbol::Param(_, path) => param(view, word, path, at),
        Symbol::Case(_, path, case) => {
            let signature = signature_of(view, word, at)?;
            let place = param_at(signature, &plain(path), &|_| None)?;
            let case = place.param.cases.iter().find(|one| one.name == *case)?;
            let mut out = format!("```kdl\n{} {}\n```\n{}", plain(path), case.name, case.doc);
            for inner in &case.params {
                let _ = write!(out, "\n- `{}`: {}", inner.name, docs::param_line(inner));
            }
            Some(out)
        }
        Symbol::Value(_, name) => {
            let (names, _) = view.index.names_at(view.file(), at)?;
            let named = names.values.get(name)?;
            let default = named.default.as_ref().map_or(String::new(), |value| format!(" default={value}"));
            Some(format!("```kdl\nparam {name} type={}{default}\n```\nSet it with `--set {name}=…`.", named.kind))
        }
        Symbol::Network(_) => {
            let network = view.index.network(&whole_word(view, word.span), word.span)?;
            Some(format!("```kdl\nnetwork {}\n```\n{}", network.spec.name, docs::network(network)))
        }
        Symbol::Layer(kind) => {
            let kind = KINDS.iter().find(|one| one.name == kind)?;
            Some(format!("```kdl\n{}\n```\n{}", kind.name, docs::layer(kind)))
        }
        Symbol::LayerParam(kind, name) => {
            let kind = KINDS.iter().find(|one| one.name == kind)?;
            let param = kind.params.iter().find(|param| param.name == name)?;
            Some(format!("```kdl\n{} {name}=\n```\n{}", kind.name, docs::layer_param(param)))
        }
        Symbol::Tap(network, name) => {
            let networks = view.index.networks(view.file());
            let known = networks.values().find(|one| one.spec.name == network.name);
            let tap = known.and_then(|network| docs::tap(network, name));
            Some(format!("```kdl\ntap {name} // {}\n```\n{}", network.name, tap.unwrap_or_default()))
        }
        Symbol::Pipeline(_, name) => pipeline(view, name),
        _ => None,
    }
}

/// A parameter path without cases: `loss:focal.gamma` becomes `loss.gamma`.
fn plain(path: &str) -> String {
    let without = |segment: &str| segment.split(':').next().unwrap_or_default().to_owned();
    path.split('.').map(without).collect::<Vec<_>>().join(".")
}

/// The unquoted word that ends with a span, including everything before its dots.
fn whole_word(view: &View, span: Span) -> String {
    let text = &view.document.text;
    let inside = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let start = text[..span.start]
        .rfind(|c: char| !inside(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    text[start..span.end].to_owned()
}

/// The stage around a byte: a child of a pipeline or of a body.
fn stage_around<'a>(view: &View<'a>, at: usize) -> Option<&'a Node> {
    let nodes = &view.read.analysis.document().nodes;
    let around = |node: &&Node| node.span.start <= at && at <= node.span.end;
    let top = nodes.iter().find(around)?;
    let body = if top.name.text == "stage" { top.child("body")? } else { top };
    body.nodes().iter().find(around)
}

/// The signature that the word at a byte belongs to: that of the stage around it, or of the template that declares it.
fn signature_of<'a>(view: &View<'a>, word: &Occurrence, at: usize) -> Option<&'a Signature> {
    let thing = word.symbol.definition()?;
    let around = stage_around(view, at).and_then(|node| view.index.signature(&node.name.text, node.name.span));
    around.filter(|signature| signature.name == thing.name).or_else(|| view.index.signature(&thing.name, word.span))
}

fn param(view: &View, word: &Occurrence, path: &str, at: usize) -> Option<String> {
    let signature = signature_of(view, word, at)?;
    let node = stage_around(view, at);
    let chosen = node.map(crate::lang::index::chosen).unwrap_or_default();
    let path = plain(path);
    let place = param_at(signature, &path, &|path| chosen.get(path).cloned())?;
    let mut out = format!("```kdl\n{path} // {}\n```\n{}", docs::kind(&place.param.ty), docs::param(place.param));
    if let Some(case) = place.case {
        let _ = write!(out, "\n\nParameter of case `{}`.", case.name);
    }
    Some(out)
}

/// Hover of a stage of a pipeline or of a body: values, state, result.
fn stage(view: &View, scope: &NameScope, name: &str) -> Option<String> {
    let names = view.index.names_of(scope)?;
    let named = names.stages.get(name)?;
    let signature = view.index.signature(&named.kind, named.span)?;
    let mut out = docs::head(signature, Some(name));
    let doc = first_paragraph(&signature.doc);
    let pipelines = &view.read.analysis.contents.pipelines;
    let pipeline = match scope {
        // A pipeline that extends the declaring one has the stage too.
        NameScope::Pipeline(_, pipeline) => pipelines.iter().find(|one| one.name == *pipeline).or(pipelines.first()),
        NameScope::Body(_) => None,
    };
    let Some(pipeline) = pipeline else {
        out.push_str(doc);
        return Some(out);
    };
    let mut tables = String::new();
    if let Some(states) = view.states {
        let verdict;
        (verdict, tables) = state(states, &pipeline.name, name, view.document.version);
        out.push_str(&verdict);
    }
    let _ = write!(out, "\n\n{doc}");
    if let Some(spec) = pipeline.stages.iter().find(|stage| addresses(name, &stage.base_name) || stage.name == *name) {
        out.push_str(&values(spec, signature));
    }
    out.push_str(&tables);
    Some(out)
}

fn first_paragraph(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or(text)
}

/// Number of defaults listed; the others are counted.
const DEFAULTS: usize = 6;

/// Values of the parameters that are given, one a line; then the defaults in one.
fn values(spec: &StageSpec, signature: &Signature) -> String {
    let mut out = String::new();
    let mut defaults = Vec::new();
    for (path, ParamValue { value, span, .. }) in &spec.params {
        let Some(place) = param_at(signature, path, &|path| spec.value(path).map(ToString::to_string)) else {
            continue;
        };
        if *value == crate::lang::value::Value::None {
            continue;
        }
        let unit = if place.param.ty == crate::lang::param_type::ParamType::Px { " px" } else { "" };
        if span.is_some() {
            let _ = write!(out, "\n- `{path}` {}{unit}", docs::shown(value));
        } else {
            defaults.push(format!("`{path}` {}{unit}", docs::shown(value)));
        }
    }
    if !defaults.is_empty() {
        let more = defaults.len().saturating_sub(DEFAULTS);
        defaults.truncate(DEFAULTS);
        let more = if more == 0 { String::new() } else { format!(" and {more} more: `macula doc {}`", signature.name) };
        let _ = write!(out, "\n\nDefaults: {}{more}", defaults.join(", "));
    }
    if out.starts_with("\n-") { format!("\n{out}") } else { out }
}

/// Cache state of a stage, of all its copies, or of all stages of a template's instance; and the tables of its result.
fn state(states: &CacheStates, pipeline: &str, name: &str, version: i32) -> (String, String) {
    let (mut out, mut tables) = (String::new(), String::new());
    for (stage, state) in states.of_name(pipeline, name) {
        let label = if stage == name { String::new() } else { format!("`{stage}` ") };
        let will = state.will.words();
        let why = if state.why.is_empty() { String::new() } else { format!(": {}", state.why) };
        let _ = write!(out, "\n\n{label}**{will}**{why}");
        if !state.made.is_empty() {
            let _ = write!(out, "\n\n{}", state.made);
        }
        if stage == name {
            tables.push_str(&state.tables);
        }
    }
    if !out.is_empty() && states.version != version {
        out.push_str("\n\n(before the last change)");
    }
    (out, tables)
}

fn pipeline(view: &View, name: &str) -> Option<String> {
    let pipeline = view.read.analysis.contents.pipelines.iter().find(|one| one.name == name)?;
    let mut out =
        format!("```kdl\npipeline {name} seed={}\n```\n{}", pipeline.seed, pipeline.doc.clone().unwrap_or_default());
    if let Some(states) = view.states {
        let count = |will: Will| states.of(name).filter(|(_, state)| state.will == will).count();
        let all = states.of(name).count();
        if all > 0 {
            let _ = write!(
                out,
                "\n\n{}: {} will run, {} reused, {} not known yet",
                crate::base::figure::counted(all as u64, "stage", "stages"),
                count(Will::Run),
                count(Will::Reuse),
                count(Will::Unknown)
            );
        }
    }
    Some(out)
}
