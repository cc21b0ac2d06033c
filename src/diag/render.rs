//! Diagnostics as text for people and as JSON for programs. Knows no terminal: the caller chooses the style.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::Range;
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

/// Most diagnostics that are drawn in one run: more would scroll the first one away.
pub const MOST_DRAWN: usize = 20;

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

/// The first [`MOST_DRAWN`] diagnostics with their spans, and a count of all at the end. Empty if there are none.
#[must_use]
pub fn render(diags: &[Diag], sources: &Sources, style: Style, width: usize) -> String {
    render_first(MOST_DRAWN, diags, sources, style, width)
}

/// As [`render`], of the first `most`.
#[must_use]
pub fn render_first(most: usize, diags: &[Diag], sources: &Sources, style: Style, width: usize) -> String {
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
    for diag in shown(diags, most) {
        let report = MietteReport::new(diag, sources, &texts, width);
        // Writing to a string does not fail; if a report cannot be drawn, its message is still shown.
        if handler.render_report(&mut out, &report).is_err() {
            let _ = writeln!(out, "{}: {}", diag.code, shown::line(&diag.message));
        }
    }
    if !diags.is_empty() {
        let more = if diags.len() > most { format!("; only the first {most} are shown") } else { String::new() };
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

    /// Number of original characters in a line of the shown text before a place.
    fn column(&self, at: usize) -> usize {
        let start = self.text[..at].rfind('\n').map_or(0, |before| before + 1);
        self.characters(start..at)
    }

    /// Number of original characters in a range of the shown text.
    fn characters(&self, range: Range<usize>) -> usize {
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
    fn new(diag: &'a Diag, sources: &Sources, texts: &Texts, width: usize) -> Self {
        let file = diag.labels.first().map(|label| label.span.file);
        let code = file.and_then(|file| texts.get(&file));
        let mut labels: Vec<(Option<String>, Range<usize>)> = Vec::new();
        let mut help = diag.hint.as_ref().map(|hint| shown::lines(hint).into_owned());
        for label in &diag.labels {
            let text = Some(shown::line(&label.text).into_owned()).filter(|text| !text.is_empty());
            if Some(label.span.file) == file {
                let range = within(&sources.get(label.span.file).text, label.span);
                let range = code.map_or(range.clone(), |code| code.place(range.start)..code.place(range.end));
                labels.push((text, range));
            } else {
                // A span in another text is described in words.
                let more = format!("{}: {}", sources.cite(label.span), label.text);
                let more = shown::line(&more).into_owned();
                help = Some(help.map_or(more.clone(), |help| format!("{help}\n{more}")));
            }
        }
        let name = |file: FileId| shown::line(&sources.get(file).name).into_owned();
        let source = file.zip(code).map(|(file, code)| {
            let columns = labels.iter().map(|(_, range)| code.column(range.start)).collect::<Vec<_>>();
            // The frame around the source, with the longest line number.
            let digits = code.text.lines().count().to_string().len();
            let room = width.saturating_sub(digits + FRAME).clamp(NARROWEST, LONGEST);
            let mut ranges: Vec<Range<usize>> = labels.iter().map(|(_, range)| range.clone()).collect();
            let text = shorten_lines(&code.text, &mut ranges, room);
            let columns = ranges.iter().map(|range| range.start).zip(columns).collect();
            for ((_, range), shortened) in labels.iter_mut().zip(ranges) {
                *range = shortened;
            }
            ShownText { name: name(file), text, columns }
        });
        let labels = labels.into_iter().enumerate().map(|(i, (text, range))| {
            let new = if i == 0 { LabeledSpan::new_primary_with_span } else { LabeledSpan::new_with_span };
            new(text, range)
        });
        Self { diag, source, labels: labels.collect(), help }
    }
}

/// Width of the frame to the left of a source line, without the line number.
const FRAME: usize = 5;

/// Narrowest and longest part of a source line that is shown.
const NARROWEST: usize = 30;
const LONGEST: usize = 320;

/// The text with each line that is longer than `room` characters cut to a part around the ranges in it, `…` at each cut. The ranges are
/// adapted.
fn shorten_lines(text: &str, ranges: &mut [Range<usize>], room: usize) -> Arc<str> {
    let mut out = String::with_capacity(text.len());
    let old = ranges.to_vec();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        let is_on = |range: &&Range<usize>| range.start <= end && start <= range.end;
        let kept = part(&text[start..end], room, || {
            let first = old.iter().filter(is_on).map(|range| range.start.max(start) - start).min()?;
            let last = old.iter().filter(is_on).map(|range| range.end.min(end) - start).max()?;
            Some(first..last)
        });
        let (before, after) = (if kept.start > 0 { "…" } else { "" }, if kept.end < end - start { "…" } else { "" });
        let shift = out.len() + before.len();
        let moved = |at: usize| shift + (at - start).clamp(kept.start, kept.end) - kept.start;
        let holds = |at: usize| at >= start && (at < start + line.len() || at == end && end == text.len());
        for (range, old) in ranges.iter_mut().zip(&old) {
            if holds(old.start) {
                range.start = moved(old.start);
            }
            if holds(old.end) {
                range.end = moved(old.end);
            }
        }
        out.push_str(before);
        out.push_str(&text[start..end][kept]);
        out.push_str(after);
        out.push_str(&text[end..start + line.len()]);
        start += line.len();
    }
    for (range, old) in ranges.iter_mut().zip(&old) {
        // After the last line.
        let at_end = |at: usize| at == text.len() && text.ends_with('\n');
        range.start = if at_end(old.start) { out.len() } else { range.start };
        range.end = if at_end(old.end) { out.len() } else { range.end.max(range.start) };
    }
    Arc::from(out)
}

/// The part of a line that is kept, in bytes: all of it, or `room` characters around what is marked.
fn part(line: &str, room: usize, marked: impl FnOnce() -> Option<Range<usize>>) -> Range<usize> {
    // A character has at least one byte.
    if line.len() <= room || line.chars().count() <= room {
        return 0..line.len();
    }
    let marked = marked().unwrap_or(0..0);
    let chars = |range: Range<usize>| line[range].chars().count();
    let (total, first) = (chars(0..line.len()), chars(0..marked.start));
    let room = room - 2;
    let around = room.saturating_sub(chars(marked)) / 2;
    let from = first.saturating_sub(around).min(total - room);
    let byte = |at: usize| line.char_indices().nth(at).map_or(line.len(), |(byte, _)| byte);
    byte(from)..byte(from + room)
}

/// A text in which lines that do not fit are shortened.
struct ShownText {
    name: String,
    text: Arc<str>,
    /// Columns in the original text of the places at which labels begin.
    columns: BTreeMap<usize, usize>,
}

/// Lines between two labels that are shown to keep them in one snippet.
const BETWEEN: usize = 2;

impl SourceCode for ShownText {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = &self.text;
        let start = text[..span.offset()].rfind('\n').map_or(0, |at| at + 1);
        let last = span.offset() + span.len();
        let end = text[last..].find('\n').map_or(text.len(), |at| last + at);
        let lines = SourceSpan::from(start..end);
        let read = text.read_span(&lines, before, after)?;
        // The head of a snippet has the column of the span, not of the line's start.
        let column = self.columns.get(&span.offset()).copied().unwrap_or(0);
        // What miette counts begins with the text's first line, and would join labels that are far apart.
        let count = text[start..end].lines().count() + BETWEEN;
        let (line, name) = (read.line(), self.name.clone());
        let contents = MietteSpanContents::new_named(name, read.data(), *read.span(), line, column, count);
        Ok(Box::new(contents))
    }
}

/// The span, limited to its text and aligned to character boundaries.
fn within(text: &str, span: Span) -> Range<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, marked: &[&str], width: usize) -> String {
        let mut sources = Sources::default();
        let file = sources.add("p.kdl", None, text);
        let span = |word: &str| {
            let at = text.find(word).expect("a word");
            Span::new(file, at..at + word.len())
        };
        let diag = Diag::error("test", span(marked[0]), "a message").here("here");
        let diag = marked[1..].iter().fold(diag, |diag, word| diag.also(span(word), "there"));
        render(&[diag], &sources, Style::Plain, width)
    }

    #[test]
    fn labels_that_are_far_apart_have_a_snippet_each() {
        let text = format!("first\n{}second\n{}third\nbetween\nfourth\n", "far\n".repeat(40), "away\n".repeat(12));
        let said = rendered(&text, &["fourth", "second", "first", "third"], 80);
        assert!(!said.contains("far") && !said.contains("away"), "{said}");
        assert!(said.contains("between"), "{said}");
        for head in ["[p.kdl:1:1]", "[p.kdl:42:1]", "[p.kdl:57:1]"] {
            assert!(said.contains(head), "{head}: {said}");
        }
    }

    #[test]
    fn a_long_line_is_shortened_around_what_is_marked() {
        let line = format!("{} marked {} other {}", "a ".repeat(90), "é ".repeat(9), "c ".repeat(90));
        let said = rendered(&format!("above\n{line}\nbelow\n"), &["marked", "other"], 80);
        let source = said.lines().find(|line| line.contains(" marked ")).expect("the line");
        assert!(source.chars().count() <= 80 && source.contains(" other "), "{said}");
        assert_eq!(source.matches('…').count(), 2, "{said}");
        // The mark is below the word, and its column is that of the file.
        let under = said.lines().find(|line| line.contains('┬')).expect("a mark");
        let column = |line: &str, found: char| line.chars().position(|c| c == found).expect("a place");
        assert!(column(under, '┬') - column(source, 'm') < "marked".len(), "{said}");
        assert!(said.contains("[p.kdl:2:182]"), "{said}");
        // One that is marked as a whole is cut at its end.
        let said = rendered(&line, &[&line], 80);
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        // Nothing after the last line is lost.
        let said = rendered("short\n", &["short", "\n"], 80);
        assert!(said.contains("short"), "{said}");
    }
}
