//! Colour jitter on RGB in 0..1, as torchvision 0.29 computes it on float tensors (`ColorJitter`, `_functional_tensor`), in the
//! fixed order brightness, contrast, saturation, hue. Knows no shapes: an image is a sequence of RGB pixels.

use crate::engine::kernels::vectorised;

/// Factors of one colour jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Factor on the values.
    pub brightness: f32,
    /// Factor on the distance from the image's mean grey.
    pub contrast: f32,
    /// Factor on the distance from each pixel's grey.
    pub saturation: f32,
    /// Shift of the hue, as a fraction of a full turn.
    pub hue: f32,
}

impl Jitter {
    /// Identity.
    #[must_use]
    pub fn none() -> Self {
        Self { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 }
    }

    /// Changes `pixels` (R, G, B, R, G, B, …).
    pub fn apply(&self, pixels: &mut [f32]) {
        let all = 0..pixels.len();
        self.apply_with_mean_of(pixels, || std::iter::once(all.clone()));
    }

    /// Changes a canvas of `canvas` x `canvas` x 3, with the mean grey of the patch of `size` px in its middle.
    pub fn apply_around(&self, pixels: &mut [f32], [canvas, size]: [usize; 2]) {
        self.apply_with_mean_of(pixels, || super::middle(canvas, size));
    }

    /// Changes `pixels`, with the mean grey of those in some ranges.
    fn apply_with_mean_of<R: Iterator<Item = std::ops::Range<usize>>>(
        &self,
        pixels: &mut [f32],
        ranges: impl Fn() -> R,
    ) {
        if self.brightness != 1.0 {
            scale(self.brightness, 0.0, pixels);
        }
        if self.contrast != 1.0 {
            let counted = ranges().flat_map(|range| pixels[range].chunks_exact(3));
            let (sum, count) = counted.fold((0.0, 0_usize), |(sum, count), pixel| {
                (sum + f64::from(grey([pixel[0], pixel[1], pixel[2]])), count + 1)
            });
            scale(self.contrast, (1.0 - self.contrast) * (sum / count as f64) as f32, pixels);
        }
        if self.saturation != 1.0 {
            saturate(self.saturation, pixels);
        }
        if self.hue != 0.0 {
            turn(self.hue, pixels);
        }
    }
}

/// Number of pixels that are split into channel planes, changed, and interleaved again at a time.
const RUN: usize = 16;

/// Applies `change` to each pixel.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn each(pixels: &mut [f32], change: impl Fn([f32; 3]) -> [f32; 3]) {
    let (runs, rest) = pixels.as_chunks_mut::<{ 3 * RUN }>();
    for run in runs {
        let mut planes = [[0.0; RUN]; 3];
        for at in 0..RUN {
            for channel in 0..3 {
                planes[channel][at] = run[3 * at + channel];
            }
        }
        let [red, green, blue] = &mut planes;
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            [*r, *g, *b] = change([*r, *g, *b]);
        }
        for at in 0..RUN {
            for channel in 0..3 {
                run[3 * at + channel] = planes[channel][at];
            }
        }
    }
    for pixel in rest.as_chunks_mut().0 {
        *pixel = change(*pixel);
    }
}

vectorised! {
    /// value x factor + rest, clamped to 0..1.
    fn scale(factor: f32, rest: f32, pixels: &mut [f32]) {
        for value in pixels {
            *value = (*value * factor + rest).clamp(0.0, 1.0);
        }
    }
}

vectorised! {
    fn saturate(factor: f32, pixels: &mut [f32]) {
        each(pixels, |pixel| {
            let rest = (1.0 - factor) * grey(pixel);
            pixel.map(|value| (value * factor + rest).clamp(0.0, 1.0))
        });
    }
}

vectorised! {
    fn turn(by: f32, pixels: &mut [f32]) {
        each(pixels, |pixel| {
            let [h, s, v] = hsv(pixel);
            rgb([wrapped(h + by), s, v])
        });
    }
}

/// Luma by ITU-R 601, with torchvision's coefficients.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn grey([r, g, b]: [f32; 3]) -> f32 {
    0.2989 * r + 0.587 * g + 0.114 * b
}

/// `rem_euclid(1.0)` of numbers between -1 and 2, without a division.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn wrapped(hue: f32) -> f32 {
    if hue >= 1.0 {
        hue - 1.0
    } else if hue < 0.0 {
        hue + 1.0
    } else {
        hue
    }
}

/// Hue, saturation and value, all in 0..1. Without branches, so that many pixels are computed at once.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let (high, low) = (larger(larger(r, g), b), -larger(larger(-r, -g), -b));
    let range = high - low;
    let [rc, gc, bc] = [r, g, b].map(|value| (high - value) / range);
    let of_blue = 4.0 + gc - rc;
    let of_green = if high == g { 2.0 + rc - bc } else { of_blue };
    let sixth = if high == r { bc - gc } else { of_green };
    let (hue, saturation) = (wrapped(sixth / 6.0 + 1.0), range / high);
    // A grey pixel has no hue: quotients by its range of 0 are discarded.
    if high == low { [0.0, 0.0, high] } else { [hue, saturation, high] }
}

#[inline(always)]
fn rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    // The magnitude at which the last place is 1.
    const WHOLE: f32 = (1_u32 << 23) as f32;
    // Rounds down, because the hue is not negative.
    let near = (h * 6.0 + WHOLE) - WHOLE;
    let sixth = if near > h * 6.0 { near - 1.0 } else { near };
    let f = h * 6.0 - sixth;
    let [p, q, t] = [1.0 - s, 1.0 - s * f, 1.0 - s * (1.0 - f)].map(|share| (v * share).clamp(0.0, 1.0));
    // Starts from the first sixth (and the one at 6), then selects the others.
    let pick = |at: f32, there: [f32; 3], [r, g, b]: [f32; 3]| {
        let [x, y, z] = there;
        [if sixth == at { x } else { r }, if sixth == at { y } else { g }, if sixth == at { z } else { b }]
    };
    let picked = pick(1.0, [q, v, p], pick(2.0, [p, v, t], [v, t, p]));
    pick(3.0, [p, q, v], pick(4.0, [t, p, v], pick(5.0, [v, p, q], picked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hue_is_wrapped_as_by_a_division() {
        for at in -9_999..20_000 {
            let hue = at as f32 / 10_000.0;
            assert_eq!(wrapped(hue), hue.rem_euclid(1.0), "{hue}");
        }
    }

    #[test]
    fn pixels_of_a_run_change_as_each_by_itself() {
        let jitter = Jitter { brightness: 1.2, contrast: 1.0, saturation: 0.7, hue: 0.3 };
        // Of all orders of the channels, greys and black among them.
        let pixels: Vec<f32> = (0..3 * (2 * RUN + 5)).map(|at| (at * at * 31 % 5) as f32 / 4.0).collect();
        let mut together = pixels.clone();
        jitter.apply(&mut together);
        for (together, alone) in together.as_chunks::<3>().0.iter().zip(pixels.as_chunks::<3>().0) {
            let mut changed = *alone;
            jitter.apply(&mut changed);
            assert_eq!(changed, *together, "{alone:?}");
        }
    }

    #[test]
    fn a_third_of_a_turn_changes_red_to_green_to_blue() {
        let mut pixels = [0.9, 0.1, 0.3, 0.2, 0.2, 0.2, 0.0, 0.5, 1.0, 1.0, 1.0, 0.0];
        let wanted = [0.3, 0.9, 0.1, 0.2, 0.2, 0.2, 1.0, 0.0, 0.5, 0.0, 1.0, 1.0];
        turn(1.0 / 3.0, &mut pixels);
        for (found, wanted) in pixels.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{pixels:?}");
        }
    }
}
