//! Words that look like what they are not: characters of other scripts that look like KDL's, and numbers as other languages and
//! other countries write them. Knows what was meant, and tells nothing itself.

use super::slips;
use super::tree::Scalar;
use crate::base::{FileId, Span};

/// A word in KDL's own characters, and what is said of it; none where it has no others.
pub(super) fn plain(text: &str) -> Option<(String, String)> {
    if text.is_ascii() {
        return None;
    }
    let odd = text.chars().find(|&c| alike(c) != Some(c))?;
    let meant: String = text.chars().filter_map(alike).collect();
    let why = match odd {
        '\u{ff01}'..='\u{ff5e}' => format!("`{odd}` is a full-width character"),
        _ if alike(odd).is_none() => format!("there is an invisible character (U+{:04X}) in this word", u32::from(odd)),
        _ => format!("`{odd}` is not the `{}` that it looks like", alike(odd).unwrap_or(odd)),
    };
    Some((meant, why))
}

/// The character that one looks like; none for one that is not seen.
fn alike(c: char) -> Option<char> {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '‐' | '‑' | '‒' | '–' | '—' | '−' | '﹣' => Some('-'),
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' => None,
        _ => Some(c),
    }
}

/// What is wrong with a number: code, message, hint and what was meant.
type Odd = (&'static str, String, String, Scalar);

/// A number in a form that KDL does not have; none where the word is none.
pub(super) fn number(text: &str) -> Option<Odd> {
    if let Some(rest) = text.strip_prefix('$') {
        let name = rest.split(|c: char| "/*+^".contains(c)).next().unwrap_or_default();
        let hint = format!("declare a parameter of its own, beside `${name}`");
        return (name.len() < rest.len())
            .then(|| ("dollar-in-text", format!("there is no arithmetic: `{text}`"), hint, Scalar::Wrong));
    }
    let read = |text: &str| slips::number(Span::new(FileId(0), 0..0), text, &mut Vec::new());
    let told = |message: String, meant: &str| {
        Some(("number-form", message, format!("write `{meant}`"), read(meant).unwrap_or(Scalar::Wrong)))
    };
    if let Some(meant) = text.strip_prefix('±').filter(|meant| read(meant).is_some()) {
        return told(format!("`{text}` is not a number"), meant);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let groups: Vec<&str> = text.split([',', '\'', '’']).collect();
    let all = groups.iter().all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if groups.len() > 1
        && all
        && groups[1..].iter().all(|group| group.len() == 3)
        && groups[0].len() <= 3
        && groups[0] != "0"
    {
        return told(format!("digits are not grouped by a comma or an apostrophe: `{text}`"), &groups.concat());
    }
    if let [whole, fraction] = groups[..]
        && all
        && text.contains(',')
    {
        return told(format!("a number has a point, not a comma: `{text}`"), &format!("{whole}.{fraction}"));
    }
    if let Some((over, under)) = text.split_once('/')
        && let (Ok(over), Ok(under)) = (over.parse::<f64>(), under.parse::<f64>())
        && under != 0.0
    {
        let value = (over / under * 1e4).round() / 1e4;
        return told(format!("there are no fractions: `{text}`"), &format!("{value:?}"));
    }
    if let Some((width, height)) = text.split_once('×') {
        let meant = if width == height { width } else { "…" };
        return told(format!("`{text}` is not a number"), meant);
    }
    if text.contains("..") {
        let hint = "give one value; a sweep takes several".to_owned();
        return Some(("number-form", format!("`{text}` is neither a number nor a name"), hint, Scalar::Wrong));
    }
    if text.contains(['*', '^']) || digits.contains('+') && !text.contains(['e', 'E']) {
        let hint = "there is no arithmetic: write the number".to_owned();
        return Some(("number-form", format!("`{text}` is not a number"), hint, Scalar::Wrong));
    }
    if text.contains(['O', 'o', 'l', 'I']) && text.bytes().all(|byte| byte.is_ascii_digit() || b"OolI".contains(&byte))
    {
        let meant = text.replace(['O', 'o'], "0").replace(['l', 'I'], "1");
        return told(format!("`{text}` is neither a number nor a name: it has a letter in it"), &meant);
    }
    None
}
