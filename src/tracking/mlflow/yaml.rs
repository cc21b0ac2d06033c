//! The little YAML of `MLflow`'s `meta.yaml`: lines of `key: value`. Values are written so that no text of a user can be anything else.

use std::fmt::Write as _;

/// Text as a double-quoted scalar: ASCII, whatever it contains.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            _ if c as u32 <= 0xffff => _ = write!(out, "\\u{:04x}", c as u32),
            _ => _ = write!(out, "\\U{:08x}", c as u32),
        }
    }
    out + "\""
}

/// Lines of a mapping.
pub(super) fn mapping(fields: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (key, value) in fields {
        let _ = writeln!(text, "{key}: {value}");
    }
    text
}

/// The value of a key as text; [`None`] if it has no line of its own.
pub(super) fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    unquoted(line.trim())
}

/// The mapping with other values of some keys; all other lines stay as they are.
pub(super) fn replaced(text: &str, fields: &[(&str, String)]) -> String {
    let line = |line: &str| {
        let own = fields.iter().find(|(key, _)| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
        own.map_or_else(|| format!("{line}\n"), |(key, value)| format!("{key}: {value}\n"))
    };
    text.lines().map(line).collect()
}

/// A scalar as its text; [`None`] for escapes that are not ours and for what continues on other lines.
fn unquoted(scalar: &str) -> Option<String> {
    if let Some(inner) = scalar.strip_prefix('\'') {
        return Some(inner.strip_suffix('\'')?.replace("''", "'"));
    }
    let Some(inner) = scalar.strip_prefix('"') else { return Some(scalar.to_owned()) };
    let mut text = String::new();
    let mut rest = inner.strip_suffix('"')?.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let digits = match rest.next()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other @ ('"' | '\\' | '/' | ' ') => {
                text.push(other);
                continue;
            }
            _ => return None,
        };
        let code: String = rest.by_ref().take(digits).collect();
        text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
    }
    Some(text)
}

#[test]
fn any_text_is_read_as_it_was_written() {
    for text in ["base", "", "a: b", "- x", "\"quoted\" \\ \u{7f}\n\tnull", "\u{1f441} Auge \u{fffe}", "#no", "'"] {
        let written = mapping(&[("name", quoted(text)), ("end", "null".to_owned())]);
        assert!(written.is_ascii() && written.lines().count() == 2, "{written}");
        assert_eq!(value(&written, "name").as_deref(), Some(text));
    }
    let written = "name: 'it''s'\nstatus: 1\nnames: x\n";
    assert_eq!(value(written, "name").as_deref(), Some("it's"));
    assert_eq!(replaced(written, &[("status", "3".to_owned())]), "name: 'it''s'\nstatus: 3\nnames: x\n");
}
