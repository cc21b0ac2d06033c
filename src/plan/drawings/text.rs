//! A pipeline as lines of text: one stage per line, with rails on the left for outputs that later lines need.

use std::fmt::Write;

use super::{Drawing, DrawnReference, DrawnStage, reference, types};
use crate::base::figure::counted;

/// Fewest columns in which the inputs of a stage stand next to it; with less they stand below.
const LEAST: usize = 30;

/// Margin of inputs that stand below their stage, to the right of the rails.
const MARGIN: usize = 4;

/// The drawing as text of at most `width` columns, unless its rails or names are wider. A rail runs from a stage to the last line that
/// needs it; at a line that reads from a rail that continues, it branches off (`├`); at the last one it ends (`╯`).
#[must_use]
pub fn text(drawing: &Drawing, width: usize) -> String {
    let rails = rails(drawing);
    let mark = |node: &DrawnStage| node.mark.map_or("", super::StageStatus::words);
    let widest = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let mut columns = [
        widest(&mut rails.iter().map(|(line, _)| line.as_str())),
        widest(&mut drawing.nodes.iter().map(|node| node.name.as_str())),
        widest(&mut drawing.nodes.iter().map(|node| node.kind.as_str())),
        widest(&mut drawing.nodes.iter().map(mark)),
    ];
    let begins =
        |columns: &[usize; 4]| columns.iter().filter(|width| **width > 0).map(|width| width + 2).sum::<usize>();
    if begins(&columns) > width {
        // The name of a stage says more than its type.
        columns[2] = 0;
    }
    let margin = if width < begins(&columns) + LEAST { columns[0] + 2 + MARGIN } else { begins(&columns) };
    let mut out = format!("{}, {}\n\n", drawing.name, counted(drawing.nodes.len() as u64, "stage", "stages"));
    for (at, (node, (rail, below))) in drawing.nodes.iter().zip(&rails).enumerate() {
        let mut line = String::new();
        for (cell, width) in [rail.as_str(), &node.name, &node.kind, mark(node)].into_iter().zip(columns) {
            if width > 0 {
                _ = write!(line, "{cell:width$}  ");
            }
        }
        let inputs = inputs(drawing, at);
        for word in inputs.split(' ').map(str::to_owned).chain([format!("→ {}", types(node))]) {
            let (used, word) = (line.chars().count(), word.trim_start());
            if used + word.chars().count() > width && used > margin {
                out.push_str(line.trim_end());
                line = format!("\n{below:margin$}");
            }
            line.push_str(word);
            if !word.is_empty() {
                line.push(' ');
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `data views, valid folds.valid`; the port is omitted if it is `from`.
fn inputs(drawing: &Drawing, node: usize) -> String {
    let mut text = String::new();
    let mut port = "";
    for edge in drawing.edges.iter().filter(|edge| edge.to == node) {
        if !text.is_empty() {
            text.push_str(if edge.input == port { " " } else { ", " });
        }
        if edge.input != port && edge.input != "from" {
            _ = write!(text, "{} ", edge.input);
        }
        port = &edge.input;
        text.push_str(&reference(drawing, edge));
    }
    text
}

/// The rails of each line, and those of further lines below it.
fn rails(drawing: &Drawing) -> Vec<(String, String)> {
    let mut last_use: Vec<usize> = (0..drawing.nodes.len()).collect();
    for edge in &drawing.edges {
        last_use[edge.from] = last_use[edge.from].max(edge.to);
    }
    let mut lanes: Vec<Option<usize>> = Vec::new();
    let mut lines = Vec::with_capacity(drawing.nodes.len());
    for node in 0..drawing.nodes.len() {
        let takes = |edge: &DrawnReference, from| edge.to == node && edge.from == from;
        let given = |lane: &Option<usize>| lane.is_some_and(|from| drawing.edges.iter().any(|edge| takes(edge, from)));
        let ends = |lane: &Option<usize>| lane.is_some_and(|from| last_use[from] == node) && given(lane);
        let place =
            lanes.iter().position(ends).or_else(|| lanes.iter().position(Option::is_none)).unwrap_or(lanes.len());
        if place == lanes.len() {
            lanes.push(None);
        }
        let drawn = line(&lanes, place, &given, &ends);
        for lane in &mut lanes {
            if lane.is_some_and(|from| last_use[from] <= node) {
                *lane = None;
            }
        }
        lanes[place] = (last_use[node] > node).then_some(node);
        while lanes.last() == Some(&None) {
            lanes.pop();
        }
        let below = lanes.iter().map(|lane| if lane.is_some() { "│ " } else { "  " }).collect::<String>();
        lines.push((drawn, below));
    }
    lines
}

fn line(
    lanes: &[Option<usize>],
    place: usize,
    given: &dyn Fn(&Option<usize>) -> bool,
    ends: &dyn Fn(&Option<usize>) -> bool,
) -> String {
    let joined: Vec<usize> = (0..lanes.len()).filter(|&at| at == place || given(&lanes[at])).collect();
    let (first, last) = (joined[0], joined[joined.len() - 1]);
    let mut text = String::new();
    for (at, lane) in lanes.iter().enumerate() {
        let inside = first < at && at < last;
        text.push(match lane {
            _ if at == place => '●',
            lane if ends(lane) && inside => '┴',
            lane if ends(lane) => {
                if at < place {
                    '╰'
                } else {
                    '╯'
                }
            }
            lane if given(lane) && inside => '┼',
            lane if given(lane) => {
                if at < place {
                    '├'
                } else {
                    '┤'
                }
            }
            Some(_) => '│',
            None if inside => '─',
            None => ' ',
        });
        text.push(if first <= at && at < last { '─' } else { ' ' });
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::baseline;
    use super::super::{StageStatus, drawing};
    use super::text;

    #[test]
    fn one_stage_a_line_with_rails() {
        insta::assert_snapshot!(text(&drawing(&baseline(), &BTreeMap::new()), 120), @r#"
        patch-baseline, 12 stages

        ●            fundus      idrid           → photographs
        ●            patches     extract         fundus → patches
        ├─●          visible     filter-black    patches → patches
        │ ├─●        pictures    export          visible.dropped → files
        │ ├─●        folds       split           visible.kept → patches
        │ │ ├─●      balanced    rebalance       folds.train → patches
        │ │ │ ├─●    views       augment         balanced → views
        │ │ │ │ │ ●  imagenet    weights         → weights
        │ │ ├─│─●─╯  classifier  train           data views, valid folds.valid, init imagenet → model
        │ │ ├─│─┼─●  cuts        threshold-tune  model classifier, data folds.valid → thresholds
        │ │ ●─│─┼─┤  scores      eval            model classifier, thresholds cuts, data folds.test → scores
        ●─┴─┴─┴─┴─╯  page        report          of patches visible.kept balanced classifier cuts scores → report
        "#);
    }

    #[test]
    fn marks_stand_after_the_kind() {
        let marks =
            BTreeMap::from([("fundus".to_owned(), StageStatus::Stored), ("patches".to_owned(), StageStatus::WillRun)]);
        let text = text(&drawing(&baseline(), &marks), 120);
        assert!(text.contains("idrid           cached    → photographs"), "{text}");
        assert!(text.contains("extract         will run  fundus → patches"), "{text}");
    }
    #[test]
    fn long_inputs_are_broken_between_words_and_rails_run_on() {
        let drawing = drawing(&baseline(), &BTreeMap::new());
        for width in [50, 60, 70, 80] {
            let text = text(&drawing, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
        let narrow = text(&drawing, 70);
        let words =
            |text: &str| text.split_whitespace().filter(|word| !word.contains('│')).collect::<Vec<_>>().join(" ");
        assert_eq!(words(&narrow), words(&text(&drawing, 120)));
        let further: Vec<&str> = narrow.lines().skip(2).filter(|line| !line.contains('●')).collect();
        assert!(further.iter().any(|line| line.starts_with("│ │ ")), "{narrow}");
    }
}
