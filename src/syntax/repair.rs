//! Mistakes that mislead the scanner itself: unmatched quotes, comments of other languages, brackets and braces that only look
//! like KDL's. Each is reported, and its tokens are replaced by those that were meant, so that it causes no further ones.

use super::scan::{Token, TokenKind, scan};
use super::value::keyword_meant;
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// Tokens that a mistake may extend over.
const AHEAD: usize = 64;
/// Mistakes, and lines scanned again, after which repairing stops: each may read the rest of its line.
const MOST: usize = 100;

/// Replaces misleading tokens by those that were meant.
pub(super) fn repair(file: FileId, text: &str, tokens: Vec<Token>, diags: &mut Vec<Diag>) -> Vec<Token> {
    let mut repairer = Repairer {
        file,
        text,
        out: Vec::with_capacity(tokens.len()),
        todo: tokens,
        squares: Vec::new(),
        again: 0,
        diags,
    };
    repairer.todo.reverse();
    while let Some(token) = repairer.todo.pop() {
        if repairer.diags.len() + repairer.again > MOST {
            repairer.out.push(token);
        } else {
            repairer.token(token);
        }
    }
    repairer.out
}

struct Repairer<'a> {
    file: FileId,
    text: &'a str,
    out: Vec<Token>,
    /// Tokens still to be read, the next one last.
    todo: Vec<Token>,
    /// Positions of `]` that become `}`.
    squares: Vec<usize>,
    /// How many lines were scanned again.
    again: usize,
    diags: &'a mut Vec<Diag>,
}

impl<'a> Repairer<'a> {
    fn report(&mut self, code: &'static str, place: std::ops::Range<usize>, message: String, hint: String) {
        self.diags.push(Diag::error(code, Span::new(self.file, place), message).hint(hint));
    }

    fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// The next tokens, in order.
    fn ahead(&self) -> impl Iterator<Item = Token> + '_ {
        self.todo.iter().rev().copied().take(AHEAD)
    }

    /// The token that follows without a space.
    fn glued(&self, to: Token) -> Option<Token> {
        self.todo.last().copied().filter(|next| next.start == to.end)
    }

    fn begins_node(&self) -> bool {
        let before = self.out.iter().rev().find(|token| token.kind != TokenKind::Space);
        before.is_none_or(|token| matches!(token.kind, TokenKind::Newline | TokenKind::Open | TokenKind::Semicolon))
    }

    fn token(&mut self, token: Token) {
        let piece = self.text_of(token);
        match token.kind {
            TokenKind::Keyword if piece.bytes().all(|byte| byte == b'#') => self.comment(token, "#"),
            TokenKind::Keyword if self.begins_node() && keyword_meant(piece).is_none() => self.comment(token, "#"),
            TokenKind::Word if piece == "--" && self.out.last().is_some_and(|last| last.kind == TokenKind::Space) => {
                self.comment(token, "--");
            }
            TokenKind::Word if piece.starts_with("<!--") => self.comment(token, "<!--"),
            TokenKind::Word if piece == "*/" => {
                let message = "this `*/` closes no comment".to_owned();
                self.report("syntax", token.start..token.end, message, "remove it".to_owned());
                self.out.push(Token { kind: TokenKind::Space, ..token });
            }
            TokenKind::Word => self.word(token, piece),
            TokenKind::Text => self.quoted(token),
            TokenKind::OpenText if piece.contains("\"\"\"") => {
                self.out.push(token);
                self.prose();
            }
            TokenKind::OpenBracket => self.bracket(token),
            TokenKind::CloseBracket if self.squares.contains(&token.start) => {
                self.out.push(Token { kind: TokenKind::Close, ..token });
            }
            _ => self.out.push(token),
        }
    }

    /// A comment of another language, up to the end of the line.
    fn comment(&mut self, token: Token, mark: &str) {
        let mut end = token.end;
        while self.todo.last().is_some_and(|next| next.kind != TokenKind::Newline) {
            end = self.todo.pop().map_or(end, |next| next.end);
        }
        let said = self.text[token.start..end].trim_end();
        let words = said.trim_start_matches('#').strip_prefix(mark).unwrap_or(said.trim_start_matches('#'));
        let words = words.strip_suffix("-->").unwrap_or(words).trim_end();
        let message = format!("comments do not start with `{mark}`");
        let short: String = words.chars().take(60).collect();
        self.report("comment-form", token.start..token.start + said.len(), message, format!("write `//{short}`"));
        self.out.push(Token { kind: TokenKind::Space, start: token.start, end });
    }

    fn word(&mut self, token: Token, piece: &str) {
        let next = self.glued(token);
        match next.map(|next| next.kind) {
            Some(TokenKind::OpenText)
                if next.is_some_and(|next| self.text_of(next).starts_with('"')) && self.below_open() =>
            {
                // The string of the line above ends here; that it is not closed there is reported.
                let end = token.end + 1;
                self.again(end);
                self.out.push(Token { kind: TokenKind::Space, end, ..token });
                while let Some(at) = self.out.iter().rposition(|token| token.kind == TokenKind::Newline) {
                    let Some(TokenKind::OpenText) = self.out.get(at.wrapping_sub(1)).map(|token| token.kind) else {
                        break;
                    };
                    self.out[at].kind = TokenKind::Space;
                }
            }
            Some(TokenKind::OpenText) if next.is_some_and(|next| self.text_of(next).starts_with('"')) => {
                let end = token.end + 1;
                let hint = format!("write `\"{piece}\"`");
                self.report("unclosed-string", token.start..end, format!("`{piece}\"` has no opening quote"), hint);
                self.again(end);
                self.out.push(Token { end, ..token });
            }
            Some(TokenKind::Text) if matches!(piece, "f" | "r" | "b" | "u") => {
                let end = self.todo.pop().map_or(token.end, |next| next.end);
                let message = format!("strings have no `{piece}` prefix");
                self.report(
                    "syntax",
                    token.start..end,
                    message,
                    format!("remove the `{piece}`; text is not interpolated"),
                );
                self.out.push(Token { kind: TokenKind::Text, end, ..token });
            }
            Some(TokenKind::Open) if piece == "$" => {
                let inner: Vec<Token> = self.ahead().take(3).collect();
                if let [_, name, close] = inner[..]
                    && name.kind == TokenKind::Word
                    && close.kind == TokenKind::Close
                {
                    let name = self.text_of(name);
                    let message = "a parameter's name has no braces".to_owned();
                    self.report("dollar-in-text", token.start..close.end, message, format!("write `${name}`"));
                    self.todo.truncate(self.todo.len() - 3);
                    self.out.push(Token { end: close.end, ..token });
                } else {
                    self.out.push(token);
                }
            }
            Some(TokenKind::Backslash) => {
                let mut end = token.end;
                while let Some(next) = self.todo.last().copied()
                    && next.start == end
                    && matches!(next.kind, TokenKind::Word | TokenKind::Backslash)
                {
                    end = next.end;
                    self.todo.pop();
                }
                self.out.push(Token { end, ..token });
            }
            Some(TokenKind::OpenComment) => {
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

    /// Whether the line above ends in an unclosed string, and this line has one word so far.
    fn below_open(&self) -> bool {
        let mut before = self.out.iter().rev().filter(|token| token.kind != TokenKind::Space);
        before.next().is_some_and(|token| token.kind == TokenKind::Newline)
            && before.next().is_some_and(|token| token.kind == TokenKind::OpenText)
    }

    /// Skips the lines of an unclosed multi-line string, up to a brace or an empty line.
    fn prose(&mut self) {
        while self.todo.last().is_some_and(|next| next.kind == TokenKind::Newline) {
            let line: Vec<Token> = self.ahead().skip(1).take_while(|token| token.kind != TokenKind::Newline).collect();
            let braces = line.iter().any(|token| matches!(token.kind, TokenKind::Open | TokenKind::Close));
            if braces || line.iter().all(|token| token.kind == TokenKind::Space) || line.len() + 1 >= AHEAD {
                break;
            }
            let newline = self.todo.pop();
            self.out.extend(newline);
            self.todo.truncate(self.todo.len() - line.len());
        }
    }

    /// Scans the next token, which extends to the end of its line, again from `from` on.
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

    /// A string in quotes that KDL does not have; reported when it is read.
    fn quote(&mut self, token: Token, piece: &str) {
        let closes = |text: &str| text.ends_with(is_quote);
        let mut end = (piece.chars().count() > 1 && closes(piece)).then_some(token.end);
        if end.is_none() {
            let line = self.ahead().take_while(|token| token.kind != TokenKind::Newline);
            end = line
                .filter(|token| token.kind == TokenKind::Word)
                .find(|&token| closes(self.text_of(token)))
                .map(|token| token.end);
        }
        let Some(end) = end else { return self.out.push(token) };
        while self.todo.last().is_some_and(|next| next.start < end) {
            self.todo.pop();
        }
        self.out.push(Token { kind: TokenKind::SingleQuoted, end, ..token });
    }

    /// A word that contains full-width braces or similar characters.
    fn wide(&mut self, token: Token, piece: &str) {
        let mut start = token.start;
        for (at, c) in piece.char_indices().filter(|&(_, c)| is_wide_mark(c)) {
            let place = token.start + at;
            if place > start {
                self.out.push(Token { start, end: place, ..token });
            }
            let (kind, meant) = match c {
                '｛' => (TokenKind::Open, '{'),
                '｝' => (TokenKind::Close, '}'),
                '；' => (TokenKind::Semicolon, ';'),
                _ => (TokenKind::Equals, '='),
            };
            start = place + c.len_utf8();
            self.report(
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
            Some(TokenKind::OpenText) if next.is_some_and(|next| self.text_of(next).starts_with('"')) => {
                let end = token.end + 1;
                let message = "unexpected quote".to_owned();
                self.report("unclosed-string", token.end..end, message, "remove it".to_owned());
                self.again(end);
                self.out.push(token);
                self.out.push(Token { kind: TokenKind::Space, start: token.end, end });
            }
            Some(TokenKind::Word) => {
                let ahead: Vec<Token> = self.ahead().take(2).collect();
                if let [word, last] = ahead[..]
                    && last.kind == TokenKind::Text
                    && last.start == word.end
                {
                    let inner = self.text_of(word);
                    let message = format!("`{inner}` is quoted inside a string");
                    self.report("syntax", word.start..word.end, message, format!("write `\\\"{inner}\\\"`"));
                    self.todo.truncate(self.todo.len() - 2);
                    self.out.push(Token { end: last.end, ..token });
                } else {
                    self.out.push(token);
                }
            }
            _ => self.out.push(token),
        }
    }

    /// `[ from fundus; size 64 ]`: brackets instead of braces.
    fn bracket(&mut self, token: Token) {
        let line = self.ahead().take_while(|token| token.kind != TokenKind::Newline);
        let line: Vec<Token> = line.take_while(|token| token.kind != TokenKind::OpenBracket).collect();
        let close = line.iter().position(|token| token.kind == TokenKind::CloseBracket);
        let Some(close) = close.filter(|&close| line[..close].iter().any(|token| token.kind == TokenKind::Semicolon))
        else {
            return self.out.push(token);
        };
        let close = line[close];
        let inner = self.text[token.end..close.start].trim();
        let hint = format!("write `{{ {inner} }}`");
        self.report("list-form", token.start..close.end, "a block uses braces, not brackets".to_owned(), hint);
        self.squares.push(close.start);
        self.out.push(Token { kind: TokenKind::Open, ..token });
    }
}

/// Whether it is a quote that KDL does not have, or a backtick.
pub(super) fn is_quote(c: char) -> bool {
    "“”„‟‘’‚‛«»‹›`".contains(c)
}

fn is_wide_mark(c: char) -> bool {
    "｛｝；＝".contains(c)
}
