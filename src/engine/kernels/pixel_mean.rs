//! Mean of the pixels of each image, weighted by the softmax of a score per pixel. Knows no network.

use rayon::prelude::*;

use super::product::sum;
use super::smooth::exp;
use super::vector::vectorised;

/// `y` (N x C) from `x` (N x pixels x C) and `scores` (N x pixels). Returns the weights.
#[must_use]
pub fn forward(x: &[f32], scores: &[f32], channels: usize, y: &mut [f32]) -> Vec<f32> {
    let pixels = x.len() / y.len();
    let mut shares = scores.to_vec();
    x.par_chunks_exact(pixels * channels)
        .zip(shares.par_chunks_exact_mut(pixels))
        .zip(y.par_chunks_exact_mut(channels))
        .for_each(|((x, shares), y)| weighted(x, shares, y));
    shares
}

/// Writes the gradients of `x` and of the scores, from that of the mean.
pub fn backward(x: &[f32], shares: &[f32], dy: &[f32], dx: &mut [f32], of_scores: &mut [f32]) {
    let pixels = x.len() / dy.len();
    let channels = x.len() / shares.len();
    let images = dx.par_chunks_exact_mut(pixels * channels).zip(of_scores.par_chunks_exact_mut(pixels));
    let images = images.zip(x.par_chunks_exact(pixels * channels)).zip(shares.par_chunks_exact(pixels));
    images
        .zip(dy.par_chunks_exact(channels))
        .for_each(|((((dx, of_scores), x), shares), dy)| gradients(x, shares, dy, dx, of_scores));
}

vectorised! {
    fn weighted(x: &[f32], shares: &mut [f32], y: &mut [f32]) {
        let maximum = shares.iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
        let mut total = 0.0;
        for share in shares.iter_mut() {
            *share = exp(*share - maximum);
            total += *share;
        }
        y.fill(0.0);
        for (x, share) in x.chunks_exact(y.len()).zip(shares) {
            *share /= total;
            for (y, x) in y.iter_mut().zip(x) {
                *y += *share * x;
            }
        }
    }
}

vectorised! {
    fn gradients(x: &[f32], shares: &[f32], dy: &[f32], dx: &mut [f32], of_scores: &mut [f32]) {
        let channels = dy.len();
        let mut all = 0.0;
        for (((x, dx), share), of_score) in
            x.chunks_exact(channels).zip(dx.chunks_exact_mut(channels)).zip(shares).zip(of_scores.iter_mut())
        {
            let product = sum(channels, |at| x[at] * dy[at]);
            for (dx, dy) in dx.iter_mut().zip(dy) {
                *dx = share * dy;
            }
            *of_score = product;
            all += share * product;
        }
        for (of_score, share) in of_scores.iter_mut().zip(shares) {
            *of_score = share * (*of_score - all);
        }
    }
}
