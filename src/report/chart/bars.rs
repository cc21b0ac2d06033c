//! Grouped bars of fractions, with a whisker for the confidence interval of each.

use std::fmt::Write;

use super::{ChartAxis, LegendEntry, Plane, SIGN_BOX, escape, legend, open};

/// Bar of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Colour, 0 to 7.
    pub color: usize,
    /// Height, 0 to 1; [`None`] leaves an empty place.
    pub value: Option<f64>,
    /// Confidence interval, drawn as a whisker.
    pub interval: Option<(f64, f64)>,
    /// Tooltip.
    pub words: String,
}

/// Group of bars.
#[derive(Clone, Debug, PartialEq)]
pub struct BarGroup {
    /// Label under the bars.
    pub name: String,
    /// Note under the label.
    pub note: String,
    /// Bars, left to right.
    pub bars: Vec<Bar>,
}

const WIDTH: f64 = 520.0;
const PLOT: f64 = 220.0;

/// Bar chart of fractions as SVG; `names` are the legend's words and colours.
#[must_use]
pub fn bars(name: &str, x_label: &str, y_label: &str, names: &[(String, usize)], groups: &[BarGroup]) -> String {
    let y = ChartAxis::fraction(y_label);
    let entries: Vec<LegendEntry> = names
        .iter()
        .map(|(words, color)| LegendEntry { words: words.clone(), color: *color, sign: SIGN_BOX })
        .collect();
    let mut body = String::new();
    let top = legend(&mut body, &entries, 52.0, WIDTH) + 2.0;
    let plane =
        Plane { width: WIDTH, height: top + PLOT + 64.0, left: 52.0, right: WIDTH - 14.0, top, bottom: top + PLOT };
    let none = ChartAxis { label: String::new(), low: 0.0, high: 1.0, ticks: Vec::new() };
    super::axes(&mut body, &plane, &none, &y);
    let step = (plane.right - plane.left) / groups.len().max(1) as f64;
    for (i, group) in groups.iter().enumerate() {
        let middle = plane.left + (i as f64 + 0.5) * step;
        let width = (step * 0.8 / group.bars.len().max(1) as f64).min(34.0);
        let first = middle - width * group.bars.len() as f64 / 2.0;
        for (j, bar) in group.bars.iter().enumerate() {
            let left = first + j as f64 * width;
            _ = write!(body, "<g class=\"k{}\"><title>{}</title>", bar.color, escape(&bar.words));
            if let Some(value) = bar.value {
                let at = plane.y(&y, value);
                let (height, inner) = ((plane.bottom - at).max(1.0), width - 3.0);
                _ = write!(
                    body,
                    "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{inner:.1}\" height=\"{height:.1}\" rx=\"2\"/>",
                    left + 1.5,
                    plane.bottom - height
                );
            } else {
                _ = write!(
                    body,
                    "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">–</text>",
                    left + width / 2.0,
                    plane.bottom - 5.0
                );
            }
            if let Some((low, high)) = bar.interval {
                let (x, low, high) = (left + width / 2.0, plane.y(&y, low), plane.y(&y, high));
                _ = write!(
                    body,
                    "<path class=\"whisker\" d=\"M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h6M{:.1} {high:.1}h6\"/>",
                    x - 3.0,
                    x - 3.0
                );
            }
            body.push_str("</g>");
        }
        _ = write!(
            body,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            plane.bottom + 17.0,
            escape(&group.name)
        );
        _ = write!(
            body,
            "<text class=\"note\" text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            plane.bottom + 32.0,
            escape(&group.note)
        );
    }
    let middle = f64::midpoint(plane.left, plane.right);
    _ = write!(
        body,
        "<text class=\"axis\" text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
        plane.bottom + 54.0,
        escape(x_label)
    );
    let mut out = String::new();
    open(&mut out, plane.width, plane.height, name);
    out + &body + "</svg>"
}
