//! Section on evaluations: metrics next to those of trivial classifiers, curves, recall by lesion area, photographs, patches.

use maud::{Markup, PreEscaped, html};

use super::chart::{Bar, BarGroup, ForestRow, bars, forest};
use super::curves::{precision_recall, roc};
use super::explorer::{self, specificity};
use super::gather::{ArtifactContent, Evaluation, ReportItem};
use super::html::{code_words, metric, plain};
use super::names::NameReplacements;
use super::scores as tables;
use super::{gallery, photographs};
use crate::base::figure::{counted, thousands};
use crate::learn::evaluation::{OperatingPoint, Scores};
use crate::learn::metrics::{DroppedReplicates, FEWEST_GROUPS, Interval, Intervals, Stratum};

fn evaluations(items: &[ReportItem]) -> impl Iterator<Item = (&ReportItem, &Evaluation)> {
    items.iter().filter_map(|item| {
        if let ArtifactContent::Scores(evaluation) = &item.content { Some((item, &**evaluation)) } else { None }
    })
}

fn range(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |i| format!("{}–{}", metric(Some(i.low)), metric(Some(i.high))))
}

/// Headline metrics, as cards.
#[must_use]
pub fn cards(items: &[ReportItem]) -> Markup {
    html! {
        @for (item, evaluation) in evaluations(items) {
            @let scores = &evaluation.scores;
            @let at = scores.operating_index();
            @let intervals = scores.intervals.as_ref();
            @let figures = &scores.operating().figures;
            @let trivial = &scores.baselines;
            @if evaluations(items).count() > 1 { h2.of { code { (item.name) } } }
            @if scores.diagnosis { p.warnings { strong { "Diagnosis" } " " code { (item.name) } ": " (tables::DIAGNOSIS) "." } }
            div.cards {
                @if let Some(single) = &scores.single {
                    (card("accuracy", single.accuracy, single.accuracy_interval, "most frequent class", single.majority_accuracy))
                    (card("balanced accuracy", single.balanced_accuracy, single.balanced_accuracy_interval, "chance", single.chance()))
                    @if let Some(kappa) = single.quadratic_kappa {
                        (card("quadratic kappa", Some(kappa), single.quadratic_kappa_interval, "chance", Some(0.0)))
                    }
                }
                (card("mean average precision", scores.mean_average_precision.value, intervals.and_then(|i| i.mean_average_precision), "chance", trivial.macro_prevalence.value))
                (card("micro F1", figures.micro.f1, intervals.and_then(|i| i.micro_f1[at]), "all positive", trivial.micro.always_yes_f1))
                (card("macro F1", figures.macro_f1.value, intervals.and_then(|i| i.macro_f1[at]), "all positive", trivial.macro_always_yes_f1.value))
                (card("subset accuracy", figures.subset_accuracy, intervals.and_then(|i| i.subset_accuracy[at]), "all negative", trivial.always_healthy_subset_accuracy))
                div.card {
                    div.what { "evaluated on" }
                    div.value { (thousands(scores.data.patches)) }
                    div.of { "patches of " (counted(scores.data.photographs, "photograph", "photographs")) }
                    div.of { @if let Some(patients) = scores.data.patients { (counted(patients, "patient", "patients")) } @else { "patients unknown" } }
                }
            }
        }
    }
}

/// A metric next to what a trivial classifier reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AgainstBaseline {
    /// The whole interval lies above.
    Above,
    /// The interval includes it.
    Open,
    /// Higher, but without an interval.
    Unknown,
    /// No higher, or the whole interval lies below.
    NotAbove,
}

impl AgainstBaseline {
    fn of(value: f64, interval: Option<Interval>, trivial: f64) -> Self {
        match interval {
            Some(Interval { low, .. }) if low > trivial => Self::Above,
            Some(Interval { high, .. }) if high >= trivial => Self::Open,
            None if value > trivial => Self::Unknown,
            _ => Self::NotAbove,
        }
    }
}

fn card(what: &str, value: Option<f64>, interval: Option<Interval>, which: &str, trivial: Option<f64>) -> Markup {
    let against = value.zip(trivial).map(|(value, trivial)| AgainstBaseline::of(value, interval, trivial));
    html! {
        div.card {
            div.what { (what) }
            div.value { (metric(value)) }
            div.of { @if interval.is_some() { "95% CI " (range(interval)) } @else { "no CI" } }
            div.of {
                (which) " " (metric(trivial))
                @match against {
                    Some(AgainstBaseline::Above) => { " · " span.better { "above baseline" } },
                    Some(AgainstBaseline::Open) => { " · CI includes baseline" },
                    Some(AgainstBaseline::Unknown) => { " · above baseline, no CI" },
                    Some(AgainstBaseline::NotAbove) => { " · " span.worse { "not above baseline" } },
                    None => {}
                }
            }
        }
    }
}

/// Evaluations as HTML.
#[must_use]
pub fn section(items: &[ReportItem], names: &NameReplacements, examples: usize) -> Markup {
    html! {
        h2 id="evaluation" { "Evaluation" }
        @for (number, (item, evaluation)) in evaluations(items).enumerate() {
            @let scores = &evaluation.scores;
            p { code { (item.name) } " " (code_words(&item.summary.headline)) }
            div.two {
                (ranking(scores))
                div.panel { h3 { "All classes" } div.scroll tabindex="0" { (plain(&tables::together(scores))) } }
                (precision_recall(scores, &evaluation.curves))
                (roc(scores, &evaluation.curves))
            }
            @if let Some(single) = &scores.single {
                div.two {
                    div.panel { h3 { "Choice of one class" } div.scroll tabindex="0" { (plain(&super::single::together(single))) } }
                    div.panel { h3 { "Confusion matrix" } div.scroll tabindex="0" { (plain(&super::single::confusion(scores, single))) } }
                }
            }
            (class_metrics(scores))
            (explorer::section(evaluation, number))
            @if scores.single.is_none() {
                div.two {
                    (recall(scores, |at| &at.recall_by_area, "Recall by lesion area", "lesion pixels in the patch (original resolution)"))
                    (recall(scores, |at| &at.recall_by_distance, "Recall by distance from the patch centre", "distance from the patch centre to the nearest lesion pixel"))
                }
            }
            (super::reliability::section(scores))
            @if let Some(table) = super::whole::table(scores) {
                div.panel { h3 { (table.title) } div.scroll tabindex="0" { (plain(&table)) } }
            }
            @if scores.single.is_none() { (co_occurrence(scores)) }
            (photographs::section(items, evaluation, names))
            (gallery::section(scores, &evaluation.gallery, names, (number, examples)))
        }
    }
}

/// Which classes have no interval; empty if all have one.
fn rare(scores: &Scores) -> String {
    let rare: Vec<String> = tables::rare(scores).iter().map(|(class, groups)| format!("{class} ({groups})")).collect();
    if rare.is_empty() {
        return String::new();
    }
    let (noun, names) = (scores.data.group_noun(), rare.join(", "));
    format!(" None for classes with a positive in fewer than {FEWEST_GROUPS} {noun}: {names}.")
}

/// How many resamples the intervals of means exclude; empty if none.
fn without(intervals: &Intervals) -> String {
    let DroppedReplicates { mean_average_precision, macro_f1 } = &intervals.dropped;
    let most = macro_f1.iter().copied().fold(*mean_average_precision, u64::max);
    if most == 0 {
        return String::new();
    }
    let (lacking, verb) = (counted(most, "resample lacks", "resamples lack"), if most == 1 { "is" } else { "are" });
    format!(" {lacking} positives of some class and {verb} excluded from the CIs of means.")
}

fn ranking(scores: &Scores) -> Markup {
    let interval = |interval: Option<Interval>| interval.map(|i| (i.low, i.high));
    let mut rows: Vec<ForestRow> = scores
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| {
            let ap = scores.ranking[class].average_precision;
            let own = scores.intervals.as_ref().and_then(|i| i.average_precision[class]);
            ForestRow {
                name: name.clone(),
                color: class % 6,
                value: ap,
                interval: interval(own),
                trivial: scores.baselines.classes[class].prevalence,
                words: format!("{} {}", metric(ap), range(own)),
            }
        })
        .collect();
    let mean = scores.mean_average_precision;
    let own = scores.intervals.as_ref().and_then(|i| i.mean_average_precision);
    rows.push(ForestRow {
        name: if mean.classes == mean.of { "mean".to_owned() } else { format!("mean of {}", mean.classes) },
        color: 7,
        value: mean.value,
        interval: interval(own),
        trivial: scores.baselines.macro_prevalence.value,
        words: format!("{} {}", metric(mean.value), range(own)),
    });
    html! {
        div.panel {
            h3 { "Average precision" }
            (PreEscaped(forest("Average precision per class", "average precision", "prevalence (chance)", &rows)))
            @if let Some(intervals) = &scores.intervals {
                p.hint { "95% CI: bootstrap-t, " (thousands(intervals.replicates)) " resamples of " (intervals.groups) " " (scores.data.group_noun()) "." (rare(scores)) (without(intervals)) }
            } @else {
                p.hint { "No confidence intervals: fewer than " (FEWEST_GROUPS) " " (scores.data.group_noun()) "." }
            }
        }
    }
}

fn class_metrics(scores: &Scores) -> Markup {
    let tuned = scores.at_tuned.as_ref();
    let head = || html! { th { "precision" } th { "sensitivity (recall)" } th { "specificity" } th { "predicted / labelled" } };
    let cells = |at: &OperatingPoint, class: usize| {
        let own = &at.figures.classes[class];
        html! {
            td { (metric(own.precision)) }
            td { (metric(own.recall)) }
            td { (metric(specificity(&own.counts))) }
            td { (own.predicted_ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))) }
        }
    };
    html! {
        div.panel {
            h3 { "Metrics per class" }
            div.scroll tabindex="0" { table.tight {
                thead {
                    tr {
                        td.group colspan="5" {}
                        th.group.first colspan="2" { "ranking" }
                        th.group.first colspan="6" { (tables::at_half_title(scores)) }
                        @if tuned.is_some() { th.group.first colspan="6" { "tuned threshold" } }
                    }
                    tr {
                        th { "class" } th { "positives" } th { (scores.data.group_noun()) } th { "n" } th { "prevalence" }
                        th.first { "AP" } th { "AUROC" }
                        th.first { "F1" } th { "all positive" } (head())
                        @if tuned.is_some() { th.first { "threshold" } th { "F1" } (head()) }
                    }
                }
                tbody { @for (class, name) in scores.classes.iter().enumerate() {
                    @let trivial = &scores.baselines.classes[class];
                    tr {
                        td { span class={ "key k" (class % 6) } {} (name) }
                        td { (thousands(trivial.positives)) }
                        td { (scores.data.positive_groups.get(class).map_or("–".to_owned(), |&groups| thousands(groups))) }
                        td { (thousands(trivial.known)) }
                        td.trivial { (metric(trivial.prevalence)) }
                        td.first { strong { (metric(scores.ranking[class].average_precision)) } }
                        td { (metric(scores.ranking[class].auroc)) }
                        td.first { strong { (metric(scores.at_half.figures.classes[class].f1)) } }
                        td.trivial { (metric(trivial.always_yes_f1)) }
                        (cells(&scores.at_half, class))
                        @if let Some(tuned) = tuned {
                            td.first { (metric(Some(tuned.figures.thresholds[class]))) }
                            td { strong { (metric(tuned.figures.classes[class].f1)) } }
                            (cells(tuned, class))
                        }
                    }
                } }
            } }
            details {
                summary { "Confusion counts, micro and macro averages" }
                h4 { @if scores.single.is_some() { "Highest score" } @else { "Threshold 0.5" } }
                div.scroll tabindex="0" { (plain(&tables::at_thresholds(scores, &scores.at_half, tables::at_half(scores)))) }
                @if let Some(tuned) = tuned {
                    h4 { "Tuned thresholds" }
                    div.scroll tabindex="0" { (plain(&tables::at_thresholds(scores, tuned, "at the tuned thresholds"))) }
                }
            }
        }
    }
}

fn recall(scores: &Scores, strata: fn(&OperatingPoint) -> &Vec<Stratum>, title: &str, label: &str) -> Markup {
    let strata = strata(scores.operating());
    let names: Vec<(String, usize)> =
        scores.classes.iter().enumerate().map(|(class, name)| (name.clone(), class % 6)).collect();
    let groups: Vec<BarGroup> = strata
        .iter()
        .map(|stratum| BarGroup {
            name: stratum.band.name.replace(" and more", "+"),
            note: format!("n {}", thousands(stratum.all.positives)),
            bars: stratum
                .classes
                .iter()
                .zip(&names)
                .map(|(found, (name, color))| Bar {
                    color: *color,
                    value: found.recall,
                    interval: wilson(found.found, found.positives),
                    words: format!("{name}: {} of {} detected", thousands(found.found), thousands(found.positives)),
                })
                .collect(),
        })
        .collect();
    let at = if scores.at_tuned.is_some() { "the tuned thresholds" } else { "threshold 0.5" };
    html! {
        div.panel {
            h3 { (title) }
            (PreEscaped(bars(title, label, "recall", &names, &groups)))
            p.hint { "At " (at) ". Whiskers: 95% Wilson intervals over patches." }
            details {
                summary { "Counts" }
                div.scroll tabindex="0" { table {
                    thead { tr { th { "range" } @for name in &scores.classes { th { (name) } } th { "all" } } }
                    tbody { @for stratum in strata {
                        tr {
                            td { (stratum.band.name) }
                            @for found in stratum.classes.iter().chain([&stratum.all]) {
                                td { (metric(found.recall)) " " span.range { (thousands(found.found)) "/" (thousands(found.positives)) } }
                            }
                        }
                    } }
                } }
            }
        }
    }
}

/// 95% score interval of a proportion (Wilson 1927).
fn wilson(found: u64, of: u64) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return None;
    }
    let (n, p) = (of as f64, found as f64 / of as f64);
    let whole = 1.0 + Z * Z / n;
    let middle = (p + Z * Z / (2.0 * n)) / whole;
    let half = Z / whole * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(((middle - half).max(0.0), (middle + half).min(1.0)))
}

/// Co-occurring lesions, and false positives next to them, as fractions of the row.
fn co_occurrence(scores: &Scores) -> Markup {
    let counts = &scores.operating().co_occurrence;
    let heat = |title: &str, hint: &str, cells: &Vec<Vec<u64>>| {
        html! {
            div.panel {
                h3 { (title) }
                div.scroll tabindex="0" { table.heat {
                    thead { tr { th { "of patches with" } @for name in &scores.classes { th { (name) } } } }
                    tbody { @for (a, name) in scores.classes.iter().enumerate() {
                        tr {
                            td { (name) " " span.range { (thousands(counts.present[a][a])) } }
                            @for (b, &count) in cells[a].iter().enumerate() {
                                @if a == b { td.own { "–" } } @else {
                                    @let fraction = count as f64 / counts.present[a][a].max(1) as f64;
                                    td.cell style={ "--v:" (format!("{fraction:.3}")) } { (metric(Some(fraction))) " " span.range { (thousands(count)) } }
                                }
                            }
                        }
                    } }
                } }
                p.hint { (hint) }
            }
        }
    };
    html! {
        div.two {
            (heat("Co-occurring lesions", "Fraction of patches with the lesion of the row that also have the lesion of the column.", &counts.present))
            (heat("False positives by lesion present", "Fraction of patches with the lesion of the row on which the lesion of the column is predicted but absent.", &counts.mistaken))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_above_its_baseline_if_all_of_its_interval_is() {
        let interval = |low, high| Some(Interval { low, high });
        let cases = [
            (0.3, interval(0.2, 0.4), AgainstBaseline::Above),
            (0.22, interval(0.1, 0.3), AgainstBaseline::Open),
            (0.1, interval(0.05, 0.15), AgainstBaseline::Open),
            (0.05, interval(0.01, 0.1), AgainstBaseline::NotAbove),
            (0.3, None, AgainstBaseline::Unknown),
            (0.15, None, AgainstBaseline::NotAbove),
        ];
        for (value, interval, expected) in cases {
            assert_eq!(AgainstBaseline::of(value, interval, 0.15), expected, "{value}, {interval:?}");
        }
    }
}
