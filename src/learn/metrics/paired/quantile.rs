//! Levels of expanded percentile intervals, and Holm's correction.

/// 97.5th percentile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Lower percentile of a 95% expanded percentile interval over `units`: Φ(-√(n/(n-1)) t), where t is the 97.5th percentile of Student's
/// distribution with n - 1 degrees of freedom (Hesterberg 2015, section 4.2.3). 0.025 for many units.
#[must_use]
pub fn expanded_level(units: u64) -> f64 {
    let n = units.max(2) as f64;
    normal(-(n / (n - 1.0)).sqrt() * student(n - 1.0))
}

/// Distribution function of the standard normal distribution.
fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// 97.5th percentile of Student's distribution: the Cornish-Fisher expansion around the normal percentile (Abramowitz and Stegun
/// 26.7.5), within 0.0001 from 9 degrees of freedom.
fn student(degrees: f64) -> f64 {
    let z = NORMAL;
    let power = |n: i32| z.powi(n);
    let terms = [
        (power(3) + z) / 4.0,
        (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / 96.0,
        (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z) / 384.0,
        (79.0 * power(9) + 776.0 * power(7) + 1482.0 * power(5) - 1920.0 * power(3) - 945.0 * z) / 92160.0,
    ];
    terms.iter().zip(1..).fold(z, |sum, (term, order)| sum + term / degrees.powi(order))
}

/// P values adjusted for testing all of them (Holm 1979, "A simple sequentially rejective multiple test procedure").
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]).then(a.cmp(&b)));
    let mut adjusted = vec![0.0; p.len()];
    let mut highest: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        highest = highest.max((p[at] * (p.len() - rank) as f64).min(1.0));
        adjusted[at] = highest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_percentiles_are_those_of_the_tables() {
        // Two-sided 5%: 9, 14, 29 and 99 degrees of freedom.
        for (degrees, expected) in [(9.0, 2.262_157), (14.0, 2.144_787), (29.0, 2.045_230), (99.0, 1.984_217)] {
            assert!((student(degrees) - expected).abs() < 1e-4, "{degrees}: {}", student(degrees));
        }
        assert!((expanded_level(10) - 0.0086).abs() < 1e-4, "{}", expanded_level(10));
        assert!((expanded_level(100_000) - 0.025).abs() < 1e-4);
    }

    #[test]
    fn holm_multiplies_the_smallest_by_their_number() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.5]);
        for (found, expected) in adjusted.iter().zip([0.04, 0.09, 0.09, 0.5]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.7, 0.6]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
