//! What a word means anywhere: words of the language, parameters, cases, ports, metrics and layers of the standard library, and words of
//! other tools. A page of Markdown for `macula doc WORD`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::describe::kinds::{KINDS, meant};
use super::foreign::{ForeignWord, To, WORDS};
use super::hints::{foreign, spelled};
use super::keywords::{KEYWORDS, LANGUAGE, keywords};
use super::manual;
use super::near::near;
use super::param_type::ParamType;
use super::signature::{Param, Signature};
use super::stdlib::stdlib;

/// One place where a word has a meaning.
struct Meaning {
    /// The page that describes it.
    page: String,
    /// How it is written there.
    written: String,
    /// Its doc, or what it is.
    doc: String,
}

/// The page on a word that has no page of its own; none where it means nothing.
#[must_use]
pub fn page(word: &str) -> Option<String> {
    let meanings = meanings(word);
    let words: Vec<&ForeignWord> = foreign(word).collect();
    let layer = if meanings.is_empty() && words.is_empty() { meant(word) } else { None };
    if meanings.is_empty() && words.is_empty() && layer.is_none() {
        return None;
    }
    let mut out = format!("# {word}\n");
    if !meanings.is_empty() {
        out.push_str("\n| page | written as | |\n|---|---|---|\n");
    }
    let mut pages: Vec<&str> = Vec::new();
    for Meaning { page, written, doc } in &meanings {
        let _ = writeln!(out, "| `{page}` | `{written}` | {} |", doc.replace('|', "\\|"));
        pages.extend((!pages.contains(&page.as_str())).then_some(page.as_str()));
    }
    if !words.is_empty() {
        out.push('\n');
    }
    for row in words {
        let _ = writeln!(out, "- From {}: {}.", row.tool, row.hint());
        let page = match row.to {
            To::Stage(stage)
            | To::Port(stage, _)
            | To::Output(stage, _)
            | To::Param(stage, _)
            | To::Case(stage, ..)
            | To::Metric(stage, _) => stage,
            To::Layer(_) => manual::LAYERS,
            To::Inputs | To::Node(..) | To::Command(_) | To::Flag(..) | To::Nothing => continue,
        };
        pages.extend((!pages.contains(&page)).then_some(page));
    }
    if let Some(layer) = layer {
        let _ = writeln!(out, "\nFor a layer of a network: {layer}.");
        pages.push(manual::LAYERS);
    }
    if let Some(first) = pages.first() {
        let _ = writeln!(out, "\n`macula doc {first}` shows the whole page.");
    }
    Some(out)
}

/// The word that has a page or a meaning and was likely meant by one that has neither.
#[must_use]
pub fn nearest(word: &str) -> Option<String> {
    let of_pages = manual::names().map(str::to_owned).collect::<Vec<_>>();
    let mut names: BTreeSet<String> = KEYWORDS.iter().map(|keyword| keyword.word.to_owned()).collect();
    for signature in stdlib().signatures.iter().chain(&stdlib().templates) {
        all(&signature.params, "", &mut |path: &str, _: &Param| {
            names.extend(path.rsplit('.').next().map(str::to_owned));
        });
    }
    // Slips of pages before slips of parameters, and those before words of other tools.
    let of_words: Vec<&str> = WORDS.iter().map(|row| row.word).collect();
    near(word, of_pages.iter().map(String::as_str))
        .or_else(|| near(word, names.iter().map(String::as_str)))
        .or_else(|| near(word, of_words))
        .map(str::to_owned)
}

/// Every place where the word itself has a meaning.
fn meanings(word: &str) -> Vec<Meaning> {
    let of_language = keywords(word).map(|keyword| Meaning {
        page: LANGUAGE.to_owned(),
        written: keyword.written.to_owned(),
        doc: format!("In {}: {}", keyword.within, in_a_sentence(keyword.doc)),
    });
    let mut found: Vec<Meaning> = of_language.collect();
    for signature in stdlib().signatures.iter().chain(&stdlib().templates) {
        of_signature(word, signature, &mut found);
    }
    for network in &stdlib().networks {
        if network.params.iter().any(|(name, _)| name == word) {
            let page = network.spec.name.clone();
            let written = format!("network {page} {word}=…");
            found.push(Meaning { page, written, doc: "A parameter of the network.".to_owned() });
        }
    }
    for kind in &KINDS {
        if let Some(param) = kind.params.iter().find(|param| param.name == word) {
            let written = format!("{} {word}=…", kind.name);
            found.push(Meaning { page: manual::LAYERS.to_owned(), written, doc: param.doc.to_owned() });
        }
        if kind.name == word {
            let page = manual::LAYERS.to_owned();
            found.push(Meaning { page, written: word.to_owned(), doc: kind.doc.to_owned() });
        }
    }
    found
}

/// A doc with a small first letter.
fn in_a_sentence(doc: &str) -> String {
    let mut letters = doc.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn of_signature(word: &str, signature: &Signature, found: &mut Vec<Meaning>) {
    let page = || signature.name.clone();
    let ports = signature.inputs.iter().map(|port| (port.name.as_str(), &port.doc));
    for (name, doc) in ports.filter(|(name, _)| *name == word) {
        found.push(Meaning { page: page(), written: format!("{name} STAGE"), doc: doc.clone() });
    }
    for output in signature.outputs.iter().filter(|output| output.name == word) {
        found.push(Meaning { page: page(), written: format!("STAGE.{word}"), doc: output.doc.clone() });
    }
    all(&signature.params, "", &mut |path: &str, param: &Param| {
        if path == word || path.rsplit('.').next() == Some(word) {
            let written = match (&param.ty, param.params.first()) {
                (ParamType::Group, Some(inner)) => format!("{path} {}=…", inner.name),
                _ => spelled(&signature.params, path, None, "…").unwrap_or_else(|| path.to_owned()),
            };
            found.push(Meaning { page: page(), written, doc: param.doc.clone() });
        }
        if let Some(case) = param.cases.iter().find(|case| case.name == word) {
            let doc = if case.doc.is_empty() { &param.doc } else { &case.doc };
            found.push(Meaning { page: page(), written: format!("{path} {word}"), doc: doc.clone() });
        }
    });
    for figure in signature.metrics.iter().filter(|figure| figure.name == word) {
        let doc = figure.doc.clone();
        found.push(Meaning { page: page(), written: format!("rank by=STAGE.{word}"), doc });
    }
}

/// Calls `each` for every parameter by its dotted name, also those of cases and groups; of several cases' parameter of one name once.
fn all(params: &[Param], prefix: &str, each: &mut impl FnMut(&str, &Param)) {
    for param in params {
        let path = format!("{prefix}{}", param.name);
        each(&path, param);
        let inner = format!("{path}.");
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for case in &param.cases {
            let new: Vec<Param> =
                case.params.iter().filter(|inner| seen.insert(inner.name.as_str())).cloned().collect();
            all(&new, &inner, each);
        }
        all(&param.params, &inner, each);
    }
}

/// All words of other tools as a table of Markdown, by tool and by word.
#[must_use]
pub fn words() -> String {
    let mut out = String::from(
        "# Words of other tools\n\nWhat to use in macula, as `macula doc WORD` finds it and as messages name it.\n",
    );
    let tools: BTreeSet<&str> = WORDS.iter().map(|row| row.tool).collect();
    for tool in tools {
        let _ = write!(out, "\n## {tool}\n\n| word | in macula | |\n|---|---|---|\n");
        let mut rows: Vec<&ForeignWord> = WORDS.iter().filter(|row| row.tool == tool).collect();
        rows.sort_by_key(|row| (row.word.to_lowercase(), row.word));
        for row in rows {
            let place = row.place().unwrap_or_else(|| "-".to_owned());
            let _ = writeln!(out, "| `{}` | {place} | {} |", row.word, row.note);
        }
    }
    out
}
