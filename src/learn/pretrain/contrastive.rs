//! Supervised contrastive loss (Khosla et al. 2020) for patches with several labels.
//!
//! With cosine similarities c, temperature t and s = c/t, all forms are means over anchors i of `-sum_p w_p (s_ip - log sum_a exp s_ia)`,
//! with weights w of the positives p that sum to 1, and a over all other patches that can be compared with i. They differ in what is an anchor
//! and a positive. With a single label per patch they are the same.

use super::labels::PairLabels;
use super::objective::{AnchorTerms, PairLoss};
use crate::data::patches::Label;

/// What makes a pair of patches positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positives {
    /// Each label of a patch by itself: one anchor for each label of each patch, whose positives are all others with that label, equally
    /// weighted (`MulSupCon`, Zhang and Wu, AAAI 2024). Patches of which that label is unknown are left out.
    EachLabel,
    /// Labels in common, weighted by the Jaccard index of the label sets. Patches with an unknown label are left out.
    Overlap,
    /// The same set of labels, as if each set were a class. Patches with an unknown label are left out.
    SameSet,
}

/// Supervised contrastive loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrastive {
    /// Temperature.
    pub temperature: f64,
    /// What makes a pair positive.
    pub positives: Positives,
}

impl Contrastive {
    /// The weight of each patch as a positive of a patch, 0 for a negative, in each of its terms; [`None`] if it is left out.
    fn weights(&self, patch: usize, labels: &PairLabels) -> Vec<Vec<Option<f64>>> {
        let of = |weight: &dyn Fn(usize) -> Option<f64>| -> Vec<Option<f64>> {
            (0..labels.len()).map(|other| if other == patch { None } else { weight(other) }).collect()
        };
        match self.positives {
            Positives::EachLabel => {
                let present = (0..labels.columns).filter(|column| labels.of(patch)[*column] == Label::Present);
                let term = |column: usize| {
                    of(&|other| match labels.of(other)[column] {
                        Label::Present => Some(1.0),
                        Label::Absent => Some(0.0),
                        Label::Unknown => None,
                    })
                };
                present.map(term).collect()
            }
            Positives::Overlap => vec![of(&|other| labels.overlap(patch, other))],
            Positives::SameSet => {
                let same = |overlap: f64| if overlap == 1.0 { 1.0 } else { 0.0 };
                vec![of(&|other| labels.overlap(patch, other).map(same))]
            }
        }
    }
}

impl PairLoss for Contrastive {
    fn of_anchor(&self, anchor: usize, cosines: &[f64], labels: &PairLabels) -> AnchorTerms {
        let mut found = AnchorTerms::default();
        for weights in self.weights(anchor, labels) {
            let whole: f64 = weights.iter().flatten().sum();
            // One without positives has no term.
            if whole == 0.0 {
                continue;
            }
            let compared =
                || cosines.iter().zip(&weights).filter_map(|(c, w)| Some((c / self.temperature, (*w)? / whole)));
            let most = compared().map(|(s, _)| s).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = compared().map(|(s, _)| libm::exp(s - most)).sum();
            let log = most + libm::log(sum);
            found.sum -= compared().map(|(s, weight)| weight * (s - log)).sum::<f64>();
            found.terms += 1;
            found.slopes.resize(cosines.len(), 0.0);
            for ((slope, c), weight) in found.slopes.iter_mut().zip(cosines).zip(&weights) {
                let Some(weight) = weight else { continue };
                *slope += (libm::exp(c / self.temperature - log) - weight / whole) / self.temperature;
            }
        }
        found
    }
}
