//! Cross-entropy over exclusive classes, of which a patch has exactly one. Knows no network and no optimizer.
//!
//! For logits x and targets y of C classes, `l = sum_k w_k y_k (log sum_j exp(x_j) - x_k)`. A patch has `y_k = 1` for its class, which label
//! smoothing e moves to `y_k (1-e) + e/C` (Szegedy et al. 2016). The loss of a batch is the sum over its patches, divided by the sum of the
//! weights of their classes, as `PyTorch`'s `CrossEntropyLoss`. A patch with an unknown label is left out.

use super::metrics::{ScoreFunction, softmax};
use super::objective::{Objective, Targets};

/// Cross-entropy over exclusive classes.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Label smoothing e.
    pub smoothing: f64,
    /// Weight of each class.
    pub weights: Vec<f64>,
}

impl CrossEntropy {
    /// Weighted and smoothed targets `w_k y_k` of each patch with known labels, with its index, and the weight of its class.
    fn patches<'a>(&'a self, targets: &'a Targets) -> impl Iterator<Item = (usize, Vec<f64>, f64)> + 'a {
        let classes = self.weights.len();
        let (values, known) = targets.parts();
        let of_patch = move |(at, (values, known)): (usize, (&[f32], &[bool]))| {
            known.iter().all(|known| *known).then(|| {
                let smoothed = |value: f32| f64::from(value) * (1.0 - self.smoothing) + self.smoothing / classes as f64;
                let weighted =
                    values.iter().zip(&self.weights).map(|(&value, weight)| weight * smoothed(value)).collect();
                let weight = values.iter().zip(&self.weights).map(|(&value, weight)| weight * f64::from(value)).sum();
                (at, weighted, weight)
            })
        };
        values.chunks(classes).zip(known.chunks(classes)).enumerate().filter_map(of_patch)
    }
}

impl Objective for CrossEntropy {
    fn outputs(&self) -> usize {
        self.weights.len()
    }

    fn activation(&self) -> ScoreFunction {
        ScoreFunction::Softmax
    }

    /// 0 if no patch has known labels.
    fn value(&self, outputs: &[f32], targets: &Targets) -> f64 {
        let classes = self.weights.len();
        let (mut sum, mut weights) = (0.0, 0.0);
        for (at, targets, weight) in self.patches(targets) {
            let logits = &outputs[at * classes..(at + 1) * classes];
            let total = log_sum_exp(logits);
            sum += targets.iter().zip(logits).map(|(target, &logit)| target * (total - f64::from(logit))).sum::<f64>();
            weights += weight;
        }
        if weights == 0.0 { 0.0 } else { sum / weights }
    }

    fn gradient(&self, outputs: &[f32], targets: &Targets) -> Vec<f32> {
        let classes = self.weights.len();
        let weights: f64 = self.patches(targets).map(|(_, _, weight)| weight).sum();
        let mut gradient = vec![0.0; outputs.len()];
        if weights == 0.0 {
            return gradient;
        }
        for (at, targets, _) in self.patches(targets) {
            let of = at * classes..(at + 1) * classes;
            let total: f64 = targets.iter().sum();
            for ((to, score), target) in gradient[of.clone()].iter_mut().zip(softmax(&outputs[of])).zip(&targets) {
                *to = ((total * score - target) / weights) as f32;
            }
        }
        gradient
    }

    fn of_set(&self, outputs: &[f32], targets: &Targets) -> Option<f64> {
        Some(self.value(outputs, targets))
    }
}

/// log(sum(exp(x))) without overflow; NaN is propagated.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    highest + libm::log(logits.iter().map(|&logit| libm::exp(f64::from(logit) - highest)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss() -> CrossEntropy {
        CrossEntropy { smoothing: 0.1, weights: vec![0.5, 1.0, 2.0] }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_value() {
        let outputs = [0.3, -1.2, 0.8, 2.0, 0.1, -0.4, 1.0, 1.0, 1.0];
        let mixed = [Some(0.25), Some(0.75), Some(0.0), Some(0.0), Some(0.0), Some(1.0), None, Some(1.0), Some(0.0)];
        let targets: Targets = mixed.into_iter().collect();
        let gradient = loss().gradient(&outputs, &targets);
        for at in 0..outputs.len() {
            let moved = |by: f32| {
                let mut outputs = outputs;
                outputs[at] += by;
                loss().value(&outputs, &targets)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((slope - f64::from(gradient[at])).abs() < 1e-4, "{at}: {slope} {}", gradient[at]);
        }
        assert_eq!(gradient[6..], [0.0; 3], "a patch with an unknown label");
    }

    #[test]
    fn equal_logits_cost_the_logarithm_of_the_number_of_classes() {
        let targets: Targets = [Some(0.0), Some(1.0), Some(0.0)].into_iter().collect();
        let plain = CrossEntropy { smoothing: 0.0, weights: vec![1.0; 3] };
        assert!((plain.value(&[7.0; 3], &targets) - 3.0_f64.ln()).abs() < 1e-12);
        assert_eq!(plain.value(&[7.0; 3], &[None, None, None].into_iter().collect()), 0.0);
        assert!(plain.value(&[f32::NAN; 3], &targets).is_nan());
    }
}
