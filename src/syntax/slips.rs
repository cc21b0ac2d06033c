//! The slips that people make in KDL, each with its own hint, and what was meant by them.

use std::collections::BTreeSet;

use super::scan::{Kind, Token};
use super::tree::{Scalar, Word};
use super::{DEEPEST, judge};
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// A token that names a node or a property.
pub(super) fn name(file: FileId, token: Token, text: &str, diags: &mut Vec<Diag>) -> Word {
    let span = Span::new(file, token.start..token.end);
    let text = match value(file, token, text, diags) {
        Some((Scalar::Text(text), _)) => text,
        Some(_) if matches!(token.kind, Kind::Word) => {
            let found = Diag::error("syntax", span, format!("a name can't be the number `{text}`"));
            if diags.iter().all(|told| told.labels[0].span != span) {
                diags.push(found.hint(format!("quote it: `\"{text}\"`")));
            }
            text.to_owned()
        }
        Some(_) => {
            diags.push(Diag::error("syntax", span, format!("`{text}` can't be a name")));
            text.to_owned()
        }
        None => text.to_owned(),
    };
    Word { text, span }
}

/// The value of a token, and whether it is quoted. None where nothing sensible can be meant.
pub(super) fn value(file: FileId, token: Token, text: &str, diags: &mut Vec<Diag>) -> Option<(Scalar, bool)> {
    let span = Span::new(file, token.start..token.end);
    match token.kind {
        Kind::Text => Some((Scalar::Text(string(span, text, diags)), true)),
        Kind::OpenText => {
            let found = Diag::error("unclosed-string", span, "the string that begins here never ends");
            diags.push(found.hint("close it with `\"` on the same line"));
            Some((Scalar::Text(text.trim_matches(['"', '#']).to_owned()), true))
        }
        Kind::SingleQuoted => {
            let inner = text[1..text.len() - 1].to_owned();
            let found = Diag::error("single-quotes", span, "strings stand in double quotes");
            diags.push(found.hint(format!("write `\"{inner}\"`")));
            Some((Scalar::Text(inner), true))
        }
        Kind::Keyword => keyword(span, text, diags).map(|value| (value, false)),
        _ => Some((word(span, text, diags), false)),
    }
}

fn keyword(span: Span, text: &str, diags: &mut Vec<Diag>) -> Option<Scalar> {
    match text {
        "#true" => Some(Scalar::Bool(true)),
        "#false" => Some(Scalar::Bool(false)),
        "#null" => Some(Scalar::Null),
        "#inf" => Some(Scalar::Real(f64::INFINITY)),
        "#-inf" => Some(Scalar::Real(f64::NEG_INFINITY)),
        "#nan" => Some(Scalar::Real(f64::NAN)),
        _ => {
            let found = Diag::error("keyword-form", span, format!("`{text}` is not a value"));
            diags.push(
                found.hint("words with `#` are `#true`, `#false`, `#null`, `#inf`, `#-inf` and `#nan`; quote text"),
            );
            None
        }
    }
}

/// An unquoted word: a number, a name, or a slip.
fn word(span: Span, text: &str, diags: &mut Vec<Diag>) -> Scalar {
    if let Some(value) = number(span, text, diags) {
        return value;
    }
    let mut slip = |code, message: String, hint: String| diags.push(Diag::error(code, span, message).hint(hint));
    match text {
        "true" | "false" => {
            slip("keyword-form", format!("`{text}` needs a `#`"), format!("write `#{text}`"));
            return Scalar::Bool(text == "true");
        }
        "null" => {
            slip("keyword-form", format!("`{text}` needs a `#`"), format!("write `#{text}`"));
            return Scalar::Null;
        }
        "inf" | "-inf" | "nan" => {
            slip("keyword-form", format!("`{text}` needs a `#`"), format!("write `#{text}`"));
            let number = text.parse().unwrap_or(f64::NAN);
            return Scalar::Real(number);
        }
        _ => {}
    }
    let bare = text.trim_end_matches(',');
    if bare.len() < text.len() {
        slip("comma", "values are not separated by commas".to_owned(), "leave the comma out".to_owned());
        let quiet = &mut Vec::new();
        return if bare.is_empty() { Scalar::Text(String::new()) } else { word(span, bare, quiet) };
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
        let shown = show(&value);
        slip(
            "unit",
            format!("a number stands without its unit `{unit}`"),
            format!("write `{shown}`; the signature knows the unit"),
        );
        return value;
    }
    let signed = text.trim_start_matches(['+', '-']);
    if text.contains('/') {
        slip("unquoted-path", format!("`{text}` needs quotes"), format!("write `\"{text}\"`"));
    } else if signed.starts_with(|c: char| c.is_ascii_digit()) && text.len() - signed.len() <= 1 {
        slip(
            "number-form",
            format!("`{text}` is neither a number nor a name"),
            format!("write `\"{text}\"` if it is text"),
        );
    } else if text.contains('#') {
        slip("syntax", format!("`#` can't stand inside the unquoted `{text}`"), format!("write `\"{text}\"`"));
    }
    Scalar::Text(text.to_owned())
}

/// The value of a well-formed number.
fn number(span: Span, text: &str, diags: &mut Vec<Diag>) -> Option<Scalar> {
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
    diags.push(Diag::error("number-form", span, format!("`{text}` is too large a number: 64 bits are the most")));
    0
}

fn is_digits(text: &str) -> bool {
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

fn show(value: &Scalar) -> String {
    match value {
        Scalar::Int(value) => value.to_string(),
        Scalar::Real(value) => format!("{value:?}"),
        _ => String::new(),
    }
}

/// The text of a quoted string.
fn string(span: Span, text: &str, diags: &mut Vec<Diag>) -> String {
    if text.len() >= 2 && text.starts_with('"') && !text.starts_with("\"\"\"") && !text.contains('\\') {
        return text[1..text.len() - 1].to_owned();
    }
    judge::string(text).unwrap_or_else(|why| {
        diags.push(Diag::error("syntax", span, why.message).hint(why.hint));
        text.trim_matches(['"', '#']).to_owned()
    })
}

/// Pairs the braces. Tells of those without a partner and of nesting that is too deep, and puts the tokens right, by the
/// indentation, so that reading can go on. The second value is false where it can't.
pub(super) fn braces(file: FileId, text: &str, tokens: &mut Vec<Token>) -> (Vec<Diag>, bool) {
    let mut diags = Vec::new();
    for token in tokens.iter().filter(|token| token.kind == Kind::OpenComment) {
        let found = Diag::error(
            "unclosed-comment",
            Span::new(file, token.start..token.end),
            "the comment that begins here never ends",
        );
        diags.push(found.hint("close it with `*/`, or comment out one line with `//`"));
    }
    let (mut depth, mut even) = (0usize, true);
    for token in tokens.iter() {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close if depth == 0 => even = false,
            Kind::Close => depth -= 1,
            _ => {}
        }
        if depth > DEEPEST {
            let found = Diag::error(
                "too-deep",
                Span::new(file, token.start..token.end),
                format!("nested deeper than {DEEPEST} braces"),
            );
            diags.push(found.hint("is a `}` missing before this place?"));
            return (diags, false);
        }
    }
    if !even || depth > 0 {
        *tokens = even_out(file, text, tokens, &mut diags);
    }
    (diags, true)
}

/// Tokens with the missing braces put in and the needless ones taken out, where the indentation says.
fn even_out(file: FileId, text: &str, tokens: &[Token], diags: &mut Vec<Diag>) -> Vec<Token> {
    let open_strings: BTreeSet<usize> =
        tokens.iter().filter(|token| token.kind == Kind::OpenText).map(|token| line_start(text, token.start)).collect();
    let mut unclosed = |open: Token| {
        // A string that swallowed the brace has been told of.
        if !open_strings.contains(&line_start(text, open.start)) {
            let found =
                Diag::error("unclosed-brace", Span::new(file, open.start..open.end), "this `{` is never closed");
            diags.push(found.hint("put a `}` where its block ends"));
        }
    };
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut open: Vec<(Token, usize)> = Vec::new();
    let mut stray = Vec::new();
    let mut first = true;
    for &token in tokens {
        let indent = indent(text, token.start);
        if first && !matches!(token.kind, Kind::Space | Kind::Newline) {
            first = false;
            let closes = token.kind == Kind::Close;
            while let Some(&(brace, column)) = open.last() {
                let outside = if closes { indent < column } else { indent <= column };
                if !outside {
                    break;
                }
                unclosed(brace);
                out.push(Token { kind: Kind::Close, start: token.start, end: token.start });
                open.pop();
            }
            if closes && open.last().is_none_or(|&(_, column)| indent > column) {
                stray.push(token);
                out.push(Token { kind: Kind::Space, ..token });
                continue;
            }
        }
        match token.kind {
            Kind::Newline => first = true,
            Kind::Open => open.push((token, indent)),
            Kind::Close if open.pop().is_none() => {
                stray.push(token);
                out.push(Token { kind: Kind::Space, ..token });
                continue;
            }
            _ => {}
        }
        out.push(token);
    }
    while let Some((brace, _)) = open.pop() {
        unclosed(brace);
        out.push(Token { kind: Kind::Close, start: text.len(), end: text.len() });
    }
    for token in stray {
        let found = Diag::error("stray-brace", Span::new(file, token.start..token.end), "this `}` closes nothing");
        diags.push(found.hint("take it out, or look for a `{` that is missing above"));
    }
    out
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Column at which the line of `at` begins to hold something.
fn indent(text: &str, at: usize) -> usize {
    let line = &text[line_start(text, at)..];
    line.len() - line.trim_start_matches([' ', '\t']).len()
}
