//! `macula compare --html`: a comparison as one HTML file.

use super::{Arguments, ComparedRows, SweptComparison, paired};
use crate::cli::{Failure, Loaded};
use crate::lang::spec::Rank;
use crate::report::comparison::{Comparison, Repeats};
use crate::report::run::ComparisonPage;
use crate::run::Host;

/// The page of runs, or of the points of a sweep.
///
/// # Errors
/// A [`Failure`] if an evaluation cannot be read.
pub(super) fn of_rows(
    host: &Host,
    arguments: &Arguments,
    mut all: ComparedRows,
    by: Option<Rank>,
    repeats: Repeats,
) -> Result<String, Failure> {
    let swept = all.swept.take();
    let SweptComparison { comparison, title, names, paired, unpaired } = if let Some(loaded) = &swept {
        of_points(host, loaded, all, by, repeats)?
    } else {
        let comparison = Comparison::new(all.rows, &all.columns, by, repeats);
        let several = comparison.rows.len() > 1 && arguments.what.len() > 1;
        let found = several.then(|| paired::of_runs(host, arguments));
        let (paired, unpaired) = match found {
            Some(Ok(found)) => (Some(found), None),
            Some(Err(failure)) => (None, Some(failure.text)),
            None => (None, None),
        };
        SweptComparison { comparison, title: all.title, names: all.names, paired, unpaired }
    };
    let named = arguments.what.join(", ");
    let page = ComparisonPage {
        title: format!("Comparison of {named}"),
        lead: title,
        comparison: Some(&comparison),
        names: &names,
        paired,
        unpaired,
        curves: Vec::new(),
        facts: None,
    };
    Ok(page.html())
}

/// Points of a sweep, with the differences of those evaluated on the same patches.
///
/// # Errors
/// A [`Failure`] if an evaluation cannot be read.
pub(super) fn of_points(
    host: &Host,
    loaded: &Loaded,
    all: ComparedRows,
    by: Option<Rank>,
    repeats: Repeats,
) -> Result<SweptComparison, Failure> {
    let comparison = Comparison::new(all.rows, &all.columns, by, repeats);
    let found = match &loaded.sweep {
        Some(swept) => paired::of_points(host, loaded, swept, &comparison, usize::MAX)?,
        None => None,
    };
    let unpaired = "the points have no evaluations of the same patches by this metric".to_owned();
    Ok(SweptComparison {
        comparison: paired::with_standings(comparison, found.as_ref()),
        title: all.title,
        names: all.names,
        unpaired: found.is_none().then_some(unpaired),
        paired: found.map(|found| found.compared),
    })
}
