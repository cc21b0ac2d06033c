//! Smooth element-wise activations and their derivatives. Knows no network.
//!
//! `exp` is implemented here with plain sums and products that vectorise: the same bytes on every target and for any number of threads.
//! The error against f64 is within 3e-7 of the larger of 1 and the result, as a test verifies.

use rayon::prelude::*;

use super::vector::vectorised;

/// Smooth activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smooth {
    /// x Phi(x), with Phi the normal distribution (Hendrycks and Gimpel 2016): torch's `gelu` with `approximate="none"`.
    Gelu,
    /// x / (1 + exp(-x)): torch's `silu`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
}

/// Floats per unit of parallel work.
const PIECE: usize = 1 << 14;

impl Smooth {
    /// `y` = f(x).
    pub fn forward(self, x: &[f32], y: &mut [f32]) {
        let piece = match self {
            Self::Gelu => gelu,
            Self::Silu => silu,
            Self::Tanh => tanh,
            Self::Sigmoid => sigmoid,
        };
        y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| piece(x, y));
    }

    /// `dy` = the gradient of the input: dy f'(x).
    pub fn gradient(self, x: &[f32], dy: &mut [f32]) {
        let piece = match self {
            Self::Gelu => gelu_gradient,
            Self::Silu => silu_gradient,
            Self::Tanh => tanh_gradient,
            Self::Sigmoid => sigmoid_gradient,
        };
        dy.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(dy, x)| piece(x, dy));
    }
}

/// exp(x), within 2 units in the last place; x is clamped to -87..88, NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 x 2^23 rounds to whole numbers and leaves them in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has so few bits that its products with whole numbers are exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = x - whole * HIGH - whole * LOW;
    // Series of exp(r) for |r| <= ln 2 / 2; the relative truncation error is below 1.3e-8.
    let series = 1.0 + r * (1.0 + r * (1.0 / 2.0 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(power)
}

/// Phi(x) and the density phi(x) of the normal distribution.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    // erfc(z) exp(z²) / t by powers of t = 1 / (1 + 0.4 z), for z from 0 to 9.4, with the least relative error (6.4e-9):
    // found by least squares with Lawson's weights against scipy.special.erfcx.
    const SERIES: [f32; 10] = [
        0.225_711_48,
        0.224_864_51,
        0.215_637_28,
        0.126_364_9,
        0.281_561_2,
        -0.301_903_13,
        0.568_358_96,
        -0.514_394_7,
        0.204_600_2,
        -0.030_800_68,
    ];
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.4 * z);
    let bell = exp(-0.5 * x * x);
    let mut series = SERIES[9];
    for at in (0..9).rev() {
        series = series * t + SERIES[at];
    }
    let tail = 0.5 * t * series * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, 0.398_942_3 * bell)
}

vectorised! {
    fn gelu(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x * normal(*x).0;
        }
    }
}

vectorised! {
    fn gelu_gradient(x: &[f32], dy: &mut [f32]) {
        for (dy, x) in dy.iter_mut().zip(x) {
            let (below, density) = normal(*x);
            *dy *= below + x * density;
        }
    }
}

/// tanh(x): a series near 0, where the quotient would cancel.
#[expect(clippy::inline_always, reason = "it is compiled for the target that calls it")]
#[inline(always)]
fn tanh_of(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    let far = (1.0 - e) / (1.0 + e);
    let s = x * x;
    let near = x.abs() * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    let size = if s < 0.0625 { near } else { far };
    if x < 0.0 { -size } else { size }
}

vectorised! {
    fn tanh(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = tanh_of(*x);
        }
    }
}

vectorised! {
    fn tanh_gradient(x: &[f32], dy: &mut [f32]) {
        for (dy, x) in dy.iter_mut().zip(x) {
            // 1 - tanh², without cancellation.
            let e = exp(-2.0 * x.abs());
            let share = 1.0 / (1.0 + e);
            *dy *= 4.0 * e * share * share;
        }
    }
}

vectorised! {
    fn sigmoid(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = 1.0 / (1.0 + exp(-x));
        }
    }
}

vectorised! {
    fn sigmoid_gradient(x: &[f32], dy: &mut [f32]) {
        for (dy, x) in dy.iter_mut().zip(x) {
            let e = exp(-x.abs());
            let share = 1.0 / (1.0 + e);
            *dy *= e * share * share;
        }
    }
}

vectorised! {
    fn silu(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x / (1.0 + exp(-x));
        }
    }
}

vectorised! {
    fn silu_gradient(x: &[f32], dy: &mut [f32]) {
        for (dy, x) in dy.iter_mut().zip(x) {
            // The rest is 1 - share without cancellation.
            let e = exp(-x);
            let share = 1.0 / (1.0 + e);
            let rest = e * share;
            *dy *= share * (1.0 + x * rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// exp, erf and their derivatives in f64, by libm.
    #[test]
    fn activations_and_derivatives_agree_with_f64() {
        let x: Vec<f32> = (-40_000..=40_000).map(|at| at as f32 / 2000.0).collect();
        let wanted = |smooth: Smooth, x: f64| match smooth {
            Smooth::Gelu => {
                let below = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
                (x * below, below + x * libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt())
            }
            Smooth::Silu => {
                let share = 1.0 / (1.0 + libm::exp(-x));
                (x * share, share * (1.0 + x * (1.0 - share)))
            }
            Smooth::Tanh => {
                let value = libm::tanh(x);
                (value, 1.0 - value * value)
            }
            Smooth::Sigmoid => {
                let share = 1.0 / (1.0 + libm::exp(-x));
                (share, share * (1.0 - share))
            }
        };
        for smooth in [Smooth::Gelu, Smooth::Silu, Smooth::Tanh, Smooth::Sigmoid] {
            let (mut y, mut dy) = (vec![0.0; x.len()], vec![1.0; x.len()]);
            smooth.forward(&x, &mut y);
            smooth.gradient(&x, &mut dy);
            for ((x, y), dy) in x.iter().zip(&y).zip(&dy) {
                let (value, slope) = wanted(smooth, f64::from(*x));
                for (found, wanted) in [(*y, value), (*dy, slope)] {
                    let error = (f64::from(found) - wanted).abs() / wanted.abs().max(1.0);
                    assert!(error < 3e-7, "{smooth:?} at {x}: {found}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so_and_what_is_large_is_right() {
        let mut y = [0.0; 4];
        Smooth::Silu.forward(&[f32::NAN, 1e30, -1e3, f32::INFINITY], &mut y);
        assert!(y[0].is_nan() && y[1] == 1e30 && y[2].abs() < 1e-30 && y[3] == f32::INFINITY);
        Smooth::Tanh.forward(&[f32::NAN, 1e30, -1e3, 1e-20], &mut y);
        assert!(y[0].is_nan() && y[1..] == [1.0, -1.0, 1e-20]);
        Smooth::Sigmoid.forward(&[f32::NAN, 1e30, -1e3, 0.0], &mut y);
        assert!(y[0].is_nan() && y[1] == 1.0 && y[2] < 1e-30 && y[3] == 0.5);
        Smooth::Gelu.forward(&[f32::NAN, 1e30, -1e3, f32::INFINITY], &mut y);
        assert!(y[0].is_nan() && y[1] == 1e30 && y[2].abs() < 1e-30 && y[3] == f32::INFINITY);
    }
}
