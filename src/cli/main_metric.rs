//! The metric that runs and points are ranked by, and that `macula runs` lists.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use crate::lang::near::near;
use crate::lang::ranking;
use crate::lang::spec::Rank;

/// Metrics of a run or point, by stage and name.
pub(super) type StageMetrics = BTreeMap<String, BTreeMap<String, f64>>;

/// What an evaluation is compared by unless something else is asked for.
pub(super) const USUAL: &str = "mean-average-precision";

/// What a pretraining is compared by.
const AT_R: &str = "mean-average-precision-at-r";

/// The metric that `--by` names.
///
/// # Errors
/// A [`Failure`] that names the nearest one if none of `rows` has it.
pub(super) fn named<'a>(rows: impl Iterator<Item = &'a StageMetrics>, by: &str) -> Result<Rank, Failure> {
    let known: BTreeMap<String, (&str, &str)> = rows
        .flatten()
        .flat_map(|(stage, own)| own.keys().map(move |metric| (format!("{stage}.{metric}"), (&**stage, &**metric))))
        .collect();
    let Some((stage, metric)) = known.get(by) else {
        // The metric of another stage, or without any, is nearer than a similar word of this one.
        let same = |metric: &str| by == metric || by.ends_with(&format!(".{metric}"));
        let same: Vec<&str> = known.iter().filter(|(_, (_, of))| same(of)).map(|(name, _)| name.as_str()).collect();
        // Only a training has a loss.
        let trained =
            |name: &&&str| known.get(**name).is_some_and(|(stage, _)| known.contains_key(&format!("{stage}.loss")));
        let same = near(by, same.iter().copied()).or_else(|| same.iter().find(|name| !trained(name)).copied());
        let hint = same.or_else(|| near(by, known.keys().map(String::as_str))).map_or_else(
            || "`--json` shows all metrics; `macula doc STAGE` explains them".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Failure::user(format!("unknown metric `{by}`")).hint(hint));
    };
    Ok(Rank { stage: (*stage).to_owned(), metric: (*metric).to_owned(), better: ranking::better(metric) })
}

/// Mean average precision of the stage that has it in most rows; that of an evaluation rather than of a training, and at R if there is only
/// a pretraining.
pub(super) fn usual<'a>(rows: &(impl Iterator<Item = &'a StageMetrics> + Clone)) -> Option<Rank> {
    let has = |stage: &str, metric: &str| {
        rows.clone().filter(|row| row.get(stage).is_some_and(|own| own.contains_key(metric))).count()
    };
    let stages: BTreeSet<&String> = rows.clone().flat_map(BTreeMap::keys).collect();
    let all = stages.into_iter().flat_map(|stage| [(stage, AT_R), (stage, USUAL)]);
    // Only a training has a loss. The copies of a `repeat` are parts of something.
    let is_copy = |stage: &str| crate::lang::without_numbers(stage) != *stage;
    let (stage, metric) = all.max_by_key(|(stage, metric)| {
        (has(stage, metric), *metric == USUAL, has(stage, "loss") == 0, !is_copy(stage))
    })?;
    Some(Rank { stage: stage.clone(), metric: metric.to_owned(), better: ranking::better(metric) })
}
