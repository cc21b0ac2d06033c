//! Table, metrics and warnings of an evaluation of whole photographs or patients.

use std::collections::BTreeMap;

use crate::learn::evaluation::Scores;
use crate::learn::metrics::{Estimate, FEWEST_GROUPS};
use crate::stage::{Cell, Table, Warning};

/// Ranking of photographs or patients by each class; [`None`] if it was not asked for.
#[must_use]
pub fn table(scores: &Scores) -> Option<Table> {
    let whole = scores.whole.as_ref()?;
    let noun = whole.rule.noun();
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let of = |found: Estimate| {
        let interval = found.interval;
        [real(found.value), real(interval.map(|interval| interval.low)), real(interval.map(|interval| interval.high))]
    };
    let row = |(name, class): (&String, &crate::learn::evaluation::WholeClass)| {
        let mut cells = vec![Cell::Text(name.clone())];
        cells.extend(of(class.average_precision));
        cells.push(real(class.prevalence()));
        cells.extend(of(class.auroc));
        cells.extend([class.positives, class.negatives, class.unknown].map(|count| Cell::Int(count as i64)));
        cells
    };
    let columns = [
        "class",
        "AP",
        "CI low",
        "CI high",
        "prevalence",
        "AUROC",
        "CI low",
        "CI high",
        "positives",
        "negatives",
        "unknown",
    ];
    Some(Table {
        title: format!("whole {noun}, scored by {}", whole.rule.words()),
        columns: columns.map(str::to_owned).to_vec(),
        rows: scores.classes.iter().zip(&whole.classes).map(row).collect(),
    })
}

/// Metrics by which sweeps rank; empty if they were not asked for.
#[must_use]
pub fn metrics(scores: &Scores) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let Some(whole) = &scores.whole else { return all };
    let mut add = |name: String, value: Option<f64>| all.extend(value.map(|value| (name, value)));
    add("mean-whole-average-precision".to_owned(), whole.mean_average_precision.value);
    add("mean-whole-auroc".to_owned(), whole.mean_auroc.value);
    for (name, class) in scores.classes.iter().zip(&whole.classes) {
        add(format!("whole-average-precision.{name}"), class.average_precision.value);
        add(format!("whole-auroc.{name}"), class.auroc.value);
    }
    all
}

/// Which classes have no interval, for lack of photographs or patients with or without them.
#[must_use]
pub fn few(scores: &Scores) -> Option<Warning> {
    let whole = scores.whole.as_ref()?;
    let few = scores
        .classes
        .iter()
        .zip(&whole.classes)
        .filter(|(_, class)| class.positives.min(class.negatives) < FEWEST_GROUPS as u64);
    let few: Vec<String> = few
        .map(|(name, class)| format!("`{name}` ({} with it, {} without)", class.positives, class.negatives))
        .collect();
    let text = format!(
        "no confidence interval of whole {} for {}: it needs at least {FEWEST_GROUPS} with the class and without it",
        whole.rule.noun(),
        few.join(", ")
    );
    (!few.is_empty()).then(|| Warning { code: "few-groups".to_owned(), text })
}
