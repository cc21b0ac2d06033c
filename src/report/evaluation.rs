//! The section on evaluations: figures with what trivial classifiers reach beside them, curves, recall by area, examples.

use maud::{Markup, PreEscaped, html};

use super::chart::{Axis, Bar, BarGroup, ForestRow, Line, Mark, Shape, Style, bars, forest, lines};
use super::gather::{Content, Evaluation, Piece};
use super::names::Names;
use super::page::code_words;
use super::{base64, scores as tables};
use crate::base::figure::{counted, short, thousands};
use crate::data::table::Columns;
use crate::learn::evaluation::{Example, ExampleKind, Operating, Scores};
use crate::learn::metrics::{Dropped, Interval, Intervals, Stratum};

fn evaluations(pieces: &[Piece]) -> impl Iterator<Item = (&Piece, &Evaluation)> {
    pieces.iter().filter_map(|piece| {
        if let Content::Scores(evaluation) = &piece.content { Some((piece, &**evaluation)) } else { None }
    })
}

fn range(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |i| format!("{}–{}", short(Some(i.low), 2), short(Some(i.high), 2)))
}

/// The figures that are asked for first, as cards.
#[must_use]
pub fn cards(pieces: &[Piece]) -> Markup {
    html! {
        @for (piece, evaluation) in evaluations(pieces) {
            @let scores = &evaluation.scores;
            @let at = scores.operating_index();
            @let intervals = scores.intervals.as_ref();
            @let figures = &scores.operating().figures;
            @let trivial = &scores.baselines;
            @if evaluations(pieces).count() > 1 { h3 { code { (piece.name) } } }
            div.cards {
                (card("mean average precision", scores.mean_average_precision.value, intervals.and_then(|i| i.mean_average_precision), "chance", trivial.macro_prevalence.value))
                (card("micro F1", figures.micro.f1, intervals.and_then(|i| i.micro_f1[at]), "always yes", trivial.micro.always_yes_f1))
                (card("macro F1", figures.macro_f1.value, intervals.and_then(|i| i.macro_f1[at]), "always yes", trivial.macro_always_yes_f1.value))
                (card("subset accuracy", figures.subset_accuracy, intervals.and_then(|i| i.subset_accuracy[at]), "always healthy", trivial.always_healthy_subset_accuracy))
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

fn card(what: &str, value: Option<f64>, interval: Option<Interval>, which: &str, trivial: Option<f64>) -> Markup {
    let beats = value.zip(trivial).map(|(value, trivial)| value > trivial);
    html! {
        div.card {
            div.what { (what) }
            div.value { (short(value, 3)) }
            div.of { @if interval.is_some() { "95 % " (range(interval)) } @else { "no interval" } }
            div.of {
                (which) " " (short(trivial, 3))
                @match beats {
                    Some(true) => { " · " span.better { "better" } },
                    Some(false) => { " · " span.worse { "no better" } },
                    None => {}
                }
            }
        }
    }
}

/// The section.
#[must_use]
pub fn section(pieces: &[Piece], names: &Names, examples: usize) -> Markup {
    html! {
        h2 id="evaluation" { "Evaluation" }
        @for (piece, evaluation) in evaluations(pieces) {
            @let scores = &evaluation.scores;
            p { code { (piece.name) } " " (code_words(&piece.summary.headline)) }
            div.two { (ranking(scores)) (precision_recall(scores, &evaluation.curves)) }
            div.panel { h3 { "All classes together" } div.scroll { (super::page::plain(&tables::together(scores))) } }
            (figures(scores))
            div.two {
                (recall(scores, |at| &at.recall_by_area, "Recall by lesion area", "mask pixels of the lesion in the patch, as released"))
                (recall(scores, |at| &at.recall_by_distance, "Recall by distance from the patch's centre", "distance from the patch's centre to the nearest lesion pixel"))
            }
            (together(scores))
            (gallery(evaluation, names, examples))
        }
    }
}

/// How many draws the intervals of means do without; nothing where that is none.
fn without(intervals: &Intervals) -> String {
    let Dropped { mean_average_precision, macro_f1 } = &intervals.dropped;
    let most = macro_f1.iter().copied().fold(*mean_average_precision, u64::max);
    if most == 0 {
        return String::new();
    }
    let draws = counted(most, "draw lacks", "draws lack");
    format!(" {draws} a positive of some class and are left out of the intervals of means.")
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
                words: format!("{} {}", short(ap, 2), range(own)),
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
        words: format!("{} {}", short(mean.value, 2), range(own)),
    });
    html! {
        div.panel {
            h3 { "Average precision" }
            (PreEscaped(forest("Average precision per class", "average precision", "prevalence: what chance reaches", &rows)))
            @if let Some(intervals) = &scores.intervals {
                p.hint { "Intervals: " (thousands(intervals.replicates)) " draws of " (intervals.groups) @if scores.data.patients.is_some() { " patients" } @else { " photographs" } " with replacement." (without(intervals)) }
            } @else {
                p.hint { "No intervals: fewer than five patients or photographs." }
            }
        }
    }
}

fn precision_recall(scores: &Scores, curves: &Columns) -> Markup {
    let mut series = Vec::new();
    let mut marks = Vec::new();
    for (class, name) in scores.classes.iter().enumerate() {
        if scores.ranking[class].average_precision.is_none() {
            continue;
        }
        let words = format!("{name} {}", short(scores.ranking[class].average_precision, 2));
        series.push(Line { name: words, color: class % 6, style: Style::Solid, points: steps(curves, name) });
        let prevalence = scores.baselines.classes[class].prevalence.unwrap_or(0.0);
        let points = vec![(0.0, prevalence), (1.0, prevalence)];
        series.push(Line { name: String::new(), color: class % 6, style: Style::Dotted, points });
        for (at, shape, kind) in [
            (Some(&scores.at_half), Shape::Circle, "at 0.5"),
            (scores.at_tuned.as_ref(), Shape::Diamond, "at the tuned threshold"),
        ] {
            let Some(figures) = at.map(|at| &at.figures.classes[class]) else { continue };
            if let (Some(recall), Some(precision)) = (figures.recall, figures.precision) {
                let words = format!(
                    "{name} {kind}: precision {}, recall {}",
                    short(Some(precision), 3),
                    short(Some(recall), 3)
                );
                marks.push(Mark { at: (recall, precision), color: class % 6, shape, name: kind.to_owned(), words });
            }
        }
    }
    html! {
        div.panel {
            h3 { "Precision and recall" }
            (PreEscaped(lines("Precision-recall curves", &Axis::share("recall"), &Axis::share("precision"), &series, &marks, &[])))
            p.hint { "The area under each step curve is its average precision. Dotted: prevalence." }
        }
    }
}

/// The precision-recall curve as the steps whose area is the average precision.
fn steps(curves: &Columns, class: &str) -> Vec<(f64, f64)> {
    let (Ok(classes), Ok(precision), Ok(recall)) =
        (curves.texts("class"), curves.reals("precision"), curves.reals("recall"))
    else {
        return Vec::new();
    };
    let mut points = Vec::new();
    let mut before = 0.0;
    for ((own, precision), recall) in classes.iter().zip(precision).zip(recall) {
        if own.as_deref() == Some(class)
            && let (Some(precision), Some(recall)) = (precision, recall)
            && *recall > before
        {
            points.extend([(before, *precision), (*recall, *precision)]);
            before = *recall;
        }
    }
    points
}

fn figures(scores: &Scores) -> Markup {
    let tuned = scores.at_tuned.as_ref();
    let head = || html! { th { "precision" } th { "recall" } th { "predicted / true" } };
    let cells = |at: &Operating, class: usize| {
        let own = &at.figures.classes[class];
        html! {
            td { (short(own.precision, 3)) }
            td { (short(own.recall, 3)) }
            td { (own.predicted_ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))) }
        }
    };
    html! {
        div.panel {
            h3 { "Figures per class" }
            div.scroll { table.tight {
                thead {
                    tr {
                        th.group colspan="4" {}
                        th.group.first colspan="2" { "ranking" }
                        th.group.first colspan="5" { "at 0.5" }
                        @if tuned.is_some() { th.group.first colspan="5" { "tuned" } }
                    }
                    tr {
                        th { "class" } th { "positives" } th { "n" } th { "prevalence" }
                        th.first { "AP" } th { "AUROC" }
                        th.first { "F1" } th { "always yes" } (head())
                        @if tuned.is_some() { th.first { "threshold" } th { "F1" } (head()) }
                    }
                }
                tbody { @for (class, name) in scores.classes.iter().enumerate() {
                    @let trivial = &scores.baselines.classes[class];
                    tr {
                        td { span class={ "key k" (class % 6) } {} (name) }
                        td { (thousands(trivial.positives)) }
                        td { (thousands(trivial.known)) }
                        td.trivial { (short(trivial.prevalence, 3)) }
                        td.first { strong { (short(scores.ranking[class].average_precision, 3)) } }
                        td { (short(scores.ranking[class].auroc, 3)) }
                        td.first { strong { (short(scores.at_half.figures.classes[class].f1, 3)) } }
                        td.trivial { (short(trivial.always_yes_f1, 3)) }
                        (cells(&scores.at_half, class))
                        @if let Some(tuned) = tuned {
                            td.first { (short(Some(tuned.figures.thresholds[class]), 3)) }
                            td { strong { (short(tuned.figures.classes[class].f1, 3)) } }
                            (cells(tuned, class))
                        }
                    }
                } }
            } }
            details {
                summary { "Confusion counts, micro and macro" }
                h4 { "At 0.5" }
                div.scroll { (super::page::plain(&tables::at_thresholds(scores, &scores.at_half, "at 0.5"))) }
                @if let Some(tuned) = tuned {
                    h4 { "At the tuned thresholds" }
                    div.scroll { (super::page::plain(&tables::at_thresholds(scores, tuned, "at the tuned thresholds"))) }
                }
            }
        }
    }
}

fn recall(scores: &Scores, strata: fn(&Operating) -> &Vec<Stratum>, title: &str, label: &str) -> Markup {
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
                    words: format!("{name}: {} of {} found", thousands(found.found), thousands(found.positives)),
                })
                .collect(),
        })
        .collect();
    let at = if scores.at_tuned.is_some() { "at the tuned thresholds" } else { "at 0.5" };
    html! {
        div.panel {
            h3 { (title) }
            (PreEscaped(bars(title, label, "recall", &names, &groups)))
            p.hint { "Recall " (at) "; whiskers are 95 % intervals over patches." }
            details {
                summary { "Counts" }
                div.scroll { table {
                    thead { tr { th { "band" } @for name in &scores.classes { th { (name) } } th { "all" } } }
                    tbody { @for stratum in strata {
                        tr {
                            td { (stratum.band.name) }
                            @for found in stratum.classes.iter().chain([&stratum.all]) {
                                td { (short(found.recall, 2)) " " span.range { (thousands(found.found)) "/" (thousands(found.positives)) } }
                            }
                        }
                    } }
                } }
            }
        }
    }
}

/// The 95 % score interval of a share (Wilson 1927).
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

/// Co-occurrence in truth, and what is predicted by mistake beside it, as shares of the row.
fn together(scores: &Scores) -> Markup {
    let counts = &scores.operating().co_occurrence;
    let heat = |title: &str, hint: &str, cells: &Vec<Vec<u64>>| {
        html! {
            div.panel {
                h3 { (title) }
                div.scroll { table.heat {
                    thead { tr { th { "of patches with" } @for name in &scores.classes { th { (name) } } } }
                    tbody { @for (a, name) in scores.classes.iter().enumerate() {
                        tr {
                            td { (name) " " span.range { (thousands(counts.present[a][a])) } }
                            @for (b, &count) in cells[a].iter().enumerate() {
                                @if a == b { td.own { "–" } } @else {
                                    @let share = count as f64 / counts.present[a][a].max(1) as f64;
                                    td.cell style={ "--v:" (format!("{share:.3}")) } { (short(Some(share), 2)) " " span.range { (thousands(count)) } }
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
            (heat("Lesions that stand together", "The share of patches with the row's lesion that also have the column's.", &counts.present))
            (heat("Predicted by mistake beside them", "The share of patches with the row's lesion on which the column's is predicted though absent.", &counts.mistaken))
        }
    }
}

fn gallery(evaluation: &Evaluation, names: &Names, most: usize) -> Markup {
    let kinds = [
        (ExampleKind::Found, "Found, surest first"),
        (ExampleKind::FalseAlarm, "Predicted and not there, surest first"),
        (ExampleKind::Missed, "Missed, worst first"),
    ];
    let of = |class: usize, kind: ExampleKind| {
        evaluation
            .examples
            .iter()
            .filter(move |(example, ..)| example.class == class && example.kind == kind)
            .take(most)
    };
    html! {
        @if most > 0 && !evaluation.examples.is_empty() {
            h3 id="examples" style="margin-top:32px" { "Example patches" }
            @for (class, name) in evaluation.scores.classes.iter().enumerate() {
                div.panel {
                    h3 { span class={ "key k" (class % 6) } {} (name) }
                    @for (kind, words) in kinds {
                        @if of(class, kind).next().is_some() {
                            h4 { (words) }
                            div class={ "examples " (kind.name()) } {
                                @for (example, png, photograph) in of(class, kind) {
                                    (figure(&evaluation.scores, example, png, &names.of(photograph)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn figure(scores: &Scores, example: &Example, png: &[u8], photograph: &str) -> Markup {
    let present: Vec<&str> =
        example.present.iter().filter_map(|&class| scores.classes.get(class)).map(String::as_str).collect();
    let truth = if present.is_empty() { "no lesion".to_owned() } else { present.join(", ") };
    let alt = format!("patch of {photograph}: {truth}, score {}", short(Some(example.score), 2));
    html! {
        figure {
            img src={ "data:image/png;base64," (base64::encode(png)) } alt=(alt) loading="lazy";
            figcaption {
                b { (short(Some(example.score), 2)) } " · " (truth)
                @if example.mask_pixels > 0 { br; (thousands(u64::from(example.mask_pixels))) " px" }
                br; (photograph)
            }
        }
    }
}
