//! Slips that mislead the scan itself: quotes that do not pair, comments of other languages, brackets and braces that only look
//! like KDL's. Each is told, and its tokens become those that were meant, so that no other mistake follows from it.

use super::scan::{Kind, Token, scan};
use super::slips::keyword_meant;
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// Tokens that a slip may reach ahead.
const AHEAD: usize = 64;
/// Slips, and lines that were scanned again, after which no more are mended: each may read the rest of its line.
const MOST: usize = 100;

/// The tokens that were meant.
pub(super) fn mend(file: FileId, text: &str, tokens: Vec<Token>, diags: &mut Vec<Diag>) -> Vec<Token> {
    let mut mender = Mender {
        file,
        text,
        out: Vec::with_capacity(tokens.len()),
        todo: tokens,
        squares: Vec::new(),
        again: 0,
        diags,
    };
    mender.todo.reverse();
    while let Some(token) = mender.todo.pop() {
        if mender.diags.len() + mender.again > MOST {
            mender.out.push(token);
        } else {
            mender.token(token);
        }
    }
    mender.out
}

struct Mender<'a> {
    file: FileId,
    text: &'a str,
    out: Vec<Token>,
    /// What is to come, the next one last.
    todo: Vec<Token>,
    /// Where `]`s stand that are to be `}`s.
    squares: Vec<usize>,
    /// How often a line was scanned again.
    again: usize,
    diags: &'a mut Vec<Diag>,
}

impl<'a> Mender<'a> {
    fn tell(&mut self, code: &'static str, place: std::ops::Range<usize>, message: String, hint: String) {
        self.diags.push(Diag::error(code, Span::new(self.file, place), message).hint(hint));
    }

    fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// The next tokens, in order.
    fn ahead(&self) -> impl Iterator<Item = Token> + '_ {
        self.todo.iter().rev().copied().take(AHEAD)
    }

    /// The token that follows without a blank.
    fn glued(&self, to: Token) -> Option<Token> {
        self.todo.last().copied().filter(|next| next.start == to.end)
    }

    fn begins_node(&self) -> bool {
        let before = self.out.iter().rev().find(|token| token.kind != Kind::Space);
        before.is_none_or(|token| matches!(token.kind, Kind::Newline | Kind::Open | Kind::Semicolon))
    }

    fn token(&mut self, token: Token) {
        let piece = self.text_of(token);
        match token.kind {
            Kind::Keyword if piece.bytes().all(|byte| byte == b'#') => self.comment(token, "#"),
            Kind::Keyword if self.begins_node() && keyword_meant(piece).is_none() => self.comment(token, "#"),
            Kind::Word if piece == "--" && self.out.last().is_some_and(|last| last.kind == Kind::Space) => {
                self.comment(token, "--");
            }
            Kind::Word if piece.starts_with("<!--") => self.comment(token, "<!--"),
            Kind::Word if piece == "*/" => {
                let message = "there is no comment that this `*/` could close".to_owned();
                self.tell("syntax", token.start..token.end, message, "take it out".to_owned());
                self.out.push(Token { kind: Kind::Space, ..token });
            }
            Kind::Word => self.word(token, piece),
            Kind::Text => self.quoted(token),
            Kind::OpenText if piece.contains("\"\"\"") => {
                self.out.push(token);
                self.prose();
            }
            Kind::OpenBracket => self.bracket(token),
            Kind::CloseBracket if self.squares.contains(&token.start) => {
                self.out.push(Token { kind: Kind::Close, ..token });
            }
            _ => self.out.push(token),
        }
    }

    /// A comment of another language, up to the line's end.
    fn comment(&mut self, token: Token, mark: &str) {
        let mut end = token.end;
        while self.todo.last().is_some_and(|next| next.kind != Kind::Newline) {
            end = self.todo.pop().map_or(end, |next| next.end);
        }
        let said = self.text[token.start..end].trim_end();
        let words = said.trim_start_matches('#').strip_prefix(mark).unwrap_or(said.trim_start_matches('#'));
        let words = words.strip_suffix("-->").unwrap_or(words).trim_end();
        let message = format!("a comment does not begin with `{mark}`");
        let short: String = words.chars().take(60).collect();
        self.tell("comment-form", token.start..token.start + said.len(), message, format!("write `//{short}`"));
        self.out.push(Token { kind: Kind::Space, start: token.start, end });
    }

    fn word(&mut self, token: Token, piece: &str) {
        let next = self.glued(token);
        match next.map(|next| next.kind) {
            Some(Kind::OpenText)
                if next.is_some_and(|next| self.text_of(next).starts_with('"')) && self.below_open() =>
            {
                // The text of the line above ends here; that it does not end there is told.
                let end = token.end + 1;
                self.again(end);
                self.out.push(Token { kind: Kind::Space, end, ..token });
                while let Some(at) = self.out.iter().rposition(|token| token.kind == Kind::Newline) {
                    let Some(Kind::OpenText) = self.out.get(at.wrapping_sub(1)).map(|token| token.kind) else { break };
                    self.out[at].kind = Kind::Space;
                }
            }
            Some(Kind::OpenText) if next.is_some_and(|next| self.text_of(next).starts_with('"')) => {
                let end = token.end + 1;
                let hint = format!("write `\"{piece}\"`");
                self.tell("unclosed-string", token.start..end, format!("`{piece}\"` has no opening quote"), hint);
                self.again(end);
                self.out.push(Token { end, ..token });
            }
            Some(Kind::Text) if matches!(piece, "f" | "r" | "b" | "u") => {
                let end = self.todo.pop().map_or(token.end, |next| next.end);
                let message = format!("text in quotes has no `{piece}` before it");
                self.tell(
                    "syntax",
                    token.start..end,
                    message,
                    format!("leave the `{piece}` out; nothing is put into text"),
                );
                self.out.push(Token { kind: Kind::Text, end, ..token });
            }
            Some(Kind::Open) if piece == "$" => {
                let inner: Vec<Token> = self.ahead().take(3).collect();
                if let [_, name, close] = inner[..]
                    && name.kind == Kind::Word
                    && close.kind == Kind::Close
                {
                    let name = self.text_of(name);
                    let message = "a parameter's name stands without braces".to_owned();
                    self.tell("dollar-in-text", token.start..close.end, message, format!("write `${name}`"));
                    self.todo.truncate(self.todo.len() - 3);
                    self.out.push(Token { end: close.end, ..token });
                } else {
                    self.out.push(token);
                }
            }
            Some(Kind::Backslash) => {
                let mut end = token.end;
                while let Some(next) = self.todo.last().copied()
                    && next.start == end
                    && matches!(next.kind, Kind::Word | Kind::Backslash)
                {
                    end = next.end;
                    self.todo.pop();
                }
                self.out.push(Token { end, ..token });
            }
            Some(Kind::OpenComment) => {
                let rest = &self.text[token.start..];
                let length = rest.find(|c: char| c.is_whitespace() || ";{}\"".contains(c)).unwrap_or(rest.len());
                let end = token.start + length;
                self.again(end);
                self.out.push(Token { end, ..token });
            }
            _ if piece.starts_with(is_quote) => self.quote(token, piece),
            _ if piece.contains(is_wide_mark) => self.wide(token, piece),
            _ => self.out.push(token),
        }
    }

    /// Whether the line above ends in a text without an end, and this line holds one word so far.
    fn below_open(&self) -> bool {
        let mut before = self.out.iter().rev().filter(|token| token.kind != Kind::Space);
        before.next().is_some_and(|token| token.kind == Kind::Newline)
            && before.next().is_some_and(|token| token.kind == Kind::OpenText)
    }

    /// Skips the lines of a text without an end: as far as there are neither braces nor a blank line.
    fn prose(&mut self) {
        while self.todo.last().is_some_and(|next| next.kind == Kind::Newline) {
            let line: Vec<Token> = self.ahead().skip(1).take_while(|token| token.kind != Kind::Newline).collect();
            let braces = line.iter().any(|token| matches!(token.kind, Kind::Open | Kind::Close));
            if braces || line.iter().all(|token| token.kind == Kind::Space) || line.len() + 1 >= AHEAD {
                break;
            }
            let newline = self.todo.pop();
            self.out.extend(newline);
            self.todo.truncate(self.todo.len() - line.len());
        }
    }

    /// Scans again what the next token, which reaches to its line's end, holds from `from` on.
    fn again(&mut self, from: usize) {
        let Some(next) = self.todo.pop() else { return };
        self.again += 1;
        let mut rest = scan(&self.text[from..next.end]);
        rest.reverse();
        self.todo.extend(rest.into_iter().map(|token| Token {
            start: token.start + from,
            end: token.end + from,
            ..token
        }));
    }

    /// Text in quotes that KDL does not have; told where it is read.
    fn quote(&mut self, token: Token, piece: &str) {
        let closes = |text: &str| text.ends_with(is_quote);
        let mut end = (piece.chars().count() > 1 && closes(piece)).then_some(token.end);
        if end.is_none() {
            let line = self.ahead().take_while(|token| token.kind != Kind::Newline);
            end = line
                .filter(|token| token.kind == Kind::Word)
                .find(|&token| closes(self.text_of(token)))
                .map(|token| token.end);
        }
        let Some(end) = end else { return self.out.push(token) };
        while self.todo.last().is_some_and(|next| next.start < end) {
            self.todo.pop();
        }
        self.out.push(Token { kind: Kind::SingleQuoted, end, ..token });
    }

    /// A word with full-width braces and their like in it.
    fn wide(&mut self, token: Token, piece: &str) {
        let mut start = token.start;
        for (at, c) in piece.char_indices().filter(|&(_, c)| is_wide_mark(c)) {
            let place = token.start + at;
            if place > start {
                self.out.push(Token { start, end: place, ..token });
            }
            let (kind, meant) = match c {
                '｛' => (Kind::Open, '{'),
                '｝' => (Kind::Close, '}'),
                '；' => (Kind::Semicolon, ';'),
                _ => (Kind::Equals, '='),
            };
            start = place + c.len_utf8();
            self.tell(
                "look-alike",
                place..start,
                format!("`{c}` is a full-width character"),
                format!("write `{meant}`"),
            );
            self.out.push(Token { kind, start: place, end: start });
        }
        if start < token.end {
            self.out.push(Token { start, ..token });
        }
    }

    fn quoted(&mut self, token: Token) {
        let next = self.glued(token);
        match next.map(|next| next.kind) {
            Some(Kind::OpenText) if next.is_some_and(|next| self.text_of(next).starts_with('"')) => {
                let end = token.end + 1;
                let message = "here is one quote too many".to_owned();
                self.tell("unclosed-string", token.end..end, message, "take it out".to_owned());
                self.again(end);
                self.out.push(token);
                self.out.push(Token { kind: Kind::Space, start: token.end, end });
            }
            Some(Kind::Word) => {
                let ahead: Vec<Token> = self.ahead().take(2).collect();
                if let [word, last] = ahead[..]
                    && last.kind == Kind::Text
                    && last.start == word.end
                {
                    let inner = self.text_of(word);
                    let message = format!("`{inner}` stands within the quotes of another text");
                    self.tell("syntax", word.start..word.end, message, format!("write `\\\"{inner}\\\"`"));
                    self.todo.truncate(self.todo.len() - 2);
                    self.out.push(Token { end: last.end, ..token });
                } else {
                    self.out.push(token);
                }
            }
            _ => self.out.push(token),
        }
    }

    /// `[ from fundus; size 64 ]`: brackets in the place of braces.
    fn bracket(&mut self, token: Token) {
        let line = self.ahead().take_while(|token| token.kind != Kind::Newline);
        let line: Vec<Token> = line.take_while(|token| token.kind != Kind::OpenBracket).collect();
        let close = line.iter().position(|token| token.kind == Kind::CloseBracket);
        let Some(close) = close.filter(|&close| line[..close].iter().any(|token| token.kind == Kind::Semicolon)) else {
            return self.out.push(token);
        };
        let close = line[close];
        let inner = self.text[token.end..close.start].trim();
        let hint = format!("write `{{ {inner} }}`");
        self.tell("list-form", token.start..close.end, "a block stands in braces, not in brackets".to_owned(), hint);
        self.squares.push(close.start);
        self.out.push(Token { kind: Kind::Open, ..token });
    }
}

/// Quotes that are not KDL's, and a backtick.
pub(super) fn is_quote(c: char) -> bool {
    "“”„‟‘’‚‛«»‹›`".contains(c)
}

fn is_wide_mark(c: char) -> bool {
    "｛｝；＝".contains(c)
}
