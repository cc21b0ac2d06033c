//! Objective of a network with auxiliary outputs: that of its logits plus a weighted one of each auxiliary output.

use std::sync::Arc;

use super::metrics::ScoreFunction;
use super::objective::{Objective, Targets};
use crate::lang::network::NetworkSpec;

/// The objective of a step: `main` itself for a network without auxiliary outputs.
#[must_use]
pub fn with_auxiliary(main: Arc<dyn Objective>, network: &NetworkSpec) -> Arc<dyn Objective> {
    if network.auxiliary.is_empty() {
        return main;
    }
    let weights = network.auxiliary.iter().map(|output| output.weight).collect();
    Arc::new(WeightedSum { main, weights })
}

/// Main logits of outputs (N x `columns`), the first `classes` of each row.
#[must_use]
pub fn main_logits(outputs: &[f32], columns: usize, classes: usize) -> Vec<f32> {
    part(outputs, columns, classes, 0)
}

/// Logits of the output `at`.
fn part(outputs: &[f32], columns: usize, classes: usize, at: usize) -> Vec<f32> {
    outputs.chunks_exact(columns).flat_map(|row| &row[at * classes..][..classes]).copied().collect()
}

/// Value of the main output plus `weights` times those of the auxiliary ones, all on the same targets.
struct WeightedSum {
    main: Arc<dyn Objective>,
    weights: Vec<f64>,
}

impl WeightedSum {
    /// Weight of each output, and its logits.
    fn parts<'a>(&'a self, outputs: &'a [f32]) -> impl Iterator<Item = (f64, Vec<f32>)> + 'a {
        let weights = std::iter::once(&1.0).chain(&self.weights).enumerate();
        weights.map(|(at, weight)| (*weight, part(outputs, self.outputs(), self.main.outputs(), at)))
    }
}

impl Objective for WeightedSum {
    fn outputs(&self) -> usize {
        self.main.outputs() * (1 + self.weights.len())
    }

    fn activation(&self) -> ScoreFunction {
        self.main.activation()
    }

    fn classes(&self) -> usize {
        self.main.classes()
    }

    fn value(&self, outputs: &[f32], targets: &Targets) -> f64 {
        self.parts(outputs).map(|(weight, logits)| weight * self.main.value(&logits, targets)).sum()
    }

    fn gradient(&self, outputs: &[f32], targets: &Targets) -> Vec<f32> {
        let (columns, classes) = (self.outputs(), self.main.outputs());
        let mut all = vec![0.0; outputs.len()];
        for (at, (weight, logits)) in self.parts(outputs).enumerate() {
            let gradient = self.main.gradient(&logits, targets);
            for (row, of_row) in all.chunks_exact_mut(columns).zip(gradient.chunks_exact(classes)) {
                for (sum, value) in row[at * classes..].iter_mut().zip(of_row) {
                    *sum = (weight * f64::from(*value)) as f32;
                }
            }
        }
        all
    }

    fn of_set(&self, outputs: &[f32], targets: &Targets) -> Option<f64> {
        self.parts(outputs).map(|(weight, logits)| Some(weight * self.main.of_set(&logits, targets)?)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::patches::Label;
    use crate::learn::loss::Loss;

    /// Two auxiliary outputs of two classes, three patches.
    fn sum() -> (WeightedSum, Vec<f32>, Targets) {
        let outputs = (0..18).map(|at| (at as f32 * 0.7).sin() * 2.0).collect();
        let labels = [Label::Present, Label::Absent, Label::Unknown, Label::Present, Label::Absent, Label::Absent];
        (WeightedSum { main: Arc::new(Loss::focal(2.0, 2)), weights: vec![0.3, 0.0] }, outputs, Targets::of(&labels))
    }

    #[test]
    fn the_value_is_the_weighted_sum() {
        let (sum, outputs, targets) = sum();
        let main = main_logits(&outputs, 6, 2);
        assert_eq!(main, [0, 1, 6, 7, 12, 13].map(|at| outputs[at]));
        let early = [2, 3, 8, 9, 14, 15].map(|at| outputs[at]);
        let wanted = sum.main.value(&main, &targets) + 0.3 * sum.main.value(&early, &targets);
        assert!((sum.value(&outputs, &targets) - wanted).abs() < 1e-12);
        assert_eq!((sum.outputs(), sum.classes()), (6, 2));
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let (sum, outputs, targets) = sum();
        for (at, found) in sum.gradient(&outputs, &targets).into_iter().enumerate() {
            let moved = |by: f32| {
                let mut outputs = outputs.clone();
                outputs[at] += by;
                sum.value(&outputs, &targets)
            };
            let wanted = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((f64::from(found) - wanted).abs() < 1e-4, "output {at}: {found}, not {wanted}");
        }
    }
}
