//! Metrics of an epoch: their computation, how they are reported, and their table.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::settings::SelectBy;
use crate::data::table::{Column, Columns};
use crate::learn::metrics::{
    Baselines, LabelledScores, Mean, Ranking, ThresholdMetrics, ZeroDivision, at, baselines, ranking_as_stored,
};
use crate::learn::objective::{Objective, Targets};
use crate::stage::{MetricColumn, MetricStyle, Metrics, StageError};

/// Predictions per positive patch below which a class counts as almost never predicted.
pub const UNDER: f64 = 0.2;
/// Predictions per positive patch above which a class counts as predicted far too often.
pub const OVER: f64 = 3.0;

/// Metrics after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Metrics on the patches as trained on: augmented, in training mode, while the weights changed.
    pub training: SetMetrics,
    /// Metrics on a fixed subset of the training patches, not augmented, in evaluation mode.
    pub subset: Option<SetMetrics>,
    /// Metrics on the validation patches.
    pub valid: SetMetrics,
}

impl EpochMetrics {
    /// The same metrics as they are shown, none above 1 ([`ranking_as_stored`]).
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let sets = [Some(&mut self.training), self.subset.as_mut(), Some(&mut self.valid)];
        for ranking in sets.into_iter().flatten().flat_map(|set| &mut set.ranking) {
            *ranking = ranking.bounded();
        }
        self
    }
}

/// Metrics on one set of patches, with thresholds of 0.5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetMetrics {
    /// Objective of the training on these patches; [`None`] if it is defined for batches only.
    pub loss: Option<f64>,
    /// Further metrics of the objective.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, f64>,
    /// Metrics at thresholds of 0.5.
    pub figures: ThresholdMetrics,
    /// Ranking metrics per class.
    pub ranking: Vec<Ranking>,
    /// What trivial classifiers reach.
    pub baselines: Baselines,
}

impl SetMetrics {
    /// Metrics of outputs (N x C) of the network.
    #[must_use]
    pub fn of(objective: &dyn Objective, outputs: &[f32], targets: &Targets) -> Self {
        let classes = objective.outputs();
        let scored = LabelledScores::from_logits(classes, outputs, targets.labels(), objective.activation());
        Self {
            loss: objective.of_set(outputs, targets),
            own: objective.metrics(outputs, targets),
            figures: at(&scored, &vec![0.5; classes], ZeroDivision::Undefined),
            ranking: ranking_as_stored(&scored),
            baselines: baselines(&scored),
        }
    }

    /// Mean of the classes' average precision.
    #[must_use]
    pub fn average_precision(&self) -> Option<f64> {
        Mean::of(self.ranking.iter().map(|class| class.average_precision)).value
    }

    /// Value of the selection metric, negated if lower is better; [`None`] if it is undefined.
    #[must_use]
    pub fn chosen_by(&self, choose: SelectBy, epoch: u64) -> Option<f64> {
        match choose {
            SelectBy::AveragePrecision => self.average_precision(),
            SelectBy::F1 => self.figures.macro_f1.value,
            SelectBy::Auroc => Mean::of(self.ranking.iter().map(|class| class.auroc)).value,
            SelectBy::Loss => self.loss.map(|loss| -loss),
            SelectBy::Last => Some(epoch as f64),
        }
    }

    /// Metrics by name; those of one class end in its name: `average-precision.MA`.
    fn by_name(&self, classes: &[String]) -> Vec<(String, Option<f64>)> {
        let whole = [
            ("loss", self.loss),
            ("mean-average-precision", self.average_precision()),
            ("mean-auroc", Mean::of(self.ranking.iter().map(|class| class.auroc)).value),
            ("micro-f1", self.figures.micro.f1),
            ("macro-f1", self.figures.macro_f1.value),
            ("hamming-loss", self.figures.hamming_loss),
            ("subset-accuracy", self.figures.subset_accuracy),
            ("all-zero", self.figures.all_zero),
            ("all-zero-true", self.baselines.always_healthy_subset_accuracy),
        ];
        let mut all: Vec<_> = whole.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.extend(self.own.iter().map(|(name, value)| (name.clone(), Some(*value))));
        for (at, class) in classes.iter().enumerate() {
            let (own, ranking, base) = (&self.figures.classes[at], &self.ranking[at], &self.baselines.classes[at]);
            let of_class = [
                ("average-precision", ranking.average_precision),
                ("prevalence", base.prevalence),
                ("auroc", ranking.auroc),
                ("f1", own.f1),
                ("always-yes-f1", base.always_yes_f1),
                ("precision", own.precision),
                ("recall", own.recall),
                ("predicted-ratio", own.predicted_ratio),
            ];
            all.extend(of_class.into_iter().map(|(name, value)| (format!("{name}.{class}"), value)));
        }
        all
    }

    /// Classes predicted far too rarely or too often, with their predictions per positive patch.
    pub fn lopsided(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let ratios = self.figures.classes.iter().enumerate();
        ratios.filter_map(|(class, figures)| Some((class, figures.predicted_ratio?))).filter(|(_, r)| !fits(*r))
    }
}

fn fits(ratio: f64) -> bool {
    (UNDER..=OVER).contains(&ratio)
}

/// Loss in at most seven characters.
fn loss(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.3}") } else { format!("{value:.1e}") }
}

/// Progress line of a training: epoch and batch, loss of the last batch, and validation metrics of the previous epoch.
#[must_use]
pub fn words(epoch: (u64, u64), batch: (u64, u64), value: f64, last: Option<&EpochMetrics>) -> String {
    let last = last.map(|last| {
        let valid = &last.valid;
        let loss = valid.loss.map(|value| format!("loss {}, ", loss(value))).unwrap_or_default();
        format!("; validation: {loss}F1 {}", metric(valid.figures.micro.f1))
    });
    let last = last.unwrap_or_default();
    format!("epoch {}/{}, batch {}/{}, loss {}{last}", epoch.0, epoch.1, batch.0, batch.1, loss(value))
}

/// Metrics of an epoch by name, with the columns that matter most if epochs are selected by `choose`.
#[must_use]
pub fn metrics(epoch: &EpochMetrics, epochs: u64, classes: &[String], choose: SelectBy, best: bool) -> Metrics {
    let mut values = BTreeMap::from([("learning-rate".to_owned(), Some(epoch.rate))]);
    let sets = [("training", Some(&epoch.training)), ("subset", epoch.subset.as_ref()), ("valid", Some(&epoch.valid))];
    for (name, set) in sets.into_iter().filter_map(|(name, set)| Some((name, set?))) {
        values.extend(set.by_name(classes).into_iter().map(|(metric, value)| (format!("{name}.{metric}"), value)));
    }
    for value in values.values_mut() {
        *value = value.filter(|value| value.is_finite());
    }
    let chosen_by = match choose {
        SelectBy::AveragePrecision | SelectBy::Last => None,
        SelectBy::F1 => Some(("valid.macro-f1", "valid macro F1")),
        SelectBy::Auroc => Some(("valid.mean-auroc", "valid AUROC")),
        SelectBy::Loss => Some(("valid.loss", "valid loss")),
    };
    let main = [
        ("valid.mean-average-precision", "valid AP"),
        ("valid.loss", "valid loss"),
        ("training.loss", "train loss"),
        ("valid.micro-f1", "valid F1"),
        ("learning-rate", "rate"),
    ];
    let mut columns: Vec<MetricColumn> = Vec::new();
    for (name, head) in chosen_by.into_iter().chain(main) {
        if columns.iter().all(|column| column.name != name) {
            columns.push(MetricColumn { name: name.to_owned(), head: head.to_owned(), style: MetricStyle::of(name) });
        }
    }
    Metrics { epoch: epoch.epoch, epochs, best, columns, values }
}

/// Value with three decimals; `-` if undefined.
#[must_use]
pub fn metric(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

/// Warning text for a class whose number of predictions is far from its true count.
#[must_use]
pub fn lopsided_text(name: &str, ratio: f64) -> String {
    let verdict = if ratio < UNDER { "almost never predicted" } else { "predicted far too often" };
    format!("`{name}` is {verdict} ({ratio:.2} predictions per positive patch)")
}

/// `epochs.parquet`: one row per epoch and set (`training`, `subset`, `valid`).
///
/// # Errors
/// [`StageError::Bug`] if it cannot be encoded.
pub fn table(epochs: &[EpochMetrics], classes: &[String]) -> Result<Vec<u8>, StageError> {
    let rows: Vec<(&EpochMetrics, &str, &SetMetrics)> = epochs
        .iter()
        .flat_map(|epoch| {
            let sets =
                [("training", Some(&epoch.training)), ("subset", epoch.subset.as_ref()), ("valid", Some(&epoch.valid))];
            sets.into_iter().filter_map(move |(name, set)| Some((epoch, name, set?)))
        })
        .collect();
    let mut columns = Columns::default();
    columns.push("epoch", Column::Int(rows.iter().map(|row| Some(row.0.epoch as i64)).collect()));
    columns.push("set", Column::Text(rows.iter().map(|row| Some(row.1.to_owned())).collect()));
    columns.push("rate", Column::Real(rows.iter().map(|row| Some(row.0.rate)).collect()));
    let mut real = |name: String, of: &dyn Fn(&SetMetrics) -> Option<f64>| {
        columns.push(name, Column::Real(rows.iter().map(|row| of(row.2)).collect()));
    };
    real("loss".into(), &|set| set.loss);
    real("f1_micro".into(), &|set| set.figures.micro.f1);
    real("f1_macro".into(), &|set| set.figures.macro_f1.value);
    real("hamming_loss".into(), &|set| set.figures.hamming_loss);
    real("subset_accuracy".into(), &|set| set.figures.subset_accuracy);
    real("all_zero".into(), &|set| set.figures.all_zero);
    real("all_zero_true".into(), &|set| set.baselines.always_healthy_subset_accuracy);
    real("average_precision".into(), &SetMetrics::average_precision);
    let own: BTreeSet<&String> = rows.iter().flat_map(|row| row.2.own.keys()).collect();
    for name in own {
        real(name.replace('-', "_"), &|set| set.own.get(name).copied());
    }
    for (class, name) in classes.iter().enumerate() {
        real(format!("f1.{name}"), &|set| set.figures.classes[class].f1);
        real(format!("precision.{name}"), &|set| set.figures.classes[class].precision);
        real(format!("recall.{name}"), &|set| set.figures.classes[class].recall);
        real(format!("average_precision.{name}"), &|set| set.ranking[class].average_precision);
        real(format!("auroc.{name}"), &|set| set.ranking[class].auroc);
        real(format!("predicted_ratio.{name}"), &|set| set.figures.classes[class].predicted_ratio);
        real(format!("prevalence.{name}"), &|set| set.baselines.classes[class].prevalence);
        real(format!("always_yes_f1.{name}"), &|set| set.baselines.classes[class].always_yes_f1);
    }
    columns.to_parquet().map_err(|error| StageError::Bug(error.to_string()))
}
