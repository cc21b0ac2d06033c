//! Panels on the reliability of scores: observed frequency by score, and the parts of the Brier score.

use maud::{Markup, PreEscaped, html};

use super::chart::{ChartAxis, LineStyle, MarkerShape, PointMarker, Series, lines};
use super::html::{metric, plain};
use super::scores as tables;
use crate::base::figure::counted;
use crate::learn::evaluation::Scores;
use crate::learn::metrics::ClassReliability;

/// Panels of an evaluation; empty if calibration was not asked for.
#[must_use]
pub(super) fn section(scores: &Scores) -> Markup {
    let Some(found) = &scores.calibration else { return html! {} };
    let classes: Vec<(usize, &String, &ClassReliability)> = (0..)
        .zip(&scores.classes)
        .zip(found)
        .filter_map(|((at, name), found)| Some((at, name, found.as_ref()?)))
        .collect();
    html! {
        div.two {
            @for (at, name, found) in classes { (curve(at, name, found)) }
        }
        @if let Some(table) = tables::calibration(scores) {
            div.panel {
                h3 { "Calibration" }
                div.scroll tabindex="0" { (plain(&table)) }
                p.hint {
                    "Brier score: mean squared difference of score and label. Reliability is 0 for calibrated scores, resolution says how far they tell patches apart, uncertainty is the Brier score of the prevalence. ECE: mean difference of score and observed frequency in ten bins of as many patches each; by chance: the mean ECE of calibrated scores on as many patients. 95% CI: bootstrap-t over patients, or photographs of unknown patients."
                }
            }
        }
    }
}

fn curve(at: usize, name: &str, found: &ClassReliability) -> Markup {
    let color = at % 6;
    let diagonal = Series {
        name: "calibrated".to_owned(),
        color: 7,
        style: LineStyle::Dotted,
        points: vec![(0.0, 0.0), (1.0, 1.0)],
    };
    let points = found.bins.iter().map(|bin| (bin.mean_score, bin.observed)).collect();
    let mut series = vec![diagonal, Series { name: name.to_owned(), color, style: LineStyle::Solid, points }];
    // The interval of each bin, as a vertical line.
    series.extend(found.bins.iter().filter_map(|bin| {
        let interval = bin.interval?;
        let points = vec![(bin.mean_score, interval.low), (bin.mean_score, interval.high)];
        Some(Series { name: String::new(), color, style: LineStyle::Solid, points })
    }));
    let marks: Vec<PointMarker> = found
        .bins
        .iter()
        .map(|bin| PointMarker {
            at: (bin.mean_score, bin.observed),
            color,
            shape: MarkerShape::Circle,
            name: String::new(),
            words: format!(
                "{name}: mean score {}, observed {} on {}",
                metric(Some(bin.mean_score)),
                metric(Some(bin.observed)),
                counted(bin.patches, "patch", "patches")
            ),
        })
        .collect();
    let title = format!("Reliability of {name}");
    html! {
        div.panel {
            h3 { (title) }
            (PreEscaped(lines(&title, &ChartAxis::fraction("mean score"), &ChartAxis::fraction("observed frequency"), &series, &marks, &[])))
            p.hint { "Bins of as many patches each. Vertical lines: 95% CI over patients, or photographs of unknown patients." }
        }
    }
}
