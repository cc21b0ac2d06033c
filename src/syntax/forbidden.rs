//! Characters that KDL 2 forbids anywhere in a file, including comments and strings. Most are invisible, and some make a text look
//! different from what it is.

use crate::base::{FileId, Span, shown};
use crate::diag::Diag;

/// Characters of one file that are reported.
const MOST: usize = 20;

/// Reports every forbidden character, by its name and position.
pub(super) fn forbidden(file: FileId, text: &str) -> Vec<Diag> {
    let found = text.char_indices().filter(|&(at, c)| is_forbidden(at, c)).take(MOST);
    let reported = found.map(|(at, c)| {
        let message = format!("{} (U+{:04X}) is not allowed in KDL", name(c), u32::from(c));
        let place = Span::new(file, at..at + c.len_utf8());
        let hint = format!("remove it, or write `\\u{{{:x}}}` in a string", u32::from(c));
        Diag::error("forbidden-character", place, message).hint(hint)
    });
    reported.collect()
}

/// Whether it is a disallowed literal code point of KDL 2; a byte order mark is allowed at the start. UTF-8 has no surrogates.
fn is_forbidden(at: usize, c: char) -> bool {
    match c {
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}' => true,
        '\u{feff}' => at > 0,
        // KDL allows the Arabic letter mark.
        _ => shown::turns(c) && c != '\u{61c}',
    }
}

/// Its Unicode name; for controls the ASCII name.
fn name(c: char) -> &'static str {
    const CONTROLS: [&str; 32] = [
        "null",
        "start of heading",
        "start of text",
        "end of text",
        "end of transmission",
        "enquiry",
        "acknowledge",
        "bell",
        "backspace",
        "tab",
        "line feed",
        "line tabulation",
        "form feed",
        "carriage return",
        "shift out",
        "shift in",
        "data link escape",
        "device control one",
        "device control two",
        "device control three",
        "device control four",
        "negative acknowledge",
        "synchronous idle",
        "end of transmission block",
        "cancel",
        "end of medium",
        "substitute",
        "escape",
        "information separator four",
        "information separator three",
        "information separator two",
        "information separator one",
    ];
    match c {
        '\u{7f}' => "delete",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "pop directional formatting",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "first strong isolate",
        '\u{2069}' => "pop directional isolate",
        '\u{feff}' => "byte order mark",
        _ => CONTROLS.get(c as usize).copied().unwrap_or("character"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse;

    #[test]
    fn what_kdl_forbids_is_refused_wherever_it_stands() {
        for (c, name) in [
            ('\u{0}', "null (U+0000)"),
            ('\u{1b}', "escape (U+001B)"),
            ('\u{7f}', "delete (U+007F)"),
            ('\u{200e}', "left-to-right mark (U+200E)"),
            ('\u{202e}', "right-to-left override (U+202E)"),
            ('\u{2067}', "right-to-left isolate (U+2067)"),
            ('\u{feff}', "byte order mark (U+FEFF)"),
        ] {
            for text in
                ["a // b?c\n", "a /* ? */ b\n", "a \"b?\"\n", "a #\"?\"#\n", "a b?c\n", "a ? b\n", "a 1?\n", "a /- ?\n"]
            {
                let text = text.replace('?', &c.to_string());
                let (_, diags) = parse(FileId(0), &text);
                let codes: Vec<&str> = diags.iter().map(|diag| diag.code).collect();
                assert_eq!(codes, ["forbidden-character"], "{text:?}: {diags:#?}");
                assert!(diags[0].message.starts_with(name), "{}", diags[0].message);
                assert_eq!(text[diags[0].labels[0].span.range()].chars().next(), Some(c));
            }
        }
    }

    #[test]
    fn what_kdl_allows_stays() {
        for text in ["\u{feff}a b\n", "a \"\\u{202e}\"\n", "a // \u{61c} é\n", "a \"\u{80}\"\n", "a\u{c}b\n"] {
            assert!(forbidden(FileId(0), text).is_empty(), "{text:?}");
        }
    }
}
