//! Recovery from common mistakes in a node's head: colons, `=`, brackets, parentheses, commas and units as in other languages. Part
//! of the parser in `tree`.

use super::scalar::Scalar;
use super::scan::{Token, TokenKind};
use super::tree::{Node, NodeEntry, Parser, Word};
use super::value;
use crate::base::Span;
use crate::diag::Diag;

/// Tokens that are examined after a mistake.
const AHEAD: usize = 64;
/// Units that people write after a space.
const UNITS: [&str; 10] = ["%", "px", "deg", "°", "degrees", "ms", "mm", "um", "min", "epochs"];

impl Parser<'_> {
    /// Skips `(type)`, which macula does not use.
    pub(super) fn type_annotation(&mut self) {
        while let Some(open) = self.peek().filter(|token| token.kind == TokenKind::OpenParen) {
            self.at += 1;
            let mut end = open.end;
            while let Some(token) = self.peek() {
                if matches!(token.kind, TokenKind::Newline | TokenKind::Open | TokenKind::Close | TokenKind::Semicolon)
                {
                    break;
                }
                self.at += 1;
                end = token.end;
                if token.kind == TokenKind::CloseParen {
                    break;
                }
            }
            let place = Span::new(self.file, open.start..end);
            let found = Diag::error("type-annotation", place, "type annotations are not used");
            self.diags.push(found.hint("remove the parentheses; the signature fixes the type"));
            self.skip(&[TokenKind::Space]);
        }
    }

    /// `size = 128`, `size=128`, `from -> fundus`: the sign is reported and skipped.
    pub(super) fn equals(&mut self, token: Token, name: Option<&Word>) {
        let mut end = token.end;
        self.at += 1;
        while let Some(next) = self.peek().filter(|next| next.kind == TokenKind::Equals && next.start == end) {
            end = next.end;
            self.at += 1;
        }
        self.skip(&[TokenKind::Space]);
        let name = name.map_or("", |name| &name.text);
        let rest = self.rest();
        let place = Span::new(self.file, token.start..end);
        let sign = &self.text[place.range()];
        let ahead: Vec<Token> = self.tokens[self.at..].iter().copied().take(2).collect();
        if let [kind, paren] = ahead[..]
            && kind.kind == TokenKind::Word
            && paren.kind == TokenKind::OpenParen
        {
            // As in Python, where a stage would be a function call.
            let found = Diag::error("equals", place, "a stage is not assigned with `=`");
            self.diags.push(found.hint(format!("write `{} {name} {{ … }}`", self.text_of(kind))));
            while self.peek().is_some_and(|token| !matches!(token.kind, TokenKind::Newline | TokenKind::Close)) {
                self.at += 1;
            }
            self.dropped = true;
            return;
        }
        let found = Diag::error("equals", place, format!("unexpected `{sign}` between `{name}` and its value"));
        self.diags.push(found.hint(format!("write `{name} {rest}`")));
    }

    /// The rest of this node's head, as written.
    fn rest(&self) -> &str {
        let ends = |token: &&Token| {
            matches!(token.kind, TokenKind::Newline | TokenKind::Semicolon | TokenKind::Open | TokenKind::Close)
        };
        let head = self.tokens[self.at..].iter().take(AHEAD).take_while(|token| !ends(token));
        let (mut start, mut end) = (self.text.len(), 0);
        for token in head.filter(|token| token.kind != TokenKind::Space) {
            (start, end) = (start.min(token.start), token.end);
        }
        if start < end { &self.text[start..end] } else { "…" }
    }

    /// Moves past the `=` of a property, or past `==`.
    pub(super) fn second_equals(&mut self, key: &Word) {
        let Some(first) = self.peek() else { return };
        self.at += 1;
        if let Some(second) = self.peek().filter(|token| token.kind == TokenKind::Equals) {
            self.at += 1;
            let place = Span::new(self.file, first.start..second.end);
            let value = self.rest();
            let value = value.split_whitespace().next().unwrap_or("…");
            let found = Diag::error("equals", place, "use a single `=`");
            self.diags.push(found.hint(format!("write `{}={value}`", key.text)));
        }
    }

    /// `size: 128`, `size : 128`, `size:128`, `horizontal: 0.5`, `extract patches: {`.
    pub(super) fn colons(&mut self, name: &mut Word, entries: &mut Vec<NodeEntry>) {
        let quoted = name.span.end - name.span.start != name.text.len();
        let mut report = |place: Span, hint: String| {
            let found = Diag::error("colon", place, "a name is followed by a space, not a colon");
            self.diags.push(found.hint(hint));
        };
        let said = |entries: &[NodeEntry]| match entries {
            [first, .., last] => self.text[first.whole.start..last.whole.end].to_owned(),
            [only] => self.text[only.whole.range()].to_owned(),
            [] => "…".to_owned(),
        };
        if let Some((before, after)) = name.text.clone().split_once(':')
            && !quoted
            && !before.is_empty()
        {
            if after.is_empty() {
                report(name.span, format!("write `{before} {}`", said(entries)));
            } else {
                report(name.span, format!("write `{before} {after}`"));
                let start = name.span.start + before.len() + 1;
                let token = Token { kind: TokenKind::Word, start, end: name.span.end };
                let (value, quoted) = value::value(self.file, token, after, &mut Vec::new());
                let span = Span { start, ..name.span };
                entries.insert(0, NodeEntry { key: None, value, quoted, span, whole: span });
            }
            before.clone_into(&mut name.text);
        }
        if entries.first().is_some_and(|first| !first.quoted && first.text() == Some(":")) {
            let colon = entries.remove(0);
            let found = Diag::error("colon", colon.span, "a name is followed by a space, not a colon");
            let hint = format!("write `{} {}`", name.text, said(entries));
            self.diags.push(found.hint(hint));
        }
        let mut read = Vec::with_capacity(entries.len());
        let mut given = std::mem::take(entries).into_iter().peekable();
        while let Some(mut entry) = given.next() {
            let before = entry.text().and_then(|text| text.strip_suffix(':')).filter(|before| !before.is_empty());
            let Some(before) = before.filter(|_| !entry.quoted && entry.key.is_none()).map(str::to_owned) else {
                read.push(entry);
                continue;
            };
            let place = entry.span;
            let next = given.next_if(|next| next.key.is_none());
            let found = Diag::error("colon", place, "a property name is followed by `=`, not a colon");
            let hint = match &next {
                Some(next) => format!("write `{before}={}`", &self.text[next.span.range()]),
                None => format!("write `{} {before} {{`", name.text),
            };
            self.diags.push(found.hint(hint));
            if let Some(mut value) = next {
                value.whole.start = place.start;
                value.key = Some(Word { text: before, span: Span { end: place.end - 1, ..place } });
                read.push(value);
            } else {
                entry.value = Scalar::Text(before);
                entry.span.end -= 1;
                entry.whole.end -= 1;
                read.push(entry);
            }
        }
        *entries = read;
    }

    /// `conv1,bn1` as two values; [`None`] if no comma joins names.
    pub(super) fn glued(&mut self, token: Token) -> Option<Vec<NodeEntry>> {
        let text = self.text_of(token);
        let parts: Vec<&str> = text.split(',').collect();
        let names = |part: &&str| part.starts_with(|c: char| c.is_alphabetic());
        if token.kind != TokenKind::Word || parts.len() < 2 || !parts.iter().all(names) {
            return None;
        }
        let found = Diag::error("comma", self.span(token), "values are not separated by commas");
        self.diags.push(found.hint(format!("write `{}`", parts.join(" "))));
        let mut start = token.start;
        let entry = |part: &&str| {
            let span = Span::new(self.file, start..start + part.len());
            start = span.end + 1;
            NodeEntry { key: None, value: Scalar::Text((*part).to_owned()), quoted: false, span, whole: span }
        };
        Some(parts.iter().map(entry).collect())
    }

    /// Whether the next tokens look like `size 64`, another node.
    pub(super) fn at_another_node(&self) -> bool {
        let mut ahead = self.tokens[self.at..].iter().filter(|token| token.kind != TokenKind::Space);
        let (Some(name), Some(value)) = (ahead.next(), ahead.next()) else { return false };
        let digit =
            |token: Token| self.text_of(token).starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        name.kind == TokenKind::Word
            && !digit(*name)
            && !self.text_of(*name).ends_with(',')
            && (value.kind == TokenKind::Keyword || value.kind == TokenKind::Word && digit(*value))
    }

    /// `128 px`, `90 %`: a unit after a space, at the end of a node's head.
    pub(super) fn with_unit(&mut self, token: Token, entries: &mut [NodeEntry]) {
        let before = self.at;
        let Some(entry) = entries.last_mut() else { return };
        let number = match entry.value {
            Scalar::Int(number) => number as f64,
            Scalar::Real(number) => number,
            _ => return,
        };
        self.skip(&[TokenKind::Space]);
        let unit = self.peek().filter(|unit| unit.kind == TokenKind::Word && UNITS.contains(&self.text_of(*unit)));
        let ends = |token: &Token| matches!(token.kind, TokenKind::Newline | TokenKind::Semicolon | TokenKind::Close);
        let mut after = self.tokens[(self.at + 1).min(self.tokens.len())..].iter();
        let last = after.find(|token| token.kind != TokenKind::Space).is_none_or(ends);
        let Some(unit) = unit.filter(|_| last) else {
            self.at = before;
            return;
        };
        self.at += 1;
        let place = Span::new(self.file, token.start..unit.end);
        let name = self.text_of(unit);
        let found = if name == "%" {
            let fraction = (number * 1e8).round() / 1e10;
            entry.value = Scalar::Real(fraction);
            Diag::error("percent", place, "KDL has no percent sign").hint(format!("write `{fraction:?}`"))
        } else {
            let text = self.text_of(token);
            Diag::error("unit", place, format!("a number is written without its unit `{name}`"))
                .hint(format!("write `{text}`; the signature fixes the unit"))
        };
        self.diags.push(found);
        entry.span.end = unit.end;
        entry.whole.end = unit.end;
    }

    /// The values between a bracket and its partner, and that partner. Mistakes within are not reported.
    fn between(&mut self, open: Token, close: TokenKind) -> (Vec<NodeEntry>, Option<Token>) {
        let inner: Vec<Token> = self.tokens[self.at + 1..]
            .iter()
            .copied()
            .take(AHEAD * 8)
            .take_while(|token| {
                !matches!(token.kind, TokenKind::Newline | TokenKind::Open | TokenKind::Close)
                    && token.kind != open.kind
            })
            .collect();
        let Some(at) = inner.iter().position(|token| token.kind == close) else { return (Vec::new(), None) };
        let mut parser = Parser::new(self.file, self.text, &inner[..at]);
        let mut entries = parser.entries(None);
        entries.retain(|entry| entry.value != Scalar::Wrong);
        let end = inner[at];
        self.at += at + 2;
        (entries, Some(end))
    }

    /// Reports `[a b]`, and returns its values.
    pub(super) fn brackets(&mut self, open: Token) -> Vec<NodeEntry> {
        let (entries, close) = self.between(open, TokenKind::CloseBracket);
        let Some(close) = close else {
            let found = Diag::error("list-form", self.span(open), "KDL lists have no brackets");
            self.diags.push(found.hint("remove it, and write the values side by side"));
            self.at += 1;
            return Vec::new();
        };
        let place = Span::new(self.file, open.start..close.end);
        let found = Diag::error("list-form", place, "KDL lists have no brackets");
        self.diags.push(found.hint(format!("write the values side by side: `{}`", self.side_by_side(&entries))));
        entries
    }

    fn side_by_side(&self, entries: &[NodeEntry]) -> String {
        let words: Vec<&str> =
            entries.iter().map(|entry| self.text[entry.whole.range()].trim_end_matches(',')).collect();
        words.join(" ")
    }

    /// `mean=[0.5 0.5]`: a property holds one value, so its list becomes one string.
    pub(super) fn bracketed(&mut self, open: Token, key: Word) -> NodeEntry {
        let (entries, close) = self.between(open, TokenKind::CloseBracket);
        let end = close.map_or(open.end, |close| close.end);
        let span = Span::new(self.file, open.start..end);
        let words = self.side_by_side(&entries).replace('"', "");
        let found = Diag::error("list-form", span, "KDL lists have no brackets");
        let value = if close.is_some() {
            self.diags.push(
                found.hint(
                    format!("write the values in one string: `{}=\"{words}\"`", key.text)
                        .replace(&format!("{}=", key.text), ""),
                ),
            );
            Scalar::Text(words)
        } else {
            self.diags.push(found.hint("remove it, and write the values in one string"));
            self.at += 1;
            Scalar::Wrong
        };
        let whole = Span { start: key.span.start, ..span };
        NodeEntry { key: Some(key), value, quoted: true, span, whole }
    }

    /// `(px)` before a value; or a list or the inputs of a stage in parentheses.
    pub(super) fn parentheses(&mut self) -> Vec<NodeEntry> {
        let Some(open) = self.peek() else { return Vec::new() };
        let line = self.tokens[self.at + 1..].iter().take(AHEAD * 8);
        let mut inner = line
            .take_while(|token| !matches!(token.kind, TokenKind::Newline | TokenKind::Open | TokenKind::CloseParen));
        let listed = |token: &Token| token.kind == TokenKind::Equals || self.text_of(*token).contains(',');
        if !inner.any(listed) {
            self.type_annotation();
            return Vec::new();
        }
        let (entries, close) = self.between(open, TokenKind::CloseParen);
        let Some(close) = close else {
            self.type_annotation();
            return Vec::new();
        };
        let place = Span::new(self.file, open.start..close.end);
        if entries.iter().any(|entry| entry.key.is_none()) {
            let found = Diag::error("list-form", place, "KDL lists have no parentheses");
            self.diags.push(found.hint(format!("write the values side by side: `{}`", self.side_by_side(&entries))));
            return entries;
        }
        let nodes: Vec<Node> = entries.into_iter().filter_map(node_of).collect();
        let said: Vec<String> =
            nodes.iter().map(|node| format!("{} {}", node.name.text, self.side_by_side(&node.entries))).collect();
        let found = Diag::error("type-annotation", place, "ports and parameters go in braces, not parentheses");
        self.diags.push(found.hint(format!("write `{{ {} }}`", said.join("; "))));
        self.called = Some(nodes);
        Vec::new()
    }

    /// Reports an unexpected token, and skips it.
    pub(super) fn stray(&mut self, token: Token) {
        self.at += 1;
        if token.kind == TokenKind::CloseBracket {
            return; // reported with its opening bracket, or by the validator
        }
        let text = self.text_of(token);
        let found = match token.kind {
            TokenKind::Backslash => {
                Diag::error("syntax", self.span(token), "a backslash is only allowed at the end of a line")
                    .hint("write `;` between parameters; quote text that contains a backslash: `#\"…\"#`")
            }
            TokenKind::Equals => Diag::error("syntax", self.span(token), "missing name before `=`")
                .hint("write `name value` for a parameter and `name=value` for a property"),
            _ => Diag::error("syntax", self.span(token), format!("`{text}` is not allowed here")),
        };
        self.diags.push(found);
    }
}

/// `from=fundus` as the node `from fundus`.
fn node_of(entry: NodeEntry) -> Option<Node> {
    let name = entry.key.clone()?;
    let entry = NodeEntry { key: None, whole: entry.span, ..entry };
    let span = Span { start: name.span.start, ..entry.span };
    Some(Node { name, entries: vec![entry], children: None, head: span, span })
}
