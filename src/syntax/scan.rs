//! Lossless scanner: a text as tokens whose lengths add up to it. Knows no grammar beyond tokens.

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// White space, comments, and a backslash with the line end after it.
    Space,
    /// An unclosed block comment; it ends with its line.
    OpenComment,
    /// A line end.
    Newline,
    /// An unquoted string or a number, valid or not.
    Word,
    /// `#true` and similar keywords, valid or not.
    Keyword,
    /// A quoted string of any kind.
    Text,
    /// An unclosed quoted string; it ends with its line.
    OpenText,
    /// A string in single quotes, which KDL does not have.
    SingleQuoted,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `=`
    Equals,
    /// `;`
    Semicolon,
    /// `/-`, which comments out what follows.
    SlashDash,
    /// A backslash that is not at the end of a line.
    Backslash,
}

/// A token: its kind and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its kind.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Unclosed strings and comments from which on only one-line ones are recognised.
const MOST_OPEN: usize = 100;

/// The tokens of `text`, in order and without gaps.
#[must_use]
pub fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    // Each search for a missing end reads the rest of the text.
    let (mut open, mut line_end) = (0, 0);
    while start < text.len() {
        let mut rest = &text[start..];
        if open > MOST_OPEN {
            if start >= line_end {
                line_end = start + line_length(rest);
            }
            if line_end > start {
                rest = &text[start..line_end];
            }
        }
        let (kind, length) = token(rest);
        open += usize::from(matches!(kind, TokenKind::OpenComment | TokenKind::OpenText));
        tokens.push(Token { kind, start, end: start + length });
        start += length;
    }
    tokens
}

/// Kind and length of the first token of `rest`; `rest` is not empty, the length is not 0.
fn token(rest: &str) -> (TokenKind, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    let single = |kind| (kind, first.len_utf8());
    match first {
        '{' => single(TokenKind::Open),
        '}' => single(TokenKind::Close),
        '(' => single(TokenKind::OpenParen),
        ')' => single(TokenKind::CloseParen),
        '[' => single(TokenKind::OpenBracket),
        ']' => single(TokenKind::CloseBracket),
        '=' => single(TokenKind::Equals),
        ';' => single(TokenKind::Semicolon),
        '"' => quoted(rest),
        '#' => hash(rest),
        '\'' => single_quoted(rest),
        '\\' => backslash(rest),
        _ if rest.starts_with("//") => (TokenKind::Space, line_length(rest)),
        _ if rest.starts_with("/*") => block_comment(rest),
        _ if rest.starts_with("/-") => (TokenKind::SlashDash, 2),
        _ if is_newline(first) => (TokenKind::Newline, newline_length(rest)),
        _ if is_space(first) => (TokenKind::Space, rest.find(|c| !is_space(c)).unwrap_or(rest.len())),
        _ => (TokenKind::Word, word_length(rest)),
    }
}

/// Whether it is a line end of KDL.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

fn is_space(c: char) -> bool {
    !is_newline(c) && (c.is_whitespace() || c == '\u{feff}')
}

fn newline_length(rest: &str) -> usize {
    if rest.starts_with("\r\n") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) }
}

/// Bytes up to the end of the line.
fn line_length(rest: &str) -> usize {
    rest.find(is_newline).unwrap_or(rest.len())
}

fn block_comment(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return (TokenKind::Space, at);
        }
    }
    (TokenKind::OpenComment, line_length(rest))
}

fn backslash(rest: &str) -> (TokenKind, usize) {
    let mut at = 1;
    loop {
        let after = &rest[at..];
        match after.chars().next() {
            None => return (TokenKind::Space, at),
            Some(c) if is_newline(c) => return (TokenKind::Space, at + newline_length(after)),
            Some(c) if is_space(c) => at += c.len_utf8(),
            Some(_) if after.starts_with("//") => at += line_length(after),
            Some(_) if after.starts_with("/*") => match block_comment(after) {
                (TokenKind::Space, length) => at += length,
                _ => return (TokenKind::Backslash, 1),
            },
            Some(_) => return (TokenKind::Backslash, 1),
        }
    }
}

fn quoted(rest: &str) -> (TokenKind, usize) {
    if rest.starts_with("\"\"\"") {
        return match close(rest, 3, "\"\"\"", true) {
            Some(length) => (TokenKind::Text, length),
            None => (TokenKind::OpenText, line_length(rest)),
        };
    }
    let line = quoted_line(rest);
    match close(&rest[..line], 1, "\"", true) {
        Some(length) => (TokenKind::Text, length),
        None => (TokenKind::OpenText, line_length(rest)),
    }
}

/// Bytes of `rest` in which a one-line string may lie: the line, or more if a backslash escapes its end.
fn quoted_line(rest: &str) -> usize {
    let mut at = 1;
    loop {
        let Some(c) = rest[at..].chars().next() else { return at };
        if is_newline(c) {
            return at;
        }
        at += c.len_utf8();
        if c == '"' {
            return at;
        }
        if c == '\\' {
            let after = &rest[at..];
            let blank = after.find(|c: char| !c.is_whitespace()).unwrap_or(after.len());
            if after[..blank].chars().any(is_newline) || blank == after.len() {
                at += blank;
            } else {
                at += after.chars().next().map_or(0, char::len_utf8);
            }
        }
    }
}

/// Length up to and including the first `end` that is not escaped.
fn close(rest: &str, from: usize, end: &str, escapes: bool) -> Option<usize> {
    let mut at = from;
    while at < rest.len() {
        if rest[at..].starts_with(end) {
            return Some(at + end.len());
        }
        let mut chars = rest[at..].chars();
        let c = chars.next()?;
        at += c.len_utf8();
        if escapes && c == '\\' {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    None
}

fn hash(rest: &str) -> (TokenKind, usize) {
    let hashes = rest.bytes().take_while(|&byte| byte == b'#').count();
    let after = &rest[hashes..];
    if after.starts_with('"') {
        let quotes = if after.starts_with("\"\"\"") { "\"\"\"" } else { "\"" };
        let end = format!("{quotes}{}", "#".repeat(hashes));
        let within = if quotes.len() == 1 { line_length(rest) } else { rest.len() };
        return match close(&rest[..within], hashes + quotes.len(), &end, false) {
            Some(length) => (TokenKind::Text, length),
            None => (TokenKind::OpenText, line_length(rest)),
        };
    }
    (TokenKind::Keyword, hashes + if after.is_empty() { 0 } else { word_length_from_zero(after) })
}

fn single_quoted(rest: &str) -> (TokenKind, usize) {
    match rest[1..line_length(rest)].find('\'') {
        Some(at) => (TokenKind::SingleQuoted, at + 2),
        None => (TokenKind::Word, word_length(rest)),
    }
}

/// Length of a word, at least one character.
fn word_length(rest: &str) -> usize {
    word_length_from_zero(rest).max(rest.chars().next().map_or(1, char::len_utf8))
}

fn word_length_from_zero(rest: &str) -> usize {
    let mut before = ' ';
    for (at, c) in rest.char_indices() {
        let comment = rest[at..].starts_with("//") && before != ':' || rest[at..].starts_with("/*");
        if is_newline(c) || is_space(c) || "(){}[];=\"\\".contains(c) || comment {
            return at;
        }
        before = c;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        scan(text).into_iter().map(|token| token.kind).filter(|&kind| kind != TokenKind::Space).collect()
    }

    #[test]
    fn a_word_ends_before_a_comment_but_an_address_does_not() {
        assert_eq!(scan("a//b")[0].end, 1);
        assert_eq!(scan("http://b c")[0].end, 8);
    }

    #[test]
    fn strings_of_all_kinds_are_one_token() {
        for text in [r#""a\"b""#, "\"\"\"\n a\n \"\"\"", r##"#"a"b"#"##, "##\"\"\"\n\"#\n\"\"\"##", "\"a\\\n   b\""] {
            assert_eq!(kinds(text), [TokenKind::Text], "{text}");
        }
    }

    #[test]
    fn what_never_ends_ends_with_its_line() {
        assert_eq!(kinds("\"a\nb"), [TokenKind::OpenText, TokenKind::Newline, TokenKind::Word]);
        assert_eq!(kinds("/* a\nb"), [TokenKind::OpenComment, TokenKind::Newline, TokenKind::Word]);
    }
}
