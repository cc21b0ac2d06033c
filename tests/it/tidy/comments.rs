//! Words in comments and in the names of tests that readers of English would not use. Knows no grammar.

use super::{files, is_rust, scan};

/// Words, and what to write instead.
const WORDS: [(&str, &str); 6] = [
    ("told", "reported, distinguished"),
    ("tells", "reports"),
    ("anew", "again"),
    ("beside", "next to"),
    ("cant", "cannot"),
    ("made photographs", "synthetic photographs"),
];

/// Words that are good English in comments: `tells` with an object.
const ONLY_IN_NAMES: [&str; 1] = ["tells"];

/// Comments of a file and names of its tests, as lower-case words, each with its line.
fn texts(source: &str) -> Vec<(usize, bool, String)> {
    let mut all: Vec<(usize, bool, String)> = scan::comments(source)
        .into_iter()
        .map(|(line, text)| (line, false, text.split('`').step_by(2).collect::<Vec<_>>().join(" ")))
        .collect();
    let mut is_test = false;
    for (number, line) in (1..).zip(source.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = name.split('(').next().unwrap_or_default();
            all.push((number, true, name.replace('_', " ")));
        }
        is_test = line == "#[test]" || is_test && line.starts_with("#[");
    }
    all
}

/// The words in a file, each with its line and what to write instead.
fn found(source: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    for (line, is_name, text) in texts(source) {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && !"-'".contains(c)).collect();
        let text = format!(" {} ", words.join(" "));
        let here = WORDS.into_iter().filter(|(word, _)| text.contains(&format!(" {word} ")));
        let here = here.filter(|(word, _)| is_name || !ONLY_IN_NAMES.contains(word));
        found.extend(here.map(|(word, better)| (line, word, better)));
    }
    found
}

#[test]
fn comments_and_names_of_tests_use_words_of_the_field() {
    let sources = files(&["src", "crates", "tests"]);
    let rust = sources.iter().filter(|(path, _)| is_rust(path) && path != "tests/it/tidy/comments.rs");
    let of = |(path, source): &(String, String)| {
        let found = found(source).into_iter();
        found.map(|(line, word, better)| format!("{path}:{line}: `{word}` (better: {better})")).collect::<Vec<_>>()
    };
    let found: Vec<String> = rust.flat_map(of).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_word_is_found_in_comments_and_names_and_not_in_code() {
    let of = |source: &str| found(source).into_iter().map(|(line, word, _)| (line, word)).collect::<Vec<_>>();
    assert_eq!(of("/// It is told.\nfn told() {}\nlet told = \"anew\"; // Anew, `beside`"), [(1, "told"), (3, "anew")]);
    assert_eq!(of("#[test]\nfn a_slip_is_told() {}"), [(2, "told")]);
    assert_eq!(of("#[test]\n#[cfg(unix)]\nfn why_tells() {} // it tells why"), [(3, "tells")]);
    assert_eq!(of("/* from made\nphotographs */"), [(1, "made photographs")]);
    assert!(of("// a hand-made one, retold\nfn tells() {}").is_empty());
}
