//! Mistakes: the fixtures say on the line what is to be reported there, `// error: code` or `// warning: code`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use macula::base::Sources;
use macula::diag::{self, Severity, Style};
use macula::lang;
use macula::lang::spec::Points;

use super::{codes, load, set};

/// Every fixture with its text.
fn fixtures() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/language/mistakes");
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the fixtures are there")
        .flatten()
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).expect("text"))
        })
        .collect();
    found.sort();
    found
}

/// `line: severity: code`, one a line.
fn expected(text: &str) -> String {
    let mut out = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.split_once("// ").map_or("", |(_, comment)| comment);
        for said in comment.split("; ").filter(|said| said.starts_with("error: ") || said.starts_with("warning: ")) {
            let _ = writeln!(out, "{number}: {said}");
        }
    }
    out
}

#[test]
fn every_mistake_is_reported_on_its_line_and_nothing_else_is() {
    let fixtures = fixtures();
    assert!(!fixtures.is_empty());
    for (name, text) in fixtures {
        let mut sources = Sources::default();
        let (_, diags) = lang::load_text(&name, None, &text, &[], Points::All, &mut sources);
        let mut found = String::new();
        for diag in &diags {
            let line = sources.line_column(diag.labels[0].span).0;
            let severity = if diag.severity == Severity::Error { "error" } else { "warning" };
            let _ = writeln!(found, "{line}: {severity}: {}", diag.code);
        }
        assert_eq!(found, expected(&text), "{name}");
    }
}

#[test]
fn twenty_mistakes_in_one_file_are_twenty_errors() {
    let (_, text) = fixtures().into_iter().find(|(name, _)| name == "twenty.kdl").expect("the fixture");
    let errors = load(&text).1.into_iter().filter(|diag| diag.severity == Severity::Error).count();
    assert_eq!(errors, 20);
}

#[test]
fn a_mistake_reads_so() {
    let text = "pipeline a seed=1 {\n    synthetic fundus\n    extract patches { from fundsu; size 2000 }\n}\n";
    let mut sources = Sources::default();
    let (_, diags) = lang::load_text("a.kdl", None, text, &[], Points::All, &mut sources);
    insta::assert_snapshot!(diag::render(&diags, &sources, Style::Plain, 100), @r"
    error[unknown-name]

      × unknown stage `fundsu`
       ╭─[a.kdl:3:28]
     3 │     extract patches { from fundsu; size 2000 }
       ·                            ──────
       ╰────
      help: did you mean `fundus`?
    error[out-of-range]

      × `size` cannot be 2000
       ╭─[a.kdl:3:41]
     3 │     extract patches { from fundsu; size 2000 }
       ·                                         ────
       ╰────
      help: must be from 8 to 1024
    2 errors
    ");
}

#[test]
fn a_way_through_several_stages_is_shown() {
    let text = "pipeline a seed=1 {\n    synthetic fundus\n    extract patches { from fundus }\n    rebalance even { from patches; lesions undersample }\n    filter-black seen { from even }\n    split folds { from seen }\n    train net { data folds.train; valid folds.valid; network shallow-cnn }\n}\n";
    let (_, diags) = load(text);
    assert_eq!(codes(&diags), ["resampled-evaluation"]);
    assert_eq!(diags[0].message, "`train net` gets resampled patches at `valid`: `even` -> `seen` -> `folds` -> `net`");
}

#[test]
fn braces_ten_thousand_deep_are_an_error_and_nothing_more() {
    let text = "a {".repeat(10_000);
    assert_eq!(codes(&load(&text).1), ["too-deep"]);
    let comments = "/*".repeat(10_000);
    assert!(codes(&load(&comments).1).contains(&"unclosed-comment"));
    assert!(!load(&"(".repeat(10_000)).1.is_empty());
    assert!(!load(&"/-".repeat(10_000)).1.is_empty());
}

#[test]
fn a_file_of_more_than_512_kb_is_refused() {
    assert_eq!(codes(&load(&"// a\n".repeat(120_000)).1), ["too-large"]);
}

#[test]
fn what_set_says_is_checked_like_the_file() {
    let text = "pipeline a seed=1 {\n    param side type=px default=64\n    synthetic fundus\n    extract patches { from fundus; size $side }\n}\n";
    let said = |sets: &[&str]| codes(&set(text, sets).1);
    assert_eq!(said(&["patches.size=32", "side=16"]), [""; 0]);
    assert_eq!(said(&["patches.size=4"]), ["out-of-range"]);
    assert_eq!(said(&["patches.sise=32"]), ["unknown-param"]);
    assert_eq!(said(&["pitches.size=32"]), ["unknown-name"]);
    assert_eq!(said(&["side=many"]), ["wrong-kind"]);
    assert_eq!(said(&["side"]), ["set-form"]);
    assert_eq!(said(&["patches.edge=shit"]), ["unknown-case"]);
    let (_, diags) = set(text, &["patches.sise=32"]);
    assert_eq!(diags[0].hint.as_deref(), Some("did you mean `size`?"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_move_no_place() {
    let plain = "pipeline p seed=1 {\n    synthetic a { photographs 0.5 }\n    extrakt b { from a }\n}\n";
    let places = |text: &str| {
        let mut sources = Sources::default();
        let (_, diags) = lang::load_text("a.kdl", None, text, &[], Points::All, &mut sources);
        let said: serde_json::Value = diag::json(&diags, &sources);
        let place = |one: &serde_json::Value| {
            (one["code"].clone(), one["places"][0]["line"].clone(), one["places"][0]["column"].clone())
        };
        said.as_array().expect("a list").iter().map(place).collect::<Vec<_>>()
    };
    let expected = places(plain);
    assert_eq!(expected.len(), 2, "{expected:?}");
    assert!(expected.iter().all(|(_, line, column)| line.is_u64() && column.is_u64()), "{expected:?}");
    assert_eq!(places(&plain.replace('\n', "\r\n")), expected);
    assert_eq!(places(&format!("\u{feff}{plain}")), expected);
    assert_eq!(places(&format!("\u{feff}{}", plain.replace('\n', "\r\n"))), expected);
}
