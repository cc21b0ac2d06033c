//! A text as a list of marks: its tokens without white space, comments with their columns. Knows no nodes.

use crate::syntax::scan::{self, Kind, is_newline};

/// One mark of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark<'a> {
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
    /// The line end that a backslash takes back; comments between the two come before it.
    Continuation,
    /// A comment.
    Comment(Comment<'a>),
}

/// A comment as written, and the column that it begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comment<'a> {
    pub(super) text: &'a str,
    /// Characters before it in its line; tabs in white space reach to the next multiple of 4.
    pub(super) column: usize,
}

impl Comment<'_> {
    /// Whether it is one of `//`, which nothing can follow in its line.
    pub(super) fn ends_line(self) -> bool {
        self.text.starts_with("//")
    }

    /// Whether nothing may follow it in its line: where it can't, or where it is a block of several lines.
    pub(super) fn stands_alone(self) -> bool {
        self.ends_line() || self.text.contains(is_newline)
    }
}

/// The marks of `text`, in order.
pub(super) fn marks(text: &str) -> Vec<Mark<'_>> {
    let mut marks = Vec::new();
    let mut column = 0;
    for token in scan::scan(text) {
        let piece = &text[token.start..token.end];
        match token.kind {
            Kind::Space if piece.starts_with('\\') => {
                column += 1;
                // What stands between a backslash and its line end: white space and comments.
                let within = &piece[1..];
                for token in scan::scan(within) {
                    let piece = &within[token.start..token.end];
                    marks.extend(comment(piece, column).map(Mark::Comment));
                    column = advance(column, piece);
                }
                marks.push(Mark::Continuation);
                continue;
            }
            Kind::Space => marks.extend(comment(piece, column).map(Mark::Comment)),
            Kind::Newline => marks.push(Mark::Newline),
            Kind::Open => marks.push(Mark::Open),
            Kind::Close => marks.push(Mark::Close),
            Kind::Equals => marks.push(Mark::Equals),
            Kind::Semicolon => marks.push(Mark::Semicolon),
            Kind::SlashDash => marks.push(Mark::SlashDash),
            _ => marks.push(Mark::Value(piece)),
        }
        column = advance(column, piece);
    }
    marks
}

fn comment(piece: &str, column: usize) -> Option<Comment<'_>> {
    piece.starts_with('/').then_some(Comment { text: piece, column })
}

/// The column after `piece`, which begins at `column`.
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

/// The column after `text`, which begins at `column`, where every character is one column wide.
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
