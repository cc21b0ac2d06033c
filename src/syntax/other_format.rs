//! Files that are plainly not KDL: named by their first bytes, or by the form of all lines. Knows nothing of KDL.

/// First bytes of a format, and what to call it.
const SIGNATURES: [(&[u8], &str); 11] = [
    (b"%PDF", "a PDF file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PAR1", "a Parquet table"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
];

/// Bytes that are searched for NUL, and how many of them make a file binary.
const SEARCHED: usize = 1024;
const NULS: usize = 8;

/// Fewest lines of one form that make a file YAML or TOML.
const LINES: usize = 3;

/// The format of a file that is certainly not KDL: `a PNG image`.
#[must_use]
pub fn other_format(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, name)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return Some(name);
    }
    let head = &bytes[..bytes.len().min(SEARCHED)];
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if !utf16 && head.split(|&byte| byte == 0).count() > NULS {
        return Some("a binary file");
    }
    let text = str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
    let mut chars = text.chars();
    let next = |mut chars: std::str::Chars<'_>| chars.find(|c| !c.is_whitespace());
    match chars.next()? {
        '<' if matches!(chars.next(), Some('!' | '?')) || text.contains("</") => Some("an HTML or XML file"),
        '{' if matches!(next(chars.clone()), None | Some('"' | '}')) => Some("a JSON file"),
        '[' if matches!(next(chars.clone()), Some('{' | '[' | '"' | '0'..='9')) => Some("a JSON file"),
        _ => by_lines(text),
    }
}

/// YAML or TOML. Both are recognised only if no line has a brace, because macula's own blocks may have mistakes of that form.
fn by_lines(text: &str) -> Option<&'static str> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    if text.contains(['{', '}']) {
        return None;
    }
    let named = |line: &str, sign: char| {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"');
        let after = |rest: &str| sign == '=' || rest.is_empty() || rest.starts_with(' ');
        let halves = line.strip_prefix("- ").unwrap_or(line).split_once(sign);
        halves.is_some_and(|(name, rest)| !name.is_empty() && name.trim_end().chars().all(is_name) && after(rest))
    };
    let (mut count, mut keys, mut yaml, mut toml, mut tables) = (0, 0, 0, 0, 0);
    for line in lines() {
        count += 1;
        keys += usize::from(named(line, ':'));
        yaml += usize::from(named(line, ':') || line.starts_with("- ") || line == "---" || line == "...");
        let table = line.starts_with('[') && line.ends_with(']');
        tables += usize::from(table);
        toml += usize::from(table || named(line, '='));
    }
    let most = |of: usize| of >= LINES && of * 10 >= count * 9;
    match lines().next()? {
        "---" if keys > 0 => Some("a YAML file"),
        // A list by itself may be KDL.
        _ if keys > 1 && most(yaml) => Some("a YAML file"),
        _ if tables > 0 && most(toml) => Some("a TOML file"),
        _ => None,
    }
}

#[test]
fn files_of_other_formats_are_recognised_and_pipelines_with_mistakes_are_not() {
    for (text, name) in [
        ("<!DOCTYPE html>\n<p>", "HTML"),
        ("\u{feff}<?xml version='1.0'?>", "XML"),
        ("{\n  \"cells\": []}", "JSON"),
        ("[1, 2]", "JSON"),
        ("%PDF-1.7", "PDF"),
        ("---\nsize: 3\n", "YAML"),
        ("# notes\ndata:\n  - a\n  - b: 1\nsize: 64\n", "YAML"),
        ("[train]\nepochs = 3\nlr = 1e-3\n", "TOML"),
        ("#!/bin/sh\n", "script"),
    ] {
        assert!(other_format(text.as_bytes()).is_some_and(|format| format.contains(name)), "{text:?}");
    }
    for bytes in [&b"\x89PNG\r\n"[..], b"\xff\xd8\xff\xe0", b"a\0b\0c\0d\0e\0f\0g\0h\0"] {
        assert!(other_format(bytes).is_some(), "{bytes:?}");
    }
    for text in [
        "",
        "pipeline p seed=1 {\n  size: 3\n  epochs: 4\n}\n",
        "size: 3\nepochs: 4\n",
        "{ a }",
        "[a b]",
        "< 3",
        "a\0b",
        "-- a\n--- b\n",
        "---\na\n",
        "- a\n- b\n- c\n",
        "<a> b\n",
        "/* a */ network tiny",
    ] {
        assert_eq!(other_format(text.as_bytes()), None, "{text:?}");
    }
}
