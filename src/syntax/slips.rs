//! The slips that people make in KDL, each with its own hint, and what was meant by them.

use super::scan::{Kind, Token, is_newline};
use super::tree::{Scalar, Word};
use super::{judge, odd};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// A token that names a node or a property.
pub(super) fn name(file: FileId, token: Token, text: &str, diags: &mut Vec<Diag>) -> Word {
    let span = Span::new(file, token.start..token.end);
    let text = match value(file, token, text, diags) {
        (Scalar::Text(text), _) => text,
        (Scalar::Wrong, _) => text.to_owned(),
        _ if matches!(token.kind, Kind::Word) => {
            let found = Diag::error("syntax", span, format!("a name can't be the number `{text}`"));
            if diags.last().is_none_or(|told| told.labels[0].span != span) {
                diags.push(found.hint(format!("quote it: `\"{text}\"`")));
            }
            text.to_owned()
        }
        _ => {
            diags.push(Diag::error("syntax", span, format!("`{text}` can't be a name")));
            text.to_owned()
        }
    };
    Word { text, span }
}

/// The value of a token, and whether it is quoted.
pub(super) fn value(file: FileId, token: Token, text: &str, diags: &mut Vec<Diag>) -> (Scalar, bool) {
    let span = Span::new(file, token.start..token.end);
    match token.kind {
        Kind::Text => (Scalar::Text(string(span, text, diags)), true),
        Kind::OpenText => {
            let found = Diag::error("unclosed-string", span, "the string that begins here never ends");
            let hashes: String = text.chars().take_while(|&c| c == '#').collect();
            let quotes = if text[hashes.len()..].starts_with("\"\"\"") { "\"\"\"" } else { "\"" };
            let place = if quotes.len() == 3 { "on a line of its own" } else { "on the same line" };
            diags.push(found.hint(format!("close it with `{quotes}{hashes}` {place}")));
            (Scalar::Wrong, true)
        }
        Kind::SingleQuoted => {
            let mut letters = text.chars();
            let quote = letters.next().unwrap_or('\'');
            letters.next_back();
            let inner = letters.as_str().to_owned();
            let found = if matches!(quote, '\'' | '`') {
                Diag::error("single-quotes", span, "strings stand in double quotes")
            } else {
                Diag::error("look-alike", span, format!("`{quote}` is no quote of KDL, which has `\"` alone"))
            };
            diags.push(found.hint(format!("write `\"{inner}\"`")));
            (Scalar::Text(inner), true)
        }
        Kind::Keyword => (keyword(span, text, diags), false),
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
            let all = "words with `#` are `#true`, `#false`, `#null`, `#inf`, `#-inf` and `#nan`; quote text";
            diags.push(found.hint(hint.unwrap_or_else(|| all.to_owned())));
            match meant {
                Some("#true") => Scalar::Bool(true),
                Some("#false") => Scalar::Bool(false),
                _ => Scalar::Wrong,
            }
        }
    }
}

/// The word with `#` that is meant by one that there is not.
pub(super) fn keyword_meant(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    ["#true", "#false", "#null", "#inf", "#-inf", "#nan"]
        .into_iter()
        .find(|keyword| *keyword == text || keyword.len() > 4 && strsim::damerau_levenshtein(keyword, &text) <= 1)
}

/// An unquoted word: a number, a name, or a slip.
fn word(span: Span, text: &str, diags: &mut Vec<Diag>) -> Scalar {
    if let Some(value) = number(span, text, diags) {
        return value;
    }
    if text.contains('"') {
        return Scalar::Text(text.trim_matches('"').to_owned()); // a quote without its partner, which was told
    }
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        return Scalar::Text(format!("${name}")); // told
    }
    let mut slip = |code, message: String, hint: String| diags.push(Diag::error(code, span, message).hint(hint));
    if let Some((meant, why)) = odd::plain(text) {
        slip("look-alike", why, format!("write `{meant}`"));
        return word(span, &meant, &mut Vec::new());
    }
    match text {
        "true" | "false" => {
            slip("keyword-form", format!("`{text}` needs a `#`"), format!("write `#{text}`"));
            return Scalar::Bool(text == "true");
        }
        "null" => {
            let hint = "nothing in macula is `#null`: leave out what is not to be given";
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
        slip("comma", "values are not separated by commas".to_owned(), "leave the comma out".to_owned());
        let quiet = &mut Vec::new();
        return if bare.is_empty() { Scalar::Wrong } else { word(span, bare, quiet) };
    }
    if let Some((form, value)) = pointed(text) {
        slip(
            "number-form",
            format!("a number needs digits on both sides of its point: `{text}`"),
            format!("write `{form}`"),
        );
        return value;
    }
    if let Some(share) = text.strip_suffix('%').and_then(plain) {
        let share = round_share(share);
        slip("percent", "there is no percent sign in KDL".to_owned(), format!("write `{share:?}`"));
        return Scalar::Real(share);
    }
    if let Some((value, unit)) = with_unit(text) {
        let shown = value.to_string();
        slip(
            "unit",
            format!("a number stands without its unit `{unit}`"),
            format!("write `{shown}`; the signature knows the unit"),
        );
        return value;
    }
    if let Some((code, message, hint, value)) = odd::number(text) {
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
        slip("number-form", message, format!("names begin with a letter; write `\"{text}\"` if it is text"));
        if signed.starts_with('.') {
            return Scalar::Text(text.to_owned());
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if !text.chars().all(name) || !text.contains(|c: char| c.is_ascii_alphabetic()) || text.ends_with('-') {
            return Scalar::Wrong;
        }
    } else if text.contains('#') {
        slip("syntax", format!("`#` can't stand inside the unquoted `{text}`"), format!("write `\"{text}\"`"));
    }
    Scalar::Text(text.to_owned())
}

/// Whether an unquoted word begins as a number does, with at most a sign and a point before its first digit: KDL has no such names.
#[must_use]
pub fn begins_as_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.strip_prefix('.').unwrap_or(digits).starts_with(|c: char| c.is_ascii_digit())
}

/// The value of a well-formed number.
pub(super) fn number(span: Span, text: &str, diags: &mut Vec<Diag>) -> Option<Scalar> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            if !digits.starts_with(|c: char| c.is_digit(radix)) {
                return None;
            }
            let clean = digits.replace('_', "");
            let value = clean.chars().all(|c| c.is_digit(radix)).then(|| i64::from_str_radix(&clean, radix))?;
            return Some(Scalar::Int(
                value.map_or_else(|_| too_big(span, text, diags), |n| if negative { -n } else { n }),
            ));
        }
    }
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent_digits = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    if !is_digits(whole) || ![fraction, exponent_digits].into_iter().flatten().all(is_digits) {
        return None;
    }
    let clean = text.replace('_', "");
    Some(if fraction.is_none() && exponent.is_none() {
        Scalar::Int(clean.parse().unwrap_or_else(|_| too_big(span, text, diags)))
    } else {
        Scalar::Real(clean.parse().unwrap_or(f64::NAN))
    })
}

fn too_big(span: Span, text: &str, diags: &mut Vec<Diag>) -> i64 {
    diags.push(
        Diag::error("number-form", span, format!("`{text}` is too large a number"))
            .hint(format!("{} is the most", i64::MAX)),
    );
    0
}

pub(super) fn is_digits(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '_')
}

/// A plain decimal number, for use inside slips.
fn plain(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let begins = digits.starts_with(|c: char| c.is_ascii_digit()) || digits.starts_with('.');
    (begins && digits.chars().all(|c| c.is_ascii_digit() || c == '.')).then(|| text.parse().ok())?
}

/// `.5` and `1.` as they should be written.
fn pointed(text: &str) -> Option<(String, Scalar)> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = &text[..text.len() - digits.len()];
    if !(digits.starts_with('.') || digits.ends_with('.') || digits.contains(".e"))
        || !digits.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let mut form = digits.replace(".e", ".0e");
    if form.starts_with('.') {
        form.insert(0, '0');
    }
    if form.ends_with('.') {
        form.push('0');
    }
    let form = format!("{sign}{form}");
    let value = number(Span::new(FileId(0), 0..0), &form, &mut Vec::new())?;
    Some((form, value))
}

/// `128px`: a number and what follows it, where that is a unit that people write.
fn with_unit(text: &str) -> Option<(Scalar, &str)> {
    let at = text.find(|c: char| c.is_alphabetic() || c == '°')?;
    let unit = &text[at..];
    let known = ["px", "deg", "°", "degrees", "s", "ms", "min", "x", "epochs", "mm", "um", "K", "k", "M", "MB", "GB"];
    if !known.contains(&unit) {
        return None;
    }
    let value = number(Span::new(FileId(0), 0..0), &text[..at], &mut Vec::new())?;
    Some((value, unit))
}

/// A percentage as a share, without the noise of the division.
fn round_share(percent: f64) -> f64 {
    (percent * 1e8).round() / 1e10
}

/// The text of a quoted string.
fn string(span: Span, text: &str, diags: &mut Vec<Diag>) -> String {
    let text = text.trim_start_matches(['f', 'r', 'b', 'u']); // told
    let lines = text.starts_with("\"\"\"");
    if text.len() >= 2 && text.starts_with('"') && !lines && !text.contains('\\') {
        return text[1..text.len() - 1].to_owned();
    }
    if lines && !text.contains(is_newline) {
        let inner = text.trim_matches('"').to_owned();
        let found = Diag::error("syntax", span, "`\"\"\"` stands on lines of its own, above and below the text");
        diags.push(found.hint(format!("write `\"{inner}\"`")));
        return inner;
    }
    judge::string(text).unwrap_or_else(|why| {
        let first = Span { end: span.start + 3, ..span };
        let found = if lines && why.message.contains("prefix") {
            Diag::error("syntax", first, "the lines of this text are indented less than the `\"\"\"` that closes it")
                .hint("indent them at least as far as the closing `\"\"\"`")
        } else if text.starts_with('"') && !lines && !text.contains(is_newline) {
            let raw = text.trim_matches('"');
            Diag::error("syntax", span, "a backslash in text begins an escape, and this one is none")
                .hint(format!("write `#\"{raw}\"#`, or `/` in a path"))
        } else {
            Diag::error("syntax", span, why.message).hint(why.hint)
        };
        diags.push(found);
        text.trim_matches(['"', '#']).to_owned()
    })
}
