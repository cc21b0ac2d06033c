//! Colour jitter on RGB in 0..1, as torchvision 0.29 computes it on float tensors (`ColorJitter`, `_functional_tensor`), in the
//! fixed order brightness, contrast, saturation, hue. Knows no shapes: an image is a run of RGB pixels.

/// Factors of one jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Factor on the values.
    pub brightness: f32,
    /// Factor on the distance from the image's mean grey.
    pub contrast: f32,
    /// Factor on the distance from each pixel's grey.
    pub saturation: f32,
    /// Added to the hue, of a turn.
    pub hue: f32,
}

impl Jitter {
    /// No change.
    #[must_use]
    pub fn none() -> Self {
        Self { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 }
    }

    /// Changes `pixels` (R, G, B, R, G, B, …).
    pub fn apply(&self, pixels: &mut [f32]) {
        if self.brightness != 1.0 {
            for value in pixels.iter_mut() {
                *value = (*value * self.brightness).clamp(0.0, 1.0);
            }
        }
        if self.contrast != 1.0 {
            let sum: f64 = pixels.chunks_exact(3).map(|pixel| f64::from(grey(pixel))).sum();
            let rest = (1.0 - self.contrast) * (sum / (pixels.len() / 3) as f64) as f32;
            for value in pixels.iter_mut() {
                *value = (*value * self.contrast + rest).clamp(0.0, 1.0);
            }
        }
        if self.saturation != 1.0 {
            for pixel in pixels.chunks_exact_mut(3) {
                let rest = (1.0 - self.saturation) * grey(pixel);
                for value in pixel.iter_mut() {
                    *value = (*value * self.saturation + rest).clamp(0.0, 1.0);
                }
            }
        }
        if self.hue != 0.0 {
            for pixel in pixels.chunks_exact_mut(3) {
                let turned = rgb(turn(hsv([pixel[0], pixel[1], pixel[2]]), self.hue));
                pixel.copy_from_slice(&turned);
            }
        }
    }
}

/// Grey, ITU-R 601 with torchvision's digits.
fn grey(pixel: &[f32]) -> f32 {
    0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
}

fn turn([h, s, v]: [f32; 3], by: f32) -> [f32; 3] {
    [wrapped(h + by), s, v]
}

/// What `rem_euclid(1.0)` gives for numbers between -1 and 2, without a division.
fn wrapped(hue: f32) -> f32 {
    if hue >= 1.0 {
        hue - 1.0
    } else if hue < 0.0 {
        hue + 1.0
    } else {
        hue
    }
}

/// Hue, saturation and value, all in 0..1.
fn hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    if high == low {
        return [0.0, 0.0, high];
    }
    let range = high - low;
    let [rc, gc, bc] = [r, g, b].map(|value| (high - value) / range);
    let sixth = if high == r {
        bc - gc
    } else if high == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    [wrapped(sixth / 6.0 + 1.0), range / high, high]
}

fn rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    // Not negative, so that it is rounded down.
    let sixth = (h * 6.0) as i32 as f32;
    let f = h * 6.0 - sixth;
    let [p, q, t] = [1.0 - s, 1.0 - s * f, 1.0 - s * (1.0 - f)].map(|share| (v * share).clamp(0.0, 1.0));
    match sixth as i32 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
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
}
