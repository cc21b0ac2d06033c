//! Splits by name: patterns of photograph and patient names, `IDRiD_37..IDRiD_44` and `*`.

use std::cmp::Ordering;

use super::name_normalisation::nfc;
use super::patches::{Part, PatchSet};
use super::split::SPLITS;
use crate::stage::StageError;

/// Assigns each photograph to a split by the patterns given for each split. Photographs matching no pattern go to the split without
/// patterns (to `train` if several have none).
///
/// # Errors
/// `names` if a pattern matches nothing, or a photograph matches patterns of two splits or of none.
pub fn named(set: &PatchSet, patterns: &[Vec<String>; 3]) -> Result<Vec<usize>, StageError> {
    for (split, patterns) in SPLITS.iter().zip(patterns) {
        for pattern in patterns {
            if !set.parts.iter().any(|part| matches_part(pattern, part)) {
                let known =
                    set.parts.first().map_or_else(String::new, |part| format!(", such as `{}`", part.photograph));
                return Err(StageError::input("names", format!("`{pattern}` matches no photograph or patient"))
                    .hint(format!(
                        "use names of photographs{known} or patients; `A..B` matches names from A to B, `*` any text"
                    ))
                    .field(format!("names.{split}")));
            }
        }
    }
    let rest = (0..3).find(|split| patterns[*split].is_empty());
    let only_rest = (0..3).filter(|split| patterns[*split].is_empty()).count() == 1;
    let mut splits = Vec::with_capacity(set.parts.len());
    for part in &set.parts {
        let by: Vec<(usize, &String)> = (0..3)
            .filter_map(|split| {
                patterns[split].iter().find(|pattern| matches_part(pattern, part)).map(|found| (split, found))
            })
            .collect();
        match (by.as_slice(), rest) {
            ([(split, _)], _) => splits.push(*split),
            ([], Some(rest)) if rest == 0 || only_rest => splits.push(rest),
            ([], _) => {
                return Err(StageError::input(
                    "names",
                    format!("photograph `{}` is not assigned to any split", part.photograph),
                )
                .hint("add it to a split, or leave one split without names to take the rest")
                .field("names"));
            }
            ([(a, by_a), (b, by_b), ..], _) => {
                let text = format!(
                    "photograph `{}` matches `{by_a}` of `{}` and `{by_b}` of `{}`",
                    part.photograph, SPLITS[*a], SPLITS[*b]
                );
                return Err(StageError::input("names", text)
                    .hint("assign it to one split only")
                    .field(format!("names.{}", SPLITS[*b])));
            }
        }
    }
    Ok(splits)
}

fn matches_part(pattern: &str, part: &Part) -> bool {
    matches(pattern, &part.photograph) || part.patient.as_ref().is_some_and(|patient| matches(pattern, patient))
}

/// Whether a name matches a pattern: a range `A..B` (inclusive, numbers compared by value), or text in which `*` stands for any text.
/// Unicode normalisation is ignored.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    matches_as_written(pattern, name) || !pattern.is_ascii() && matches_as_written(&nfc(pattern), &nfc(name))
}

fn matches_as_written(pattern: &str, name: &str) -> bool {
    if let Some((first, last)) = pattern.split_once("..") {
        return by_name(first, name) != Ordering::Greater && by_name(name, last) != Ordering::Greater;
    }
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pattern.contains('*').then(|| pattern.rsplit('*').next().unwrap_or_default()) else {
        return rest.is_empty();
    };
    let middle: Vec<&str> = pieces.collect();
    for piece in &middle[..middle.len() - 1] {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Natural order of names: `eye_9` before `eye_10`.
#[must_use]
pub fn by_name(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (pieces(a), pieces(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match piece_order(a, b) {
                Ordering::Equal => {}
                other => return other,
            },
        }
    }
}

/// Alternating runs of digits and other text.
fn pieces(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let digits = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn piece_order(a: &str, b: &str) -> Ordering {
    let number = |piece: &str| piece.starts_with(|c: char| c.is_ascii_digit());
    if number(a) && number(b) {
        let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        return a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    }
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_numbers_and_include_both_ends() {
        let meant = |name: &str| matches("IDRiD_9..IDRiD_44", name);
        assert!(meant("IDRiD_9") && meant("IDRiD_10") && meant("IDRiD_44"));
        assert!(!meant("IDRiD_8") && !meant("IDRiD_45") && !meant("IDRiD_100"));
        assert!(matches("a_01..a_03", "a_02") && !matches("a_01..a_03", "b_02"));
    }

    #[test]
    fn a_star_is_any_text_and_no_star_is_the_whole_name() {
        assert!(matches("IDRiD_*", "IDRiD_01") && matches("*_01", "IDRiD_01") && matches("*", ""));
        assert!(matches("I*D_*1", "IDRiD_01") && !matches("I*X*1", "IDRiD_01"));
        assert!(matches("IDRiD_01", "IDRiD_01") && !matches("IDRiD_0", "IDRiD_01"));
        // The end may not lie within what the beginning took.
        assert!(!matches("aba*ba", "aba"));
        assert!(matches("Zo\u{eb}*", "Zoe\u{308}_1") && matches("Zoe\u{308}_1..Zoe\u{308}_3", "Zo\u{eb}_2"));
    }
}
