//! Headline, tables, metrics and warnings of an evaluation by slices.

use std::collections::BTreeMap;

use crate::base::figure::{counted, metric};
use crate::learn::evaluation::{ClassSlices, Slices, StratumSlice};
use crate::learn::metrics::{Estimate, FEWEST_GROUPS, SliceMetric, SliceMetrics};
use crate::stage::{Cell, Summary, Table, Warning};

/// Metrics by which sweeps rank: the lowest over the strata with a positive.
const LOWEST: [(&str, SliceMetric); 3] = [
    ("lowest-recall", |metrics| metrics.recall),
    ("lowest-average-precision", |metrics| metrics.average_precision),
    ("lowest-auroc", |metrics| metrics.auroc),
];

/// Summary of slices.
#[must_use]
pub fn summary(slices: &Slices) -> Summary {
    let at = if slices.tuned { "at the tuned thresholds" } else { "at threshold 0.5" };
    let folds = if slices.folds > 1 { ", ranked within folds" } else { "" };
    let ranked = [SliceColumns::AveragePrecision, SliceColumns::Auroc];
    Summary {
        headline: headline(slices, at),
        metrics: lowest(slices),
        tables: vec![
            table(
                slices,
                &format!("by {}, {at}", slices.by),
                &[SliceColumns::Counts, SliceColumns::Recall, SliceColumns::Precision],
            ),
            table(slices, &format!("by {}, against all negatives{folds}", slices.by), &ranked),
        ],
        warnings: few(slices).into_iter().collect(),
        ..Summary::default()
    }
}

/// `recall by lesion-pixels at threshold 0.5: MA 0.211 to 0.921, HE 0.402 to 0.950; 9,504 patches of 54 photographs`.
fn headline(slices: &Slices, at: &str) -> String {
    let range = |class: &ClassSlices| {
        let found: Vec<f64> = class.strata.iter().filter_map(|stratum| stratum.metrics.recall.value).collect();
        let end = |pick: fn(f64, f64) -> f64| metric(found.iter().copied().reduce(pick));
        let (low, high) = (end(f64::min), end(f64::max));
        if found.len() > 1 { format!("{} {low} to {high}", class.class) } else { format!("{} {low}", class.class) }
    };
    format!(
        "recall by {} {at}: {}; {} of {}",
        slices.by,
        slices.classes.iter().map(range).collect::<Vec<_>>().join(", "),
        counted(slices.patches, "patch", "patches"),
        counted(slices.photographs, "photograph", "photographs")
    )
}

fn lowest(slices: &Slices) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (name, of) in LOWEST {
        for class in &slices.classes {
            let found = class.strata.iter().filter_map(|stratum| of(&stratum.metrics).value).reduce(f64::min);
            all.extend(found.map(|value| (format!("{name}.{}", class.class), value)));
        }
    }
    all
}

/// Columns of one metric in a table of slices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SliceColumns {
    Counts,
    Recall,
    Precision,
    AveragePrecision,
    Auroc,
}

impl SliceColumns {
    fn heads(self) -> Vec<&'static str> {
        match self {
            Self::Counts => vec!["positives", "photographs"],
            Self::Recall => vec!["recall", "CI low", "CI high"],
            Self::Precision => vec!["precision", "CI low", "CI high"],
            Self::AveragePrecision => vec!["AP", "CI low", "CI high"],
            Self::Auroc => vec!["AUROC", "CI low", "CI high"],
        }
    }

    fn cells(self, metrics: &SliceMetrics) -> Vec<Cell> {
        let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
        let of = |found: Estimate| {
            let (low, high) =
                (found.interval.map(|interval| interval.low), found.interval.map(|interval| interval.high));
            vec![real(found.value), real(low), real(high)]
        };
        match self {
            Self::Counts => vec![Cell::Int(metrics.positives as i64), Cell::Int(metrics.photographs as i64)],
            Self::Recall => of(metrics.recall),
            Self::Precision => of(metrics.precision),
            Self::AveragePrecision => of(metrics.average_precision),
            Self::Auroc => of(metrics.auroc),
        }
    }
}

fn table(slices: &Slices, title: &str, columns: &[SliceColumns]) -> Table {
    let heads = ["class", slices.by.as_str()].into_iter().chain(columns.iter().flat_map(|column| column.heads()));
    let row = |class: &ClassSlices, stratum: &StratumSlice| {
        let own = [Cell::Text(class.class.clone()), Cell::Text(stratum.name.clone())];
        own.into_iter().chain(columns.iter().flat_map(|column| column.cells(&stratum.metrics))).collect()
    };
    let rows = slices.classes.iter().flat_map(|class| class.strata.iter().map(move |stratum| row(class, stratum)));
    Table { title: title.to_owned(), columns: heads.map(str::to_owned).collect(), rows: rows.collect() }
}

/// Which strata have no interval, for lack of groups.
fn few(slices: &Slices) -> Option<Warning> {
    let strata = || slices.classes.iter().flat_map(|class| &class.strata);
    let few = strata().filter(|stratum| (1..FEWEST_GROUPS as u64).contains(&stratum.metrics.groups)).count() as u64;
    let text = format!(
        "no confidence interval of {} of {}: it needs at least {FEWEST_GROUPS} {} with a positive",
        few,
        counted(strata().count() as u64, "stratum", "strata"),
        slices.group_noun()
    );
    (few > 0).then(|| Warning { code: "few-groups".to_owned(), text })
}
