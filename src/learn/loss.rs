//! Binary cross-entropy and focal loss on logits, with unknown labels masked. Knows no network and no optimizer.
//!
//! For one known label y with logit x and p = sigmoid(x):
//! `l = -w_k [a+ v_k y (1-p)^g log p + a- (1-y) p^g log(1-p)]` (focal loss, Lin et al. 2017, equation 5, with factors for both
//! terms); g = 0 is binary cross-entropy. The loss of a batch is the mean over its known labels. With z = x for y = 1 and -x for
//! y = 0, and q = sigmoid(-z), each term is `c q^g softplus(-z)`, which avoids logarithms of small numbers, and its derivative
//! with respect to z is `-c q^g (g (1-q) softplus(-z) + q)`.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::metrics::sigmoid;
use crate::data::patches::Label;

/// Loss function: the focusing exponent, and for each class the factors of its two terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Focusing exponent g; 0 is binary cross-entropy.
    pub gamma: f64,
    /// Factor on the positive term, per class: `w_k a+ v_k`.
    pub positive: Vec<f64>,
    /// Factor on the negative term, per class: `w_k a-`.
    pub negative: Vec<f64>,
}

impl Loss {
    /// Binary cross-entropy over `classes` classes, all factors 1.
    #[must_use]
    pub fn bce(classes: usize) -> Self {
        Self { gamma: 0.0, positive: vec![1.0; classes], negative: vec![1.0; classes] }
    }

    /// Mean over the known labels of `logits` (N x C); 0 if none is known.
    #[must_use]
    pub fn value(&self, logits: &[f32], labels: &[Label]) -> f64 {
        let (sum, known) = self
            .entries(logits, labels)
            .fold((0.0, 0_u64), |(sum, known), (entry, _)| (sum + entry.value(self.gamma), known + 1));
        if known == 0 { 0.0 } else { sum / known as f64 }
    }

    /// Derivative of [`Loss::value`] with respect to each logit; 0 if the label is unknown.
    #[must_use]
    pub fn gradient(&self, logits: &[f32], labels: &[Label]) -> Vec<f32> {
        let known = labels.iter().filter(|label| **label != Label::Unknown).count();
        let mut gradient = vec![0.0; logits.len()];
        for (entry, at) in self.entries(logits, labels) {
            gradient[at] = (entry.slope(self.gamma) / known as f64) as f32;
        }
        gradient
    }

    /// Loss of `logits` (N x C, f32) as a scalar on candle's tape.
    ///
    /// # Errors
    /// Errors of candle if the shapes do not match.
    pub fn on_tape(&self, logits: &Tensor, labels: &[Label]) -> candle_core::Result<Tensor> {
        logits.apply_op1(LossOp { loss: self.clone(), labels: labels.to_vec() })
    }

    /// Known labels with their indices.
    fn entries<'a>(&'a self, logits: &'a [f32], labels: &'a [Label]) -> impl Iterator<Item = (Term, usize)> + 'a {
        let classes = self.positive.len();
        logits.iter().zip(labels).enumerate().filter_map(move |(at, (&logit, label))| {
            let (sign, factor) = match label {
                Label::Present => (1.0, self.positive[at % classes]),
                Label::Absent => (-1.0, self.negative[at % classes]),
                Label::Unknown => return None,
            };
            Some((Term { z: sign * logit, sign: f64::from(sign), factor }, at))
        })
    }
}

/// Term of one known label; its logit is negated if the label is absent, so that large is right.
struct Term {
    z: f32,
    sign: f64,
    factor: f64,
}

impl Term {
    fn value(&self, gamma: f64) -> f64 {
        self.factor * power(sigmoid(-self.z), gamma) * softplus(-f64::from(self.z))
    }

    /// Derivative with respect to the logit.
    fn slope(&self, gamma: f64) -> f64 {
        let q = sigmoid(-self.z);
        -self.sign * self.factor * power(q, gamma) * (gamma * (1.0 - q) * softplus(-f64::from(self.z)) + q)
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

/// Loss as an operation on candle's tape.
struct LossOp {
    loss: Loss,
    labels: Vec<Label>,
}

impl CustomOp1 for LossOp {
    fn name(&self) -> &'static str {
        "multi-label-loss"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let logits: &[f32] = storage.as_slice()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the loss needs contiguous logits");
        };
        if end - start != self.labels.len() {
            candle_core::bail!("{} logits but {} labels", end - start, self.labels.len());
        }
        let value = self.loss.value(&logits[start..end], &self.labels);
        Ok((CpuStorage::F32(vec![value as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _value: &Tensor, upstream: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let values = logits.flatten_all()?.to_vec1::<f32>()?;
        let gradient = Tensor::from_vec(self.loss.gradient(&values, &self.labels), logits.shape(), logits.device())?;
        Ok(Some(gradient.broadcast_mul(upstream)?))
    }
}
