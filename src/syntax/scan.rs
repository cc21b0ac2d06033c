//! The lossless scan: a text as tokens whose lengths add up to it. Knows no grammar beyond what a token is.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// White space, comments, and a backslash with the line end after it.
    Space,
    /// A block comment that never ends; it is taken to end with its line.
    OpenComment,
    /// A line end.
    Newline,
    /// An unquoted string or a number, right or wrong.
    Word,
    /// `#true` and its kin, right or wrong.
    Keyword,
    /// A quoted string of any kind.
    Text,
    /// A quoted string that never ends; it is taken to end with its line.
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
    /// A backslash that is not at a line's end.
    Backslash,
}

/// A token: its kind and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Strings and comments without an end after which none that is longer than its line is looked for.
const MOST_OPEN: usize = 100;

/// The tokens of `text`, in order and without gaps.
#[must_use]
pub fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    // Each search for an end that is not there reads the rest of the text.
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
        open += usize::from(matches!(kind, Kind::OpenComment | Kind::OpenText));
        tokens.push(Token { kind, start, end: start + length });
        start += length;
    }
    tokens
}

/// Kind and length of the token that `rest` begins with; `rest` is not empty, the length is not 0.
fn token(rest: &str) -> (Kind, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    let single = |kind| (kind, first.len_utf8());
    match first {
        '{' => single(Kind::Open),
        '}' => single(Kind::Close),
        '(' => single(Kind::OpenParen),
        ')' => single(Kind::CloseParen),
        '[' => single(Kind::OpenBracket),
        ']' => single(Kind::CloseBracket),
        '=' => single(Kind::Equals),
        ';' => single(Kind::Semicolon),
        '"' => quoted(rest),
        '#' => hash(rest),
        '\'' => single_quoted(rest),
        '\\' => backslash(rest),
        _ if rest.starts_with("//") => (Kind::Space, line_length(rest)),
        _ if rest.starts_with("/*") => block_comment(rest),
        _ if rest.starts_with("/-") => (Kind::SlashDash, 2),
        _ if is_newline(first) => (Kind::Newline, newline_length(rest)),
        _ if is_space(first) => (Kind::Space, rest.find(|c| !is_space(c)).unwrap_or(rest.len())),
        _ => (Kind::Word, word_length(rest)),
    }
}

/// KDL's line ends.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

fn is_space(c: char) -> bool {
    !is_newline(c) && (c.is_whitespace() || c == '\u{feff}')
}

fn newline_length(rest: &str) -> usize {
    if rest.starts_with("\r\n") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) }
}

/// Bytes up to the line's end.
fn line_length(rest: &str) -> usize {
    rest.find(is_newline).unwrap_or(rest.len())
}

fn block_comment(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return (Kind::Space, at);
        }
    }
    (Kind::OpenComment, line_length(rest))
}

fn backslash(rest: &str) -> (Kind, usize) {
    let mut at = 1;
    loop {
        let after = &rest[at..];
        match after.chars().next() {
            None => return (Kind::Space, at),
            Some(c) if is_newline(c) => return (Kind::Space, at + newline_length(after)),
            Some(c) if is_space(c) => at += c.len_utf8(),
            Some(_) if after.starts_with("//") => at += line_length(after),
            Some(_) if after.starts_with("/*") => match block_comment(after) {
                (Kind::Space, length) => at += length,
                _ => return (Kind::Backslash, 1),
            },
            Some(_) => return (Kind::Backslash, 1),
        }
    }
}

fn quoted(rest: &str) -> (Kind, usize) {
    if rest.starts_with("\"\"\"") {
        return match close(rest, 3, "\"\"\"", true) {
            Some(length) => (Kind::Text, length),
            None => (Kind::OpenText, line_length(rest)),
        };
    }
    let line = quoted_line(rest);
    match close(&rest[..line], 1, "\"", true) {
        Some(length) => (Kind::Text, length),
        None => (Kind::OpenText, line_length(rest)),
    }
}

/// Bytes of `rest` that a one-line string may lie in: the line, or more where a backslash swallows its end.
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

/// Length up to and with the first `end` that no backslash escapes.
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

fn hash(rest: &str) -> (Kind, usize) {
    let hashes = rest.bytes().take_while(|&byte| byte == b'#').count();
    let after = &rest[hashes..];
    if after.starts_with('"') {
        let quotes = if after.starts_with("\"\"\"") { "\"\"\"" } else { "\"" };
        let end = format!("{quotes}{}", "#".repeat(hashes));
        let within = if quotes.len() == 1 { line_length(rest) } else { rest.len() };
        return match close(&rest[..within], hashes + quotes.len(), &end, false) {
            Some(length) => (Kind::Text, length),
            None => (Kind::OpenText, line_length(rest)),
        };
    }
    (Kind::Keyword, hashes + if after.is_empty() { 0 } else { word_length_from_zero(after) })
}

fn single_quoted(rest: &str) -> (Kind, usize) {
    match rest[1..line_length(rest)].find('\'') {
        Some(at) => (Kind::SingleQuoted, at + 2),
        None => (Kind::Word, word_length(rest)),
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

    fn kinds(text: &str) -> Vec<Kind> {
        scan(text).into_iter().map(|token| token.kind).filter(|&kind| kind != Kind::Space).collect()
    }

    #[test]
    fn a_word_ends_before_a_comment_but_an_address_does_not() {
        assert_eq!(scan("a//b")[0].end, 1);
        assert_eq!(scan("http://b c")[0].end, 8);
    }

    #[test]
    fn strings_of_all_kinds_are_one_token() {
        for text in [r#""a\"b""#, "\"\"\"\n a\n \"\"\"", r##"#"a"b"#"##, "##\"\"\"\n\"#\n\"\"\"##", "\"a\\\n   b\""] {
            assert_eq!(kinds(text), [Kind::Text], "{text}");
        }
    }

    #[test]
    fn what_never_ends_ends_with_its_line() {
        assert_eq!(kinds("\"a\nb"), [Kind::OpenText, Kind::Newline, Kind::Word]);
        assert_eq!(kinds("/* a\nb"), [Kind::OpenComment, Kind::Newline, Kind::Word]);
    }
}
