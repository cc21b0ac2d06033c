//! Validation by the `kdl` crate, which has the last word on what is KDL 2. It reads only a megabyte per second, so it gets little.
//!
//! A text is cut where our own tokens start a node. Unambiguous KDL (`literal`) is not passed on at all; the rest is, in small
//! pieces, and a [`ValidationCache`] keeps the results. So the crate sees neither comments nor the nesting that overflows its
//! stack, and one mistake hides no other. A property test below checks that this gives the same verdict as the crate on the whole
//! text.

use std::collections::HashMap;
use std::ops::Range;

use super::literal::{is_plain, is_plain_space};
use super::scan::{Token, TokenKind};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// Largest piece that is passed on undivided, bytes.
const PIECE: usize = 4096;
/// Mistakes after which validation stops.
const MOST: usize = 100;

/// Results of the crate for the pieces of a text, for the next parse of that text: an editor keeps one for each file.
/// It contains only the pieces of the last parse.
#[derive(Clone, Debug, Default)]
pub struct ValidationCache {
    now: HashMap<String, Option<KdlError>>,
    before: HashMap<String, Option<KdlError>>,
}

impl ValidationCache {
    /// The mistake in a piece, if any.
    fn error_in(&mut self, piece: String) -> Option<KdlError> {
        if let Some(said) = self.now.get(&piece) {
            return said.clone();
        }
        let said = self.before.remove(&piece).unwrap_or_else(|| read(&piece).err());
        self.now.insert(piece, said.clone());
        said
    }
}

/// A mistake found by the crate.
#[derive(Clone, Debug)]
pub(super) struct KdlError {
    pub(super) message: String,
    pub(super) hint: String,
    /// Byte offset in the piece.
    at: usize,
}

/// Validates the parts in which our own parser found no mistake, and reports what the crate rejects.
pub(super) fn validate(file: FileId, text: &str, tokens: &[Token], diags: &mut Vec<Diag>, cache: &mut ValidationCache) {
    cache.before = std::mem::take(&mut cache.now);
    let mut slips: Vec<Span> = diags.iter().filter_map(|diag| Some(diag.labels.first()?.span)).collect();
    slips.sort_by_key(|slip| slip.start);
    let reach = slips.iter().scan(0, |far, slip| {
        *far = slip.end.max(*far);
        Some(*far)
    });
    let reach = reach.collect();
    let mut validator = Validator { file, text, tokens, slips, reach, found: Vec::new(), cache };
    validator.siblings(0..tokens.len());
    diags.append(&mut validator.found);
    cache.before.clear();
}

struct Validator<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a [Token],
    /// Mistakes found by our own parser, in order of position.
    slips: Vec<Span>,
    /// End of each of them, or of an earlier one if that is later.
    reach: Vec<usize>,
    found: Vec<Diag>,
    cache: &'a mut ValidationCache,
}

impl Validator<'_> {
    /// Validates the nodes of a block, or of the text.
    fn siblings(&mut self, range: Range<usize>) {
        for node in self.nodes(range) {
            if self.found.len() >= MOST {
                return;
            }
            self.node(node);
        }
    }

    /// Cuts where a node starts on a new line or after a `;`; what precedes it belongs to the node above.
    fn nodes(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let (mut start, mut depth) = (range.start, 0usize);
        let (mut begun, mut ended, mut hides) = (false, false, false);
        let mut nodes = Vec::new();
        for at in range.clone() {
            let kind = self.tokens[at].kind;
            match kind {
                TokenKind::Newline | TokenKind::Semicolon if depth == 0 && !hides => ended = true,
                TokenKind::Space | TokenKind::OpenComment | TokenKind::Newline => {}
                _ => {
                    let begins = matches!(kind, TokenKind::Word | TokenKind::Text | TokenKind::SlashDash);
                    if depth == 0 && ended && begun && begins {
                        nodes.push(start..at);
                        start = at;
                    }
                    (begun, ended, hides) = (true, false, kind == TokenKind::SlashDash);
                    match kind {
                        TokenKind::Open => depth += 1,
                        TokenKind::Close => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                }
            }
        }
        nodes.push(start..range.end);
        nodes
    }

    fn node(&mut self, node: Range<usize>) {
        if is_plain(self.text, &self.tokens[node.clone()]) {
            return;
        }
        let slipped = self.slipped(&node);
        let bytes = self.tokens[node.clone()].iter().map(|token| token.end - token.start).sum::<usize>();
        if slipped || bytes > PIECE {
            self.finer(node, slipped);
        } else if let Some(wrong) = self.wrong(std::slice::from_ref(&node)) {
            let before = self.found.len();
            self.finer(node, false);
            if self.found.len() == before {
                // Rejected as a whole, although none of its parts is.
                self.found.push(wrong);
            }
        }
    }

    /// Validates the parts of a node outside its blocks, and the nodes of its blocks, separately.
    fn finer(&mut self, node: Range<usize>, slipped: bool) {
        let (mut outside, mut blocks) = (Vec::new(), Vec::new());
        let (mut start, mut depth) = (node.start, 0usize);
        for at in node.clone() {
            match self.tokens[at].kind {
                TokenKind::Open => {
                    depth += 1;
                    if depth == 1 {
                        outside.push(start..at + 1);
                        start = at + 1;
                    }
                }
                TokenKind::Close if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        blocks.push(start..at);
                        start = at;
                    }
                }
                _ => {}
            }
        }
        outside.push(start..node.end);
        if !slipped || !outside.iter().any(|part| self.slipped(part)) {
            for piece in self.entries(&outside) {
                if self.found.len() >= MOST {
                    return;
                }
                let wrong = self.wrong(&piece);
                self.found.extend(wrong);
            }
        }
        for block in blocks {
            self.siblings(block);
        }
    }

    /// Cuts a node without its children into pieces, each with its name and some of its entries.
    fn entries(&self, outside: &[Range<usize>]) -> Vec<Vec<Range<usize>>> {
        let Some((head, tail)) = outside.split_first() else { return Vec::new() };
        let mut pieces = Vec::new();
        let mut name = head.start..head.start;
        let mut start = head.start;
        let kind = |at: usize| self.tokens[at].kind;
        let mut before = None;
        for at in head.clone() {
            if kind(at) != TokenKind::Space {
                before = Some(kind(at));
                continue;
            }
            let first = at == head.start || kind(at - 1) != TokenKind::Space;
            let ended = matches!(before, Some(TokenKind::Word | TokenKind::Keyword | TokenKind::Text));
            if !(first && ended) {
                continue;
            }
            let after = (at..head.end).map(kind).find(|&kind| kind != TokenKind::Space);
            if !matches!(after, Some(TokenKind::Word | TokenKind::Keyword | TokenKind::Text | TokenKind::SlashDash)) {
                continue;
            }
            if name.is_empty() {
                name.end = at;
                start = at;
            } else if self.tokens[at].start - self.tokens[start].start > PIECE {
                pieces.push(vec![name.clone(), start..at]);
                start = at;
            }
        }
        let mut last = vec![name, start..head.end];
        last.extend(tail.iter().cloned());
        pieces.push(last);
        pieces
    }

    fn slipped(&self, range: &Range<usize>) -> bool {
        let (Some(first), Some(last)) = (self.tokens.get(range.start), self.tokens[range.clone()].last()) else {
            return false;
        };
        let from = self.slips.partition_point(|slip| slip.start < first.start);
        let reaches = from > 0 && self.reach[from - 1] > first.start;
        reaches || self.slips.get(from).is_some_and(|slip| slip.start < last.end)
    }

    /// The mistake that the crate finds in a piece made of these tokens.
    fn wrong(&mut self, parts: &[Range<usize>]) -> Option<Diag> {
        let mut piece = String::new();
        let mut places = Vec::new();
        if parts.first().is_some_and(|part| part.start > 0) {
            piece.push(' '); // a byte order mark is one only at the start of a text
        }
        for &token in parts.iter().flat_map(|part| &self.tokens[part.clone()]) {
            places.push((piece.len(), token));
            let text = &self.text[token.start..token.end];
            match token.kind {
                // After a node hidden by `/-` the crate requires a line end; KDL allows `;`, too.
                TokenKind::Newline if text == ";" => piece.push('\n'),
                TokenKind::Space | TokenKind::OpenComment if is_blank(text) => {
                    piece.extend(std::iter::repeat_n(' ', text.len()));
                }
                TokenKind::Close if text.is_empty() => piece.push('}'),
                TokenKind::Open if text.is_empty() => piece.push('{'),
                _ => piece.push_str(text),
            }
        }
        let wrong = self.cache.error_in(piece)?;
        let before = places.partition_point(|&(at, _)| at <= wrong.at).max(1);
        let &(at, token) = places.get(before - 1)?;
        let mut start = (token.start + wrong.at.saturating_sub(at)).min(token.end).min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let end = self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        Some(Diag::error("syntax", Span::new(self.file, start..end), wrong.message).hint(wrong.hint))
    }
}

/// Whether a white-space token can be replaced by spaces: a comment, or a brace that was removed.
fn is_blank(text: &str) -> bool {
    !text.starts_with('\\') && (text.contains(['/', '}']) || is_plain_space(text))
}

fn read(text: &str) -> Result<kdl::KdlDocument, KdlError> {
    kdl::KdlDocument::parse_v2(text).map_err(|error| {
        let first = error.diagnostics.first();
        let message = first.and_then(|one| one.message.clone()).unwrap_or_else(|| "invalid KDL 2".to_owned());
        let mut letters = message.chars();
        let message = letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect();
        let hint = first.and_then(|one| one.help.clone()).unwrap_or_else(|| "see <https://kdl.dev>".to_owned());
        KdlError { message, hint, at: first.map_or(0, |one| one.span.offset()) }
    })
}

/// The text of a quoted string with escapes, of many lines, or raw.
pub(super) fn string(token: &str) -> Result<String, KdlError> {
    let document = read(&format!("- {token}\n"))?;
    let entry = document.nodes().first().and_then(|node| node.entries().first());
    let text = entry.and_then(|entry| entry.value().as_string()).unwrap_or_default();
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::forbidden::forbidden;
    use crate::syntax::tree::{self, parse, parse_with};
    use proptest::prelude::*;

    /// Whether the crate accepts the whole text.
    fn whole(text: &str, tokens: &[Token]) -> bool {
        let mut plain = String::new();
        for token in tokens {
            let piece = &text[token.start..token.end];
            match token.kind {
                TokenKind::Newline if piece == ";" => plain.push('\n'),
                TokenKind::Space | TokenKind::OpenComment if is_blank(piece) => {
                    plain.push_str(&" ".repeat(piece.len()));
                }
                _ => plain.push_str(piece),
            }
        }
        read(&plain).is_ok()
    }

    #[track_caller]
    fn validates_like_the_whole(text: &str) {
        // What our own parser rejects is not validated.
        let tree::Parsed { diags, tokens: Some(tokens), .. } = tree::read(FileId(0), text) else { return };
        if !diags.is_empty() || !forbidden(FileId(0), text).is_empty() {
            return;
        }
        let found = parse(FileId(0), text).1;
        assert_eq!(found.is_empty(), whole(text, &tokens), "{text:?}: {found:?}");
        let mut cache = ValidationCache::default();
        for _ in 0..2 {
            assert_eq!(parse_with(FileId(0), text, &mut cache).1, found, "{text:?}");
        }
    }

    const WORDS: [&str; 64] = [
        "a",
        "b",
        "c=1",
        "{",
        "}",
        "{ ",
        " }",
        "\n",
        "\n",
        " ",
        " ",
        " ",
        ";",
        "; ",
        "128",
        "#true",
        "\"s\"",
        "k=\"s\"",
        "\"\"\"\n x\n \"\"\"",
        "#\"r\"#",
        "=",
        "/-",
        "/-",
        " /-",
        "// c\n",
        "/* d */",
        "/* e\n  f */",
        "\\\n",
        " \\ // g\n",
        "\t",
        "\r\n",
        "\u{feff}",
        "é",
        "\u{2028}",
        "\u{a0}",
        "\"\\n\"",
        "\"\\u{e9}\"",
        "\"\\x\"",
        "0x1f",
        "1_0",
        "1.5e3",
        "-1",
        "+",
        "-",
        "a.b",
        "$a",
        "--",
        "\u{85}",
        "\r",
        "\u{0}",
        "\u{200e}",
        "\"\u{0}\"",
        "a-b",
        "-a",
        "x:y",
        "a,b",
        "<a>",
        "@",
        "|",
        "~a",
        "-.a",
        "\"a\\\n b\"",
        " {a; b}",
        "kdl-version",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_validate_like_the_whole(
            words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..24),
            times in prop::sample::select(vec![1usize, 1, 1, 400]),
        ) {
            validates_like_the_whole(&words.concat());
            validates_like_the_whole(&words.join(" "));
            // Long enough that it is cut.
            validates_like_the_whole(&format!("p {}{{\n{}\n}}", "é ".repeat(times), words.join(" ")));
            validates_like_the_whole(&format!("{}\n", words.join(" ")).repeat(times.min(1000 / words.len().max(1)).max(1)));
            validates_like_the_whole(&format!("a {}", format!("{} ", words.join(" ").replace(['\n', ';', '{', '}'], "")).repeat(times / 4 + 1)));
        }
    }

    #[test]
    fn every_file_of_the_project_validates() {
        let mut folders = ["stdlib", "pipelines"]
            .map(|folder| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder))
            .to_vec();
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    validates_like_the_whole(&std::fs::read_to_string(entry.path()).expect("text"));
                    read += 1;
                }
            }
        }
        assert!(read > 20, "{read}");
    }
}
