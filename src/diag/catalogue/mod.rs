//! The catalogue of codes: a short page for each, as `macula explain CODE` shows it. A test compares it with the sources.

mod annotations;
mod language;
mod manifests;
mod pictures;
mod pretraining;
mod results;
mod stages;
mod syntax;

use std::fmt;

/// What a code means, an example, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The code.
    pub code: &'static str,
    /// What it means, in sentences.
    pub means: &'static str,
    /// Of the language, KDL that gives it: a whole file, or stages. Empty where a few lines can't show it.
    pub example: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.code, self.means)?;
        if !self.example.is_empty() {
            writeln!(f, "\nFor example:\n")?;
            self.example.lines().try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        writeln!(f, "\n{}", self.remedy)
    }
}

/// One page; a table of them reads best with its parts in a row.
const fn page(code: &'static str, means: &'static str, example: &'static str, remedy: &'static str) -> Page {
    Page { code, means, example, remedy }
}

/// Every page, by floor: the text's form, the language, what stages find while they run.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    syntax::PAGES
        .iter()
        .chain(language::PAGES)
        .chain(stages::PAGES)
        .chain(pictures::PAGES)
        .chain(manifests::PAGES)
        .chain(annotations::PAGES)
        .chain(pretraining::PAGES)
        .chain(results::PAGES)
}

/// The pages for problems that are found in a text, before anything runs.
pub fn of_the_language() -> impl Iterator<Item = &'static Page> {
    syntax::PAGES.iter().chain(language::PAGES)
}

/// The page of a code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Page> {
    pages().find(|page| page.code == code)
}
