//! What must not be in a pack unless it was asked for: names of photographs, patients, users and machines. Looks for them as
//! whole words in every byte that is written. Compressed content (Parquet, PNG) is not looked into: whether that may be
//! packed depends on its type.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Shortest word that is looked for alone: `1` or `left` stand everywhere.
const SHORTEST: usize = 5;

/// User and host names that say nothing about a person.
const ANYBODY: [&str; 14] = [
    "root",
    "user",
    "admin",
    "administrator",
    "ubuntu",
    "debian",
    "fedora",
    "docker",
    "runner",
    "nobody",
    "localhost",
    "guest",
    "jovyan",
    "vagrant",
];

/// Words that must not occur.
#[derive(Debug, Default)]
pub(super) struct Forbidden {
    words: HashSet<Vec<u8>>,
    /// Absolute paths, without their first `/`.
    paths: HashSet<Vec<u8>>,
    /// For the first run of letters and digits of each word, the lengths of the words that begin with it.
    lengths: BTreeMap<Vec<u8>, BTreeSet<usize>>,
    longest: usize,
}

impl Forbidden {
    /// Forbids the name of a photograph or of a patient. A name that is too short to be distinguished from other words is not looked for.
    pub(super) fn add_name(&mut self, name: &str) {
        let has_letter = name.chars().any(char::is_alphabetic);
        let has_digit = name.chars().any(|c| c.is_ascii_digit());
        let is_telling = name.len() >= SHORTEST && (has_letter && has_digit || name.len() > 2 * SHORTEST);
        let is_number = name.len() > SHORTEST && !has_letter && has_digit;
        if is_telling || is_number {
            self.add(name);
        }
    }

    /// Forbids the name of a user or a machine, unless it is one that many have.
    pub(super) fn add_identity(&mut self, name: &str) {
        if name.len() >= SHORTEST - 1 && !ANYBODY.contains(&name.to_lowercase().as_str()) {
            self.add(name);
        }
    }

    /// Forbids a path on this machine.
    pub(super) fn add_path(&mut self, path: &str) {
        let path = path.trim_end_matches('/').trim_start_matches('/');
        if let Some(word) = self.index(path) {
            self.paths.insert(word);
        }
    }

    fn add(&mut self, word: &str) {
        if let Some(word) = self.index(word) {
            self.words.insert(word);
        }
    }

    /// Notes where a word would be found; returns it from its first letter or digit on.
    fn index(&mut self, word: &str) -> Option<Vec<u8>> {
        let bytes = word.as_bytes();
        let word = &bytes[bytes.iter().position(|byte| is_word(*byte))?..];
        let first = word.iter().position(|byte| !is_word(*byte)).unwrap_or(word.len());
        self.longest = self.longest.max(word.len());
        self.lengths.entry(word[..first].to_vec()).or_default().insert(word.len());
        Some(word.to_vec())
    }

    /// A search through the bytes of one file.
    #[must_use]
    pub(super) fn search(&self) -> WordSearch<'_> {
        WordSearch { forbidden: self, held: Vec::new(), before: None, found: None }
    }

    /// The first forbidden word in a text.
    #[must_use]
    pub(super) fn first_in(&self, text: &str) -> Option<String> {
        let mut search = self.search();
        search.add(text.as_bytes());
        search.finish()
    }
}

/// Letters and digits of ASCII, and everything beyond it.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// A search through bytes that arrive in pieces. Holds no more of them than the longest word.
pub(super) struct WordSearch<'a> {
    forbidden: &'a Forbidden,
    held: Vec<u8>,
    /// The byte before the held ones.
    before: Option<u8>,
    found: Option<String>,
}

impl WordSearch<'_> {
    /// Looks through the next bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.found.is_some() || self.forbidden.lengths.is_empty() {
            return;
        }
        self.held.extend_from_slice(bytes);
        // A word that begins before this place ends, with the byte after it, in what is held.
        let sure = self.held.len().saturating_sub(self.forbidden.longest + 1);
        self.look(sure);
    }

    /// The first forbidden word that was found.
    #[must_use]
    pub(super) fn finish(mut self) -> Option<String> {
        self.look(self.held.len());
        self.found
    }

    fn look(&mut self, until: usize) {
        let mut at = 0;
        let mut before = self.before;
        while at < until && self.found.is_none() {
            let byte = self.held[at];
            if is_word(byte) && !before.is_some_and(is_word) {
                self.look_at(at, before);
            }
            before = Some(byte);
            at += 1;
        }
        self.before = before;
        self.held.drain(..at);
    }

    fn look_at(&mut self, at: usize, before: Option<u8>) {
        let rest = &self.held[at..];
        let first = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
        // A run that is longer than every word is none of them.
        if first > self.forbidden.longest {
            return;
        }
        for length in self.forbidden.lengths.get(&rest[..first]).into_iter().flatten() {
            let ends = rest.get(*length).is_none_or(|byte| !is_word(*byte));
            let is_path = |word: &[u8]| before == Some(b'/') && self.forbidden.paths.contains(word);
            let is_meant = |word: &[u8]| ends && (self.forbidden.words.contains(word) || is_path(word));
            if let Some(word) = rest.get(..*length).filter(|word| is_meant(word)) {
                self.found = Some(String::from_utf8_lossy(word).into_owned());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden() -> Forbidden {
        let mut forbidden = Forbidden::default();
        for name in ["IDRiD_01", "IDRiD_02", "12", "004711", "Jane Doe 1970"] {
            forbidden.add_name(name);
        }
        for name in ["root", "mariana"] {
            forbidden.add_identity(name);
        }
        for path in ["/srv/mariana/data", "/opt"] {
            forbidden.add_path(path);
        }
        forbidden
    }

    #[test]
    fn names_are_found_as_words_and_nothing_else_is() {
        let forbidden = forbidden();
        for (text, found) in [
            ("photograph IDRiD_01.jpg", Some("IDRiD_01")),
            ("parts/IDRiD_02_x128.parquet", Some("IDRiD_02")),
            ("\"IDRiD_02\"", Some("IDRiD_02")),
            ("IDRiD_03 IDRiD_011 aIDRiD_01", None),
            ("12 photographs, run as root", None),
            ("patient 004711, 1004711", Some("004711")),
            ("x Jane Doe 1970-01-01", Some("Jane Doe 1970")),
            ("by mariana", Some("mariana")),
            ("/srv/mariana/data/idrid", Some("srv/mariana/data")),
            ("marianas", None),
            ("data/x at srv/mariana/data", Some("mariana")),
            ("root \"/opt/data\"", Some("opt")),
            ("opt \"data\"", None),
        ] {
            assert_eq!(forbidden.first_in(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn a_name_is_found_however_the_bytes_arrive() {
        let forbidden = forbidden();
        let text = format!("{} IDRiD_02 {}", "x".repeat(300), "y ".repeat(100));
        for size in [1, 2, 3, 7, 64, 305, 1000] {
            let mut search = forbidden.search();
            text.as_bytes().chunks(size).for_each(|piece| search.add(piece));
            assert_eq!(search.finish().as_deref(), Some("IDRiD_02"), "pieces of {size} bytes");
        }
    }
}
