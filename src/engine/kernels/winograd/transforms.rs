//! Transforms of F(2 x 2, 3 x 3), 16 channels at a time: only sums and differences, the same bytes on every target. They know no image
//! and no thread.

use crate::engine::kernels::shape::COLUMNS;
use crate::engine::kernels::vectorised;

/// Channels that are transformed together.
pub(super) const STRIP: usize = 16;
/// Points of a transformed tile.
pub(super) const POINTS: usize = 16;

/// One value per channel.
type ChannelStrip = [f32; STRIP];

/// `a` + `b`, channel by channel.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn add(mut a: ChannelStrip, b: ChannelStrip) -> ChannelStrip {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

/// `a` - `b`, channel by channel.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn sub(mut a: ChannelStrip, b: ChannelStrip) -> ChannelStrip {
    a.iter_mut().zip(b).for_each(|(a, b)| *a -= b);
    a
}

/// `a` / 2, channel by channel.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn half(mut a: ChannelStrip) -> ChannelStrip {
    for a in &mut a {
        *a *= 0.5;
    }
    a
}

/// Applies Bᵀ to four pixels of an image.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn of_image([a, b, c, d]: [ChannelStrip; 4]) -> [ChannelStrip; 4] {
    [sub(a, c), add(b, c), sub(c, b), sub(b, d)]
}

/// Applies Aᵀ, which gives two pixels of the result.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn to_result([a, b, c, d]: [ChannelStrip; 4]) -> [ChannelStrip; 2] {
    [add(add(a, b), c), sub(sub(b, c), d)]
}

/// Applies A to two pixels of the gradient of the result.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn of_gradient([a, b]: [ChannelStrip; 2]) -> [ChannelStrip; 4] {
    [a, add(a, b), sub(a, b), sub([0.0; STRIP], b)]
}

/// Applies G to three taps.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn of_taps([a, b, c]: [ChannelStrip; 3]) -> [ChannelStrip; 4] {
    let outer = add(a, c);
    [a, half(add(outer, b)), half(sub(outer, b)), c]
}

/// Applies Gᵀ, which gives three taps of the gradient of the kernel.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn to_taps([a, b, c, d]: [ChannelStrip; 4]) -> [ChannelStrip; 3] {
    let even = half(add(b, c));
    [add(a, even), half(sub(b, c)), add(even, d)]
}

/// Applies `one` along the columns of a square, then along its rows.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn both<const FROM: usize, const TO: usize>(
    square: &[[ChannelStrip; FROM]; FROM],
    one: impl Fn([ChannelStrip; FROM]) -> [ChannelStrip; TO],
) -> [[ChannelStrip; TO]; TO] {
    let mut between = [[[0.0; STRIP]; FROM]; TO];
    for column in 0..FROM {
        let mut line = [[0.0; STRIP]; FROM];
        for row in 0..FROM {
            line[row] = square[row][column];
        }
        let line = one(line);
        for row in 0..TO {
            between[row][column] = line[row];
        }
    }
    let mut result = [[[0.0; STRIP]; TO]; TO];
    for row in 0..TO {
        result[row] = one(between[row]);
    }
    result
}

/// Strip of `floats` from `from` on.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn strip(floats: &[f32], from: usize) -> ChannelStrip {
    *floats[from..].first_chunk().expect("channels are whole strips")
}

/// Writes a strip.
#[expect(clippy::inline_always, reason = "it is compiled for the path that calls it")]
#[inline(always)]
fn put(floats: &mut [f32], from: usize, strip: ChannelStrip) {
    *floats[from..].first_chunk_mut().expect("channels are whole strips") = strip;
}

vectorised! {
    /// Computes the planes of 16 points (tiles x C each) from the 16 pixels of C channels that each tile reads.
    pub(super) fn images(tiles: &[[&[f32]; POINTS]], planes: &mut [&mut [f32]; POINTS]) {
        for (tile, parts) in tiles.iter().enumerate() {
            let channels = parts[0].len();
            for from in (0..channels).step_by(STRIP) {
                let mut square = [[[0.0; STRIP]; 4]; 4];
                for (row, parts) in square.iter_mut().zip(parts.as_chunks::<4>().0) {
                    for (pixel, part) in row.iter_mut().zip(parts) {
                        *pixel = strip(part, from);
                    }
                }
                let square = both(&square, of_image);
                for (point, plane) in planes.iter_mut().enumerate() {
                    put(plane, tile * channels + from, square[point / 4][point % 4]);
                }
            }
        }
    }
}

vectorised! {
    /// Computes `pixels` (tiles x 4 x C) of the result from `points` (16 x tiles x C).
    pub(super) fn results(points: &[f32], channels: usize, pixels: &mut [f32]) {
        let plane = points.len() / POINTS;
        for (tile, pixels) in pixels.chunks_exact_mut(4 * channels).enumerate() {
            for from in (0..channels).step_by(STRIP) {
                let mut square = [[[0.0; STRIP]; 4]; 4];
                for (point, plane) in points.chunks_exact(plane).enumerate() {
                    square[point / 4][point % 4] = strip(plane, tile * channels + from);
                }
                let square = both(&square, to_result);
                for (pixel, pixels) in pixels.chunks_exact_mut(channels).enumerate() {
                    put(pixels, from, square[pixel / 2][pixel % 2]);
                }
            }
        }
    }
}

vectorised! {
    /// Computes the planes of 16 points by panels (tiles x 32 each) from the four pixels of C channels of the gradient of each tile.
    pub(super) fn gradients(tiles: &[[&[f32]; 4]], planes: &mut [&mut [f32]]) {
        let panels = planes.len() / POINTS;
        for (tile, parts) in tiles.iter().enumerate() {
            for from in (0..parts[0].len()).step_by(STRIP) {
                let square = [[strip(parts[0], from), strip(parts[1], from)], [strip(parts[2], from), strip(parts[3], from)]];
                let square = both(&square, of_gradient);
                for (point, planes) in planes.chunks_exact_mut(panels).enumerate() {
                    put(planes[from / COLUMNS], tile * COLUMNS + from % COLUMNS, square[point / 4][point % 4]);
                }
            }
        }
    }
}

vectorised! {
    /// Computes 16 points of 16 columns from their 9 taps, `apart` floats apart.
    pub(super) fn taps(taps: &[f32], apart: usize, points: &mut [[f32; STRIP]; POINTS]) {
        let mut square = [[[0.0; STRIP]; 3]; 3];
        for tap in 0..9 {
            square[tap / 3][tap % 3] = strip(taps, tap * apart);
        }
        let square = both(&square, of_taps);
        for (point, to) in points.iter_mut().enumerate() {
            *to = square[point / 4][point % 4];
        }
    }
}

vectorised! {
    /// Computes the 9 taps of one row of the gradient of a kernel from its `points` (16 x rows x columns).
    pub(super) fn kernel(points: &[f32], row: usize, taps: &mut [&mut [f32]; 9]) {
        let (plane, columns) = (points.len() / POINTS, taps[0].len());
        for from in (0..columns).step_by(STRIP) {
            let mut square = [[[0.0; STRIP]; 4]; 4];
            for (point, plane) in points.chunks_exact(plane).enumerate() {
                square[point / 4][point % 4] = strip(plane, row * columns + from);
            }
            let square = both(&square, to_taps);
            for (tap, taps) in taps.iter_mut().enumerate() {
                put(taps, from, square[tap / 3][tap % 3]);
            }
        }
    }
}
