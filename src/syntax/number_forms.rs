//! Numbers as other languages and other countries write them (`1,000`, `1/2`, `50%`, `128px`, `.5`), and what was meant. Reports
//! nothing itself.

use super::scalar::{Scalar, quiet_number};

/// A mistake in a number: code, message, hint, and the value that was meant.
type NumberSlip = (&'static str, String, String, Scalar);

/// A number in a form that KDL does not have; [`None`] if the word is not one.
pub(super) fn slip(text: &str) -> Option<NumberSlip> {
    if let Some((form, value)) = pointed(text) {
        let message = format!("a number needs digits on both sides of the decimal point: `{text}`");
        return Some(("number-form", message, format!("write `{form}`"), value));
    }
    if let Some(percent) = text.strip_suffix('%').and_then(decimal) {
        let value = fraction(percent);
        let message = "KDL has no percent sign".to_owned();
        return Some(("percent", message, format!("write `{value:?}`"), Scalar::Real(value)));
    }
    if let Some((value, unit)) = with_unit(text) {
        let hint = format!("write `{value}`; the signature fixes the unit");
        return Some(("unit", format!("a number is written without its unit `{unit}`"), hint, value));
    }
    foreign(text)
}

/// A number as other languages and countries write it.
fn foreign(text: &str) -> Option<NumberSlip> {
    if let Some(rest) = text.strip_prefix('$') {
        let name = rest.split(|c: char| "/*+^".contains(c)).next().unwrap_or_default();
        let hint = format!("declare another parameter next to `${name}`");
        return (name.len() < rest.len())
            .then(|| ("dollar-in-text", format!("arithmetic is not supported: `{text}`"), hint, Scalar::Wrong));
    }
    let report = |message: String, meant: &str| {
        Some(("number-form", message, format!("write `{meant}`"), quiet_number(meant).unwrap_or(Scalar::Wrong)))
    };
    if let Some(meant) = text.strip_prefix('±').filter(|meant| quiet_number(meant).is_some()) {
        return report(format!("`{text}` is not a number"), meant);
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
        return report(format!("digits cannot be grouped with commas or apostrophes: `{text}`"), &groups.concat());
    }
    if let [whole, fraction] = groups[..]
        && all
        && text.contains(',')
    {
        return report(format!("use a decimal point, not a comma: `{text}`"), &format!("{whole}.{fraction}"));
    }
    if let Some((over, under)) = text.split_once('/')
        && let (Ok(over), Ok(under)) = (over.parse::<f64>(), under.parse::<f64>())
        && under != 0.0
    {
        let value = (over / under * 1e4).round() / 1e4;
        return report(format!("write fractions as decimal numbers: `{text}`"), &format!("{value:?}"));
    }
    if let Some((width, height)) = text.split_once('×') {
        let meant = if width == height { width } else { "…" };
        return report(format!("`{text}` is not a number"), meant);
    }
    if text.contains("..") {
        let hint = "give one value; a sweep takes several".to_owned();
        return Some(("number-form", format!("`{text}` is neither a number nor a name"), hint, Scalar::Wrong));
    }
    if text.contains(['*', '^']) || digits.contains('+') && !text.contains(['e', 'E']) {
        let hint = "arithmetic is not supported; write the result".to_owned();
        return Some(("number-form", format!("`{text}` is not a number"), hint, Scalar::Wrong));
    }
    if text.contains(['O', 'o', 'l', 'I']) && text.bytes().all(|byte| byte.is_ascii_digit() || b"OolI".contains(&byte))
    {
        let meant = text.replace(['O', 'o'], "0").replace(['l', 'I'], "1");
        return report(format!("`{text}` is neither a number nor a name: it contains a letter"), &meant);
    }
    None
}

/// A plain decimal number.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let begins = digits.starts_with(|c: char| c.is_ascii_digit()) || digits.starts_with('.');
    (begins && digits.chars().all(|c| c.is_ascii_digit() || c == '.')).then(|| text.parse().ok())?
}

/// `.5` and `1.` with the missing zero.
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
    let value = quiet_number(&form)?;
    Some((form, value))
}

/// `128px`: a number and the common unit that follows it.
fn with_unit(text: &str) -> Option<(Scalar, &str)> {
    let at = text.find(|c: char| c.is_alphabetic() || c == '°')?;
    let unit = &text[at..];
    let known = ["px", "deg", "°", "degrees", "s", "ms", "min", "x", "epochs", "mm", "um", "K", "k", "M", "MB", "GB"];
    if !known.contains(&unit) {
        return None;
    }
    let value = quiet_number(&text[..at])?;
    Some((value, unit))
}

/// A percentage as a fraction, without the rounding noise of the division.
fn fraction(percent: f64) -> f64 {
    (percent * 1e8).round() / 1e10
}
