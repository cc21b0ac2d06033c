//! Name normalisation: Unicode composition (macOS decomposes accents, other systems do not) and case. Knows no files.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A text in NFC.
#[must_use]
pub fn nfc(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// Normalised form of a name: NFC and lower case.
#[must_use]
pub fn normalised(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let lower: String = name.nfc().flat_map(char::to_lowercase).collect();
    nfc(&lower).into_owned()
}

/// A text in lower case with byte offsets preserved: letters whose length would change are kept.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let small = |letter: char| {
        let mut lower = letter.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) if one.len_utf8() == letter.len_utf8() => one,
            _ => letter,
        }
    };
    text.chars().map(small).collect()
}

/// Words of a name, normalised: runs of letters, and runs of digits without leading zeros. Names with the same words nearly match:
/// `IDRiD_01_MA`, `idrid-1-ma`.
#[must_use]
pub fn words(name: &str) -> Vec<String> {
    #[derive(PartialEq)]
    enum CharClass {
        Letters,
        Digits,
        Neither,
    }
    let run = |letter: char| {
        if letter.is_ascii_digit() {
            CharClass::Digits
        } else if letter.is_alphanumeric() {
            CharClass::Letters
        } else {
            CharClass::Neither
        }
    };
    let text = normalised(name);
    let mut words: Vec<String> = Vec::new();
    let mut last = CharClass::Neither;
    for letter in text.chars() {
        let own = run(letter);
        match words.last_mut().filter(|_| own == last) {
            Some(word) if own != CharClass::Neither => word.push(letter),
            _ if own != CharClass::Neither => words.push(letter.to_string()),
            _ => {}
        }
        last = own;
    }
    for word in &mut words {
        let rest = word.trim_start_matches('0');
        if rest.len() < word.len() {
            *word = if rest.is_empty() { "0".to_owned() } else { rest.to_owned() };
        }
    }
    words
}

/// A file's name without its extension, and the extension. A DICOM file is often called by an identifier such as `1.2.840.99.7`, whose last
/// number is not an extension.
#[must_use]
pub fn name_and_extension(name: &str) -> (&str, &str) {
    let is_identifier = name.matches('.').count() > 2 && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_identifier { (name, "") } else { name.rsplit_once('.').unwrap_or((name, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_the_same() {
        assert_eq!(normalised("Zoe\u{308}.PNG"), normalised("zo\u{eb}.png"));
        assert_eq!(normalised("ÉTÉ"), normalised("e\u{301}te\u{301}"));
        assert_ne!(normalised("zoe"), normalised("zoë"));
        assert_eq!(folded("ÉA\u{212a}"), "éa\u{212a}", "the Kelvin sign would get shorter");
        assert_eq!(nfc("e\u{301}"), "é");
    }

    #[test]
    fn words_are_letters_and_numbers() {
        assert_eq!(words("IDRiD_01_MA"), ["idrid", "1", "ma"]);
        assert_eq!(words("Copy of IDRiD-001MA (1)"), ["copy", "of", "idrid", "1", "ma", "1"]);
        assert_eq!(words("_00_.a"), ["0", "a"]);
        assert!(words("--").is_empty());
    }
}
