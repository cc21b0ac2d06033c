//! Headline and tables of an evaluation of patches with exactly one class each.

use crate::base::figure::{counted, metric};
use crate::learn::evaluation::Scores;
use crate::learn::metrics::{Interval, SingleLabelMetrics};
use crate::stage::{Cell, Table};

/// `accuracy 0.812 (most frequent class 0.493), balanced accuracy 0.640 (chance 0.200), quadratic kappa 0.871; 366 patches of 366
/// photographs`.
#[must_use]
pub fn headline(scores: &Scores, single: &SingleLabelMetrics) -> String {
    let kappa = single.quadratic_kappa.map(|kappa| format!(", quadratic kappa {}", metric(Some(kappa))));
    format!(
        "accuracy {} (most frequent class {}), balanced accuracy {} (chance {}){}; {} of {}",
        metric(single.accuracy),
        metric(single.majority_accuracy),
        metric(single.balanced_accuracy),
        metric(single.chance()),
        kappa.unwrap_or_default(),
        counted(scores.data.patches, "patch", "patches"),
        counted(scores.data.photographs, "photograph", "photographs"),
    )
}

/// Accuracy, balanced accuracy and kappa with their intervals.
#[must_use]
pub fn together(single: &SingleLabelMetrics) -> Table {
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let row = |name: &str, value: Option<f64>, interval: Option<Interval>, baseline: Option<f64>, which: &str| {
        let bounds = [interval.map(|interval| interval.low), interval.map(|interval| interval.high)];
        let mut cells = vec![Cell::Text(name.to_owned()), real(value)];
        cells.extend(bounds.map(real));
        cells.extend([real(baseline), Cell::Text(which.to_owned()), Cell::Int(single.rows as i64)]);
        cells
    };
    let most = single.majority_accuracy;
    let mut rows = vec![
        row("accuracy", single.accuracy, single.accuracy_interval, most, "most frequent class"),
        row(
            "balanced accuracy",
            single.balanced_accuracy,
            single.balanced_accuracy_interval,
            single.chance(),
            "chance",
        ),
    ];
    if let Some(kappa) = single.quadratic_kappa {
        rows.push(row("quadratic kappa", Some(kappa), single.quadratic_kappa_interval, Some(0.0), "chance"));
    }
    let columns = ["metric", "value", "CI low", "CI high", "baseline", "baseline is", "n"];
    Table { title: "choice of one class".to_owned(), columns: columns.map(str::to_owned).to_vec(), rows }
}

/// Patches by their class and the predicted one.
#[must_use]
pub fn confusion(scores: &Scores, single: &SingleLabelMetrics) -> Table {
    let mut columns = vec!["class".to_owned()];
    columns.extend(scores.classes.iter().map(|class| format!("predicted {class}")));
    columns.extend(["n", "recall"].map(str::to_owned));
    let row = |(at, class): (usize, &String)| {
        let counts = &single.confusion[at];
        let all: u64 = counts.iter().sum();
        let recall = (all > 0).then(|| counts[at] as f64 / all as f64);
        let mut cells = vec![Cell::Text(class.clone())];
        cells.extend(counts.iter().chain([&all]).map(|&count| Cell::Int(count as i64)));
        cells.push(recall.map_or(Cell::Null(()), Cell::Real));
        cells
    };
    let rows = scores.classes.iter().enumerate().map(row).collect();
    Table { title: "confusion matrix".to_owned(), columns, rows }
}
