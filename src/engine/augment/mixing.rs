//! Mixing of two patches of a batch: mixup (Zhang et al. 2018) and `CutMix` (Yun et al. 2019). Knows no patch set and no network.

use std::ops::Range;

use super::Augmentation;
use crate::base::random::Stream;

/// How a patch is mixed with its partner.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixture {
    /// Weighted mean of both, with this weight on the patch itself.
    Blend(f64),
    /// Box of the partner pasted into the patch: columns and rows.
    Paste(Range<usize>, Range<usize>),
}

impl Augmentation {
    /// Whether patches are mixed with others of their batch.
    #[must_use]
    pub fn mixes(&self) -> bool {
        self.mixup_alpha > 0.0 || self.cutmix_alpha > 0.0
    }

    /// Draws the mixture of one patch of `size` px from the random stream of that patch, copy and epoch. With both kinds enabled, each
    /// has a probability of one half.
    #[must_use]
    pub fn mixture(&self, size: usize, stream: &mut Stream) -> Mixture {
        let heads = stream.chance(0.5);
        let centre = [stream.below(size as u64) as usize, stream.below(size as u64) as usize];
        if self.cutmix_alpha > 0.0 && (heads || self.mixup_alpha <= 0.0) {
            let own = beta(self.cutmix_alpha, stream);
            let half = (size as f64 * libm::sqrt(1.0 - own)) as usize / 2;
            let [columns, rows] = centre.map(|at| at.saturating_sub(half)..(at + half).min(size));
            return Mixture::Paste(columns, rows);
        }
        Mixture::Blend(beta(self.mixup_alpha, stream))
    }
}

impl Mixture {
    /// Fraction of the patch that stays its own.
    #[must_use]
    pub fn own(&self, size: usize) -> f64 {
        match self {
            Self::Blend(own) => *own,
            Self::Paste(columns, rows) => 1.0 - (columns.len() * rows.len()) as f64 / (size * size) as f64,
        }
    }

    /// Whether a pixel comes from the partner.
    #[must_use]
    pub fn pasted(&self, column: usize, row: usize) -> bool {
        matches!(self, Self::Paste(columns, rows) if columns.contains(&column) && rows.contains(&row))
    }

    /// Writes the mixture of two patches, each `size` x `size` x 3.
    pub fn apply(&self, own: &[f32], partner: &[f32], size: usize, mixed: &mut [f32]) {
        self.apply_around(own, partner, [size, size], mixed);
    }

    /// Writes the mixture of two canvases of `canvas` x `canvas` x 3 with the patches of `size` px in their middle.
    pub fn apply_around(&self, own: &[f32], partner: &[f32], [canvas, size]: [usize; 2], mixed: &mut [f32]) {
        match self {
            Self::Blend(weight) => {
                let (weight, rest) = (*weight as f32, (1.0 - weight) as f32);
                let pixels = own.iter().zip(partner);
                mixed.iter_mut().zip(pixels).for_each(|(mixed, (own, partner))| *mixed = weight * own + rest * partner);
            }
            Self::Paste(columns, rows) => {
                mixed.copy_from_slice(own);
                for row in super::middle(canvas, size).skip(rows.start).take(rows.len()) {
                    let line = row.start + columns.start * 3..row.start + columns.end * 3;
                    mixed[line.clone()].copy_from_slice(&partner[line]);
                }
            }
        }
    }
}

/// Draw from Beta(alpha, alpha) by Jöhnk's method (1964), in logarithms, since powers of small numbers underflow.
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    loop {
        let [a, b] = [0, 1].map(|_| libm::log(1.0 - stream.uniform()) / alpha);
        let most = a.max(b);
        let sum = most + libm::log(libm::exp(a - most) + libm::exp(b - most));
        if sum <= 0.0 {
            return libm::exp(a - sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Streams;

    #[test]
    fn weights_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.1, 0.4, 1.0, 2.0] {
            let mut stream = Streams::new(1, "test").stream("beta", 0, &[]);
            let draws: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut stream)).collect();
            let mean = draws.iter().sum::<f64>() / 2e4;
            let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 2e4;
            assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)), "{alpha}");
            assert!((mean - 0.5).abs() < 0.01, "{alpha}: mean {mean}");
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((variance / expected - 1.0).abs() < 0.04, "{alpha}: variance {variance}, not {expected}");
        }
    }

    #[test]
    fn a_box_lies_in_the_patch_and_its_area_is_the_partners_share() {
        let recipe = Augmentation { cutmix_alpha: 1.0, ..Augmentation::none() };
        let both = Augmentation { mixup_alpha: 0.2, ..recipe.clone() };
        let (own, partner) = (vec![1.0; 16 * 16 * 3], vec![0.0; 16 * 16 * 3]);
        let mut blends = 0;
        for sample in 0_u8..100 {
            let mut stream = Streams::new(1, "test").stream("mix", 1, &[sample]);
            let mixture = recipe.mixture(16, &mut stream.clone());
            let mut mixed = vec![0.5; 16 * 16 * 3];
            mixture.apply(&own, &partner, 16, &mut mixed);
            let kept = f64::from(mixed.iter().sum::<f32>()) / mixed.len() as f64;
            assert!((kept - mixture.own(16)).abs() < 1e-6, "{mixture:?}");
            let pasted = (0..256).filter(|at| mixture.pasted(at % 16, at / 16)).count();
            assert_eq!(pasted, mixed.iter().filter(|value| **value == 0.0).count() / 3);
            blends += usize::from(matches!(both.mixture(16, &mut stream), Mixture::Blend(_)));
        }
        assert!((30..70).contains(&blends), "{blends} of 100");
        let mut mixed = [0.0];
        Mixture::Blend(0.25).apply(&[1.0], &[3.0], 1, &mut mixed);
        assert_eq!(mixed, [2.5]);
    }
}
