//! Gaussian blur of a square RGB patch, separable, mirrored at the edge.

/// Blurs `pixels` (`size` x `size` x 3) with standard deviation `sigma` px; the kernel reaches three of them.
pub fn gaussian(pixels: &mut [f32], size: usize, sigma: f64) {
    let kernel = kernel(sigma);
    let mut between = vec![0.0; pixels.len()];
    pass(pixels, &mut between, &kernel, size, 3, size * 3);
    pass(&between, pixels, &kernel, size, size * 3, 3);
}

/// Radius of the kernel, px.
#[must_use]
pub fn reach(sigma: f64) -> usize {
    libm::ceil(3.0 * sigma) as usize
}

/// Kernel weights at distances 0, 1, …, [`reach`]; the two-sided kernel sums to 1.
#[must_use]
pub fn kernel(sigma: f64) -> Vec<f32> {
    let weights: Vec<f64> =
        (0..=reach(sigma)).map(|d| libm::exp(-0.5 * (d as f64 / sigma) * (d as f64 / sigma))).collect();
    let sum = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Blur along one axis: neighbours on a line are `step` entries apart, lines `across` entries.
fn pass(from: &[f32], to: &mut [f32], kernel: &[f32], size: usize, step: usize, across: usize) {
    let last = size as isize - 1;
    let mirror = |at: isize| {
        if last == 0 {
            return 0;
        }
        let at = at.rem_euclid(2 * last);
        at.min(2 * last - at) as usize
    };
    for line in 0..size {
        for at in 0..size {
            let [mut r, mut g, mut b] = [0.0_f32; 3];
            for (distance, weight) in kernel.iter().enumerate() {
                let distance = distance as isize;
                let sides = if distance == 0 { &[0][..] } else { &[-1, 1][..] };
                for side in sides {
                    let place = line * across + mirror(at as isize + side * distance) * step;
                    r += weight * from[place];
                    g += weight * from[place + 1];
                    b += weight * from[place + 2];
                }
            }
            to[line * across + at * step..][..3].copy_from_slice(&[r, g, b]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blurred_point_is_symmetric_and_keeps_its_sum_and_an_even_patch_stays() {
        let size = 15;
        let mut point = vec![0.0; size * size * 3];
        point[(7 * size + 7) * 3] = 1.0;
        gaussian(&mut point, size, 1.2);
        let red = |x: usize, y: usize| point[(y * size + x) * 3];
        assert!((point.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!([red(6, 7), red(8, 7)], [red(7, 6), red(7, 8)]);
        assert!(red(7, 7) > red(6, 7) && red(6, 7) > red(6, 6));
        let mut even = vec![0.25; size * size * 3];
        gaussian(&mut even, size, 3.0);
        assert!(even.iter().all(|value| (value - 0.25).abs() < 1e-6));
    }
}
