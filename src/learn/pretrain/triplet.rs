//! Triplet losses on the Euclidean distances d of embeddings of length 1: an anchor a should be nearer to a positive p than to a negative n,
//! by a margin m. Positives share a class with the anchor; negatives are known to share none.

use rayon::prelude::*;

use super::labels::PairLabels;
use super::objective::{AnchorTerms, PairLoss, distance};

/// Which triplets count. Three different losses are called semi-hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// All with `d_ap < d_an <= d_ap + m`, as pytorch-metric-learning's `TripletMarginMiner` with `semihard`. Mean of `d_ap - d_an + m` over
    /// those where it is above 0.
    SemiHard,
    /// For each pair (a, p), the nearest negative that is farther than p, or else the farthest one, as `triplet_semihard_loss` of
    /// TensorFlow, after `FaceNet` (Schroff et al. 2015), which squares distances. Mean of `max(0, d_ap - d_an + m)` over all pairs that
    /// have a negative.
    Nearest,
    /// All (Hermans et al. 2017, batch all). Mean of `d_ap - d_an + m` over those where it is above 0.
    All,
}

/// Triplet loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletLoss {
    /// Margin between the distances, which are 0 to 2.
    pub margin: f64,
    /// Which triplets count.
    pub mining: Mining,
}

/// Counts of triplets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TripletCounts {
    /// Triplets (a, p, n) of a batch.
    pub(super) all: u64,
    /// Those with a loss above 0, whatever is mined.
    pub(super) active: u64,
}

/// Distances of an anchor, its positives and its negatives.
struct AnchorDistances {
    all: Vec<f64>,
    positives: Vec<usize>,
    negatives: Vec<usize>,
}

impl AnchorDistances {
    fn new(anchor: usize, cosines: &[f64], labels: &PairLabels) -> Self {
        let others = || (0..labels.len()).filter(|other| *other != anchor);
        Self {
            all: cosines.iter().map(|c| distance(*c)).collect(),
            positives: others().filter(|other| labels.share(anchor, *other)).collect(),
            negatives: others().filter(|other| labels.disjoint(anchor, *other)).collect(),
        }
    }

    /// The nearest negative that is farther than `positive`, or else the farthest one; the first of equal ones.
    fn nearest(&self, positive: f64) -> Option<usize> {
        let first = |best: usize, other: usize, better: bool| if better { other } else { best };
        let farther = self.negatives.iter().copied().filter(|negative| self.all[*negative] > positive);
        let nearest = farther.reduce(|best, other| first(best, other, self.all[other] < self.all[best]));
        let all = self.negatives.iter().copied();
        nearest.or_else(|| all.reduce(|best, other| first(best, other, self.all[other] > self.all[best])))
    }
}

impl TripletLoss {
    /// How many triplets of a batch violate the margin.
    pub(super) fn counts(&self, cosines: &[f64], labels: &PairLabels) -> TripletCounts {
        let of_anchor = |(anchor, own): (usize, &[f64])| {
            let AnchorDistances { all, positives, negatives } = AnchorDistances::new(anchor, own, labels);
            let violates = |positive: f64, negative: &&usize| positive - all[**negative] + self.margin > 0.0;
            let active = positives.iter().map(|at| negatives.iter().filter(|n| violates(all[*at], n)).count()).sum();
            [positives.len() * negatives.len(), active]
        };
        let each: Vec<[usize; 2]> = cosines.par_chunks_exact(labels.len().max(1)).enumerate().map(of_anchor).collect();
        let [all, active] = [0, 1].map(|at| each.iter().map(|counts| counts[at] as u64).sum());
        TripletCounts { all, active }
    }
}

impl PairLoss for TripletLoss {
    fn of_anchor(&self, anchor: usize, cosines: &[f64], labels: &PairLabels) -> AnchorTerms {
        let distances = AnchorDistances::new(anchor, cosines, labels);
        let AnchorDistances { all, positives, negatives } = &distances;
        let mut found = AnchorTerms { slopes: vec![0.0; cosines.len()], ..AnchorTerms::default() };
        // How often each patch is the farther or the nearer one of an active triplet, as a derivative with respect to its distance.
        let mut pulls = vec![0.0; cosines.len()];
        let mut add = |positive: usize, negative: usize, found: &mut AnchorTerms| {
            let value = all[positive] - all[negative] + self.margin;
            if value > 0.0 {
                found.sum += value;
                pulls[positive] += 1.0;
                pulls[negative] -= 1.0;
            }
            value > 0.0
        };
        for &positive in positives {
            if self.mining == Mining::Nearest {
                if let Some(negative) = distances.nearest(all[positive]) {
                    add(positive, negative, &mut found);
                    found.terms += 1;
                }
                continue;
            }
            for &negative in negatives {
                if self.mining == Mining::All || all[positive] < all[negative] {
                    found.terms += usize::from(add(positive, negative, &mut found));
                }
            }
        }
        for ((slope, pull), length) in found.slopes.iter_mut().zip(pulls).zip(all) {
            // d = sqrt(2 - 2c); the distance of two equal embeddings has no slope.
            if *length > 0.0 {
                *slope = -pull / length;
            }
        }
        found
    }
}
