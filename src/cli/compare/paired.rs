//! `macula compare --paired`: compares evaluations of the same patches.

mod candidates;
mod screen;

use std::collections::BTreeMap;

use candidates::{Contender, PointChoice};

use super::{Arguments, ComparisonFormat};
use crate::cli::load::Swept;
use crate::cli::{Exit, Failure, Loaded, page_file};
use crate::lang::spec::StageSpec;
use crate::lang::{near, ranking};
use crate::learn::metrics::paired::DRAWS;
use crate::progress::out;
use crate::report::comparison::{Comparison, RepeatGroup, Standing};
use crate::report::paired::{ComparedModel, JoinedPatches, PairedComparison, joined};
use crate::report::run::ComparisonPage;
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
    let candidates = models(&found, &joined);
    let rank = found.iter().find_map(|candidate| candidate.rank.clone());
    let by = by(arguments, rank, &joined.classes)?;
    let comparison = PairedComparison::new(&joined, &candidates, &by, arguments.pairs.draws);
    if let Some(path) = &arguments.html {
        page_file::write(host, &host.folder.join(path), false, &html(comparison))?;
        return Ok(Exit::Done);
    }
    let looks = found.iter().map(|one| one.looks).max().unwrap_or(0);
    match arguments.format() {
        ComparisonFormat::Json => {
            let mut json = comparison.json();
            json["test-looks"] = looks.into();
            out::say(&format!("{json:#}\n"));
        }
        ComparisonFormat::Table => {
            out::say(&screen::text(&comparison, looks, arguments.all, out::stdout_width()));
        }
        ComparisonFormat::Csv => {
            return Err(Failure::user("`--paired` has no CSV").hint("use `--format json`"));
        }
    }
    Ok(Exit::Done)
}

/// What is compared, with the scores of its repeats on the joined patches.
fn models(found: &[Contender], joined: &JoinedPatches) -> Vec<ComparedModel> {
    let mut models = joined.models.iter().cloned();
    let mut repeats = |contender: &Contender| models.by_ref().take(contender.evaluations.len()).collect();
    found.iter().map(|one| ComparedModel { name: one.name.clone(), repeats: repeats(one) }).collect()
}

/// A comparison of the points of a sweep, with the first `lines` groups ranked by a paired comparison, as far as the metric is one of
/// evaluations of the same patches.
///
/// # Errors
/// A [`Failure`] if an evaluation cannot be read.
pub(super) fn ranked(
    host: &Host,
    loaded: &Loaded,
    comparison: Comparison,
    lines: usize,
) -> Result<Comparison, Failure> {
    let Some(swept) = &loaded.sweep else { return Ok(comparison) };
    let found = of_points(host, loaded, swept, &comparison, lines)?;
    Ok(with_standings(comparison, found.as_ref()))
}

/// A comparison of points, ranked by a paired one.
pub(super) fn with_standings(comparison: Comparison, found: Option<&ComparedPoints>) -> Comparison {
    match found.and_then(|found| standings(&comparison, found)) {
        Some(standings) => comparison.with_standings(&standings),
        None => comparison,
    }
}

/// A paired comparison of the first `lines` groups of points of a sweep, and which points each candidate has; [`None`] if the metric is
/// not one of evaluations of the same patches.
///
/// # Errors
/// A [`Failure`] if an evaluation cannot be read.
pub(super) fn of_points(
    host: &Host,
    loaded: &Loaded,
    swept: &Swept,
    comparison: &Comparison,
    lines: usize,
) -> Result<Option<ComparedPoints>, Failure> {
    let Some(by) = &comparison.by else { return Ok(None) };
    let evaluates =
        |stage: &StageSpec| stage.base_name == by.stage && stage.outputs.iter().any(|out| out.ty == "scores");
    if !loaded.pipeline.stages.iter().any(evaluates) {
        return Ok(None);
    }
    let each = comparison.groups.len() == comparison.rows.len();
    let metric = format!("{}.{}", by.stage, by.metric);
    let choice = PointChoice { each, by: Some(&metric) };
    let mut found = candidates::evaluated(host, choice, loaded, swept, &[])?.found;
    let shown = &comparison.groups[..lines.min(comparison.groups.len())];
    found.retain(|one| shown.iter().any(|group| group.rows == one.points));
    let all: Vec<_> = found.iter().flat_map(|one| one.evaluations.iter().cloned()).collect();
    let Some(joined) = (found.len() > 1).then(|| joined(&all).ok()).flatten() else { return Ok(None) };
    let compared = PairedComparison::new(&joined, &models(&found, &joined), &by.metric, DRAWS);
    Ok(Some(ComparedPoints { compared, points: found.into_iter().map(|one| (one.name, one.points)).collect() }))
}

/// A paired comparison of points of a sweep.
pub(super) struct ComparedPoints {
    /// The comparison.
    pub(super) compared: PairedComparison,
    /// Name and numbers of points of each candidate.
    points: Vec<(String, Vec<usize>)>,
}

/// How each group stands against the best one; [`None`] if none is known to be the best.
fn standings(comparison: &Comparison, found: &ComparedPoints) -> Option<Vec<Option<Standing>>> {
    let ComparedPoints { compared, points } = found;
    // Of two, the second is compared with the first; of several, each with the best.
    let standing = |name: &str| {
        let best = compared.best.as_deref()?;
        if name == best {
            return Some(Standing::Best);
        }
        let pair = compared.pairs.iter().find(|pair| pair.first == name || pair.second == name)?;
        let main = compared.main(pair)?;
        let found = if pair.first == name { main.reversed() } else { main.clone() };
        let (difference, interval) = (found.difference?, found.interval);
        Some(Standing::Other { difference, interval, verdict: found.verdict })
    };
    let named = |group: &RepeatGroup| points.iter().find(|(_, points)| *points == group.rows);
    let standings: Vec<_> = comparison.groups.iter().map(|group| standing(&named(group)?.0)).collect();
    standings.contains(&Some(Standing::Best)).then_some(standings)
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

/// A paired comparison of runs that were evaluated on the same patches.
///
/// # Errors
/// A [`Failure`] that says why they cannot be compared.
pub(super) fn of_runs(host: &Host, arguments: &Arguments) -> Result<PairedComparison, Failure> {
    let found = candidates::find(host, arguments)?;
    if found.len() < 2 {
        return Err(Failure::user("only one of them has evaluations"));
    }
    let all: Vec<_> = found.iter().flat_map(|candidate| candidate.evaluations.iter().cloned()).collect();
    let joined = joined(&all).map_err(|error| Failure::user(error.text))?;
    let by = by(arguments, None, &joined.classes)?;
    Ok(PairedComparison::new(&joined, &models(&found, &joined), &by, arguments.pairs.draws))
}

/// The page of a paired comparison.
fn html(comparison: PairedComparison) -> String {
    let names: Vec<&str> = comparison.candidates.iter().map(|(name, _)| name.as_str()).collect();
    let title = format!("Comparison of {}", names.join(", ").replace('`', ""));
    let page = ComparisonPage {
        title,
        lead: String::new(),
        comparison: None,
        names: &BTreeMap::new(),
        paired: Some(comparison),
        unpaired: None,
        curves: Vec::new(),
        facts: None,
    };
    page.html()
}
