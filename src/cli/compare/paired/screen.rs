//! A paired comparison as text: the verdict, the table, and what to know about it.

use std::fmt::Write as _;

use crate::base::figure::{counted, metric};
use crate::progress::table::{paragraph, shortened};
use crate::report::paired::{
    MetricComparison, PairComparison, PairedComparison, basis, legend, metric_words, notes, p_value, signed,
    verdict_word,
};
use crate::run::looks;

/// Width of a line without its first column and its verdict.
const NUMBERS: usize = 43;

/// The comparison for a terminal of `width` columns. `looks`: how often the test set has been evaluated so far.
pub(super) fn text(comparison: &PairedComparison, looks: u64, all: bool, width: usize) -> String {
    let mut text = String::new();
    for verdict in comparison.verdicts() {
        text += &paragraph(&verdict, width, 2);
    }
    text.push('\n');
    match comparison.pairs.as_slice() {
        [pair] => text += &one_pair(comparison, pair, all, width),
        _ => text += &against_best(comparison, width),
    }
    text.push('\n');
    text += &paragraph(&basis(comparison), width, 2);
    text += &paragraph(&legend(comparison), width, 2);
    let looks = (looks > 1).then(|| format!("{looks} looks at this test set so far (`{}`)", looks::FILE));
    for note in notes(comparison).into_iter().chain(looks) {
        text += &paragraph(&format!("note: {note}"), width, 2);
    }
    if comparison.pairs.len() > 1 {
        text += "`--json` has all metrics and classes\n";
    } else if !all {
        text += "`--all` also shows AUROC, precision and recall\n";
    }
    text
}

/// Difference, interval, p value, and verdict.
fn comparison_cells(found: &MetricComparison) -> String {
    let low = found.interval.map_or(String::new(), |interval| signed(interval.low));
    let high = found.interval.map_or(String::new(), |interval| signed(interval.high));
    let difference = found.difference.map_or_else(|| "-".to_owned(), signed);
    let p = found.p_adjusted.map_or(String::new(), p_value);
    format!("{difference:>6} {low:>6} {high:>7} {p:>6}  {}", verdict_word(found))
}

/// Writes a line without blanks at its end.
fn line(text: &mut String, line: &str) {
    _ = writeln!(text, "{}", line.trim_end());
}

fn one_pair(comparison: &PairedComparison, pair: &PairComparison, all: bool, width: usize) -> String {
    let mut text = String::new();
    for (letter, (name, repeats)) in ["A", "B"].iter().zip(&comparison.candidates) {
        let repeats = *repeats as u64;
        let mean =
            if repeats > 1 { format!(", mean of {}", counted(repeats, "repeat", "repeats")) } else { String::new() };
        text += &paragraph(&format!("{letter}  {name}{mean}"), width, 3);
    }
    let rows = pair.rows(all);
    let widths = rows.iter().filter(|(_, found)| found.is_some()).map(|(name, _)| name.chars().count());
    let first = widths.max().unwrap_or(0).min(width.saturating_sub(NUMBERS + 19)).max(8);
    let heads =
        format!("{:first$} {:>5} {:>5} {:>6} {:>6} {:>7} {:>6}", "", "A", "B", "B - A", "CI low", "CI high", "p");
    text.push('\n');
    line(&mut text, &heads);
    for (name, found) in rows {
        let Some(found) = found else {
            line(&mut text, &name);
            continue;
        };
        let (a, b) = (metric(found.first), metric(found.second));
        line(&mut text, &format!("{:first$} {a:>5} {b:>5} {}", shortened(&name, first), comparison_cells(found)));
    }
    text
}

fn against_best(comparison: &PairedComparison, width: usize) -> String {
    let longest = comparison.candidates.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    // Points of a sweep differ anywhere in their names, so a name that does not fit has a line of its own.
    let room = width.saturating_sub(NUMBERS + 13).max(8);
    let (first, above) = if longest > room { (2, true) } else { (longest.max(8), false) };
    let row = |text: &mut String, name: &str, numbers: &str| {
        if above {
            line(text, &shortened(name, width));
        }
        line(text, &format!("{:first$} {numbers}", if above { "" } else { name }));
    };
    let mut text = paragraph(&format!("{}, each minus the best", metric_words(&comparison.by)), width, 2);
    let heads = format!("{:first$} {:>5} {:>6} {:>6} {:>7} {:>6}", "", "value", "- best", "CI low", "CI high", "p");
    text.push('\n');
    line(&mut text, &heads);
    let main = |pair| Some((pair, comparison.main(pair)?));
    let mut pairs: Vec<(&PairComparison, &MetricComparison)> = comparison.pairs.iter().filter_map(main).collect();
    if let (Some(best), Some((_, found))) = (&comparison.best, pairs.first()) {
        row(&mut text, best, &format!("{:>5}  best", metric(found.first)));
    }
    let loss = |found: &MetricComparison| found.difference.map_or(f64::INFINITY, f64::abs);
    pairs.sort_by(|one, other| loss(one.1).total_cmp(&loss(other.1)));
    for (pair, found) in pairs {
        row(&mut text, &pair.second, &format!("{:>5} {}", metric(found.second), comparison_cells(found)));
    }
    text
}
