//! Forest plots: one estimate per row with its confidence interval, next to what chance reaches.

use std::fmt::Write;

use super::{ADVANCE, ChartAxis, LegendEntry, Plane, SIGN_CIRCLE, SIGN_TICK, escape, legend, open, x_axis};

/// Row of a forest plot.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestRow {
    /// Label on the left.
    pub name: String,
    /// Colour, 0 to 7.
    pub color: usize,
    /// Estimate, 0 to 1.
    pub value: Option<f64>,
    /// Confidence interval.
    pub interval: Option<(f64, f64)>,
    /// What a trivial classifier reaches.
    pub trivial: Option<f64>,
    /// Text on the right.
    pub words: String,
}

const WIDTH: f64 = 520.0;
const ROW: f64 = 34.0;

/// Forest plot as SVG; `trivial` names the tick of each row in the legend.
#[must_use]
pub fn forest(name: &str, label: &str, trivial: &str, rows: &[ForestRow]) -> String {
    let axis = ChartAxis::fraction(label);
    let mut body = String::new();
    let entries = [
        LegendEntry { words: "estimate and 95% CI".to_owned(), color: 7, sign: SIGN_CIRCLE },
        LegendEntry { words: trivial.to_owned(), color: 6, sign: SIGN_TICK },
    ];
    let widest =
        |text: fn(&ForestRow) -> &String| rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0) as f64;
    let left = 16.0 + widest(|row| &row.name) * ADVANCE;
    let right = WIDTH - 16.0 - widest(|row| &row.words) * ADVANCE;
    let top = legend(&mut body, &entries, left, WIDTH) + 2.0;
    let bottom = top + rows.len() as f64 * ROW + 6.0;
    let plane = Plane { width: WIDTH, height: bottom + 48.0, left, right, top, bottom };
    x_axis(&mut body, &plane, &axis);
    for (i, row) in rows.iter().enumerate() {
        let y = top + (i as f64 + 0.5) * ROW + 3.0;
        _ = write!(
            body,
            "<text class=\"row\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 10.0,
            y + 4.0,
            escape(&row.name)
        );
        _ = write!(
            body,
            "<text class=\"row\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            right + 12.0,
            y + 4.0,
            escape(&row.words)
        );
        if let Some(trivial) = row.trivial {
            let x = plane.x(&axis, trivial);
            _ = write!(body, "<path class=\"line thick k6\" d=\"M{x:.1} {:.1}v18\"/>", y - 9.0);
        }
        _ = write!(body, "<g class=\"k{}\">", row.color);
        if let Some((low, high)) = row.interval {
            _ = write!(
                body,
                "<path class=\"line interval\" d=\"M{:.1} {y:.1}H{:.1}\"/>",
                plane.x(&axis, low),
                plane.x(&axis, high)
            );
        }
        if let Some(value) = row.value {
            _ = write!(body, "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"6\"/>", plane.x(&axis, value));
        }
        body.push_str("</g>");
    }
    let mut out = String::new();
    open(&mut out, plane.width, plane.height, name);
    out + &body + "</svg>"
}
