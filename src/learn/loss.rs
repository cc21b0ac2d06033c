//! Losses over labels: binary cross-entropy, focal and asymmetric loss on logits, with unknown labels masked. Knows no network and no
//! optimizer.
//!
//! For one known target t with logit x and p = sigmoid(x), each class with factors c+ and c-:
//! `l = t c+ (1-p)^g+ (-log p) + (1-t) c- s^g- (-log(1-s))` with `s = max(p - m, 0)`. With g+ = g- and m = 0 it is the focal loss (Lin et
//! al. 2017, equation 5, with factors for both terms); with g = 0, binary cross-entropy; otherwise the asymmetric loss (Ridnik et al. 2021,
//! equations 4 to 7). A label is t = 1 or t = 0, which label smoothing e moves to `t (1-e) + e/2`. The loss of a batch is the mean over
//! its known targets.
//!
//! Without m, with z = x for the positive and -x for the negative term, and q = sigmoid(-z), each term is `c q^g softplus(-z)`, which
//! avoids logarithms of small numbers, and its derivative with respect to z is `-c q^g (g (1-q) softplus(-z) + q)`.

use super::metrics::sigmoid;
use super::objective::{Objective, Targets};

/// Loss function: exponents and shift, and for each class the factors of its two terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Focusing exponents g+ and g- of the two terms; 0 for none.
    pub gamma: [f64; 2],
    /// Shift m of the probability in the negative term.
    pub shift: f64,
    /// Label smoothing e.
    pub smoothing: f64,
    /// Factor on the positive term, per class: `w_k a+ v_k`.
    pub positive: Vec<f64>,
    /// Factor on the negative term, per class: `w_k a-`.
    pub negative: Vec<f64>,
}

impl Loss {
    /// Binary cross-entropy over `classes` classes, all factors 1.
    #[must_use]
    pub fn bce(classes: usize) -> Self {
        Self { gamma: [0.0; 2], shift: 0.0, smoothing: 0.0, positive: vec![1.0; classes], negative: vec![1.0; classes] }
    }

    /// Focal loss over `classes` classes, all factors 1.
    #[must_use]
    pub fn focal(gamma: f64, classes: usize) -> Self {
        Self { gamma: [gamma; 2], ..Self::bce(classes) }
    }

    /// Sum of a function of the terms with a weight above 0, for each known target, with its index.
    fn entries<'a>(
        &'a self,
        logits: &'a [f32],
        targets: &'a Targets,
        of: impl Fn(&Term) -> f64 + 'a,
    ) -> impl Iterator<Item = (f64, usize)> + 'a {
        let classes = self.positive.len();
        logits.iter().zip(targets.iter()).enumerate().filter_map(move |(at, (&logit, target))| {
            let target = f64::from(target?);
            // Exactly the target if nothing is smoothed.
            let target = if self.smoothing == 0.0 { target } else { smoothed(target, self.smoothing) };
            let [gamma_positive, gamma_negative] = self.gamma;
            let positive =
                Term { z: logit, sign: 1.0, factor: self.positive[at % classes], gamma: gamma_positive, shift: 0.0 };
            let negative = Term {
                z: -logit,
                sign: -1.0,
                factor: self.negative[at % classes],
                gamma: gamma_negative,
                shift: self.shift,
            };
            let value = match target {
                1.0 => of(&positive),
                0.0 => of(&negative),
                _ => target * of(&positive) + (1.0 - target) * of(&negative),
            };
            Some((value, at))
        })
    }
}

impl Objective for Loss {
    fn outputs(&self) -> usize {
        self.positive.len()
    }

    /// Mean over the known targets of `outputs` (N x C); 0 if none is known.
    fn value(&self, outputs: &[f32], targets: &Targets) -> f64 {
        let values = self.entries(outputs, targets, Term::value);
        let (sum, known) = values.fold((0.0, 0_u64), |(sum, known), (value, _)| (sum + value, known + 1));
        if known == 0 { 0.0 } else { sum / known as f64 }
    }

    /// Derivative of the value with respect to each logit; 0 if the target is unknown.
    fn gradient(&self, outputs: &[f32], targets: &Targets) -> Vec<f32> {
        let known = targets.iter().flatten().count();
        let mut gradient = vec![0.0; outputs.len()];
        for (slope, at) in self.entries(outputs, targets, Term::slope) {
            gradient[at] = (slope / known as f64) as f32;
        }
        gradient
    }

    fn of_set(&self, outputs: &[f32], targets: &Targets) -> Option<f64> {
        Some(self.value(outputs, targets))
    }
}

/// Target after label smoothing of two classes: `t (1-e) + e/2` (Szegedy et al. 2016).
fn smoothed(target: f64, smoothing: f64) -> f64 {
    target * (1.0 - smoothing) + smoothing / 2.0
}

/// One term of a loss; `z` is the logit, negated in the negative term, so that large is right.
struct Term {
    z: f32,
    sign: f64,
    factor: f64,
    gamma: f64,
    shift: f64,
}

impl Term {
    fn value(&self) -> f64 {
        let q = sigmoid(-self.z);
        if self.shift == 0.0 {
            return self.factor * power(q, self.gamma) * softplus(-f64::from(self.z));
        }
        let s = q - self.shift;
        // Not `s > 0`: NaN must be propagated.
        if s <= 0.0 { 0.0 } else { self.factor * power(s, self.gamma) * -libm::log1p(-s) }
    }

    /// Derivative with respect to the logit.
    fn slope(&self) -> f64 {
        let q = sigmoid(-self.z);
        if self.shift == 0.0 {
            return -self.sign
                * self.factor
                * power(q, self.gamma)
                * (self.gamma * (1.0 - q) * softplus(-f64::from(self.z)) + q);
        }
        let s = q - self.shift;
        if s <= 0.0 {
            return 0.0;
        }
        let by_s = power(s, self.gamma) * (self.gamma / s * -libm::log1p(-s) + 1.0 / (1.0 - s));
        // The derivative of q with respect to the logit is -sign q (1-q).
        -self.sign * self.factor * by_s * q * (1.0 - q)
    }
}

/// q^g; 1 for g = 0 whatever q is, and NaN is propagated.
fn power(q: f64, gamma: f64) -> f64 {
    if gamma == 0.0 { 1.0 } else { libm::pow(q, gamma) }
}

/// log(1 + e^x) without overflow or loss of precision.
fn softplus(x: f64) -> f64 {
    // NaN must be propagated, and `max` would drop it.
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}
