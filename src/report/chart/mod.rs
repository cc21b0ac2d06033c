//! Charts as SVG: clean axes, a legend, colours that colour-blind people tell apart (Okabe and Ito 2008), light and dark by the
//! page's variables `--k0` to `--k7`. They know numbers and words, nothing of where those came from.

mod bars;
mod forest;
mod lines;
mod stacks;

pub use bars::{Bar, BarGroup, bars};
pub use forest::{ForestRow, forest};
pub use lines::{Line, Mark, Rule, Shape, Style, lines};
pub use stacks::{Stack, stacks};

use std::fmt::Write;

/// Advance of a letter of the charts' text (12 px), generously.
const ADVANCE: f64 = 6.7;

/// One axis: its label, its range, and where it has marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// Where it begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Marks, with their words.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// 0 to 1 in fifths.
    #[must_use]
    pub fn share(label: &str) -> Self {
        let ticks = (0..=5).map(|i| (f64::from(i) / 5.0, crate::base::figure::short(Some(f64::from(i) / 5.0), 1)));
        let ticks = ticks.map(|(at, words)| {
            (
                at,
                if at == 0.0 {
                    "0".to_owned()
                } else if at == 1.0 {
                    "1".to_owned()
                } else {
                    words
                },
            )
        });
        Self { label: label.to_owned(), low: 0.0, high: 1.0, ticks: ticks.collect() }
    }

    /// From 0 to a round number over all values.
    #[must_use]
    pub fn from_zero(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let step = round_step(if most > 0.0 { most } else { 1.0 } / 4.0);
        let count = (most / step).ceil().max(1.0) as u32;
        let decimals = if step >= 1.0 { 0 } else { (-libm::log10(step)).ceil() as usize };
        let ticks = (0..=count).map(|i| (f64::from(i) * step, format!("{:.decimals$}", f64::from(i) * step)));
        Self { label: label.to_owned(), low: 0.0, high: f64::from(count) * step, ticks: ticks.collect() }
    }

    /// Whole numbers from `low` to `high`, at most ten marks.
    #[must_use]
    pub fn whole(label: &str, low: u64, high: u64) -> Self {
        let step = round_step((high - low).max(1) as f64 / 9.0).max(1.0) as u64;
        let first = low.next_multiple_of(step);
        let mut at: Vec<u64> = (first..=high).step_by(step as usize).collect();
        if at.first() != Some(&low) && first - low > step / 2 {
            at.insert(0, low);
        }
        let ticks = at.into_iter().map(|at| (at as f64, at.to_string())).collect();
        let (low, high) = if low == high { (low as f64 - 0.5, high as f64 + 0.5) } else { (low as f64, high as f64) };
        Self { label: label.to_owned(), low, high, ticks }
    }

    fn place(&self, value: f64) -> f64 {
        (value.clamp(self.low, self.high) - self.low) / (self.high - self.low)
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = libm::pow(10.0, libm::log10(least).floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// One entry of a legend: its words, its colour, and how it is drawn (an SVG fragment around 0, 0, 22 px wide).
struct Entry {
    words: String,
    color: usize,
    sign: &'static str,
}

const SIGN_LINE: &str = "<path class=\"line\" d=\"M0 0h22\"/>";
const SIGN_DASHED: &str = "<path class=\"line dashed\" d=\"M0 0h22\"/>";
const SIGN_DOTTED: &str = "<path class=\"line dotted\" d=\"M0 0h22\"/>";
const SIGN_BOX: &str = "<rect class=\"bar\" x=\"5\" y=\"-6\" width=\"12\" height=\"12\" rx=\"2\"/>";
const SIGN_CIRCLE: &str = "<circle class=\"dot\" cx=\"11\" cy=\"0\" r=\"4.5\"/>";
const SIGN_DIAMOND: &str = "<path class=\"dot\" d=\"M11 -6l6 6l-6 6l-6 -6z\"/>";
const SIGN_TICK: &str = "<path class=\"line thick\" d=\"M11 -7v14\"/>";

/// The plane of a chart, in px from the top left corner.
struct Plane {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plane {
    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }
}

/// The start of a chart: its size, and its name for those who can't see it.
fn open(out: &mut String, width: f64, height: f64, name: &str) {
    _ = write!(
        out,
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(name)
    );
}

/// The legend's entries in rows, from `left` to `right`; the height that it took.
fn legend(out: &mut String, entries: &[Entry], left: f64, right: f64) -> f64 {
    let (mut x, mut y) = (left, 12.0);
    for Entry { words, color, sign } in entries {
        let width = 30.0 + words.chars().count() as f64 * ADVANCE + 12.0;
        if x + width > right && x > left {
            (x, y) = (left, y + 20.0);
        }
        _ = write!(
            out,
            "<g class=\"k{color}\" transform=\"translate({x:.1} {y:.1})\">{sign}<text class=\"legend\" x=\"28\" y=\"4\">{}</text></g>",
            escape(words)
        );
        x += width;
    }
    if entries.is_empty() { 4.0 } else { y + 14.0 }
}

/// Both axes with their grid.
fn axes(out: &mut String, plane: &Plane, x: &Axis, y: &Axis) {
    for (value, words) in &y.ticks {
        let at = plane.y(y, *value);
        _ = write!(out, "<path class=\"grid\" d=\"M{:.1} {at:.1}H{:.1}\"/>", plane.left, plane.right);
        _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            plane.left - 8.0,
            at + 4.0,
            escape(words)
        );
    }
    x_axis(out, plane, x);
    let middle = f64::midpoint(plane.top, plane.bottom);
    _ = write!(
        out,
        "<text class=\"axis\" text-anchor=\"middle\" transform=\"translate(14 {middle:.1}) rotate(-90)\">{}</text>",
        escape(&y.label)
    );
}

/// The horizontal axis with its grid.
fn x_axis(out: &mut String, plane: &Plane, x: &Axis) {
    for (value, words) in &x.ticks {
        let at = plane.x(x, *value);
        _ = write!(out, "<path class=\"grid\" d=\"M{at:.1} {:.1}V{:.1}\"/>", plane.top, plane.bottom);
        _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            plane.bottom + 18.0,
            escape(words)
        );
    }
    _ = write!(out, "<path class=\"base\" d=\"M{:.1} {:.1}H{:.1}\"/>", plane.left, plane.bottom, plane.right);
    _ = write!(
        out,
        "<text class=\"axis\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        f64::midpoint(plane.left, plane.right),
        plane.bottom + 38.0,
        escape(&x.label)
    );
}

/// Text in SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_numbers() {
        let words = |axis: Axis| axis.ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>().join(" ");
        assert_eq!(words(Axis::from_zero("", [0.73])), "0.0 0.2 0.4 0.6 0.8");
        assert_eq!(words(Axis::from_zero("", [9504.0])), "0 5000 10000");
        assert_eq!(words(Axis::from_zero("", [])), "0.0 0.5");
        assert_eq!(words(Axis::whole("", 1, 20)), "1 5 10 15 20");
        assert_eq!(words(Axis::whole("", 1, 1)), "1");
        assert_eq!(words(Axis::share("")), "0 .2 .4 .6 .8 1");
    }
}
