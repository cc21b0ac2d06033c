//! The formatter (`macula fmt`). Built on the lossless scanner, so that no comment and no spelling is lost; knows no stages.
//!
//! `lexemes` drops white space, `read` finds statements and the owners of comments, `write` lays them out, and `same`
//! verifies that only the layout changed.

mod lexemes;
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
    /// It has syntax errors.
    Faulty(Vec<Diag>),
    /// The output does not have the same nodes and comments: a defect of macula.
    Defect,
}

/// The text in the standard layout described in docs/language.md: same nodes, same spelling of names and values, same comments in
/// the same order. Idempotent.
///
/// # Errors
/// [`Unformatted`], for a text that must stay as it is.
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
        let message = format!(
            "the formatted file would be too large: {} KiB, at most {} KiB",
            formatted.len().div_ceil(1024),
            LARGEST / 1024
        );
        let found = Diag::error("too-large", Span::new(file, 0..0), message);
        return Err(Unformatted::Faulty(vec![found.hint("split it, and import the parts with `use`")]));
    }
    if same::same(text, &document, &formatted) { Ok(formatted) } else { Err(Unformatted::Defect) }
}
