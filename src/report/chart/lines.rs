//! Line charts: curves over epochs, precision over recall, F1 over the threshold.

use std::fmt::Write;

use super::{
    Axis, Entry, Plane, SIGN_CIRCLE, SIGN_DASHED, SIGN_DIAMOND, SIGN_DOTTED, SIGN_LINE, axes, escape, legend, open,
};

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What was measured.
    Solid,
    /// Another set of the same.
    Dashed,
    /// What a trivial classifier reaches.
    Dotted,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// In the legend; empty for none.
    pub name: String,
    /// Which colour, 0 to 7.
    pub color: usize,
    /// How it is drawn.
    pub style: Style,
    /// Its points, in order.
    pub points: Vec<(f64, f64)>,
}

/// What a mark looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square on its corner.
    Diamond,
}

/// One point that matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where.
    pub at: (f64, f64),
    /// Which colour, 0 to 7.
    pub color: usize,
    /// Its looks.
    pub shape: Shape,
    /// What it is, in the legend (once for each name); empty for none.
    pub name: String,
    /// Shown when pointed at.
    pub words: String,
}

/// A vertical line at a value of the horizontal axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where.
    pub at: f64,
    /// A few words beside it.
    pub words: String,
}

const WIDTH: f64 = 520.0;
const PLOT: f64 = 250.0;

/// A line chart.
#[must_use]
pub fn lines(name: &str, x: &Axis, y: &Axis, lines: &[Line], marks: &[Mark], rules: &[Rule]) -> String {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines.iter().filter(|line| !line.name.is_empty()) {
        let sign = match line.style {
            Style::Solid => SIGN_LINE,
            Style::Dashed => SIGN_DASHED,
            Style::Dotted => SIGN_DOTTED,
        };
        entries.push(Entry { words: line.name.clone(), color: line.color, sign });
    }
    for mark in marks.iter().filter(|mark| !mark.name.is_empty()) {
        if !entries.iter().any(|entry| entry.words == mark.name) {
            let sign = if mark.shape == Shape::Circle { SIGN_CIRCLE } else { SIGN_DIAMOND };
            entries.push(Entry { words: mark.name.clone(), color: 7, sign });
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
            Style::Solid => "line",
            Style::Dashed => "line dashed",
            Style::Dotted => "line dotted",
        };
        let points: Vec<(f64, f64)> = line.points.iter().map(|&(a, b)| (plane.x(x, a), plane.y(y, b))).collect();
        if let [(a, b)] = points[..] {
            _ = write!(body, "<circle class=\"dot k{}\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3\"/>", line.color);
            continue;
        }
        _ = write!(body, "<path class=\"{style} k{}\" d=\"{}\"/>", line.color, path(&points));
    }
    for mark in marks {
        let (a, b) = (plane.x(x, mark.at.0), plane.y(y, mark.at.1));
        let shape = match mark.shape {
            Shape::Circle => format!("<circle class=\"dot\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"5\">"),
            Shape::Diamond => format!("<path class=\"dot\" d=\"M{a:.1} {:.1}l7 7l-7 7l-7 -7z\">", b - 7.0),
        };
        let end = if mark.shape == Shape::Circle { "circle" } else { "path" };
        _ = write!(body, "<g class=\"k{}\">{shape}<title>{}</title></{end}></g>", mark.color, escape(&mark.words));
    }
    let mut out = String::new();
    open(&mut out, plane.width, plane.height, name);
    out + &body + "</svg>"
}

/// A path through points; those that would not be seen apart are left out, the last of each run stays.
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
