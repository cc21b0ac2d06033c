//! Whether two texts have the same content: the safety net of the formatter. Knows nothing about layout.

use super::lexemes::{Lexeme, lexemes};
use crate::base::FileId;
use crate::syntax::scalar::Scalar;
use crate::syntax::scan::is_newline;
use crate::syntax::tree::{Document, Node, NodeEntry, read};

/// Whether `formatted` has the nodes of `document`, which was parsed from `text`, and all tokens and comments of `text` in order.
pub(super) fn same(text: &str, document: &Document, formatted: &str) -> bool {
    let again = read(FileId(0), formatted);
    let (before, after) = (Content::by(text), Content::by(formatted));
    again.diags.is_empty() && before == after && nodes(&document.nodes, &again.document.nodes)
}

/// The content of a text, whatever its layout.
#[derive(PartialEq)]
struct Content {
    /// Names, values, braces, `=` and `/-`.
    tokens: Vec<String>,
    /// The lines of comments, without surrounding white space.
    comments: Vec<Vec<String>>,
}

impl Content {
    fn by(text: &str) -> Self {
        let mut said = Self { tokens: Vec::new(), comments: Vec::new() };
        for lexeme in lexemes(text) {
            let token = match lexeme {
                Lexeme::Value(text) => &text.replace("\r\n", "\n"),
                Lexeme::Equals => "=",
                Lexeme::SlashDash => "/-",
                Lexeme::Open => "{",
                Lexeme::Close => "}",
                Lexeme::Semicolon | Lexeme::Newline | Lexeme::Continuation => continue,
                Lexeme::Comment(comment) => {
                    let text = comment.text.replace("\r\n", "\n");
                    said.comments.push(text.split(is_newline).map(|line| line.trim().to_owned()).collect());
                    continue;
                }
            };
            said.tokens.push(token.to_owned());
        }
        said
    }
}

/// Whether nodes are equal except for their spans.
fn nodes(some: &[Node], others: &[Node]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| node(one, other))
}

fn node(one: &Node, other: &Node) -> bool {
    one.name.text == other.name.text
        && one.entries.len() == other.entries.len()
        && one.entries.iter().zip(&other.entries).all(|(one, other)| entry(one, other))
        && one.children.is_some() == other.children.is_some()
        && nodes(one.nodes(), other.nodes())
}

fn entry(one: &NodeEntry, other: &NodeEntry) -> bool {
    let key = |entry: &NodeEntry| entry.key.as_ref().map(|key| key.text.clone());
    let value = match (&one.value, &other.value) {
        (Scalar::Real(one), Scalar::Real(other)) => one.to_bits() == other.to_bits(),
        (one, other) => one == other,
    };
    key(one) == key(other) && value && one.quoted == other.quoted
}
