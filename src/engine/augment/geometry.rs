//! Flips, rotation and shift of a square patch, all in one resampling pass. Knows no labels.
//!
//! Coordinates are of pixel centres, x to the right and y down, about the patch's centre. A stored pixel is first flipped, then
//! transposed, then rotated by `angle` (from x towards y), then shifted.

use super::Fill;
use super::bilinear::{self, RUN, SamplePoints};
use crate::engine::kernels::vectorised;

/// Geometric transform of a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// Whether left and right are swapped.
    pub flip_x: bool,
    /// Whether top and bottom are swapped.
    pub flip_y: bool,
    /// Whether rows and columns are swapped, after the flips.
    pub transpose: bool,
    /// Angle of rotation, radians.
    pub angle: f64,
    /// Translation in x and y, px.
    pub shift: [f64; 2],
}

impl Motion {
    /// Identity.
    #[must_use]
    pub fn none() -> Self {
        Self { flip_x: false, flip_y: false, transpose: false, angle: 0.0, shift: [0.0; 2] }
    }

    /// Whether each pixel maps exactly onto another pixel of the patch.
    #[must_use]
    pub fn keeps_the_grid(&self) -> bool {
        self.angle == 0.0 && self.shift == [0.0; 2]
    }

    /// Image of a stored point.
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

    /// Stored point that maps to a point of the result.
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

/// Lookup table of byte values for each of three channels.
pub type Tables = [[f32; 256]; 3];

/// Lookup tables that map bytes to 0..1.
#[must_use]
pub fn unit_tables() -> Tables {
    [std::array::from_fn(|byte| byte as f32 / 255.0); 3]
}

/// Writes the transformed patch, `size` x `size` x 3, into `pixels`, from `side` x `side` x 3 stored bytes around the same centre:
/// values in 0..1, or, if every pixel maps exactly onto another, its bytes looked up in `tables`.
pub fn resample(
    stored: &[u8],
    [side, size]: [usize; 2],
    motion: &Motion,
    fill: Fill,
    tables: &Tables,
    pixels: &mut [f32],
) {
    if motion.keeps_the_grid() {
        return put(stored, [side, size], motion, tables, pixels);
    }
    let turn = motion.sin_cos();
    let (from, to) = ((side as f64 - 1.0) / 2.0, (size as f64 - 1.0) / 2.0);
    let mut points = [[0.0; RUN]; 2];
    for (row, line) in pixels.chunks_exact_mut(size * 3).enumerate() {
        for (run, line) in line.chunks_mut(RUN * 3).enumerate() {
            sources(motion, turn, [(run * RUN) as f64 - to, row as f64 - to], from, &mut points);
            bilinear::resample(stored, side, &points, fill, line);
        }
    }
}

/// Stored points of the run that begins at `first`, with the centre at `from`: [`Motion::backward`] with the terms that are constant
/// over the run hoisted out of the loops.
fn sources(motion: &Motion, (sin, cos): (f64, f64), first: [f64; 2], from: f64, points: &mut SamplePoints) {
    let v = first[1] - motion.shift[1];
    let mut axes = [[cos, sin * v], [-sin, cos * v]];
    if motion.transpose {
        axes.swap(0, 1);
    }
    for ((points, [factor, fixed]), flip) in points.iter_mut().zip(axes).zip([motion.flip_x, motion.flip_y]) {
        let sign = if flip { -1.0 } else { 1.0 };
        axis([first[0], motion.shift[0], factor, fixed, sign, from], points);
    }
}

vectorised! {
    /// One coordinate of the points of a run.
    fn axis(of: [f64; 6], points: &mut [f64; RUN]) {
        let [first, shift, factor, fixed, sign, from] = of;
        for (at, point) in (0_u32..).zip(points) {
            let u = first + f64::from(at) - shift;
            *point = (factor * u + fixed) * sign + from;
        }
    }
}

/// Applies a motion that keeps the grid: both steps are constant integers.
fn put(stored: &[u8], [side, size]: [usize; 2], motion: &Motion, [red, green, blue]: &Tables, pixels: &mut [f32]) {
    let turn = motion.sin_cos();
    let (from, to) = ((side as f64 - 1.0) / 2.0, (size as f64 - 1.0) / 2.0);
    let place = |column: usize, row: usize| {
        let [x, y] = motion.backward([column as f64 - to, row as f64 - to], turn);
        ((y + from) as isize * side as isize + (x + from) as isize) * 3
    };
    let origin = place(0, 0);
    let (right, down) = if size > 1 { (place(1, 0) - origin, place(0, 1) - origin) } else { (0, 0) };
    let look = |pixel: &mut [f32; 3], bytes: &[u8; 3]| {
        *pixel = [red[bytes[0] as usize], green[bytes[1] as usize], blue[bytes[2] as usize]];
    };
    for at in 0..size {
        // Stored rows are read in memory order, which is faster.
        let row = if down < 0 { size - 1 - at } else { at };
        let line = pixels[row * size * 3..][..size * 3].as_chunks_mut::<3>().0;
        let mut place = origin + row as isize * down;
        match right {
            3 => {
                let bytes = stored[place as usize..][..size * 3].as_chunks::<3>().0;
                line.iter_mut().zip(bytes).for_each(|(pixel, bytes)| look(pixel, bytes));
            }
            -3 => {
                let bytes = stored[..place as usize + 3][(place as usize + 3 - size * 3)..].as_chunks::<3>().0;
                line.iter_mut().rev().zip(bytes).for_each(|(pixel, bytes)| look(pixel, bytes));
            }
            _ => {
                for pixel in line {
                    let bytes = &stored[place as usize..][..3];
                    look(pixel, &[bytes[0], bytes[1], bytes[2]]);
                    place += right;
                }
            }
        }
    }
}

/// Number of set pixels of a stored mask (`side` x `side` bits, most significant first) whose centre lies in the transformed patch, at a
/// column and row that `counts` accepts.
#[must_use]
pub fn mask_pixels(
    mask: &[u8],
    side: usize,
    size: usize,
    motion: &Motion,
    counts: impl Fn(usize, usize) -> bool,
) -> usize {
    let turn = motion.sin_cos();
    let (from, half) = ((side as f64 - 1.0) / 2.0, size as f64 / 2.0);
    let range = -half..half;
    let mut inside = 0;
    for (at, byte) in mask.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
            let pixel = at * 8 + bit;
            let (x, y) = ((pixel % side) as f64 - from, (pixel / side) as f64 - from);
            let [x, y] = motion.forward([x, y], turn);
            let within = range.contains(&x) && range.contains(&y);
            inside += usize::from(within && counts((x + half) as usize, (y + half) as usize));
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

    fn moved(stored: &[u8], side: usize, size: usize, motion: &Motion, fill: Fill) -> Vec<f32> {
        let mut pixels = vec![f32::NAN; size * size * 3];
        resample(stored, [side, size], motion, fill, &unit_tables(), &mut pixels);
        pixels
    }

    fn red(pixels: &[f32]) -> Vec<i32> {
        pixels.chunks(3).map(|pixel| (pixel[0] * 255.0).round() as i32).collect()
    }

    #[test]
    fn each_flip_puts_the_corners_where_it_should() {
        let stored = numbered(3);
        let moved = |motion: Motion| red(&moved(&stored, 3, 3, &motion, Fill::Reflect));
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
        let moved = |motion: Motion, fill| red(&moved(&stored, 5, 3, &motion, fill));
        assert_eq!(moved(Motion::none(), Fill::Reflect), [11, 12, 13, 21, 22, 23, 31, 32, 33]);
        let right = Motion { shift: [1.0, 0.0], ..Motion::none() };
        assert_eq!(moved(right, Fill::Reflect), [10, 11, 12, 20, 21, 22, 30, 31, 32]);
        let far = Motion { shift: [3.0, 0.0], ..Motion::none() };
        assert_eq!(moved(far.clone(), Fill::Reflect), [12, 11, 10, 22, 21, 20, 32, 31, 30]);
        assert_eq!(moved(far, Fill::Black), [0, 0, 10, 0, 0, 20, 0, 0, 30]);
        let half = Motion { shift: [0.5, 0.0], ..Motion::none() };
        let four = [0, 0, 0, 100, 0, 0, 0, 0, 0, 100, 0, 0];
        assert_eq!(red(&self::moved(&four, 2, 2, &half, Fill::Black)), [0, 50, 0, 50]);
    }

    #[test]
    fn a_quarter_turn_by_rotation_is_the_one_by_flips() {
        let stored = numbered(4);
        let turned = Motion { angle: std::f64::consts::FRAC_PI_2, ..Motion::none() };
        let flipped = Motion { flip_y: true, transpose: true, ..Motion::none() };
        let by = |motion| red(&moved(&stored, 4, 4, &motion, Fill::Black));
        assert_eq!(by(turned), by(flipped));
    }

    /// Pixel at a point between stored ones, in the order of sums that all implementations share.
    fn between(stored: &[u8], side: usize, [x, y]: [f64; 2], fill: Fill, channel: usize) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (wx, wy) = ((x - left) as f32, (y - top) as f32);
        let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)];
        let weights = [(1.0 - wx) * (1.0 - wy), wx * (1.0 - wy), (1.0 - wx) * wy, wx * wy];
        let mirrored = |at: f64| {
            let (at, period) = (at as i64, (2 * side as i64 - 2).max(1));
            let outside = at < 0 || at >= side as i64;
            let at = if outside { at.rem_euclid(period) } else { at };
            (outside, at.min(period - at).max(0) as usize)
        };
        corners.iter().zip(weights).fold(0.0, |sum, ((dx, dy), weight)| {
            let ((far, x), (off, y)) = (mirrored(left + dx), mirrored(top + dy));
            if (far || off) && fill == Fill::Black {
                return sum;
            }
            sum + weight * f32::from(stored[(y * side + x) * 3 + channel]) / 255.0
        })
    }

    #[test]
    fn a_run_of_points_has_the_bytes_of_its_points_one_by_one() {
        // Wider than a run, and with points inside and outside.
        for (side, size, angle, shift) in
            [(75, 70, 0.3, [0.0, 2.5]), (9, 9, 1.8, [-1.25, 0.5]), (66, 66, 1e-9, [0.0, 3.0])]
        {
            let stored: Vec<u8> = (0..side * side * 3).map(|at| (at * at * 7 + at / 3) as u8).collect();
            for flips in 0..8 {
                let [flip_x, flip_y, transpose] = [1, 2, 4].map(|flip| flips & flip != 0);
                let motion = Motion { flip_x, flip_y, transpose, angle, shift };
                for fill in [Fill::Reflect, Fill::Black] {
                    let found = moved(&stored, side, size, &motion, fill);
                    let (from, to) = ((side as f64 - 1.0) / 2.0, (size as f64 - 1.0) / 2.0);
                    for (at, found) in found.iter().enumerate() {
                        let (row, column, channel) = (at / 3 / size, at / 3 % size, at % 3);
                        let [x, y] = motion.backward([column as f64 - to, row as f64 - to], motion.sin_cos());
                        let wanted = between(&stored, side, [x + from, y + from], fill, channel);
                        assert_eq!(found.to_bits(), wanted.to_bits(), "{motion:?} {fill:?} {row} {column} {channel}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mask_pixel_leaves_and_enters_with_its_pixel() {
        // One set pixel at column 0, row 2 of a 6 x 6 store around a 4 x 4 patch: in the margin.
        let mut mask = vec![0_u8; 5];
        mask[12 / 8] |= 0x80 >> (12 % 8);
        let count = |motion: Motion| mask_pixels(&mask, 6, 4, &motion, |_, _| true);
        assert_eq!(count(Motion::none()), 0);
        assert_eq!(count(Motion { shift: [1.0, 0.0], ..Motion::none() }), 1);
        assert_eq!(count(Motion { shift: [5.0, 0.0], ..Motion::none() }), 0);
        assert_eq!(count(Motion { flip_x: true, shift: [-1.0, 0.0], ..Motion::none() }), 1);
    }
}
