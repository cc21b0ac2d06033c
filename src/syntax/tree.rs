//! Nodes from tokens. Every part keeps its span; a common mistake is reported and read as what was meant.

use std::collections::BTreeSet;

use super::forbidden::forbidden;
use super::other_format::other_format;
use super::scalar::Scalar;
use super::scan::{Token, TokenKind, scan};
use super::validate::{self, ValidationCache};
use super::{DEEPEST, LARGEST, braces, repair, value};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// A text's top-level nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The nodes, in order.
    pub nodes: Vec<Node>,
}

/// A piece of text and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text, without quotes.
    pub text: String,
    /// Its position, including quotes.
    pub span: Span,
}

/// A node: `name argument key=value { children }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Word,
    /// Arguments and properties, in order.
    pub entries: Vec<NodeEntry>,
    /// The nodes between its braces; [`None`] without braces.
    pub children: Option<Vec<Node>>,
    /// Span from its name to its last entry, without the children.
    pub head: Span,
    /// Span from its name to its closing brace.
    pub span: Span,
}

/// An argument, or a property if it has a key.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeEntry {
    /// The property's key.
    pub key: Option<Word>,
    /// The value.
    pub value: Scalar,
    /// Whether the value is quoted.
    pub quoted: bool,
    /// Position of the value.
    pub span: Span,
    /// Position of the entry, including its key.
    pub whole: Span,
}

impl Node {
    /// Its arguments, in order.
    pub fn args(&self) -> impl Iterator<Item = &NodeEntry> {
        self.entries.iter().filter(|entry| entry.key.is_none())
    }

    /// Its properties, in order.
    pub fn props(&self) -> impl Iterator<Item = (&Word, &NodeEntry)> {
        self.entries.iter().filter_map(|entry| entry.key.as_ref().map(|key| (key, entry)))
    }

    /// The property `key`; the last one wins.
    #[must_use]
    pub fn prop(&self, key: &str) -> Option<&NodeEntry> {
        self.props().filter(|(name, _)| name.text == key).map(|(_, entry)| entry).last()
    }

    /// Its children; empty without braces.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        self.children.as_deref().unwrap_or(&[])
    }

    /// The first child with that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.nodes().iter().find(|node| node.name.text == name)
    }
}

impl NodeEntry {
    /// Its text, if it is a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Scalar::Text(text) = &self.value { Some(text) } else { None }
    }
}

/// Characters of a file in another format that are underlined.
const SHOWN: usize = 24;

/// Mistakes from which on the text is not validated by the crate as well: there is enough to fix.
const MOST_SLIPS: usize = 1000;

/// The nodes of a text, and every mistake in its syntax, in order of position.
#[must_use]
pub fn parse(file: FileId, text: &str) -> (Document, Vec<Diag>) {
    parse_with(file, text, &mut ValidationCache::default())
}

/// As [`parse`], for a text that is known to be valid, such as that of the standard library: the crate does not read it again.
#[must_use]
pub fn parse_valid(file: FileId, text: &str) -> (Document, Vec<Diag>) {
    let Parsed { document, diags, .. } = read(file, text);
    (document, diags)
}

/// As [`parse`], for a text that is parsed repeatedly: parts that did not change are not validated again.
#[must_use]
pub fn parse_with(file: FileId, text: &str, cache: &mut ValidationCache) -> (Document, Vec<Diag>) {
    if text.len() > LARGEST {
        let place = Span::new(file, 0..0);
        let size = text.len().div_ceil(1024);
        let found = Diag::error(
            "too-large",
            place,
            format!("the file is too large: {size} KiB, at most {} KiB", LARGEST / 1024),
        );
        return (Document::default(), vec![found.hint("split it, and import the parts with `use`")]);
    }
    if let Some(format) = other_format(text.as_bytes()) {
        let first = text.len() - text.trim_start().len();
        let end = text[first..].char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| first + at);
        let end = text[first..end].find('\n').map_or(end, |at| first + at);
        let found = Diag::error("not-kdl", Span::new(file, first..end), format!("this is {format}, not KDL"));
        return (Document::default(), vec![found.hint("name the pipeline's KDL file; `macula new NAME` writes one")]);
    }
    let Parsed { document, mut diags, tokens } = read(file, text);
    let hidden = forbidden(file, text);
    diags.extend(hidden.iter().cloned());
    if let Some(tokens) = tokens.filter(|_| diags.len() < MOST_SLIPS) {
        validate::validate(file, text, &tokens, &mut diags, cache);
        diags.sort_by_key(|diag| diag.labels.first().map_or(0, |label| label.span.start));
    }
    // Repeated uses of one name that starts with a point are one mistake.
    let mut names = BTreeSet::new();
    diags.retain(|diag| {
        let word =
            diag.message.strip_suffix("` is neither a number nor a name").and_then(|rest| rest.strip_prefix('`'));
        word.is_none_or(|word| !word.trim_start_matches(['+', '-']).starts_with('.') || names.insert(word.to_owned()))
    });
    // A forbidden character explains the other mistakes of the words around it.
    let explains = |hidden: &Diag, diag: &Diag| match (hidden.labels.first(), diag.labels.first()) {
        (Some(hidden), Some(own)) => own.span.start <= hidden.span.start && hidden.span.end <= own.span.end,
        _ => false,
    };
    diags.retain(|diag| hidden.contains(diag) || !hidden.iter().any(|hidden| explains(hidden, diag)));
    (document, diags)
}

/// Result of our own parser, before the `kdl` crate validates the text.
pub(super) struct Parsed {
    pub(super) document: Document,
    pub(super) diags: Vec<Diag>,
    /// [`None`] if the nesting is too deep. The `;` after a node hidden by `/-` is a line end here: the crate requires one there,
    /// and KDL allows either.
    pub(super) tokens: Option<Vec<Token>>,
}

/// Parses a text of any size, without validation.
pub(super) fn read(file: FileId, text: &str) -> Parsed {
    let mut diags = Vec::new();
    let mut tokens = repair::repair(file, text, scan(text), &mut diags);
    let (mut found, trusted) = braces::braces(file, text, &mut tokens);
    diags.append(&mut found);
    if !trusted {
        return Parsed { document: Document::default(), diags, tokens: None };
    }
    let mut parser = Parser::new(file, text, &tokens);
    let document = Document { nodes: parser.nodes(0) };
    let Parser { diags: mut found, hidden_ends, .. } = parser;
    diags.append(&mut found);
    for at in hidden_ends {
        tokens[at].kind = TokenKind::Newline;
    }
    Parsed { document, diags, tokens: Some(tokens) }
}

/// The values in `text` from byte `from` on, read like arguments of a node: for `--set`.
#[must_use]
pub fn values(file: FileId, text: &str, from: usize) -> (Vec<NodeEntry>, Vec<Diag>) {
    let tokens: Vec<Token> = scan(&text[from..])
        .into_iter()
        .map(|token| Token { start: token.start + from, end: token.end + from, ..token })
        .collect();
    let mut parser = Parser::new(file, text, &tokens);
    let entries = parser.entries(None);
    if let Some(token) = parser.peek() {
        let place = Span::new(file, token.start..text.len());
        parser.diags.push(Diag::error("syntax", place, "only values are allowed here"));
    }
    (entries, parser.diags)
}

pub(super) struct Parser<'a> {
    pub(super) file: FileId,
    pub(super) text: &'a str,
    pub(super) tokens: &'a [Token],
    pub(super) at: usize,
    pub(super) diags: Vec<Diag>,
    hidden_ends: Vec<usize>,
    /// Children written in parentheses after the name.
    pub(super) called: Option<Vec<Node>>,
    /// Whether the current node is to be discarded.
    pub(super) dropped: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(file: FileId, text: &'a str, tokens: &'a [Token]) -> Self {
        Self { file, text, tokens, at: 0, diags: Vec::new(), hidden_ends: Vec::new(), called: None, dropped: false }
    }

    /// Whether the next token, behind a blank, is the name of another property: `lr= weight-decay=1e-2`.
    fn is_key(&self, next: Token) -> bool {
        let apart = self.text[..next.start].ends_with(char::is_whitespace);
        let equals = self.tokens.get(self.at + 1).is_some_and(|token| token.kind == TokenKind::Equals);
        next.kind == TokenKind::Word && apart && equals
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    pub(super) fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    pub(super) fn span(&self, token: Token) -> Span {
        Span::new(self.file, token.start..token.end)
    }

    /// The name of a node or of a property that a token gives.
    pub(super) fn word(&mut self, token: Token) -> Word {
        let text = value::name(self.file, token, self.text_of(token), &mut self.diags);
        Word { text, span: self.span(token) }
    }

    pub(super) fn skip(&mut self, kinds: &[TokenKind]) {
        while self.peek().is_some_and(|token| kinds.contains(&token.kind)) {
            self.at += 1;
        }
    }

    /// Nodes up to the closing brace (not consumed) or the end.
    fn nodes(&mut self, depth: usize) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        // Whether a node has started that neither a line end nor a `;` has ended.
        let mut running = false;
        loop {
            let Some(token) = self.peek() else { return nodes };
            match token.kind {
                TokenKind::Newline => {
                    running = false;
                    self.at += 1;
                }
                TokenKind::Semicolon => {
                    if !running {
                        let found = Diag::error("syntax", self.span(token), "unexpected `;`");
                        self.diags.push(found.hint("remove it: one `;` is enough, and the end of a line needs none"));
                    }
                    running = false;
                    self.at += 1;
                }
                TokenKind::Close if depth > 0 => return nodes,
                TokenKind::Space | TokenKind::OpenComment | TokenKind::Close => self.at += 1,
                TokenKind::SlashDash => {
                    self.at += 1;
                    self.skip(&[TokenKind::Space, TokenKind::OpenComment, TokenKind::Newline]);
                    if !matches!(
                        self.peek().map(|token| token.kind),
                        None | Some(TokenKind::Close | TokenKind::SlashDash)
                    ) {
                        self.node(depth);
                        if self.peek().is_some_and(|token| token.kind == TokenKind::Semicolon) {
                            self.hidden_ends.push(self.at);
                        }
                        running = true;
                    }
                }
                TokenKind::Open if !running && nodes.last().is_some_and(|last| last.children.is_none()) => {
                    self.block_below(token, depth, &mut nodes);
                    running = true;
                }
                _ => {
                    if running && matches!(token.kind, TokenKind::Word | TokenKind::Text) && self.after_block() {
                        let text = self.text_of(token);
                        let message = format!("`{text}` follows a `}}` on the same line");
                        let found = Diag::error("syntax", self.span(token), message);
                        self.diags.push(found.hint("write `;` before it, or start a new line"));
                    }
                    nodes.extend(self.node(depth));
                    running = true;
                }
            }
        }
    }

    /// Whether the last token read is a `}`.
    fn after_block(&self) -> bool {
        let before = self.tokens[..self.at].iter().rev().find(|token| token.kind != TokenKind::Space);
        before.is_some_and(|token| token.kind == TokenKind::Close)
    }

    /// A block on its own line: read as the block of the node above.
    fn block_below(&mut self, open: Token, depth: usize, nodes: &mut [Node]) {
        self.at += 1;
        let children = if depth < DEEPEST { self.nodes(depth + 1) } else { Vec::new() };
        let mut end = open.end;
        if let Some(close) = self.peek() {
            end = close.end;
            self.at += 1;
        }
        let Some(node) = nodes.last_mut() else { return };
        let head = &self.text[node.head.range()];
        let found = Diag::error("syntax", self.span(open), "`{` cannot start a line");
        self.diags.push(found.hint(format!("move it to the end of the line above, after `{head}`")));
        node.children = Some(children);
        node.span.end = end;
    }

    /// One node; [`None`] if the token cannot be a node's name. Always consumes a token.
    fn node(&mut self, depth: usize) -> Option<Node> {
        self.type_annotation();
        let first = self.peek()?;
        let mut name = if matches!(
            first.kind,
            TokenKind::Word | TokenKind::Text | TokenKind::SingleQuoted | TokenKind::OpenText
        ) {
            self.at += 1;
            Some(self.word(first))
        } else {
            self.stray(first);
            None
        };
        let mut end = first.end;
        let mut entries = self.entries(name.as_ref());
        if let Some(last) = entries.last() {
            end = last.whole.end;
        }
        if let Some(name) = &mut name {
            self.colons(name, &mut entries);
        }
        let head = first.start..end;
        let mut children = std::mem::take(&mut self.called);
        while let Some(token) = self.peek() {
            let hidden = token.kind == TokenKind::SlashDash;
            if hidden {
                self.at += 1;
                self.skip(&[TokenKind::Space, TokenKind::OpenComment, TokenKind::Newline]);
            }
            if self.peek().is_none_or(|token| token.kind != TokenKind::Open) {
                if hidden {
                    let found =
                        Diag::error("syntax", self.span(token), "after a `}`, `/-` can only comment out another block");
                    self.diags.push(found.hint("start a new line or write `;` before it"));
                }
                break;
            }
            self.at += 1;
            let nodes = if depth < DEEPEST { self.nodes(depth + 1) } else { Vec::new() };
            if let Some(close) = self.peek() {
                end = close.end;
                self.at += 1;
            }
            if !hidden {
                children.get_or_insert_with(Vec::new).extend(nodes);
            }
            self.skip(&[TokenKind::Space, TokenKind::OpenComment]);
        }
        let head = Span::new(self.file, head);
        let span = Span::new(self.file, first.start..end);
        if std::mem::take(&mut self.dropped) {
            return None;
        }
        name.map(|name| Node { name, entries, children, head, span })
    }

    /// Arguments and properties up to the end of the node's head.
    pub(super) fn entries(&mut self, name: Option<&Word>) -> Vec<NodeEntry> {
        let mut entries = Vec::new();
        loop {
            self.skip(&[TokenKind::Space, TokenKind::OpenComment]);
            let Some(token) = self.peek() else { return entries };
            match token.kind {
                TokenKind::Newline | TokenKind::Semicolon | TokenKind::Open | TokenKind::Close => return entries,
                TokenKind::SlashDash => {
                    let before = self.at;
                    self.at += 1;
                    self.skip(&[TokenKind::Space, TokenKind::OpenComment, TokenKind::Newline]);
                    match self.peek().map(|token| token.kind) {
                        Some(TokenKind::Open) => {
                            self.at = before;
                            return entries;
                        }
                        None | Some(TokenKind::Close | TokenKind::Semicolon) => return entries,
                        Some(_) => _ = self.entry(),
                    }
                }
                TokenKind::OpenParen => entries.extend(self.parentheses()),
                TokenKind::OpenBracket => entries.extend(self.brackets(token)),
                TokenKind::Equals if entries.is_empty() && name.is_some() => self.equals(token, name),
                TokenKind::Word if entries.is_empty() && name.is_some() && is_arrow(self.text_of(token)) => {
                    self.equals(token, name);
                }
                TokenKind::Backslash => {
                    self.stray(token);
                    return entries;
                }
                _ => {
                    entries.extend(self.entry());
                    self.with_unit(token, &mut entries);
                    if self.text_of(token).ends_with(',') && self.at_another_node() {
                        if let Some(last) = self.diags.last_mut() {
                            last.hint = Some("write `;` instead".to_owned());
                        }
                        return entries;
                    }
                }
            }
        }
    }

    /// One entry, or several joined by commas. Always consumes a token.
    fn entry(&mut self) -> Vec<NodeEntry> {
        self.type_annotation();
        let Some(token) = self.peek() else { return Vec::new() };
        self.at += 1;
        if !is_value(token.kind) {
            self.at -= 1;
            self.stray(token);
            return Vec::new();
        }
        let before = self.at;
        self.skip(&[TokenKind::Space]);
        if self.peek().is_none_or(|token| token.kind != TokenKind::Equals) {
            self.at = before;
            if let Some(entries) = self.glued(token) {
                return entries;
            }
            let (value, quoted) = value::value(self.file, token, self.text_of(token), &mut self.diags);
            let span = self.span(token);
            return vec![NodeEntry { key: None, value, quoted, span, whole: span }];
        }
        let key = self.word(token);
        self.second_equals(&key);
        self.skip(&[TokenKind::Space]);
        self.type_annotation();
        if let Some(open) = self.peek().filter(|token| token.kind == TokenKind::OpenBracket) {
            return vec![self.bracketed(open, key)];
        }
        let Some(given) = self.peek().filter(|token| is_value(token.kind) && !self.is_key(*token)) else {
            let found = Diag::error("syntax", key.span, format!("`{}=` has no value", key.text));
            self.diags.push(found.hint("write the value directly after the `=`"));
            return vec![NodeEntry {
                value: Scalar::Wrong,
                quoted: false,
                span: key.span,
                whole: key.span,
                key: Some(key),
            }];
        };
        self.at += 1;
        let (value, quoted) = value::value(self.file, given, self.text_of(given), &mut self.diags);
        let whole = Span::new(self.file, token.start..given.end);
        let entry = NodeEntry { key: Some(key), value, quoted, span: self.span(given), whole };
        let mut entries = vec![entry];
        self.with_unit(given, &mut entries);
        entries
    }
}

fn is_value(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Word | TokenKind::Keyword | TokenKind::Text | TokenKind::OpenText | TokenKind::SingleQuoted
    )
}

/// Whether it is an arrow that other languages write between a name and its value.
fn is_arrow(text: &str) -> bool {
    matches!(text, "->" | "=>" | ":=" | "<-" | "→" | "←")
}
