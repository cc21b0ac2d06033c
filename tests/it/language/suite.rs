//! The corpus of mistakes under tests/suite: what is reported for each file is what its author needs to know, and nothing else.
//!
//! A line that holds a mistake ends in `//~ code «text that is marked» says «a piece of the message» hint «a piece of the hint»`, with
//! `warning` before the code where it is no error. A comment `//~^` is for the line above it, `//~^^` for the one above that.
//! Where a comment would change the mistake, a file `NAME.expected` next to it has lines `LINE: code «…» says «…» hint «…»`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use macula::base::Sources;
use macula::diag::{Diag, Severity, catalogue};
use macula::lang;
use macula::lang::spec::Points;

/// What is to be reported.
#[derive(Debug)]
struct Expected {
    line: usize,
    warning: bool,
    code: String,
    marked: String,
    says: String,
    hint: String,
}

impl Expected {
    fn read(line: usize, text: &str) -> Self {
        let part = |before: &str| {
            let (_, rest) = text.split_once(&format!("{before}«")).unwrap_or_else(|| panic!("`{before}«…»` in {text}"));
            rest.split_once('»').unwrap_or_else(|| panic!("`»` in {text}")).0.to_owned()
        };
        let head = text.split_once('«').map_or(text, |(head, _)| head).trim();
        let code = head.strip_prefix("warning ").unwrap_or(head);
        Self {
            line,
            warning: code.len() < head.len(),
            code: code.to_owned(),
            marked: part(" "),
            says: part("says "),
            hint: part("hint "),
        }
    }
}

/// The files of the corpus; those of `shared` are for others to use.
pub(super) fn files() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/suite")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("shared") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "kdl") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn expected(path: &Path, text: &str) -> Vec<Expected> {
    let beside = path.with_extension("expected");
    if let Ok(beside) = fs::read_to_string(beside) {
        let said = beside.lines().map(|line| line.split_once(": ").expect("`LINE: …`"));
        return said.map(|(line, said)| Expected::read(line.parse().expect("a line"), said)).collect();
    }
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for said in line.split("//~").skip(1) {
            let up = said.len() - said.trim_start_matches('^').len();
            all.push(Expected::read(number - up, &said[up..]));
        }
    }
    all
}

/// How the files did.
#[derive(Default)]
struct Count {
    mistakes: usize,
    names: usize,
    marks: usize,
    hints: usize,
    wrong: Vec<String>,
}

fn told(diag: &Diag, sources: &Sources) -> (usize, String) {
    let span = diag.labels[0].span;
    (sources.line_column(span).0, sources.get(span.file).text[span.range()].to_owned())
}

fn compare(path: &Path, count: &mut Count) {
    let text = fs::read_to_string(path).expect("text");
    let mut sources = Sources::default();
    let (contents, mut diags) = lang::load(path, &[], Points::All, &mut sources).expect("readable");
    macula::plan::validate_params(&contents, macula::stages::registry(), &mut diags);
    let mut wrong = String::new();
    let expected = expected(path, &text);
    assert!(!expected.is_empty(), "{} expects nothing", path.display());
    for one in expected {
        count.mistakes += 1;
        let fits = |diag: &Diag| {
            diag.code == one.code
                && (diag.severity == Severity::Warning) == one.warning
                && told(diag, &sources).0 == one.line
        };
        // Two of one name on a line are distinguished by what they mark.
        let best = diags.iter().position(|diag| fits(diag) && told(diag, &sources).1 == one.marked);
        let Some(at) = best.or_else(|| diags.iter().position(fits)) else {
            let _ = writeln!(wrong, "  not told: {}: {} «{}»", one.line, one.code, one.marked);
            continue;
        };
        let diag = diags.remove(at);
        let (line, marked) = told(&diag, &sources);
        let hint = diag.hint.clone().unwrap_or_default();
        count.names += 1;
        count.marks += usize::from(marked == one.marked);
        count.hints += usize::from(hint.contains(&one.hint) && diag.message.contains(&one.says));
        for (what, found, wanted, right) in [
            ("marks", &marked, &one.marked, marked == one.marked),
            ("says", &diag.message, &one.says, diag.message.contains(&one.says)),
            ("hint", &hint, &one.hint, hint.contains(&one.hint)),
        ] {
            if !right {
                let _ = writeln!(wrong, "  {line}: {} {what} «{found}», wanted «{wanted}»", diag.code);
            }
        }
    }
    for diag in &diags {
        let (line, marked) = told(diag, &sources);
        let hint = diag.hint.as_deref().unwrap_or_default();
        let _ = writeln!(wrong, "  too much: {line}: {} «{marked}» says «{}» hint «{hint}»", diag.code, diag.message);
    }
    if !wrong.is_empty() {
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
        count.wrong.push(format!("{}\n{wrong}", name.display()));
    }
}

#[test]
fn every_file_of_the_corpus_gets_the_reports_that_it_expects_and_no_others() {
    let mut count = Count::default();
    let files = files();
    assert!(files.len() >= 150, "{} files", files.len());
    for path in &files {
        compare(path, &mut count);
    }
    let Count { mistakes, names, marks, hints, wrong } = count;
    println!(
        "{} files with {mistakes} mistakes: right name {names}, span {marks}, message and hint {hints}; {} files wrong",
        files.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Codes that a file of the corpus can't show alone: of `--set`, of texts that are too long to stand here, and of packages, which
/// need a project around them; those of sweeps are shown by the tests of sweeps.
const ELSEWHERE: [&str; 11] = [
    "set-form",
    "too-large",
    "unknown-package",
    "package-unpinned",
    "package-digest",
    "package-files",
    "outside-package",
    "sweep-axis",
    "too-many-points",
    "unknown-figure",
    "chosen-on-test",
];

#[test]
fn every_code_of_the_language_is_in_the_corpus() {
    let mut shown = BTreeSet::new();
    for path in files() {
        let text = fs::read_to_string(&path).expect("text");
        shown.extend(expected(&path, &text).into_iter().map(|expected| expected.code));
    }
    let language = catalogue::of_the_language().map(|page| page.code);
    let missing: Vec<&str> = language.filter(|code| !shown.contains(*code) && !ELSEWHERE.contains(code)).collect();
    assert!(missing.is_empty(), "no file under tests/suite shows {missing:?}");
}
