//! Escapes foreign text (names of files and tensors, source lines, output of commands and servers) for display:
//! characters that control a terminal, change the reading direction or break a line become escapes such as `\u001b`.
//! These are JSON escapes, so escaped JSON stays valid and equal.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is invisible but affects the display: C0 and C1 controls, direction marks, line and paragraph
/// separators, byte order marks, annotations and tags.
#[must_use]
pub fn acts(c: char) -> bool {
    c.is_control()
        || turns(c)
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a character changes the reading direction: the marks, embeddings, overrides and isolates of Unicode's
/// bidirectional algorithm (UAX 9).
#[must_use]
pub fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text escaped for one line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// Text escaped for several lines: keeps line feeds and tabs.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !matches!(c, '\n' | '\t') && acts(c))
}

/// A character's escape: `\n`, `\t`, `\r`, `\u001b`.
#[must_use]
pub fn escape(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        _ => c.encode_utf16(&mut [0; 2]).iter().fold(String::new(), |mut text, unit| {
            let _ = write!(text, "\\u{unit:04x}");
            text
        }),
    }
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hides(c) { shown.push_str(&escape(c)) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_as_an_escape() {
        let odd = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}txt\u{2066}\u{feff}\u{e0041}\r\n\tb\u{2028}";
        let shown = r"a\u001b[2J\u009b31m\u007f\u202etxt\u2066\ufeff\udb40\udc41\r";
        assert_eq!(line(odd), format!(r"{shown}\n\tb\u2028"));
        assert_eq!(lines(odd), format!("{shown}\n\tb\\u2028"));
    }

    #[test]
    fn what_is_seen_stays_and_json_stays_the_same() {
        let plain = "IDRiD_01 é 網膜 👩\u{200d}⚕ `x`";
        assert!(matches!(line(plain), Cow::Borrowed(text) if text == plain));
        let value = serde_json::json!({"name": "a\u{9b}\u{202e}\u{e0041}\n\u{1b}"});
        let text = format!("{value:#}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&lines(&text)).expect("JSON"), value);
        assert!(!lines(&text).contains(|c: char| c != '\n' && acts(c)));
    }
}
