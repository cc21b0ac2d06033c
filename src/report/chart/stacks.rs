//! Horizontal stacked bars of counts: what a patch set holds, stage by stage.

use std::fmt::Write;

use super::{ADVANCE, ChartAxis, LegendEntry, Plane, SIGN_BOX, escape, legend, open, x_axis};
use crate::base::figure::thousands;

/// Stacked bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Label on the left.
    pub name: String,
    /// Count for each entry of the legend.
    pub counts: Vec<u64>,
}

const WIDTH: f64 = 1060.0;
const ROW: f64 = 34.0;

/// Chart of stacked bars as SVG; `parts` are the legend's words and colours.
#[must_use]
pub fn stacks(name: &str, label: &str, parts: &[(&str, usize)], rows: &[Stack]) -> String {
    let totals: Vec<u64> = rows.iter().map(|row| row.counts.iter().sum()).collect();
    let mut axis = ChartAxis::from_zero(label, totals.iter().map(|&total| total as f64));
    axis.high = totals.iter().copied().max().unwrap_or(1).max(1) as f64;
    axis.ticks.retain(|tick| tick.0 <= axis.high);
    for (value, words) in &mut axis.ticks {
        *words = thousands(*value as u64);
    }
    let widest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0) as f64;
    let left = 18.0 + widest * ADVANCE;
    let used: Vec<usize> = (0..parts.len()).filter(|&part| rows.iter().any(|row| row.counts[part] > 0)).collect();
    let entries: Vec<LegendEntry> = used
        .iter()
        .map(|&part| LegendEntry { words: parts[part].0.to_owned(), color: parts[part].1, sign: SIGN_BOX })
        .collect();
    let mut body = String::new();
    let top = legend(&mut body, &entries, left, WIDTH) + 2.0;
    let bottom = top + rows.len() as f64 * ROW + 6.0;
    let plane = Plane { width: WIDTH, height: bottom + 48.0, left, right: WIDTH - 70.0, top, bottom };
    x_axis(&mut body, &plane, &axis);
    for (i, (row, &total)) in rows.iter().zip(&totals).enumerate() {
        let y = top + i as f64 * ROW + 8.0;
        _ = write!(
            body,
            "<text class=\"row\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 10.0,
            y + 15.0,
            escape(&row.name)
        );
        let mut before = 0;
        for (&count, &(words, color)) in row.counts.iter().zip(parts) {
            let (from, to) = (plane.x(&axis, before as f64), plane.x(&axis, (before + count) as f64));
            before += count;
            if count == 0 {
                continue;
            }
            let words = format!("{} {words}", thousands(count));
            _ = write!(body, "<g class=\"k{color}\"><title>{}</title>", escape(&words));
            _ = write!(
                body,
                "<rect class=\"bar\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"22\"/>",
                (to - from).max(0.8)
            );
            let short = thousands(count);
            if to - from > short.len() as f64 * ADVANCE + 12.0 {
                _ = write!(
                    body,
                    "<text class=\"inside\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{short}</text>",
                    f64::midpoint(from, to),
                    y + 15.0
                );
            }
            body.push_str("</g>");
        }
        _ = write!(
            body,
            "<text class=\"row\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            plane.x(&axis, total as f64) + 8.0,
            y + 15.0,
            thousands(total)
        );
    }
    let mut out = String::new();
    open(&mut out, plane.width, plane.height, name);
    out + &body + "</svg>"
}
