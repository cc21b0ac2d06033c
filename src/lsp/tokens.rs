//! `textDocument/semanticTokens`: what each word of a text is, for highlighting. Complete, with comments, strings and numbers: some
//! editors have no other grammar for pipeline files.

use std::collections::BTreeMap;
use std::ops::Range;

use gen_lsp_types::{SemanticToken, SemanticTokens};

use super::legend::{DECLARATION, DEGREES, LIBRARY, PX, TokenType};
use super::view::View;
use crate::lang::index::{NameRole, NumberUnit, Symbol};
use crate::lang::keywords::KEYWORDS;
use crate::lang::param_type;
use crate::syntax::{Node, Token, TokenKind, begins_as_number, scan};

/// A token and its modifiers.
#[derive(Clone, Debug)]
struct TokenPiece {
    range: Range<usize>,
    what: TokenType,
    modifiers: u32,
}

/// Tokens of a text, or of the lines of a range of bytes.
pub(super) fn tokens(view: &View, within: Option<Range<usize>>) -> SemanticTokens {
    let text = view.document.text.as_str();
    let named = named(view);
    let mut pieces = Vec::new();
    let tokens = scan(text);
    let off = slashdashed(text, &tokens);
    for token in &tokens {
        let whole = token.start..token.end;
        if off.iter().any(|range| range.start <= whole.start && whole.end <= range.end) {
            if token.kind != TokenKind::Newline {
                pieces.push(TokenPiece { range: whole, what: TokenType::Comment, modifiers: 0 });
            }
            continue;
        }
        match token.kind {
            TokenKind::Space | TokenKind::OpenComment => {
                let comments = comments(&text[whole.clone()]).into_iter();
                pieces.extend(comments.map(|range| TokenPiece {
                    range: whole.start + range.start..whole.start + range.end,
                    what: TokenType::Comment,
                    modifiers: 0,
                }));
            }
            TokenKind::Keyword => pieces.push(TokenPiece { range: whole, what: TokenType::Keyword, modifiers: 0 }),
            TokenKind::Word | TokenKind::Text | TokenKind::OpenText | TokenKind::SingleQuoted => {
                word(text, token, &named, &mut pieces);
            }
            _ => {}
        }
    }
    if let Some(within) = within {
        pieces.retain(|piece| piece.range.start < within.end && piece.range.end > within.start);
    }
    SemanticTokens { result_id: None, data: relative(view, &pieces) }
}

/// The pieces of a word or of a string: the names in it, and what is between them.
fn word(text: &str, token: &Token, named: &BTreeMap<usize, TokenPiece>, pieces: &mut Vec<TokenPiece>) {
    let quoted = token.kind != TokenKind::Word;
    let mut at = token.start;
    let mut found = false;
    for piece in named.range(token.start..token.end).map(|(_, piece)| piece) {
        if piece.range.start < at || piece.range.end > token.end {
            continue;
        }
        if quoted && at < piece.range.start {
            pieces.push(TokenPiece { range: at..piece.range.start, what: TokenType::Text, modifiers: 0 });
        }
        at = piece.range.end;
        found = true;
        pieces.push(piece.clone());
    }
    if quoted {
        if at < token.end {
            pieces.push(TokenPiece { range: at..token.end, what: TokenType::Text, modifiers: 0 });
        }
    } else if !found && begins_as_number(&text[token.start..token.end]) {
        pieces.push(TokenPiece { range: token.start..token.end, what: TokenType::Number, modifiers: 0 });
    }
}

/// Names, words of the language and numbers with a unit, by their first byte.
fn named(view: &View) -> BTreeMap<usize, TokenPiece> {
    let file = view.file();
    let text = view.document.text.as_str();
    let mut all = BTreeMap::new();
    for (span, unit) in view.index.units(file) {
        let modifiers = match unit {
            NumberUnit::Px => PX,
            NumberUnit::Degrees => DEGREES,
        };
        all.insert(span.start, TokenPiece { range: span.range(), what: TokenType::Number, modifiers });
    }
    for node in &view.read.analysis.document().nodes {
        words(node, &mut all);
    }
    for one in view.read.occurrences(&view.index).iter().filter(|one| one.span.file == file) {
        let Some(what) = type_of(&one.symbol) else { continue };
        let mut modifiers = 0;
        if one.role == NameRole::Declares {
            modifiers |= DECLARATION;
        }
        let layer = matches!(one.symbol, Symbol::Layer(_) | Symbol::LayerParam(..));
        if layer || one.symbol.definition().is_some_and(|definition| definition.file.is_none()) {
            modifiers |= LIBRARY;
        }
        // The `$` belongs to the name.
        let start = one.span.start;
        let start = if text[..start].ends_with('$') { start - 1 } else { start };
        all.insert(start, TokenPiece { range: start..one.span.end, what, modifiers });
    }
    all
}

fn type_of(symbol: &Symbol) -> Option<TokenType> {
    Some(match symbol {
        Symbol::Pipeline(..) | Symbol::Alias(..) => TokenType::Namespace,
        Symbol::Stage(..) => TokenType::Stage,
        Symbol::StageType(_) => TokenType::StageType,
        Symbol::Port(..) | Symbol::Output(..) => TokenType::Port,
        Symbol::Param(..) | Symbol::LayerParam(..) => TokenType::Property,
        Symbol::Case(..) => TokenType::Case,
        Symbol::Value(..) | Symbol::NetworkParam(..) => TokenType::Parameter,
        Symbol::Network(_) => TokenType::Network,
        Symbol::Layer(_) | Symbol::Block(..) => TokenType::Layer,
        Symbol::Tap(..) => TokenType::Tap,
        // Strings in quotes.
        Symbol::Module(_) | Symbol::File(_) => return None,
    })
}

/// Words of the language, keys of properties, and names of types. Names found later replace them.
fn words(node: &Node, all: &mut BTreeMap<usize, TokenPiece>) {
    let mut put = |span: crate::base::Span, what: TokenType| {
        all.insert(span.start, TokenPiece { range: span.range(), what, modifiers: 0 });
    };
    let name = node.name.text.as_str();
    if KEYWORDS.iter().any(|keyword| keyword.word == name) || MORE.contains(&name) {
        put(node.name.span, TokenType::Keyword);
    }
    for (key, entry) in node.props() {
        put(key.span, TokenType::Property);
        let is_type = matches!(key.text.as_str(), "type" | "of") && matches!(name, "param" | "in" | "out");
        let known = |ty: &str| name != "param" || param_type::NAMES.contains(&ty);
        if is_type && !entry.quoted && entry.text().is_some_and(known) {
            put(entry.span, TokenType::Type);
        }
    }
    node.nodes().iter().for_each(|child| words(child, all));
}

/// Words of signatures and networks that are not in [`KEYWORDS`].
const MORE: [&str; 6] = ["case", "example", "counter-example", "metric", "tap", "join"];

/// Comments in a token of white space.
fn comments(space: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = space[at..].find('/').map(|slash| at + slash) {
        let rest = &space[start..];
        let length = if rest.starts_with("/*") {
            block(rest)
        } else {
            rest.find(['\n', '\r', '\u{85}', '\u{b}', '\u{c}', '\u{2028}', '\u{2029}']).unwrap_or(rest.len())
        };
        found.push(start..start + length);
        at = start + length.max(1);
    }
    found
}

/// Length of the block comment at the start of a text; they nest.
fn block(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// What each `/-` comments out, with it: a statement, an entry, or a pair of braces.
fn slashdashed(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // Whether the next token begins a statement.
    let mut begins = true;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::SlashDash if found.last().is_none_or(|last| last.end <= token.start) => {
                found.push(token.start..end_of(text, &tokens[at + 1..], begins).max(token.end));
            }
            TokenKind::Newline | TokenKind::Semicolon | TokenKind::Open | TokenKind::Close => begins = true,
            TokenKind::Space | TokenKind::OpenComment | TokenKind::SlashDash => {}
            _ => begins = false,
        }
    }
    found
}

/// Where that ends, after its `/-`.
fn end_of(text: &str, tokens: &[Token], statement: bool) -> usize {
    let mut depth = 0_usize;
    let mut end = tokens.first().map_or(text.len(), |token| token.start);
    let mut begun = false;
    for token in tokens {
        match token.kind {
            TokenKind::Space | TokenKind::OpenComment if !begun || depth == 0 && !statement => {
                if begun {
                    return end;
                }
                continue;
            }
            TokenKind::Newline if !begun => continue,
            TokenKind::Newline | TokenKind::Semicolon | TokenKind::Close if depth == 0 => return end,
            TokenKind::Open => depth += 1,
            TokenKind::Close => {
                depth -= 1;
                if depth == 0 {
                    return token.end;
                }
            }
            TokenKind::Space | TokenKind::OpenComment => continue,
            _ => {}
        }
        begun = true;
        end = token.end;
    }
    end
}

/// Tokens as the protocol writes them: relative to the one before, and each on one line.
fn relative(view: &View, pieces: &[TokenPiece]) -> Vec<SemanticToken> {
    let text = view.document.text.as_str();
    let mut all = Vec::new();
    let (mut line, mut column) = (0, 0);
    for piece in pieces {
        let mut start = piece.range.start;
        for part in text[piece.range.clone()].split_inclusive(['\n', '\r']) {
            let inner = part.trim_end_matches(['\n', '\r']);
            let begins = start
                + (inner.len() - inner.trim_start_matches([' ', '\t']).len()) * usize::from(start != piece.range.start);
            let range = view.document.range(begins..start + inner.len());
            start += part.len();
            let length = range.end.character.saturating_sub(range.start.character);
            if length == 0 {
                continue;
            }
            let delta_line = range.start.line - line;
            let delta_start = if delta_line == 0 { range.start.character - column } else { range.start.character };
            (line, column) = (range.start.line, range.start.character);
            all.push(SemanticToken {
                delta_line,
                delta_start,
                length,
                token_type: piece.what as u32,
                token_modifiers_bitset: piece.modifiers,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(text: &str) -> Vec<&str> {
        slashdashed(text, &scan(text)).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_slashdash_takes_a_statement_an_entry_or_braces() {
        assert_eq!(off("a 1 /-2 3\n"), ["/-2"]);
        assert_eq!(off("a /- key=\"v w\" b\n"), ["/- key=\"v w\""]);
        assert_eq!(off("/- a { b; c }\nd\n"), ["/- a { b; c }"]);
        assert_eq!(off("x { /-a 1 2; b }"), ["/-a 1 2"]);
        assert_eq!(off("a 1 /-{ b { c }; d }\n"), ["/-{ b { c }; d }"]);
        assert_eq!(off("/-\n  a 1\nb"), ["/-\n  a 1"]);
        assert_eq!(off("x { /- a }"), ["/- a"]);
    }

    #[test]
    fn comments_nest_and_end_with_their_line() {
        let found = |text: &'static str| comments(text).into_iter().map(|range| &text[range]).collect::<Vec<_>>();
        assert_eq!(found("  /* a /* b */ c */ // d"), ["/* a /* b */ c */", "// d"]);
        assert_eq!(found(" \\ // a\n  // b"), ["// a", "// b"]);
        assert_eq!(found("/* open"), ["/* open"]);
    }
}
