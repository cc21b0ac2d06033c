//! Metrics across several evaluations: mean and spread of each. Knows no files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluation::Scores;
use super::metrics::Mean;
use crate::base::sample;
use crate::data::table::{Column, Columns};

/// `spread.json`: metrics across several evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationSpread {
    /// Lesion classes.
    pub classes: Vec<String>,
    /// Patches and photographs of each evaluation.
    pub data: Vec<EvaluationSize>,
    /// Metrics, those over all classes first.
    pub figures: Vec<MetricSpread>,
}

/// Size of the data of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationSize {
    /// Patches.
    pub patches: u64,
    /// Photographs.
    pub photographs: u64,
}

/// Metric across evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSpread {
    /// Name (`average precision`).
    pub name: String,
    /// Class; [`None`] for a metric over all classes.
    pub class: Option<String>,
    /// Value in each evaluation; [`None`] if undefined.
    pub values: Vec<Option<f64>>,
    /// Number of defined values.
    pub n: usize,
    /// Mean.
    pub mean: Option<f64>,
    /// Standard deviation with n - 1 in the denominator; [`None`] for fewer than two values.
    pub deviation: Option<f64>,
    /// Minimum.
    pub least: Option<f64>,
    /// Maximum.
    pub most: Option<f64>,
    /// Mean of the trivial classifier: chance for ranking metrics, all positive for F1, all negative for the rest.
    pub trivial: Option<f64>,
}

impl MetricSpread {
    fn new(name: &str, class: Option<&str>, values: Vec<Option<f64>>, trivial: &[Option<f64>]) -> Self {
        let there: Vec<f64> = values.iter().flatten().copied().collect();
        Self {
            name: name.to_owned(),
            class: class.map(str::to_owned),
            n: there.len(),
            mean: sample::mean(&there),
            deviation: sample::deviation(&there),
            least: there.iter().copied().reduce(f64::min),
            most: there.iter().copied().reduce(f64::max),
            trivial: sample::mean(&trivial.iter().flatten().copied().collect::<Vec<_>>()),
            values,
        }
    }
}

/// Metrics of evaluations with the same classes; those that depend on thresholds are at the tuned ones if there are any.
#[must_use]
pub fn spread(all: &[Scores]) -> EvaluationSpread {
    let classes = all.first().map_or_else(Vec::new, |scores| scores.classes.clone());
    let each = |of: &dyn Fn(&Scores) -> Option<f64>| -> Vec<Option<f64>> { all.iter().map(of).collect() };
    let mut figures = Vec::new();
    let mut over_all =
        |name: &str, value: &dyn Fn(&Scores) -> Option<f64>, trivial: &dyn Fn(&Scores) -> Option<f64>| {
            figures.push(MetricSpread::new(name, None, each(value), &each(trivial)));
        };
    over_all("mean average precision", &|s| s.mean_average_precision.value, &|s| s.baselines.macro_prevalence.value);
    let within = !all.is_empty() && all.iter().all(|scores| scores.within_photograph.is_some());
    if within {
        let chance = |s: &Scores| Mean::of(s.within_photograph.iter().flatten().map(|class| class.chance)).value;
        let value = |s: &Scores| s.mean_within_photograph().and_then(|mean| mean.value);
        over_all("mean within-photograph average precision", &value, &chance);
    }
    if !all.is_empty() && all.iter().all(|scores| scores.single.is_some()) {
        over_all("accuracy", &|s| s.single.as_ref()?.accuracy, &|s| s.single.as_ref()?.majority_accuracy);
        over_all("balanced accuracy", &|s| s.single.as_ref()?.balanced_accuracy, &|s| s.single.as_ref()?.chance());
        let kappa = |s: &Scores| s.single.as_ref()?.quadratic_kappa;
        if all.iter().any(|scores| kappa(scores).is_some()) {
            over_all("quadratic kappa", &kappa, &|_| Some(0.0));
        }
    }
    over_all("mean AUROC", &|s| s.mean_auroc.value, &|_| Some(0.5));
    over_all("micro F1", &|s| s.operating().figures.micro.f1, &|s| s.baselines.micro.always_yes_f1);
    over_all("macro F1", &|s| s.operating().figures.macro_f1.value, &|s| s.baselines.macro_always_yes_f1.value);
    over_all("Hamming loss", &|s| s.operating().figures.hamming_loss, &|s| s.baselines.always_healthy_hamming_loss);
    over_all("subset accuracy", &|s| s.operating().figures.subset_accuracy, &|s| {
        s.baselines.always_healthy_subset_accuracy
    });
    for (at, class) in classes.iter().enumerate() {
        let mut of_class =
            |name: &str, value: &dyn Fn(&Scores) -> Option<f64>, trivial: &dyn Fn(&Scores) -> Option<f64>| {
                figures.push(MetricSpread::new(name, Some(class), each(value), &each(trivial)));
            };
        let prevalence = |s: &Scores| s.baselines.classes[at].prevalence;
        of_class("average precision", &|s| s.ranking[at].average_precision, &prevalence);
        if within {
            let of = |s: &Scores| s.within_photograph.as_ref().and_then(|classes| classes.get(at)).copied();
            let value = |s: &Scores| of(s).and_then(|class| class.average_precision);
            of_class("within-photograph average precision", &value, &|s| of(s).and_then(|class| class.chance));
        }
        of_class("AUROC", &|s| s.ranking[at].auroc, &|_| Some(0.5));
        of_class("F1", &|s| s.operating().figures.classes[at].f1, &|s| s.baselines.classes[at].always_yes_f1);
        of_class("precision", &|s| s.operating().figures.classes[at].precision, &prevalence);
        of_class("recall", &|s| s.operating().figures.classes[at].recall, &|_| Some(1.0));
    }
    let data =
        all.iter().map(|scores| EvaluationSize { patches: scores.data.patches, photographs: scores.data.photographs });
    EvaluationSpread { classes, data: data.collect(), figures }
}

/// Name of a metric in summaries and in `rank by=`: `average-precision.MA`.
#[must_use]
pub fn metric_name(words: &str, class: Option<&str>) -> String {
    let name = words.to_lowercase().replace(' ', "-");
    class.map_or_else(|| name.clone(), |class| format!("{name}.{class}"))
}

impl EvaluationSpread {
    /// Means by name, those that are defined.
    #[must_use]
    pub fn means(&self) -> BTreeMap<String, f64> {
        let named = |figure: &MetricSpread| Some((metric_name(&figure.name, figure.class.as_deref()), figure.mean?));
        self.figures.iter().filter_map(named).collect()
    }

    /// Table with one row per metric and evaluation; evaluations are numbered from 1.
    #[must_use]
    pub fn table(&self) -> Columns {
        let rows = || {
            let of = |figure| MetricSpread::values_of(figure);
            self.figures.iter().flat_map(of)
        };
        let mut table = Columns::default();
        table.push("figure", Column::Text(rows().map(|(figure, ..)| Some(figure.name.clone())).collect()));
        table.push("class", Column::Text(rows().map(|(figure, ..)| figure.class.clone()).collect()));
        table.push("evaluation", Column::Count(rows().map(|(_, number, _)| Some(number)).collect()));
        table.push("value", Column::Real(rows().map(|(.., value)| value).collect()));
        table
    }
}

impl MetricSpread {
    fn values_of(&self) -> impl Iterator<Item = (&Self, u32, Option<f64>)> {
        (1..).zip(&self.values).map(move |(number, value)| (self, number, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_values_are_left_out() {
        let figure = MetricSpread::new(
            "F1",
            None,
            vec![Some(0.2), None, Some(0.5), Some(0.8)],
            &[Some(0.1), None, Some(0.3), None],
        );
        assert_eq!((figure.n, figure.least, figure.most), (3, Some(0.2), Some(0.8)));
        assert!((figure.mean.unwrap() - 0.5).abs() < 1e-15);
        assert!((figure.deviation.unwrap() - 0.3).abs() < 1e-15, "divided by n - 1");
        assert!((figure.trivial.unwrap() - 0.2).abs() < 1e-15);
        let one = MetricSpread::new("F1", None, vec![None, Some(0.5)], &[]);
        assert_eq!((one.mean, one.deviation, one.trivial), (Some(0.5), None, None));
        let none = MetricSpread::new("F1", None, vec![None, None], &[None]);
        assert_eq!((none.n, none.mean, none.least), (0, None, None));
    }
}
