//! Replacement of the names of photographs and patients by running numbers: a page may leave the machine, names may not.

use std::collections::{BTreeMap, BTreeSet};

/// Most parts (letters and digits between other characters) of a name that is looked for in a text.
const MOST_PARTS: usize = 8;

/// Names that a page must not show, and their replacements.
#[derive(Clone, Debug, Default)]
pub struct NameReplacements {
    replaced: BTreeMap<String, String>,
    shown: bool,
}

impl NameReplacements {
    /// Running numbers for all names, in their order. A name that is both counts as a photograph's.
    #[must_use]
    pub fn numbered(photographs: &BTreeSet<String>, patients: &BTreeSet<String>) -> Self {
        let number = |names: &BTreeSet<String>, what: &str| -> Vec<(String, String)> {
            names.iter().enumerate().map(|(i, name)| (name.clone(), format!("{what} {}", i + 1))).collect()
        };
        let mut replaced: BTreeMap<String, String> = number(patients, "patient").into_iter().collect();
        replaced.extend(number(photographs, "photograph"));
        Self { replaced, shown: false }
    }

    /// No replacements: the user asked for the names.
    #[must_use]
    pub fn shown() -> Self {
        Self { replaced: BTreeMap::new(), shown: true }
    }

    /// Replacement of one name.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        if self.shown {
            return name.to_owned();
        }
        self.replaced.get(name).cloned().unwrap_or_else(|| "a photograph".to_owned())
    }

    /// Text with every name in it replaced. A name without letters (`12`) is replaced only between backticks, since counts look the
    /// same.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.replaced.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        while let Some(first) = rest.chars().next() {
            let starts = !before.is_some_and(char::is_alphanumeric);
            if starts && let Some((name, number)) = self.at(rest, before) {
                out.push_str(number);
                before = name.chars().last();
                rest = &rest[name.len()..];
                continue;
            }
            out.push(first);
            before = Some(first);
            rest = &rest[first.len_utf8()..];
        }
        out
    }

    /// Longest name at the start of `rest`, and its replacement.
    fn at<'a>(&'a self, rest: &'a str, before: Option<char>) -> Option<(&'a str, &'a str)> {
        let ends = rest.char_indices().filter(|&(i, c)| i > 0 && !c.is_alphanumeric()).map(|(i, _)| i);
        let mut ends: Vec<usize> = ends.take(MOST_PARTS).collect();
        if ends.len() < MOST_PARTS {
            ends.push(rest.len());
        }
        ends.into_iter().rev().find_map(|end| {
            let name = &rest[..end];
            let number = self.replaced.get(name)?;
            let plain = name.chars().any(char::is_alphabetic);
            let quoted = before == Some('`') && rest[end..].starts_with('`');
            (plain || quoted).then_some((name, number.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> NameReplacements {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        NameReplacements::numbered(&set(&["IDRiD_01", "IDRiD_01.b", "12", "left eye"]), &set(&["Ann-Marie"]))
    }

    #[test]
    fn names_in_texts_become_numbers() {
        let text = "`IDRiD_01` and IDRiD_01.b of Ann-Marie, left eye";
        assert_eq!(names().redact(text), "`photograph 2` and photograph 3 of patient 1, photograph 4");
    }

    #[test]
    fn a_name_within_a_longer_word_stays() {
        assert_eq!(names().redact("IDRiD_011 xIDRiD_01"), "IDRiD_011 xIDRiD_01");
    }

    #[test]
    fn counts_are_not_names() {
        assert_eq!(names().redact("12 patches of `12`"), "12 patches of `photograph 1`");
    }

    #[test]
    fn asked_for_names_are_shown() {
        assert_eq!(NameReplacements::shown().redact("IDRiD_01"), "IDRiD_01");
        assert_eq!(NameReplacements::shown().of("IDRiD_01"), "IDRiD_01");
    }
}
