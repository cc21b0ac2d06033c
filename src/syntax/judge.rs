//! The `kdl` crate as the judge of what is KDL 2. It never sees nesting that overflows its stack, nor a comment.

use super::scan::{Kind, Token};
use super::tree::{Document, Node};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// What the crate says is wrong.
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: String,
    /// Byte offset in the text that it was given.
    at: usize,
}

/// Reads again what our own reading found nothing wrong with, and tells of what the crate refuses.
pub(super) fn judge(file: FileId, text: &str, tokens: &[Token], document: &Document, diags: &mut Vec<Diag>) {
    let plain = without_comments(text, tokens);
    if diags.is_empty() && read(&plain).is_ok() {
        return;
    }
    let mut found = Vec::new();
    let mut piece = |range: std::ops::Range<usize>, closing: &str| {
        let slipped = diags
            .iter()
            .filter_map(|diag| diag.labels.first())
            .any(|label| label.span.start < range.end && label.span.end > range.start);
        if slipped {
            return;
        }
        if let Err(wrong) = read(&format!("{}{closing}", &plain[range.clone()])) {
            let at = (range.start + wrong.at).min(range.end.max(range.start + 1) - 1);
            let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            found.push(Diag::error("syntax", Span::new(file, at..end), wrong.message).hint(wrong.hint));
        }
    };
    for node in &document.nodes {
        if node.name.text == "pipeline" && node.children.is_some() {
            piece(node.head.range(), "");
            node.nodes().iter().map(Node::range).for_each(|range| piece(range, ""));
        } else {
            piece(node.range(), "");
        }
    }
    if found.is_empty() && diags.is_empty() {
        // The crate refuses the whole, though none of its pieces: say what it says.
        if let Err(wrong) = read(&plain) {
            let at = wrong.at.min(text.len());
            found.push(Diag::error("syntax", Span::new(file, at..at), wrong.message).hint(wrong.hint));
        }
    }
    diags.append(&mut found);
}

impl Node {
    fn range(&self) -> std::ops::Range<usize> {
        self.span.range()
    }
}

/// The text with a space for every byte of a comment, and a line end for a `;` that was taken for one; all offsets stay.
fn without_comments(text: &str, tokens: &[Token]) -> String {
    let mut plain = String::with_capacity(text.len());
    for token in tokens {
        let piece = &text[token.start..token.end];
        if token.kind == Kind::Newline && piece == ";" {
            plain.push('\n');
        } else if matches!(token.kind, Kind::Space | Kind::OpenComment)
            && piece.contains('/')
            && !piece.starts_with('\\')
        {
            plain.push_str(&" ".repeat(piece.len()));
        } else {
            plain.push_str(piece);
        }
    }
    plain
}

fn read(text: &str) -> Result<kdl::KdlDocument, Wrong> {
    kdl::KdlDocument::parse_v2(text).map_err(|error| {
        let first = error.diagnostics.first();
        let message = first.and_then(|one| one.message.clone()).unwrap_or_else(|| "this is not KDL 2".to_owned());
        let mut letters = message.chars();
        let message = letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect();
        let hint = first.and_then(|one| one.help.clone()).unwrap_or_else(|| "see <https://kdl.dev>".to_owned());
        Wrong { message, hint, at: first.map_or(0, |one| one.span.offset()) }
    })
}

/// The text of a quoted string with escapes, of many lines, or raw.
pub(super) fn string(token: &str) -> Result<String, Wrong> {
    let document = read(&format!("- {token}\n"))?;
    let entry = document.nodes().first().and_then(|node| node.entries().first());
    let text = entry.and_then(|entry| entry.value().as_string()).unwrap_or_default();
    Ok(text.to_owned())
}
