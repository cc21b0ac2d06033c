//! Layer normalisation over the channels of each pixel (Ba et al. 2016), with the biased variance, as in torch. Knows no network.

use rayon::prelude::*;

use super::product::sum;
use super::vector::vectorised;

/// Rows that share sums of the gradients of gamma and beta.
const BLOCK: usize = 512;
/// Rows that are summed in f32.
const GROUP: usize = 16;

/// Mean and 1 / sqrt(variance + eps) of each row.
pub type RowStatistics = Vec<[f32; 2]>;

/// `y` = gamma (x - mean) / sqrt(variance + eps) + beta, row by row.
#[must_use]
pub fn forward(x: &[f32], gamma: &[f32], beta: &[f32], eps: f64, y: &mut [f32]) -> RowStatistics {
    let channels = gamma.len();
    let rows = rows(channels);
    let mut statistics = vec![[0.0; 2]; x.len() / channels];
    y.par_chunks_mut(rows * channels)
        .zip(x.par_chunks(rows * channels))
        .zip(statistics.par_chunks_mut(rows))
        .for_each(|((y, x), statistics)| normalise(x, gamma, beta, eps as f32, y, statistics));
    statistics
}

/// Writes the gradient of x to `dx` unless it is not wanted; returns those of gamma and beta.
#[must_use]
pub fn backward(
    x: &[f32],
    dy: &[f32],
    gamma: &[f32],
    statistics: &[[f32; 2]],
    dx: Option<&mut [f32]>,
) -> (Vec<f32>, Vec<f32>) {
    let channels = gamma.len();
    if let Some(dx) = dx {
        let rows = rows(channels);
        dx.par_chunks_mut(rows * channels)
            .zip(x.par_chunks(rows * channels))
            .zip(dy.par_chunks(rows * channels))
            .zip(statistics.par_chunks(rows))
            .for_each(|(((dx, x), dy), statistics)| input_gradient(x, dy, gamma, statistics, dx));
    }
    let sums: Vec<Vec<f64>> = x
        .par_chunks(BLOCK * channels)
        .zip(dy.par_chunks(BLOCK * channels))
        .zip(statistics.par_chunks(BLOCK))
        .map(|((x, dy), statistics)| {
            let mut sums = vec![0.0; 2 * channels];
            let mut group = vec![0.0; 2 * channels];
            let rows = x.chunks(GROUP * channels).zip(dy.chunks(GROUP * channels)).zip(statistics.chunks(GROUP));
            for ((x, dy), statistics) in rows {
                group.fill(0.0);
                add_rows(x, dy, statistics, &mut group);
                sums.iter_mut().zip(&group).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            sums
        })
        .collect();
    let mut totals = vec![0.0; 2 * channels];
    for sums in sums {
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    let narrow = |sums: &[f64]| sums.iter().map(|sum| *sum as f32).collect();
    (narrow(&totals[..channels]), narrow(&totals[channels..]))
}

/// Rows per unit of parallel work, about 64 KiB.
fn rows(channels: usize) -> usize {
    (16384 / channels).max(1)
}

vectorised! {
    fn normalise(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, y: &mut [f32], statistics: &mut [[f32; 2]]) {
        let channels = gamma.len();
        let rows = x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)).zip(statistics);
        for ((x, y), statistics) in rows {
            let mean = sum(channels, |at| x[at]) / channels as f32;
            let variance = sum(channels, |at| (x[at] - mean) * (x[at] - mean)) / channels as f32;
            let inverse = 1.0 / (variance + eps).sqrt();
            *statistics = [mean, inverse];
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = (x - mean) * inverse * gamma + beta;
            }
        }
    }
}

vectorised! {
    fn input_gradient(x: &[f32], dy: &[f32], gamma: &[f32], statistics: &[[f32; 2]], dx: &mut [f32]) {
        let channels = gamma.len();
        let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels));
        for (((x, dy), dx), [mean, inverse]) in rows.zip(statistics) {
            let (mean, inverse) = (*mean, *inverse);
            let of_mean = sum(channels, |at| dy[at] * gamma[at]) / channels as f32;
            let of_scale = sum(channels, |at| dy[at] * gamma[at] * ((x[at] - mean) * inverse)) / channels as f32;
            for (((dx, x), dy), gamma) in dx.iter_mut().zip(x).zip(dy).zip(gamma) {
                *dx = inverse * (dy * gamma - of_mean - (x - mean) * inverse * of_scale);
            }
        }
    }
}

vectorised! {
    /// Adds the gradients of gamma, then beta, of some rows.
    fn add_rows(x: &[f32], dy: &[f32], statistics: &[[f32; 2]], sums: &mut [f32]) {
        let channels = sums.len() / 2;
        let (of_gamma, of_beta) = sums.split_at_mut(channels);
        for ((x, dy), [mean, inverse]) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(statistics) {
            for (((gamma, beta), x), dy) in of_gamma.iter_mut().zip(of_beta.iter_mut()).zip(x).zip(dy) {
                *gamma += dy * ((x - mean) * inverse);
                *beta += dy;
            }
        }
    }
}
