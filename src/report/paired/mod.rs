//! Paired comparison of evaluations: which candidate is best, and from which others it is distinguishable. Knows no store and no
//! terminal.

mod joined;
pub mod page;
mod sections;
mod sentences;

pub use joined::{EvaluationTable, JoinError, JoinedPatches, joined};
pub use sentences::{basis, legend, metric_words, notes, p_value, signed, verdict_word};

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::Streams;
use crate::lang::ranking;
use crate::lang::signature::Better;
use crate::learn::metrics::Interval;
use crate::learn::metrics::paired::{
    FEWEST_POSITIVE, MetricDifference, MetricName, ModelScores, Resampled, differences, holm, metrics, permutation,
    resample,
};

/// Level of significance.
const LEVEL: f64 = 0.05;

/// Model that is compared: one evaluation, or several that differ only in their seeds.
#[derive(Clone, Debug)]
pub struct ComparedModel {
    /// Name: `lr=1e-4`, or the id of a run.
    pub name: String,
    /// Scores of each repeat, on the joined patches.
    pub repeats: Vec<ModelScores>,
}

/// Result of comparing two candidates by one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairVerdict {
    /// The second is better than the first.
    Better,
    /// The second is worse than the first.
    Worse,
    /// The interval contains 0, or the permutation test does not confirm the difference.
    NotDistinguishable,
    /// Too few photographs (or patients) with a positive.
    TooFew,
    /// The metric is undefined.
    Undefined,
}

/// One metric of two candidates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricComparison {
    /// Name as in `eval`: `average-precision.MA`.
    pub metric: String,
    /// Class.
    pub class: Option<String>,
    /// Value of the first candidate.
    pub first: Option<f64>,
    /// Value of the second candidate.
    pub second: Option<f64>,
    /// Second minus first.
    pub difference: Option<f64>,
    /// Its 95% confidence interval.
    pub interval: Option<Interval>,
    /// P value of the permutation test.
    pub p: Option<f64>,
    /// P value corrected for several classes and comparisons (Holm).
    pub p_adjusted: Option<f64>,
    /// Difference of each pair of repeats.
    pub by_repeat: Vec<Option<f64>>,
    /// Photographs (or patients) that carry the metric.
    pub support: u64,
    /// Verdict on the second candidate.
    pub verdict: PairVerdict,
}

/// Two candidates compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairComparison {
    /// Name of the first candidate.
    pub first: String,
    /// Name of the second candidate.
    pub second: String,
    /// All metrics, those over all classes first.
    pub metrics: Vec<MetricComparison>,
}

/// Paired comparison of candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedComparison {
    /// Metric of the verdict: `mean-average-precision`.
    pub by: String,
    /// Names of the candidates and their numbers of repeats, in the order given.
    pub candidates: Vec<(String, usize)>,
    /// Name of the best candidate by the metric, if it is defined.
    pub best: Option<String>,
    /// With two candidates, the second against the first; with several, each of the others against the best.
    pub pairs: Vec<PairComparison>,
    /// Number of patches.
    pub patches: usize,
    /// Number of photographs.
    pub photographs: usize,
    /// Number of resampled units.
    pub units: usize,
    /// Whether units are patients.
    pub patients: bool,
    /// Whether scores are of folds, so that ranking metrics are means over folds.
    pub folds: bool,
    /// Number of bootstrap draws, and of permutations.
    pub draws: u64,
}

impl MetricComparison {
    /// The same comparison seen from the second candidate.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let negative = |value: Option<f64>| value.map(|value| -value);
        Self {
            first: self.second,
            second: self.first,
            difference: negative(self.difference),
            interval: self.interval.map(|interval| Interval { low: -interval.high, high: -interval.low }),
            by_repeat: self.by_repeat.iter().copied().map(negative).collect(),
            verdict: match self.verdict {
                PairVerdict::Better => PairVerdict::Worse,
                PairVerdict::Worse => PairVerdict::Better,
                other => other,
            },
            ..self.clone()
        }
    }
}

impl PairedComparison {
    /// Compares two or more candidates on the same patches; `by` is a metric of `eval`.
    ///
    /// # Panics
    /// If there are fewer than two candidates: a defect of the caller.
    #[must_use]
    pub fn new(joined: &JoinedPatches, candidates: &[ComparedModel], by: &str, draws: u64) -> Self {
        assert!(candidates.len() > 1, "a comparison has two candidates");
        let streams = Streams::new(0, "compare");
        let patches = &joined.patches;
        let resampled: Vec<Resampled> = candidates
            .iter()
            .map(|candidate| resample(patches, &candidate.name, &candidate.repeats, draws, &streams))
            .collect();
        let names = metrics(patches.classes);
        let at = names.iter().position(|name| full_name(*name, &joined.classes) == by);
        let value = |candidate: &Resampled| at.and_then(|at| candidate.estimate[at]);
        let sign = if ranking::better(by) == Better::Higher { 1.0 } else { -1.0 };
        let defined = |at: &usize| value(&resampled[*at]).map(|value| value * sign);
        let best = (0..candidates.len())
            .filter(|at| defined(at).is_some())
            .reduce(|best, at| if defined(&at) > defined(&best) { at } else { best });
        let pairs: Vec<(usize, usize)> = match (candidates.len(), best) {
            (2, _) => vec![(0, 1)],
            (_, best) => {
                let best = best.unwrap_or(0);
                (0..candidates.len()).filter(|at| *at != best).map(|at| (best, at)).collect()
            }
        };
        let mut compared: Vec<PairComparison> = pairs
            .into_iter()
            .map(|(first, second)| {
                let repeats = [first, second].map(|at| candidates[at].repeats.as_slice());
                let p = permutation(patches, repeats, draws, &streams);
                let [first_of, second_of] = [first, second].map(|at| &resampled[at]);
                let found = differences(patches, first_of, second_of);
                let row = |(at, (name, found)): (usize, (&MetricName, MetricDifference))| {
                    let by_repeat = first_of.repeats.iter().zip(&second_of.repeats);
                    MetricComparison {
                        metric: full_name(*name, &joined.classes),
                        class: name.class.map(|class| joined.classes[class].clone()),
                        first: found.first,
                        second: found.second,
                        difference: found.difference,
                        interval: found.interval,
                        p: p.as_ref().and_then(|p| p[at]).filter(|_| found.interval.is_some()),
                        p_adjusted: None,
                        by_repeat: by_repeat.map(|(first, second)| Some(second[at]? - first[at]?)).collect(),
                        support: found.support,
                        verdict: PairVerdict::Undefined,
                    }
                };
                PairComparison {
                    first: candidates[first].name.clone(),
                    second: candidates[second].name.clone(),
                    metrics: names.iter().zip(found).enumerate().map(row).collect(),
                }
            })
            .collect();
        adjust(&mut compared, &names);
        for metric in compared.iter_mut().flat_map(|pair| &mut pair.metrics) {
            metric.verdict = verdict(metric);
        }
        let photographs = patches.photograph.iter().max().map_or(0, |&last| last as usize + 1);
        Self {
            by: by.to_owned(),
            candidates: candidates.iter().map(|one| (one.name.clone(), one.repeats.len())).collect(),
            best: best.map(|at| candidates[at].name.clone()),
            pairs: compared,
            patches: patches.rows(),
            photographs,
            units: patches.units(),
            patients: joined.patients,
            folds: candidates.iter().flat_map(|one| &one.repeats).any(|one| one.fold.iter().any(|&fold| fold > 0)),
            draws,
        }
    }

    /// The metric of the verdict in one comparison.
    #[must_use]
    pub fn main<'p>(&self, pair: &'p PairComparison) -> Option<&'p MetricComparison> {
        pair.metrics.iter().find(|metric| metric.metric == self.by)
    }

    /// `patient` or `photograph`, in the right number.
    #[must_use]
    pub fn unit(&self, count: u64) -> &'static str {
        match (self.patients, count) {
            (true, 1) => "patient",
            (true, _) => "patients",
            (false, 1) => "photograph",
            (false, _) => "photographs",
        }
    }

    /// The verdicts by the main metric, one sentence each.
    #[must_use]
    pub fn verdicts(&self) -> Vec<String> {
        sentences::verdicts(self)
    }

    /// The comparison as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let candidates: Vec<Value> =
            self.candidates.iter().map(|(name, repeats)| json!({ "name": name, "repeats": repeats })).collect();
        json!({
            "verdicts": self.verdicts(),
            "by": self.by,
            "best": self.best,
            "candidates": candidates,
            "comparisons": self.pairs,
            "patches": self.patches,
            "photographs": self.photographs,
            "units": { "count": self.units, "are": if self.patients { "patients" } else { "photographs" } },
            "folds": self.folds,
            "draws": self.draws,
            "fewest-positive": FEWEST_POSITIVE,
            "notes": notes(self),
        })
    }
}

/// `average-precision.MA`.
fn full_name(metric: MetricName, classes: &[String]) -> String {
    metric.class.map_or_else(|| metric.name.to_owned(), |class| format!("{}.{}", metric.name, classes[class]))
}

/// Corrects the p values of each metric over all classes and comparisons.
fn adjust(pairs: &mut [PairComparison], names: &[MetricName]) {
    let mut kinds: Vec<&str> = names.iter().map(|metric| metric.name).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_kind = || (0..names.len()).filter(|&at| names[at].name == kind);
        let places: Vec<(usize, usize)> =
            (0..pairs.len()).flat_map(|pair| of_kind().map(move |at| (pair, at))).collect();
        let tested = |&(pair, at): &(usize, usize)| pairs[pair].metrics[at].p.map(|p| (pair, at, p));
        let tested: Vec<(usize, usize, f64)> = places.iter().filter_map(tested).collect();
        let adjusted = holm(&tested.iter().map(|(.., p)| *p).collect::<Vec<_>>());
        for ((pair, at, _), p) in tested.into_iter().zip(adjusted) {
            pairs[pair].metrics[at].p_adjusted = Some(p);
        }
    }
}

/// A difference counts if its interval excludes 0 and the permutation test, if there is one, confirms it.
fn verdict(metric: &MetricComparison) -> PairVerdict {
    let Some(difference) = metric.difference else { return PairVerdict::Undefined };
    let Some(interval) = metric.interval else {
        return if metric.support < FEWEST_POSITIVE { PairVerdict::TooFew } else { PairVerdict::Undefined };
    };
    let apart = interval.low > 0.0 || interval.high < 0.0;
    if !apart || metric.p_adjusted.is_some_and(|p| p > LEVEL) {
        return PairVerdict::NotDistinguishable;
    }
    let higher = ranking::better(&metric.metric) == Better::Higher;
    if (difference > 0.0) == higher { PairVerdict::Better } else { PairVerdict::Worse }
}
