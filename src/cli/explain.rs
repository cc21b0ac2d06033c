//! `macula explain`: the page of a code.

use clap::Args;

use super::{Exit, Failure};
use crate::diag::catalogue;
use crate::lang::near::near;
use crate::progress::out;
use crate::run::Host;

/// The arguments of `macula explain`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The code in brackets, such as `port-type` [default: list all codes]
    code: Option<String>,
}

/// Prints the page of a code, or the list of codes.
///
/// # Errors
/// A [`Failure`] if the code is unknown.
pub fn explain(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(code) = &arguments.code else {
        for page in catalogue::pages() {
            let first = page.means.split_inclusive(". ").next().unwrap_or_default();
            out::say(&format!("{:24} {}\n", page.code, first.trim_end()));
        }
        return Ok(Exit::Done);
    };
    if let Some(page) = catalogue::find(code) {
        out::say(&page.to_string());
        return Ok(Exit::Done);
    }
    let hint = near(code, catalogue::pages().map(|page| page.code))
        .map_or("`macula explain` lists all codes".to_owned(), |near| format!("did you mean `{near}`?"));
    Err(Failure::user(format!("unknown code `{code}`")).hint(hint))
}
