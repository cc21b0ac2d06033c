//! A text as a list of lexemes: its tokens without white space, comments with their columns. Knows no nodes.

use crate::syntax::scan::{self, TokenKind, is_newline};

/// One lexeme of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lexeme<'a> {
    /// A word, a keyword or a string, as written.
    Value(&'a str),
    /// `=`
    Equals,
    /// `;`
    Semicolon,
    /// `/-`
    SlashDash,
    /// `{`
    Open,
    /// `}`
    Close,
    /// A line end.
    Newline,
    /// A line end escaped by a backslash; comments between the two come before it.
    Continuation,
    /// A comment.
    Comment(Comment<'a>),
}

/// A comment as written, and its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comment<'a> {
    pub(super) text: &'a str,
    /// Characters before it in its line; tabs in white space reach to the next multiple of 4.
    pub(super) column: usize,
}

impl Comment<'_> {
    /// Whether it is a `//` comment, after which nothing can follow on its line.
    pub(super) fn ends_line(self) -> bool {
        self.text.starts_with("//")
    }

    /// Whether nothing may follow it on its line, because it is a `//` comment or has several lines.
    pub(super) fn stands_alone(self) -> bool {
        self.ends_line() || self.text.contains(is_newline)
    }
}

/// The lexemes of `text`, in order.
pub(super) fn lexemes(text: &str) -> Vec<Lexeme<'_>> {
    let mut lexemes = Vec::new();
    let mut column = 0;
    for token in scan::scan(text) {
        let piece = &text[token.start..token.end];
        match token.kind {
            TokenKind::Space if piece.starts_with('\\') => {
                column += 1;
                // Between a backslash and its line end: white space and comments.
                let within = &piece[1..];
                for token in scan::scan(within) {
                    let piece = &within[token.start..token.end];
                    lexemes.extend(comment(piece, column).map(Lexeme::Comment));
                    column = advance(column, piece);
                }
                lexemes.push(Lexeme::Continuation);
                continue;
            }
            TokenKind::Space => lexemes.extend(comment(piece, column).map(Lexeme::Comment)),
            TokenKind::Newline => lexemes.push(Lexeme::Newline),
            TokenKind::Open => lexemes.push(Lexeme::Open),
            TokenKind::Close => lexemes.push(Lexeme::Close),
            TokenKind::Equals => lexemes.push(Lexeme::Equals),
            TokenKind::Semicolon => lexemes.push(Lexeme::Semicolon),
            TokenKind::SlashDash => lexemes.push(Lexeme::SlashDash),
            _ => lexemes.push(Lexeme::Value(piece)),
        }
        column = advance(column, piece);
    }
    lexemes
}

fn comment(piece: &str, column: usize) -> Option<Comment<'_>> {
    piece.starts_with('/').then_some(Comment { text: piece, column })
}

/// The column after `piece`, which starts at `column`.
fn advance(column: usize, piece: &str) -> usize {
    if piece.starts_with(|c: char| c.is_whitespace() && !is_newline(c) || c == '\u{feff}') {
        return piece.chars().fold(column, |column, c| match c {
            '\t' => next_stop(column),
            '\u{feff}' => column,
            _ => column + 1,
        });
    }
    after(column, piece)
}

/// The column after `text`, which starts at `column`; every character counts as one column.
pub(super) fn after(column: usize, text: &str) -> usize {
    match text.rfind(is_newline) {
        Some(at) => text[at..].chars().count() - 1,
        None => column + text.chars().count(),
    }
}

/// The column that a tab at `column` reaches to.
pub(super) const fn next_stop(column: usize) -> usize {
    column / 4 * 4 + 4
}
