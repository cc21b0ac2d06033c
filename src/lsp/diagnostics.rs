//! `textDocument/publishDiagnostics`: problems and their locations, in imported files too.

use std::collections::BTreeMap;

use gen_lsp_types::{
    Code, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, Message,
};

use super::documents::{Documents, ReadText};
use super::library::Library;
use super::uri;
use crate::base::{FileId, Span};
use crate::diag::{self, Diag, Severity};

/// Maximum number of diagnostics sent to a client.
const MOST: usize = 500;

/// Diagnostics of a text, by the URI of the file they belong to. The text's own URI is always included.
pub(super) fn diagnostics(
    read: &ReadText,
    own: &str,
    documents: &Documents,
    library: &Library,
) -> BTreeMap<String, Vec<Diagnostic>> {
    let mut all = BTreeMap::from([(own.to_owned(), Vec::new())]);
    for diag in diag::shown(&read.analysis.diags, MOST) {
        let (file, found) = one(diag, read, own, documents, library);
        all.entry(file).or_insert_with(Vec::new).push(found);
    }
    all
}

/// URI of a text that spans point into; [`None`] for one that an editor cannot open (a `--set`).
pub(super) fn uri_of(
    file: FileId,
    read: &ReadText,
    own: &str,
    documents: &Documents,
    library: &Library,
) -> Option<String> {
    if file == read.analysis.file {
        return Some(own.to_owned());
    }
    let source = read.sources.get(file);
    match &source.path {
        Some(path) => Some(documents.uri(path)),
        None => library.file(source.name.strip_prefix("std:")?).map(|path| uri::of(&path)),
    }
}

/// One diagnostic, with the URI of its file.
pub(super) fn one(
    diag: &Diag,
    read: &ReadText,
    own: &str,
    documents: &Documents,
    library: &Library,
) -> (String, Diagnostic) {
    let in_library = |span: Span| read.sources.get(span.file).path.is_none() && span.file != read.analysis.file;
    // Nobody edits the standard library: its problems are shown at the place of use.
    let primary = diag.labels.iter().position(|label| !in_library(label.span)).unwrap_or(0);
    let place = diag.labels.get(primary).map(|label| label.span);
    let place = place.filter(|span| !in_library(*span)).unwrap_or(Span::new(read.analysis.file, 0..0));
    let file = uri_of(place.file, read, own, documents, library).unwrap_or_else(|| own.to_owned());
    let related = diag.labels.iter().enumerate().filter(|(at, _)| *at != primary).filter_map(|(_, label)| {
        let uri = uri_of(label.span.file, read, own, documents, library)?;
        let message = if label.text.is_empty() { "here".to_owned() } else { label.text.clone() };
        Some(DiagnosticRelatedInformation {
            location: Location { uri: uri.into(), range: read.range(label.span) },
            message,
        })
    });
    let related: Vec<_> = related.collect();
    let mut message = diag.message.clone();
    if let Some(hint) = &diag.hint {
        message = format!("{message}\n{hint}");
    }
    let unused = diag.code.starts_with("unused");
    let diagnostic = Diagnostic {
        range: read.range(visible(place, &read.sources.get(place.file).text)),
        severity: Some(match diag.severity {
            Severity::Error => DiagnosticSeverity::Error,
            Severity::Warning => DiagnosticSeverity::Warning,
        }),
        code: Some(Code::String(diag.code.to_owned())),
        source: Some("macula".to_owned()),
        message: Message::String(message),
        related_information: (!related.is_empty()).then_some(related),
        tags: unused.then(|| vec![DiagnosticTag::Unnecessary]),
        ..Diagnostic::default()
    };
    (file, diagnostic)
}

/// Non-empty span to underline: an empty one includes the next character.
fn visible(span: Span, text: &str) -> Span {
    if span.start < span.end {
        return span;
    }
    let next = text.get(span.start..).and_then(|rest| rest.chars().next()).filter(|c| !c.is_control());
    Span { end: span.start + next.map_or(0, char::len_utf8), ..span }
}
