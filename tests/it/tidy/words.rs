//! Phrases that a native speaker of the field would not write, in what users read: texts and help in `src/`, the standard
//! library, pipelines and documentation. Knows nothing of grammar; each phrase has a better one.

use super::{files, scan};

/// Phrases, and what to write instead. A phrase matches whole words, in upper and lower case.
const PHRASES: [(&str, &str); 44] = [
    ("is no", "is not a"),
    ("are no", "are not"),
    ("was no", "was not a"),
    ("anew", "again"),
    ("told", "reported"),
    ("tells of", "reports"),
    ("can't", "cannot"),
    ("what it came to", "its results"),
    ("came to", "resulted in"),
    ("comes to", "results in"),
    ("is nothing", "is not a …"),
    ("as it is there", "as it occurs"),
    ("than it is there", "than it occurs"),
    ("of that name", "unknown …"),
    ("of this name", "unknown …"),
    ("of that kind", "unknown …"),
    ("alone", "only"),
    ("beside", "next to"),
    ("made photographs", "synthetic photographs"),
    ("made pictures", "synthetic images"),
    ("lies in", "is in"),
    ("lie in", "are in"),
    ("lies below", "is below"),
    ("lie below", "be below"),
    ("lies there", "is there"),
    ("stands in", "is in"),
    ("stands beside", "is next to"),
    ("goes on from", "resumes from"),
    ("gone on from", "resumed from"),
    ("to go on", "to continue"),
    ("taken up again", "resumed"),
    ("defect of macula", "bug in macula"),
    ("says of", "says about"),
    ("none where", "`None` if, none when"),
    ("where none", "if there is no …"),
    ("mended", "fixed"),
    ("otherwise than", "differently from"),
    ("handed on", "passed on"),
    ("brought in", "imported"),
    ("in place of", "instead of"),
    ("what was finished", "finished results"),
    ("no word of", "no mention of"),
    ("walled off", "sandboxed"),
    ("trainings", "training runs"),
];

/// What follows a phrase and makes it good English.
const FOLLOWED_BY: [(&str, &str); 5] =
    [("is no", "longer"), ("are no", "longer"), ("was no", "longer"), ("is no", "better"), ("is nothing", "to")];

/// What stands before a phrase and makes it good English: right before it, or for `alone` a few words before.
const AFTER: [(&str, &str); 4] =
    [("is no", "there"), ("are no", "there"), ("was no", "there"), ("is nothing", "there")];

/// Words with which `alone` does not mean `only`: "leaves the rest alone".
const LEFT: [&str; 4] = ["leave", "leaves", "left", "leaving"];

/// Uses that stay: the file, and the words around the phrase.
const ALLOWED: [(&str, &str); 5] = [
    // Names that are formats, or old names that are still read.
    ("src/cli/push.rs", "anew"),
    ("src/store/action.rs", "anew"),
    ("src/store/runs.rs", "anew"),
    ("src/cli/package.rs", "can't be read"),
    ("src/run/results/user_files.rs", "made anew by each run"),
];

/// A stretch of text that users read.
struct Passage {
    /// Its words in lower case, without quoted code, one space between two.
    text: String,
    /// The line of the file on which each word begins, by its place in `text`.
    lines: Vec<(usize, usize)>,
}

impl Passage {
    /// The passage of some lines, each with its number.
    fn new<'a>(lines: impl IntoIterator<Item = (usize, &'a str)>) -> Self {
        let mut passage = Self { text: String::new(), lines: Vec::new() };
        let mut quoted = false;
        for (number, line) in lines {
            for word in line.split_whitespace() {
                let mut kept = String::new();
                for (at, part) in word.split('`').enumerate() {
                    quoted ^= at > 0;
                    kept.push_str(if quoted { "`" } else { part });
                }
                passage.lines.push((passage.text.len(), number));
                passage.text.push_str(&kept.to_lowercase());
                passage.text.push(' ');
            }
        }
        passage
    }

    /// The line of the word at a byte of the text.
    fn line(&self, at: usize) -> usize {
        let word = self.lines.partition_point(|(start, _)| *start <= at);
        self.lines.get(word.saturating_sub(1)).map_or(0, |(_, line)| *line)
    }

    /// The phrases in it: each with its line, what to write instead, and the words around it.
    fn found(&self) -> Vec<(usize, &'static str, &'static str, String)> {
        let mut found = Vec::new();
        for (phrase, better) in PHRASES {
            for (at, _) in self.text.match_indices(phrase) {
                let (before, after) = (&self.text[..at], &self.text[at + phrase.len()..]);
                let inside = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '\'';
                let follows = |(of, word): &(&str, &str)| *of == phrase && after.trim_start().starts_with(word);
                let precedes = |(of, word): &(&str, &str)| *of == phrase && before.trim_end().ends_with(word);
                if before.ends_with(inside) || after.starts_with(inside) {
                    continue;
                }
                if phrase == "alone" && before.split(' ').rev().take(12).any(|word| LEFT.contains(&word)) {
                    continue;
                }
                if FOLLOWED_BY.iter().any(follows) || AFTER.iter().any(precedes) {
                    continue;
                }
                let start = before.char_indices().rev().nth(39).map_or(0, |(at, _)| at);
                let end = after.char_indices().nth(40).map_or(self.text.len(), |(n, _)| at + phrase.len() + n);
                found.push((self.line(at), phrase, better, self.text[start..end].trim().to_owned()));
            }
        }
        found
    }
}

/// The passages of a file that users read.
fn passages(path: &str, text: &str) -> Vec<Passage> {
    match path.rsplit('.').next() {
        Some("rs") => of_rust(path, text),
        Some("kdl") => of_kdl(text),
        Some("md") => of_markdown(text),
        _ => Vec::new(),
    }
}

/// Texts of a Rust file, and of a command the comments that clap shows as help; tests and reasons of lints are not shown.
fn of_rust(path: &str, source: &str) -> Vec<Passage> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut all: Vec<Passage> = scan::texts(source)
        .into_iter()
        .map(|(line, text)| Passage::new((line..).zip(text.replace("\\\n", "\n").replace("\\n", " ").lines())))
        .collect();
    if path.starts_with("src/cli/") {
        all.extend(paragraphs(source, |line| line.trim_start().starts_with("///")));
    }
    all
}

/// Strings and comments of a KDL file.
fn of_kdl(text: &str) -> Vec<Passage> {
    // Its strings and line comments are Rust's; its `#true` and its names hold no quote.
    let mut all: Vec<Passage> = scan::texts(text)
        .into_iter()
        .map(|(line, text)| Passage::new((line..).zip(text.replace("\\`", "`").lines())))
        .collect();
    all.extend(paragraphs(text, |line| line.trim_start().starts_with("//")));
    all
}

/// Paragraphs, list items and rows of tables, without blocks of code.
fn of_markdown(text: &str) -> Vec<Passage> {
    let mut code = false;
    let prose: Vec<String> = text
        .lines()
        .map(|line| {
            let fence = line.trim_start().starts_with("```");
            code ^= fence;
            let item = line.trim_start().starts_with("- ");
            if fence || code {
                String::new()
            } else if item || line.starts_with('|') {
                format!("\u{1}{line}")
            } else {
                line.to_owned()
            }
        })
        .collect();
    paragraphs(&prose.join("\n"), |_| true)
}

/// Lines that follow each other; an empty one, and one that is not `wanted`, ends a passage, and `\u{1}` begins one.
fn paragraphs(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Passage> {
    let mut all = vec![Vec::new()];
    for (number, line) in (1..).zip(text.lines()) {
        let begins = line.strip_prefix('\u{1}');
        if begins.is_some() || line.trim().is_empty() || !wanted(line) {
            all.push(Vec::new());
        }
        if wanted(line) {
            all.last_mut().expect("there is one").push((number, begins.unwrap_or(line)));
        }
    }
    all.into_iter().map(Passage::new).collect()
}

#[test]
fn users_read_no_tell_tale_phrases() {
    let folders = ["src", "stdlib", "pipelines", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let mut found = Vec::new();
    let mut used = Vec::new();
    for (path, text) in files(&folders) {
        for (line, phrase, better, around) in passages(&path, &text).iter().flat_map(Passage::found) {
            let allowed = ALLOWED.iter().position(|(file, words)| *file == path && around.contains(words));
            used.extend(allowed);
            if allowed.is_none() {
                found.push(format!("{path}:{line}: `{phrase}` (better: {better}) in: {around}"));
            }
        }
    }
    assert!(found.is_empty(), "{} phrases:\n{}", found.len(), found.join("\n"));
    let unused: Vec<_> = (0..ALLOWED.len()).filter(|at| !used.contains(at)).map(|at| ALLOWED[at]).collect();
    assert!(unused.is_empty(), "allowed, but not there: {unused:?}");
}

#[test]
fn a_phrase_is_found_across_lines_and_not_in_code() {
    let of = |path: &str, text: &str| -> Vec<(usize, &str)> {
        passages(path, text).iter().flat_map(Passage::found).map(|(line, phrase, ..)| (line, phrase)).collect()
    };
    assert_eq!(of("docs/a.md", "A\n\nThis is\nno word.\n"), [(3, "is no")]);
    assert!(of("docs/a.md", "There is no word, and this is no longer one.").is_empty());
    assert!(of("docs/a.md", "```\nis no\n```\n`is no`, thesis north").is_empty());
    assert_eq!(of("docs/a.md", "| a |\n| b anew |"), [(2, "anew")]);
    assert_eq!(of("src/a/b.rs", "//! Anew.\nconst A: &str = \"made \\\n    anew\";\n"), [(3, "anew")]);
    assert!(
        of("src/a/b.rs", "#[expect(a, reason = \"made anew\")]\n#[cfg(test)]\nconst B: &str = \"anew\";").is_empty()
    );
    assert_eq!(of("src/cli/b.rs", "/// Made anew.\nstruct A;"), [(1, "anew")]);
}
