//! A pipeline as an SVG picture: a layered drawing with smooth edges, for light and dark.

use std::fmt::Write;

use super::layout::{DrawingLayout, layout};
use super::{Drawing, DrawnReference, DrawnStage, StageStatus, types};
use crate::base::figure::counted;

const BOX_HEIGHT: f64 = 46.0;
const RANK_GAP: f64 = 58.0;
const BOX_GAP: f64 = 26.0;
const EDGE_OF_PAGE: f64 = 24.0;
/// Advance of a letter at 1 px, rounded up: the reader's fonts are unknown.
const ADVANCE: f64 = 0.6;

/// Colours as CSS variables, with a separate set for dark mode. Status colours are legible on both.
const STYLE: &str = "
  svg { --page: #fcfcfa; --box: #ffffff; --line: #c9ccd1; --ink: #1d2025; --soft: #6a7079; --edge: #9aa0a9;
    --stored: #2f8f5b; --run: #2f72c9; --unknown: #8a8f98; --damaged: #b97a10; --failed: #c43c50; }
  @media (prefers-color-scheme: dark) { svg { --page: #16181c; --box: #20242a; --line: #3c424b; --ink: #e7e9ec; --soft: #9aa1ab; --edge: #68707b;
    --stored: #4fb981; --run: #5b9cf0; --unknown: #8a8f98; --damaged: #e0a63c; --failed: #ef6b7d; } }
  .page { fill: var(--page); } .box { fill: var(--box); stroke: var(--line); }
  text { font-family: ui-sans-serif, system-ui, 'Helvetica Neue', Arial, sans-serif; fill: var(--ink); }
  .name { font-size: 14px; font-weight: 600; text-anchor: middle; }
  .kind { font-size: 11px; fill: var(--soft); text-anchor: middle; }
  .port { font-size: 10px; fill: var(--soft); text-anchor: middle; paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }
  .edge { fill: none; stroke: var(--edge); stroke-width: 1.3; } .tip { fill: var(--edge); }
  .title { font-size: 15px; font-weight: 600; } .legend { font-size: 11px; fill: var(--soft); }
  .stored { fill: var(--stored); } .run { fill: var(--run); } .unknown { fill: var(--unknown); } .damaged { fill: var(--damaged); } .failed { fill: var(--failed); }
";

/// The drawing as SVG.
#[must_use]
pub fn svg(drawing: &Drawing) -> String {
    let widths: Vec<f64> = (0..drawing.nodes.len()).map(|at| box_width(drawing, at)).collect();
    let ends: Vec<(usize, usize)> = drawing.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layout(&widths, &ends, BOX_GAP);
    let used: Vec<StageStatus> =
        StageStatus::ALL.into_iter().filter(|mark| drawing.nodes.iter().any(|node| node.mark == Some(*mark))).collect();
    let head = EDGE_OF_PAGE + 30.0 + if used.is_empty() { 0.0 } else { 20.0 };
    let title = format!("{}: {}", drawing.name, counted(drawing.nodes.len() as u64, "stage", "stages"));
    let width = (layout.width + 2.0 * EDGE_OF_PAGE).max(text_width(&title, 15.0) + 2.0 * EDGE_OF_PAGE).max(300.0);
    let height = head + layout.ranks as f64 * (BOX_HEIGHT + RANK_GAP) - RANK_GAP.min(layout.ranks as f64 * RANK_GAP)
        + EDGE_OF_PAGE;
    let page = SvgPage { left: (width - layout.width) / 2.0, top: head };

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n",
        escape(&title),
    );
    _ = writeln!(
        out,
        "<text class=\"title\" x=\"{EDGE_OF_PAGE}\" y=\"{}\">{}</text>",
        EDGE_OF_PAGE + 8.0,
        escape(&title)
    );
    legend(&mut out, &used);
    edges(&mut out, drawing, &layout, &widths, &page);
    for (at, node) in drawing.nodes.iter().enumerate() {
        let (x, y) = (page.x(layout.vertices[at].x), page.y(layout.vertices[at].rank));
        stage_box(&mut out, node, x, y, widths[at]);
    }
    out.push_str("</svg>\n");
    out
}

/// Position of the layout on the page.
struct SvgPage {
    left: f64,
    top: f64,
}

impl SvgPage {
    fn x(&self, x: f64) -> f64 {
        self.left + x
    }

    /// The top of a rank.
    fn y(&self, rank: usize) -> f64 {
        self.top + rank as f64 * (BOX_HEIGHT + RANK_GAP)
    }
}

/// Width of a box: enough for its texts, and for the port labels along its edges.
fn box_width(drawing: &Drawing, at: usize) -> f64 {
    let node = &drawing.nodes[at];
    let text = text_width(&node.name, 14.0).max(text_width(&subtitle(node), 11.0)) + 28.0;
    let row = |words: &[&str]| {
        let widest = words.iter().map(|word| text_width(word, 10.0) + 6.0).fold(0.0, f64::max);
        if words.len() > 1 { widest * words.len() as f64 } else { 0.0 }
    };
    let outputs: Vec<&str> = node.outputs.iter().map(|output| output.port.as_str()).collect();
    let into = drawing.edges.iter().filter(|edge| edge.to == at && has_words(edge));
    let inputs: Vec<&str> = into.map(|edge| edge.input.as_str()).collect();
    text.max(row(&outputs)).max(row(&inputs)).max(96.0)
}

/// Whether the input port is neither `from` nor `of`.
fn has_words(edge: &DrawnReference) -> bool {
    edge.input != "from" && edge.input != "of"
}

fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * ADVANCE
}

/// `extract → patches`.
fn subtitle(node: &DrawnStage) -> String {
    format!("{} → {}", node.kind, types(node))
}

fn stage_box(out: &mut String, node: &DrawnStage, x: f64, y: f64, width: f64) {
    let left = x - width / 2.0;
    let state = node.mark.map(|mark| format!(", {}", mark.words())).unwrap_or_default();
    _ = writeln!(out, "<g><title>{}</title>", escape(&format!("{} {}{state}", node.kind, node.name)));
    _ = writeln!(
        out,
        "<rect class=\"box\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BOX_HEIGHT}\" rx=\"7\"/>"
    );
    if let Some(mark) = node.mark {
        let (top, height) = (y + 8.0, BOX_HEIGHT - 16.0);
        _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"4\" height=\"{height}\" rx=\"2\"/>",
            mark.class(),
            left + 6.0
        );
    }
    _ = writeln!(out, "<text class=\"kind\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y + 17.0, escape(&subtitle(node)));
    _ = writeln!(out, "<text class=\"name\" x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>", y + 35.0, escape(&node.name));
}

fn legend(out: &mut String, used: &[StageStatus]) {
    let (mut x, y) = (EDGE_OF_PAGE, EDGE_OF_PAGE + 30.0);
    for mark in used {
        _ = writeln!(
            out,
            "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/><text class=\"legend\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            mark.class(),
            x + 4.0,
            y - 4.0,
            x + 13.0,
            mark.words(),
        );
        x += 13.0 + text_width(mark.words(), 11.0) + 16.0;
    }
}

/// Edges first, then their labels, so that no curve crosses a label.
fn edges(out: &mut String, drawing: &Drawing, layout: &DrawingLayout, widths: &[f64], page: &SvgPage) {
    let mut words = String::new();
    for (at, edge) in drawing.edges.iter().enumerate() {
        let route = &layout.routes[at];
        let (start, end) = (out_anchor(drawing, layout, widths, at), in_anchor(drawing, layout, widths, at));
        let (start, end) = (page.x(start), page.x(end));
        let mut x = start;
        let mut y = page.y(layout.vertices[edge.from].rank) + BOX_HEIGHT;
        let mut path = format!("M{x:.1} {y:.1}");
        for &vertex in &route[1..] {
            let is_end = vertex == edge.to;
            let next_x = if is_end { end } else { page.x(layout.vertices[vertex].x) };
            let next_y = page.y(layout.vertices[vertex].rank) - if is_end { 6.0 } else { 0.0 };
            let bow = (next_y - y) * 0.5;
            _ = write!(path, "C{x:.1} {:.1} {next_x:.1} {:.1} {next_x:.1} {next_y:.1}", y + bow, next_y - bow);
            (x, y) = (next_x, next_y);
            if !is_end {
                y += BOX_HEIGHT;
                _ = write!(path, "V{y:.1}");
            }
        }
        let label = format!(
            "{}.{} → {}.{} ({})",
            drawing.nodes[edge.from].name, edge.output, drawing.nodes[edge.to].name, edge.input, edge.ty
        );
        _ = writeln!(out, "<path class=\"edge\" d=\"{path}\"><title>{}</title></path>", escape(&label));
        _ = writeln!(out, "<path class=\"tip\" d=\"M{:.1} {:.1}l-4 -8h8z\"/>", x, y + 6.0);
        let several = |edges: usize| edges > 1;
        if several(drawing.nodes[edge.from].outputs.len()) && is_first_of_port(drawing, at) {
            let y = page.y(layout.vertices[edge.from].rank) + BOX_HEIGHT + 11.0;
            _ = writeln!(words, "<text class=\"port\" x=\"{start:.1}\" y=\"{y:.1}\">{}</text>", escape(&edge.output));
        }
        if has_words(edge) {
            _ = writeln!(
                words,
                "<text class=\"port\" x=\"{end:.1}\" y=\"{:.1}\">{}</text>",
                y - 7.0,
                escape(&edge.input)
            );
        }
    }
    out.push_str(&words);
}

fn is_first_of_port(drawing: &Drawing, at: usize) -> bool {
    let edge = &drawing.edges[at];
    !drawing.edges[..at].iter().any(|other| other.from == edge.from && other.output == edge.output)
}

/// Where an edge leaves its box: one position per output port in use, in the order of their edges.
fn out_anchor(drawing: &Drawing, layout: &DrawingLayout, widths: &[f64], at: usize) -> f64 {
    let edge = &drawing.edges[at];
    let mut ports: Vec<(&str, f64, u32)> = Vec::new();
    for (other, route) in drawing.edges.iter().zip(&layout.routes).filter(|(other, _)| other.from == edge.from) {
        let x = layout.vertices[route[1]].x;
        match ports.iter_mut().find(|(port, ..)| *port == other.output) {
            Some((_, sum, count)) => (*sum, *count) = (*sum + x, *count + 1),
            None => ports.push((&other.output, x, 1)),
        }
    }
    ports.sort_by(|a, b| (a.1 / f64::from(a.2)).total_cmp(&(b.1 / f64::from(b.2))));
    let place = ports.iter().position(|(port, ..)| *port == edge.output).unwrap_or(0);
    spread(layout.vertices[edge.from].x, widths[edge.from], place, ports.len())
}

/// Where an edge enters its box: one position per edge, in order.
fn in_anchor(drawing: &Drawing, layout: &DrawingLayout, widths: &[f64], at: usize) -> f64 {
    let edge = &drawing.edges[at];
    let came = |at: usize| layout.vertices[layout.routes[at][layout.routes[at].len() - 2]].x;
    let is_same = |other: &DrawnReference| other.to == edge.to;
    let mut others: Vec<usize> = (0..drawing.edges.len()).filter(|&other| is_same(&drawing.edges[other])).collect();
    others.sort_by(|&a, &b| came(a).total_cmp(&came(b)).then(a.cmp(&b)));
    let place = others.iter().position(|&other| other == at).unwrap_or(0);
    spread(layout.vertices[edge.to].x, widths[edge.to], place, others.len())
}

fn spread(centre: f64, width: f64, place: usize, count: usize) -> f64 {
    centre + width * ((place as f64 + 0.5) / count as f64 - 0.5)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{baseline, pipeline};
    use super::super::{StageStatus, drawing};
    use super::svg;

    #[test]
    fn every_stage_and_reference_is_drawn() {
        let marks = BTreeMap::from([
            ("fundus".to_owned(), StageStatus::Stored),
            ("classifier".to_owned(), StageStatus::WillRun),
        ]);
        let picture = svg(&drawing(&baseline(), &marks));
        assert_eq!(picture.matches("class=\"box\"").count(), 12);
        assert_eq!(picture.matches("class=\"edge\"").count(), 20);
        assert!(picture.contains(">will run</text>"));
        assert!(picture.contains("folds.valid → classifier.valid (patches)"));
    }

    #[test]
    fn names_are_escaped() {
        let picture = svg(&drawing(&pipeline("a <x>&\"y\" -> out:t"), &BTreeMap::new()));
        assert!(picture.contains("&lt;x&gt;&amp;&quot;y&quot;</text>"), "{picture}");
    }
}
