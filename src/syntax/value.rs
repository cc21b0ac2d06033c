//! The value of a token. A common mistake is reported with its own hint and read as what was meant.

use super::scalar::{Scalar, begins_as_number, number};
use super::scan::{Token, TokenKind, is_newline};
use super::{confusables, number_forms, validate};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// The name of a node or of a property that a token gives.
pub(super) fn name(file: FileId, token: Token, text: &str, diags: &mut Vec<Diag>) -> String {
    let span = Span::new(file, token.start..token.end);
    match value(file, token, text, diags) {
        (Scalar::Text(text), _) => text,
        (Scalar::Wrong, _) => text.to_owned(),
        _ if matches!(token.kind, TokenKind::Word) => {
            let found = Diag::error("syntax", span, format!("a name cannot be a number: `{text}`"));
            if diags.last().is_none_or(|last| last.labels[0].span != span) {
                diags.push(found.hint(format!("quote it: `\"{text}\"`")));
            }
            text.to_owned()
        }
        _ => {
            diags.push(Diag::error("syntax", span, format!("`{text}` is not a valid name")));
            text.to_owned()
        }
    }
}

/// The value of a token, and whether it is quoted.
pub(super) fn value(file: FileId, token: Token, text: &str, diags: &mut Vec<Diag>) -> (Scalar, bool) {
    let span = Span::new(file, token.start..token.end);
    match token.kind {
        TokenKind::Text => (Scalar::Text(string(span, text, diags)), true),
        TokenKind::OpenText => {
            let found = Diag::error("unclosed-string", span, "this string is never closed");
            let hashes: String = text.chars().take_while(|&c| c == '#').collect();
            let quotes = if text[hashes.len()..].starts_with("\"\"\"") { "\"\"\"" } else { "\"" };
            let place = if quotes.len() == 3 { "on its own line" } else { "on the same line" };
            diags.push(found.hint(format!("close it with `{quotes}{hashes}` {place}")));
            (Scalar::Wrong, true)
        }
        TokenKind::SingleQuoted => {
            let mut letters = text.chars();
            let quote = letters.next().unwrap_or('\'');
            letters.next_back();
            let inner = letters.as_str().to_owned();
            let found = if matches!(quote, '\'' | '`') {
                Diag::error("single-quotes", span, "strings use double quotes")
            } else {
                Diag::error("look-alike", span, format!("`{quote}` is not a KDL quote; only `\"` is"))
            };
            diags.push(found.hint(format!("write `\"{inner}\"`")));
            (Scalar::Text(inner), true)
        }
        TokenKind::Keyword => (keyword(span, text, diags), false),
        _ => (word(span, text, diags), false),
    }
}

fn keyword(span: Span, text: &str, diags: &mut Vec<Diag>) -> Scalar {
    match text {
        "#true" => Scalar::Bool(true),
        "#false" => Scalar::Bool(false),
        "#null" => Scalar::Null,
        "#inf" => Scalar::Real(f64::INFINITY),
        "#-inf" => Scalar::Real(f64::NEG_INFINITY),
        "#nan" => Scalar::Real(f64::NAN),
        _ => {
            let found = Diag::error("keyword-form", span, format!("`{text}` is not a value"));
            let meant = keyword_meant(text);
            let hint = meant.map(|meant| format!("write `{meant}`"));
            let all = "keywords are `#true`, `#false`, `#null`, `#inf`, `#-inf` and `#nan`; quote text";
            diags.push(found.hint(hint.unwrap_or_else(|| all.to_owned())));
            match meant {
                Some("#true") => Scalar::Bool(true),
                Some("#false") => Scalar::Bool(false),
                _ => Scalar::Wrong,
            }
        }
    }
}

/// The keyword that was meant by a misspelt one.
pub(super) fn keyword_meant(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    ["#true", "#false", "#null", "#inf", "#-inf", "#nan"]
        .into_iter()
        .find(|keyword| *keyword == text || keyword.len() > 4 && strsim::damerau_levenshtein(keyword, &text) <= 1)
}

/// The value of an unquoted word: a number, a name, or a common mistake.
fn word(span: Span, text: &str, diags: &mut Vec<Diag>) -> Scalar {
    if let Some(value) = number(span, text, diags) {
        return value;
    }
    if text.contains('"') {
        return Scalar::Text(text.trim_matches('"').to_owned()); // an unmatched quote, already reported
    }
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        return Scalar::Text(format!("${name}")); // already reported
    }
    let mut slip = |code, message: String, hint: String| diags.push(Diag::error(code, span, message).hint(hint));
    if let Some((meant, why)) = confusables::in_ascii(text) {
        slip("look-alike", why, format!("write `{meant}`"));
        return word(span, &meant, &mut Vec::new());
    }
    match text {
        "true" | "false" => {
            slip("keyword-form", format!("`{text}` needs a `#`"), format!("write `#{text}`"));
            return Scalar::Bool(text == "true");
        }
        "null" => {
            let hint = "`#null` is not allowed; omit the parameter instead";
            slip("keyword-form", format!("`{text}` needs a `#`"), hint.to_owned());
            return Scalar::Wrong;
        }
        "inf" | "-inf" | "nan" => {
            slip("keyword-form", format!("`{text}` needs a `#`"), format!("write `#{text}`"));
            return Scalar::Wrong;
        }
        _ => {}
    }
    let bare = text.trim_end_matches(',');
    if bare.len() < text.len() {
        slip("comma", "values are not separated by commas".to_owned(), "remove the comma".to_owned());
        let quiet = &mut Vec::new();
        return if bare.is_empty() { Scalar::Wrong } else { word(span, bare, quiet) };
    }
    if let Some((code, message, hint, value)) = number_forms::slip(text) {
        slip(code, message, hint);
        return value;
    }
    let signed = text.trim_start_matches(['+', '-']);
    if text.contains('\\') {
        let forward = text.replace('\\', "/");
        slip("unquoted-path", format!("`{text}` needs quotes"), format!("write `\"{forward}\"`, or `#\"{text}\"#`"));
        return Scalar::Text(forward);
    }
    if text.contains('/') {
        slip("unquoted-path", format!("`{text}` needs quotes"), format!("write `\"{text}\"`"));
    } else if begins_as_number(text) {
        let message = format!("`{text}` is neither a number nor a name");
        slip("number-form", message, format!("names start with a letter; write `\"{text}\"` if it is text"));
        if signed.starts_with('.') {
            return Scalar::Text(text.to_owned());
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if !text.chars().all(name) || !text.contains(|c: char| c.is_ascii_alphabetic()) || text.ends_with('-') {
            return Scalar::Wrong;
        }
    } else if text.contains('#') {
        slip("syntax", format!("unquoted text cannot contain `#`: `{text}`"), format!("write `\"{text}\"`"));
    }
    Scalar::Text(text.to_owned())
}

/// The text of a quoted string.
fn string(span: Span, text: &str, diags: &mut Vec<Diag>) -> String {
    let text = text.trim_start_matches(['f', 'r', 'b', 'u']); // already reported
    let lines = text.starts_with("\"\"\"");
    if text.len() >= 2 && text.starts_with('"') && !lines && !text.contains('\\') {
        return text[1..text.len() - 1].to_owned();
    }
    if lines && !text.contains(is_newline) {
        let inner = text.trim_matches('"').to_owned();
        let found = Diag::error("syntax", span, "`\"\"\"` must be on its own line, above and below the text");
        diags.push(found.hint(format!("write `\"{inner}\"`")));
        return inner;
    }
    validate::string(text).unwrap_or_else(|why| {
        let first = Span { end: span.start + 3, ..span };
        let found = if lines && why.message.contains("prefix") {
            Diag::error("syntax", first, "lines of this text are indented less than the closing `\"\"\"`")
                .hint("indent them at least as far as the closing `\"\"\"`")
        } else if text.starts_with('"') && !lines && !text.contains(is_newline) {
            let raw = text.trim_matches('"');
            Diag::error("syntax", span, "unknown escape: a backslash in a string starts an escape sequence")
                .hint(format!("write `#\"{raw}\"#`, or `/` in a path"))
        } else {
            Diag::error("syntax", span, why.message).hint(why.hint)
        };
        diags.push(found);
        text.trim_matches(['"', '#']).to_owned()
    })
}
