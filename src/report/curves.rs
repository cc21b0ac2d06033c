//! Precision-recall and ROC curves of an evaluation.

use maud::{Markup, PreEscaped, html};

use super::chart::{ChartAxis, LineStyle, MarkerShape, PointMarker, Series, lines};
use super::explorer::specificity;
use super::html::metric;
use crate::data::table::Columns;
use crate::learn::evaluation::Scores;

/// Precision-recall curves of all classes.
pub(super) fn precision_recall(scores: &Scores, curves: &Columns) -> Markup {
    let mut series = Vec::new();
    let mut marks = Vec::new();
    for (class, name) in scores.classes.iter().enumerate() {
        if scores.ranking[class].average_precision.is_none() {
            continue;
        }
        let words = format!("{name} {}", metric(scores.ranking[class].average_precision));
        series.push(Series { name: words, color: class % 6, style: LineStyle::Solid, points: steps(curves, name) });
        let prevalence = scores.baselines.classes[class].prevalence.unwrap_or(0.0);
        let points = vec![(0.0, prevalence), (1.0, prevalence)];
        series.push(Series { name: String::new(), color: class % 6, style: LineStyle::Dotted, points });
        for (at, shape, kind) in [
            (Some(&scores.at_half).filter(|_| scores.single.is_none()), MarkerShape::Circle, "threshold 0.5"),
            (scores.at_tuned.as_ref(), MarkerShape::Diamond, "tuned threshold"),
        ] {
            let Some(figures) = at.map(|at| &at.figures.classes[class]) else { continue };
            if let (Some(recall), Some(precision)) = (figures.recall, figures.precision) {
                let words =
                    format!("{name}, {kind}: precision {}, recall {}", metric(Some(precision)), metric(Some(recall)));
                marks.push(PointMarker {
                    at: (recall, precision),
                    color: class % 6,
                    shape,
                    name: kind.to_owned(),
                    words,
                });
            }
        }
    }
    html! {
        div.panel {
            h3 { "Precision-recall curves" }
            (PreEscaped(lines("Precision-recall curves", &ChartAxis::fraction("recall"), &ChartAxis::fraction("precision"), &series, &marks, &[])))
            p.hint { "The area under each step curve is the average precision of its class. Dotted: prevalence." }
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

/// ROC curves of all classes.
pub(super) fn roc(scores: &Scores, curves: &Columns) -> Markup {
    let chance = vec![(0.0, 0.0), (1.0, 1.0)];
    let mut series = vec![Series { name: "chance".to_owned(), color: 6, style: LineStyle::Dotted, points: chance }];
    let mut marks = Vec::new();
    for (class, name) in scores.classes.iter().enumerate() {
        let Some(auroc) = scores.ranking[class].auroc else { continue };
        let words = format!("{name} {}", metric(Some(auroc)));
        let points = roc_points(curves, name);
        series.push(Series { name: words, color: class % 6, style: LineStyle::Solid, points });
        for (at, shape, kind) in [
            (Some(&scores.at_half).filter(|_| scores.single.is_none()), MarkerShape::Circle, "threshold 0.5"),
            (scores.at_tuned.as_ref(), MarkerShape::Diamond, "tuned threshold"),
        ] {
            let Some(figures) = at.map(|at| &at.figures.classes[class]) else { continue };
            if let (Some(sensitivity), Some(specificity)) = (figures.recall, specificity(&figures.counts)) {
                let words = format!(
                    "{name}, {kind}: sensitivity {}, specificity {}",
                    metric(Some(sensitivity)),
                    metric(Some(specificity))
                );
                let at = (1.0 - specificity, sensitivity);
                marks.push(PointMarker { at, color: class % 6, shape, name: kind.to_owned(), words });
            }
        }
    }
    let (x, y) = (ChartAxis::fraction("1 - specificity"), ChartAxis::fraction("sensitivity"));
    html! {
        div.panel {
            h3 { "ROC curves" }
            (PreEscaped(lines("ROC curves", &x, &y, &series, &marks, &[])))
            p.hint { "The area under each curve is the AUROC of its class. For rare lesions it is high long before precision is." }
        }
    }
}

/// The ROC curve: straight between the points of distinct scores.
fn roc_points(curves: &Columns, class: &str) -> Vec<(f64, f64)> {
    let (Ok(classes), Ok(alarms), Ok(recall)) =
        (curves.texts("class"), curves.reals("false_positive_rate"), curves.reals("recall"))
    else {
        return Vec::new();
    };
    let own = classes.iter().zip(alarms).zip(recall).filter(|((own, _), _)| own.as_deref() == Some(class));
    let points = own.filter_map(|((_, alarms), recall)| Some(((*alarms)?, (*recall)?)));
    std::iter::once((0.0, 0.0)).chain(points).collect()
}
