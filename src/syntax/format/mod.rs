//! The layout of a text: `macula fmt`. Built on the lossless scan, so no comment and no spelling is lost; knows no stages.
//!
//! `marks` leaves white space out, `read` finds statements and whom a comment belongs to, `write` lays them out, and `same`
//! makes sure that nothing was changed but the layout.

mod marks;
mod read;
mod same;
mod write;

use super::LARGEST;
use super::tree::parse;
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// Why a text was not formatted.
#[derive(Clone, Debug, PartialEq)]
pub enum Unformatted {
    /// Its form has mistakes.
    Faulty(Vec<Diag>),
    /// What came out has not the same nodes and comments: a defect of macula.
    Defect,
}

/// The text in the one layout that docs/language.md describes: same nodes, same spelling of names and values, same comments in
/// the same order. Formatting twice is formatting once.
///
/// # Errors
/// [`Unformatted`], for a text that is to stay as it is.
pub fn format(file: FileId, text: &str) -> Result<String, Unformatted> {
    let (document, diags) = parse(file, text);
    if !diags.is_empty() {
        return Err(Unformatted::Faulty(diags));
    }
    let mut formatted = write::write(&read::read(text));
    if !formatted.is_empty() {
        formatted.push('\n');
    }
    if formatted.len() > LARGEST {
        let message =
            format!("formatted it would have {} KB; {} are the most", formatted.len().div_ceil(1024), LARGEST / 1024);
        let found = Diag::error("too-large", Span::new(file, 0..0), message);
        return Err(Unformatted::Faulty(vec![found.hint("split it, and bring the parts together with `use`")]));
    }
    if same::same(text, &document, &formatted) { Ok(formatted) } else { Err(Unformatted::Defect) }
}
