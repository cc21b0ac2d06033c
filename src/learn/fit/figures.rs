//! The metrics of an epoch: what is computed, how it is reported, and how it is stored as a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::Choose;
use crate::data::patches::Label;
use crate::data::table::{Column, Columns};
use crate::learn::loss::Loss;
use crate::learn::metrics::{
    Baselines, Figures, Mean, Ranking, Scored, ZeroDivision, at, baselines, ranking_as_stored,
};
use crate::stage::{MetricColumn, MetricStyle, Metrics, StageError};

/// Predicted over true positives below this is a collapse, above [`OVER`] the opposite.
pub const UNDER: f64 = 0.2;
/// See [`UNDER`].
pub const OVER: f64 = 3.0;

/// What is known after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochFigures {
    /// Its number, from 1.
    pub epoch: u64,
    /// The learning rate of its last step.
    pub rate: f64,
    /// On the patches as they were trained on: augmented, in training mode, while the weights moved.
    pub training: SetFigures,
    /// On a fixed subset of the training patches as they are, in evaluation mode.
    pub subset: Option<SetFigures>,
    /// On the validation patches.
    pub valid: SetFigures,
}

impl EpochFigures {
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

/// The figures on one set of patches, thresholds at 0.5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetFigures {
    /// The loss that is trained with.
    pub loss: f64,
    /// At 0.5.
    pub figures: Figures,
    /// Without thresholds, per class.
    pub ranking: Vec<Ranking>,
    /// What trivial classifiers reach.
    pub baselines: Baselines,
}

impl SetFigures {
    /// The figures of logits (N x C).
    #[must_use]
    pub fn of(loss: &Loss, logits: &[f32], labels: Vec<Label>) -> Self {
        let classes = loss.positive.len();
        let value = loss.value(logits, &labels);
        let scored = Scored::from_logits(classes, logits, labels);
        Self {
            loss: value,
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

    /// The figure to choose by, turned so that more is better; [`None`] where it has no value.
    #[must_use]
    pub fn chosen_by(&self, choose: Choose, epoch: u64) -> Option<f64> {
        match choose {
            Choose::AveragePrecision => self.average_precision(),
            Choose::F1 => self.figures.macro_f1.value,
            Choose::Auroc => Mean::of(self.ranking.iter().map(|class| class.auroc)).value,
            Choose::Loss => Some(-self.loss),
            Choose::Last => Some(epoch as f64),
        }
    }

    /// Its metrics by name, those of single classes with the class behind: `average-precision.MA`.
    fn by_name(&self, classes: &[String]) -> Vec<(String, Option<f64>)> {
        let whole = [
            ("loss", Some(self.loss)),
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

    /// Classes predicted far too seldom or too often, with how often they are predicted against how often they are there.
    pub fn lopsided(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let ratios = self.figures.classes.iter().enumerate();
        ratios.filter_map(|(class, figures)| Some((class, figures.predicted_ratio?))).filter(|(_, r)| !fits(*r))
    }
}

fn fits(ratio: f64) -> bool {
    (UNDER..=OVER).contains(&ratio)
}

/// A loss in seven characters.
fn loss(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.4}") } else { format!("{value:.1e}") }
}

/// How a training goes, for people: where it is, the loss of the last batch, and how it did after the epoch before.
#[must_use]
pub fn words(epoch: (u64, u64), batch: (u64, u64), value: f64, last: Option<&EpochFigures>) -> String {
    let last = last.map(|last| {
        let valid = &last.valid;
        format!("; validation: loss {}, F1 {}", loss(valid.loss), figure(valid.figures.micro.f1))
    });
    let last = last.unwrap_or_default();
    format!("epoch {}/{}, batch {}/{}, loss {}{last}", epoch.0, epoch.1, batch.0, batch.1, loss(value))
}

/// The metrics of an epoch by name, with the columns that matter most where epochs are chosen by `choose`.
#[must_use]
pub fn metrics(epoch: &EpochFigures, epochs: u64, classes: &[String], choose: Choose, best: bool) -> Metrics {
    let mut values = BTreeMap::from([("learning-rate".to_owned(), Some(epoch.rate))]);
    let sets = [("training", Some(&epoch.training)), ("subset", epoch.subset.as_ref()), ("valid", Some(&epoch.valid))];
    for (name, set) in sets.into_iter().filter_map(|(name, set)| Some((name, set?))) {
        values.extend(set.by_name(classes).into_iter().map(|(metric, value)| (format!("{name}.{metric}"), value)));
    }
    values.values_mut().for_each(|value| *value = value.filter(|value| value.is_finite()));
    let chosen_by = match choose {
        Choose::AveragePrecision | Choose::Last => None,
        Choose::F1 => Some(("valid.macro-f1", "valid macro F1")),
        Choose::Auroc => Some(("valid.mean-auroc", "valid AUROC")),
        Choose::Loss => Some(("valid.loss", "valid loss")),
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

/// Three digits; `-` for no value.
#[must_use]
pub fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

/// A class far off its true count, in words.
#[must_use]
pub fn lopsided_text(name: &str, ratio: f64) -> String {
    let verdict = if ratio < UNDER { "nearly never" } else { "far too often" };
    format!("`{name}` is predicted {verdict}: {ratio:.2} times as often as it is there")
}

/// `epochs.parquet`: a row for each epoch and set (`training`, `subset`, `valid`).
///
/// # Errors
/// [`StageError::Bug`] where Parquet refuses.
pub fn table(epochs: &[EpochFigures], classes: &[String]) -> Result<Vec<u8>, StageError> {
    let rows: Vec<(&EpochFigures, &str, &SetFigures)> = epochs
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
    let mut real = |name: String, of: &dyn Fn(&SetFigures) -> Option<f64>| {
        columns.push(name, Column::Real(rows.iter().map(|row| of(row.2)).collect()));
    };
    real("loss".into(), &|set| Some(set.loss));
    real("f1_micro".into(), &|set| set.figures.micro.f1);
    real("f1_macro".into(), &|set| set.figures.macro_f1.value);
    real("hamming_loss".into(), &|set| set.figures.hamming_loss);
    real("subset_accuracy".into(), &|set| set.figures.subset_accuracy);
    real("all_zero".into(), &|set| set.figures.all_zero);
    real("all_zero_true".into(), &|set| set.baselines.always_healthy_subset_accuracy);
    real("average_precision".into(), &SetFigures::average_precision);
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
