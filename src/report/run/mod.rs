//! Facts of a run, put around the content of a page: what was computed, when, where, with which parameters, and how to repeat it. Knows no
//! store.

mod comparison;
mod facts;

pub use comparison::{ComparisonPage, group_name};
pub use facts::{BaseDifference, DataFacts, ParamFacts, RunFacts, StageFacts};

pub(super) use facts::{after, before};

use maud::{Markup, PreEscaped, html};

use super::chart::{ChartAxis, LineStyle, Series, lines};
use super::training::points;
use crate::data::table::Columns;

/// Largest number of lines with names of their own in a legend.
const NAMED: usize = 24;

/// Curve of a model over its epochs.
#[derive(Clone, Debug)]
pub struct LearningCurve {
    /// Name in the legend: a stage, or a point of a sweep.
    pub name: String,
    /// Curves of one group have one colour.
    pub group: usize,
    /// `epochs.parquet`.
    pub epochs: Columns,
}

/// Learning curves of several models in one chart each: validation loss and average precision.
#[must_use]
pub(super) fn learning_curves(curves: &[LearningCurve]) -> Markup {
    let charts =
        [("Validation loss", "loss", false), ("Mean average precision, validation", "average_precision", true)];
    html! {
        @if !curves.is_empty() {
            h2 id="curves" { "Learning curves" }
            p.lead { "All models in one chart; curves of the same settings have the same colour." }
            div.two { @for (title, column, fraction) in charts { (learning_chart(curves, title, column, fraction)) } }
        }
    }
}

fn learning_chart(curves: &[LearningCurve], title: &str, column: &str, fraction: bool) -> Markup {
    let mut met: Vec<usize> = Vec::new();
    let series: Vec<Series> = curves
        .iter()
        .map(|curve| {
            // Curves of one group share an entry of the legend.
            let name =
                if met.contains(&curve.group) || met.len() >= NAMED { String::new() } else { curve.name.clone() };
            met.push(curve.group);
            let style = match curve.group / 6 % 3 {
                0 => LineStyle::Solid,
                1 => LineStyle::Dashed,
                _ => LineStyle::Dotted,
            };
            Series { name, color: curve.group % 6, style, points: points(&curve.epochs, "valid", column) }
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let all = || series.iter().flat_map(|line| &line.points);
    let last = all().map(|point| point.0).fold(1.0, f64::max) as u64;
    let y = if fraction {
        ChartAxis::fraction("mean AP")
    } else {
        ChartAxis::from_zero_robust("loss", all().map(|point| point.1))
    };
    html! {
        @if !series.is_empty() {
            div.panel { h3 { (title) } (PreEscaped(lines(title, &ChartAxis::whole("epoch", 1, last.max(1)), &y, &series, &[], &[]))) }
        }
    }
}
