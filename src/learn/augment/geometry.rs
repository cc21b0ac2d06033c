//! Flips, rotation and shift of a square patch, all in one resampling pass. Knows no labels.
//!
//! Coordinates are of pixel centres, x to the right and y down, about the patch's centre. A stored pixel is first flipped, then
//! transposed, then rotated by `angle` (from x towards y), then shifted.

use super::Fill;

/// A motion.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// Left and right are swapped.
    pub flip_x: bool,
    /// Top and bottom are swapped.
    pub flip_y: bool,
    /// Rows and columns are swapped, after the flips.
    pub transpose: bool,
    /// Radians.
    pub angle: f64,
    /// Movement in x and y, px.
    pub shift: [f64; 2],
}

impl Motion {
    /// No motion.
    #[must_use]
    pub fn none() -> Self {
        Self { flip_x: false, flip_y: false, transpose: false, angle: 0.0, shift: [0.0; 2] }
    }

    /// Whether each pixel goes exactly onto another of the same patch.
    #[must_use]
    pub fn keeps_the_grid(&self) -> bool {
        self.angle == 0.0 && self.shift == [0.0; 2]
    }

    /// Where a stored point goes.
    fn forward(&self, [mut x, mut y]: [f64; 2], (sin, cos): (f64, f64)) -> [f64; 2] {
        if self.flip_x {
            x = -x;
        }
        if self.flip_y {
            y = -y;
        }
        if self.transpose {
            (x, y) = (y, x);
        }
        [cos * x - sin * y + self.shift[0], sin * x + cos * y + self.shift[1]]
    }

    /// Where a point of the result comes from.
    fn backward(&self, [x, y]: [f64; 2], (sin, cos): (f64, f64)) -> [f64; 2] {
        let (u, v) = (x - self.shift[0], y - self.shift[1]);
        let (mut x, mut y) = (cos * u + sin * v, cos * v - sin * u);
        if self.transpose {
            (x, y) = (y, x);
        }
        if self.flip_x {
            x = -x;
        }
        if self.flip_y {
            y = -y;
        }
        [x, y]
    }

    /// Sine and cosine of the rotation.
    #[must_use]
    pub fn sin_cos(&self) -> (f64, f64) {
        (libm::sin(self.angle), libm::cos(self.angle))
    }
}

/// The moved patch, `size` x `size` x 3 in 0..1, from `side` x `side` x 3 stored bytes around the same centre.
#[must_use]
pub fn resample(stored: &[u8], side: usize, size: usize, motion: &Motion, fill: Fill) -> Vec<f32> {
    let turn = motion.sin_cos();
    let (from, to) = ((side as f64 - 1.0) / 2.0, (size as f64 - 1.0) / 2.0);
    let source = |column: usize, row: usize| {
        let [x, y] = motion.backward([column as f64 - to, row as f64 - to], turn);
        [x + from, y + from]
    };
    let mut pixels = vec![0.0_f32; size * size * 3];
    if motion.keeps_the_grid() {
        // Both steps are the same everywhere, and whole.
        let at = |[x, y]: [f64; 2]| (y as isize * side as isize + x as isize) * 3;
        let origin = at(source(0, 0));
        let (right, down) = if size > 1 { (at(source(1, 0)) - origin, at(source(0, 1)) - origin) } else { (0, 0) };
        for (row, line) in pixels.chunks_exact_mut(size * 3).enumerate() {
            let mut place = origin + row as isize * down;
            for pixel in line.chunks_exact_mut(3) {
                let bytes = &stored[place as usize..place as usize + 3];
                for (value, byte) in pixel.iter_mut().zip(bytes) {
                    *value = f32::from(*byte) / 255.0;
                }
                place += right;
            }
        }
        return pixels;
    }
    for (row, line) in pixels.chunks_exact_mut(size * 3).enumerate() {
        for (column, pixel) in line.chunks_exact_mut(3).enumerate() {
            bilinear(stored, side, source(column, row), fill, pixel);
        }
    }
    pixels
}

/// One pixel at a point between others.
fn bilinear(stored: &[u8], side: usize, [x, y]: [f64; 2], fill: Fill, pixel: &mut [f32]) {
    let (left, top) = (whole(x), whole(y));
    let (wx, wy) = ((x - left as f64) as f32, (y - top as f64) as f32);
    let last = side as i64 - 1;
    if left >= 0 && top >= 0 && left < last && top < last {
        // All four are stored: the same sums, a pixel's channels side by side.
        let at = (top as usize * side + left as usize) * 3;
        let (upper, lower) = (&stored[at..at + 6], &stored[at + side * 3..][..6]);
        let mut sums = [0.0_f32; 4];
        for (bytes, weight) in [
            (&upper[..3], (1.0 - wx) * (1.0 - wy)),
            (&upper[3..], wx * (1.0 - wy)),
            (&lower[..3], (1.0 - wx) * wy),
            (&lower[3..], wx * wy),
        ] {
            let bytes = [f32::from(bytes[0]), f32::from(bytes[1]), f32::from(bytes[2]), 0.0];
            for (sum, byte) in sums.iter_mut().zip(bytes) {
                *sum += weight * byte / 255.0;
            }
        }
        pixel.copy_from_slice(&sums[..3]);
        return;
    }
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

/// The largest whole number that is not above `x`, without a call where processors have no instruction for it.
fn whole(x: f64) -> i64 {
    let near = x as i64;
    near - i64::from(near as f64 > x)
}

/// The stored index that stands for `at`; none where black does.
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

/// How many set pixels of a stored mask (`side` x `side` bits, most significant first) have their centre in the moved patch.
#[must_use]
pub fn mask_pixels(mask: &[u8], side: usize, size: usize, motion: &Motion) -> usize {
    let turn = motion.sin_cos();
    let (from, half) = ((side as f64 - 1.0) / 2.0, size as f64 / 2.0);
    let range = -half..half;
    let mut inside = 0;
    for (at, byte) in mask.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
            let pixel = at * 8 + bit;
            let (x, y) = ((pixel % side) as f64 - from, (pixel / side) as f64 - from);
            let [x, y] = motion.forward([x, y], turn);
            inside += usize::from(range.contains(&x) && range.contains(&y));
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored patch whose red channel is 10 * row + column.
    fn numbered(side: usize) -> Vec<u8> {
        (0..side * side).flat_map(|i| [(10 * (i / side) + i % side) as u8, 0, 0]).collect()
    }

    fn red(pixels: &[f32]) -> Vec<i32> {
        pixels.chunks(3).map(|pixel| (pixel[0] * 255.0).round() as i32).collect()
    }

    #[test]
    fn each_flip_puts_the_corners_where_it_should() {
        let stored = numbered(3);
        let moved = |motion: Motion| red(&resample(&stored, 3, 3, &motion, Fill::Reflect));
        assert_eq!(moved(Motion::none()), [0, 1, 2, 10, 11, 12, 20, 21, 22]);
        assert_eq!(moved(Motion { flip_x: true, ..Motion::none() }), [2, 1, 0, 12, 11, 10, 22, 21, 20]);
        assert_eq!(moved(Motion { flip_y: true, ..Motion::none() }), [20, 21, 22, 10, 11, 12, 0, 1, 2]);
        assert_eq!(moved(Motion { transpose: true, ..Motion::none() }), [0, 10, 20, 1, 11, 21, 2, 12, 22]);
        let both = Motion { flip_y: true, transpose: true, ..Motion::none() };
        assert_eq!(moved(both), [20, 10, 0, 21, 11, 1, 22, 12, 2], "a quarter turn clockwise");
    }

    #[test]
    fn the_margin_is_cut_off_unless_the_motion_needs_it() {
        let stored = numbered(5);
        let moved = |motion: Motion, fill| red(&resample(&stored, 5, 3, &motion, fill));
        assert_eq!(moved(Motion::none(), Fill::Reflect), [11, 12, 13, 21, 22, 23, 31, 32, 33]);
        let right = Motion { shift: [1.0, 0.0], ..Motion::none() };
        assert_eq!(moved(right, Fill::Reflect), [10, 11, 12, 20, 21, 22, 30, 31, 32]);
        let far = Motion { shift: [3.0, 0.0], ..Motion::none() };
        assert_eq!(moved(far.clone(), Fill::Reflect), [12, 11, 10, 22, 21, 20, 32, 31, 30]);
        assert_eq!(moved(far, Fill::Black), [0, 0, 10, 0, 0, 20, 0, 0, 30]);
        let half = Motion { shift: [0.5, 0.0], ..Motion::none() };
        assert_eq!(red(&resample(&[0, 0, 0, 100, 0, 0, 0, 0, 0, 100, 0, 0], 2, 2, &half, Fill::Black)), [0, 50, 0, 50]);
    }

    #[test]
    fn a_quarter_turn_by_rotation_is_the_one_by_flips() {
        let stored = numbered(4);
        let turned = Motion { angle: std::f64::consts::FRAC_PI_2, ..Motion::none() };
        let flipped = Motion { flip_y: true, transpose: true, ..Motion::none() };
        let by = |motion| red(&resample(&stored, 4, 4, &motion, Fill::Black));
        assert_eq!(by(turned), by(flipped));
    }

    #[test]
    fn a_mask_pixel_leaves_and_enters_with_its_pixel() {
        // One set pixel at column 0, row 2 of a 6 x 6 store around a 4 x 4 patch: in the margin.
        let mut mask = vec![0_u8; 5];
        mask[12 / 8] |= 0x80 >> (12 % 8);
        let count = |motion: Motion| mask_pixels(&mask, 6, 4, &motion);
        assert_eq!(count(Motion::none()), 0);
        assert_eq!(count(Motion { shift: [1.0, 0.0], ..Motion::none() }), 1);
        assert_eq!(count(Motion { shift: [5.0, 0.0], ..Motion::none() }), 0);
        assert_eq!(count(Motion { flip_x: true, shift: [-1.0, 0.0], ..Motion::none() }), 1);
    }
}
