//! Sections on training and on thresholds.

use maud::{Markup, PreEscaped, html};

use super::chart::{ChartAxis, LineStyle, MarkerShape, PointMarker, ReferenceLine, Series, lines};
use super::gather::{ArtifactContent, ReportItem};
use super::html::{code_words, metric};
use crate::base::figure::{counted, thousands};
use crate::data::table::Columns;
use crate::learn::model::ModelInfo;
use crate::learn::tuning::Thresholds;

/// Curves over the epochs of every model, as HTML.
#[must_use]
pub fn section(items: &[ReportItem]) -> Markup {
    html! {
        h2 id="training" { "Training" }
        @for item in items {
            @if let ArtifactContent::Model(model) = &item.content { (model_section(item, &model.0, &model.1)) }
        }
    }
}

fn model_section(item: &ReportItem, info: &ModelInfo, epochs: &Columns) -> Markup {
    let set = |name: &'static str| move |column: &str| points(epochs, name, column);
    let (training, subset, valid) = (set("training"), set("subset"), set("valid"));
    let solid = |name: &str, color, points| line(name, color, LineStyle::Solid, points);
    let trivial = |name: &str, color, points| line(name, color, LineStyle::Dotted, points);
    let dashed = |name: &str, color, points| line(name, color, LineStyle::Dashed, points);
    let loss = [
        solid("validation", 0, valid("loss")),
        dashed("training, not augmented", 1, subset("loss")),
        trivial("training, augmented", 6, training("loss")),
    ];
    let precision = [
        solid("validation", 0, valid("average_precision")),
        dashed("training, not augmented", 1, subset("average_precision")),
    ];
    let f1 = [solid("validation", 0, valid("f1_micro")), dashed("training, not augmented", 1, subset("f1_micro"))];
    let zero = [solid("no lesion predicted", 0, valid("all_zero")), trivial("healthy", 6, valid("all_zero_true"))];
    let per_class: Vec<Series> = info
        .classes
        .iter()
        .enumerate()
        .flat_map(|(class, name)| {
            let chance = trivial("", class % 6, valid(&format!("prevalence.{name}")));
            [solid(name, class % 6, valid(&format!("average_precision.{name}"))), chance]
        })
        .collect();
    let ratio: Vec<Series> = info
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| solid(name, class % 6, valid(&format!("predicted_ratio.{name}"))))
        .chain([trivial(
            "as often as it occurs",
            6,
            valid("loss").into_iter().map(|(epoch, _)| (epoch, 1.0)).collect(),
        )])
        .collect();
    let last = info.epochs.max(1);
    let rules =
        [ReferenceLine { at: info.chosen_epoch as f64, words: format!("epoch {} selected", info.chosen_epoch) }];
    let chart = |title: &str, label: &str, fraction: bool, series: &[Series]| {
        let y = if fraction {
            ChartAxis::fraction(label)
        } else {
            ChartAxis::from_zero_robust(label, series.iter().flat_map(|line| &line.points).map(|point| point.1))
        };
        html! { div.panel { h3 { (title) } (PreEscaped(lines(title, &ChartAxis::whole("epoch", 1, last), &y, series, &[], &rules))) } }
    };
    html! {
        p { code { (item.name) } " " (code_words(&item.summary.headline)) }
        div.two {
            (chart("Loss", "loss", false, &loss))
            (chart("Mean average precision", "mean AP", true, &precision))
            (chart("Average precision per class, validation (dotted: prevalence)", "AP", true, &per_class))
            (chart("Micro F1 at threshold 0.5", "micro F1", true, &f1))
            (chart("Predicted / labelled positives, validation, threshold 0.5", "predicted / labelled", false, &ratio))
            (chart("Patches without a predicted lesion, validation", "fraction of patches", true, &zero))
        }
        p.hint {
            (code_words(&format!("Network `{}`, patches of {} px, {}, computed on `{}`. Training labels: ", info.network.name, info.size, counted(info.epochs, "epoch", "epochs"), info.kernel_path)))
            @for (at, (class, labels)) in info.classes.iter().zip(&info.labels).enumerate() {
                @if at > 0 { "; " }
                (class) " " (thousands(labels.present)) " positive, " (thousands(labels.absent)) " negative"
                @if labels.unknown > 0 { ", " (thousands(labels.unknown)) " unknown" }
            }
            "."
        }
    }
}

fn line(name: &str, color: usize, style: LineStyle, points: Vec<(f64, f64)>) -> Series {
    // A line without points (no fixed subset, no such class) is left out of the legend too.
    let name = if points.is_empty() { String::new() } else { name.to_owned() };
    Series { name, color, style, points }
}

/// One column of the table of epochs for one set of patches: epoch and value.
pub(super) fn points(epochs: &Columns, set: &str, column: &str) -> Vec<(f64, f64)> {
    let (Ok(epoch), Ok(sets), Ok(values)) = (epochs.ints("epoch"), epochs.texts("set"), epochs.reals(column)) else {
        return Vec::new();
    };
    let rows = epoch.iter().zip(sets).zip(values);
    rows.filter(|((_, own), _)| own.as_deref() == Some(set))
        .filter_map(|((epoch, _), value)| Some(((*epoch)? as f64, (*value)?)))
        .filter(|point| point.1.is_finite())
        .collect()
}

/// Tuned thresholds and F1 as a function of the threshold, as HTML.
#[must_use]
pub fn thresholds(items: &[ReportItem]) -> Markup {
    html! {
        h2 id="thresholds" { "Thresholds" }
        @for item in items {
            @if let ArtifactContent::Thresholds(found) = &item.content { (threshold_section(item, &found.0, &found.1)) }
        }
    }
}

fn threshold_section(item: &ReportItem, found: &Thresholds, curves: &Columns) -> Markup {
    let mut series = Vec::new();
    let mut marks = Vec::new();
    for (at, class) in found.classes.iter().enumerate() {
        let curve = f1_over_threshold(curves, &class.class);
        if let Some(&(_, f1)) = curve.iter().rev().find(|point| point.0 >= class.threshold) {
            let words = format!("{}: F1 {} at {}", class.class, metric(Some(f1)), metric(Some(class.threshold)));
            let name = "tuned threshold".to_owned();
            marks.push(PointMarker {
                at: (class.threshold, f1),
                color: at % 6,
                shape: MarkerShape::Diamond,
                name,
                words,
            });
        }
        series.push(line(&class.class, at % 6, LineStyle::Solid, curve));
    }
    let name = found.criterion.name();
    let half = [ReferenceLine { at: 0.5, words: "0.5".to_owned() }];
    html! {
        p { code { (item.name) } " " (code_words(&item.summary.headline)) ". These metrics are optimistic: the thresholds were tuned on the same patches." }
        div.two {
            div.panel {
                h3 { "F1 by threshold, validation" }
                (PreEscaped(lines("F1 by threshold", &ChartAxis::fraction("threshold"), &ChartAxis::fraction("F1"), &series, &marks, &half)))
            }
            div.panel {
                h3 { "Thresholds for the " (found.criterion.goal()) }
                div.scroll tabindex="0" { table.tight {
                    thead { tr { th { "class" } th { "threshold" } th { (name) } th { "at 0.5" } th { "all positive" } th { "positives" } th { "photographs" } } }
                    tbody { @for (at, class) in found.classes.iter().enumerate() {
                        tr {
                            td { span class={ "key k" (at % 6) } {} (class.class) }
                            td { (metric(Some(class.threshold))) }
                            td { (metric(class.figure)) @if !class.met && class.figure.is_some() { " (target not met)" } }
                            td { (metric(class.figure_at_half)) }
                            td.trivial { (metric(class.always_yes_f1)) }
                            td { (thousands(class.positives)) }
                            td { (thousands(class.positive_photographs)) }
                        }
                    } }
                } }
                p.hint { "A patch is positive if its score is at least the threshold. Of equally good thresholds, the midpoint of the widest interval is taken." }
            }
        }
    }
}

/// F1 at every threshold: a step from each distinct score down to the next.
fn f1_over_threshold(curves: &Columns, class: &str) -> Vec<(f64, f64)> {
    let (Ok(classes), Ok(scores), Ok(f1)) = (curves.texts("class"), curves.reals("score"), curves.reals("f1")) else {
        return Vec::new();
    };
    let mut points: Vec<(f64, f64)> = Vec::new();
    for ((own, score), f1) in classes.iter().zip(scores).zip(f1) {
        if own.as_deref() == Some(class)
            && let (Some(score), Some(f1)) = (score, f1)
        {
            if points.is_empty() {
                points.extend([(1.0, 0.0), (*score, 0.0)]);
            } else if let Some(&(_, before)) = points.last() {
                points.push((*score, before));
            }
            points.push((*score, *f1));
        }
    }
    if let Some(&(_, last)) = points.last() {
        points.push((0.0, last));
    }
    points
}
