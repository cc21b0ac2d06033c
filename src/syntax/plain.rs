//! What is KDL 2 beyond doubt: ordinary names, numbers and strings with single meanings, one space or more between them. It knows
//! no mistakes: what is not plain may be right as well, and is for the judge.

use super::scan::{Kind, Token};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a node.
    Begin,
    /// Behind a `/-` that hides a node.
    Hidden,
    /// Behind a name or a value.
    Told,
    /// The same, where it can be the key of a property.
    Key,
    /// Behind the white space after a name or a value.
    Spaced,
    /// Behind a `/-` that hides an entry.
    HiddenEntry,
    /// Behind a `=`.
    Equals,
    /// Behind a `}`.
    Closed,
}

/// Whether whole nodes are KDL beyond doubt.
pub(super) fn is_plain(text: &str, tokens: &[Token]) -> bool {
    use State::{Begin, Closed, Equals, Hidden, HiddenEntry, Key, Spaced, Told};
    let (mut state, mut depth) = (Begin, 0usize);
    for token in tokens {
        let piece = &text[token.start..token.end];
        state = match (state, token.kind) {
            (Begin | Spaced | Closed | Hidden, Kind::Space) if is_plain_space(piece) => state,
            (Told | Key, Kind::Space) if is_plain_space(piece) => Spaced,
            (Begin | Told | Key | Spaced | Closed, Kind::Newline) if matches!(piece, "\n" | "\r\n" | ";") => Begin,
            (Told | Key | Spaced | Closed, Kind::Semicolon) => Begin,
            (Begin | Hidden | Equals, Kind::Word | Kind::Text) if is_name(piece) => Told,
            (Begin, Kind::SlashDash) => Hidden,
            (Begin | Told | Key | Spaced | Closed, Kind::Close) if depth > 0 && !piece.is_empty() => {
                depth -= 1;
                Closed
            }
            (Spaced, Kind::Open) => {
                depth += 1;
                Begin
            }
            (Spaced | HiddenEntry, Kind::Word | Kind::Text) if is_name(piece) => Key,
            (Spaced | HiddenEntry | Equals, Kind::Word | Kind::Keyword) if is_value(piece) => Told,
            (Key, Kind::Equals) => Equals,
            (Spaced, Kind::SlashDash) => HiddenEntry,
            _ => return false,
        };
    }
    depth == 0 && matches!(state, Begin | Told | Key | Spaced | Closed)
}

/// Blanks, tabs, or a comment.
pub(super) fn is_plain_space(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t')) || text.starts_with("//") || text.starts_with("/*")
}

/// An unquoted word that is no number and has no meaning of its own, or a string of one line without rare characters.
fn is_name(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('"') {
        return !text.starts_with("\"\"\"") && is_string(inner);
    }
    text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
        && text.chars().all(|c| c.is_alphanumeric() || "_-.$:".contains(c))
        && !matches!(text, "true" | "false" | "null" | "inf" | "nan")
}

/// What follows the opening quote of a string, with the closing one.
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

/// A decimal number, or one of the words with `#`.
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
