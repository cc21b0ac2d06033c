//! Nodes from tokens. Every part keeps its span; a slip is told and read as what was meant.

use std::collections::BTreeSet;
use std::fmt;

use super::forbidden::forbidden;
use super::judge::{self, Memory};
use super::scan::{Kind, Token, scan};
use super::{DEEPEST, LARGEST, braces, mend, slips};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// A text's top-level nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The nodes, in order.
    pub nodes: Vec<Node>,
}

/// A piece of text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text, without quotes.
    pub text: String,
    /// Where it stands, with its quotes.
    pub span: Span,
}

/// A node: `name argument key=value { children }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Word,
    /// Arguments and properties, in order.
    pub entries: Vec<Entry>,
    /// What stands between its braces, where it has any.
    pub children: Option<Vec<Node>>,
    /// From its name to its last entry, without the children.
    pub head: Span,
    /// From its name to its closing brace.
    pub span: Span,
}

/// An argument, or a property where it has a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The property's key.
    pub key: Option<Word>,
    /// The value.
    pub value: Scalar,
    /// Whether the value stands in quotes.
    pub quoted: bool,
    /// Where the value stands.
    pub span: Span,
    /// Where the entry stands, with its key.
    pub whole: Span,
}

/// A value as KDL knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A string, quoted or not.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Real(f64),
    /// `#true` or `#false`.
    Bool(bool),
    /// `#null`.
    Null,
    /// What can't be read, which was told.
    Wrong,
}

/// As it is written in a pipeline, without quotes.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Bool(flag) => write!(f, "#{flag}"),
            Self::Null => f.write_str("#null"),
            Self::Wrong => f.write_str("…"),
        }
    }
}

impl Node {
    /// Its arguments, in order.
    pub fn args(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.key.is_none())
    }

    /// Its properties, in order.
    pub fn props(&self) -> impl Iterator<Item = (&Word, &Entry)> {
        self.entries.iter().filter_map(|entry| entry.key.as_ref().map(|key| (key, entry)))
    }

    /// The property `key`; the last one holds.
    #[must_use]
    pub fn prop(&self, key: &str) -> Option<&Entry> {
        self.props().filter(|(name, _)| name.text == key).map(|(_, entry)| entry).last()
    }

    /// Its children; none where it has no braces.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        self.children.as_deref().unwrap_or(&[])
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.nodes().iter().find(|node| node.name.text == name)
    }
}

impl Entry {
    /// Its text, where it is a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Scalar::Text(text) = &self.value { Some(text) } else { None }
    }
}

/// Slips of a text after which the crate is not asked about it as well: there is enough to mend.
const MOST_SLIPS: usize = 1000;

/// The nodes of a text, and all that is wrong with its form, in order of place.
#[must_use]
pub fn parse(file: FileId, text: &str) -> (Document, Vec<Diag>) {
    parse_with(file, text, &mut Memory::default())
}

/// The same for a text that is read again and again: what did not change since the last time is not judged anew.
#[must_use]
pub fn parse_with(file: FileId, text: &str, memory: &mut Memory) -> (Document, Vec<Diag>) {
    if text.len() > LARGEST {
        let place = Span::new(file, 0..0);
        let size = text.len().div_ceil(1024);
        let found = Diag::error("too-large", place, format!("the file has {size} KB; {} are the most", LARGEST / 1024));
        return (Document::default(), vec![found.hint("split it, and bring the parts together with `use`")]);
    }
    let Read { document, mut diags, tokens } = read(file, text);
    let hidden = forbidden(file, text);
    diags.extend(hidden.iter().cloned());
    if let Some(tokens) = tokens.filter(|_| diags.len() < MOST_SLIPS) {
        judge::judge(file, text, &tokens, &mut diags, memory);
        diags.sort_by_key(|diag| diag.labels.first().map_or(0, |label| label.span.start));
    }
    // Each use of a name that begins with a point is the same mistake.
    let mut names = BTreeSet::new();
    diags.retain(|diag| {
        let word =
            diag.message.strip_suffix("` is neither a number nor a name").and_then(|rest| rest.strip_prefix('`'));
        word.is_none_or(|word| !word.trim_start_matches(['+', '-']).starts_with('.') || names.insert(word.to_owned()))
    });
    // A character that may not be there explains what else is said of the words around it.
    let explains = |hidden: &Diag, diag: &Diag| match (hidden.labels.first(), diag.labels.first()) {
        (Some(hidden), Some(own)) => own.span.start <= hidden.span.start && hidden.span.end <= own.span.end,
        _ => false,
    };
    diags.retain(|diag| hidden.contains(diag) || !hidden.iter().any(|hidden| explains(hidden, diag)));
    (document, diags)
}

/// What our own reading makes of a text, before the `kdl` crate judges it.
pub(super) struct Read {
    pub(super) document: Document,
    pub(super) diags: Vec<Diag>,
    /// None where the nesting is too deep to read it. The `;` behind a node that `/-` hides is a line end here: the crate wants
    /// one there, and KDL takes either.
    pub(super) tokens: Option<Vec<Token>>,
}

/// Reads a text of any size without the judge.
pub(super) fn read(file: FileId, text: &str) -> Read {
    let mut diags = Vec::new();
    let mut tokens = mend::mend(file, text, scan(text), &mut diags);
    let (mut found, trusted) = braces::braces(file, text, &mut tokens);
    diags.append(&mut found);
    if !trusted {
        return Read { document: Document::default(), diags, tokens: None };
    }
    let mut reader = Reader::new(file, text, &tokens);
    let document = Document { nodes: reader.nodes(0) };
    let Reader { diags: mut found, hidden_ends, .. } = reader;
    diags.append(&mut found);
    for at in hidden_ends {
        tokens[at].kind = Kind::Newline;
    }
    Read { document, diags, tokens: Some(tokens) }
}

/// The values that stand in `text` from byte `from` on, as arguments of a node would: for `--set`.
#[must_use]
pub fn values(file: FileId, text: &str, from: usize) -> (Vec<Entry>, Vec<Diag>) {
    let tokens: Vec<Token> = scan(&text[from..])
        .into_iter()
        .map(|token| Token { start: token.start + from, end: token.end + from, ..token })
        .collect();
    let mut reader = Reader::new(file, text, &tokens);
    let entries = reader.entries(None);
    if let Some(token) = reader.peek() {
        let place = Span::new(file, token.start..text.len());
        reader.diags.push(Diag::error("syntax", place, "only values can stand here"));
    }
    (entries, reader.diags)
}

pub(super) struct Reader<'a> {
    pub(super) file: FileId,
    pub(super) text: &'a str,
    pub(super) tokens: &'a [Token],
    pub(super) at: usize,
    pub(super) diags: Vec<Diag>,
    hidden_ends: Vec<usize>,
    /// Children that were written in parentheses behind the name.
    pub(super) called: Option<Vec<Node>>,
    /// Whether the node that is being read is none.
    pub(super) dropped: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: FileId, text: &'a str, tokens: &'a [Token]) -> Self {
        Self { file, text, tokens, at: 0, diags: Vec::new(), hidden_ends: Vec::new(), called: None, dropped: false }
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

    pub(super) fn skip(&mut self, kinds: &[Kind]) {
        while self.peek().is_some_and(|token| kinds.contains(&token.kind)) {
            self.at += 1;
        }
    }

    /// Nodes up to the closing brace (which stays) or the end.
    fn nodes(&mut self, depth: usize) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        // Whether a node stands here that neither a line nor a `;` has ended.
        let mut running = false;
        loop {
            let Some(token) = self.peek() else { return nodes };
            match token.kind {
                Kind::Newline => {
                    running = false;
                    self.at += 1;
                }
                Kind::Semicolon => {
                    if !running {
                        let found = Diag::error("syntax", self.span(token), "there is nothing that this `;` could end");
                        self.diags.push(found.hint("one `;` is enough, and a line's end needs none"));
                    }
                    running = false;
                    self.at += 1;
                }
                Kind::Close if depth > 0 => return nodes,
                Kind::Space | Kind::OpenComment | Kind::Close => self.at += 1,
                Kind::SlashDash => {
                    self.at += 1;
                    self.skip(&[Kind::Space, Kind::OpenComment, Kind::Newline]);
                    if !matches!(self.peek().map(|token| token.kind), None | Some(Kind::Close | Kind::SlashDash)) {
                        self.node(depth);
                        if self.peek().is_some_and(|token| token.kind == Kind::Semicolon) {
                            self.hidden_ends.push(self.at);
                        }
                        running = true;
                    }
                }
                Kind::Open if !running && nodes.last().is_some_and(|last| last.children.is_none()) => {
                    self.block_below(token, depth, &mut nodes);
                    running = true;
                }
                _ => {
                    if running && matches!(token.kind, Kind::Word | Kind::Text) && self.after_block() {
                        let text = self.text_of(token);
                        let message = format!("`{text}` follows a `}}` on the same line");
                        let found = Diag::error("syntax", self.span(token), message);
                        self.diags.push(found.hint("write `;` before it, or begin a line"));
                    }
                    nodes.extend(self.node(depth));
                    running = true;
                }
            }
        }
    }

    /// Whether a `}` is the last that was read.
    fn after_block(&self) -> bool {
        let before = self.tokens[..self.at].iter().rev().find(|token| token.kind != Kind::Space);
        before.is_some_and(|token| token.kind == Kind::Close)
    }

    /// A block on a line of its own: it is taken for that of the node above.
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
        let found = Diag::error("syntax", self.span(open), "a `{` can't stand at the begin of its own line");
        self.diags.push(found.hint(format!("write it behind `{head}`, on the same line")));
        node.children = Some(children);
        node.span.end = end;
    }

    /// One node. Always goes forward; gives none where nothing can be a node's name.
    fn node(&mut self, depth: usize) -> Option<Node> {
        self.type_annotation();
        let first = self.peek()?;
        let mut name = if matches!(first.kind, Kind::Word | Kind::Text | Kind::SingleQuoted | Kind::OpenText) {
            self.at += 1;
            Some(slips::name(self.file, first, self.text_of(first), &mut self.diags))
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
            let hidden = token.kind == Kind::SlashDash;
            if hidden {
                self.at += 1;
                self.skip(&[Kind::Space, Kind::OpenComment, Kind::Newline]);
            }
            if self.peek().is_none_or(|token| token.kind != Kind::Open) {
                if hidden {
                    let found =
                        Diag::error("syntax", self.span(token), "behind a `}`, `/-` can only hide another block");
                    self.diags.push(found.hint("begin a line, or write `;`, before what it hides"));
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
            self.skip(&[Kind::Space, Kind::OpenComment]);
        }
        let head = Span::new(self.file, head);
        let span = Span::new(self.file, first.start..end);
        if std::mem::take(&mut self.dropped) {
            return None;
        }
        name.map(|name| Node { name, entries, children, head, span })
    }

    /// Arguments and properties up to whatever ends a node's head.
    pub(super) fn entries(&mut self, name: Option<&Word>) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            self.skip(&[Kind::Space, Kind::OpenComment]);
            let Some(token) = self.peek() else { return entries };
            match token.kind {
                Kind::Newline | Kind::Semicolon | Kind::Open | Kind::Close => return entries,
                Kind::SlashDash => {
                    let before = self.at;
                    self.at += 1;
                    self.skip(&[Kind::Space, Kind::OpenComment, Kind::Newline]);
                    match self.peek().map(|token| token.kind) {
                        Some(Kind::Open) => {
                            self.at = before;
                            return entries;
                        }
                        None | Some(Kind::Close | Kind::Semicolon) => return entries,
                        Some(_) => _ = self.entry(),
                    }
                }
                Kind::OpenParen => entries.extend(self.parentheses()),
                Kind::OpenBracket => entries.extend(self.brackets(token)),
                Kind::Equals if entries.is_empty() && name.is_some() => self.equals(token, name),
                Kind::Word if entries.is_empty() && name.is_some() && is_arrow(self.text_of(token)) => {
                    self.equals(token, name);
                }
                Kind::Backslash => {
                    self.stray(token);
                    return entries;
                }
                _ => {
                    entries.extend(self.entry());
                    self.with_unit(token, &mut entries);
                    if self.text_of(token).ends_with(',') && self.at_another_node() {
                        if let Some(told) = self.diags.last_mut() {
                            told.hint = Some("write `;` in its place".to_owned());
                        }
                        return entries;
                    }
                }
            }
        }
    }

    /// One entry, or several where a comma glues them. Always goes forward.
    fn entry(&mut self) -> Vec<Entry> {
        self.type_annotation();
        let Some(token) = self.peek() else { return Vec::new() };
        self.at += 1;
        if !is_value(token.kind) {
            self.at -= 1;
            self.stray(token);
            return Vec::new();
        }
        let before = self.at;
        self.skip(&[Kind::Space]);
        if self.peek().is_none_or(|token| token.kind != Kind::Equals) {
            self.at = before;
            if let Some(entries) = self.glued(token) {
                return entries;
            }
            let (value, quoted) = slips::value(self.file, token, self.text_of(token), &mut self.diags);
            let span = self.span(token);
            return vec![Entry { key: None, value, quoted, span, whole: span }];
        }
        let key = slips::name(self.file, token, self.text_of(token), &mut self.diags);
        self.second_equals(&key);
        self.skip(&[Kind::Space]);
        self.type_annotation();
        if let Some(open) = self.peek().filter(|token| token.kind == Kind::OpenBracket) {
            return vec![self.bracketed(open, key)];
        }
        let Some(given) = self.peek().filter(|token| is_value(token.kind)) else {
            let found = Diag::error("syntax", key.span, format!("`{}=` has no value", key.text));
            self.diags.push(found.hint("write the value right after the `=`"));
            return vec![Entry {
                value: Scalar::Wrong,
                quoted: false,
                span: key.span,
                whole: key.span,
                key: Some(key),
            }];
        };
        self.at += 1;
        let (value, quoted) = slips::value(self.file, given, self.text_of(given), &mut self.diags);
        let whole = Span::new(self.file, token.start..given.end);
        let entry = Entry { key: Some(key), value, quoted, span: self.span(given), whole };
        let mut entries = vec![entry];
        self.with_unit(given, &mut entries);
        entries
    }
}

fn is_value(kind: Kind) -> bool {
    matches!(kind, Kind::Word | Kind::Keyword | Kind::Text | Kind::OpenText | Kind::SingleQuoted)
}

/// What other languages write between a name and its value.
fn is_arrow(text: &str) -> bool {
    matches!(text, "->" | "=>" | ":=" | "<-" | "→" | "←")
}
