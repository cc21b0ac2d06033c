//! `epochs.parquet` read back as the metrics that were reported while the network trained, under the same names. Does not know what a
//! metric means.

use std::collections::BTreeMap;

use super::metrics::Mean;
use crate::data::table::{Column, Columns, TableError};

/// Name of the table in a model's tree.
pub const FILE: &str = "epochs.parquet";

/// Metrics of one epoch by name, as in a `metrics` event; null if undefined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedEpoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Every metric: `SET.METRIC` or `SET.METRIC.CLASS`.
    pub values: BTreeMap<String, Option<f64>>,
}

/// The epochs of a table, in order; of a classifier (`train`) or an encoder (`pretrain`).
///
/// # Errors
/// [`TableError`] if the bytes are not such a table.
pub fn recorded(bytes: &[u8]) -> Result<Vec<RecordedEpoch>, TableError> {
    let columns = Columns::from_parquet(bytes)?;
    let sets = columns.texts("set").ok();
    let mut epochs: BTreeMap<u64, BTreeMap<String, Option<f64>>> = BTreeMap::new();
    for (row, epoch) in columns.ints("epoch")?.iter().enumerate() {
        let values = epochs.entry(epoch.unwrap_or(0).max(0) as u64).or_default();
        let set = sets.and_then(|sets| sets.get(row)?.as_deref());
        for (column, cells) in &columns.0 {
            let Column::Real(cells) = cells else { continue };
            let value = cells.get(row).copied().flatten().filter(|value| value.is_finite());
            let Some(name) = metric(column) else { continue };
            match (name.as_str(), set) {
                ("learning-rate", _) => _ = values.insert(name, value),
                (_, Some(set)) => _ = values.insert(format!("{set}.{name}"), bounded(&name, value)),
                // Reported only by trainings whose loss has triplets.
                ("active-triplets", None) if value.is_none() => {}
                (_, None) => _ = values.insert(format!("{}.{name}", set_of_encoder(&name)), value),
            }
        }
        match set {
            Some(set) => means(values, set, "mean-auroc", "auroc", |values, class| values(&format!("auroc.{class}"))),
            None => means(values, "valid", "chance", "average-precision-at-r", |values, class| {
                values(&format!("average-precision-at-r.{class}")).and(values(&format!("chance.{class}")))
            }),
        }
    }
    Ok(epochs.into_iter().map(|(epoch, values)| RecordedEpoch { epoch, values }).collect())
}

/// A column's name as a metric: `f1_micro` is `micro-f1`. [`None`] for what is not a metric.
fn metric(column: &str) -> Option<String> {
    let (name, class) = column.split_once('.').map_or((column, None), |(name, class)| (name, Some(class)));
    let name = match (name, class) {
        ("epoch" | "set", None) => return None,
        ("rate", None) => "learning-rate".to_owned(),
        ("f1_micro", None) => "micro-f1".to_owned(),
        ("f1_macro", None) => "macro-f1".to_owned(),
        ("average_precision", None) => "mean-average-precision".to_owned(),
        _ => name.replace('_', "-"),
    };
    Some(class.map_or(name.clone(), |class| format!("{name}.{class}")))
}

/// The set that a metric of an encoder belongs to.
fn set_of_encoder(name: &str) -> &'static str {
    let valid = ["mean-average-precision-at-r", "average-precision-at-r.", "chance"];
    if valid.iter().any(|start| name.starts_with(start)) { "valid" } else { "training" }
}

/// Average precision as it is shown: the stored sum may reach 1 + 2e-15.
fn bounded(name: &str, value: Option<f64>) -> Option<f64> {
    let ranking =
        name.starts_with("average-precision.") || name == "mean-average-precision" || name.starts_with("auroc.");
    if ranking { value.map(|value| value.min(1.0)) } else { value }
}

/// Adds the mean over classes of a metric that the table has for each class only.
fn means(
    values: &mut BTreeMap<String, Option<f64>>,
    set: &str,
    name: &str,
    of: &str,
    value: impl Fn(&dyn Fn(&str) -> Option<f64>, &str) -> Option<f64>,
) {
    let start = format!("{set}.{of}.");
    let classes: Vec<String> = values.keys().filter_map(|key| key.strip_prefix(&start)).map(str::to_owned).collect();
    if classes.is_empty() {
        return;
    }
    let get = |metric: &str| values.get(&format!("{set}.{metric}")).copied().flatten();
    let mean = Mean::of(classes.iter().map(|class| value(&get, class))).value;
    values.insert(format!("{set}.{name}"), mean);
}
