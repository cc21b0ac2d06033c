//! Reading on after a slip in a node's head: colons, `=`, brackets, parentheses, commas and units as other languages have them. Part of
//! the reader in `tree`.

use super::scan::{Kind, Token};
use super::slips;
use super::tree::{Entry, Node, Reader, Scalar, Word};
use crate::base::Span;
use crate::diag::Diag;

/// Tokens that are looked at behind a slip.
const AHEAD: usize = 64;
/// Units that may stand apart from their number.
const UNITS: [&str; 10] = ["%", "px", "deg", "°", "degrees", "ms", "mm", "um", "min", "epochs"];

impl Reader<'_> {
    /// Skips `(type)`, which means nothing in macula.
    pub(super) fn type_annotation(&mut self) {
        while let Some(open) = self.peek().filter(|token| token.kind == Kind::OpenParen) {
            self.at += 1;
            let mut end = open.end;
            while let Some(token) = self.peek() {
                if matches!(token.kind, Kind::Newline | Kind::Open | Kind::Close | Kind::Semicolon) {
                    break;
                }
                self.at += 1;
                end = token.end;
                if token.kind == Kind::CloseParen {
                    break;
                }
            }
            let place = Span::new(self.file, open.start..end);
            let found = Diag::error("type-annotation", place, "type annotations have no meaning here");
            self.diags.push(found.hint("leave the parentheses out: the signature says which type a value has"));
            self.skip(&[Kind::Space]);
        }
    }

    /// `size = 128`, `size=128`, `from -> fundus`: the sign is told and left out.
    pub(super) fn equals(&mut self, token: Token, name: Option<&Word>) {
        let mut end = token.end;
        self.at += 1;
        while let Some(next) = self.peek().filter(|next| next.kind == Kind::Equals && next.start == end) {
            end = next.end;
            self.at += 1;
        }
        self.skip(&[Kind::Space]);
        let name = name.map_or("", |name| &name.text);
        let rest = self.rest();
        let place = Span::new(self.file, token.start..end);
        let sign = &self.text[place.range()];
        let ahead: Vec<Token> = self.tokens[self.at..].iter().copied().take(2).collect();
        if let [kind, paren] = ahead[..]
            && kind.kind == Kind::Word
            && paren.kind == Kind::OpenParen
        {
            // Python: a stage is no function.
            let found = Diag::error("equals", place, "a stage is not made by `=`");
            self.diags.push(found.hint(format!("write `{} {name} {{ … }}`", self.text_of(kind))));
            while self.peek().is_some_and(|token| !matches!(token.kind, Kind::Newline | Kind::Close)) {
                self.at += 1;
            }
            self.dropped = true;
            return;
        }
        let found = Diag::error("equals", place, format!("there is no `{sign}` between `{name}` and its value"));
        self.diags.push(found.hint(format!("write `{name} {rest}`")));
    }

    /// What follows in this node's head, as it is written.
    fn rest(&self) -> &str {
        let ends = |token: &&Token| matches!(token.kind, Kind::Newline | Kind::Semicolon | Kind::Open | Kind::Close);
        let head = self.tokens[self.at..].iter().take(AHEAD).take_while(|token| !ends(token));
        let (mut start, mut end) = (self.text.len(), 0);
        for token in head.filter(|token| token.kind != Kind::Space) {
            (start, end) = (start.min(token.start), token.end);
        }
        if start < end { &self.text[start..end] } else { "…" }
    }

    /// Goes behind the `=` of a property, of which there may be two.
    pub(super) fn second_equals(&mut self, key: &Word) {
        let Some(first) = self.peek() else { return };
        self.at += 1;
        if let Some(second) = self.peek().filter(|token| token.kind == Kind::Equals) {
            self.at += 1;
            let place = Span::new(self.file, first.start..second.end);
            let value = self.rest();
            let value = value.split_whitespace().next().unwrap_or("…");
            let found = Diag::error("equals", place, "one `=` gives a value; `==` is nothing");
            self.diags.push(found.hint(format!("write `{}={value}`", key.text)));
        }
    }

    /// `size: 128`, `size : 128`, `size:128`, `horizontal: 0.5`, `extract patches: {`.
    pub(super) fn colons(&mut self, name: &mut Word, entries: &mut Vec<Entry>) {
        let quoted = name.span.end - name.span.start != name.text.len();
        let mut tell = |place: Span, hint: String| {
            let found = Diag::error("colon", place, "a name is followed by a blank, not by a colon");
            self.diags.push(found.hint(hint));
        };
        let said = |entries: &[Entry]| match entries {
            [first, .., last] => self.text[first.whole.start..last.whole.end].to_owned(),
            [only] => self.text[only.whole.range()].to_owned(),
            [] => "…".to_owned(),
        };
        if let Some((before, after)) = name.text.clone().split_once(':')
            && !quoted
            && !before.is_empty()
        {
            if after.is_empty() {
                tell(name.span, format!("write `{before} {}`", said(entries)));
            } else {
                tell(name.span, format!("write `{before} {after}`"));
                let start = name.span.start + before.len() + 1;
                let token = Token { kind: Kind::Word, start, end: name.span.end };
                let (value, quoted) = slips::value(self.file, token, after, &mut Vec::new());
                let span = Span { start, ..name.span };
                entries.insert(0, Entry { key: None, value, quoted, span, whole: span });
            }
            before.clone_into(&mut name.text);
        }
        if entries.first().is_some_and(|first| !first.quoted && first.text() == Some(":")) {
            let colon = entries.remove(0);
            let found = Diag::error("colon", colon.span, "a name is followed by a blank, not by a colon");
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
            let found = Diag::error("colon", place, "a name is followed by `=` and its value, not by a colon");
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

    /// `conv1,bn1` as two values; none where no comma glues names.
    pub(super) fn glued(&mut self, token: Token) -> Option<Vec<Entry>> {
        let text = self.text_of(token);
        let parts: Vec<&str> = text.split(',').collect();
        let names = |part: &&str| part.starts_with(|c: char| c.is_alphabetic());
        if token.kind != Kind::Word || parts.len() < 2 || !parts.iter().all(names) {
            return None;
        }
        let found = Diag::error("comma", self.span(token), "values are not separated by commas");
        self.diags.push(found.hint(format!("write `{}`", parts.join(" "))));
        let mut start = token.start;
        let entry = |part: &&str| {
            let span = Span::new(self.file, start..start + part.len());
            start = span.end + 1;
            Entry { key: None, value: Scalar::Text((*part).to_owned()), quoted: false, span, whole: span }
        };
        Some(parts.iter().map(entry).collect())
    }

    /// Whether what follows reads as `size 64`, a node of its own.
    pub(super) fn at_another_node(&self) -> bool {
        let mut ahead = self.tokens[self.at..].iter().filter(|token| token.kind != Kind::Space);
        let (Some(name), Some(value)) = (ahead.next(), ahead.next()) else { return false };
        let digit =
            |token: Token| self.text_of(token).starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        name.kind == Kind::Word
            && !digit(*name)
            && !self.text_of(*name).ends_with(',')
            && (value.kind == Kind::Keyword || value.kind == Kind::Word && digit(*value))
    }

    /// `128 px`, `90 %`: a unit that stands apart from its number, at the end of a node's head.
    pub(super) fn with_unit(&mut self, token: Token, entries: &mut [Entry]) {
        let before = self.at;
        let Some(entry) = entries.last_mut() else { return };
        let number = match entry.value {
            Scalar::Int(number) => number as f64,
            Scalar::Real(number) => number,
            _ => return,
        };
        self.skip(&[Kind::Space]);
        let unit = self.peek().filter(|unit| unit.kind == Kind::Word && UNITS.contains(&self.text_of(*unit)));
        let ends = |token: &Token| matches!(token.kind, Kind::Newline | Kind::Semicolon | Kind::Close);
        let mut after = self.tokens[(self.at + 1).min(self.tokens.len())..].iter();
        let last = after.find(|token| token.kind != Kind::Space).is_none_or(ends);
        let Some(unit) = unit.filter(|_| last) else {
            self.at = before;
            return;
        };
        self.at += 1;
        let place = Span::new(self.file, token.start..unit.end);
        let name = self.text_of(unit);
        let found = if name == "%" {
            let share = (number * 1e8).round() / 1e10;
            entry.value = Scalar::Real(share);
            Diag::error("percent", place, "there is no percent sign in KDL").hint(format!("write `{share:?}`"))
        } else {
            let text = self.text_of(token);
            Diag::error("unit", place, format!("a number stands without its unit `{name}`"))
                .hint(format!("write `{text}`; the signature knows the unit"))
        };
        self.diags.push(found);
        entry.span.end = unit.end;
        entry.whole.end = unit.end;
    }

    /// The values between a bracket and its partner, and that partner; their own slips are not told.
    fn between(&mut self, open: Token, close: Kind) -> (Vec<Entry>, Option<Token>) {
        let inner: Vec<Token> = self.tokens[self.at + 1..]
            .iter()
            .copied()
            .take(AHEAD * 8)
            .take_while(|token| {
                !matches!(token.kind, Kind::Newline | Kind::Open | Kind::Close) && token.kind != open.kind
            })
            .collect();
        let Some(at) = inner.iter().position(|token| token.kind == close) else { return (Vec::new(), None) };
        let mut reader = Reader::new(self.file, self.text, &inner[..at]);
        let mut entries = reader.entries(None);
        entries.retain(|entry| entry.value != Scalar::Wrong);
        let end = inner[at];
        self.at += at + 2;
        (entries, Some(end))
    }

    /// Tells of `[a b]`, and gives its values.
    pub(super) fn brackets(&mut self, open: Token) -> Vec<Entry> {
        let (entries, close) = self.between(open, Kind::CloseBracket);
        let Some(close) = close else {
            let found = Diag::error("list-form", self.span(open), "lists have no brackets in KDL");
            self.diags.push(found.hint("leave it out, and write the values side by side"));
            self.at += 1;
            return Vec::new();
        };
        let place = Span::new(self.file, open.start..close.end);
        let found = Diag::error("list-form", place, "lists have no brackets in KDL");
        self.diags.push(found.hint(format!("write the values side by side: `{}`", self.side_by_side(&entries))));
        entries
    }

    fn side_by_side(&self, entries: &[Entry]) -> String {
        let words: Vec<&str> =
            entries.iter().map(|entry| self.text[entry.whole.range()].trim_end_matches(',')).collect();
        words.join(" ")
    }

    /// `mean=[0.5 0.5]`: a property holds one value, so its list is one text.
    pub(super) fn bracketed(&mut self, open: Token, key: Word) -> Entry {
        let (entries, close) = self.between(open, Kind::CloseBracket);
        let end = close.map_or(open.end, |close| close.end);
        let span = Span::new(self.file, open.start..end);
        let words = self.side_by_side(&entries).replace('"', "");
        let found = Diag::error("list-form", span, "lists have no brackets in KDL");
        let value = if close.is_some() {
            self.diags.push(
                found.hint(
                    format!("write the values in one text: `{}=\"{words}\"`", key.text)
                        .replace(&format!("{}=", key.text), ""),
                ),
            );
            Scalar::Text(words)
        } else {
            self.diags.push(found.hint("leave it out, and write the values in one text"));
            self.at += 1;
            Scalar::Wrong
        };
        let whole = Span { start: key.span.start, ..span };
        Entry { key: Some(key), value, quoted: true, span, whole }
    }

    /// `(px)` before a value; or a list, or the inputs of a stage, in parentheses.
    pub(super) fn parentheses(&mut self) -> Vec<Entry> {
        let Some(open) = self.peek() else { return Vec::new() };
        let line = self.tokens[self.at + 1..].iter().take(AHEAD * 8);
        let mut inner = line.take_while(|token| !matches!(token.kind, Kind::Newline | Kind::Open | Kind::CloseParen));
        let listed = |token: &Token| token.kind == Kind::Equals || self.text_of(*token).contains(',');
        if !inner.any(listed) {
            self.type_annotation();
            return Vec::new();
        }
        let (entries, close) = self.between(open, Kind::CloseParen);
        let Some(close) = close else {
            self.type_annotation();
            return Vec::new();
        };
        let place = Span::new(self.file, open.start..close.end);
        if entries.iter().any(|entry| entry.key.is_none()) {
            let found = Diag::error("list-form", place, "lists have no parentheses in KDL");
            self.diags.push(found.hint(format!("write the values side by side: `{}`", self.side_by_side(&entries))));
            return entries;
        }
        let nodes: Vec<Node> = entries.into_iter().filter_map(node_of).collect();
        let said: Vec<String> =
            nodes.iter().map(|node| format!("{} {}", node.name.text, self.side_by_side(&node.entries))).collect();
        let found = Diag::error("type-annotation", place, "ports and parameters stand in braces, not in parentheses");
        self.diags.push(found.hint(format!("write `{{ {} }}`", said.join("; "))));
        self.called = Some(nodes);
        Vec::new()
    }

    /// Tells of a token that can't stand where it is, and skips it.
    pub(super) fn stray(&mut self, token: Token) {
        self.at += 1;
        if token.kind == Kind::CloseBracket {
            return; // told with its opening bracket, or by the judge
        }
        let text = self.text_of(token);
        let found = match token.kind {
            Kind::Backslash => Diag::error("syntax", self.span(token), "a backslash can only stand at a line's end")
                .hint("write `;` between parameters; quote text that holds a backslash: `#\"…\"#`"),
            Kind::Equals => Diag::error("syntax", self.span(token), "`=` needs a name before it")
                .hint("write `name value` for a parameter and `name=value` for a property"),
            _ => Diag::error("syntax", self.span(token), format!("`{text}` can't stand here")),
        };
        self.diags.push(found);
    }
}

/// `from=fundus` as the node `from fundus`.
fn node_of(entry: Entry) -> Option<Node> {
    let name = entry.key.clone()?;
    let entry = Entry { key: None, whole: entry.span, ..entry };
    let span = Span { start: name.span.start, ..entry.span };
    Some(Node { name, entries: vec![entry], children: None, head: span, span })
}
