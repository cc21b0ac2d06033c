//! Bilinear interpolation of stored pixels, a run of a line at a time. Knows no motion: the points come from the caller.
//!
//! If all four neighbours of a point are stored, its run is summed channel by channel in loops that the compiler vectorises. All other
//! points are summed one by one in the same order, so that both paths give the same bytes.

use super::Fill;
use crate::engine::kernels::vectorised;

/// Number of points resampled together.
pub(super) const RUN: usize = 64;

/// Coordinates x and y of the points of a run, in stored pixels.
pub(super) type SamplePoints = [[f64; RUN]; 2];

/// Index of a point whose neighbours are not all stored.
const OUTSIDE: u32 = u32::MAX;

/// Fills `line` with the pixels (RGB in 0..1) at the first points of a run, from `side` x `side` x 3 stored bytes.
pub(super) fn resample(stored: &[u8], side: usize, points: &SamplePoints, fill: Fill, line: &mut [f32]) {
    let count = line.len() / 3;
    let (mut places, mut weights) = ([OUTSIDE; RUN], [[0.0; RUN]; 4]);
    place(points, side, &mut places, &mut weights);
    let mut corners = [[0; RUN]; 4];
    for (at, place) in places[..count].iter().enumerate().filter(|(_, place)| **place != OUTSIDE) {
        let place = *place as usize * 3;
        for row in 0..2 {
            // Three bytes of two neighbours, four of them at a time.
            let six = &stored[place + row * side * 3..][..6];
            corners[2 * row][at] = u32::from_le_bytes([six[0], six[1], six[2], six[3]]);
            corners[2 * row + 1][at] = u32::from_le_bytes([six[2], six[3], six[4], six[5]]) >> 8;
        }
    }
    sum(&corners, &weights, line);
    for (at, pixel) in line.chunks_exact_mut(3).enumerate().filter(|(at, _)| places[*at] == OUTSIDE) {
        single(stored, side, [points[0][at], points[1][at]], fill, pixel);
    }
}

vectorised! {
    /// Index of the stored pixel above and to the left of each point, and the weights of the four pixels around it.
    fn place(points: &SamplePoints, side: usize, places: &mut [u32; RUN], weights: &mut [[f32; RUN]; 4]) {
        let [xs, ys] = points;
        let last = side as f64 - 1.0;
        let [w00, w10, w01, w11] = weights;
        for at in 0..RUN {
            let (x, y) = (xs[at], ys[at]);
            let inside = (0.0..last).contains(&x) && (0.0..last).contains(&y);
            let ((left, wx), (top, wy)) = (split(x), split(y));
            places[at] = if inside { top.wrapping_mul(side as u32).wrapping_add(left) } else { OUTSIDE };
            w00[at] = (1.0 - wx) * (1.0 - wy);
            w10[at] = wx * (1.0 - wy);
            w01[at] = (1.0 - wx) * wy;
            w11[at] = wx * wy;
        }
    }
}

/// Integer and fractional part of a number from 0 to 2^31; meaningless for others. Avoids the conversion instruction, which is scalar.
#[inline(always)]
fn split(x: f64) -> (u32, f32) {
    // The magnitude at which the last place is 1.
    const WHOLE: f64 = (1_u64 << 52) as f64;
    let near = (x + WHOLE) - WHOLE;
    let whole = if near > x { near - 1.0 } else { near };
    ((whole + WHOLE).to_bits() as u32, (x - whole) as f32)
}

vectorised! {
    /// Weighted sums of the four neighbours of each point; R, G and B are the lowest bytes of each corner.
    fn sum(corners: &[[u32; RUN]; 4], weights: &[[f32; RUN]; 4], line: &mut [f32]) {
        let mut sums = [[0.0; RUN]; 3];
        for (channel, sums) in sums.iter_mut().enumerate() {
            for at in 0..RUN {
                let share = |corner: usize| {
                    let byte = (corners[corner][at] >> (8 * channel)) & 255;
                    weights[corner][at] * (byte as i32 as f32) / 255.0
                };
                sums[at] = share(0) + share(1) + share(2) + share(3);
            }
        }
        let [red, green, blue] = &sums;
        for (((pixel, red), green), blue) in line.as_chunks_mut::<3>().0.iter_mut().zip(red).zip(green).zip(blue) {
            *pixel = [*red, *green, *blue];
        }
    }
}

/// Pixel at one point, wherever that lies.
fn single(stored: &[u8], side: usize, [x, y]: [f64; 2], fill: Fill, pixel: &mut [f32]) {
    pixel.fill(0.0);
    let (left, top) = (x.floor() as i64, y.floor() as i64);
    let (wx, wy) = ((x - left as f64) as f32, (y - top as f64) as f32);
    let corners = [(0, 0, (1.0 - wx) * (1.0 - wy)), (1, 0, wx * (1.0 - wy)), (0, 1, (1.0 - wx) * wy), (1, 1, wx * wy)];
    for (dx, dy, weight) in corners {
        let place = |at: i64, step: i64| inside(at + step, side, fill);
        if weight > 0.0
            && let (Some(x), Some(y)) = (place(left, dx), place(top, dy))
        {
            let bytes = &stored[(y * side + x) * 3..][..3];
            for (value, byte) in pixel.iter_mut().zip(bytes) {
                *value += weight * f32::from(*byte) / 255.0;
            }
        }
    }
}

/// Stored index that `at` maps to; [`None`] if it is filled with black.
fn inside(at: i64, side: usize, fill: Fill) -> Option<usize> {
    let last = side as i64 - 1;
    if (0..=last).contains(&at) {
        return Some(at as usize);
    }
    match fill {
        Fill::Black => None,
        Fill::Reflect if last == 0 => Some(0),
        Fill::Reflect => {
            let at = at.rem_euclid(2 * last);
            Some(at.min(2 * last - at) as usize)
        }
    }
}
