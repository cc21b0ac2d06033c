//! Fast check for unambiguous KDL 2: ordinary names, numbers and strings, separated by spaces. It finds no mistakes: what it does
//! not recognise may be valid too, and is left to the validator.

use super::scan::{Token, TokenKind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before a node.
    Begin,
    /// After a `/-` that hides a node.
    Hidden,
    /// After a name or a value.
    Ended,
    /// After a word that can be the key of a property.
    Key,
    /// After the white space that follows a name or a value.
    Spaced,
    /// After a `/-` that hides an entry.
    HiddenEntry,
    /// After a `=`.
    Equals,
    /// After a `}`.
    Closed,
}

/// Whether the tokens of whole nodes are unambiguous KDL.
pub(super) fn is_plain(text: &str, tokens: &[Token]) -> bool {
    use Position::{Begin, Closed, Ended, Equals, Hidden, HiddenEntry, Key, Spaced};
    let (mut position, mut depth) = (Begin, 0usize);
    for token in tokens {
        let piece = &text[token.start..token.end];
        position = match (position, token.kind) {
            (Begin | Spaced | Closed | Hidden, TokenKind::Space) if is_plain_space(piece) => position,
            (Ended | Key, TokenKind::Space) if is_plain_space(piece) => Spaced,
            (Begin | Ended | Key | Spaced | Closed, TokenKind::Newline) if matches!(piece, "\n" | "\r\n" | ";") => {
                Begin
            }
            (Ended | Key | Spaced | Closed, TokenKind::Semicolon) => Begin,
            (Begin | Hidden | Equals, TokenKind::Word | TokenKind::Text) if is_name(piece) => Ended,
            (Begin, TokenKind::SlashDash) => Hidden,
            (Begin | Ended | Key | Spaced | Closed, TokenKind::Close) if depth > 0 && !piece.is_empty() => {
                depth -= 1;
                Closed
            }
            (Spaced, TokenKind::Open) => {
                depth += 1;
                Begin
            }
            (Spaced | HiddenEntry, TokenKind::Word | TokenKind::Text) if is_name(piece) => Key,
            (Spaced | HiddenEntry | Equals, TokenKind::Word | TokenKind::Keyword) if is_value(piece) => Ended,
            (Key, TokenKind::Equals) => Equals,
            (Spaced, TokenKind::SlashDash) => HiddenEntry,
            _ => return false,
        };
    }
    depth == 0 && matches!(position, Begin | Ended | Key | Spaced | Closed)
}

/// Whether it is spaces, tabs, or a comment.
pub(super) fn is_plain_space(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t')) || text.starts_with("//") || text.starts_with("/*")
}

/// Whether it is an unquoted word that is neither a number nor a keyword, or a one-line string without rare characters.
fn is_name(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('"') {
        return !text.starts_with("\"\"\"") && is_string(inner);
    }
    text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
        && text.chars().all(|c| c.is_alphanumeric() || "_-.$:".contains(c))
        && !matches!(text, "true" | "false" | "null" | "inf" | "nan")
}

/// Whether `inner` is the rest of a string after its opening quote, including the closing one.
fn is_string(inner: &str) -> bool {
    let mut escaped = false;
    let mut closed = false;
    for c in inner.chars() {
        if closed {
            return false;
        }
        if escaped {
            if !"nrt\\\"bfs".contains(c) {
                return false;
            }
            escaped = false;
        } else {
            match c {
                '\\' => escaped = true,
                '"' => closed = true,
                ' '..='~' => {}
                _ if c.is_alphanumeric() => {}
                _ => return false,
            }
        }
    }
    closed
}

/// Whether it is a decimal number or a keyword.
fn is_value(text: &str) -> bool {
    if matches!(text, "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan") {
        return true;
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let plain = |digits: &str| (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain(whole) && plain(fraction) && plain(exponent)
}
