//! `macula compare --paired`: compares evaluations of the same patches.

mod candidates;
mod screen;

use super::{Arguments, ComparisonFormat};
use crate::cli::{Exit, Failure};
use crate::lang::{near, ranking};
use crate::progress::out;
use crate::report::paired::{ComparedModel, PairedComparison, joined};
use crate::run::Host;

/// Metric of the verdict, unless `--by` names another.
const USUAL: &str = "mean-average-precision";

/// Compares evaluations pairwise.
///
/// # Errors
/// A [`Failure`] if a candidate is unknown, has no result, or was evaluated on other patches.
pub(super) fn compare(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let found = candidates::find(host, arguments)?;
    let names: Vec<&str> = found.iter().map(|candidate| candidate.name.as_str()).collect();
    if found.len() < 2 {
        let text = match names.as_slice() {
            [one] => format!("`{one}` has nothing to be compared with"),
            _ => "nothing to compare".to_owned(),
        };
        return Err(Failure::user(text).hint(
            "name two runs, a sweep (`FILE --sweep NAME`), or two evaluations of one pipeline (`FILE scores other`)",
        ));
    }
    let all: Vec<_> = found.iter().flat_map(|candidate| candidate.evaluations.iter().cloned()).collect();
    let joined = joined(&all).map_err(|error| Failure::user(error.text).hint(error.hint))?;
    let mut models = joined.models.iter().cloned();
    let candidates: Vec<ComparedModel> = found
        .iter()
        .map(|candidate| ComparedModel {
            name: candidate.name.clone(),
            repeats: models.by_ref().take(candidate.evaluations.len()).collect(),
        })
        .collect();
    let rank = found.iter().find_map(|candidate| candidate.rank.clone());
    let by = by(arguments, rank, &joined.classes)?;
    let comparison = PairedComparison::new(&joined, &candidates, &by, arguments.pairs.draws);
    match arguments.format() {
        ComparisonFormat::Json => out::say(&format!("{:#}\n", comparison.json())),
        ComparisonFormat::Table => out::say(&screen::text(&comparison, arguments.all, out::stdout_width())),
        ComparisonFormat::Csv => {
            return Err(Failure::user("`--paired` has no CSV").hint("use `--format json`"));
        }
    }
    Ok(Exit::Done)
}

/// The metric named by `--by`, with or without its stage, or that of the sweep's `rank by=` if evaluations have it.
fn by(arguments: &Arguments, rank: Option<String>, classes: &[String]) -> Result<String, Failure> {
    let mut known = Vec::new();
    for metric in ranking::of("eval") {
        if metric.per_class {
            known.extend(classes.iter().map(|class| format!("{}.{class}", metric.name)));
        } else {
            known.push(metric.name.clone());
        }
    }
    let Some(by) = &arguments.by else {
        return Ok(rank.filter(|rank| known.contains(rank)).unwrap_or_else(|| USUAL.to_owned()));
    };
    let found = known.iter().find(|name| *name == by || by.ends_with(&format!(".{name}")));
    found.cloned().ok_or_else(|| {
        let bare = by.split_once('.').map_or(by.as_str(), |(_, bare)| bare);
        let hint = near::near(bare, known.iter().map(String::as_str))
            .map_or_else(|| "`macula doc eval` lists the metrics".to_owned(), |near| format!("did you mean `{near}`?"));
        Failure::user(format!("unknown metric `{by}`")).hint(hint)
    })
}
