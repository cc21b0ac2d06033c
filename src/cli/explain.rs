//! `macula explain`: the page of a code.

use clap::Args;

use super::{Exit, Failure, doc};
use crate::diag::catalogue;
use crate::lang::near::near;
use crate::progress::out;
use crate::progress::table::{entry, paragraph};
use crate::run::Host;

/// The arguments of `macula explain`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The code in brackets, such as `port-type` [default: list all codes]
    code: Option<String>,
}

/// Column in which the meaning of a code begins in the list.
const COLUMN: usize = 25;

/// Prints the page of a code, or the list of codes.
///
/// # Errors
/// A [`Failure`] if the code is unknown.
pub fn explain(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(code) = &arguments.code else {
        for page in catalogue::pages() {
            let first = page.means.split_inclusive(". ").next().unwrap_or_default();
            out::say(&entry(page.code, COLUMN, first.trim_end(), out::stdout_width()));
        }
        return Ok(Exit::Done);
    };
    if let Some(page) = catalogue::find(code) {
        let broken = |line: &str| {
            // An example stands as it is.
            let code = line.starts_with("    ");
            if code { doc::code(line, out::stdout_width()) } else { paragraph(line, out::stdout_width(), 0) }
        };
        out::say(&page.to_string().lines().map(broken).collect::<String>());
        return Ok(Exit::Done);
    }
    let hint = near(code, catalogue::pages().map(|page| page.code))
        .map_or("`macula explain` lists all codes".to_owned(), |near| format!("did you mean `{near}`?"));
    Err(Failure::user(format!("unknown code `{code}`")).hint(hint))
}
