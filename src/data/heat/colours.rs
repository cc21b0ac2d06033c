//! Perceptually uniform colour map for scores: dark purple via blue and green to yellow, lightness proportional to the score.
//!
//! A line through Oklch (B. Ottosson, "A perceptual color space for image processing", 2020, with its matrices): lightness and hue
//! change linearly, and chroma stays within the sRGB gamut (IEC 61966-2-1). The order of scores is preserved in greyscale and for
//! colour-blind readers.

use crate::data::colour::Colour;

/// Lightness at 0 and at 1.
const LIGHTNESS: [f64; 2] = [0.28, 0.92];
/// Hue at 0 and at 1, degrees.
const HUE: [f64; 2] = [310.0, 105.0];
/// Chroma in the middle, and the amount added at both ends.
const CHROMA: [f64; 2] = [0.09, 0.045];

/// The colour of a score from 0 to 1.
#[must_use]
pub fn colour(score: f64) -> Colour {
    let score = score.clamp(0.0, 1.0);
    let between = |[low, high]: [f64; 2]| low + (high - low) * score;
    let hue = between(HUE).to_radians();
    let chroma = chroma(score);
    linear(between(LIGHTNESS), chroma * libm::cos(hue), chroma * libm::sin(hue)).map(encoded)
}

/// The chroma of a score.
fn chroma(score: f64) -> f64 {
    let out = 2.0 * score - 1.0;
    CHROMA[0] + CHROMA[1] * (out * out)
}

/// Oklab as linear red, green and blue.
fn linear(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let cube = |root: f64| root * root * root;
    let l = cube(lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b);
    let m = cube(lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b);
    let s = cube(lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// sRGB encoding of a linear value, 0 to 255.
fn encoded(value: f64) -> u8 {
    let value = value.clamp(0.0, 1.0);
    let curved = if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * libm::pow(value, 1.0 / 2.4) - 0.055 };
    (curved * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_scores_are_lighter_and_none_leaves_srgb() {
        let grey = |[r, g, b]: Colour| 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b);
        let greys: Vec<f64> = (0..=100).map(|at| grey(colour(f64::from(at) / 100.0))).collect();
        assert!(greys.windows(2).all(|pair| pair[0] < pair[1]), "{greys:?}");
        for at in 0..=100 {
            let score = f64::from(at) / 100.0;
            let hue = (HUE[0] + (HUE[1] - HUE[0]) * score).to_radians();
            let chroma = chroma(score);
            let lightness = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * score;
            let linear = linear(lightness, chroma * hue.cos(), chroma * hue.sin());
            assert!(linear.iter().all(|value| (-1e-3..=1.0).contains(value)), "{score}: {linear:?}");
        }
    }

    #[test]
    fn a_neutral_colour_is_grey_and_white_is_white() {
        assert_eq!(linear(1.0, 0.0, 0.0).map(encoded), [255; 3]);
        assert_eq!(linear(0.0, 0.0, 0.0).map(encoded), [0; 3]);
        let [r, g, b] = linear(0.6, 0.0, 0.0).map(encoded);
        assert!(r == g && g == b);
    }

    #[test]
    fn scores_outside_are_taken_as_the_nearest() {
        assert_eq!([colour(-1.0), colour(2.0)], [colour(0.0), colour(1.0)]);
    }
}
