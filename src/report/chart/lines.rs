//! Line charts: curves over epochs, precision-recall curves, F1 by threshold. Points beyond an axis are marked.

use std::fmt::Write;

use super::{
    ChartAxis, LegendEntry, Plane, SIGN_CIRCLE, SIGN_DASHED, SIGN_DIAMOND, SIGN_DOTTED, SIGN_LINE, axes, escape,
    legend, open,
};

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStyle {
    /// For what was measured.
    Solid,
    /// For another set of patches.
    Dashed,
    /// For what a trivial classifier reaches.
    Dotted,
}

/// Line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend; empty to leave it out.
    pub name: String,
    /// Colour, 0 to 7.
    pub color: usize,
    /// Style of the line.
    pub style: LineStyle,
    /// Points, in order.
    pub points: Vec<(f64, f64)>,
}

/// Shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerShape {
    /// Disc.
    Circle,
    /// Square on its corner.
    Diamond,
}

/// Marked point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointMarker {
    /// Position.
    pub at: (f64, f64),
    /// Colour, 0 to 7.
    pub color: usize,
    /// Shape.
    pub shape: MarkerShape,
    /// Name in the legend, shown once per name; empty to leave it out.
    pub name: String,
    /// Tooltip.
    pub words: String,
}

/// Vertical line at a value of the horizontal axis.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceLine {
    /// Position.
    pub at: f64,
    /// Label next to it.
    pub words: String,
}

const WIDTH: f64 = 520.0;
const PLOT: f64 = 250.0;

/// Line chart as SVG.
#[must_use]
pub fn lines(
    name: &str,
    x: &ChartAxis,
    y: &ChartAxis,
    lines: &[Series],
    marks: &[PointMarker],
    rules: &[ReferenceLine],
) -> String {
    let mut entries: Vec<LegendEntry> = Vec::new();
    for line in lines.iter().filter(|line| !line.name.is_empty()) {
        let sign = match line.style {
            LineStyle::Solid => SIGN_LINE,
            LineStyle::Dashed => SIGN_DASHED,
            LineStyle::Dotted => SIGN_DOTTED,
        };
        entries.push(LegendEntry { words: line.name.clone(), color: line.color, sign });
    }
    for mark in marks.iter().filter(|mark| !mark.name.is_empty()) {
        if !entries.iter().any(|entry| entry.words == mark.name) {
            let sign = if mark.shape == MarkerShape::Circle { SIGN_CIRCLE } else { SIGN_DIAMOND };
            entries.push(LegendEntry { words: mark.name.clone(), color: 7, sign });
        }
    }
    let mut body = String::new();
    let top = legend(&mut body, &entries, 52.0, WIDTH) + if rules.is_empty() { 2.0 } else { 14.0 };
    let plane =
        Plane { width: WIDTH, height: top + PLOT + 48.0, left: 52.0, right: WIDTH - 14.0, top, bottom: top + PLOT };
    axes(&mut body, &plane, x, y);
    for rule in rules {
        let at = plane.x(x, rule.at);
        let anchor = if rule.at > f64::midpoint(x.low, x.high) { "end" } else { "start" };
        _ = write!(body, "<path class=\"rule\" d=\"M{at:.1} {:.1}V{:.1}\"/>", plane.top - 4.0, plane.bottom);
        _ = write!(
            body,
            "<text class=\"note\" text-anchor=\"{anchor}\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            plane.top - 7.0,
            escape(&rule.words)
        );
    }
    for line in lines {
        let style = match line.style {
            LineStyle::Solid => "line",
            LineStyle::Dashed => "line dashed",
            LineStyle::Dotted => "line dotted",
        };
        let points: Vec<(f64, f64)> = line.points.iter().map(|&(a, b)| (plane.x(x, a), plane.y(y, b))).collect();
        if let [(a, b)] = points[..] {
            _ = write!(body, "<circle class=\"dot k{}\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3\"/>", line.color);
            continue;
        }
        _ = write!(body, "<path class=\"{style} k{}\" d=\"{}\"/>", line.color, path(&points));
    }
    off_scale(&mut body, &plane, x, y, lines);
    for mark in marks {
        let (a, b) = (plane.x(x, mark.at.0), plane.y(y, mark.at.1));
        let shape = match mark.shape {
            MarkerShape::Circle => format!("<circle class=\"dot\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"5\">"),
            MarkerShape::Diamond => format!("<path class=\"dot\" d=\"M{a:.1} {:.1}l7 7l-7 7l-7 -7z\">", b - 7.0),
        };
        let end = if mark.shape == MarkerShape::Circle { "circle" } else { "path" };
        _ = write!(body, "<g class=\"k{}\">{shape}<title>{}</title></{end}></g>", mark.color, escape(&mark.words));
    }
    let mut out = String::new();
    open(&mut out, plane.width, plane.height, name);
    out + &body + "</svg>"
}

/// Marks the points above the vertical axis by triangles at its upper end, and says how far they go.
fn off_scale(out: &mut String, plane: &Plane, x: &ChartAxis, y: &ChartAxis, lines: &[Series]) {
    let mut highest = f64::NEG_INFINITY;
    for line in lines {
        for point in line.points.iter().filter(|point| y.is_beyond(point.1)) {
            highest = highest.max(point.1);
            let (at, name) = (plane.x(x, point.0), if line.name.is_empty() { &y.label } else { &line.name });
            _ = write!(
                out,
                "<g class=\"k{}\"><path class=\"dot\" d=\"M{at:.1} {:.1}l5 9h-10z\"><title>{}: {:.1}</title></path></g>",
                line.color,
                plane.top,
                escape(name),
                point.1
            );
        }
    }
    if highest.is_finite() {
        _ = write!(
            out,
            "<text class=\"note\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">off scale: up to {highest:.1}</text>",
            plane.right - 8.0,
            plane.top + 20.0
        );
    }
}

/// SVG path through points. Points too close to be distinguished are left out, but not the last.
fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    let mut last: Option<(f64, f64)> = None;
    for (i, &(x, y)) in points.iter().enumerate() {
        let near = |other: Option<&(f64, f64)>| other.is_some_and(|o| (o.0 - x).abs() < 0.4 && (o.1 - y).abs() < 0.4);
        if near(last.as_ref()) && i + 1 < points.len() {
            continue;
        }
        _ = write!(text, "{}{x:.1} {y:.1}", if last.is_none() { 'M' } else { 'L' });
        last = Some((x, y));
    }
    text
}
