//! Context of a position in a text that is being written: the enclosing blocks, the statement so far, the current word.
//! Works on the tokens before the position, so it needs no tree of the unfinished text.

use std::ops::Range;

use super::scan::{Token, TokenKind, scan};
use super::{LARGEST, braces};
use crate::base::FileId;

/// Context of a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The heads of the enclosing blocks, the outermost first.
    pub within: Vec<Head>,
    /// The statement so far, without the current word; empty if the word starts one.
    pub statement: Head,
    /// What is allowed at the position.
    pub spot: Spot,
    /// The bytes of the current word, with its quotes; empty if there is none.
    pub word: Range<usize>,
    /// The word up to the position, without a quote.
    pub typed: String,
    /// Whether the word starts with a quote.
    pub quoted: bool,
}

/// A statement up to some position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Start of the name.
    pub start: usize,
    /// Its arguments, and its properties with their keys.
    pub entries: Vec<(Option<String>, String)>,
}

impl Head {
    /// Its first argument.
    #[must_use]
    pub fn argument(&self) -> Option<&str> {
        self.entries.iter().find(|(key, _)| key.is_none()).map(|(_, value)| value.as_str())
    }
}

/// What is allowed at a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spot {
    /// A statement's name.
    #[default]
    Name,
    /// An argument, by its index, or a property's key.
    Argument(usize),
    /// The value of the property with that key.
    Value(String),
    /// Nothing: it is in a comment.
    Comment,
}

/// The context of byte `at` of a text.
#[must_use]
pub fn cursor(text: &str, at: usize) -> Cursor {
    let at = text.floor_char_boundary(at.min(text.len()));
    if text.len() > LARGEST {
        return Cursor { word: at..at, spot: Spot::Comment, ..Cursor::default() };
    }
    let mut tokens = scan(text);
    // Missing braces are inserted by indentation, so that an unclosed block above does not swallow this position.
    let _ = braces::braces(FileId(0), text, &mut tokens);
    let mut within: Vec<Head> = Vec::new();
    let mut statement: Option<Head> = None;
    let mut key: Option<String> = None;
    let mut word = None;
    for (i, &token) in tokens.iter().enumerate() {
        if token.start >= at {
            break;
        }
        let holds =
            at < token.end || at == token.end && !matches!(token.kind, TokenKind::Text | TokenKind::SingleQuoted);
        let raw = &text[token.start..token.end];
        match token.kind {
            TokenKind::Space | TokenKind::OpenComment => {
                let line = raw.starts_with("//") && at == token.end;
                if (at < token.end || line) && raw.starts_with('/') {
                    return Cursor { within, spot: Spot::Comment, word: at..at, ..Cursor::default() };
                }
            }
            TokenKind::Newline | TokenKind::Semicolon => (statement, key) = (None, None),
            TokenKind::Open => {
                within.push(statement.take().unwrap_or_default());
                key = None;
            }
            TokenKind::Close => {
                within.pop();
                (statement, key) = (None, None);
            }
            TokenKind::Word | TokenKind::Keyword | TokenKind::Text | TokenKind::OpenText | TokenKind::SingleQuoted => {
                if holds {
                    word = Some(token);
                    break;
                }
                let value = raw.trim_matches(['"', '\'']).to_owned();
                let Some(head) = &mut statement else {
                    statement = Some(Head { name: value, start: token.start, entries: Vec::new() });
                    continue;
                };
                if let Some(key) = key.take() {
                    head.entries.push((Some(key), value));
                } else if equals_follows(&tokens[i + 1..], at) {
                    key = Some(value);
                } else {
                    head.entries.push((None, value));
                }
            }
            _ => {}
        }
    }
    let spot = match (&statement, key) {
        (None, _) => Spot::Name,
        (Some(_), Some(key)) => Spot::Value(key),
        (Some(head), None) => Spot::Argument(head.entries.iter().filter(|(key, _)| key.is_none()).count()),
    };
    let range = word.map_or(at..at, |token| token.start..token.end);
    let quoted =
        word.is_some_and(|token| matches!(token.kind, TokenKind::Text | TokenKind::OpenText | TokenKind::SingleQuoted));
    let typed = text[range.start..at].trim_start_matches(['"', '\'']).to_owned();
    Cursor { within, statement: statement.unwrap_or_default(), spot, word: range, typed, quoted }
}

/// Whether a `=` before byte `at` comes next.
fn equals_follows(rest: &[Token], at: usize) -> bool {
    rest.iter()
        .find(|token| token.kind != TokenKind::Space)
        .is_some_and(|token| token.kind == TokenKind::Equals && token.start < at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Cursor {
        let at = text.find('|').expect("a mark");
        cursor(&text.replacen('|', "", 1), at)
    }

    fn names(cursor: &Cursor) -> Vec<&str> {
        cursor.within.iter().map(|head| head.name.as_str()).collect()
    }

    #[test]
    fn a_place_knows_its_blocks_its_statement_and_its_word() {
        let found = at("pipeline p seed=1 {\n    train t { data folds.tr|ain; epochs 5 }\n}");
        assert_eq!(names(&found), ["pipeline", "train"]);
        assert_eq!(found.within[1].argument(), Some("t"));
        assert_eq!((found.statement.name.as_str(), &found.spot), ("data", &Spot::Argument(0)));
        assert_eq!(found.typed, "folds.tr");
        assert_eq!(found.word.len(), "folds.train".len());
    }

    #[test]
    fn what_may_stand_follows_from_what_stands_before() {
        assert_eq!(at("a { |").spot, Spot::Name);
        assert_eq!(at("a { b; c|").spot, Spot::Name);
        assert_eq!(at("a b |").spot, Spot::Argument(1));
        assert_eq!(at("a b=1 |").spot, Spot::Argument(0));
        assert_eq!(at("a b=|").spot, Spot::Value("b".to_owned()));
        assert_eq!(at("a b=x|y c").spot, Spot::Value("b".to_owned()));
        assert_eq!(at("a // b|").spot, Spot::Comment);
        assert_eq!(at("a /* b| */ c").spot, Spot::Comment);
        assert_eq!(at("use \"ne|t.kdl\"").typed, "ne");
        assert_eq!(at("use \"ne|").typed, "ne");
    }

    #[test]
    fn an_open_block_above_does_not_swallow_what_follows() {
        let found = at("p q {\n    a b {\n        c 1\n    d e { f| }\n}\n");
        assert_eq!(names(&found), ["p", "d"]);
    }
}
