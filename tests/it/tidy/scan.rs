//! Reads Rust source just far enough for the rules: code without comments and texts, and the paths that it names.

/// The code of `source` with comments, texts and character literals blanked out; lines stay where they were.
pub(super) fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// The texts of `source`, each with its line, from 1, without quotes; not the reasons of lints.
pub(super) fn texts(source: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = source.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let end = end_of_blank(&chars, at).max(at + 1);
        let text: String = chars[at..end].iter().collect();
        let quoted = text.trim_start_matches(['b', 'r', '#']).strip_prefix('"');
        if let Some(inner) = quoted.filter(|_| end > at + 1) {
            let before: String = chars[at.saturating_sub(9)..at].iter().collect();
            if before != "reason = " {
                found.push((line, inner.trim_end_matches('#').trim_end_matches('"').to_owned()));
            }
        }
        line += text.matches('\n').count();
        at = end;
    }
    found
}

/// The comments of `source`, each with its line, from 1, without the slashes.
pub(super) fn comments(source: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = source.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let end = end_of_blank(&chars, at).max(at + 1);
        let text: String = chars[at..end].iter().collect();
        if text.starts_with("//") || text.starts_with("/*") {
            found.push((line, text.trim_matches(['/', '!', '*']).trim().to_owned()));
        }
        line += text.matches('\n').count();
        at = end;
    }
    found
}

/// Where the comment, text or character literal that begins at `at` ends; `at` where none begins there.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let get = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let follows_word = at > 0 && is_word(chars[at - 1]);
    match (get(at), get(at + 1)) {
        ('/', '/') => (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()),
        ('/', '*') => end_of_block_comment(chars, at),
        ('r', '"' | '#') if !follows_word => end_of_raw(chars, at),
        ('b', 'r') if !follows_word && matches!(get(at + 2), '"' | '#') => end_of_raw(chars, at + 1),
        ('"', _) => end_of_quoted(chars, at),
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        ('\'', '\\') => (at + 3..chars.len()).find(|&i| chars[i] == '\'').map_or(chars.len(), |i| i + 1),
        ('\'', _) if get(at + 2) == '\'' => at + 3,
        _ => at,
    }
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_quoted(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#`; `at` where it is a raw identifier (`r#type`).
fn end_of_raw(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    (at + 2 + hashes..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A path named in code: its segments and its line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// Every path of two segments or more, and every `use` written out, its groups flattened. `as` names are kept as a last
/// segment `=name`.
pub(super) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].0 == "use" {
            at += 1;
            use_tree(&tokens, &mut at, &mut Vec::new(), &mut found);
        } else if is_name(&tokens[at].0) {
            let (mut segments, line) = (vec![tokens[at].0.clone()], tokens[at].1);
            at += 1;
            while at + 1 < tokens.len() && tokens[at].0 == "::" && is_name(&tokens[at + 1].0) {
                segments.push(tokens[at + 1].0.clone());
                at += 2;
            }
            if segments.len() > 1 {
                found.push(Path { segments, line });
            }
        } else {
            at += 1;
        }
    }
    found
}

/// One tree of a `use`: a path that ends in a name, `*`, `as name`, or a group of trees.
fn use_tree(tokens: &[(String, usize)], at: &mut usize, prefix: &mut Vec<String>, found: &mut Vec<Path>) {
    let depth = prefix.len();
    while let Some((token, line)) = tokens.get(*at) {
        *at += 1;
        match token.as_str() {
            "::" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|(token, _)| token != "}") {
                    use_tree(tokens, at, prefix, found);
                    if tokens.get(*at).is_some_and(|(token, _)| token == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                break;
            }
            name => {
                prefix.push(name.to_owned());
                if tokens.get(*at).is_some_and(|(token, _)| token == "as") {
                    prefix.extend(tokens.get(*at + 1).map(|(alias, _)| format!("={alias}")));
                    *at += 2;
                }
                if tokens.get(*at).is_none_or(|(token, _)| token != "::") {
                    found.push(Path { segments: prefix.clone(), line: *line });
                    break;
                }
            }
        }
    }
    prefix.truncate(depth);
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    let (mut line, mut chars) = (1, code.chars().peekable());
    while let Some(c) = chars.next() {
        if is_word(c) {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|&next| is_word(next)) {
                word.push(next);
            }
            found.push((word, line));
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            found.push(("::".to_owned(), line));
        } else if c == '\n' {
            line += 1;
        } else if !c.is_whitespace() {
            found.push((c.to_string(), line));
        }
    }
    found
}

fn written(source: &str) -> Vec<String> {
    paths(&code(source)).into_iter().map(|path| path.segments.join("::")).collect()
}

#[test]
fn comments_texts_and_characters_are_not_code() {
    let source = "a // b\n/* c /* d */ */ e(\"f\\\"g\", r#\"h\"i\"#, 'j', '\\'', '\\u{1F}') as &'k r#type";
    let words: Vec<String> = code(source).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words.join(" "), "a e( , , , , ) as &'k r#type");
    assert_eq!(code(source).lines().count(), 2);
}

#[test]
fn groups_of_a_use_are_flattened() {
    let found = written("use crate::{base::{Digest, span::*}, store as s, learn};\nuse std::fmt;");
    assert_eq!(found, ["crate::base::Digest", "crate::base::span::*", "crate::store::=s", "crate::learn", "std::fmt"],);
}

#[test]
fn paths_in_code_are_found_with_their_lines() {
    let found =
        paths(&code("fn f() -> crate::lang::Value {\n    super::super::run::start::<crate::stage::Ctx>(x::y)\n}"));
    let found: Vec<(String, usize)> = found.iter().map(|path| (path.segments.join("::"), path.line)).collect();
    let expected = [("crate::lang::Value", 1), ("super::super::run::start", 2), ("crate::stage::Ctx", 2), ("x::y", 2)];
    assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
}
