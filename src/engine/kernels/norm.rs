//! Batch normalisation over pixels (rows) by channel, with a fused residual and rectifier. Knows no running statistics.
//!
//! Ioffe and Szegedy 2015; with the biased variance, as in torch.

use rayon::prelude::*;

use super::moments::{BLOCK, Moments, add_products};
use super::shape::{Bounds, COLUMNS, Rectify, panels};
use super::vector::vectorised;

/// Statistics of a batch, by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Biased variances.
    pub variance: Vec<f32>,
    /// 1 / sqrt(variance + eps).
    pub inverse: Vec<f32>,
}

impl Statistics {
    /// From the sums of x and x² over `rows` rows.
    #[must_use]
    pub fn new(totals: &[[f64; 2]], rows: usize, eps: f64) -> Self {
        let count = rows as f64;
        let moments = totals.iter().map(|[sum, squares]| {
            let mean = sum / count;
            (mean, (squares / count - mean * mean).max(0.0))
        });
        let (mean, variance): (Vec<f64>, Vec<f64>) = moments.unzip();
        Self::of(&mean, &variance, eps)
    }

    fn of(mean: &[f64], variance: &[f64], eps: f64) -> Self {
        Self {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            variance: variance.iter().map(|&variance| variance as f32).collect(),
            inverse: variance.iter().map(|variance| (1.0 / (variance + eps).sqrt()) as f32).collect(),
        }
    }

    /// From running statistics.
    #[must_use]
    pub fn running(mean: &[f32], variance: &[f32], eps: f64) -> Self {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        Self::of(&wide(mean), &wide(variance), eps)
    }

    /// Scale and shift with which `gamma (x - mean) inverse + beta` is `scale x + shift`.
    #[must_use]
    pub fn affine(&self, gamma: &[f32], beta: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let scale: Vec<f32> = gamma.iter().zip(&self.inverse).map(|(gamma, inverse)| gamma * inverse).collect();
        let shift = beta.iter().zip(&self.mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        (scale, shift)
    }
}

/// `y` = scale x + shift (+ extra), then the rectifier.
pub fn affine(x: &[f32], scale: &[f32], shift: &[f32], extra: Option<&[f32]>, rectify: Rectify, y: &mut [f32]) {
    let piece = piece(scale.len());
    let bounds = rectify.bounds();
    match extra {
        None => {
            y.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(y, x)| affine_rows(x, scale, shift, bounds, y));
        }
        Some(extra) => y
            .par_chunks_mut(piece)
            .zip(x.par_chunks(piece))
            .zip(extra.par_chunks(piece))
            .for_each(|((y, x), extra)| affine_add_rows(x, scale, shift, extra, bounds, y)),
    }
}

/// Gradients that pass the rectifier after a batch norm.
#[derive(Clone, Copy, Debug)]
pub enum PassedGradients<'a> {
    /// All: there is no rectifier.
    All,
    /// Those at which scale x + shift lies between the bounds of the rectifier.
    Affine(&'a [f32], &'a [f32], Rectify),
    /// Those at which the output lies between them.
    Output(&'a [f32], Rectify),
}

/// Destination of the gradient of the input.
#[derive(Debug)]
pub enum InputGradient<'a> {
    /// In place of the gradient of the output.
    Place,
    /// Separate buffer; the gradient of the output, rectified, then becomes that of the residual.
    Buffer(&'a mut [f32]),
}

/// Backward pass of a batch norm with batch statistics: writes the gradient of x to `into`, returns those of gamma and beta.
#[must_use]
pub fn backward(
    x: &[f32],
    dy: &mut [f32],
    gamma: &[f32],
    statistics: &Statistics,
    passed: PassedGradients,
    into: InputGradient,
) -> (Vec<f32>, Vec<f32>) {
    let channels = gamma.len();
    let rows = x.len() / channels;
    let panels = panels(channels);
    let block = BLOCK.min(rows.div_ceil(16)).max(1);
    let mut moments = Moments::default();
    moments
        .blocks(rows.div_ceil(block), panels)
        .par_chunks_mut(panels)
        .zip(dy.par_chunks_mut(block * channels))
        .zip(x.par_chunks(block * channels))
        .enumerate()
        .for_each(|(index, ((sums, dy), x))| {
            // Pieces that stay in the L1 cache between the rectifier and the sums.
            let piece = (2048 / channels).clamp(1, 4) * 16 * channels;
            for (piece_index, (x, dy)) in x.chunks(piece).zip(dy.chunks_mut(piece)).enumerate() {
                match passed {
                    PassedGradients::All => {}
                    PassedGradients::Affine(scale, shift, rectify) => {
                        pass_affine(x, scale, shift, rectify.bounds(), dy);
                    }
                    PassedGradients::Output(y, rectify) => {
                        let y = &y[index * block * channels + piece_index * piece..][..dy.len()];
                        pass(y, rectify.bounds(), dy);
                    }
                }
                for (panel, sums) in sums.iter_mut().enumerate() {
                    add_products(x, dy, &statistics.mean, panel * COLUMNS, sums);
                }
            }
        });
    let totals = moments.totals(channels);
    let count = rows as f64;
    let mut terms = Terms::default();
    let (mut dgamma, mut dbeta) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
    for (c, [sum, product]) in totals.into_iter().enumerate() {
        let inverse = f64::from(statistics.inverse[c]);
        let product = product * inverse;
        dgamma.push(product as f32);
        dbeta.push(sum as f32);
        let of_g = f64::from(gamma[c]) * inverse;
        let of_x = -of_g * inverse * product / count;
        terms.of_g.push(of_g as f32);
        terms.of_x.push(of_x as f32);
        terms.fixed.push((-of_g * sum / count - of_x * f64::from(statistics.mean[c])) as f32);
    }
    combine(x, dy, &terms, into);
    (dgamma, dbeta)
}

/// Backward pass of a batch norm with running statistics: only the gradient of x, which is multiplied by `scale`.
pub fn backward_fixed(x: &[f32], dy: &mut [f32], scale: &[f32], passed: PassedGradients, into: InputGradient) {
    let piece = piece(scale.len());
    match passed {
        PassedGradients::All => {}
        PassedGradients::Affine(scale, shift, rectify) => dy
            .par_chunks_mut(piece)
            .zip(x.par_chunks(piece))
            .for_each(|(dy, x)| pass_affine(x, scale, shift, rectify.bounds(), dy)),
        PassedGradients::Output(y, rectify) => {
            dy.par_chunks_mut(piece).zip(y.par_chunks(piece)).for_each(|(dy, y)| pass(y, rectify.bounds(), dy));
        }
    }
    let zeros = vec![0.0; scale.len()];
    combine(x, dy, &Terms { of_g: scale.to_vec(), of_x: zeros.clone(), fixed: zeros }, into);
}

/// Factors of dx = `of_g` g + `of_x` x + `fixed`, by channel.
#[derive(Default)]
struct Terms {
    of_g: Vec<f32>,
    of_x: Vec<f32>,
    fixed: Vec<f32>,
}

fn combine(x: &[f32], dy: &mut [f32], terms: &Terms, into: InputGradient) {
    let Terms { of_g, of_x, fixed } = terms;
    let piece = piece(of_g.len());
    match into {
        InputGradient::Place => {
            dy.par_chunks_mut(piece)
                .zip(x.par_chunks(piece))
                .for_each(|(dy, x)| combine_place(x, of_g, of_x, fixed, dy));
        }
        InputGradient::Buffer(dx) => dx
            .par_chunks_mut(piece)
            .zip(x.par_chunks(piece))
            .zip(dy.par_chunks(piece))
            .for_each(|((dx, x), dy)| combine_rows(x, dy, of_g, of_x, fixed, dx)),
    }
}

/// Backward pass of a rectifier: zeroes gradients at which its output does not lie between the bounds.
pub fn rectify_gradient(rectify: Rectify, y: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(1 << 14).zip(y.par_chunks(1 << 14)).for_each(|(dy, y)| pass(y, rectify.bounds(), dy));
}

/// Floats per unit of parallel work: whole rows, about 64 KiB.
fn piece(channels: usize) -> usize {
    (16384 / channels).max(1) * channels
}

vectorised! {
    fn affine_rows(x: &[f32], scale: &[f32], shift: &[f32], bounds: Bounds, y: &mut [f32]) {
        let c = scale.len();
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                *y = bounds.hold(x * scale + shift);
            }
        }
    }
}

vectorised! {
    fn affine_add_rows(x: &[f32], scale: &[f32], shift: &[f32], extra: &[f32], bounds: Bounds, y: &mut [f32]) {
        let c = scale.len();
        for ((y, x), extra) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(extra.chunks_exact(c)) {
            for ((((y, x), scale), shift), extra) in y.iter_mut().zip(x).zip(scale).zip(shift).zip(extra) {
                *y = bounds.hold(x * scale + shift + extra);
            }
        }
    }
}

vectorised! {
    fn pass(y: &[f32], bounds: Bounds, dy: &mut [f32]) {
        for (dy, y) in dy.iter_mut().zip(y) {
            *dy = bounds.pass(*y, *dy);
        }
    }
}

vectorised! {
    fn pass_affine(x: &[f32], scale: &[f32], shift: &[f32], bounds: Bounds, dy: &mut [f32]) {
        let c = scale.len();
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((dy, x), scale), shift) in dy.iter_mut().zip(x).zip(scale).zip(shift) {
                *dy = bounds.pass(x * scale + shift, *dy);
            }
        }
    }
}

vectorised! {
    fn combine_place(x: &[f32], of_g: &[f32], of_x: &[f32], fixed: &[f32], dy: &mut [f32]) {
        let c = of_g.len();
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for ((((dy, x), of_g), of_x), fixed) in dy.iter_mut().zip(x).zip(of_g).zip(of_x).zip(fixed) {
                *dy = of_g * *dy + of_x * x + fixed;
            }
        }
    }
}

vectorised! {
    fn combine_rows(x: &[f32], dy: &[f32], of_g: &[f32], of_x: &[f32], fixed: &[f32], dx: &mut [f32]) {
        let c = of_g.len();
        for ((dx, x), dy) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(dy.chunks_exact(c)) {
            for (((((dx, x), dy), of_g), of_x), fixed) in dx.iter_mut().zip(x).zip(dy).zip(of_g).zip(of_x).zip(fixed) {
                *dx = of_g * dy + of_x * x + fixed;
            }
        }
    }
}

/// Sums of each column: the gradient of a bias.
#[must_use]
pub fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    let mut moments = Moments::default();
    moments.of(x, columns);
    moments.totals(columns).into_iter().map(|[sum, _]| sum as f32).collect()
}

/// Applies a rectifier in place.
pub fn rectify(rectify: Rectify, x: &mut [f32]) {
    x.par_chunks_mut(1 << 14).for_each(|x| rectify_piece(rectify.bounds(), x));
}

vectorised! {
    fn rectify_piece(bounds: Bounds, x: &mut [f32]) {
        for x in x {
            *x = bounds.hold(*x);
        }
    }
}
