//! Diagnostics as text for people and as JSON for programs. Knows no terminal: the caller chooses the style.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use serde_json::{Value, json};

use super::{Diag, Severity};
use crate::base::{FileId, Sources, Span, figure, shown};

/// Style of rendered diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No colours.
    Plain,
    /// ANSI colours.
    Colour,
}

/// Most diagnostics that are drawn: nobody fixes more before checking again.
const MOST_DRAWN: usize = 100;

/// The first `most`, in order; if there are more, errors come before warnings.
pub fn shown(diags: &[Diag], most: usize) -> impl Iterator<Item = &Diag> {
    let errors = diags.iter().filter(|diag| diag.severity == Severity::Error).count();
    let (mut errors, mut rest) = if diags.len() <= most { (most, most) } else { (most, most.saturating_sub(errors)) };
    diags.iter().filter(move |diag| {
        let left = if diag.severity == Severity::Error { &mut errors } else { &mut rest };
        let keep = *left > 0;
        *left = left.saturating_sub(1);
        keep
    })
}

/// All diagnostics with their spans, and a count at the end. Empty if there are none.
#[must_use]
pub fn render(diags: &[Diag], sources: &Sources, style: Style, width: usize) -> String {
    let theme = match style {
        Style::Plain => GraphicalTheme::unicode_nocolor(),
        Style::Colour => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(width.max(40))
        .with_context_lines(0)
        .without_syntax_highlighting();
    let mut out = String::new();
    let texts: Texts = sources.iter().map(|(file, source)| (file, ShownLines::of(&source.text))).collect();
    for diag in shown(diags, MOST_DRAWN) {
        let report = MietteReport::new(diag, sources, &texts);
        // Writing to a string does not fail; if a report cannot be drawn, its message is still shown.
        if handler.render_report(&mut out, &report).is_err() {
            let _ = writeln!(out, "{}: {}", diag.code, shown::line(&diag.message));
        }
    }
    if !diags.is_empty() {
        let more =
            if diags.len() > MOST_DRAWN { format!("; only the first {MOST_DRAWN} are shown") } else { String::new() };
        let _ = writeln!(out, "{}{more}", count(diags));
    }
    out
}

/// How many there are: `3 errors, 1 warning`.
#[must_use]
pub fn count(diags: &[Diag]) -> String {
    let warnings = diags.iter().filter(|diag| diag.severity == Severity::Warning).count();
    let some = |number: usize, one: &str, many: &str| {
        (number > 0).then(|| format!("{number} {}", figure::noun(number as u64, one, many)))
    };
    let parts: Vec<String> = [some(diags.len() - warnings, "error", "errors"), some(warnings, "warning", "warnings")]
        .into_iter()
        .flatten()
        .collect();
    parts.join(", ")
}

/// Diagnostics for programs: code, severity, message, hint, and places with file, line and column from 1 and byte offsets.
#[must_use]
pub fn json(diags: &[Diag], sources: &Sources) -> Value {
    let place = |span: Span, text: &str| {
        let (line, column) = sources.line_column(span);
        let file = &sources.get(span.file).name;
        json!({"file": file, "line": line, "column": column, "start": span.start, "end": span.end, "text": text})
    };
    let one = |diag: &Diag| {
        let places: Vec<Value> = diag.labels.iter().map(|label| place(label.span, &label.text)).collect();
        let severity = severity(diag.severity);
        json!({"code": diag.code, "severity": severity, "message": diag.message, "hint": diag.hint, "places": places})
    };
    Value::Array(diags.iter().map(one).collect())
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Each text once, however many diagnostics refer to it.
type Texts = BTreeMap<FileId, ShownLines>;

/// A text as shown: line breaks and tabs unchanged, other control characters escaped.
#[derive(Clone, Debug)]
struct ShownLines {
    text: Arc<str>,
    escapes: Arc<[Escape]>,
}

/// A character that is shown escaped.
#[derive(Clone, Copy, Debug)]
struct Escape {
    /// One past its last byte in the text.
    from: usize,
    /// One past its last byte in the shown text.
    to: usize,
    /// Length of the escape, characters.
    length: usize,
}

impl ShownLines {
    fn of(text: &str) -> Self {
        let acts = |at: usize, c: char| match c {
            '\n' | '\t' => false,
            '\r' => !text[at + 1..].starts_with('\n'),
            _ => shown::acts(c),
        };
        let mut drawn = String::with_capacity(text.len());
        let mut escapes = Vec::new();
        for (at, c) in text.char_indices() {
            if acts(at, c) {
                let escape = shown::escape(c);
                drawn.push_str(&escape);
                escapes.push(Escape { from: at + c.len_utf8(), to: drawn.len(), length: escape.len() });
            } else {
                drawn.push(c);
            }
        }
        Self { text: Arc::from(drawn), escapes: escapes.into() }
    }

    /// Position in the shown text of a byte of the original.
    fn place(&self, at: usize) -> usize {
        let before = self.escapes.partition_point(|escape| escape.from <= at);
        let last = before.checked_sub(1).and_then(|last| self.escapes.get(last));
        last.map_or(at, |last| last.to + (at - last.from))
    }

    /// Number of original characters in a range of the shown text.
    fn characters(&self, range: std::ops::Range<usize>) -> usize {
        let escapes = self.escapes.iter().filter(|escape| range.start < escape.to && escape.to <= range.end);
        self.text[range.clone()].chars().count() - escapes.map(|escape| escape.length - 1).sum::<usize>()
    }
}

/// A diagnostic as `miette` wants it: one text, and the spans in it.
struct MietteReport<'a> {
    diag: &'a Diag,
    source: Option<ShownText>,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
}

impl<'a> MietteReport<'a> {
    fn new(diag: &'a Diag, sources: &Sources, texts: &Texts) -> Self {
        let file = diag.labels.first().map(|label| label.span.file);
        let code = file.and_then(|file| texts.get(&file));
        let mut labels = Vec::new();
        let mut help = diag.hint.as_ref().map(|hint| shown::lines(hint).into_owned());
        for (i, label) in diag.labels.iter().enumerate() {
            let text = Some(shown::line(&label.text).into_owned()).filter(|text| !text.is_empty());
            if Some(label.span.file) == file {
                let range = within(&sources.get(label.span.file).text, label.span);
                let range = code.map_or(range.clone(), |code| code.place(range.start)..code.place(range.end));
                let new = if i == 0 { LabeledSpan::new_primary_with_span } else { LabeledSpan::new_with_span };
                labels.push(new(text, range));
            } else {
                // A span in another text is described in words.
                let more = format!("{}: {}", sources.cite(label.span), label.text);
                let more = shown::line(&more).into_owned();
                help = Some(help.map_or(more.clone(), |help| format!("{help}\n{more}")));
            }
        }
        let name = |file: FileId| shown::line(&sources.get(file).name).into_owned();
        let source = file.zip(code).map(|(file, code)| ShownText { name: name(file), lines: code.clone() });
        Self { diag, source, labels, help }
    }
}

/// Most bytes of a line shown before and after a span.
const LONG: usize = 160;

/// A text that is shown in whole lines, except for very long ones.
struct ShownText {
    name: String,
    lines: ShownLines,
}

impl SourceCode for ShownText {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = &self.lines.text;
        let line_start = text[..span.offset()].rfind('\n').map_or(0, |at| at + 1);
        let mut start = line_start;
        let last = span.offset() + span.len();
        let mut end = text[last..].find('\n').map_or(text.len(), |at| last + at);
        // Of a very long line only the part near the span.
        if span.offset() - start > LONG {
            start = text.floor_char_boundary(span.offset() - LONG);
        }
        if end - last > LONG {
            end = text.floor_char_boundary(last + LONG);
        }
        let lines = SourceSpan::from(start..end);
        let read = text.read_span(&lines, before, after)?;
        // The head of a snippet has the column of the span, not of the line's start.
        let column = self.lines.characters(line_start..span.offset());
        let (line, count) = (read.line(), read.line_count());
        let contents = MietteSpanContents::new_named(self.name.clone(), read.data(), *read.span(), line, column, count);
        Ok(Box::new(contents))
    }
}

/// The span, limited to its text and aligned to character boundaries.
fn within(text: &str, span: Span) -> std::ops::Range<usize> {
    text.floor_char_boundary(span.start)..text.floor_char_boundary(span.end.max(span.start))
}

impl fmt::Display for MietteReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown::line(&self.diag.message))
    }
}

impl fmt::Debug for MietteReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diag.message)
    }
}

impl std::error::Error for MietteReport<'_> {}

impl miette::Diagnostic for MietteReport<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{}[{}]", severity(self.diag.severity), self.diag.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diag.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
