//! Table of a training's epochs, one line as each ends: the main metrics, as many as fit, and `*` at the best epoch so far. In full
//! detail, the metrics of every set and class below it.

use std::collections::BTreeSet;

use unicode_width::UnicodeWidthStr;

use super::table::{Align, Grid, GridColumn};
use crate::base::shown;
use crate::stage::{Cell, MetricColumn, MetricStyle, Metrics};

/// Narrowest column of numbers.
const NUMBER: usize = 6;

/// Width of the epoch: `2000/2000`.
const EPOCH: usize = 9;

/// Mark of the best epoch so far.
const BEST: &str = "  *";

/// Line of heads, starting with the stage's name; below it if the name is wider than its column.
pub(super) fn heads(stage: &str, metrics: &Metrics, widest: usize, width: usize) -> String {
    let stage = shown::line(stage);
    let (above, stage) = if stage.width() > widest { (format!("  {stage}\n"), "") } else { (String::new(), &*stage) };
    let heads = shown_columns(metrics, widest, width)
        .map(|column| format!("  {:>1$}", shown::line(&column.head), number_width(column)));
    format!("{above}  {stage:<widest$}  {:>EPOCH$}{}", "epoch", heads.collect::<String>())
}

/// Line of an epoch.
pub(super) fn row(metrics: &Metrics, widest: usize, width: usize) -> String {
    let epoch = format!("{}/{}", metrics.epoch, metrics.epochs);
    let cells = shown_columns(metrics, widest, width).map(|column| {
        let value = metrics.values.get(&column.name).copied().flatten();
        format!("  {:>1$}", column.style.text(value), number_width(column))
    });
    let best = if metrics.best { BEST } else { "" };
    format!("  {:<widest$}  {epoch:>EPOCH$}{}{best}", "", cells.collect::<String>())
}

/// Metrics of every set and class as tables.
pub(super) fn details(metrics: &Metrics, indent: usize, width: usize) -> String {
    let named = |name: &str, parts: usize| {
        let parts_of: Vec<String> = name.splitn(3, '.').map(str::to_owned).collect();
        (parts_of.len() == parts).then_some(parts_of)
    };
    let of = |parts: usize| metrics.values.keys().filter_map(move |name| named(name, parts)).collect::<Vec<_>>();
    let sets = of(2);
    let whole = grid("set", &sets, |row, column| format!("{row}.{column}"), metrics);
    let mut text = whole.indent(indent).render(width);
    let of_classes = of(3);
    let names: BTreeSet<&String> = of_classes.iter().map(|parts| &parts[0]).collect();
    for set in names {
        let classes: Vec<Vec<String>> = of_classes
            .iter()
            .filter(|parts| parts[0] == *set)
            .map(|parts| vec![parts[2].clone(), parts[1].clone()])
            .collect();
        let grid = grid(set, &classes, |row, column| format!("{set}.{column}.{row}"), metrics);
        text.push_str(&grid.indent(indent).render(width));
    }
    text
}

/// Table of metrics from pairs of row and column.
fn grid(head: &str, pairs: &[Vec<String>], name: impl Fn(&str, &str) -> String, metrics: &Metrics) -> Grid {
    let of = |at: usize| pairs.iter().map(|pair| pair[at].as_str()).collect::<BTreeSet<_>>();
    let (rows, columns) = (of(0), of(1));
    let heads = columns.iter().enumerate().map(|(at, column)| {
        let head = column.replace('-', " ");
        GridColumn::new(head).priority(u8::try_from(at).unwrap_or(u8::MAX)).align(Align::Right)
    });
    let cells = rows.iter().map(|row| {
        let cells = columns.iter().map(|column| {
            let name = name(row, column);
            let value = metrics.values.get(&name).copied().flatten();
            value.map_or(Cell::Null(()), |value| Cell::Text(MetricStyle::of(&name).text(Some(value))))
        });
        std::iter::once(Cell::Text((*row).to_owned())).chain(cells).collect()
    });
    Grid::new(std::iter::once(GridColumn::new(head)).chain(heads)).rows(cells)
}

/// Columns that fit, the most important first.
fn shown_columns(metrics: &Metrics, widest: usize, width: usize) -> impl Iterator<Item = &MetricColumn> {
    let mut used = 2 + widest + 2 + EPOCH + BEST.len();
    metrics.columns.iter().take_while(move |column| {
        used += 2 + number_width(column);
        used <= width
    })
}

fn number_width(column: &MetricColumn) -> usize {
    column.head.width().max(NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(epoch: u64, best: bool) -> Metrics {
        let column = |name: &str, head: &str| MetricColumn {
            name: name.to_owned(),
            head: head.to_owned(),
            style: MetricStyle::of(name),
        };
        let values = [
            ("learning-rate", 2.2e-9),
            ("training.loss", 0.5),
            ("valid.loss", 0.25),
            ("valid.micro-f1", 0.61),
            ("valid.f1.MA", 0.7),
            ("valid.recall.MA", 0.75),
        ];
        Metrics {
            epoch,
            epochs: 16,
            best,
            columns: vec![
                column("valid.micro-f1", "valid F1"),
                column("valid.loss", "valid loss"),
                column("learning-rate", "rate"),
            ],
            values: values.map(|(name, value)| (name.to_owned(), Some(value))).into(),
        }
    }

    #[test]
    fn columns_go_from_the_last_as_the_terminal_gets_narrower() {
        let lines = |width| {
            [heads("train", &metrics(1, false), 8, width), row(&metrics(7, true), 8, width)].map(|line| {
                assert!(line.chars().count() <= width, "{line}");
                line
            })
        };
        assert_eq!(
            lines(60),
            [
                "  train         epoch  valid F1  valid loss    rate",
                "                 7/16     0.610       0.250  2.2e-9  *"
            ]
        );
        assert_eq!(
            lines(50),
            ["  train         epoch  valid F1  valid loss", "                 7/16     0.610       0.250  *"]
        );
        assert_eq!(lines(30), ["  train         epoch", "                 7/16  *"]);
    }

    #[test]
    fn details_have_a_row_for_each_set_and_class() {
        assert_eq!(
            details(&metrics(7, true), 2, 80),
            "  set        loss  micro f1\n  training  0.500         -\n  valid     0.250     0.610\n\
             \x20 valid     f1  recall\n  MA     0.700   0.750\n"
        );
    }
}
