//! Smooth noise: value noise on a seeded lattice, and sums of its octaves.

use crate::base::random::Stream;

const SIDE: usize = 64;

/// A lattice of random values in [-1, 1), tiled over the plane.
pub(super) struct Lattice(Vec<f32>);

impl Lattice {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        Self((0..SIDE * SIDE).map(|_| super::between(stream, -1.0, 1.0)).collect())
    }

    /// Noise at (x, y), with lattice spacing 1: continuously differentiable.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (ease(x - left), ease(y - top));
        let (column, row) = (wrap(left), wrap(top));
        let (right, below) = ((column + 1) % SIDE, (row + 1) % SIDE);
        let upper = mix(self.0[row * SIDE + column], self.0[row * SIDE + right], fx);
        let lower = mix(self.0[below * SIDE + column], self.0[below * SIDE + right], fx);
        mix(upper, lower, fy)
    }

    /// Sum of octaves, each with half the scale and amplitude of the one before; roughly in [-1, 1].
    pub(super) fn octaves(&self, x: f32, y: f32, count: u32) -> f32 {
        let (mut sum, mut weight, mut scale) = (0.0, 0.5, 1.0);
        for octave in 0..count {
            // An offset for each octave, or all would have a lattice point at the origin.
            let offset = 17.37 * octave as f32;
            sum += weight * self.at(x * scale + offset, y * scale - offset);
            weight *= 0.5;
            scale *= 2.0;
        }
        sum * 1.6
    }
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

fn wrap(x: f32) -> usize {
    (x as i64).rem_euclid(SIDE as i64) as usize
}

/// An approximately standard normal draw: the sum of four uniform 16-bit draws (Irwin-Hall), which takes one 64-bit draw and no
/// logarithm, and a photograph needs millions of them.
pub(super) fn nearly_normal(stream: &mut Stream) -> f32 {
    let bits = stream.bits();
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    // Mean 2 x 65535; variance 4 x (65536^2 - 1) / 12, so one standard deviation is 65536 / sqrt(3).
    (sum as f32 - 131_070.0) * (1.732_050_8 / 65_536.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Streams;

    #[test]
    fn nearly_normal_draws_have_mean_0_and_deviation_1() {
        let mut stream = Streams::new(1, "synthetic").stream("camera", 0, &[]);
        let draws: Vec<f64> = (0..40_000).map(|_| f64::from(nearly_normal(&mut stream))).collect();
        let mean = draws.iter().sum::<f64>() / 40_000.0;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 40_000.0;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn noise_is_continuous_and_bounded() {
        let lattice = Lattice::draw(&mut Streams::new(2, "synthetic").stream("texture", 0, &[]));
        for step in -500..500_i16 {
            let x = f32::from(step) * 0.37;
            let (here, near) = (lattice.at(x, -x), lattice.at(x + 1e-3, -x));
            assert!(here.abs() <= 1.0 && (here - near).abs() < 0.01, "{x} {here} {near}");
        }
    }
}
