//! The manual: every signature and network as a page of Markdown, made from the standard library alone.

use std::fmt::Write as _;

use super::describe::page;
use super::keywords::{self, LANGUAGE};
use super::param_type::ParamType;
use super::port_types::{DUPLICATES, PRETRAINED};
use super::signature::{Better, Example, Param, Signature};
use super::stdlib::stdlib;
use super::value::Value;

/// The name of the page on layers.
pub(super) const LAYERS: &str = "layers";

/// The groups of stage types, in the order of a pipeline, each with its stage types.
#[must_use]
pub fn floors() -> Vec<(&'static str, Vec<&'static Signature>)> {
    let gives = |signature: &Signature, types: &[&str]| {
        signature.outputs.iter().any(|output| types.contains(&output.ty.as_str()))
    };
    let floor = |signature: &Signature| match () {
        () if signature.inputs.is_empty() => 0,
        () if gives(signature, &["photographs", DUPLICATES, "lesions", "patches", "embeddings"]) => 1,
        () if gives(signature, &["views", "model", PRETRAINED]) => 2,
        () if gives(signature, &["thresholds", "predictions", "maps", "scores", "spread", "analysis"]) => 3,
        () => 4,
    };
    let names =
        ["Sources", "Photographs and patches", "Training", "Thresholds, predictions and metrics", "Reports and files"];
    let of = |wanted| stdlib().signatures.iter().filter(move |signature| floor(signature) == wanted).collect();
    let built_in = names.into_iter().enumerate().map(|(i, name)| (name, of(i)));
    built_in.chain([("Templates", stdlib().templates.iter().collect())]).collect()
}

/// The list of all pages: stage types by group, networks, and the language, one line each.
#[must_use]
pub fn index() -> String {
    let mut out = String::new();
    let longest = names().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    for (floor, stages) in floors() {
        let _ = writeln!(out, "{floor}");
        for stage in stages {
            let _ = writeln!(out, "  {:longest$}{}", stage.name, first_sentence(&stage.doc));
        }
        out.push('\n');
    }
    out.push_str("Networks\n");
    let _ = writeln!(out, "  {LAYERS:longest$}The layers of networks");
    for network in &stdlib().networks {
        let doc = network.doc.as_deref().unwrap_or_default();
        let _ = writeln!(out, "  {:longest$}{}", network.spec.name, first_sentence(doc));
    }
    let _ = writeln!(out, "\nLanguage\n  {LANGUAGE:longest$}The words of KDL files besides stages and layers");
    out
}

/// The page of a stage or of a network of the standard library, of layers, or of the language.
#[must_use]
pub fn page(name: &str) -> Option<String> {
    let all = stdlib();
    if let Some(signature) = all.signatures.iter().chain(&all.templates).find(|signature| signature.name == name) {
        return Some(stage(signature));
    }
    match name {
        LAYERS => return Some(page::layers()),
        LANGUAGE => return Some(keywords::page()),
        _ => {}
    }
    all.networks.iter().find(|network| network.spec.name == name).map(page::network)
}

/// Names of all pages.
pub fn names() -> impl Iterator<Item = &'static str> {
    let networks = stdlib().networks.iter().map(|network| network.spec.name.as_str());
    let stages = stdlib().signatures.iter().chain(&stdlib().templates);
    stages.map(|signature| signature.name.as_str()).chain(networks).chain([LAYERS, LANGUAGE])
}

fn stage(signature: &Signature) -> String {
    let mut out = format!("# {}\n\n{}\n", signature.name, signature.doc);
    if !signature.inputs.is_empty() {
        out.push_str("\n## Inputs\n\n");
    }
    for port in &signature.inputs {
        let _ = write!(out, "- `{}`: {}", port.name, port.types.join(" or "));
        out.push_str(match (port.many, port.least) {
            (false, _) => "",
            (true, 2..) => ", two or more",
            (true, _) => ", one or more",
        });
        out.push_str(if port.optional { ", optional" } else { "" });
        let _ = write!(out, ". {}", port.doc);
        if !port.refuses.is_empty() {
            let _ = write!(
                out,
                " Must not be {}.",
                port.refuses.iter().map(|mark| words(mark)).collect::<Vec<_>>().join(" or ")
            );
        }
        out.push('\n');
    }
    out.push_str("\n## Outputs\n\n");
    for port in &signature.outputs {
        let name = if port.name == "out" { "the stage's name".to_owned() } else { format!("`.{}`", port.name) };
        let main = if port.main && port.name != "out" { ", or just the stage's name" } else { "" };
        let _ = write!(out, "- {name}{main}: {}. {}", signature.types_in_words(port), port.doc);
        if !port.marks.is_empty() {
            let _ = write!(
                out,
                " Marked as {}{}.",
                port.marks.iter().map(|mark| words(mark)).collect::<Vec<_>>().join(" and "),
                port.when_marked()
            );
        }
        out.push('\n');
    }
    if !signature.params.is_empty() {
        out.push_str("\n## Parameters\n\n| name | type | default | |\n|---|---|---|---|\n");
        params(&mut out, &signature.params, "", "");
    }
    if !signature.metrics.is_empty() {
        out.push_str("\n## Metrics, for `rank by=`\n\n| name | better | |\n|---|---|---|\n");
    }
    for metric in &signature.metrics {
        let name = if metric.per_class { format!("{}.CLASS", metric.name) } else { metric.name.clone() };
        let better = if metric.better == Better::Higher { "higher" } else { "lower" };
        let _ = writeln!(out, "| `{name}` | {better} | {} |", metric.doc);
    }
    if let Some((_, text)) = super::stdlib::template(&signature.name) {
        let _ = write!(out, "\n## Body\n\n```kdl\n{}```\n", body_text(text));
    }
    examples(&mut out, signature);
    out
}

/// The lines within `body { … }` of a template's module, moved to the margin.
fn body_text(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.trim() != "body {").skip(1).take_while(|line| *line != "    }");
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix("        ").unwrap_or(line)).collect();
    lines.join("\n") + "\n"
}

/// A mark in words.
fn words(mark: &str) -> &str {
    match mark {
        "test" => "test data",
        "exclusive" => "one that chooses a single class",
        _ => mark,
    }
}

fn params(out: &mut String, all: &[Param], prefix: &str, only: &str) {
    for param in all {
        let path = format!("{prefix}{}", param.name);
        let inner = format!("{path}.");
        if param.ty != ParamType::Group {
            let ty = match &param.range {
                Some(range) => format!("{}, {range}", type_name(&param.ty)),
                None => type_name(&param.ty),
            };
            let cases: Vec<String> = param.cases.iter().map(|case| format!("`{}`", case.name)).collect();
            let ty = if cases.is_empty() { ty } else { cases.join(", ") };
            let default = match &param.default {
                Some(Value::Text(text)) => format!("`{text}`"),
                Some(Value::Bool(flag)) => format!("`#{flag}`"),
                Some(value) => format!("`{value}`"),
                None if param.optional => "none".to_owned(),
                None => "required".to_owned(),
            };
            let keyed = if param.keyed { "" } else { " Not part of the key: changing it re-runs nothing." };
            let _ = writeln!(out, "| `{path}` | {ty} | {default} | {only}{}{keyed} |", param.doc.replace('|', "\\|"));
        }
        for (at, case) in param.cases.iter().enumerate() {
            for own in &case.params {
                // A parameter that several cases have is described once, with the first of them.
                if param.cases[..at].iter().any(|before| before.params.contains(own)) {
                    continue;
                }
                let with = param.cases[at..].iter().filter(|case| case.params.contains(own));
                let with: Vec<String> = with.map(|case| format!("`{} {}`", param.name, case.name)).collect();
                params(out, std::slice::from_ref(own), &inner, &format!("With {}: ", with.join(" or ")));
            }
        }
        params(out, &param.params, &inner, only);
    }
}

fn type_name(kind: &ParamType) -> String {
    match kind {
        ParamType::List(of) => format!("list of {}", of.name()),
        ParamType::Map(of) => format!("map of {}", of.name()),
        _ => kind.name().to_owned(),
    }
}

fn examples(out: &mut String, signature: &Signature) {
    for example in &signature.examples {
        let title = match &example.code {
            Some(code) => format!("Counter-example (`{code}`)"),
            None => "Example".to_owned(),
        };
        let _ = write!(out, "\n## {title}\n\n{}\n\n```kdl\n{}```\n", example.doc, text(example));
    }
}

/// The stages of an example as written, without indentation.
#[must_use]
pub fn text(example: &Example) -> String {
    let whole = &stdlib().sources.get(example.span.file).text[example.span.range()];
    let lines: Vec<&str> = whole.lines().skip(1).collect();
    let inner = lines.split_last().map_or(&[][..], |(_, inner)| inner);
    let indent =
        inner.iter().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len()).min();
    let lines = inner.iter().map(|line| line.get(indent.unwrap_or(0)..).unwrap_or_default());
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// The first sentence of a `doc`, without its full stop.
#[must_use]
pub fn first_sentence(doc: &str) -> &str {
    // A full stop inside backticks does not end a sentence (`A. Segmentation`), nor does one inside parentheses (He et al. 2015).
    let ends = |at: usize| {
        let before = &doc[..at];
        before.matches('`').count().is_multiple_of(2) && before.matches('(').count() == before.matches(')').count()
    };
    let end = doc.match_indices(". ").map(|(at, _)| at).find(|&at| ends(at));
    doc[..end.unwrap_or(doc.len())].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::first_sentence;

    #[test]
    fn a_full_stop_in_backticks_does_not_end_a_sentence() {
        assert_eq!(first_sentence("The folder of `A. Segmentation`. It is large."), "The folder of `A. Segmentation`");
        assert_eq!(first_sentence("One. Two."), "One");
        assert_eq!(first_sentence("A net (He et al. 2015). It is deep."), "A net (He et al. 2015)");
        assert_eq!(first_sentence("The tree (`A. Segmentation`). More."), "The tree (`A. Segmentation`)");
        assert_eq!(first_sentence("One."), "One");
    }
}
