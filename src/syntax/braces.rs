//! Matching of `{` and `}`; indentation shows where one is missing. Knows no nodes.

use std::collections::BTreeSet;

use super::DEEPEST;
use super::scan::{Token, TokenKind};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// Lines that are searched for the position of a brace.
const REACH: usize = 512;
/// Unmatched braces whose partner is searched for.
const MOST: usize = 100;

/// Matches the braces. Reports unmatched ones and nesting that is too deep, and corrects the tokens by indentation so that
/// parsing can go on. The second value is false if it cannot.
pub(super) fn braces(file: FileId, text: &str, tokens: &mut Vec<Token>) -> (Vec<Diag>, bool) {
    let mut diags = Vec::new();
    for token in tokens.iter().filter(|token| token.kind == TokenKind::OpenComment) {
        let found =
            Diag::error("unclosed-comment", Span::new(file, token.start..token.end), "this comment is never closed");
        diags.push(found.hint("close it with `*/`, or comment out one line with `//`"));
    }
    let (mut depth, mut even) = (0usize, true);
    for token in tokens.iter() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close if depth == 0 => even = false,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
        if depth > DEEPEST {
            let found = Diag::error(
                "too-deep",
                Span::new(file, token.start..token.end),
                format!("nested deeper than {DEEPEST} braces"),
            );
            diags.push(found.hint("is a `}` missing above?"));
            return (diags, false);
        }
    }
    if !even || depth > 0 {
        *tokens = Evener::new(file, text, tokens).even_out(&mut diags);
    }
    (diags, true)
}

/// A line of tokens.
#[derive(Clone, Copy)]
struct Line {
    /// Its tokens, without the line end.
    start: usize,
    end: usize,
    /// Bytes of leading white space; [`None`] for an empty line.
    indent: Option<usize>,
    /// Whether it starts with a `}`.
    closes: bool,
    /// End of its tokens in the output.
    written: usize,
    /// Whether it ends with a `{`.
    opens: bool,
}

/// Inserts missing braces and removes unmatched ones.
struct Evener<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a [Token],
    lines: Vec<Line>,
    /// Whether there are more `}` than `{`.
    excess: bool,
    out: Vec<Token>,
    /// Open braces, each with the indentation and the number of its line.
    open: Vec<(Token, usize, usize)>,
    /// Unmatched braces, each with the text after which its partner is missing.
    stray: Vec<(Token, Option<String>)>,
}

impl<'a> Evener<'a> {
    fn new(file: FileId, text: &'a str, tokens: &'a [Token]) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        for end in (0..=tokens.len()).filter(|&at| tokens.get(at).is_none_or(|token| token.kind == TokenKind::Newline))
        {
            let line = &tokens[start..end];
            let first = line.iter().find(|token| token.kind != TokenKind::Space);
            let indent = first.map(|first| first.start - line[0].start);
            let closes = first.is_some_and(|first| first.kind == TokenKind::Close);
            let last = line.iter().rev().find(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Semicolon));
            let opens = last.is_some_and(|last| last.kind == TokenKind::Open);
            lines.push(Line { start, end, indent, closes, written: 0, opens });
            start = end + 1;
        }
        let count = |kind| tokens.iter().filter(|token| token.kind == kind).count();
        let excess = count(TokenKind::Close) > count(TokenKind::Open);
        Self {
            file,
            text,
            tokens,
            lines,
            excess,
            out: Vec::with_capacity(tokens.len()),
            open: Vec::new(),
            stray: Vec::new(),
        }
    }

    fn even_out(mut self, diags: &mut Vec<Diag>) -> Vec<Token> {
        let mut unclosed = Vec::new();
        for at in 0..self.lines.len() {
            let Line { start, end, indent, closes, .. } = self.lines[at];
            if let Some(indent) = indent {
                while let Some(&(brace, column, _)) = self.open.last() {
                    let outside = if closes { indent < column } else { indent <= column };
                    if !outside {
                        break;
                    }
                    unclosed.push(brace);
                    self.open.pop();
                    // After the content of the line above.
                    let written = self.lines[..at].last().map_or(0, |line| line.written);
                    // At the end of that line, after its trailing spaces: somebody still typing there is inside the block.
                    let place = self.out[..written].last().map_or(0, |token| token.end);
                    let place = self.text[place..].find('\n').map_or(self.text.len(), |end| place + end);
                    self.out.insert(written, Token { kind: TokenKind::Close, start: place, end: place });
                    self.lines[at - 1].written += 1;
                }
            }
            let mut first = true;
            let mut opened = false;
            for token in &self.tokens[start..end] {
                let begins = first && token.kind != TokenKind::Space;
                first &= !begins;
                match token.kind {
                    TokenKind::Open => {
                        opened = true;
                        self.open.push((*token, indent.unwrap_or(0), at));
                    }
                    TokenKind::Close if begins && self.open.last().is_none_or(|open| indent.unwrap_or(0) > open.1) => {
                        self.unmatched_in_front(*token, at, indent.unwrap_or(0));
                        continue;
                    }
                    TokenKind::Close if !begins && self.is_unmatched(at) => {
                        self.unmatched_within(*token, start, opened);
                        continue;
                    }
                    TokenKind::Close => _ = self.open.pop(),
                    _ => {}
                }
                self.out.push(*token);
            }
            let blank =
                self.out.iter().rev().take_while(|token| token.kind == TokenKind::Space).count().min(end - start);
            self.lines[at].written = self.out.len() - blank;
            self.out.extend(self.tokens.get(end));
        }
        while let Some((brace, ..)) = self.open.pop() {
            unclosed.push(brace);
            self.out.push(Token { kind: TokenKind::Close, start: self.text.len(), end: self.text.len() });
        }
        self.report(&unclosed, diags);
        self.out
    }

    /// Whether a `}` within a line closes a block that a later line closes too.
    fn is_unmatched(&self, at: usize) -> bool {
        let Some(&(_, column, line)) = self.open.last() else { return true };
        if line == at || !self.excess || self.stray.len() > MOST {
            return false;
        }
        let mut later = self.lines[at + 1..].iter().take(REACH);
        let next = later.find(|line| line.indent.is_some_and(|indent| indent <= column));
        next.is_some_and(|line| line.closes && line.indent == Some(column))
    }

    /// An unmatched `}` at the start of a line: the `{` is missing where the indentation above starts.
    fn unmatched_in_front(&mut self, token: Token, at: usize, indent: usize) {
        let mut head = None;
        if self.stray.len() <= MOST {
            let mut deeper = false;
            for line in (at.saturating_sub(REACH)..at).rev() {
                match self.lines[line].indent {
                    Some(column) if column > indent => deeper = true,
                    Some(column) if column == indent => {
                        head = (deeper && !self.lines[line].opens && !self.lines[line].closes).then_some(line);
                        break;
                    }
                    Some(_) => break,
                    None => {}
                }
            }
        }
        let Some(head) = head else {
            self.stray.push((token, None));
            self.out.push(Token { kind: TokenKind::Space, ..token });
            return;
        };
        let written = self.lines[head].written;
        let place = self.out[..written].last().map_or(0, |token| token.end);
        self.out.insert(written, Token { kind: TokenKind::Open, start: place, end: place });
        for line in &mut self.lines[head..at] {
            line.written += 1;
        }
        let Line { start, end, .. } = self.lines[head];
        let said = self.tokens[start..end]
            .iter()
            .find(|token| token.kind != TokenKind::Space)
            .map_or(place, |token| token.start);
        self.stray.push((token, Some(self.text[said..place].to_owned())));
        self.out.push(token);
    }

    /// An unmatched `}` within a line: if the line has no `{`, it is missing after the stage's name.
    fn unmatched_within(&mut self, token: Token, start: usize, opened: bool) {
        if opened || self.stray.len() > MOST {
            self.stray.push((token, None));
            self.out.push(Token { kind: TokenKind::Space, ..token });
            return;
        }
        let begun =
            self.out.len() - (self.tokens[start..].iter().take_while(|other| other.start < token.start).count());
        let words: Vec<usize> =
            (begun..self.out.len()).filter(|&at| self.out[at].kind != TokenKind::Space).take(3).collect();
        let named = words.len() == 3
            && words[..2].iter().all(|&at| matches!(self.out[at].kind, TokenKind::Word | TokenKind::Text));
        if !named {
            self.stray.push((token, None));
            self.out.push(Token { kind: TokenKind::Space, ..token });
            return;
        }
        let (kind, name) = (self.out[words[0]], self.out[words[1]]);
        self.out.insert(words[1] + 1, Token { kind: TokenKind::Open, start: name.end, end: name.end });
        self.stray.push((token, Some(self.text[kind.start..name.end].to_owned())));
        self.out.push(token);
    }

    fn report(&self, unclosed: &[Token], diags: &mut Vec<Diag>) {
        let of_strings = self.tokens.iter().filter(|token| token.kind == TokenKind::OpenText);
        let open_strings: BTreeSet<usize> = of_strings.map(|token| self.line(*token)).collect();
        for &open in unclosed {
            // A string that swallowed the brace was already reported.
            if !open_strings.contains(&self.line(open)) {
                let place = Span::new(self.file, open.start..open.end);
                let found = Diag::error("unclosed-brace", place, "this `{` is never closed");
                diags.push(found.hint("add a `}` where its block ends"));
            }
        }
        for (token, after) in &self.stray {
            let place = Span::new(self.file, token.start..token.end);
            let hint = match after {
                Some(after) => format!("a `{{` is missing after `{after}`"),
                None => "remove it, or look for a missing `{` above".to_owned(),
            };
            diags.push(Diag::error("stray-brace", place, "unmatched `}`").hint(hint));
        }
    }

    fn line(&self, token: Token) -> usize {
        self.lines.partition_point(|line| self.tokens.get(line.end).is_some_and(|end| end.start < token.start))
    }
}
