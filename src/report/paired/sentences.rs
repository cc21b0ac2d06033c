//! Verdicts and caveats of a paired comparison, one sentence each.

use std::fmt::Write as _;

use super::{MetricComparison, PairComparison, PairVerdict, PairedComparison};
use crate::base::figure::{counted, metric};
use crate::learn::metrics::paired::FEWEST_POSITIVE;

/// `+0.031`, `-0.004`.
#[must_use]
pub fn signed(value: f64) -> String {
    let text = format!("{value:+.3}");
    if text == "-0.000" { "+0.000".to_owned() } else { text }
}

/// `0.032`, `<0.001`.
#[must_use]
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

/// Name of a metric for people: `average precision of MA`.
#[must_use]
pub fn metric_words(name: &str) -> String {
    let (name, class) = name.split_once('.').map_or((name, None), |(name, class)| (name, Some(class)));
    let words = match name {
        "auroc" => "AUROC".to_owned(),
        "mean-auroc" => "mean AUROC".to_owned(),
        "f1" => "F1".to_owned(),
        "micro-f1" => "micro F1".to_owned(),
        "macro-f1" => "macro F1".to_owned(),
        "hamming-loss" => "Hamming loss".to_owned(),
        "within-photograph-average-precision" => "within-photograph average precision".to_owned(),
        "mean-within-photograph-average-precision" => "mean within-photograph average precision".to_owned(),
        other => other.replace('-', " "),
    };
    class.map_or_else(|| words.clone(), |class| format!("{words} of {class}"))
}

/// `mean average precision +0.031 [+0.012, +0.050]`.
fn measured(found: &MetricComparison) -> String {
    let difference = found.difference.map_or_else(|| "-".to_owned(), signed);
    let interval = found.interval.map_or(String::new(), |i| format!(" [{}, {}]", signed(i.low), signed(i.high)));
    format!("{} {difference}{interval}", metric_words(&found.metric))
}

/// The verdict on each pair by the main metric.
pub(super) fn verdicts(of: &PairedComparison) -> Vec<String> {
    let mut all = Vec::new();
    if let (Some(best), true) = (&of.best, of.candidates.len() > 2) {
        let value = of.pairs.iter().find_map(|pair| of.main(pair)?.first);
        let others = |verdict: fn(PairVerdict) -> bool| {
            let pairs = of.pairs.iter().filter(|pair| of.main(pair).is_some_and(|found| verdict(found.verdict)));
            pairs.map(|pair| format!("`{}`", pair.second)).collect::<Vec<_>>()
        };
        let mut text = format!("`{best}` has the best {}, {}", metric_words(&of.by), metric(value));
        let worse = others(|verdict| verdict == PairVerdict::Worse);
        if !worse.is_empty() {
            _ = write!(text, "; it is better than {}", worse.join(", "));
        }
        let alike = others(|verdict| verdict != PairVerdict::Worse);
        if !alike.is_empty() {
            _ = write!(text, "; not distinguishable from {}", alike.join(", "));
        }
        all.push(text);
    }
    if of.candidates.len() == 2 {
        all.extend(of.pairs.iter().filter_map(|pair| Some(verdict(of, pair, of.main(pair)?))));
    }
    all
}

fn verdict(of: &PairedComparison, pair: &PairComparison, found: &MetricComparison) -> String {
    let (first, second) = (format!("`{}`", pair.first), format!("`{}`", pair.second));
    match found.verdict {
        PairVerdict::Better => format!("{second} is better than {first}: {}", measured(found)),
        PairVerdict::Worse => format!("{second} is worse than {first}: {}", measured(found)),
        PairVerdict::NotDistinguishable => {
            let apart = found.interval.is_some_and(|i| i.low > 0.0 || i.high < 0.0);
            let p = found.p_adjusted.filter(|_| apart);
            let unconfirmed =
                p.map_or(String::new(), |p| format!("; the permutation test does not confirm it (p = {})", p_value(p)));
            format!("{first} and {second} are not distinguishable: {}{unconfirmed}", measured(found))
        }
        PairVerdict::TooFew => {
            format!("{first} and {second} cannot be compared: {}", too_few(of, found))
        }
        PairVerdict::Undefined => {
            format!("{first} and {second} cannot be compared: {} is undefined", metric_words(&found.metric))
        }
    }
}

/// `4 photographs with a positive of the rarest class, an interval needs 10`.
fn too_few(of: &PairedComparison, found: &MetricComparison) -> String {
    let what = match (&found.class, found.metric.as_str()) {
        (Some(class), _) => format!(" with a positive of {class}"),
        (None, "hamming-loss" | "subset-accuracy") => String::new(),
        (None, "micro-f1") => " with a positive".to_owned(),
        (None, _) => " with a positive of the rarest class".to_owned(),
    };
    let (support, unit) = (found.support, of.unit(found.support));
    format!("{support} {unit}{what}, an interval needs {FEWEST_POSITIVE}")
}

/// Caveats to know before drawing conclusions.
#[must_use]
pub fn notes(of: &PairedComparison) -> Vec<String> {
    let mut notes = Vec::new();
    let few: Vec<String> = of.pairs.first().map_or_else(Vec::new, |pair| {
        let classes = pair.metrics.iter().filter(|found| found.verdict == PairVerdict::TooFew && found.class.is_some());
        let classes = classes.filter(|found| found.metric.starts_with("average-precision."));
        classes.map(|found| format!("{} ({})", found.class.as_deref().unwrap_or_default(), found.support)).collect()
    });
    if !few.is_empty() {
        let unit = of.unit(2);
        notes.push(format!("no interval with fewer than {FEWEST_POSITIVE} {unit} with a positive: {}", few.join(", ")));
    }
    if of.pairs.iter().any(|pair| pair.metrics.iter().all(|found| found.p.is_none())) {
        let tested = of.pairs.iter().flat_map(|pair| &pair.metrics).any(|found| found.interval.is_some());
        if tested {
            notes
                .push("no permutation test: the folds differ, and scores of different folds share no scale".to_owned());
        }
    }
    if of.folds {
        notes.push(
            "scores of different folds share no scale: ranking metrics are computed in each fold and averaged"
                .to_owned(),
        );
    }
    if of.candidates.iter().all(|(_, repeats)| *repeats == 1) {
        notes.push(
            "one training each: the interval says what other photographs would change, not what another seed would (`repeat 3`)"
                .to_owned(),
        );
    } else {
        let once: Vec<String> =
            of.candidates.iter().filter(|(_, repeats)| *repeats == 1).map(|(name, _)| format!("`{name}`")).collect();
        if !once.is_empty() {
            notes.push(format!("{} trained once: intervals leave out its other seeds", once.join(", ")));
        }
        let by_repeat = |pair: &PairComparison| {
            let found = of.main(pair).filter(|found| found.by_repeat.len() > 1)?;
            let values: Vec<String> = found.by_repeat.iter().flatten().map(|value| signed(*value)).collect();
            Some(format!("`{}` minus `{}` by repeat: {}", pair.second, pair.first, values.join(" ")))
        };
        notes.extend(of.pairs.iter().filter_map(by_repeat));
    }
    if of.candidates.len() > 2 {
        notes.push("the best was selected on these patches, so its lead is optimistic".to_owned());
    }
    notes
}

/// `1,032 patches of 12 photographs (6 patients); 2,000 bootstrap draws of patients and repeats`.
#[must_use]
pub fn basis(of: &PairedComparison) -> String {
    let patients =
        if of.patients { format!(" ({})", counted(of.units as u64, "patient", "patients")) } else { String::new() };
    let seeds = if of.candidates.iter().any(|(_, repeats)| *repeats > 1) { " and repeats" } else { "" };
    format!(
        "{} of {}{patients}; {} of {}{seeds}",
        counted(of.patches as u64, "patch", "patches"),
        counted(of.photographs as u64, "photograph", "photographs"),
        counted(of.draws, "bootstrap draw", "bootstrap draws"),
        of.unit(2)
    )
}

/// What the columns are.
#[must_use]
pub fn legend(comparison: &PairedComparison) -> String {
    let several = if comparison.pairs.len() > 1 { "comparisons" } else { "classes" };
    format!(
        "CI: 95% confidence interval of the difference; p: permutation test, corrected for several {several} (Holm)"
    )
}

/// `better`, `not distinguishable`.
#[must_use]
pub fn verdict_word(found: &MetricComparison) -> String {
    match found.verdict {
        PairVerdict::Better => "better".to_owned(),
        PairVerdict::Worse => "worse".to_owned(),
        PairVerdict::NotDistinguishable => "not distinguishable".to_owned(),
        PairVerdict::TooFew => format!("too few: {} of {FEWEST_POSITIVE}", found.support),
        PairVerdict::Undefined => "undefined".to_owned(),
    }
}
