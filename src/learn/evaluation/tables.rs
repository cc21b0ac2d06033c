//! Predictions and curves as tables.

use super::ScoredSet;
use crate::data::table::{Column, Columns};
use crate::learn::metrics::{ClassReliability, LabelledScores, ReliabilityBin, ZeroDivision, cut_points, known};

/// Table with one row per patch: `photograph`, `patient`, `x`, `y`, then for each class `score.K` (0 to 1), `label.K` (null
/// if unknown), `predicted.K` (at 0.5), `tuned.K` (at the tuned threshold, if there is one) and `mask_pixels.K` (native).
#[must_use]
pub fn predictions(judged: &ScoredSet<'_>, tuned: Option<&[f64]>) -> Columns {
    let ScoredSet { set, scored } = judged;
    let facts: Vec<_> = judged.rows().collect();
    let mut table = Columns::default();
    table.push("photograph", Column::Text(facts.iter().map(|(part, _)| Some(part.photograph.clone())).collect()));
    table.push("patient", Column::Text(facts.iter().map(|(part, _)| part.patient.clone()).collect()));
    table.push("x", Column::Count(facts.iter().map(|(_, row)| Some(row.x)).collect()));
    table.push("y", Column::Count(facts.iter().map(|(_, row)| Some(row.y)).collect()));
    for (class, name) in set.info.classes.iter().enumerate() {
        let scores: Vec<f64> = scored.iter().map(|(scores, _)| scores[class]).collect();
        let is_over = |scores: &[f64], threshold| Some(scored.decision().predicts(scores, class, threshold));
        let over = |threshold: f64| Column::Bool(scored.iter().map(|(scores, _)| is_over(scores, threshold)).collect());
        table.push(format!("score.{name}"), Column::Real(scores.iter().copied().map(Some).collect()));
        let labels = scored.iter().map(|(_, labels)| known(labels[class])).collect();
        table.push(format!("label.{name}"), Column::Bool(labels));
        table.push(format!("predicted.{name}"), over(super::HALF));
        if let Some(tuned) = tuned {
            table.push(format!("tuned.{name}"), over(tuned[class]));
        }
        let area = facts.iter().map(|(_, row)| row.mask_pixels.get(class).copied()).collect();
        table.push(format!("mask_pixels.{name}"), Column::Count(area));
    }
    table
}

/// Table of all cut points of all classes, from the highest score to the lowest: `class`, `score` (at least this is positive),
/// `precision`, `recall`, `false_positive_rate`, `f1`, and counts. Its columns are the precision-recall and the ROC curve.
#[must_use]
pub fn curves(scored: &LabelledScores, classes: &[String]) -> Columns {
    let (mut name, mut score, mut hits, mut alarms) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut precision, mut recall, mut alarm_rate, mut f1) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (class, of) in classes.iter().enumerate() {
        for cut in cut_points(scored.known(class)) {
            let counts = cut.counts;
            let absent = counts.false_positives + counts.true_negatives;
            name.push(Some(of.clone()));
            score.push(Some(cut.score));
            precision.push(counts.precision(ZeroDivision::Undefined));
            recall.push(counts.recall(ZeroDivision::Undefined));
            alarm_rate.push((absent > 0).then(|| counts.false_positives as f64 / absent as f64));
            f1.push(if counts.positives() > 0 { counts.f1(ZeroDivision::Undefined) } else { None });
            hits.push(Some(counts.true_positives as i64));
            alarms.push(Some(counts.false_positives as i64));
        }
    }
    Columns(vec![
        ("class".to_owned(), Column::Text(name)),
        ("score".to_owned(), Column::Real(score)),
        ("precision".to_owned(), Column::Real(precision)),
        ("recall".to_owned(), Column::Real(recall)),
        ("false_positive_rate".to_owned(), Column::Real(alarm_rate)),
        ("f1".to_owned(), Column::Real(f1)),
        ("true_positives".to_owned(), Column::Int(hits)),
        ("false_positives".to_owned(), Column::Int(alarms)),
    ])
}

/// Table of the reliability curves: for each class and bin, from the lowest scores to the highest, `class`, `lowest`, `highest` and
/// `mean_score`, the `observed` frequency with its 95% interval (`low`, `high`; null if there is none), and numbers of `patches`,
/// `positives` and `groups` (patients or photographs).
#[must_use]
pub fn reliability_bins(found: &[Option<ClassReliability>], classes: &[String]) -> Columns {
    let bins: Vec<(&String, &ReliabilityBin)> = classes
        .iter()
        .zip(found)
        .flat_map(|(class, found)| found.iter().flat_map(move |found| found.bins.iter().map(move |bin| (class, bin))))
        .collect();
    let real =
        |value: fn(&ReliabilityBin) -> Option<f64>| Column::Real(bins.iter().map(|(_, bin)| value(bin)).collect());
    let int =
        |value: fn(&ReliabilityBin) -> u64| Column::Int(bins.iter().map(|(_, bin)| Some(value(bin) as i64)).collect());
    let mut table = Columns::default();
    table.push("class", Column::Text(bins.iter().map(|(class, _)| Some((*class).clone())).collect()));
    table.push("lowest", real(|bin| Some(bin.lowest)));
    table.push("highest", real(|bin| Some(bin.highest)));
    table.push("mean_score", real(|bin| Some(bin.mean_score)));
    table.push("observed", real(|bin| Some(bin.observed)));
    table.push("low", real(|bin| bin.interval.map(|interval| interval.low)));
    table.push("high", real(|bin| bin.interval.map(|interval| interval.high)));
    table.push("patches", int(|bin| bin.patches));
    table.push("positives", int(|bin| bin.positives));
    table.push("groups", int(|bin| bin.groups));
    table
}
