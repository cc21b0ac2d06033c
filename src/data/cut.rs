//! Cutting one patch: pixels copied and counted in one pass. Knows no labels.

use super::decode::Photograph;

/// Pixels that are taken together, so that the compiler keeps their sums in vector registers.
const TOGETHER: usize = 16;

/// What is counted of a patch's pixels.
#[derive(Clone, Debug)]
pub struct Counts {
    sums: [u64; 3],
    squares: [u64; 3],
    /// Four histograms, so that neighbours of one value do not wait for each other.
    histograms: Box<[[u32; 256]; 4]>,
    pixels: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { sums: [0; 3], squares: [0; 3], histograms: Box::new([[0; 256]; 4]), pixels: 0 }
    }
}

impl Counts {
    /// Forgets everything.
    pub fn clear(&mut self) {
        (self.sums, self.squares, self.pixels) = ([0; 3], [0; 3], 0);
        self.histograms.as_flattened_mut().fill(0);
    }

    /// Counts a row of pixels (red, green, blue).
    pub fn add(&mut self, row: &[u8]) {
        self.pixels += row.len() as u64 / 3;
        let (blocks, rest) = row.as_chunks::<{ 3 * TOGETHER }>();
        // A block adds at most 255 to each of 48 lanes: 256 blocks (4096 pixels) fit 16 bits.
        for blocks in blocks.chunks(256) {
            let (mut sums, mut squares) = ([0_u16; 3 * TOGETHER], [0_u32; 3 * TOGETHER]);
            for block in blocks {
                for lane in 0..3 * TOGETHER {
                    sums[lane] += u16::from(block[lane]);
                    squares[lane] += u32::from(u16::from(block[lane]) * u16::from(block[lane]));
                }
            }
            for lane in 0..3 * TOGETHER {
                self.sums[lane % 3] += u64::from(sums[lane]);
                self.squares[lane % 3] += u64::from(squares[lane]);
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            self.sums[lane % 3] += u64::from(value);
            self.squares[lane % 3] += u64::from(value) * u64::from(value);
        }
        let (pixels, _) = row.as_chunks::<3>();
        let (fours, rest) = pixels.as_chunks::<4>();
        for four in fours {
            for (histogram, pixel) in self.histograms.iter_mut().zip(four) {
                histogram[grey(*pixel)] += 1;
            }
        }
        for pixel in rest {
            self.histograms[0][grey(*pixel)] += 1;
        }
    }

    /// Mean of red, green and blue.
    #[must_use]
    pub fn mean(&self) -> [f32; 3] {
        self.sums.map(|sum| (sum as f64 / self.pixels as f64) as f32)
    }

    /// Standard deviation of red, green and blue, over all pixels (divided by their number).
    #[must_use]
    pub fn deviation(&self) -> [f32; 3] {
        let n = u128::from(self.pixels);
        let of = |c: usize| {
            // Exact in whole numbers until the root: n^2 variance = n sum(v^2) - sum(v)^2.
            let spread = n * u128::from(self.squares[c]) - u128::from(self.sums[c]).pow(2);
            ((spread as f64).sqrt() / n as f64) as f32
        };
        [of(0), of(1), of(2)]
    }

    /// How many pixels have round-down((R+G+B)/3) = 0, 1, … 255.
    #[must_use]
    pub fn histogram(&self) -> [u32; 256] {
        std::array::from_fn(|value| self.histograms.iter().map(|histogram| histogram[value]).sum())
    }
}

/// Round-down((R+G+B)/3).
const fn grey(pixel: [u8; 3]) -> usize {
    // 21846 is 2^16 / 3 rounded up: exact for all sums up to 765.
    (((pixel[0] as usize + pixel[1] as usize + pixel[2] as usize) * 21846) >> 16) & 0xff
}

/// Copies the patch whose top left corner is (x, y) with `margin` around it into `out`, black where the photograph ends, and
/// counts the pixels of the patch itself.
pub fn patch(
    photograph: &Photograph,
    (x, y): (usize, usize),
    size: usize,
    margin: usize,
    out: &mut [u8],
    counts: &mut Counts,
) {
    counts.clear();
    let side = size + 2 * margin;
    // Columns of the photograph that the patch with its margin covers, and where they begin in the patch.
    let from = x.saturating_sub(margin);
    let to = (x + size + margin).min(photograph.width);
    let skipped = from + margin - x;
    for (i, out) in out.chunks_exact_mut(side * 3).enumerate() {
        match (y + i).checked_sub(margin).filter(|row| *row < photograph.height && from < to) {
            Some(row) => {
                let pixels = &photograph.row(row)[from * 3..to * 3];
                let (before, rest) = out.split_at_mut(skipped * 3);
                let (inside, after) = rest.split_at_mut(pixels.len());
                before.fill(0);
                inside.copy_from_slice(pixels);
                after.fill(0);
            }
            None => out.fill(0),
        }
        if (margin..margin + size).contains(&i) {
            counts.add(&out[margin * 3..(margin + size) * 3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_the_rounded_down_mean() {
        for sum in 0..=765_usize {
            let pixel = [sum.min(255), sum.saturating_sub(255).min(255), sum.saturating_sub(510)].map(|v| v as u8);
            assert_eq!(grey(pixel), sum / 3);
        }
    }

    #[test]
    fn a_patch_with_margin_is_black_outside_and_counts_itself_alone() {
        let rgb: Vec<u8> = (0..7 * 5 * 3).map(|i| i as u8 + 1).collect();
        let photograph = Photograph { width: 7, height: 5, rgb };
        let (size, margin) = (4, 2);
        for (x, y) in [(0, 0), (3, 1), (5, 4)] {
            let mut out = vec![99; 8 * 8 * 3];
            let mut counts = Counts::default();
            counts.add(&[1, 2, 3]);
            patch(&photograph, (x, y), size, margin, &mut out, &mut counts);
            let at = |px: isize, py: isize, c: usize| {
                let inside = (0..7).contains(&px) && (0..5).contains(&py);
                if inside { photograph.rgb[(py as usize * 7 + px as usize) * 3 + c] } else { 0 }
            };
            let mut inner = [Vec::new(), Vec::new(), Vec::new()];
            for (i, &value) in out.iter().enumerate() {
                let (px, py, c) = (i / 3 % 8, i / 24, i % 3);
                let (sx, sy) = (x as isize + px as isize - 2, y as isize + py as isize - 2);
                assert_eq!(value, at(sx, sy, c), "patch {x} {y}, pixel {px} {py} {c}");
                if (2..6).contains(&px) && (2..6).contains(&py) {
                    inner[c].push(f64::from(value));
                }
            }
            for (c, inner) in inner.iter().enumerate() {
                let mean = inner.iter().sum::<f64>() / 16.0;
                let variance = inner.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 16.0;
                assert!((f64::from(counts.mean()[c]) - mean).abs() < 1e-4);
                assert!((f64::from(counts.deviation()[c]) - variance.sqrt()).abs() < 1e-4);
            }
            assert_eq!(counts.histogram().iter().sum::<u32>(), 16);
        }
    }
}
