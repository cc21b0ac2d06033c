//! Charts as SVG: axes, a legend, a colour-blind-safe palette (Okabe and Ito 2008), light and dark by the page's variables `--k0` to
//! `--k7`. They know numbers and words, not where those came from.

mod bars;
mod forest;
mod lines;
mod stacks;

pub use bars::{Bar, BarGroup, bars};
pub use forest::{ForestRow, forest};
pub use lines::{LineStyle, MarkerShape, PointMarker, ReferenceLine, Series, lines};
pub use stacks::{Stack, stacks};

use std::fmt::Write;

/// Upper estimate of the advance of a character in the charts' text (12 px).
const ADVANCE: f64 = 6.7;

/// Axis of a chart: label, range and ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartAxis {
    /// What is measured, with its unit.
    pub label: String,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Ticks with their labels.
    pub ticks: Vec<(f64, String)>,
}

impl ChartAxis {
    /// Axis from 0 to 1 with ticks at the fifths.
    #[must_use]
    pub fn fraction(label: &str) -> Self {
        let ticks = ["0", "0.2", "0.4", "0.6", "0.8", "1"].into_iter().enumerate();
        let ticks = ticks.map(|(at, words)| (at as f64 / 5.0, words.to_owned()));
        Self { label: label.to_owned(), low: 0.0, high: 1.0, ticks: ticks.collect() }
    }

    /// Axis from 0 to a round number that covers all values.
    #[must_use]
    pub fn from_zero(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let step = round_step(if most > 0.0 { most } else { 1.0 } / 4.0);
        let count = (most / step).ceil().max(1.0) as u32;
        let decimals = if step >= 1.0 { 0 } else { (-libm::log10(step)).ceil() as usize };
        let ticks = (0..=count).map(|i| (f64::from(i) * step, format!("{:.decimals$}", f64::from(i) * step)));
        Self { label: label.to_owned(), low: 0.0, high: f64::from(count) * step, ticks: ticks.collect() }
    }

    /// Axis from 0 that outliers do not stretch: if the largest value is more than four times the 90th percentile, it ends at a round
    /// number over twice that percentile. [`lines()`] marks every point beyond it.
    #[must_use]
    pub fn from_zero_robust(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let usual = values.len().checked_sub(1).map_or(0.0, |last| values[last * 9 / 10]);
        let most = values.last().copied().unwrap_or(0.0);
        Self::from_zero(label, [if usual > 0.0 && most > 4.0 * usual { 2.0 * usual } else { most }])
    }

    /// Whether a value lies beyond the upper end, by more than rounding.
    fn is_beyond(&self, value: f64) -> bool {
        value > self.high + 1e-9 * self.high.abs()
    }

    /// Axis of whole numbers from `low` to `high`, with at most ten ticks.
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

/// Smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = libm::pow(10.0, libm::log10(least).floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Entry of a legend: words, colour, and symbol (an SVG fragment around 0, 0, 22 px wide).
struct LegendEntry {
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

/// Plot area of a chart, in px from the top left corner.
struct Plane {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plane {
    fn x(&self, axis: &ChartAxis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    fn y(&self, axis: &ChartAxis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }
}

/// Opening tag of a chart: its size, and its name for screen readers.
fn open(out: &mut String, width: f64, height: f64, name: &str) {
    _ = write!(
        out,
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(name)
    );
}

/// Writes the legend in rows from `left` to `right`; returns its height.
fn legend(out: &mut String, entries: &[LegendEntry], left: f64, right: f64) -> f64 {
    let (mut x, mut y) = (left, 12.0);
    for LegendEntry { words, color, sign } in entries {
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

/// Writes both axes with their grid.
fn axes(out: &mut String, plane: &Plane, x: &ChartAxis, y: &ChartAxis) {
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

/// Writes the horizontal axis with its grid.
fn x_axis(out: &mut String, plane: &Plane, x: &ChartAxis) {
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

/// Text escaped for SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let words = |axis: ChartAxis| axis.ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>().join(" ");
        assert_eq!(words(ChartAxis::from_zero("", [0.73])), "0.0 0.2 0.4 0.6 0.8");
        assert_eq!(words(ChartAxis::from_zero("", [9504.0])), "0 5000 10000");
        assert_eq!(words(ChartAxis::from_zero("", [])), "0.0 0.5");
        assert_eq!(words(ChartAxis::whole("", 1, 20)), "1 5 10 15 20");
        assert_eq!(words(ChartAxis::whole("", 1, 1)), "1");
        assert_eq!(words(ChartAxis::fraction("")), "0 0.2 0.4 0.6 0.8 1");
    }

    #[test]
    fn outliers_are_marked_not_clipped_and_do_not_stretch_the_axis() {
        let points: Vec<(f64, f64)> =
            (1..=20).map(|epoch| (f64::from(epoch), if epoch == 1 { 40.0 } else { 0.5 })).collect();
        let y = ChartAxis::from_zero_robust("loss", points.iter().map(|point| point.1));
        assert_eq!(y.high, 1.0);
        let series = Series { name: "validation".to_owned(), color: 0, style: LineStyle::Solid, points };
        let chart = lines("Loss", &ChartAxis::whole("epoch", 1, 20), &y, &[series], &[], &[]);
        assert!(
            chart.contains("<title>validation: 40.0</title>") && chart.contains("off scale: up to 40.0"),
            "{chart}"
        );
        let even = ChartAxis::from_zero_robust("loss", [8.0, 9.0, 7.5]);
        assert_eq!(even.high, 10.0, "values that are all large are shown");
    }
}
