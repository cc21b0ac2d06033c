//! The formatter: what it keeps, what it lays out, and that twice is once.

mod cases;
mod command;
mod promises;

use macula::base::{FileId, Sources};
use macula::diag;
use macula::syntax::{self, Unformatted};

/// The formatted text; fails where it is refused, or where formatting again changes it.
#[track_caller]
fn formatted(text: &str) -> String {
    let once = attempt(text).unwrap_or_else(|codes| panic!("refused with {codes:?}:\n{text}"));
    let twice = attempt(&once).unwrap_or_else(|codes| panic!("refused the second time with {codes:?}:\n{once}"));
    assert_eq!(once, twice, "twice is not once of\n{text}");
    once
}

/// The formatted text, or the codes for which it stays as it is.
fn attempt(text: &str) -> Result<String, Vec<&'static str>> {
    match syntax::format(FileId(0), text) {
        Ok(formatted) => Ok(formatted),
        Err(Unformatted::Faulty(diags)) => {
            // What is said must have a place in the text.
            let mut sources = Sources::default();
            sources.add("test.kdl", None, text);
            assert!(!diag::render(&diags, &sources, diag::Style::Plain, 100).is_empty());
            Err(super::codes(&diags))
        }
        Err(Unformatted::Defect) => panic!("the formatter would have changed what it says:\n{text}"),
    }
}
