//! The sections on training and on thresholds.

use maud::{Markup, PreEscaped, html};

use super::chart::{Axis, Line, Mark, Rule, Shape, Style, lines};
use super::gather::{Content, Piece};
use super::page::code_words;
use crate::base::figure::{counted, short, thousands};
use crate::data::table::Columns;
use crate::learn::model::ModelInfo;
use crate::learn::tuning::Thresholds;

/// Curves over the epochs of every model.
#[must_use]
pub fn section(pieces: &[Piece]) -> Markup {
    html! {
        h2 id="training" { "Training" }
        @for piece in pieces {
            @if let Content::Model(model) = &piece.content { (model_section(piece, &model.0, &model.1)) }
        }
    }
}

fn model_section(piece: &Piece, info: &ModelInfo, epochs: &Columns) -> Markup {
    let set = |name: &'static str| move |column: &str| points(epochs, name, column);
    let (training, subset, valid) = (set("training"), set("subset"), set("valid"));
    let solid = |name: &str, color, points| line(name, color, Style::Solid, points);
    let trivial = |name: &str, color, points| line(name, color, Style::Dotted, points);
    let dashed = |name: &str, color, points| line(name, color, Style::Dashed, points);
    let loss = [
        solid("validation", 0, valid("loss")),
        dashed("training, as it is", 1, subset("loss")),
        trivial("training, augmented", 6, training("loss")),
    ];
    let precision = [
        solid("validation", 0, valid("average_precision")),
        dashed("training, as it is", 1, subset("average_precision")),
    ];
    let f1 = [solid("validation", 0, valid("f1_micro")), dashed("training, as it is", 1, subset("f1_micro"))];
    let zero = [solid("nothing predicted", 0, valid("all_zero")), trivial("truly healthy", 6, valid("all_zero_true"))];
    let per_class: Vec<Line> = info
        .classes
        .iter()
        .enumerate()
        .flat_map(|(class, name)| {
            let chance = trivial("", class % 6, valid(&format!("prevalence.{name}")));
            [solid(name, class % 6, valid(&format!("average_precision.{name}"))), chance]
        })
        .collect();
    let ratio: Vec<Line> = info
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| solid(name, class % 6, valid(&format!("predicted_ratio.{name}"))))
        .chain([trivial(
            "as often as it is there",
            6,
            valid("loss").into_iter().map(|(epoch, _)| (epoch, 1.0)).collect(),
        )])
        .collect();
    let last = info.epochs.max(1);
    let rules = [Rule { at: info.chosen_epoch as f64, words: format!("epoch {} chosen", info.chosen_epoch) }];
    let chart = |title: &str, label: &str, share: bool, series: &[Line]| {
        let y = if share {
            Axis::share(label)
        } else {
            Axis::from_zero(label, series.iter().flat_map(|l| &l.points).map(|p| p.1.min(6.0)))
        };
        html! { div.panel { h3 { (title) } (PreEscaped(lines(title, &Axis::whole("epoch", 1, last), &y, series, &[], &rules))) } }
    };
    html! {
        p { code { (piece.name) } " " (code_words(&piece.summary.headline)) }
        div.two {
            (chart("Loss", "loss", false, &loss))
            (chart("Mean average precision", "mean AP", true, &precision))
            (chart("Average precision on validation (dotted: prevalence)", "AP", true, &per_class))
            (chart("Micro F1 at 0.5", "micro F1", true, &f1))
            (chart("Predicted over true positives, validation, at 0.5", "predicted / true", false, &ratio))
            (chart("Patches for which nothing is predicted, validation", "share of patches", true, &zero))
        }
        p.hint {
            (code_words(&format!("Network `{}`, {} px patches, {}, kernels `{}`. ", info.network.name, info.size, counted(info.epochs, "epoch", "epochs"), info.kernel_path)))
            @for (class, labels) in info.classes.iter().zip(&info.labels) {
                (class) " " (thousands(labels.present)) " positive, " (thousands(labels.absent)) " negative"
                @if labels.unknown > 0 { ", " (thousands(labels.unknown)) " unknown" }
                "; "
            }
        }
    }
}

fn line(name: &str, color: usize, style: Style, points: Vec<(f64, f64)>) -> Line {
    // A line without points (no fixed subset, no such class) has no place in the legend either.
    let name = if points.is_empty() { String::new() } else { name.to_owned() };
    Line { name, color, style, points }
}

/// A column of the table of epochs for one set of patches: epoch and value.
fn points(epochs: &Columns, set: &str, column: &str) -> Vec<(f64, f64)> {
    let (Ok(epoch), Ok(sets), Ok(values)) = (epochs.ints("epoch"), epochs.texts("set"), epochs.reals(column)) else {
        return Vec::new();
    };
    let rows = epoch.iter().zip(sets).zip(values);
    rows.filter(|((_, own), _)| own.as_deref() == Some(set))
        .filter_map(|((epoch, _), value)| Some(((*epoch)? as f64, (*value)?)))
        .filter(|point| point.1.is_finite())
        .collect()
}

/// Tuned thresholds, and F1 over all thresholds.
#[must_use]
pub fn thresholds(pieces: &[Piece]) -> Markup {
    html! {
        h2 id="thresholds" { "Thresholds" }
        @for piece in pieces {
            @if let Content::Thresholds(found) = &piece.content { (threshold_section(piece, &found.0, &found.1)) }
        }
    }
}

fn threshold_section(piece: &Piece, found: &Thresholds, curves: &Columns) -> Markup {
    let mut series = Vec::new();
    let mut marks = Vec::new();
    for (at, class) in found.classes.iter().enumerate() {
        let curve = f1_over_threshold(curves, &class.class);
        if let Some(&(_, f1)) = curve.iter().rev().find(|point| point.0 >= class.threshold) {
            let words = format!("{}: F1 {} at {}", class.class, short(Some(f1), 3), short(Some(class.threshold), 3));
            let name = "tuned threshold".to_owned();
            marks.push(Mark { at: (class.threshold, f1), color: at % 6, shape: Shape::Diamond, name, words });
        }
        series.push(line(&class.class, at % 6, Style::Solid, curve));
    }
    let name = found.criterion.name();
    let half = [Rule { at: 0.5, words: "0.5".to_owned() }];
    html! {
        p { code { (piece.name) } " " (code_words(&piece.summary.headline)) ". These figures flatter: the thresholds were chosen on the same patches." }
        div.two {
            div.panel {
                h3 { "F1 over the threshold, validation" }
                (PreEscaped(lines("F1 over the threshold", &Axis::share("threshold"), &Axis::share("F1"), &series, &marks, &half)))
            }
            div.panel {
                h3 { "Thresholds for the highest " (name) }
                div.scroll { table {
                    thead { tr { th { "class" } th { "threshold" } th { (name) } th { "at 0.5" } th { "always-yes F1" } th { "positives" } th { "photographs" } } }
                    tbody { @for (at, class) in found.classes.iter().enumerate() {
                        tr {
                            td { span class={ "key k" (at % 6) } {} (class.class) }
                            td { (short(Some(class.threshold), 3)) }
                            td { (short(class.figure, 3)) @if !class.met && class.figure.is_some() { " (not met)" } }
                            td { (short(class.figure_at_half, 3)) }
                            td.trivial { (short(class.always_yes_f1, 3)) }
                            td { (thousands(class.positives)) }
                            td { (thousands(class.positive_photographs)) }
                        }
                    } }
                } }
                p.hint { "A score of at least the threshold is positive. Among equally good thresholds: the middle of the widest range." }
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
