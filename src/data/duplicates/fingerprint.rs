//! The fingerprint of a photograph: what is darker and brighter than its surroundings, in units of their contrast, so that brightness, gamma
//! and uneven light do not matter. And a hash of it, small enough to hold those of a large data set.

use super::field::{GreyField, SIDE, standard};
use crate::data::decode::Photograph;
use crate::data::orientation::Orientation;

/// Radius of the box means that make the surroundings, cells; they run twice.
const RADIUS: usize = 4;

/// Contrast that is noise, of 255.
const FAINT: f64 = 0.3;

/// Cells at the edge of the field that are left out: the edge itself would look the same in all photographs.
const RIM: usize = 2;

/// Largest deviation, standard deviations, and its value in a fingerprint.
const LARGEST: f64 = 3.0;
const SCALE: f64 = 42.0;

/// With fewer cells that are neither outside nor like their surroundings, there is nothing to recognise.
const FEWEST: usize = 256;

/// Side of a hash, cells: half that of a fingerprint.
const HALF: usize = SIDE / 2;

/// Deviation of each of 64 x 64 cells of the field from its surroundings; 0 outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureFingerprint(Vec<i8>);

/// Signs of a fingerprint at half its resolution, a bit for each cell: brighter than its surroundings, and darker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureHash {
    brighter: [u64; HALF * HALF / 64],
    darker: [u64; HALF * HALF / 64],
}

impl PictureFingerprint {
    /// The fingerprint of a decoded photograph. It is empty if nothing can be recognised.
    #[must_use]
    pub fn of(photograph: &Photograph) -> Self {
        let cells = standard(photograph).map_or_else(|| vec![0; SIDE * SIDE], |grey| deviations(&grey));
        if cells.iter().filter(|cell| **cell != 0).count() < FEWEST {
            return Self(vec![0; SIDE * SIDE]);
        }
        Self(cells)
    }

    /// Whether nothing can be recognised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|cell| *cell == 0)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|cell| cell.cast_unsigned()).collect()
    }

    /// The fingerprint with these bytes; [`None`] if they are of another size.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == SIDE * SIDE).then(|| Self(bytes.iter().map(|byte| byte.cast_signed()).collect()))
    }

    /// Its hash in an orientation.
    #[must_use]
    pub fn hash(&self, orientation: Orientation) -> PictureHash {
        let turned = self.turned(orientation);
        let mut hash = PictureHash { brighter: [0; HALF * HALF / 64], darker: [0; HALF * HALF / 64] };
        for at in 0..HALF * HALF {
            let (x, y) = (at % HALF * 2, at / HALF * 2);
            let of = |x: usize, y: usize| i32::from(turned.0[y * SIDE + x]);
            let sum = of(x, y) + of(x + 1, y) + of(x, y + 1) + of(x + 1, y + 1);
            let bit = 1 << (at % 64);
            match sum {
                1.. => hash.brighter[at / 64] |= bit,
                0 => {}
                ..0 => hash.darker[at / 64] |= bit,
            }
        }
        hash
    }

    /// It in another orientation.
    #[must_use]
    pub fn turned(&self, orientation: Orientation) -> Self {
        Self(orientation.turn_cells(&self.0, (SIDE, SIDE)))
    }

    /// Correlation with another fingerprint, from -1 to 1, at the best of all displacements by at most one cell. 0 if one is empty.
    #[must_use]
    pub fn correlation(&self, other: &Self) -> f64 {
        let norm = |cells: &[i8]| cells.iter().map(|cell| i64::from(*cell).pow(2)).sum::<i64>();
        let norms = norm(&self.0) as f64 * norm(&other.0) as f64;
        if norms == 0.0 {
            return 0.0;
        }
        let places = (-1..=1).flat_map(|dy: isize| (-1..=1).map(move |dx: isize| (dx, dy)));
        let best = places.map(|place| self.product(other, place)).max().unwrap_or(0);
        best as f64 / norms.sqrt()
    }

    /// Sum of products with another fingerprint that is displaced by some cells.
    fn product(&self, other: &Self, (dx, dy): (isize, isize)) -> i64 {
        let mut sum = 0;
        for y in 0..SIDE {
            let Some(below) = y.checked_add_signed(dy).filter(|row| *row < SIDE) else { continue };
            let (own, other) = (&self.0[y * SIDE..][..SIDE], &other.0[below * SIDE..][..SIDE]);
            let (own, other) = match dx {
                1.. => (&own[..SIDE - 1], &other[1..]),
                0 => (own, other),
                ..0 => (&own[1..], &other[..SIDE - 1]),
            };
            sum += own.iter().zip(other).map(|(a, b)| i32::from(*a) * i32::from(*b)).map(i64::from).sum::<i64>();
        }
        sum
    }
}

impl PictureHash {
    /// Correlation of signs with another hash, from -1 to 1. 0 if one is empty.
    #[must_use]
    pub fn correlation(&self, other: &Self) -> f64 {
        let (mut agree, mut differ, mut own, mut others) = (0, 0, 0, 0);
        for at in 0..self.brighter.len() {
            let (a, b) = ((self.brighter[at], self.darker[at]), (other.brighter[at], other.darker[at]));
            agree += (a.0 & b.0).count_ones() + (a.1 & b.1).count_ones();
            differ += (a.0 & b.1).count_ones() + (a.1 & b.0).count_ones();
            own += a.0.count_ones() + a.1.count_ones();
            others += b.0.count_ones() + b.1.count_ones();
        }
        let norms = f64::from(own) * f64::from(others);
        if norms == 0.0 { 0.0 } else { (f64::from(agree) - f64::from(differ)) / norms.sqrt() }
    }
}

/// Deviations of the cells from their surroundings, in standard deviations of these, times [`SCALE`].
pub(super) fn deviations(grey: &GreyField) -> Vec<i8> {
    let width = grey.width;
    let weights = smooth(&grey.field, width);
    let product = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let mean = |values: &[f64]| -> Vec<f64> {
        let sums = smooth(&product(values, &grey.field), width);
        sums.iter().zip(&weights).map(|(sum, weight)| if *weight > 0.0 { sum / weight } else { 0.0 }).collect()
    };
    let means = mean(&grey.values);
    let differences: Vec<f64> = grey.values.iter().zip(&means).map(|(value, mean)| value - mean).collect();
    let variances = mean(&product(&differences, &differences));
    let inside = eroded(grey);
    let cells = differences.iter().zip(&variances).zip(&inside);
    let value = |((difference, variance), inside): ((&f64, &f64), &bool)| {
        let deviation = difference / (f64::max(*variance, 0.0).sqrt() + FAINT);
        if *inside { (deviation.clamp(-LARGEST, LARGEST) * SCALE).round() as i8 } else { 0 }
    };
    cells.map(value).collect()
}

/// Sums over boxes, twice; nothing counts outside the image, which is `width` cells wide.
fn smooth(values: &[f64], width: usize) -> Vec<f64> {
    let height = values.len() / width.max(1);
    let mut smoothed = values.to_vec();
    for _ in 0..2 {
        let turned = transposed(&sums(&smoothed, width), width);
        smoothed = transposed(&sums(&turned, height), height);
    }
    smoothed
}

/// Sums over `2 * RADIUS + 1` neighbours in each row.
fn sums(values: &[f64], width: usize) -> Vec<f64> {
    let row = |row: &[f64]| -> Vec<f64> {
        let sum = |x: usize| row[x.saturating_sub(RADIUS)..(x + RADIUS + 1).min(width)].iter().sum();
        (0..width).map(sum).collect()
    };
    values.chunks_exact(width.max(1)).flat_map(row).collect()
}

/// Columns as rows.
fn transposed(values: &[f64], width: usize) -> Vec<f64> {
    let height = values.len() / width.max(1);
    (0..values.len()).map(|at| values[at % height * width + at / height]).collect()
}

/// The cells of which all neighbours within [`RIM`] are in the field.
fn eroded(grey: &GreyField) -> Vec<bool> {
    let inside = |at: usize| {
        let (x, y) = (at % grey.width, at / grey.width);
        let within = |place: usize, length: usize| place >= RIM && place + RIM < length;
        let box_of = |place: usize| place - RIM..=place + RIM;
        within(x, grey.width)
            && within(y, grey.height)
            && box_of(y).all(|y| box_of(x).all(|x| grey.field[y * grey.width + x] > 0.0))
    };
    (0..grey.field.len()).map(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Streams;

    /// A disc of coarse noise on black, of `side` px.
    fn disc(seed: u64, side: usize) -> Photograph {
        let streams = Streams::new(seed, "disc");
        let coarse: Vec<u8> = (0..24 * 24).map(|at| (streams.rank("cell", at, b"") >> 56) as u8).collect();
        let half = side as f64 / 2.0;
        let value = |at: usize| {
            let (x, y) = ((at % side) as f64, (at / side) as f64);
            let inside = (x - half).powi(2) + (y - half).powi(2) < half * half;
            let cell = coarse[(y * 24.0 / side as f64) as usize * 24 + (x * 24.0 / side as f64) as usize];
            if inside { 60 + cell / 3 } else { 0 }
        };
        let rgb = (0..side * side).flat_map(|at| [value(at); 3]).collect();
        Photograph { width: side, height: side, rgb }
    }

    fn changed(photograph: &Photograph, change: impl Fn(u8) -> u8) -> Photograph {
        let rgb = photograph.rgb.iter().map(|value| change(*value)).collect();
        Photograph { rgb, ..photograph.clone() }
    }

    fn correlation(one: &Photograph, other: &Photograph) -> f64 {
        PictureFingerprint::of(one).correlation(&PictureFingerprint::of(other))
    }

    #[test]
    fn brightness_gamma_resolution_and_borders_hardly_matter() {
        let one = disc(1, 400);
        assert!(correlation(&one, &changed(&one, |value| (f64::from(value) * 0.6) as u8)) > 0.95);
        assert!(correlation(&one, &changed(&one, |value| value.saturating_add(30))) > 0.95);
        let gamma = |value: u8| (255.0 * libm::pow(f64::from(value) / 255.0, 1.8)) as u8;
        assert!(correlation(&one, &changed(&one, gamma)) > 0.9);
        assert!(correlation(&one, &disc(1, 260)) > 0.85, "at another resolution");
        let mut bordered = Photograph { width: 500, height: 440, rgb: vec![0; 500 * 440 * 3] };
        for y in 0..400 {
            bordered.rgb[((y + 17) * 500 + 61) * 3..][..1200].copy_from_slice(one.row(y));
        }
        assert!(correlation(&one, &bordered) > 0.95);
        assert!(correlation(&one, &disc(2, 400)) < 0.3, "another picture");
    }

    #[test]
    fn each_orientation_is_that_of_the_pixels() {
        let one = disc(3, 300);
        let upright = PictureFingerprint::of(&one);
        for number in 2..=8 {
            let orientation = Orientation::of(f64::from(number));
            let rgb = orientation.turn_rgb(&one.rgb, (300, 300));
            let turned = PictureFingerprint::of(&Photograph { rgb, ..one.clone() });
            assert!(upright.turned(orientation).correlation(&turned) > 0.99, "{number}");
            assert!(upright.correlation(&turned) < 0.5, "{number}");
            let (own, other) = (upright.hash(orientation), turned.hash(Orientation::UPRIGHT));
            assert!(own.correlation(&other) > 0.95, "{number}");
        }
    }

    #[test]
    fn nothing_is_recognised_in_a_photograph_without_content() {
        let black = Photograph { width: 64, height: 64, rgb: vec![0; 64 * 64 * 3] };
        let white = Photograph { width: 64, height: 64, rgb: vec![255; 64 * 64 * 3] };
        assert_eq!(correlation(&black, &black), 0.0);
        assert_eq!(correlation(&white, &white), 0.0);
        assert_eq!(correlation(&Photograph::default(), &black), 0.0);
        let hash = PictureFingerprint::of(&white).hash(Orientation::UPRIGHT);
        assert_eq!(hash.correlation(&hash), 0.0);
    }

    #[test]
    fn bytes_are_read_back() {
        let one = PictureFingerprint::of(&disc(4, 200));
        assert_eq!(PictureFingerprint::from_bytes(&one.bytes()).as_ref(), Some(&one));
        assert_eq!(PictureFingerprint::from_bytes(&[0; 12]), None);
    }
}
