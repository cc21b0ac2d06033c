//! Words of a POSIX shell.

/// A word as a shell reads it back: as it is, or in quotes.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-/=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_that_mean_something_to_a_shell_are_quoted() {
        assert_eq!(
            ["a-b/c.kdl", "", "a b", "it's", "$x"].map(quoted),
            ["a-b/c.kdl", "''", "'a b'", "'it'\\''s'", "'$x'"]
        );
    }
}
