//! The `kdl` crate as the judge of what is KDL 2, asked as little as may be: it reads a megabyte a second.
//!
//! A text is cut where our own tokens begin a node. What is KDL beyond doubt (`plain`) is not handed over at all; the rest is, in
//! small pieces, and a [`Memory`] keeps what was said of them. So the crate sees neither comments nor the nesting that
//! overflows its stack, and one mistake hides no other. A property below holds that all this says of a text what the crate says of
//! the whole.

use std::collections::HashMap;
use std::ops::Range;

use super::plain::{is_plain, is_plain_space};
use super::scan::{Kind, Token};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// Bytes up to which a piece is handed over as it is.
const PIECE: usize = 4096;
/// Mistakes after which the judge stops telling more.
const MOST: usize = 100;

/// What the crate said of the pieces of a text, for the next reading of that text: an editor keeps one for each file.
/// It holds the pieces of the last reading alone.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    now: HashMap<String, Option<Wrong>>,
    before: HashMap<String, Option<Wrong>>,
}

impl Memory {
    /// What is wrong with a piece.
    fn asked(&mut self, piece: String) -> Option<Wrong> {
        if let Some(said) = self.now.get(&piece) {
            return said.clone();
        }
        let said = self.before.remove(&piece).unwrap_or_else(|| read(&piece).err());
        self.now.insert(piece, said.clone());
        said
    }
}

/// What the crate says is wrong.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: String,
    /// Byte offset in the text that it was given.
    at: usize,
}

/// Reads again what our own reading found nothing wrong with, and tells of what the crate refuses.
pub(super) fn judge(file: FileId, text: &str, tokens: &[Token], diags: &mut Vec<Diag>, memory: &mut Memory) {
    memory.before = std::mem::take(&mut memory.now);
    let mut slips: Vec<Span> = diags.iter().filter_map(|diag| Some(diag.labels.first()?.span)).collect();
    slips.sort_by_key(|slip| slip.start);
    let reach = slips.iter().scan(0, |far, slip| {
        *far = slip.end.max(*far);
        Some(*far)
    });
    let reach = reach.collect();
    let mut judge = Judge { file, text, tokens, slips, reach, found: Vec::new(), memory };
    judge.siblings(0..tokens.len());
    diags.append(&mut judge.found);
    memory.before.clear();
}

struct Judge<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a [Token],
    /// What our own reading told of, in order of place.
    slips: Vec<Span>,
    /// How far each of them, or one before it, reaches.
    reach: Vec<usize>,
    found: Vec<Diag>,
    memory: &'a mut Memory,
}

impl Judge<'_> {
    /// Judges the nodes of a block, or of the text.
    fn siblings(&mut self, range: Range<usize>) {
        for node in self.nodes(range) {
            if self.found.len() >= MOST {
                return;
            }
            self.node(node);
        }
    }

    /// Cuts where a node begins on a new line or behind a `;`; what stands before it belongs to the node above.
    fn nodes(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let (mut start, mut depth) = (range.start, 0usize);
        let (mut begun, mut ended, mut hides) = (false, false, false);
        let mut nodes = Vec::new();
        for at in range.clone() {
            let kind = self.tokens[at].kind;
            match kind {
                Kind::Newline | Kind::Semicolon if depth == 0 && !hides => ended = true,
                Kind::Space | Kind::OpenComment | Kind::Newline => {}
                _ => {
                    let begins = matches!(kind, Kind::Word | Kind::Text | Kind::SlashDash);
                    if depth == 0 && ended && begun && begins {
                        nodes.push(start..at);
                        start = at;
                    }
                    (begun, ended, hides) = (true, false, kind == Kind::SlashDash);
                    match kind {
                        Kind::Open => depth += 1,
                        Kind::Close => depth = depth.saturating_sub(1),
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
                // Refused as a whole, though none of its parts is.
                self.found.push(wrong);
            }
        }
    }

    /// Judges what stands outside the blocks of a node by itself, and the nodes of its blocks by themselves.
    fn finer(&mut self, node: Range<usize>, slipped: bool) {
        let (mut outside, mut blocks) = (Vec::new(), Vec::new());
        let (mut start, mut depth) = (node.start, 0usize);
        for at in node.clone() {
            match self.tokens[at].kind {
                Kind::Open => {
                    depth += 1;
                    if depth == 1 {
                        outside.push(start..at + 1);
                        start = at + 1;
                    }
                }
                Kind::Close if depth > 0 => {
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

    /// Cuts a node without its children into pieces that each have its name and some of its entries.
    fn entries(&self, outside: &[Range<usize>]) -> Vec<Vec<Range<usize>>> {
        let Some((head, tail)) = outside.split_first() else { return Vec::new() };
        let mut pieces = Vec::new();
        let mut name = head.start..head.start;
        let mut start = head.start;
        let kind = |at: usize| self.tokens[at].kind;
        let mut before = None;
        for at in head.clone() {
            if kind(at) != Kind::Space {
                before = Some(kind(at));
                continue;
            }
            let first = at == head.start || kind(at - 1) != Kind::Space;
            let ended = matches!(before, Some(Kind::Word | Kind::Keyword | Kind::Text));
            if !(first && ended) {
                continue;
            }
            let after = (at..head.end).map(kind).find(|&kind| kind != Kind::Space);
            if !matches!(after, Some(Kind::Word | Kind::Keyword | Kind::Text | Kind::SlashDash)) {
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

    /// What the crate has against a piece that is made of these tokens.
    fn wrong(&mut self, parts: &[Range<usize>]) -> Option<Diag> {
        let mut piece = String::new();
        let mut places = Vec::new();
        if parts.first().is_some_and(|part| part.start > 0) {
            piece.push(' '); // a byte order mark is one at a text's begin alone
        }
        for &token in parts.iter().flat_map(|part| &self.tokens[part.clone()]) {
            places.push((piece.len(), token));
            let text = &self.text[token.start..token.end];
            match token.kind {
                // Behind a node that `/-` hides the crate wants a line end; KDL takes `;`, too.
                Kind::Newline if text == ";" => piece.push('\n'),
                Kind::Space | Kind::OpenComment if is_blank(text) => piece.extend(std::iter::repeat_n(' ', text.len())),
                Kind::Close if text.is_empty() => piece.push('}'),
                Kind::Open if text.is_empty() => piece.push('{'),
                _ => piece.push_str(text),
            }
        }
        let wrong = self.memory.asked(piece)?;
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

/// Whether a token of white space is one that spaces can stand for: a comment, or a brace that was taken out.
fn is_blank(text: &str) -> bool {
    !text.starts_with('\\') && (text.contains(['/', '}']) || is_plain_space(text))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::forbidden::forbidden;
    use crate::syntax::tree::{self, parse, parse_with};
    use proptest::prelude::*;

    /// What the crate says of the whole at once.
    fn whole(text: &str, tokens: &[Token]) -> bool {
        let mut plain = String::new();
        for token in tokens {
            let piece = &text[token.start..token.end];
            match token.kind {
                Kind::Newline if piece == ";" => plain.push('\n'),
                Kind::Space | Kind::OpenComment if is_blank(piece) => plain.push_str(&" ".repeat(piece.len())),
                _ => plain.push_str(piece),
            }
        }
        read(&plain).is_ok()
    }

    #[track_caller]
    fn is_judged_alike(text: &str) {
        // What our own reading refuses needs no judge.
        let tree::Read { diags, tokens: Some(tokens), .. } = tree::read(FileId(0), text) else { return };
        if !diags.is_empty() || !forbidden(FileId(0), text).is_empty() {
            return;
        }
        let said = parse(FileId(0), text).1;
        assert_eq!(said.is_empty(), whole(text, &tokens), "{text:?}: {said:?}");
        let mut memory = Memory::default();
        for _ in 0..2 {
            assert_eq!(parse_with(FileId(0), text, &mut memory).1, said, "{text:?}");
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
        fn pieces_are_judged_as_the_whole_is(
            words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..24),
            times in prop::sample::select(vec![1usize, 1, 1, 400]),
        ) {
            is_judged_alike(&words.concat());
            is_judged_alike(&words.join(" "));
            // Long enough that it is cut.
            is_judged_alike(&format!("p {}{{\n{}\n}}", "é ".repeat(times), words.join(" ")));
            is_judged_alike(&format!("{}\n", words.join(" ")).repeat(times.min(1000 / words.len().max(1)).max(1)));
            is_judged_alike(&format!("a {}", format!("{} ", words.join(" ").replace(['\n', ';', '{', '}'], "")).repeat(times / 4 + 1)));
        }
    }

    #[test]
    fn every_file_of_the_project_is_judged_as_a_whole() {
        let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stdlib"), "pipelines".into()];
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    is_judged_alike(&std::fs::read_to_string(entry.path()).expect("text"));
                    read += 1;
                }
            }
        }
        assert!(read > 20, "{read}");
    }
}
