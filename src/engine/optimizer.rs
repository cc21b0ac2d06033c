//! Optimizers `Adam`, `AdamW` and `SGD` over the flat vector of the parameters of a network, in one pass. They know no network, only
//! ranges and rates.
//!
//! Each follows `PyTorch` (2.15), in f32 per entry with scalars in f64: `torch.optim.Adam` (weight decay as L2 on the gradient),
//! `AdamW` (Loshchilov and Hutter 2019), `SGD` with momentum without dampening. Entries are independent, so chunks may be processed in
//! any order.

use std::collections::BTreeSet;
use std::ops::Range;

use rayon::prelude::*;

use crate::lang::network::parts::is_part;
use crate::stage::{Params, StageError};

/// Entries per unit of parallel work.
const CHUNK: usize = 1 << 14;

/// Update rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// Adam with L2 regularisation (Kingma and Ba 2015).
    Adam(AdamConstants),
    /// Adam with decoupled weight decay.
    AdamW(AdamConstants),
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum; 0 for none.
        momentum: f64,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
}

/// Constants of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConstants {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Term added to the root of the second moment.
    pub eps: f64,
}

/// Adjacent tensors in the flat vector that share a learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGroup {
    /// Range in the flat vector.
    pub range: Range<usize>,
    /// Peak learning rate.
    pub rate: f64,
}

/// Optimizer with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// Update rule.
    pub rule: UpdateRule,
    /// Weight decay.
    pub weight_decay: f64,
    /// Trained parameters; entries in no group stay unchanged.
    pub groups: Vec<ParameterGroup>,
    /// Number of steps taken.
    pub steps: u64,
    /// First moments, or momentum; empty if the rule has none.
    pub first: Vec<f32>,
    /// Second moments; empty if the rule has none.
    pub second: Vec<f32>,
}

impl Optimizer {
    /// New optimizer over `length` entries.
    #[must_use]
    pub fn new(rule: UpdateRule, weight_decay: f64, groups: Vec<ParameterGroup>, length: usize) -> Self {
        let (first, second) = match rule {
            UpdateRule::Adam(_) | UpdateRule::AdamW(_) => (length, length),
            UpdateRule::Sgd { momentum, .. } => (if momentum == 0.0 { 0 } else { length }, 0),
        };
        Self { rule, weight_decay, groups, steps: 0, first: vec![0.0; first], second: vec![0.0; second] }
    }

    /// Rule and weight decay from the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn rule_from_params(params: &Params) -> Result<(UpdateRule, f64), StageError> {
        let moments = || -> Result<AdamConstants, StageError> {
            Ok(AdamConstants {
                beta1: params.real("optimizer.beta1")?,
                beta2: params.real("optimizer.beta2")?,
                eps: params.real("optimizer.eps")?,
            })
        };
        let rule = match params.text("optimizer")? {
            "adam" => UpdateRule::Adam(moments()?),
            "sgd" => UpdateRule::Sgd {
                momentum: params.real("optimizer.momentum")?,
                nesterov: params.flag("optimizer.nesterov")?,
            },
            _ => UpdateRule::AdamW(moments()?),
        };
        Ok((rule, params.real("optimizer.weight-decay")?))
    }

    /// Runs one step with every rate times `factor`.
    ///
    /// # Panics
    /// If the lengths of `values` and `gradient` do not match the optimizer.
    pub fn step(&mut self, values: &mut [f32], gradient: &[f32], factor: f64) {
        assert_eq!(values.len(), gradient.len(), "one gradient entry per parameter");
        for (range, update) in self.updates(factor) {
            let (values, gradient) = (&mut values[range.clone()], &gradient[range.clone()]);
            match update {
                Update::Adam(scalars) => {
                    scalars.update(values, gradient, &mut self.first[range.clone()], &mut self.second[range]);
                }
                Update::Momentum(scalars) => scalars.update(values, gradient, &mut self.first[range]),
                Update::Plain(scalars) => plain(values, gradient, scalars.rate, scalars.decay),
            }
        }
    }

    /// Updates of each range in the next step, which is counted as taken.
    pub(super) fn updates(&mut self, factor: f64) -> Vec<(Range<usize>, Update)> {
        self.steps += 1;
        let update = |group: &ParameterGroup| {
            let rate = group.rate * factor;
            let adam = |moments, decay, l2| Update::Adam(AdamScalars::new(moments, self.steps, rate, decay, l2));
            let update = match self.rule {
                UpdateRule::Adam(moments) => adam(moments, 0.0, self.weight_decay),
                UpdateRule::AdamW(moments) => adam(moments, self.weight_decay, 0.0),
                UpdateRule::Sgd { momentum, nesterov } => {
                    let scalars = SgdScalars {
                        rate: rate as f32,
                        decay: self.weight_decay as f32,
                        momentum: momentum as f32,
                        ahead: if nesterov { Ahead::Nesterov } else { Ahead::Heavy },
                    };
                    if momentum == 0.0 { Update::Plain(scalars) } else { Update::Momentum(scalars) }
                }
            };
            (group.range.clone(), update)
        };
        self.groups.iter().map(update).collect()
    }
}

/// Update of the entries of one group in one step.
#[derive(Clone, Copy)]
pub(super) enum Update {
    /// Adam, with or without decoupled decay.
    Adam(AdamScalars),
    /// SGD with momentum.
    Momentum(SgdScalars),
    /// SGD without.
    Plain(SgdScalars),
}

/// Scalars of one step of Adam.
#[derive(Clone, Copy)]
pub(super) struct AdamScalars {
    pub(super) beta1: f32,
    pub(super) rest1: f32,
    pub(super) beta2: f32,
    pub(super) rest2: f32,
    pub(super) eps: f32,
    pub(super) size: f32,
    pub(super) root: f32,
    pub(super) shrink: f32,
    pub(super) l2: f32,
}

impl AdamScalars {
    fn new(moments: AdamConstants, steps: u64, rate: f64, decay: f64, l2: f64) -> Self {
        let correction1 = 1.0 - libm::pow(moments.beta1, steps as f64);
        let correction2 = 1.0 - libm::pow(moments.beta2, steps as f64);
        Self {
            beta1: moments.beta1 as f32,
            rest1: (1.0 - moments.beta1) as f32,
            beta2: moments.beta2 as f32,
            rest2: (1.0 - moments.beta2) as f32,
            eps: moments.eps as f32,
            size: (rate / correction1) as f32,
            root: libm::sqrt(correction2) as f32,
            shrink: (1.0 - rate * decay) as f32,
            l2: l2 as f32,
        }
    }

    fn update(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .for_each(|(((values, gradient), first), second)| {
                for (((value, &g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
                    let g = g + self.l2 * *value;
                    *m = self.beta1 * *m + self.rest1 * g;
                    *v = self.beta2 * *v + self.rest2 * g * g;
                    *value = *value * self.shrink - self.size * *m / (v.sqrt() / self.root + self.eps);
                }
            });
    }
}

/// Kind of momentum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    Heavy,
    Nesterov,
}

/// Scalars of one step of SGD.
#[derive(Clone, Copy)]
pub(super) struct SgdScalars {
    pub(super) rate: f32,
    pub(super) decay: f32,
    pub(super) momentum: f32,
    pub(super) ahead: Ahead,
}

impl SgdScalars {
    fn update(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32]) {
        // torch's first step sets the buffer to the gradient; from zeros, momentum * 0 + g is the same.
        values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(first.par_chunks_mut(CHUNK)).for_each(
            |((values, gradient), first)| {
                for ((value, &g), m) in values.iter_mut().zip(gradient).zip(first) {
                    let g = g + self.decay * *value;
                    *m = self.momentum * *m + g;
                    let step = match self.ahead {
                        Ahead::Heavy => *m,
                        Ahead::Nesterov => g + self.momentum * *m,
                    };
                    *value -= self.rate * step;
                }
            },
        );
    }
}

fn plain(values: &mut [f32], gradient: &[f32], rate: f32, decay: f32) {
    values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).for_each(|(values, gradient)| {
        for (value, &g) in values.iter_mut().zip(gradient) {
            *value -= rate * (g + decay * *value);
        }
    });
}

/// Groups of the tensors of a network: the rate of the longest name in `rates` that they belong to ([`is_part`]; otherwise `rate`), and no
/// group for what belongs to a name in `frozen`. Adjacent tensors with the same rate are merged. Also returns the names that match no tensor.
#[must_use]
pub fn groups<'a>(
    tensors: impl Iterator<Item = (&'a str, Range<usize>)>,
    rate: f64,
    rates: &[(String, f64)],
    frozen: &[String],
    prefixes: &BTreeSet<String>,
) -> (Vec<ParameterGroup>, Vec<String>) {
    let mut groups: Vec<ParameterGroup> = Vec::new();
    let mut unmatched: Vec<String> = rates.iter().map(|(name, _)| name.clone()).chain(frozen.iter().cloned()).collect();
    for (name, range) in tensors {
        unmatched.retain(|prefix| !is_part(name, prefix, prefixes));
        if frozen.iter().any(|prefix| is_part(name, prefix, prefixes)) {
            continue;
        }
        let rate = rates
            .iter()
            .filter(|(prefix, _)| is_part(name, prefix, prefixes))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(rate, |(_, rate)| *rate);
        match groups.last_mut() {
            Some(last) if last.range.end == range.start && last.rate == rate => last.range.end = range.end,
            _ => groups.push(ParameterGroup { range, rate }),
        }
    }
    (groups, unmatched)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No network is used under a name.
    const NONE: BTreeSet<String> = BTreeSet::new();

    #[test]
    fn the_longest_prefix_gives_the_rate_and_frozen_tensors_have_no_group() {
        let tensors =
            [("conv1.weight", 0..4), ("layer1.0.conv1.weight", 4..8), ("layer1.1.bn1.bias", 8..9), ("fc.bias", 9..10)];
        let rates = [("layer1".to_owned(), 2e-4), ("layer1.1".to_owned(), 5e-4), ("layer9".to_owned(), 1.0)];
        let (groups, unmatched) = groups(tensors.into_iter(), 1e-3, &rates, &["conv1".to_owned()], &NONE);
        let plain: Vec<_> = groups.iter().map(|group| (group.range.clone(), group.rate)).collect();
        assert_eq!(plain, [(4..8, 2e-4), (8..9, 5e-4), (9..10, 1e-3)]);
        assert_eq!(unmatched, ["layer9"]);
    }

    #[test]
    fn names_of_parts_hold_inside_networks_used_under_a_name() {
        let tensors =
            [("conv1.weight", 0..4), ("second.conv1.weight", 4..8), ("second.layer1.bias", 8..9), ("fc.bias", 9..10)];
        let rates = [("layer1".to_owned(), 0.5), ("second.layer1".to_owned(), 0.25), ("second".to_owned(), 2.0)];
        let within = BTreeSet::from(["second.".to_owned()]);
        let (found, unmatched) = groups(tensors.into_iter(), 1.0, &rates, &["conv1".to_owned()], &within);
        let plain: Vec<_> = found.iter().map(|group| (group.range.clone(), group.rate)).collect();
        assert_eq!(plain, [(8..9, 0.25), (9..10, 1.0)], "the longest name wins, and both stems are frozen");
        assert!(unmatched.is_empty());
    }

    #[test]
    fn a_rate_is_that_of_a_whole_part() {
        let tensors = [("block1.weight", 0..4), ("block10.weight", 4..8), ("fc.weight", 8..9)];
        let rates = [("block1".to_owned(), 0.5)];
        let (found, unmatched) = groups(tensors.into_iter(), 1.0, &rates, &["fc".to_owned(), "f".to_owned()], &NONE);
        assert_eq!(found, [ParameterGroup { range: 0..4, rate: 0.5 }, ParameterGroup { range: 4..8, rate: 1.0 }]);
        assert_eq!(unmatched, ["f"]);
    }
}
