//! A KDL value, and the numbers that KDL knows. The lowest module of the syntax: it imports none of the others.

use std::fmt;

use crate::base::{FileId, Span};
use crate::diag::Diag;

/// A value as KDL knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A string, quoted or not.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Real(f64),
    /// `#true` or `#false`.
    Bool(bool),
    /// `#null`.
    Null,
    /// Unreadable, which was reported.
    Wrong,
}

/// As written in a pipeline, without quotes.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Bool(flag) => write!(f, "#{flag}"),
            Self::Null => f.write_str("#null"),
            Self::Wrong => f.write_str("…"),
        }
    }
}

/// Whether an unquoted word starts like a number: at most a sign and a point before its first digit. KDL has no such names.
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

/// The value of a well-formed number; nothing is reported.
pub(super) fn quiet_number(text: &str) -> Option<Scalar> {
    number(Span::new(FileId(0), 0..0), text, &mut Vec::new())
}
